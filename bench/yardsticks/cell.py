"""A yardstick as a cell of a sweep: one method on one data set and corruption, run like a trial.

The images, their noise and the pictures are those of the trials with the same data, corruption, clipping and seed,
byte for byte (the hashes say so): what a network reached can be compared with them image by image.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import corruption, kept, machine, quality, whole
from bench.cells import Evaluate, Point
from bench.kept import save_strip
from bench.lru import Lru
from bench.trial import PICTURES, Clean, Noisy, corrupted, data_key, load_clean
from bench.yardsticks.base import Images, YardstickError
from bench.yardsticks.calibrate import calibrate, calibration_images
from bench.yardsticks.classical import METHODS
from bench.yardsticks.linear import LinearOptimum, check_rank
from bench.yardsticks.score import NAMES, Result, score_linear, score_mean_image, score_method
from implementations import counter
from results.convergence import HeldOut
from results.yardsticks import LINEAR, MEAN_IMAGE

PACKAGES = ("numpy", "scipy", "scikit-image", "PyWavelets")
"""What the figures depend on."""


@dataclass(frozen=True, kw_only=True)
class YardstickCell(Point):
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
    val: HeldOut = "test"
    """Training images that its trials hold out: parameters are calibrated on the others."""
    evaluate: Evaluate = "patches"
    """With "whole", parameters are calibrated on patches and whole test images are scored."""

    def __post_init__(self) -> None:
        if self.method not in NAMES:
            raise YardstickError(f"method {self.method!r} is unknown; allowed are {', '.join(NAMES)}")
        if self.method != LINEAR and self.rank is not None:
            raise YardstickError(f"rank {self.rank} is not allowed with method {self.method}; only {LINEAR} has one")
        if self.method in (LINEAR, MEAN_IMAGE) and self.evaluate == "whole":
            raise YardstickError(f"method {self.method} is made for images of one size; it has no whole images")
        if self.method == LINEAR and self.rank is None:
            raise YardstickError(f"method {LINEAR} needs a rank, for example rank=32")
        if self.rank is not None:
            check_rank(self.rank, self.height * self.width * self.channels)

    @property
    def repeats(self) -> int:
        """A yardstick sees every training image once."""
        return 1

    @property
    def noise(self) -> Hashable:
        """Equal for cells with the same noisy images."""
        return (data_key(self), self.corruption, self.clip, self.seed)


@dataclass(frozen=True)
class Pairs:
    """All that cells of one data set and corruption share; images float32 (n, h, w, c)."""

    few: tuple[Images, Images]
    """Training images that choose parameters: (clean, noisy)."""
    clean_test: Images
    noisy_test: Images
    noisy_scores: quality.Scores
    hashes: dict[str, str]


class YardstickBench:
    """Runs cells.  Images, noise and the decomposition of the linear optimum are kept for the next cell: give it
    those of one data set and corruption behind each other."""

    def __init__(self) -> None:
        self._clean: Lru[Clean] = Lru(1)
        self._pairs: Lru[Pairs] = Lru(1)
        self._noisy: Lru[Noisy] = Lru(1)
        self._optimum: Lru[LinearOptimum] = Lru(1)
        self._mean_image: Lru[Result] = Lru(1)

    def run(self, cell: YardstickCell, folder: Path) -> dict[str, Any]:
        """Calibrate and score ``cell``; pictures and the scores of every image go below ``folder``.

        Returns ``status`` ("ok", "unsupported" or "diverged"), ``reason``, ``metrics`` (see :func:`metrics`),
        ``pictures``, ``hashes``, ``calibration`` and, if ok, ``scores``, a file.  Exceptions of the data pass through.
        """
        missing = METHODS[cell.method].missing() if cell.method in METHODS else None
        if missing:
            return _without("unsupported", missing)
        clean = self._clean.get(data_key(cell), lambda: load_clean(cell))
        pairs = self._pairs.get(cell.noise, lambda: make_pairs(cell, clean))
        if cell.evaluate == "whole":
            return self._whole(cell, clean, pairs, folder)
        hashes = {**pairs.hashes, "source": source_digest()}
        if cell.rank is not None:
            hashes["noisy"] = self._all(cell, clean).digest
        shown = np.sort(counter.permutation(len(pairs.clean_test), "pictures")[:PICTURES])
        try:
            result = self._result(cell, clean, pairs, [int(index) for index in shown])
        except YardstickError as error:  # too few images for a matrix, or none of a size that the method can do
            return _without("unsupported", str(error), hashes)
        except quality.QualityError as error:
            return _without("diverged", str(error), hashes)
        pictures = {"clean": pairs.clean_test[shown], "noisy": pairs.noisy_test[shown], "denoised": result.shown}
        return {
            "status": "ok",
            "reason": None,
            "metrics": metrics(result, pairs.noisy_scores, pairs.clean_test[0].size),
            "pictures": {name: save_strip(images, folder) for name, images in pictures.items()},
            "hashes": hashes,
            "calibration": result.calibration,
            "scores": kept.save_scores(result.scores, folder, pairs.noisy_scores),
        }

    def _all(self, cell: YardstickCell, clean: Clean) -> Noisy:
        """The images with the noise of all training images, which most yardsticks can do without."""
        return self._noisy.get(cell.noise, lambda: corrupted(cell, clean))

    def _whole(self, cell: YardstickCell, clean: Clean, pairs: Pairs, folder: Path) -> dict[str, Any]:
        """Calibrated on the patches that networks are trained on, scored on whole images.  No rate: images differ."""
        chosen = METHODS[cell.method]
        try:
            found = calibrate(chosen, pairs.few[1], pairs.few[0])
        except YardstickError as error:
            return _without("unsupported", str(error))
        scored = whole.evaluate(cell, lambda images: chosen.denoise(images, found.parameters))
        hashes = {**scored.hashes(clean.digest, self._all(cell, clean).digest), "source": source_digest()}
        result: dict[str, Any] = {
            "metrics": {},
            "pictures": {},
            "hashes": hashes,
            "calibration": found.to_json(),
        }
        if not scored.finite:
            return {**result, "status": "diverged", "reason": "the output is not finite on a whole image"}
        result["metrics"] = {
            **quality.summarise(scored.scores, scored.noisy),
            "calibration_seconds": found.seconds,
        }
        result["pictures"] = {name: save_strip(images, folder) for name, images in scored.pictures.items()}
        return {
            **result,
            "scores": kept.save_scores(scored.scores, folder, scored.noisy),
            "status": "ok",
            "reason": None,
        }

    def _result(self, cell: YardstickCell, clean: Clean, pairs: Pairs, shown: list[int]) -> Result:
        if cell.method == MEAN_IMAGE:  # it has nothing to do with noise
            return self._mean_image.get(data_key(cell), lambda: score_mean_image(clean.train, clean.test, shown=shown))
        if cell.rank is None:
            four = (*pairs.few, pairs.clean_test, pairs.noisy_test)
            return score_method(METHODS[cell.method], *four, noisy_scores=pairs.noisy_scores, shown=shown)
        optimum = self._optimum.get(cell.noise, lambda: LinearOptimum(self._all(cell, clean).train, clean.train))
        return score_linear(optimum, cell.rank, pairs.clean_test, pairs.noisy_test, shown=shown)


def run_yardstick(cell: YardstickCell, folder: Path) -> dict[str, Any]:
    """One cell by itself, see :meth:`YardstickBench.run`."""
    return YardstickBench().run(cell, folder)


def _without(status: str, reason: str, hashes: dict[str, str] | None = None) -> dict[str, Any]:
    """What :meth:`YardstickBench.run` returns where there is nothing to be scored."""
    return {
        "status": status,
        "reason": reason,
        "metrics": {},
        "pictures": {},
        "hashes": hashes or {},
        "calibration": {},
    }


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


def make_pairs(cell: YardstickCell, clean: Clean) -> Pairs:
    """The images of ``cell``, clean and noisy, as trials have them.  Of the training images only those few get their
    noise that choose parameters: with all of them, a filter would cost as much as its noise."""
    noisy = corrupted(cell, replace(clean, train=clean.train[:0]))
    chosen = calibration_images(len(clean.train), (cell.height, cell.width, cell.channels))
    noise = corruption.parse(cell.corruption)
    few = [
        corruption.corrupt(clean.train[i : i + 1], noise, seed=cell.seed, split="train", clip=cell.clip, first=i)
        for i in chosen.tolist()
    ]
    hashes = {"data": clean.digest, "noisy_test": noisy.test_digest}
    pairs = clean.train[chosen], np.concatenate(few)
    return Pairs(pairs, clean.test, noisy.test, noisy.scores, hashes)


@cache
def source_digest() -> str:
    """16 hexadecimal digits that change with the source of this package."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(path.name.encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()[:16]


@cache
def fingerprint() -> str:
    """16 hexadecimal digits that change when a yardstick's figures are no longer comparable: with the libraries'
    versions, this package's source, Python and the processor."""
    facts = {
        "packages": {name: machine.version(name) for name in PACKAGES},
        "python": platform.python_version_tuple()[:2],
        "source": source_digest(),
        "machine": platform.machine(),
        "cpu": machine.cpu_model(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
