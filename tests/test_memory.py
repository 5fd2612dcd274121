"""What a trial holds besides the two sets that it is about: memory in units of their size, as NumPy allocated it."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_backend
import numpy as np
import pytest
import trial_memory
from numpy.typing import NDArray

from bench import quality, trial
from bench.cells import TrialCell
from bench.learning import image_loss
from bench.trial import Clean, TrialBench
from implementations.adapter import Setting
from implementations.parameters import Array

TRAIN, TEST = 16_000, 1000
SHAPE = (28, 28, 1)
MEGABYTE = 10**6
BLOCKS = 30 * MEGABYTE
"""What is computed with in float64 at a time, whatever the number of images, and what is imported meanwhile."""


class Untrained(fake_backend.Fake):
    """Keeps what is staged, as adapters do, and learns nothing."""

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        self.seen = [*getattr(self, "seen", []), float(self.noisy[0].sum())]
        return 1.0

    def reconstruct(self, noisy: Array) -> Array:
        return noisy.copy()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> TrialBench:
    def load(cell: Any) -> Clean:
        images = np.random.default_rng(0).random((TRAIN + TEST, *SHAPE), np.float32)
        return Clean(images[:TRAIN].copy(), images[TRAIN:].copy(), "data")

    monkeypatch.setattr(trial, "load_clean", load)
    adapter = Untrained()
    adapter.configure(Setting())
    return TrialBench(adapter)


def cell(**axes: Any) -> TrialCell:
    given = {"backend": "fake", "track": "idiomatic", "architecture": "dense", "latent": 4, "epochs": 3, "loss": "bce"}
    return TrialCell(**{**given, "corruption": "masking(0.5)", **axes})


def peak_of(work: Callable[[], Any]) -> int:
    """Most bytes that were allocated at once above what there was before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def size_of(count: int) -> int:
    return count * int(np.prod(SHAPE)) * 4


def enough() -> int:
    """The clean and the noisy set, and room for less than one copy of the training images: half of one."""
    return 2 * size_of(TRAIN + TEST) + size_of(TRAIN) // 2 + BLOCKS


def test_fresh_noise_takes_no_more_memory_than_noise_drawn_once(bench: TrialBench, tmp_path: Path) -> None:
    peak = peak_of(lambda: bench.run(cell(refresh=True), tmp_path))
    data = 2 * size_of(TRAIN + TEST)
    assert data < peak
    # Loading holds clean images twice here, before there are noisy ones.
    assert peak < enough(), f"{peak / data:.2f} times the clean and the noisy set"
    assert len(set(bench.adapter.seen)) == 3, "the noise was fresh, and the first epoch had that of the build"


def test_large_sets_are_kept_one_at_a_time(bench: TrialBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trial, "KEPT_BYTES", MEGABYTE)
    strict = TrialBench(bench.adapter)

    def several() -> None:
        for seed in range(2):
            strict.run(cell(seed=seed, epochs=1), tmp_path)

    data = 2 * size_of(TRAIN + TEST)
    peak = peak_of(several)
    assert peak < enough(), f"{peak / data:.2f} times the clean and the noisy set"


@pytest.mark.parametrize(
    "work",
    [
        quality.score,
        quality.score_basic,
        quality.mean_psnr,
        lambda images, clean: image_loss("mse", images, clean),
        lambda images, clean: image_loss("bce", images, clean),
    ],
    ids=["score", "score_basic", "psnr", "mse", "bce"],
)
def test_scores_of_many_images_take_the_memory_of_some(work: Callable[[Any, Any], Any]) -> None:
    images, clean = np.random.default_rng(0).random((2, 6000, *SHAPE), np.float32)
    assert 8 * images.size > 1.2 * BLOCKS, "in float64 they would not fit"
    work(images[:20], clean[:20])  # imports
    assert peak_of(lambda: work(images, clean)) < BLOCKS


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks of one process in turn are read from /proc")
@pytest.mark.parametrize(
    "backend",
    [
        "keras[tensorflow]",
        "jax",
        pytest.param("keras[jax]", marks=pytest.mark.slow),
        pytest.param("keras[torch]", marks=pytest.mark.slow),
        pytest.param("torch", marks=pytest.mark.slow),
    ],
)
def test_a_tuned_trial_takes_its_framework_its_data_and_at_most_200_megabytes(backend: str) -> None:
    """Fresh noise every epoch, so many images that a copy of them would be seen."""
    program = [sys.executable, trial_memory.__file__, backend]
    done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    before, peak = map(int, done.stdout.split())
    data = 2 * size_of(trial_memory.LARGE + trial_memory.TEST)
    assert data / 2 < peak - before, "the data were there"
    assert peak - before < data + 200 * MEGABYTE, f"{(peak - before) / MEGABYTE:.0f} MB, of which {data / MEGABYTE:.0f}"
