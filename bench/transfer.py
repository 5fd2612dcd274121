"""What a trained network makes of noise that it was not trained on: one score for every corruption of ``cross_noise``.

The noisy test images are those, byte for byte, of a trial that was trained on that corruption with the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench import corruption, quality
from bench.cells import Noised, TrialCell
from bench.lru import Lru
from implementations.adapter import Adapter

if TYPE_CHECKING:
    from bench.trial import Clean, Noisy

Images = NDArray[np.float32]

SUFFIXES = ("", "_low", "_high", "_noisy", "_gain", "_gain_low", "_gain_high")
KEPT = (*(f"{name}{suffix}" for name in ("psnr", "ssim") for suffix in SUFFIXES), "exact", "exact_noisy")
"""Of the metrics: with all of them, a sweep of 24 corruptions would leave records of 40 kB."""
BUDGET = 2**29
"""Bytes of noisy test sets that a worker keeps: every corruption of a sweep on small images, 17 full sets of MNIST."""
LEAST_SETS = 4
DATA_KEPT = 2


@dataclass(frozen=True)
class NoisyTest:
    """Test images under one corruption, and their own scores: nothing of it depends on a network."""

    images: Images
    scores: quality.Basic


class NoisyTests:
    """Noisy test sets that trials of one worker have in common."""

    def __init__(self) -> None:
        self._sets: Lru[Lru[NoisyTest]] = Lru(DATA_KEPT)

    def get(self, cell: Noised, clean: Clean, text: str) -> NoisyTest:
        """The test images of ``cell`` under the corruption ``text`` instead of its own."""
        count = max(LEAST_SETS, BUDGET // clean.test.nbytes)
        sets = self._sets.get(clean.digest, lambda: Lru[NoisyTest](count))

        def make() -> NoisyTest:
            images = corrupt_test(cell, clean.test, text)
            return NoisyTest(images, quality.score_basic(images, clean.test))

        return sets.get((text, cell.clip, cell.seed), make)


def corrupt_test(cell: Noised, images: Images, text: str) -> Images:
    """Test images as a trial of ``cell`` has them under the corruption ``text``."""
    return corruption.corrupt(images, corruption.parse(text), seed=cell.seed, split="test", clip=cell.clip)


def cross(
    adapter: Adapter, cell: TrialCell, clean: Clean, noisy: Noisy, own: quality.Scores, tests: NoisyTests
) -> tuple[list[dict[str, Any]], list[str]]:
    """(an entry ``{"corruption", "metrics"}`` for every corruption of ``cell.cross_noise``, warnings).

    ``own``: the scores under the corruption that the network was trained on.  Metrics are :data:`KEPT`.  A corruption
    under which the output is not finite has no entry, but a warning.
    """
    scores: quality.Basic
    before: quality.Basic
    entries, warnings = [], []
    for text in cell.cross_corruptions:
        if text == cell.corruption:
            scores, before = own, noisy.scores
        else:
            test = tests.get(cell, clean, text)
            output = np.asarray(adapter.reconstruct(test.images.astype(cell.setting.dtype, copy=False)))
            if not np.isfinite(output).all():
                warnings.append(f"under {text} the output is not finite: it has no score there")
                continue
            scores, before = quality.score_basic(output.astype(np.float32, copy=False), clean.test), test.scores
        metrics = quality.summarise(scores, before)
        entries.append({"corruption": text, "metrics": {name: metrics[name] for name in KEPT}})
    return entries, warnings
