"""What a network is trained with: loss, optimizer and their constants, batch size.

``matched`` defaults are one set of constants for all backends (Keras' own, since the published systems are
Keras programs); the adapters reconcile the frameworks' different formulas with them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Loss = Literal["mse", "bce"]
LOSSES: tuple[Loss, ...] = ("mse", "bce")


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba 2015 in its epsilon-hat form: w -= lr * sqrt(1-b2^t)/(1-b1^t) * m / (sqrt(v) + epsilon)."""

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-7


@dataclass(frozen=True)
class Adadelta:
    """Zeiler 2012: w -= lr * sqrt(d + epsilon)/sqrt(a + epsilon) * g; a, d decaying means of g^2 and of the steps^2."""

    learning_rate: float = 1.0
    rho: float = 0.95
    epsilon: float = 1e-7


@dataclass(frozen=True)
class SGD:
    """v = momentum * v - lr * g;  w += v."""

    learning_rate: float = 0.1
    momentum: float = 0.9


Optimizer = Adam | Adadelta | SGD
OPTIMIZERS: dict[str, type[Adam] | type[Adadelta] | type[SGD]] = {"adam": Adam, "adadelta": Adadelta, "sgd": SGD}


@dataclass(frozen=True)
class Training:
    """``loss`` is the mean over all pixels of a batch; binary cross-entropy is computed from logits."""

    loss: Loss = "mse"
    optimizer: Optimizer = Adam()
    batch_size: int = 128

    def digest(self) -> str:
        """A hash of all settings."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def make_optimizer(name: str, learning_rate: float | None = None) -> Optimizer:
    """The optimizer ``name`` ("adam", "adadelta", "sgd") with matched constants; None keeps its own learning rate."""
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer {name!r} is unknown; known are {', '.join(OPTIMIZERS)}")
    kind = OPTIMIZERS[name]
    return kind() if learning_rate is None else kind(learning_rate=learning_rate)
