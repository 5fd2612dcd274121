"""How much noise is in a picture?  An estimate, or the reason why there can be none.

Two measures see noise and some of the picture's own texture, each another part of it, so the lesser of them counts:

- patches of a picture without noise lie near a few directions, white noise fills all of them alike, and so the smallest
  eigenvalues of the patches' covariance are its variance (Chen, Zhu and Heng, ICCV 2015, "An efficient statistical
  method for image noise level estimation");
- the median of a wavelet's finest coefficients (Donoho and Johnstone, Biometrika 81 (1994)), as in scikit-image's
  ``estimate_sigma``, which alone says 0.07 of MNIST's digits without any noise.

Files hold values from black to white, so that noise is clipped, and near black and white less of it is left: both look
where a picture has medium brightness, and what clipping took there is added again.  Where a picture has a black or
white background (letters, digits), the half of the noise that is left there tells the level.  Without noise such a
background is exactly black or white, and then nothing can be said of the rest: a camera or a program may have cut it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SIDE = 7
"""Pixels of a patch in each direction."""
LARGEST_SIDE = 1536
"""Of larger pictures the middle is looked at: more pixels tell nothing more, and take seconds."""
LEAST_SIDE = 20
"""Smaller pictures have too few pixels to tell noise from structure."""
MOST = 10_000
"""Patches of a channel that are looked at; more change nothing."""
ENOUGH = 1000
"""Patches of medium brightness, in all channels, without which they say nothing: of the few in a digit's strokes all
are structure."""
SHARE = 0.05
"""Share of a picture's patches that must be of medium brightness for them to speak for it ..."""
BESIDE_EXACT = 1.0
"""... and in terms of the share of the picture that is exactly black or white."""
MEDIUM = 1.5
"""Brightness is medium if this many standard deviations of the noise fit between it and black or white ..."""
FARTHEST = 0.4
"""... but never more than this away from both."""
FIRST_MARGIN, ROUNDS, SETTLED = 0.1, 4, 0.01
"""How far medium brightness is from black and white at first, how often that is looked for, and what change ends it."""
NORMAL = {0.25: 0.31863936396437514, 0.5: 0.6744897501960817, 0.75: 1.1503493803760083}
"""Quantiles of the absolute value of a standard normal number."""
LOWER_MEAN = 0.5149
"""Mean of those three quarters of the same that are least."""
BLOCK, BLOCKS = 16, 16
"""Coefficients of a block in each direction, and blocks without which nothing is said of their differences."""
LEAST_UNEVEN = 0.02
"""Less than this is little even where it is texture, and nobody will take it for noise."""
UNEVEN = 0.72
"""Noise is the same all over a picture: of its blocks, one in twenty has less than 0.88 times what the median block
has, as estimates scatter.  Texture differs: grass, which has most of it, has 0.68."""
BACKGROUND = 0.15
"""Share of pixels that are clipped on a background, at least: noise leaves one half of them."""
AGREE = 1.3
"""Noise on a black background is one half of a normal distribution, so that its quartiles tell the same level, up to
this factor."""
EXACT, EXACT_SIDE = 0.02, 3
"""Squares of so many pixels are all black, or all white, on a background without noise; of one with noise only one in
500 is.  From this share of squares on there is none on the background, or somebody took it out."""
JUMP, IMPULSES, LONELY = 0.25, 0.01, 0.9
"""Where more than this share of pixels differs by so much from its surroundings, and nearly all that do are exactly
black or white, the noise is one of single pixels, which has no standard deviation worth comparing."""


@dataclass(frozen=True)
class Level:
    """``sigma``: standard deviation of the noise before it was clipped, where white is 1; None if it cannot be
    estimated, and ``why`` says why not."""

    sigma: float | None
    why: str = ""
    told: bool = False
    """Whether somebody said so, who knows it."""


def estimate(picture: NDArray[np.floating]) -> Level:
    """Of a picture (height, width, channels) with values from 0 to 1, as files have them; its channels are taken to
    have noise of one level."""
    if min(picture.shape[:2]) < LEAST_SIDE:
        return Level(None, f"it is smaller than {LEAST_SIDE}x{LEAST_SIDE} pixels")
    values = _middle(picture).astype(np.float64)
    if (share := _impulses(values)) > IMPULSES:
        return Level(
            None, f"{share:.0%} of its pixels are black or white beside others: noise of single pixels, or lines"
        )
    exact = _exact(values)
    if exact <= EXACT:
        background = [_of_background(side) for side in (values, 1 - values)]
        found = [one for one in background if one is not None]
        if found:
            return Level(max(found)[1])
    medium = _of_medium(values)
    if medium is None or medium[1] < max(SHARE, BESIDE_EXACT * exact):
        if exact > EXACT:
            return Level(None, "too much of it is exactly black or white, where noise does not show")
        return Level(None, "it is too small, or too little of it is neither black nor white")
    if medium[0] > LEAST_UNEVEN and _unevenness(values, medium[0]) < UNEVEN:
        return Level(None, "its finest structure differs from place to place, as texture does and noise does not")
    return Level(medium[0])


def _middle(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    top, left = (max(length - LARGEST_SIDE, 0) // 2 for length in picture.shape[:2])
    return picture[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]


def _patches(values: Values) -> Values:
    """Patches (n, SIDE * SIDE) of a channel (h, w); of a large one those at even distances."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (SIDE, SIDE))
    step = max(1, math.isqrt(windows.shape[0] * windows.shape[1] // MOST))
    return windows[::step, ::step].reshape(-1, SIDE * SIDE)


def _of_medium(values: Values) -> tuple[float, float] | None:
    """(sigma, share of the patches that it comes from), from where the picture has medium brightness."""
    channels = [_patches(values[..., channel]) for channel in range(values.shape[2])]
    means = [patches.mean(axis=1) for patches in channels]
    coefficients = [_coefficients(values[..., channel]) for channel in range(values.shape[2])]
    found, share, margin = 0.0, 0.0, FIRST_MARGIN
    for _ in range(ROUNDS):
        inside = [_inside(one, margin) for one in means]
        count = sum(map(np.count_nonzero, inside))
        if count < ENOUGH:
            return None
        share = count / sum(map(len, channels))
        variance = np.average(
            [_smallest(patches[chosen]) for patches, chosen in zip(channels, inside, strict=True)],
            weights=[chosen.sum() for chosen in inside],
        )
        finest, around = (np.concatenate(parts) for parts in zip(*_chosen(coefficients, margin), strict=True))
        found = min(
            unclipped(math.sqrt(variance), np.concatenate([m[i] for m, i in zip(means, inside, strict=True)])),
            unclipped(float(np.median(np.abs(finest))) / NORMAL[0.5], around),
        )
        before, margin = margin, margin_of(found)
        if abs(margin - before) < SETTLED:
            break
    return found, share


def _chosen(coefficients: list[tuple[Values, Values]], margin: float) -> list[tuple[Values, Values]]:
    """Of the coefficients of every channel, and the brightness around them, those of medium brightness, (n,) each."""
    inside = [_inside(around, margin) for _, around in coefficients]
    return [(finest[i], around[i]) for (finest, around), i in zip(coefficients, inside, strict=True)]


def margin_of(sigma: float) -> float:
    """How far from black and white brightness is medium for noise of ``sigma``."""
    return min(MEDIUM * sigma, FARTHEST)


def _inside(means: Values, margin: float) -> NDArray[np.bool_]:
    return np.asarray((means >= margin) & (means <= 1 - margin))


def _coefficients(values: Values) -> tuple[Values, Values]:
    """The finest diagonal coefficients of a channel, and the brightness around each; (h / 2, w / 2) both."""
    from pywt import dwt2

    coarse, (_, _, finest) = dwt2(values, "db2")
    return finest, coarse / 2


def _unevenness(values: Values, sigma: float) -> float:
    """What one block in twenty has of noise or texture at most, in terms of the median block; 1 where there are too
    few blocks of medium brightness."""
    margin = margin_of(sigma)
    levels = []
    for channel in range(values.shape[2]):
        finest, around = _coefficients(values[..., channel])
        height, width = (length // BLOCK for length in finest.shape)
        blocks, means = (
            array[: height * BLOCK, : width * BLOCK]
            .reshape(height, BLOCK, width, BLOCK)
            .transpose(0, 2, 1, 3)
            .reshape(height * width, BLOCK * BLOCK)
            for array in (np.abs(finest), around)
        )
        found = np.median(blocks[_inside(means, margin).all(axis=1)], axis=1)
        levels.append(found)
    every = np.concatenate(levels)
    return float(np.quantile(every, 0.05) / np.median(every)) if len(every) >= BLOCKS and np.median(every) > 0 else 1.0


def _smallest(patches: Values) -> float:
    """Variance of the noise: the mean of those smallest eigenvalues that spread evenly around it, so that as many
    lie above it as below."""
    if len(patches) < 2:
        return 0.0
    eigenvalues = np.linalg.eigvalsh(np.cov(patches.T))[::-1]
    for start in range(len(eigenvalues)):
        rest = eigenvalues[start:]
        mean = rest.mean()
        if np.count_nonzero(rest > mean) >= np.count_nonzero(rest < mean):
            return max(float(mean), 0.0)
    return max(float(eigenvalues[-1]), 0.0)


def clipped_variance(mean: Values, sigma: float) -> Values:
    """Variance of Gaussian noise of standard deviation ``sigma`` around ``mean`` that is clipped to [0, 1]."""
    from scipy.special import ndtr

    if sigma <= 0:
        return np.zeros_like(mean)
    low, high = -mean / sigma, (1 - mean) / sigma
    below, above = ndtr(low), ndtr(-high)
    dense_low, dense_high = (np.exp(-0.5 * end**2) / math.sqrt(2 * math.pi) for end in (low, high))
    inside = 1 - below - above
    # In units of sigma and counted from the mean: clipped values sit at low and high.
    first = low * below + high * above + dense_low - dense_high
    second = low**2 * below + high**2 * above + inside + low * dense_low - high * dense_high
    return np.asarray(sigma**2 * (second - first**2))


def unclipped(observed: float, means: Values) -> float:
    """The standard deviation before clipping, of noise that has ``observed`` after it around the brightness
    ``means``; at most 1, where clipping leaves nothing to tell it from more."""
    if float(clipped_variance(means, 1.0).mean()) <= observed**2:
        return 1.0
    low, high = observed, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if clipped_variance(means, middle).mean() > observed**2 else (middle, high)
    return (low + high) / 2


def _of_background(values: Values) -> tuple[float, float] | None:
    """(share of pixels that are clipped, sigma) of a picture with a black background, or None if it has none.

    Noise leaves half of the background's pixels black, so as many others are its bright half: the darkest of them.
    """
    clipped = int(np.count_nonzero(values == 0))
    bright = np.sort(values[values > 0])[:clipped]
    if clipped < BACKGROUND * values.size or len(bright) < clipped:
        return None
    levels = [float(np.quantile(bright, share)) / quantile for share, quantile in NORMAL.items()]
    if max(levels) > AGREE * min(levels):
        return None
    # A mean, since quartiles of values that are rounded jump; without the brightest, among which strokes may be.
    lower = bright[: math.ceil(0.75 * clipped)]
    return clipped / values.size, float(lower.mean()) / LOWER_MEAN


def _exact(values: Values) -> float:
    """Share of small squares that are all black or all white."""
    from scipy.ndimage import uniform_filter

    size = (EXACT_SIDE, EXACT_SIDE, 1)
    # A mean of flags is only 1 where all are set, but for rounding.
    full = [uniform_filter((values == end).astype(np.float64), size, mode="reflect") > 0.999 for end in (0, 1)]
    return float((full[0] | full[1]).mean())


def _impulses(values: Values) -> float:
    """Share of pixels that are exactly black or white and far from their surroundings, if nearly all that are so far
    are black or white; else 0."""
    from scipy.ndimage import median_filter

    far = np.abs(values - median_filter(values, size=(3, 3, 1), mode="reflect")) > JUMP
    lonely = far & ((values == 0) | (values == 1))
    count = np.count_nonzero(far)
    return float(lonely.mean()) if count and np.count_nonzero(lonely) >= LONELY * count else 0.0
