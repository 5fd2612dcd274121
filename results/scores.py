"""The scores of every test image, as records refer to them: what paired differences between denoisers are made of.

An image that one of the two denoisers gives back exactly, or that its noise left as it was, has an infinite PSNR, or
nearly so.  It is left out on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT = 20 * math.log10(255 / 0.1)
"""dB.  Beyond this PSNR (68.1) an image counts as exact: it is off by less than a tenth of a gray level of 255 (rms).
No network that has anything to denoise comes near it; what does are empty images under noise that spares black, whose
78 dB (one pixel of 1,024 off by one gray level) to 100 dB (none at all; that stands for infinity) say nothing of the
noise and outweigh ten others."""
LEAST = 2
"""Images that a difference is taken over; where fewer are left, those count that are exact."""
LARGEST = 100_000_000
"""Bytes of a file that is still read: a hundred times the test set of MNIST."""


def read_scores(folders: Iterable[Path], path: str) -> NDArray[np.float64] | None:
    """Float64 (n, 3), by test image PSNR in dB, SSIM and the PSNR of the noisy image (or, from before that was kept,
    (n, 2) without it), from the first of the run ``folders`` that has ``path``; None where none has it, or where it is
    no such file: what it was for is then told without intervals."""
    import numpy as np

    for folder in folders:
        root = Path(folder).resolve()
        file = (root / path).resolve()
        try:
            if not file.is_relative_to(root) or file.stat().st_size > LARGEST:
                continue
            found = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            continue
        if isinstance(found, np.ndarray) and found.ndim == 2 and found.shape[1] in (2, 3) and np.isfinite(found).all():
            return found.astype(np.float64)
    return None


def differences(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """PSNR of ``a`` minus that of ``b``, dB, float64 (n,), from what :func:`read_scores` gave of each; NaN for images
    that are exact on a side, or noisy.  None where they are not as many images."""
    import numpy as np

    if len(a) != len(b) or len(a) < LEAST:
        return None
    found = np.asarray(a[:, 0] - b[:, 0], np.float64)
    exact = np.any([(side[:, (0, *range(2, side.shape[1]))] > EXACT).any(axis=1) for side in (a, b)], axis=0)
    if np.count_nonzero(~exact) >= LEAST:
        found[exact] = np.nan
    return found


def combined(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One figure an image, (m,), from the :func:`differences` of the same images (n,) under several conditions or
    seeds, (n,) each.

    Their mean is that of the means of all ``parts``, and their scatter gives its standard error.  Where no part leaves
    out an image, that is each image's mean over the parts; else a part of fewer images weighs each of them more (the
    influence of an image on the mean of means).  Images that all parts leave out have no figure."""
    import numpy as np

    found = np.stack(parts)
    found = found[:, ~np.isnan(found).all(axis=0)]
    known = ~np.isnan(found)
    counts = known.sum(axis=1, keepdims=True)
    means = np.where(known, found, 0.0).sum(axis=1, keepdims=True) / counts
    off = np.where(known, found - means, 0.0) * (found.shape[1] / counts)
    return np.asarray(means.mean() + off.mean(axis=0))
