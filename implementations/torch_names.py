"""How torch names and lays out canonical weights.  Imports no torch: exports are written without it."""

from __future__ import annotations

from collections.abc import Mapping

from implementations.architecture import BatchNorm, Layer

_PLAIN = {"kernel": "weight", "bias": "bias"}
_NORMALISED = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}


def torch_names(layer: Layer) -> Mapping[str, str]:
    """Canonical name of a weight of ``layer`` -> the attribute of torch's module; those that the layer may have."""
    return _NORMALISED if isinstance(layer, BatchNorm) else _PLAIN


def torch_axes(dimensions: int) -> tuple[int, ...] | None:
    """The transposition from the canonical layout into torch's, None for vectors: (in, out) -> (out, in), kernels
    (h, w, in, out) -> (out, in, h, w); those of transposed convolutions, (h, w, out, in) -> (in, out, h, w)."""
    return {2: (1, 0), 4: (3, 2, 0, 1)}.get(dimensions)
