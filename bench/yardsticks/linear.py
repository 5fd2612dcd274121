"""The best linear denoiser of rank k: a reduced-rank Wiener filter, in closed form from training pairs.

With means mx, my and covariances of clean images x and noisy images y, the affine map of rank at most k that has the
least mean squared error is

    x' = mx + V_k V_k^T W (y - my),    W = Cxy Cyy^-1,    V = eigenvectors of W Cyy W^T, largest first

(Brillinger, Time Series (1981), theorem 10.2; Izenman, J. Multivariate Analysis 5 (1975)).  A linear autoencoder with
k numbers in its code can reach this and no more; a network that stays below has learned nothing that a matrix could
not.  One decomposition gives all ranks.

Cyy + ridge * trace(Cyy) / d stands for Cyy, which is singular where pixels never vary and badly estimated from few
images.  The ridge is the one of :data:`RIDGES` with the highest mean PSNR on held-out training images (not the least
squared error: dark, easy images count for more in the mean PSNR, which is what a yardstick is compared by), for each
rank by itself; then the map is made from all training images.  Its output is clipped to [0, 1].
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quality import MSE_FLOOR
from bench.yardsticks.base import Images, YardstickError, check_pairs

Values = NDArray[np.float64]

RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Relative to the mean variance of a noisy value.  The smallest is none for noise that leaves a trace in every
direction; the largest are for fewer images than pixels."""
LEAST_RIDGE = 1e-12
"""Absolute: keeps the inverse finite where no pixel varies at all."""

HELD_OUT_SHARE, HELD_OUT_MOST = 10, 2000
"""One training image in ten chooses the ridge, but no more than this: the error is then known to a percent or two, and
between ridges, on the same images, far better."""
FEWEST = 20
"""Training images without which there is nothing to hold out."""

LARGEST = 4096
"""Rows of the largest matrix that is decomposed (a minute on one core).  It is the number of pixels, or of training
images if these are fewer; where both are more, so many evenly spaced training images take part."""

BLOCK = 2**22
"""Values that are made float64 at once: 32 MB, whatever the size of the data set."""

NEGLIGIBLE = 1e-12
"""Directions whose share of the largest eigenvalue is below this are rounding errors."""


@dataclass(frozen=True)
class Moments:
    """Of n pairs: means (d,) and scatter matrices (d, d) about them, not yet divided by n."""

    count: int
    mean_noisy: Values
    mean_clean: Values
    noisy_noisy: Values
    clean_noisy: Values

    @classmethod
    def of(cls, noisy: Images, clean: Images) -> Moments:
        """Accumulated in blocks, in float64, about the means (a second pass), so that nothing cancels."""
        values = noisy[0].size
        mean_noisy, mean_clean = _mean(noisy), _mean(clean)
        noisy_noisy, clean_noisy = np.zeros((values, values)), np.zeros((values, values))
        for y, x in zip(_blocks(noisy), _blocks(clean), strict=True):
            y -= mean_noisy
            x -= mean_clean
            noisy_noisy += y.T @ y
            clean_noisy += x.T @ y
        return cls(len(noisy), mean_noisy, mean_clean, noisy_noisy, clean_noisy)

    def __add__(self, other: Moments) -> Moments:
        """Those of both sets together (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        share = other.count / count
        dy, dx = other.mean_noisy - self.mean_noisy, other.mean_clean - self.mean_clean
        return Moments(
            count,
            self.mean_noisy + share * dy,
            self.mean_clean + share * dx,
            self.noisy_noisy + other.noisy_noisy + self.count * share * np.outer(dy, dy),
            self.clean_noisy + other.clean_noisy + self.count * share * np.outer(dx, dy),
        )


@dataclass(frozen=True)
class LinearDenoiser:
    """The affine map of one rank, in float32 as networks are: through ``matrices`` (d, k) and (k, d), or one (d, d)
    where that is smaller and faster, then plus ``offset`` (d,)."""

    matrices: tuple[Images, ...]
    offset: Images

    @property
    def numbers(self) -> int:
        """How many numbers it is made of."""
        return sum(matrix.size for matrix in self.matrices) + self.offset.size

    def denoise(self, images: Images) -> Images:
        """``images`` (n, h, w, c), denoised and clipped to [0, 1]; float32."""
        values = images.reshape(len(images), -1)
        for matrix in self.matrices:
            values = values @ matrix
        return np.asarray(np.clip(values + self.offset, 0, 1), np.float32).reshape(images.shape)


@dataclass(frozen=True)
class LinearMap:
    """All ranks at once: ``into`` (d, K) makes the code of a noisy image, ``out`` (K, d), with orthonormal rows, the
    image of a code.  The first k columns and rows are the optimum of rank k."""

    mean_noisy: Values
    mean_clean: Values
    into: Values
    out: Values

    def at(self, rank: int) -> LinearDenoiser:
        """The optimum of rank at most ``rank``."""
        into, out = self.into[:, :rank], self.out[:rank]
        matrices = (into, out) if 2 * into.shape[1] <= into.shape[0] else (into @ out,)
        offset = self.mean_clean - (self.mean_noisy @ into) @ out
        return LinearDenoiser(tuple(matrix.astype(np.float32) for matrix in matrices), offset.astype(np.float32))

    def mean_psnr(self, noisy: Images, clean: Images, ranks: Sequence[int]) -> list[float]:
        """Mean PSNR in dB of the denoised images for each of ``ranks``, which ascend."""
        totals = np.zeros(len(ranks))
        for y, x in zip(_blocks(noisy), _blocks(clean), strict=True):
            code = (y - self.mean_noisy) @ self.into
            denoised = np.tile(self.mean_clean, (len(y), 1))
            for place, (before, rank) in enumerate(itertools.pairwise((0, *ranks))):
                denoised += code[:, before:rank] @ self.out[before:rank]
                error = np.square(denoised.clip(0, 1) - x).mean(axis=1)
                totals[place] -= 10 * np.log10(np.maximum(error, MSE_FLOOR)).sum()
        return [float(total) / len(noisy) for total in totals]


Solver = Callable[[float], LinearMap]
"""From an absolute ridge to the maps of all ranks."""


def from_moments(moments: Moments) -> Solver:
    """By the covariances of the pixels (d, d): for more images than pixels."""
    scale = 1 / moments.count
    eigenvalues, basis = np.linalg.eigh(moments.noisy_noisy * scale)
    eigenvalues = np.maximum(eigenvalues, 0)
    cross = (moments.clean_noisy @ basis) * scale

    def solve(ridge: float) -> LinearMap:
        half = cross / np.sqrt(eigenvalues + ridge)
        strengths, out = np.linalg.eigh(half @ half.T)
        out = out[:, _kept(strengths)]
        into = basis @ ((cross / (eigenvalues + ridge)).T @ out)
        return LinearMap(moments.mean_noisy, moments.mean_clean, into, out.T)

    return solve


def from_pairs(noisy: Images, clean: Images) -> Solver:
    """The same maps by the products of the images with each other (n, n): for fewer images than pixels."""
    mean_noisy, mean_clean = _mean(noisy), _mean(clean)
    scale = 1 / np.sqrt(len(noisy))
    y = (noisy.reshape(len(noisy), -1) - mean_noisy) * scale
    x = (clean.reshape(len(clean), -1) - mean_clean) * scale
    eigenvalues, basis = np.linalg.eigh(y @ y.T)
    eigenvalues = np.maximum(eigenvalues, 0)
    x, y = basis.T @ x, basis.T @ y

    def solve(ridge: float) -> LinearMap:
        half = np.sqrt(eigenvalues / (eigenvalues + ridge))[:, None] * x
        strengths, left = np.linalg.eigh(half @ half.T)
        kept = _kept(strengths)
        out = (left[:, kept] / np.sqrt(strengths[kept])).T @ half
        into = y.T @ ((x @ out.T) / (eigenvalues + ridge)[:, None])
        return LinearMap(mean_noisy, mean_clean, into, out)

    return solve


class LinearOptimum:
    """The best linear denoisers of all ranks for training pairs, each float32 (n, h, w, c).

    ``ridge``: a fixed one, relative to the mean variance of a noisy value; None: held-out images choose it.
    """

    def __init__(self, noisy: Images, clean: Images, ridge: float | None = None) -> None:
        start = time.perf_counter()
        check_pairs(noisy, clean, "training")
        if len(clean) < FEWEST:
            raise YardstickError(f"yardstick linear needs at least {FEWEST} training images; there are {len(clean)}")
        if ridge is not None and not ridge >= 0:
            raise YardstickError(f"ridge {ridge} is not allowed; it is at least 0, or None for a calibrated one")
        self.values = int(clean[0].size)
        self.available = len(clean)
        if min(len(clean), self.values) > LARGEST:
            evenly = np.linspace(0, len(clean) - 1, LARGEST).round().astype(np.int64)
            noisy, clean = noisy[evenly], clean[evenly]
        self.images = len(clean)
        self.variance = _variance(noisy)
        self._noisy, self._clean, self._fixed = noisy, clean, ridge
        every = max(HELD_OUT_SHARE, -(-self.images // HELD_OUT_MOST))
        self._held = np.arange(self.images) % every == every - 1
        self.held_out = int(self._held.sum()) if ridge is None else 0
        self._maps: dict[float, LinearMap] = {}
        self._partial: Moments | None = None
        self._ladder = [2**power for power in range(self.values.bit_length()) if 2**power < self.values] + [self.values]
        self._found = {} if ridge is not None else self._try_ridges()
        self.seconds = time.perf_counter() - start
        """That all ranks together have taken so far."""

    def _try_ridges(self) -> dict[float, list[float]]:
        """By ridge: the mean PSNR on the held-out images for each rank of the ladder."""
        held = self._held
        noisy, clean = self._noisy[~held], self._clean[~held]
        if self._by_moments:
            self._partial = Moments.of(noisy, clean)
            solve = from_moments(self._partial)
        else:
            solve = from_pairs(noisy, clean)
        left = self._noisy[held], self._clean[held]
        return {ridge: solve(self._absolute(ridge)).mean_psnr(*left, self._ladder) for ridge in RIDGES}

    @property
    def _by_moments(self) -> bool:
        return self.values <= self.images

    @cached_property
    def _solver(self) -> Solver:
        """For all training images."""
        if not self._by_moments:
            return from_pairs(self._noisy, self._clean)
        if self._partial is None:
            return from_moments(Moments.of(self._noisy, self._clean))
        return from_moments(self._partial + Moments.of(self._noisy[self._held], self._clean[self._held]))

    def _absolute(self, ridge: float) -> float:
        return max(ridge * self.variance, LEAST_RIDGE)

    def ridge(self, rank: int) -> float:
        """The relative ridge for ``rank``: the best at the nearest rank of the ladder 1, 2, 4, ..., all."""
        if self._fixed is not None:
            return self._fixed
        return max(RIDGES, key=lambda ridge: self._found[ridge][self._rung(rank)])  # of equals the smallest

    def _rung(self, rank: int) -> int:
        return min(range(len(self._ladder)), key=lambda rung: abs(math.log(self._ladder[rung] / rank)))

    def map(self, rank: int) -> LinearMap:
        """The map that holds the optimum of ``rank``; YardstickError if there can be none."""
        check_rank(rank, self.values)
        ridge = self.ridge(rank)
        if ridge not in self._maps:
            start = time.perf_counter()
            self._maps[ridge] = self._solver(self._absolute(ridge))
            self.seconds += time.perf_counter() - start
        return self._maps[ridge]

    def at(self, rank: int) -> LinearDenoiser:
        """The optimum of rank at most ``rank``, ready for use."""
        return self.map(rank).at(rank)

    def facts(self, rank: int) -> dict[str, Any]:
        """How the optimum of ``rank`` was made, JSON-able."""
        rung = self._rung(rank)
        return {
            "method": "linear",
            "parameters": {"rank": rank, "ridge": self.ridge(rank)},
            "images": self.images,
            "subset": "all training images" if self.images == self.available else "evenly spaced training images",
            "held_out": self.held_out,
            "seconds": self.seconds,
            "held_out_rank": self._ladder[rung] if self._found else None,
            "held_out_psnr": {f"{ridge:g}": psnr[rung] for ridge, psnr in self._found.items()},
        }


def check_rank(rank: int, values: int) -> None:
    """YardstickError unless 1 <= ``rank`` <= ``values``, the pixels times channels of an image."""
    if not 1 <= rank <= values:
        raise YardstickError(
            f"rank {rank} of yardstick linear is not allowed; images of {values} values allow 1 to {values}"
        )


def _blocks(images: Images) -> Iterator[Values]:
    """Copies in float64, (m, d) each."""
    step = max(1, BLOCK // images[0].size)
    for start in range(0, len(images), step):
        yield images[start : start + step].reshape(-1, images[0].size).astype(np.float64)


def _mean(images: Images) -> Values:
    return np.asarray(images.mean(axis=0, dtype=np.float64)).reshape(-1)


def _variance(images: Images) -> float:
    """Of a value about its own mean over the images, averaged over all values."""
    mean = _mean(images)
    return float(sum(np.square(block - mean).sum() for block in _blocks(images)) / images.size)


def _kept(strengths: Values) -> NDArray[np.int64]:
    """Places of the eigenvalues (ascending) that count, the largest first."""
    largest = float(strengths[-1])
    order = np.arange(len(strengths))[::-1]
    return order[strengths[order] > max(largest * NEGLIGIBLE, 0.0)] if largest > 0 else order[:0]
