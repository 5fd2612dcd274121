"""Counter-based random numbers: the same key gives the same bytes on every machine, in any order of asking.

Everything random in this suite (initial weights, batch order, noise, subsets) comes from here.  A key is a
path of words and numbers, such as ``("noise", "gaussian", seed, epoch, image)``; it is hashed to the key of a
Philox 4x64 generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), whose raw stream is
specified bit for bit, unlike that of a distribution method, which NumPy may change between versions.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def key(*path: str | int) -> NDArray[np.uint64]:
    """The 128-bit Philox key of a path, shape (2,), uint64."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in path)
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:16], "<u8").astype(np.uint64)


def generator(*path: str | int) -> np.random.Generator:
    """A NumPy generator for one path.  Its distribution methods are as stable as NumPy's own promise."""
    return np.random.Generator(np.random.Philox(key=key(*path)))


def uniform(shape: tuple[int, ...], *path: str | int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), multiples of 2**-24 (so exact in float32), of the given shape.

    Made from the raw stream, hence independent of NumPy's version.
    """
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.random.Philox(key=key(*path)).random_raw(count)
    return ((np.asarray(raw, np.uint64) >> np.uint64(40)).astype(np.float64) * 2.0**-24).reshape(shape)


def permutation(count: int, *path: str | int) -> NDArray[np.int64]:
    """A permutation of range(count), shape (count,): the stable order of as many raw 64-bit draws."""
    raw = np.asarray(np.random.Philox(key=key(*path)).random_raw(count), np.uint64)
    return np.argsort(raw, kind="stable").astype(np.int64)
