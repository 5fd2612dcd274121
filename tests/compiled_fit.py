"""Keras on TensorFlow whose ``fit`` compiles with XLA on a CPU too, as it does where there is a GPU."""

from __future__ import annotations

from implementations.adapter import Track
from implementations.architecture import Architecture
from implementations.keras_tensorflow_adapter import KerasTensorFlow
from implementations.training import Training


class CompiledFit(KerasTensorFlow):
    """The idiomatic track, but for ``jit_compile=True``."""

    name = "compiled-fit"
    tracks = ("idiomatic",)

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        super().build(architecture, training, track)
        self.model.jit_compile = True
