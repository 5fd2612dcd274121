"""A yardstick as a cell of a sweep: one method on one data set and corruption, run like a trial.

The images, their noise and the pictures are those of the trials with the same data, corruption, clipping and seed,
byte for byte (the hashes say so): what a network reached can be compared with them image by image.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from bench import corruption, datasets, machine, quality
from bench.trial import PICTURES, save_strip
from bench.yardsticks.base import Images, YardstickError
from bench.yardsticks.classical import METHODS
from bench.yardsticks.linear import LinearOptimum, check_rank
from bench.yardsticks.score import LINEAR, NAMES, Result, score_linear, score_method
from implementations import counter

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

Made = TypeVar("Made")

PACKAGES = ("numpy", "scipy", "scikit-image", "PyWavelets")
"""What the figures depend on."""


@dataclass(frozen=True, kw_only=True)
class YardstickCell:
    """A yardstick to be scored.  ``rank`` is the linear optimum's, and None for all others; the other axes mean what
    they mean for a :class:`bench.cells.TrialCell`."""

    method: str
    rank: int | None = None
    dataset: str = "glyphs"
    train: int | None = None
    test: int | None = None
    height: int = 28
    width: int = 28
    channels: int = 1
    corruption: str = "gaussian(0.4)"
    clip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in NAMES:
            raise YardstickError(f"method {self.method!r} is unknown; allowed are {', '.join(NAMES)}")
        if self.method != LINEAR:
            if self.rank is not None:
                raise YardstickError(
                    f"rank {self.rank} is not allowed with method {self.method}; only {LINEAR} has one"
                )
        elif self.rank is None:
            raise YardstickError(f"method {LINEAR} needs a rank, for example rank=32")
        else:
            check_rank(self.rank, self.height * self.width * self.channels)

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
        text = json.dumps([type(self).__name__, self.axes()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def data(self) -> Hashable:
        """Equal for cells with the same clean images."""
        return (self.dataset, self.train, self.test, self.height, self.width, self.channels)

    @property
    def noise(self) -> Hashable:
        """Equal for cells with the same noisy images."""
        return (self.data, self.corruption, self.clip, self.seed)


@dataclass(frozen=True)
class Pairs:
    """All that cells of one data set and corruption share; images float32 (n, h, w, c)."""

    clean_train: Images
    noisy_train: Images
    clean_test: Images
    noisy_test: Images
    noisy_scores: quality.Scores
    hashes: dict[str, str]


class _Latest(Generic[Made]):
    """The last thing that was made, kept for those who want the same."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Made] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        if key not in self._kept:
            self._kept.clear()  # before making: the old and the new may not fit together
            self._kept[key] = make()
        return self._kept[key]


class YardstickBench:
    """Runs cells.  Images, noise and the decomposition of the linear optimum are kept for the next cell: give it
    those of one data set and corruption behind each other."""

    def __init__(self) -> None:
        self._pairs: _Latest[Pairs] = _Latest()
        self._optimum: _Latest[LinearOptimum] = _Latest()

    def run(self, cell: YardstickCell, folder: Path) -> dict[str, Any]:
        """Calibrate and score ``cell``; pictures go to ``folder``/pictures.

        Returns ``status`` ("ok", "unsupported" or "diverged"), ``reason``, ``metrics`` (see :func:`metrics`),
        ``pictures``, ``hashes`` and ``calibration``.  Exceptions of the data pass through.
        """
        nothing: dict[str, Any] = {"metrics": {}, "pictures": {}, "hashes": {}, "calibration": {}}
        missing = None if cell.method == LINEAR else METHODS[cell.method].missing()
        if missing:
            return {**nothing, "status": "unsupported", "reason": missing}
        pairs = self._pairs.get(cell.noise, lambda: load_pairs(cell))
        hashes = {**pairs.hashes, "source": source_digest()}
        shown = np.sort(counter.permutation(len(pairs.clean_test), "pictures")[:PICTURES])
        try:
            result = self._result(cell, pairs, [int(index) for index in shown])
        except quality.QualityError as error:
            return {**nothing, "hashes": hashes, "status": "diverged", "reason": str(error)}
        pictures = {"clean": pairs.clean_test[shown], "noisy": pairs.noisy_test[shown], "denoised": result.shown}
        return {
            "status": "ok",
            "reason": None,
            "metrics": metrics(result, pairs.noisy_scores, pairs.clean_test[0].size),
            "pictures": {name: save_strip(images, folder) for name, images in pictures.items()},
            "hashes": hashes,
            "calibration": result.calibration,
        }

    def _result(self, cell: YardstickCell, pairs: Pairs, shown: list[int]) -> Result:
        if cell.rank is None:
            four = (pairs.clean_train, pairs.noisy_train, pairs.clean_test, pairs.noisy_test)
            return score_method(METHODS[cell.method], *four, shown=shown)
        optimum = self._optimum.get(cell.noise, lambda: LinearOptimum(pairs.noisy_train, pairs.clean_train))
        return score_linear(optimum, cell.rank, pairs.clean_test, pairs.noisy_test, shown=shown)


def run_yardstick(cell: YardstickCell, folder: Path) -> dict[str, Any]:
    """One cell by itself, see :meth:`YardstickBench.run`."""
    return YardstickBench().run(cell, folder)


def metrics(result: Result, noisy: quality.Scores, values: int) -> dict[str, float]:
    """Those of :func:`bench.quality.summarise`, and

    - ``yardstick_samples_per_second`` with ``_low`` and ``_high``: see :class:`bench.yardsticks.score.Rate`;
    - ``calibration_seconds``: choosing parameters; for the linear optimum making it, all ranks so far together;
    - for the linear optimum ``parameters`` (numbers that it is made of), ``latent_size`` (its rank) and
      ``compression``, as trials have them.
    """
    found = {**quality.summarise(result.scores, noisy), "calibration_seconds": result.seconds}
    if result.rate is not None:
        name = "yardstick_samples_per_second"
        found |= {name: result.rate.images_per_second, f"{name}_low": result.rate.low, f"{name}_high": result.rate.high}
    if result.rank is not None and result.numbers is not None:
        found |= {
            "parameters": float(result.numbers),
            "latent_size": float(result.rank),
            "compression": values / result.rank,
        }
    return found


def load_pairs(cell: YardstickCell) -> Pairs:
    """The images of ``cell``, clean and noisy, as trials have them.  DataError where they can not be had."""
    data = datasets.load(cell.dataset, train=cell.train, test=cell.test, size=cell.height, channels=cell.channels)
    if data.shape != (cell.height, cell.width, cell.channels):
        raise datasets.DataError(
            f"{cell.dataset}: images of shape {data.shape}, not {(cell.height, cell.width, cell.channels)}"
        )
    noise = corruption.parse(cell.corruption)
    clean_train, clean_test = datasets.as_float(data.train), datasets.as_float(data.test)
    noisy_train = corruption.corrupt(clean_train, noise, seed=cell.seed, split="train", clip=cell.clip)
    noisy_test = corruption.corrupt(clean_test, noise, seed=cell.seed, split="test", clip=cell.clip)
    sha = hashlib.sha256()
    for images in (noisy_train, noisy_test):
        sha.update(np.ascontiguousarray(images, "<f4").data)
    return Pairs(
        clean_train,
        noisy_train,
        clean_test,
        noisy_test,
        quality.score(noisy_test, clean_test),
        {"data": data.digest, "noisy": sha.hexdigest()[:16]},
    )


@cache
def source_digest() -> str:
    """16 hexadecimal digits that change with the source of this package."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(path.name.encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()[:16]


def fingerprint() -> str:
    """16 hexadecimal digits that change when a yardstick's figures are no longer comparable: with the libraries'
    versions, this package's source, Python and the processor."""
    facts = {
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version_tuple()[:2],
        "source": source_digest(),
        "machine": platform.machine(),
        "cpu": machine.cpu_model(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
