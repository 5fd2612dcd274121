"""Arrays that a framework can work on where they lie.

On a CPU, TensorFlow and JAX take over an array of NumPy's without a copy only if it begins at a multiple of 64 bytes,
and NumPy begins most of its own elsewhere.  A copied Fashion-MNIST is 190 MB; ``tf.constant`` makes two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALIGNMENT = 64
"""Bytes: a cache line, and the largest vectors of x86.  Both frameworks ask for it; TensorFlow ends the process where
it finds an array elsewhere."""


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """``np.empty`` at a multiple of :data:`ALIGNMENT` bytes."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def aligned(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """``array`` if it is of ``dtype``, contiguous, aligned and may be written to (without which NumPy hands it to
    nobody), else a copy that is."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.writeable and array.ctypes.data % ALIGNMENT == 0:
        return array
    copied = empty(array.shape, dtype)
    copied[...] = array
    return copied
