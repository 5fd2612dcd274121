"""Epochs that are one compiled program, which fits one length of what it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_ROOM = 128
"""Batches: a list of so many rows takes kilobytes, and most short epochs of certificates and sweeps are shorter."""


def room(batches: int) -> int:
    """For how many batches the program of an epoch of ``batches`` is made: a power of two, and not a small one, so that
    epochs of other lengths need not be compiled anew.  It is given the number that it is to go through."""
    return max(LEAST_ROOM, 1 << (batches - 1).bit_length())


def with_room(order: NDArray[Any], batch_size: int) -> NDArray[Any]:
    """``order``, of whole batches, filled up to the :func:`room` that its program has."""
    places = np.zeros(room(len(order) // batch_size) * batch_size, order.dtype)
    places[: len(order)] = order
    return places
