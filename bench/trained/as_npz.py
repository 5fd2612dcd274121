"""A trained network as NumPy arrays: canonical weights by name, and the layers as JSON text.

``numpy.load(path, allow_pickle=False)`` reads it.  ``architecture`` is JSON: ``name``, ``input_shape`` (height, width,
channels), ``encoder`` and ``decoder``, lists of layers with their arguments as implementations/architecture.py
defines them; ``about`` is JSON too, and says what the network takes: layout, range, sizes.  All other names are
weights: ``encoder.0.kernel``, channels last.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from bench.trained import described
from implementations import architecture as layers
from implementations.architecture import Architecture, FrozenBatchNorm, Layer

if TYPE_CHECKING:
    from bench.trained.found import Trained
    from implementations.parameters import Array

_LAYERS = {kind.__name__: kind for kind in (*get_args(layers.Layer), FrozenBatchNorm)}
_TEXTS = ("architecture", "about")


def write(trained: Trained, path: Path) -> list[Path]:
    """The file written."""
    texts = {
        "architecture": json.dumps(to_json(trained.architecture)),
        "about": json.dumps(described.facts(trained, described.LAYOUTS["npz"]) | {"cell": trained.cell.axes()}),
    }
    arrays: dict[str, Any] = {**trained.weights, **{name: np.array(text) for name, text in texts.items()}}
    with path.open("wb") as file:  # a path would get a suffix of savez's own
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return [path]


def run(path: Path, noisy: Array) -> Array:
    """What the file's network makes of images (n, h, w, c), computed by the NumPy reference."""
    from implementations.reference import Reference
    from implementations.training import Training

    with np.load(path, allow_pickle=False) as file:
        network = from_json(json.loads(str(file["architecture"])))
        weights = {name: file[name] for name in file.files if name not in _TEXTS}
    return Reference(network, Training(), weights).reconstruct(noisy).astype(np.float32)


def to_json(network: Architecture) -> dict[str, Any]:
    """JSON-able, and all that :func:`from_json` needs."""

    def written(layer: Layer) -> dict[str, Any]:
        return {"layer": type(layer).__name__, **asdict(layer)}

    return {
        "name": network.name,
        "input_shape": list(network.input_shape),
        "encoder": [written(layer) for layer in network.encoder],
        "decoder": [written(layer) for layer in network.decoder],
        "source": network.source,
    }


def from_json(value: dict[str, Any]) -> Architecture:
    """The inverse of :func:`to_json`."""

    def read(entry: dict[str, Any]) -> Layer:
        arguments = {name: tuple(item) if isinstance(item, list) else item for name, item in entry.items()}
        kind = _LAYERS[arguments.pop("layer")]
        layer: Layer = kind(**arguments)
        return layer

    parts = {part: tuple(read(entry) for entry in value[part]) for part in ("encoder", "decoder")}
    return Architecture(value["name"], tuple(value["input_shape"]), **parts, source=value["source"])
