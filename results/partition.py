"""Cutting a series into pieces of constant level: exactly, and as cheaply as can be.

Optimal partitioning (Jackson et al. 2005, "An algorithm for optimal partitioning of data on an interval"): squared
distances from the pieces' means plus a penalty for every cut, minimised by dynamic programming over the end of the
last piece, O(n^2).  PELT (Killick et al. 2012) finds the same; the series here are too short to need its pruning.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cheapest(data: NDArray[np.float64], penalty: float, shortest: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For every end from 0 to n the least cost of ``data[:end]``, shape (n,), in pieces of ``shortest`` values at
    least, and where the last of its pieces begins: two arrays of shape (n + 1,).  Ends that no cut reaches cost
    infinity; the first piece is not charged."""
    count = len(data)
    centred = data - data.mean()
    # Prefix sums, so that the squares of any piece cost O(1).
    sums, squares = (np.concatenate(([0.0], np.cumsum(part))) for part in (centred, centred**2))
    best = np.full(count + 1, np.inf)
    best[0] = -penalty
    last = np.zeros(count + 1, np.int64)
    for end in range(shortest, count + 1):
        begins = np.arange(end - shortest + 1)
        total = sums[end] - sums[begins]
        candidates = best[begins] + (squares[end] - squares[begins] - total**2 / (end - begins)) + penalty
        last[end] = int(np.argmin(candidates))
        best[end] = candidates[last[end]]
    return best, last


def begins_up_to(last: NDArray[np.int64], end: int) -> list[int]:
    """Where the pieces of the series up to ``end`` begin, 0 first, from what :func:`cheapest` found."""
    begins = []
    while end > 0:
        end = int(last[end])
        begins.append(end)
    return begins[::-1]
