"""The points of a sweep: what one certificate, one trial, one timing contestant is about.

A cell is flat and JSON-able: ``axes()`` is what stands under ``cell`` in the record, and what a record is found by.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from implementations import catalog
from implementations.adapter import Device, Precision, Setting, Track
from implementations.architecture import Architecture
from implementations.training import (
    Defaults,
    Loss,
    Training,
    canonical_optimizer,
    make_optimizer,
    native_training,
)
from results.convergence import HeldOut
from results.schema import LATER_AXES

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

Until = Literal["epochs", "converged"]
Validation = Literal["noisy", "clean"]
VALIDATIONS: tuple[Validation, ...] = get_args(Validation)
Evaluate = Literal["patches", "whole"]
EVALUATE: tuple[Evaluate, ...] = get_args(Evaluate)
Quality = Literal["once", "all"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
CROSS_NOISE_SEPARATOR = "; "

_LATER = {name: value for axes in LATER_AXES.values() for name, value in axes.items()}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of a sweep, whatever its axes."""

    def axes(self) -> dict[str, Any]:
        """All axes by name, JSON-able."""
        return asdict(self)

    @classmethod
    def from_axes(cls, axes: dict[str, Any]) -> Self:
        """The inverse of :meth:`axes`; axes of other kinds of cell are left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in axes.items() if name in names})

    def key(self) -> str:
        """A short hash of kind and axes: the identity of the cell within a run."""
        # Journals and histories find a cell by its key: an axis that came later does not change those of old cells.
        axes = {name: value for name, value in self.axes().items() if _LATER.get(name, ...) != value}
        text = json.dumps([type(self).__name__, axes], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Noised(Protocol):
    """Cells that say which images they are about, and what noise they have."""

    @property
    def dataset(self) -> str: ...
    @property
    def train(self) -> int | None: ...
    @property
    def test(self) -> int | None: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def corruption(self) -> str: ...
    @property
    def clip(self) -> bool: ...
    @property
    def seed(self) -> int: ...
    @property
    def val(self) -> HeldOut: ...
    @property
    def repeats(self) -> int: ...
    @property
    def evaluate(self) -> Evaluate: ...


@dataclass(frozen=True, kw_only=True)
class Cell(Point):
    """What all cells share: a network, how it is trained, and who computes it."""

    backend: str
    track: Track
    device: Device = "cpu"
    precision: Precision = "float32"
    threads: int = 1
    defaults: Defaults = "matched"
    """``matched``: one set of constants and one initialisation for all backends.  ``native``: each framework's own
    where nothing is named; a learning rate of None is not."""
    architecture: str
    latent: int | None = None
    height: int = 28
    width: int = 28
    channels: int = 1
    loss: Loss = "mse"
    optimizer: str = "adam"
    learning_rate: float | None = None
    batch_size: int = 128

    def build_key(self) -> tuple[str, str, Track]:
        """Equal for cells of a backend and setting for which a worker makes the network only once."""
        return self.make_architecture().digest(), self.make_training().digest(), self.track

    @property
    def setting(self) -> Setting:
        return Setting(self.device, self.precision, self.threads)

    def make_architecture(self) -> Architecture:
        """SpecificationError if there is no such network."""
        return catalog.make(self.architecture, (self.height, self.width, self.channels), self.latent)

    def make_training(self) -> Training:
        if self.defaults == "native":
            return native_training(self.loss, self.optimizer, self.learning_rate, self.batch_size)
        return Training(self.loss, make_optimizer(self.optimizer, self.learning_rate), self.batch_size)

    @property
    def claims_parity(self) -> bool:
        """Whether this cell computes what the others do, and so needs the proof: native ones are meant to differ."""
        return self.defaults == "matched"

    def matched(self) -> Self:
        """The cell that a native one is held against: its defaults alone are others."""
        optimizer, rate = canonical_optimizer(self.optimizer), make_optimizer(self.optimizer, self.learning_rate)
        return replace(self, defaults="matched", optimizer=optimizer, learning_rate=rate.learning_rate)


@dataclass(frozen=True, kw_only=True)
class CertificateCell(Cell):
    """Does this backend and track compute this specification?  (The batch size is the certificate's own.)"""


@dataclass(frozen=True, kw_only=True)
class TimingCell(Cell):
    """A contestant and a workload of a timing session."""


@dataclass(frozen=True, kw_only=True)
class TrialCell(Cell):
    """A training run that is scored."""

    dataset: str = "glyphs"
    train: int | None = None
    test: int | None = None
    corruption: str = "gaussian(0.4)"
    clip: bool = True
    refresh: bool = False
    """Fresh noise for every epoch, instead of noise that is drawn once.  An image is in one batch of an epoch: this is
    fresh noise for every batch too."""
    repeats: int = 1
    """The training set stands so often in an epoch, each copy with noise of its own."""
    validation: Validation = "noisy"
    """What the validation loss is taken on: the noisy validation images, or the clean ones (which should come back as
    they are).  Scores are always those of the noisy ones."""
    val: HeldOut = "test"
    """Training images that are held out for validation; None: as many as :mod:`results.convergence` says.  "test" holds
    out none and validates on the test images, as everything did before there was this axis."""
    epochs: int = 5
    """Of the training, or at most where it goes on ``until`` it has converged."""
    until: Until = "epochs"
    """``converged``: until the PSNR of the validation images has stopped rising; the best weights are scored."""
    max_seconds: float | None = None
    """Seconds of training after which no further epoch is begun."""
    seed: int = 0
    evaluate: Evaluate = "patches"
    """What is scored: test images of the size that the network was trained on, or whole images of any size.  Then the
    images that it is trained on are patches of these sizes, ``test`` counts those of the validation loss, and all whole
    test images are scored."""
    cross_noise: str = ""
    """Further corruptions under which the trained network is scored, separated by :data:`CROSS_NOISE_SEPARATOR`."""
    codes: bool = False
    """Whether its codes are judged too: what a linear probe and a clustering make of them."""
    keep_weights: bool = False
    """Whether the trained weights are kept in the run folder."""

    @property
    def cross_corruptions(self) -> list[str]:
        """The corruptions of ``cross_noise``."""
        return self.cross_noise.split(CROSS_NOISE_SEPARATOR) if self.cross_noise else []
