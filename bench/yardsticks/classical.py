"""The classical denoisers: identity, Gaussian, median, total variation, non-local means, wavelets and Wiener.

Each takes a stack of gray or RGB images of any size.  Those of scikit-image are called as its documentation does;
what they want to know (how strong, how wide) is a grid here, from which training images choose.  A noise level that
is known or estimated is no parameter: clipped, masked or spatially correlated noise has none that would be best.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from bench.words import did_you_mean
from bench.yardsticks.base import Images, Method, Parameters, Shape, YardstickError
from results.yardsticks import GAUSSIAN, IDENTITY, MEDIAN_3X3

SIGMAS = (*(round(0.1 * step, 1) for step in range(31)), 3.5, 4.0, 5.0)
"""Widths of the Gaussian window in pixels; 0 does nothing."""

STRENGTHS = (
    *(0.01, 0.0125, 0.016, 0.02, 0.025, 0.032, 0.04, 0.05, 0.063, 0.08),
    *(0.1, 0.125, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0),
)
"""Three to an octave: between neighbours the mean PSNR differs by some hundredths of a dB."""

COARSE = STRENGTHS[::2]
"""For a first stage; a later one looks at all near the best."""

FILTER_LENGTHS = {"db1": 2, "db2": 4, "sym4": 8}
"""Haar, and the two shortest that look smooth.  The length decides how often an image can be halved."""


def _identity(images: Images, parameters: Parameters) -> Images:
    return images


def _gaussian(images: Images, parameters: Parameters) -> Images:
    from skimage.filters import gaussian

    sigma = float(parameters["sigma"])
    # Sigma 0 over images and channels: a stack is denoised like its images one by one, in one call.
    found: Images = gaussian(images, sigma=(0, sigma, sigma, 0), mode="reflect", preserve_range=True)
    return found


def _median(images: Images, parameters: Parameters) -> Images:
    from skimage.filters import median
    from skimage.morphology import disk, footprint_rectangle

    radius = int(parameters["radius"])
    side = 2 * radius + 1
    window = disk(radius) if parameters["window"] == "disk" else footprint_rectangle((side, side))
    found: Images = median(images, window[None, :, :, None], mode="reflect", behavior="ndimage")
    return found


def _median_3x3(images: Images, parameters: Parameters) -> Images:
    from scipy.ndimage import median_filter  # scikit-image's is the same, and takes half a second to import

    found: Images = median_filter(images, size=(1, 3, 3, 1), mode="reflect")
    return found


def _tv(images: Images, parameters: Parameters) -> Images:
    from skimage.restoration import denoise_tv_chambolle

    weight = float(parameters["weight"])
    return np.stack([denoise_tv_chambolle(image, weight=weight, channel_axis=-1) for image in images])


def _nlm(images: Images, parameters: Parameters) -> Images:
    return _non_local_means(images, parameters, fast=True)


def _nlm_slow(images: Images, parameters: Parameters) -> Images:
    return _non_local_means(images, parameters, fast=False)


def _non_local_means(images: Images, parameters: Parameters, *, fast: bool) -> Images:
    from skimage.restoration import denoise_nl_means

    h = float(parameters["h"])
    chosen = {
        "h": h,
        "sigma": h * float(parameters["sigma_over_h"]),
        "patch_size": int(parameters["patch_size"]),
        "patch_distance": int(parameters["patch_distance"]),
        "fast_mode": fast,
        "preserve_range": True,
        "channel_axis": -1,
    }
    denoised = np.stack([denoise_nl_means(image, **chosen) for image in images])
    return denoised.reshape(images.shape)  # a single channel does not come back


def _wavelet(images: Images, parameters: Parameters) -> Images:
    from skimage.restoration import cycle_spin, denoise_wavelet

    chosen = {
        "sigma": float(parameters["sigma"]),
        "wavelet": str(parameters["wavelet"]),
        "wavelet_levels": int(parameters["levels"]),
        "method": str(parameters["threshold"]),
        "convert2ycbcr": bool(parameters["ycbcr"]),
        "mode": "soft",
        # Images are floating point and are not rescaled, so neither is sigma; with YCbCr, scikit-image needs to.
        "rescale_sigma": True,
        "channel_axis": -1,
    }
    shifts = int(parameters["shifts"])
    return np.stack(
        [
            cycle_spin(image, denoise_wavelet, max_shifts=shifts, func_kw=chosen, channel_axis=-1, workers=1)
            for image in images
        ]
    )


def _wavelet_allowed(parameters: Parameters, shape: Shape) -> bool:
    height, width, channels = shape
    length = FILTER_LENGTHS[str(parameters["wavelet"])]
    deepest = int(math.log2(min(height, width) / (length - 1)))  # as PyWavelets' dwt_max_level has it
    return int(parameters["levels"]) <= deepest and (channels == 3 or not parameters["ycbcr"])


def _wiener(images: Images, parameters: Parameters) -> Images:
    from scipy.ndimage import uniform_filter

    side, noise = int(parameters["size"]), float(parameters["noise"]) ** 2
    window = (1, side, side, 1)
    values = images.astype(np.float64)
    mean = uniform_filter(values, window, mode="reflect")
    variance = np.maximum(uniform_filter(values * values, window, mode="reflect") - mean * mean, 0)
    kept = np.maximum(variance - noise, 0) / np.maximum(variance, noise)
    return np.asarray(mean + kept * (values - mean), np.float32)


PLAIN: dict[str, Method] = {
    method.name: method
    for method in (
        Method(IDENTITY, "the noisy image as it is", "-", _identity, {}, (), untouched=True),
        Method(
            MEDIAN_3X3,
            "median of 3x3 pixels, nothing to choose",
            "scipy.ndimage.median_filter; Tukey, Exploratory Data Analysis (1977)",
            _median_3x3,
            {},
            (),
            needs=("scipy",),
        ),
        Method(
            GAUSSIAN,
            "Gaussian window",
            "skimage.filters.gaussian",
            _gaussian,
            {},
            ({"sigma": SIGMAS},),
            needs=("scikit-image",),
            open_ended=("sigma",),
        ),
        Method(
            "median",
            "median of a window",
            "skimage.filters.median; Tukey, Exploratory Data Analysis (1977)",
            _median,
            {},
            ({"window": ("disk", "square"), "radius": (1, 2, 3, 4)},),
            needs=("scikit-image",),
            open_ended=("radius",),
        ),
        Method(
            "tv",
            "total variation",
            "skimage.restoration.denoise_tv_chambolle; Chambolle, J. Math. Imaging Vis. 20 (2004)",
            _tv,
            {},
            ({"weight": STRENGTHS},),
            needs=("scikit-image",),
            open_ended=("weight",),
        ),
        Method(
            "nlm",
            "non-local means",
            "skimage.restoration.denoise_nl_means; Buades, Coll and Morel, CVPR (2005)",
            _nlm,
            {"patch_size": 5, "patch_distance": 5},
            (
                {"h": COARSE, "sigma_over_h": (0.0, 1.0, 1.67)},
                {"patch_size": (3, 5, 7), "patch_distance": (3, 5, 7)},
                # Larger patches average more of the noise in their distance, so they want another h.
                {"h": STRENGTHS, "sigma_over_h": (0.0, 1.0, 1.67)},
            ),
            needs=("scikit-image",),
            open_ended=("h",),
        ),
        Method(
            "nlm-slow",
            "non-local means, the middle of a patch counting more than its rim",
            "skimage.restoration.denoise_nl_means(fast_mode=False); Buades, Coll and Morel, CVPR (2005)",
            _nlm_slow,
            {"patch_size": 5, "patch_distance": 5},
            (
                {"h": COARSE, "sigma_over_h": (0.0, 1.0, 1.67)},
                {"patch_size": (3, 5, 7), "patch_distance": (3, 5, 7)},
                {"h": STRENGTHS, "sigma_over_h": (0.0, 1.0, 1.67)},
            ),
            needs=("scikit-image",),
            open_ended=("h",),
        ),
        Method(
            "wavelet",
            "wavelet shrinkage, over shifted copies",
            "skimage.restoration.denoise_wavelet and cycle_spin; Chang, Yu and Vetterli, IEEE TIP 9 (2000); "
            "Coifman and Donoho (1995)",
            _wavelet,
            {"shifts": 0, "ycbcr": False},
            (
                {
                    "wavelet": tuple(FILTER_LENGTHS),
                    "levels": (1, 2, 3),
                    "threshold": ("BayesShrink", "VisuShrink"),
                    "sigma": STRENGTHS[1::4],
                },
                {"ycbcr": (False, True), "shifts": (0, 1)},
                {"sigma": STRENGTHS},
            ),
            _wavelet_allowed,
            ("scikit-image", "PyWavelets"),
            ("sigma",),
        ),
        Method(
            "wiener",
            "adaptive Wiener filter: local mean and variance",
            "Lee, IEEE TPAMI 2 (1980); equal to scipy.signal.wiener but at the border, which is mirrored here",
            _wiener,
            {},
            ({"size": (3, 5, 7, 9), "noise": STRENGTHS},),
            needs=("scipy",),
            open_ended=("size", "noise"),
        ),
    )
}
"""By name, as their libraries have them."""

TONED: dict[str, Method] = {
    f"{name}-tone": replace(plain, name=f"{name}-tone", summary=f"{plain.summary}, gain and offset", toned=True)
    for name, plain in PLAIN.items()
    if plain.stages
}
"""The same, with a gain and an offset fitted to training images: stronger yardsticks under noise that is clipped."""

METHODS: dict[str, Method] = {**PLAIN, **TONED}
"""All of them by name."""


def method(name: str) -> Method:
    """The method of this name; YardstickError, with the known names, if there is none."""
    if name not in METHODS:
        hint = did_you_mean(name, METHODS)
        raise YardstickError(f"yardstick {name!r} is unknown{hint}; known are {', '.join(METHODS)}")
    return METHODS[name]
