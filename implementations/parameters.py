"""Canonical weights: NumPy arrays by name, channels-last, the same bytes for every backend.

Names are "encoder.0.kernel", "decoder.3.gamma" ...; the layouts are those of
:func:`implementations.architecture.parameter_shapes`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from implementations import counter
from implementations.architecture import Architecture, Shape

Array = NDArray[np.floating]
Weights = dict[str, Array]


def initialise(architecture: Architecture, seed: int) -> Weights:
    """Glorot-uniform kernels (Glorot & Bengio 2010), zero biases, unit batch normalisation; float32."""
    return {name: _initial(name, shape, seed) for name, shape in architecture.parameter_shapes().items()}


def generic(architecture: Architecture, seed: int) -> Weights:
    """As :func:`initialise`, but no bias is 0 and no statistic is 0 or 1: a starting point from which a certificate
    sees mistakes that ordinary initial values hide.  float32."""
    weights = initialise(architecture, seed)
    for name, value in weights.items():
        spread = {"bias": 0.1, "gamma": 0.3, "beta": 0.3, "mean": 0.3, "variance": 0.5}.get(name.rsplit(".", 1)[-1])
        if spread is not None:
            draw = counter.uniform(value.shape, "weights", "generic", seed, name)
            weights[name] = (value + spread * (2.0 * draw - 1.0)).astype(np.float32)
    return weights


def _initial(name: str, shape: Shape, seed: int) -> Array:
    kind = name.rsplit(".", 1)[-1]
    if kind != "kernel":
        return np.full(shape, 1.0 if kind in ("gamma", "variance") else 0.0, np.float32)
    # The sum of fan-in and fan-out is the same for a kernel and its transpose, so one formula serves all layers.
    fans = math.prod(shape[:-2]) * (shape[-2] + shape[-1])
    limit = math.sqrt(6.0 / fans)
    return ((2.0 * counter.uniform(shape, "weights", seed, name) - 1.0) * limit).astype(np.float32)


def digest(weights: Mapping[str, Array]) -> str:
    """A hash of names, shapes and little-endian float32 values."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        value = np.ascontiguousarray(weights[name], "<f4")
        sha.update(f"{name}{value.shape}".encode())
        sha.update(value.tobytes())
    return sha.hexdigest()[:16]
