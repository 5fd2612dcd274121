"""What a network is trained with: loss, optimizer and their constants, batch size.

``matched`` defaults are one set of constants for all backends (Keras' own, since the published systems are
Keras programs); the adapters reconcile the frameworks' different formulas with them.  ``native`` ones are each
framework's own, but for what is named: see :mod:`implementations.native`.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

Loss = Literal["mse", "bce"]
LOSSES: tuple[Loss, ...] = ("mse", "bce")
Defaults = Literal["matched", "native"]
DEFAULTS: tuple[Defaults, ...] = get_args(Defaults)


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
_NEVER_DEFAULT = {"momentum"}
"""No framework has it by default: a program that has it names it, and so does its port."""
_OPTIMIZER = re.compile(r"\s*(?P<name>\w+)\s*(?:\((?P<constants>[^()]*)\)\s*)?")
OPTIMIZERS: dict[str, type[Adam] | type[Adadelta] | type[SGD]] = {"adam": Adam, "adadelta": Adadelta, "sgd": SGD}


@dataclass(frozen=True)
class Training:
    """``loss`` is the mean over all pixels of a batch; binary cross-entropy is computed from logits."""

    loss: Loss = "mse"
    optimizer: Optimizer = Adam()
    batch_size: int = 128
    # Not in repr, from which the digest is made: certificates that were kept before there were these stay valid.
    defaults: Defaults = field(default="matched", repr=False)
    named: tuple[str, ...] = field(default=(), repr=False)
    """``native`` alone: the constants of ``optimizer`` that were named.  Of the others it says nothing: they are the
    framework's own."""

    @property
    def native(self) -> bool:
        """Whether all that is not named is the framework's own."""
        return self.defaults == "native"

    @property
    def given(self) -> dict[str, float]:
        """The constants of the optimizer that were named, by name."""
        return {name: getattr(self.optimizer, name) for name in self.named}

    def digest(self) -> str:
        """A hash of all settings."""
        text = repr(self) + (f" native {sorted(self.named)}" if self.native else "")
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def native_training(loss: Loss, optimizer: str, learning_rate: float | None, batch_size: int) -> Training:
    """Training by each framework's own defaults; a ``learning_rate`` of None is not named."""
    _, constants = _parsed(optimizer)
    made = make_optimizer(optimizer, learning_rate)
    named = {*constants, *_NEVER_DEFAULT.intersection(one.name for one in fields(made))}
    named |= set() if learning_rate is None else {"learning_rate"}
    return Training(loss, made, batch_size, "native", tuple(sorted(named)))


def make_optimizer(name: str, learning_rate: float | None = None) -> Optimizer:
    """The optimizer ``name`` ("adam", "adadelta", "sgd") with matched constants; None keeps its own learning rate.

    Other constants stand in parentheses: "adam(beta1=0.99)".  OptimizerError says what is wrong.
    """
    kind, constants = _parsed(name)
    if learning_rate is not None:
        constants["learning_rate"] = learning_rate
    return kind(**constants)


def canonical_optimizer(name: str, *, defaults: Defaults = "matched") -> str:
    """One spelling for one optimizer: constants in their order, and only those that are not the matched ones.  With
    ``native`` defaults a constant that is named counts, whatever its value."""
    kind, constants = _parsed(name)
    word = next(word for word, known in OPTIMIZERS.items() if known is kind)
    own = kind()
    given = [
        f"{one.name}={constants[one.name]!r}"
        for one in fields(kind)
        if constants.get(one.name, getattr(own, one.name)) != getattr(own, one.name)
        or (defaults == "native" and one.name in constants and one.name not in _NEVER_DEFAULT)
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
    allowed = [one.name for one in fields(kind) if one.name != "learning_rate"]
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
