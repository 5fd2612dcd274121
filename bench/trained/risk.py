"""How far is a denoised picture from the clean one, which nobody has?

Stein's unbiased risk estimate: for Gaussian noise of a known level the mean squared error of a denoiser f on the noisy
picture y is, on average, ``|f(y) - y|^2 - sigma^2 + 2 sigma^2 div f(y)``, all per value.  The divergence, how much of
the noise f lets through, is had from a second run on the picture with a little of known noise more (Ramani, Blu and
Unser, IEEE TIP 17 (2008), "Monte-Carlo SURE").  f may be anything: a network, non-local means, the picture as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.trained.level import clipped_variance, margin_of
from bench.trained.pictures import Picture
from implementations import counter

Denoise = Callable[[Picture], Picture]

STEP = 0.1
"""The further noise, in standard deviations of the noise that is there."""
AROUND = 2.0
"""Width of the Gaussian window that is meant by surroundings, in pixels."""
LEAST = 0.05
"""Share of values that must count."""


def counts(noisy: Picture, sigma: float) -> NDArray[np.bool_] | None:
    """Which values of ``noisy`` the estimate is about: of medium brightness in their surroundings, for elsewhere
    clipping moves the noise's mean.  None where they are too few to speak for the picture."""
    inside = np.abs(_around(noisy) - 0.5) <= 0.5 - margin_of(sigma)
    return inside if inside.mean() >= LEAST else None


@dataclass(frozen=True)
class Risk:
    """An estimated mean squared error; below 0 where it is small against the noise.  ``spread`` is its standard
    deviation as far as it comes from the noise, which is the same for all denoisers of one picture: they can be told
    from each other by less."""

    error: float
    spread: float

    def __str__(self) -> str:
        """As PSNR; an error that cannot be told from none is at most its spread."""
        if self.error < self.spread:
            return f"above {decibels(self.spread):.1f} dB"
        return f"{decibels(self.error):.1f} dB"


def estimate(denoise: Denoise, pictures: Sequence[Picture], sigma: float) -> Risk | None:
    """Of ``denoise`` on noisy ``pictures`` (or parts of one); None where too few values lie far enough from black and
    white."""
    total = spread = number = 0.0
    for index, noisy in enumerate(pictures):
        inside = counts(noisy, sigma)
        if inside is None:
            continue
        probe = np.where(counter.uniform(noisy.shape, "risk", index) < 0.5, np.float32(-1), np.float32(1))
        step = np.float32(STEP * sigma)
        denoised = clipped(denoise(noisy))
        moved = clipped(denoise((noisy + step * probe).astype(np.float32)))
        passed = probe * (moved - denoised) / step
        variance = clipped_variance(_around(noisy).astype(np.float64), sigma)
        errors = np.square((denoised - noisy).astype(np.float64)) - variance + 2 * variance * passed
        total += float(errors[inside].sum())
        spread += float(2 * np.square(variance[inside]).sum())  # of the square of a normal number
        number += float(np.count_nonzero(inside))
    return Risk(total / number, math.sqrt(spread) / number) if number else None


def decibels(error: float) -> float:
    """PSNR in dB of a mean squared error."""
    return -10 * math.log10(error)


def clipped(picture: Picture) -> Picture:
    """As a file can hold it."""
    return np.clip(picture, 0, 1)


def _around(noisy: Picture) -> Picture:
    from scipy.ndimage import gaussian_filter

    found: Picture = gaussian_filter(noisy, (AROUND, AROUND, 0), mode="reflect")
    return found
