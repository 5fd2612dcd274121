"""Native defaults: what each framework does where a program that is ported to it does not say otherwise.

A specification is a Keras program (see :mod:`implementations.training`).  Who ports it names what has to be named in
the other framework, and what the program names itself; everything else becomes that framework's own.  So natively

* what the specification names stays: shapes, activations, the optimizer's kind, constants in the parentheses of
  "adam(beta1=0.5)", a learning rate that is given, numbers of a layer that are not the layer's own defaults; and SGD's
  momentum, which no framework has by default;
* what a framework has no default for is taken over from the specification (the learning rate of optax);
* all else is the framework's: the Keras and torch adapters leave the argument out, so that what is in use is what is
  installed; JAX has no layers and optimizers of its own, and its adapter uses the defaults of flax and optax.

:data:`NUMBERS` and :data:`DIFFERENCES` say what that comes to.  They are documentation (tests hold them to the
installed frameworks): only the JAX adapter computes with them.  ``python -m implementations.native`` prints the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from implementations.architecture import Architecture, BatchNorm, Layer, LeakyReLU
from implementations.training import OPTIMIZERS, Optimizer, Training

FRAMEWORKS = ("keras", "torch", "jax")
TITLES: Mapping[str, str] = {"keras": "Keras 3", "torch": "PyTorch", "jax": "JAX (flax, optax)"}

NUMBERS: Mapping[str, Mapping[str, float | None]] = {
    "batch_norm.momentum": {"keras": 0.99, "torch": 0.9, "jax": 0.99},
    "batch_norm.epsilon": {"keras": 1e-3, "torch": 1e-5, "jax": 1e-5},
    "leaky_relu.slope": {"keras": 0.3, "torch": 0.01, "jax": 0.01},
    "adam.learning_rate": {"keras": 1e-3, "torch": 1e-3, "jax": None},
    "adam.beta1": {"keras": 0.9, "torch": 0.9, "jax": 0.9},
    "adam.beta2": {"keras": 0.999, "torch": 0.999, "jax": 0.999},
    "adam.epsilon": {"keras": 1e-7, "torch": 1e-8, "jax": 1e-8},
    "adadelta.learning_rate": {"keras": 1e-3, "torch": 1.0, "jax": None},
    "adadelta.rho": {"keras": 0.95, "torch": 0.9, "jax": 0.9},
    "adadelta.epsilon": {"keras": 1e-7, "torch": 1e-6, "jax": 1e-6},
    "sgd.learning_rate": {"keras": 0.01, "torch": 1e-3, "jax": None},
}
"""By framework, in the sense of the specification (the momentum of batch normalisation is the share that is kept, which
torch counts the other way round).  None: there is no default, it has to be named.  Keras 3.15, torch 2.13, flax 0.12,
optax 0.2."""


@dataclass(frozen=True)
class Difference:
    """One default, in words: of ``matched`` cells, and of each framework by itself."""

    what: str
    matched: str
    keras: str
    torch: str
    jax: str

    def row(self) -> dict[str, str]:
        """By the name of its column."""
        return {
            "default": self.what,
            "matched": self.matched,
            **{TITLES[name]: getattr(self, name) for name in FRAMEWORKS},
        }


def _number(name: str, what: str, notes: Mapping[str, str] | None = None) -> Difference:
    """The row of an entry of :data:`NUMBERS`; ``notes`` stand behind the number of a column."""
    kind, field = name.split(".")
    own = {"batch_norm": BatchNorm, "leaky_relu": LeakyReLU, **OPTIMIZERS}[kind]()
    specified = f"{getattr(own, field):.4g}"
    known = NUMBERS[name]
    texts = {one: f"{specified} (has to be named)" if (v := known[one]) is None else f"{v:.4g}" for one in FRAMEWORKS}
    texts = {"matched": specified, **texts}
    return Difference(what, **{one: said + (notes or {}).get(one, "") for one, said in texts.items()})


_HAT = " beside the uncorrected root"
_CORRECTED = " beside the bias-corrected root"

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "first kernels",
        "Glorot uniform, drawn once for all",
        "Glorot uniform",
        "Kaiming uniform with a = √5, which is ±1/√fan-in (of a transposed convolution: its outputs times taps)",
        "LeCun normal, truncated at two standard deviations",
    ),
    Difference("first biases", "0", "0", "uniform, ±1/√fan-in", "0"),
    _number("batch_norm.momentum", "batch normalisation: share kept of the statistics"),
    _number("batch_norm.epsilon", "batch normalisation: epsilon"),
    Difference("batch normalisation: variance kept", "biased", "biased", "unbiased (n - 1)", "biased"),
    _number("leaky_relu.slope", "LeakyReLU: slope"),
    Difference(
        "strided convolution, same size / stride",
        "pads more behind than in front",
        "as matched",
        "pads alike on both sides: what it sees is shifted by up to a pixel",
        "as matched",
    ),
    Difference(
        "transposed convolution, size times stride",
        "cuts more behind than in front",
        "as matched",
        "padding with output_padding: the output is shifted by up to a pixel",
        "as matched",
    ),
    Difference(
        "binary cross-entropy",
        "from logits",
        "of the sigmoid, clipped to 1e-7 from 0 and 1 (on TensorFlow Keras goes back to the logits)",
        "of the sigmoid, logarithms not below -100",
        "from logits",
    ),
    _number("adam.learning_rate", "Adam: learning rate"),
    _number("adam.epsilon", "Adam: epsilon", {"matched": _HAT, "keras": _HAT, "torch": _CORRECTED, "jax": _CORRECTED}),
    _number("adadelta.learning_rate", "Adadelta: learning rate"),
    _number("adadelta.rho", "Adadelta: rho"),
    _number("adadelta.epsilon", "Adadelta: epsilon"),
    _number("sgd.learning_rate", "SGD: learning rate"),
)
"""What a port inherits without noticing.  A constant that the sweep names is the same everywhere."""

ALIKE = (
    "the same in all, or seen at once by who ports: layouts of kernels and the order of flattening (weights are drawn "
    "independently, so another order is another draw), nearest upsampling, the size that pooling leaves of odd images, "
    "Adam's betas, no weight decay, SGD's momentum (nobody has one by default, so whoever has one names it); order of "
    "the batches, noise and data are the harness's for all"
)


def differences() -> list[dict[str, str]]:
    """:data:`DIFFERENCES` by column, JSON-able: what stands in run.json and in the report."""
    return [one.row() for one in DIFFERENCES]


def markdown() -> str:
    """The same as a table in Markdown."""
    rows = differences()
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0]), *(" | ".join(row.values()) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)


# -- what a framework makes of a specification ---------------------------------------------------------------------


def named(part: Any) -> dict[str, Any]:
    """The fields of a layer that are not at their defaults: those that its specification names."""
    return {one.name: getattr(part, one.name) for one in fields(part) if getattr(part, one.name) != one.default}


def optimizer(training: Training, framework: str) -> Optimizer:
    """The optimizer with the constants that ``framework`` has by :data:`NUMBERS`."""
    kind = next(word for word, known in OPTIMIZERS.items() if isinstance(training.optimizer, known))
    own: dict[str, Any] = {
        one.name: value
        for one in fields(training.optimizer)
        if one.name not in training.named
        and (value := NUMBERS.get(f"{kind}.{one.name}", {}).get(framework)) is not None
    }
    return replace(training.optimizer, **own)


def architecture(network: Architecture, framework: str) -> Architecture:
    """The network with the numbers that the layers of ``framework`` have by :data:`NUMBERS`."""

    def layer(one: Layer) -> Layer:
        kind = "batch_norm" if isinstance(one, BatchNorm) else "leaky_relu" if isinstance(one, LeakyReLU) else None
        if kind is None:
            return one
        unnamed = [field.name for field in fields(one) if field.name not in named(one)]
        own: dict[str, Any] = {name: NUMBERS[f"{kind}.{name}"][framework] for name in unnamed}
        return replace(one, **own)

    return replace(network, encoder=tuple(map(layer, network.encoder)), decoder=tuple(map(layer, network.decoder)))


if __name__ == "__main__":
    print(markdown(), end="")
