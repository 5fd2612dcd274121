"""A backend for tests with defaults of its own: the NumPy reference from other first weights, with other numbers."""

from __future__ import annotations

from fake_backend import Fake

from implementations import native, parameters
from implementations.adapter import Track
from implementations.architecture import Architecture
from implementations.parameters import Weights
from implementations.training import Training


class Own(Fake):
    """Natively it begins with half of the weights, and has torch's constants."""

    name = "own"
    offers_native = True

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        if training.native:
            optimizer = native.optimizer(training, "torch")
            training = Training(training.loss, optimizer, training.batch_size)
            architecture = native.architecture(architecture, "torch")
        super().build(architecture, training, track)

    def initial_weights(self, seed: int) -> Weights:
        return {name: value / 2 for name, value in parameters.initialise(self.architecture, seed).items()}

    def constants(self) -> dict[str, float]:
        return {"optimizer.epsilon": self.training.optimizer.epsilon}  # type: ignore[union-attr]
