"""What a network is trained with: loss, optimizer and their constants, batch size.

``matched`` defaults are one set of constants for all backends (Keras' own, since the published systems are
Keras programs); the adapters reconcile the frameworks' different formulas with them.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, fields
from typing import Literal

Loss = Literal["mse", "bce"]
LOSSES: tuple[Loss, ...] = ("mse", "bce")


class OptimizerError(ValueError):
    """An optimizer that there is not, or a constant that it can not have; the message says what is allowed."""


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
_OPTIMIZER = re.compile(r"\s*(?P<name>\w+)\s*(?:\((?P<constants>[^()]*)\)\s*)?")
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
    """The optimizer ``name`` ("adam", "adadelta", "sgd") with matched constants; None keeps its own learning rate.

    Other constants stand in parentheses: "adam(beta1=0.99)".  OptimizerError says what is wrong.
    """
    kind, constants = _parsed(name)
    if learning_rate is not None:
        constants["learning_rate"] = learning_rate
    return kind(**constants)


def canonical_optimizer(name: str) -> str:
    """One spelling for one optimizer: constants in their order, and only those that are not the matched ones."""
    kind, constants = _parsed(name)
    word = next(word for word, known in OPTIMIZERS.items() if known is kind)
    own = kind()
    given = [
        f"{field.name}={constants[field.name]!r}"
        for field in fields(kind)
        if constants.get(field.name, getattr(own, field.name)) != getattr(own, field.name)
    ]
    return f"{word}({', '.join(given)})" if given else word


def _parsed(text: str) -> tuple[type[Adam] | type[Adadelta] | type[SGD], dict[str, float]]:
    match = _OPTIMIZER.fullmatch(text) if isinstance(text, str) else None
    if match is None or match["name"] not in OPTIMIZERS:
        raise OptimizerError(
            f"optimizer {text!r} is unknown; known are {', '.join(OPTIMIZERS)}, each with constants of its own if "
            "wanted: adam(beta1=0.99)"
        )
    kind = OPTIMIZERS[match["name"]]
    # The learning rate is an axis of its own.
    allowed = [field.name for field in fields(kind) if field.name != "learning_rate"]
    constants: dict[str, float] = {}
    for part in filter(None, map(str.strip, (match["constants"] or "").split(","))):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if name not in allowed or not equals:
            known = ", ".join(allowed)
            raise OptimizerError(f"optimizer {text!r}: {part!r} is none of its constants: NAME=NUMBER, of {known}")
        try:
            constants[name] = float(number)
        except ValueError:
            constants[name] = math.nan
        positive = constants[name] > 0 or (name != "epsilon" and constants[name] == 0)
        if not (positive and constants[name] < 1):
            least = "above 0" if name == "epsilon" else "from 0"
            raise OptimizerError(f"optimizer {text!r}: {name} = {number} is not allowed; use one {least} and below 1")
    return kind, constants
