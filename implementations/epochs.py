"""What compiled training wants of those who compile it: epochs of few lengths, and losses in a shape that XLA likes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from implementations.architecture import Architecture

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


def loss_shape(architecture: Architecture) -> tuple[int, ...]:
    """The shape in which to take the mean loss of outputs (n, h, w, c), which is the same in any.

    On a CPU, XLA does not vectorise along a last axis of one channel: dense with BCE in JAX, 128 a batch, 18,600
    images/s as images and 28,400 as rows.  Behind convolutions rows do no good: keras[jax], conv, 704 and 670.
    """
    shape = architecture.input_shape
    return (-1, *shape) if architecture.is_convolutional else (-1, math.prod(shape))
