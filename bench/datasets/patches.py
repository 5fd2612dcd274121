"""Square patches out of larger images, drawn at random; most of the flat ones are left out.

A denoiser learns and shows little on sky and background.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.datasets.base import Bytes

FLAT = 12.0
"""A patch whose gray values have a smaller standard deviation (of 255) is flat ..."""
FLAT_KEPT = 0.1
"""... and this share of the flat ones is kept."""
ATTEMPTS = 24
"""Patches drawn for one image until one is accepted; the last is taken as it is."""
NUMBERS = 4
"""Random numbers that an attempt takes."""


def cut(planes: Sequence[Bytes], drawn: NDArray[np.float64], size: int) -> Bytes:
    """One patch (size, size, c) for each row of drawn numbers (n, ATTEMPTS, NUMBERS) in [0, 1), from any of ``planes``
    (h, w, c), which are all at least that large."""
    patches = np.empty((len(drawn), size, size, planes[0].shape[2]), np.uint8)
    open_ = np.arange(len(drawn))
    for attempt in range(ATTEMPTS):
        which, y, x, luck = drawn[open_, attempt].T
        which = (which * len(planes)).astype(np.int64)
        for index, plane in enumerate(planes):
            mine = which == index
            windows = np.lib.stride_tricks.sliding_window_view(plane, (size, size), axis=(0, 1))  # (y, x, c, h, w)
            top = (y[mine] * windows.shape[0]).astype(np.int64)
            left = (x[mine] * windows.shape[1]).astype(np.int64)
            patches[open_[mine]] = windows[top, left].transpose(0, 2, 3, 1)
        flat = patches[open_].mean(axis=3).std(axis=(1, 2)) < FLAT
        open_ = open_[flat & (luck >= FLAT_KEPT)]
        if not len(open_):
            break
    return patches
