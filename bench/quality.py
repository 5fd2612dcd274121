"""Image quality: PSNR, SSIM and MSE as scikit-image defines them, for a whole stack of images at once.

Each figure is computed per image, in float64, with ``data_range=1.0``:

- ``ssim``: scikit-image's default, a uniform window of 7x7 with the sample covariance;
- ``ssim_wang``: as in Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
  structural similarity" (2004): Gaussian window, sigma 1.5, 11x11, without the sample correction
  (``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``).

Both leave out a border of half a window, and are means over the channels.  Four traps are avoided here, each of which
gives plausible but wrong numbers: a window that reaches from one image into the next, a missing ``data_range``, a
range guessed from the type or the values, and the infinite PSNR of an exact image, which swallows a mean.

Images are clipped to [0, 1] before they are scored, whoever made them: clean images lie there, a file can hold nothing
else, and networks that end in a sigmoid as well as all classical denoisers give nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.scores import EXACT, LEAST

Values = NDArray[np.float64]

UNIFORM_WINDOW = 7
GAUSSIAN_WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
"""(K1 * data_range)**2 and (K2 * data_range)**2 of the SSIM, with the paper's K1 and K2."""

MSE_FLOOR = 1e-10
"""The PSNR of an image closer than this is given as 100 dB: that of an equal one is infinite."""

BLOCK = 2**17
"""Values that are scored at once: the ten filtered stacks of the SSIM then take 10 MB, and there is never a copy of a
test set in float64."""

LARGE = 2**21
"""Values of one image beyond which its SSIM is computed in strips of rows: those stacks of a photograph of 12 million
pixels in colour would take 3 GB."""

CONFIDENCE = 0.95
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


class QualityError(ValueError):
    """Images that can not be scored; the message says why."""


@dataclass(frozen=True)
class Basic:
    """One figure per image, each float64 (n,) and finite: PSNR in dB (at most 100), SSIM, and MSE, all of clipped
    images; and the PSNR of the images as they are."""

    psnr: Values
    ssim: Values
    mse: Values
    psnr_raw: Values | None = field(default=None, kw_only=True)
    """None: as ``psnr``."""

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Which images are exact to a tenth of a gray level (:data:`results.scores.EXACT`), (n,)."""
        return np.asarray(self.psnr > EXACT)

    @property
    def raw(self) -> Values:
        """PSNR of the images as they are, dB, float64 (n,)."""
        return self.psnr if self.psnr_raw is None else self.psnr_raw


@dataclass(frozen=True)
class Scores(Basic):
    """With the SSIM of Wang et al., which takes as long as all the rest."""

    ssim_wang: Values


def score(images: NDArray[Any], clean: NDArray[Any]) -> Scores:
    """How close ``images`` are to ``clean``: both floating point (n, h, w, c), where 0 is black and 1 is white.

    Values outside [0, 1] are clipped, but for ``psnr_raw``.  QualityError for other types and shapes, for images
    smaller than the window of 11x11, and for values that are not finite.
    """
    _check(images, clean)
    return Scores(**_by_block(images, clean, ssim=(_ssim, UNIFORM_WINDOW), ssim_wang=(_ssim_wang, GAUSSIAN_WINDOW)))


def score_basic(images: NDArray[Any], clean: NDArray[Any]) -> Basic:
    """The same as :func:`score` without the SSIM of Wang et al., in less than half its time."""
    _check(images, clean)
    return Basic(**_by_block(images, clean, ssim=(_ssim, UNIFORM_WINDOW)))


def psnr(images: NDArray[Any], clean: NDArray[Any]) -> Values:
    """The PSNR alone, in dB, float64 (n,), of clipped images: without the cost of SSIM, and without a check."""
    return _by_block(images, clean, raw=False)["psnr"]


def mean_psnr(images: NDArray[Any], clean: NDArray[Any], exact_before: NDArray[np.bool_] | None = None) -> float:
    """The ``psnr`` of :func:`summarise` without the cost of SSIM; ``exact_before``: which noisy images are exact."""
    found = psnr(images, clean)
    exact = found > EXACT
    return float(found[counted(exact, exact if exact_before is None else exact_before)].mean())


def counted(exact: NDArray[np.bool_], exact_before: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which images (n,) means of PSNR are taken over: those that are exact neither denoised nor noisy, for one of them
    outweighs ten others.  All of them, exact or not, where fewer than :data:`LEAST` remain."""
    kept = ~(exact | exact_before)
    return kept if np.count_nonzero(kept) >= LEAST else np.ones_like(kept)


def _by_block(
    images: NDArray[Any],
    clean: NDArray[Any],
    raw: bool = True,
    **similarities: tuple[Callable[[Values, Values], Values], int],
) -> dict[str, Values]:
    """PSNR, MSE and the ``similarities`` (name = function, window) of every image, some images at a time; with ``raw``
    also the PSNR of what was not clipped."""
    found: dict[str, list[Values]] = {}
    for part in blocks(clean):
        given, y = np.asarray(images[part], np.float64), np.asarray(clean[part], np.float64)
        x = clipped(given)
        errors = _errors(x, y)
        if raw:
            errors["psnr_raw"] = errors["psnr"] if x is given else _errors(given, y)["psnr"]
        for name, values in errors.items():
            found.setdefault(name, []).append(values)
        for name, (similarity, window) in similarities.items():
            found.setdefault(name, []).append(_in_strips(similarity, window, x, y))
    return {name: np.concatenate(values) for name, values in found.items()}


def _check(images: NDArray[Any], clean: NDArray[Any]) -> None:
    for name, array in (("images", images), ("clean", clean)):
        if not np.issubdtype(array.dtype, np.floating):
            raise QualityError(
                f"{name} are {array.dtype}; allowed are floating point values where 1 is white "
                "(use datasets.as_float on 8-bit images)"
            )
    if images.shape != clean.shape or clean.ndim != 4 or not clean.size:
        raise QualityError(f"images {images.shape} and clean {clean.shape} must have one shape (n, h, w, c), n > 0")
    if min(clean.shape[1:3]) < GAUSSIAN_WINDOW:
        raise QualityError(
            f"images of {clean.shape[1]}x{clean.shape[2]} pixels are too small; SSIM needs "
            f"{GAUSSIAN_WINDOW}x{GAUSSIAN_WINDOW}"
        )
    for name, array in (("images", images), ("clean", clean)):
        for part in blocks(array):
            finite = np.isfinite(np.asarray(array[part], np.float64)).all(axis=(1, 2, 3))
            if not finite.all():
                first = part.start + int(np.argmin(finite))
                raise QualityError(f"{name} hold values that are not finite, first in image {first}")


def clipped(images: NDArray[Any]) -> NDArray[Any]:
    """``images`` with what is blacker than black and whiter than white cut off; themselves where nothing is."""
    if images.min() >= 0 and images.max() <= 1:
        return images
    return np.asarray(np.clip(images, 0, 1))


def _errors(x: Values, y: Values) -> dict[str, Values]:
    mse = np.mean((x - y) ** 2, axis=(1, 2, 3))
    return {"psnr": -10 * np.log10(np.maximum(mse, MSE_FLOOR)), "mse": mse}


def blocks(images: NDArray[Any]) -> list[slice]:
    """Parts of images (n, h, w, c) that are small enough to be computed with in float64."""
    block = max(1, BLOCK // max(1, images[0].size))
    return [slice(i, i + block) for i in range(0, len(images), block)]


def mean_of(count: int, values: Callable[[slice], Values]) -> float:
    """The mean of ``count`` numbers, of which ``values`` makes any part: bit by bit that of NumPy over all of them,
    without all of them in memory."""

    def total(start: int, length: int) -> float:
        if length <= BLOCK:
            return float(np.add.reduce(values(slice(start, start + length))))
        half = length // 2
        half -= half % 8  # where NumPy's pairwise summation divides
        return total(start, half) + total(start + half, length - half)

    return total(0, count) / count


def _products(x: Values, y: Values) -> tuple[Values, ...]:
    return (x, y, x * x, y * y, x * y)


def _in_strips(similarity: Callable[[Values, Values], Values], window: int, x: Values, y: Values) -> Values:
    """``similarity`` of images (n, h, w, c); large ones in strips which overlap so that every window lies in one."""
    if x[0].size <= LARGE:
        return similarity(x, y)
    windows = x.shape[1] - window + 1
    step = max(LARGE // x[0, 0].size, 1)
    total = np.zeros(len(x))
    for top in range(0, windows, step):
        count = min(step, windows - top)
        rows = slice(top, top + count + window - 1)
        total += count * similarity(x[:, rows], y[:, rows])
    return np.asarray(total / windows)


def _ssim(x: Values, y: Values) -> Values:
    from scipy.ndimage import uniform_filter

    # The window covers rows and columns only: length 1 (sigma 0) over images and channels.
    means = [uniform_filter(p, size=(1, UNIFORM_WINDOW, UNIFORM_WINDOW, 1)) for p in _products(x, y)]
    count = UNIFORM_WINDOW**2
    return _similarity(means, UNIFORM_WINDOW // 2, count / (count - 1))


def _ssim_wang(x: Values, y: Values) -> Values:
    from scipy.ndimage import gaussian_filter

    radius = GAUSSIAN_WINDOW // 2
    means = [gaussian_filter(p, sigma=(0, SIGMA, SIGMA, 0), radius=(0, radius, radius, 0)) for p in _products(x, y)]
    return _similarity(means, radius, 1.0)


def _similarity(means: list[Values], border: int, correction: float) -> Values:
    """The mean SSIM of each image (n,) from the windowed means of x, y, xx, yy and xy."""
    ux, uy, uxx, uyy, uxy = (mean[:, border:-border, border:-border] for mean in means)
    vx, vy, vxy = (
        correction * (square - product) for square, product in ((uxx, ux * ux), (uyy, uy * uy), (uxy, ux * uy))
    )
    similarity = ((2 * ux * uy + C1) * (2 * vxy + C2)) / ((ux * ux + uy * uy + C1) * (vx + vy + C2))
    return np.asarray(similarity.mean(axis=(1, 2, 3)))


FIGURES = ("psnr", "ssim", "mse", "ssim_wang")


def summarise(scores: Basic, noisy: Basic) -> dict[str, float]:
    """Mean, interval and quantiles of every figure, the noisy input's mean, and the gain over it.

    For each of psnr, ssim, mse and, where ``scores`` have it, ssim_wang: ``NAME`` (mean over images), ``NAME_low`` and
    ``NAME_high`` (95 % interval of the mean over images, Student's t), ``NAME_q05`` ``_q25`` ``_median`` ``_q75``
    ``_q95``, ``NAME_noisy``, and ``NAME_gain`` with ``_low`` and ``_high``: the mean improvement of an image over its
    own noisy version (positive is better, also for mse), with the interval of these paired differences.

    ``exact`` and ``exact_noisy`` count the images that are exact to a tenth of a gray level, denoised and noisy.  They
    are left out of all figures of psnr, which are over ``psnr_images`` of the ``images``; where fewer than two remain,
    all count (``psnr_images`` is ``images`` then, although some are exact).  ``psnr_pooled`` and ``psnr_noisy_pooled``
    are the PSNR of the mean MSE over all images, ``psnr_raw`` and ``psnr_noisy_raw`` the means without clipping;
    ``psnr_capped`` counts those of ``exact`` whose 100 dB stand for more.  All values are finite.
    """
    count = len(scores.mse)
    if count < LEAST or len(noisy.mse) != count:
        raise QualityError(
            f"{count} denoised and {len(noisy.mse)} noisy images can not be summarised; an interval needs at least 2 "
            "images, the same on both sides"
        )
    kept = counted(scores.exact, noisy.exact)
    summary: dict[str, float] = {}
    for name in (name for name in FIGURES if hasattr(scores, name)):
        values, before = getattr(scores, name), getattr(noisy, name)
        if name == "psnr":
            values, before = values[kept], before[kept]
        summary |= _mean_interval(name, values)
        quantiles = np.quantile(values, list(QUANTILES.values()))
        summary |= {f"{name}_{label}": float(q) for label, q in zip(QUANTILES, quantiles, strict=True)}
        summary[f"{name}_noisy"] = float(before.mean())
        summary |= _mean_interval(f"{name}_gain", before - values if name == "mse" else values - before)
    return summary | {
        "psnr_raw": float(scores.raw[kept].mean()),
        "psnr_noisy_raw": float(noisy.raw[kept].mean()),
        "psnr_pooled": _pooled(scores.mse),
        "psnr_noisy_pooled": _pooled(noisy.mse),
        "psnr_capped": float(np.count_nonzero(scores.mse < MSE_FLOOR)),
        "exact": float(np.count_nonzero(scores.exact)),
        "exact_noisy": float(np.count_nonzero(noisy.exact)),
        "images": float(count),
        "psnr_images": float(np.count_nonzero(kept)),
    }


def _pooled(mse: Values) -> float:
    return float(-10 * np.log10(max(float(mse.mean()), MSE_FLOOR)))


def over_mean_image(scores: Basic, noisy: Basic, mean_image: Basic) -> dict[str, float]:
    """What the mean training image scores in place of every image, ``psnr_mean_image`` in dB and ``ssim_mean_image``,
    and the lead of ``scores`` over it, image by image: ``psnr_over_mean`` with ``_low`` and ``_high``, dB.  Of the same
    images as in :func:`summarise`."""
    counting = counted(scores.exact, noisy.exact)
    return {
        "psnr_mean_image": float(mean_image.psnr[counting].mean()),
        "ssim_mean_image": float(mean_image.ssim.mean()),
        **_mean_interval("psnr_over_mean", (scores.psnr - mean_image.psnr)[counting]),
    }


def _mean_interval(name: str, values: Values) -> dict[str, float]:
    from scipy.special import stdtrit  # the quantile of Student's t, without the second that scipy.stats takes

    mean = float(values.mean())
    half = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
