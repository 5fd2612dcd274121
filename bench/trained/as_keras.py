"""A trained network as a ``.keras`` file: ``keras.saving.load_model(path)`` opens it on any engine, without daebench.

Layers are Keras' own, the sigmoid is in it, and it is not compiled: ``model.predict(noisy)`` of images (n, h, w, c)
gives images.  Of a fully convolutional network height and width are open.  A ``.keras`` file is a zip archive, and
Keras leaves alone what it does not know: ``daebench.json`` in it says what the network takes.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bench.trained import described
from implementations import adapter
from implementations.adapter import Setting
from implementations.training import Training

if TYPE_CHECKING:
    from bench.trained.found import Trained
    from implementations.keras_adapter import KerasAdapter
    from implementations.parameters import Array

ABOUT = "daebench.json"
"""The name in the archive under which it says what it takes: an object of texts."""
PREFERRED = ("keras[torch]", "keras[tensorflow]", "keras[jax]")
"""Engines to write with; the file is the same."""


def engine(trained: Trained) -> str | None:
    """The backend that can build a Keras model here, or None."""
    able = [name for name in PREFERRED if name in adapter.backends() and adapter.adapter_class(name).missing() is None]
    if "keras" in sys.modules:  # its engine can not be changed any more
        import keras

        able = [name for name in able if name == f"keras[{keras.backend.backend()}]"]
    own = trained.cell.backend
    return own if own in able else next(iter(able), None)


def write(trained: Trained, path: Path, backend: str) -> list[Path]:
    """The file written; ``backend`` is one of :data:`PREFERRED` (see :func:`engine`)."""
    kind = adapter.adapter_class(backend)
    setting = Setting("cpu", "float32", 1)
    os.environ.update(kind.environment(setting))
    builder = cast("KerasAdapter", kind())
    builder.configure(setting)
    # With this loss the sigmoid is the model's last activation; with the other it would be left to the loss.
    builder.build(trained.architecture, Training("mse"), "idiomatic")
    builder.load_weights({name: value.astype(np.float32) for name, value in trained.weights.items()})
    height, width, channels = trained.architecture.input_shape
    sides = (None, None) if trained.architecture.is_fully_convolutional else (height, width)
    _plain(builder.model, (*sides, channels)).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(ABOUT, json.dumps(described.facts(trained, described.LAYOUTS["keras"]), indent=1))
    return [path]


def run(path: Path, noisy: Array) -> Array:
    """What the file's network makes of images (n, h, w, c)."""
    import keras

    return np.asarray(keras.saving.load_model(path).predict(noisy.astype(np.float32), verbose=0))


def _plain(model: Any, shape: tuple[int | None, ...]) -> Any:
    """The same network of Keras' own layers alone, for images of this shape, and not compiled.

    A subclass of a layer, which only trains in another way, becomes the layer itself: it computes the same.
    """
    import keras

    def plain(layer: Any) -> Any:
        kind: Any = next(kind for kind in type(layer).__mro__ if kind.__module__.startswith("keras."))
        return kind.from_config(layer.get_config())

    copied = keras.models.clone_model(model, input_tensors=keras.Input(shape), clone_function=plain)
    copied.set_weights(model.get_weights())
    return copied
