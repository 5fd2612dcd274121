"""What all yardsticks share: the error, the types, and a method with a few parameters that images must choose."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.quality import MSE_FLOOR

Images = NDArray[np.float32]
Value = str | int | float | bool
Parameters = Mapping[str, Value]
Shape = tuple[int, int, int]
Stage = Mapping[str, Sequence[Value]]


class YardstickError(ValueError):
    """A yardstick that does not exist or can not be computed; the message says what is allowed or what to do."""


GAIN, OFFSET = "gain", "offset"
"""Parameters that are fitted, not searched."""


def _always(parameters: Parameters, shape: Shape) -> bool:
    return True


@dataclass(frozen=True)
class Method:
    """A denoiser that learns nothing but a few parameters.

    ``apply(images, parameters)`` denoises a stack, float32 (n, h, w, c), each image by itself; its result need not lie
    in [0, 1].  ``stages``: the values that calibration tries, see :mod:`bench.yardsticks.calibrate`; the first stage
    names those parameters that have no ``start``.  ``allowed``: which combinations make sense for images (h, w, c).
    """

    name: str
    summary: str
    source: str
    apply: Callable[[Images, Parameters], Images]
    start: Parameters
    stages: tuple[Stage, ...]
    allowed: Callable[[Parameters, Shape], bool] = _always
    needs: tuple[str, ...] = ()
    """Distributions that it imports."""
    open_ended: tuple[str, ...] = ()
    """Parameters whose best value may lie beyond what the stages try."""
    toned: bool = False
    """Whether ``gain * image + offset`` follows, with both fitted to training images.  Clipped noise makes black
    brighter and white darker (gaussian(0.4): 0.16 and 0.84 on average), which no smoothing takes back."""
    untouched: bool = False
    """Whether it gives back what it was given: that is not clipped either, and no rate is measured."""

    def missing(self) -> str | None:
        """Why it can not run here, or None."""
        for name in self.needs:
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return f"yardstick {self.name} needs {name}, which is not installed; run: pip install {name}"
        return None

    def denoise(self, images: Images, parameters: Parameters) -> Images:
        """``images`` denoised, the same shape and type, clipped to [0, 1] unless the method is the identity: clean
        images lie there, so clipping can only help, and networks with a sigmoid at their end have it as well."""
        denoised = self.apply(images, parameters)
        return denoised if self.untouched else finish(denoised, parameters)


def finish(denoised: Images, parameters: Parameters) -> Images:
    """With the gain and offset among the parameters, if there are any, and clipped to [0, 1]."""
    gain, offset = float(parameters.get(GAIN, 1)), float(parameters.get(OFFSET, 0))
    return np.asarray(np.clip(gain * denoised + offset, 0, 1), np.float32)


def psnr(images: Images, clean: Images) -> NDArray[np.float64]:
    """PSNR in dB of each image, float64 (n,), as :mod:`bench.quality` has it, without the cost of SSIM."""
    error = np.square(images.astype(np.float64) - clean).mean(axis=(1, 2, 3))
    return np.asarray(-10 * np.log10(np.maximum(error, MSE_FLOOR)))


def check_pairs(noisy: Images, clean: Images, what: str) -> None:
    """YardstickError unless both are float32 (n, h, w, c) of one shape, with at least one image."""
    for name, images in (("noisy", noisy), ("clean", clean)):
        if images.dtype != np.float32 or images.ndim != 4 or not images.size:
            raise YardstickError(
                f"{name} {what} images are {images.dtype} {images.shape}; allowed is float32 (n, h, w, c) with n > 0 "
                "(use datasets.as_float on 8-bit images)"
            )
    if noisy.shape != clean.shape:
        raise YardstickError(f"noisy {noisy.shape} and clean {clean.shape} {what} images must have one shape")
