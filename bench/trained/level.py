"""How much noise is in a picture?  An estimate, or the reason why there can be none.

Patches of a picture without noise lie near a few directions, white noise fills all of them alike: the smallest
eigenvalues of the patches' covariance are its variance (Chen, Zhu and Heng, ICCV 2015, "An efficient statistical method
for image noise level estimation").  A wavelet's finest coefficients, which scikit-image's ``estimate_sigma`` reads,
also see the picture's own texture and edges, and say 0.07 of MNIST's digits without any noise.

Files hold values from black to white, so that noise is clipped, and near black and white less of it is left: patches
of medium brightness are looked at, and what clipping took there is added again.  Where a picture is mostly black or
white (letters, digits), the half of the noise that is left on the background tells the level.  Without noise such a
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
LEAST_SIDE = 16
"""Smaller pictures have too few patches to tell noise from structure."""
MOST = 40_000
"""Patches of a channel that are looked at; more change nothing."""
ENOUGH = 4 * SIDE**2
"""Patches without which a covariance of them says nothing."""
MEDIUM = 1.5
"""Brightness is medium if this many standard deviations of the noise fit between it and black or white ..."""
FARTHEST = 0.4
"""... but never more than this away from both."""
SHARE = 0.2
"""Share of a picture's patches that must be of medium brightness for them to speak for it."""
CLIPPED = (0.2, 0.8)
"""Share of exactly black pixels in a patch of a black background with noise: a half, and less where it is not quite
black."""
EXACT = 0.95
"""A patch with more of them is exactly black: noise would have brightened a half."""
JUMP, IMPULSES, LONELY = 0.25, 0.01, 0.9
"""Where more than this share of pixels differs by so much from its surroundings, and nearly all that do are exactly
black or white, the noise is one of single pixels, which has no standard deviation worth comparing."""


@dataclass(frozen=True)
class Level:
    """``sigma``: standard deviation of the noise before it was clipped, where white is 1; None if it cannot be
    estimated, and ``why`` says why not."""

    sigma: float | None
    why: str = ""


def estimate(picture: NDArray[np.floating]) -> Level:
    """Of a picture (height, width, channels) with values from 0 to 1, as files have them; its channels are taken to
    have noise of one level."""
    if min(picture.shape[:2]) < LEAST_SIDE:
        return Level(None, f"it is smaller than {LEAST_SIDE}x{LEAST_SIDE} pixels")
    values = picture.astype(np.float64)
    if (share := _impulses(values)) > IMPULSES:
        return Level(
            None, f"{share:.0%} of its pixels are black or white beside others: noise of single pixels, or lines"
        )
    channels = [_patches(values[..., channel]) for channel in range(values.shape[2])]
    black = [(patches == 0).mean(axis=1) for patches in channels]
    white = [(patches == 1).mean(axis=1) for patches in channels]
    exact = float(np.mean([np.maximum(low, high) > EXACT for low, high in zip(black, white, strict=True)]))
    medium = _of_medium(channels)
    if medium is not None and medium[1] >= SHARE:
        return Level(medium[0])
    background = _of_background(channels, black, white)
    if background is not None and exact < background[1]:
        return Level(background[0])
    if exact > 0:
        return Level(None, "most of it is exactly black or white, where noise does not show")
    return Level(medium[0]) if medium is not None else Level(None, "too little of it is neither black nor white")


def _patches(values: Values) -> Values:
    """Patches (n, SIDE * SIDE) of a channel (h, w); of a large one those at even distances."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (SIDE, SIDE))
    step = max(1, math.isqrt(windows.shape[0] * windows.shape[1] // MOST))
    return windows[::step, ::step].reshape(-1, SIDE * SIDE)


def _of_medium(channels: list[Values]) -> tuple[float, float] | None:
    """(sigma, share of the patches that it comes from), from the patches of medium brightness."""
    found, share, margin = 0.0, 0.0, 0.1
    for _ in range(4):
        chosen = [_between(patches, margin) for patches in channels]
        variances = [_smallest(patches) for patches in chosen if len(patches) >= ENOUGH]
        if not variances:
            return None
        share = sum(map(len, chosen)) / sum(map(len, channels))
        means = np.concatenate([patches.mean(axis=1) for patches in chosen])
        found = unclipped(math.sqrt(float(np.mean(variances))), means)
        margin = min(MEDIUM * found, FARTHEST)
    return found, share


def _between(patches: Values, margin: float) -> Values:
    means = patches.mean(axis=1)
    inside: Values = patches[(means >= margin) & (means <= 1 - margin)]
    return inside


def _smallest(patches: Values) -> float:
    """Variance of the noise: the mean of those smallest eigenvalues that spread evenly around it, so that as many
    lie above it as below."""
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


def _of_background(channels: list[Values], black: list[Values], white: list[Values]) -> tuple[float, float] | None:
    """(sigma, share of the patches that it comes from), from patches of a background that is black or white but for
    its noise: a normal distribution whose one half is clipped."""
    from scipy.special import ndtr, ndtri

    levels = []
    for patches, low, high in zip(channels, black, white, strict=True):
        for share, values in ((low, patches), (high, 1 - patches)):
            chosen = (share >= CLIPPED[0]) & (share <= CLIPPED[1])
            centre = -ndtri(share[chosen])  # how many standard deviations it lies inside
            density = np.exp(-0.5 * centre**2) / math.sqrt(2 * math.pi)
            levels.append(values[chosen].mean(axis=1) / (centre * ndtr(centre) + density))
    found = np.concatenate(levels)
    if not len(found):
        return None
    return float(np.median(found)), len(found) / sum(map(len, channels))


def _impulses(values: Values) -> float:
    """Share of pixels that are exactly black or white and far from their surroundings, if nearly all that are so far
    are black or white; else 0."""
    from scipy.ndimage import median_filter

    far = np.abs(values - median_filter(values, size=(3, 3, 1), mode="reflect")) > JUMP
    lonely = far & ((values == 0) | (values == 1))
    count = np.count_nonzero(far)
    return float(lonely.mean()) if count and np.count_nonzero(lonely) >= LONELY * count else 0.0
