"""What the harness itself costs, framework or not: noise, scores, records, certificates, the report.

    pytest bench/suite/test_harness.py --benchmark-only

The worker's part (round trip, what surrounds a block) stands in ``test_speed.py``: it needs a contestant.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import certificates, corruption, datasets, quality
from bench.cells import TimingCell
from bench.plan import certificate_for
from bench.process import ROOT
from bench.records import Ended, make_record, now
from bench.suite.certificate_cost import Choice, processor_seconds
from bench.suite.conftest import CLOCK, scalars

IMAGES = 500
"""Test images of a trial in the standard sweep."""
CORRUPTIONS = ("gaussian(0.4)", "salt_pepper(0.3)", "blur(2)", "blur(0..2) + uniform(0.01..1.5)")
"""The cheapest kind, one with two draws a pixel, the dearest, and a chain with ranges."""
PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published" / "mnist"
CELL = TimingCell(backend="torch", track="tuned", architecture="dense", latent=64)


@pytest.fixture(scope="session")
def images() -> Any:
    """float32 in [0, 1], shape (IMAGES, 28, 28, 1)."""
    return datasets.as_float(datasets.load("glyphs", train=1, test=IMAGES).test)


@pytest.mark.benchmark(group="harness: corruption")
@pytest.mark.parametrize("text", CORRUPTIONS)
def test_corruption(benchmark: Any, images: Any, text: str) -> None:
    noise = corruption.parse(text)
    benchmark.extra_info.update(scalars({"corruption": text, "samples": IMAGES}))
    noisy = benchmark(corruption.corrupt, images, noise, seed=0, split="test")
    assert noisy.shape == images.shape


@pytest.mark.benchmark(group="harness: metrics")
def test_metrics(benchmark: Any, images: Any) -> None:
    """PSNR and both SSIMs of every image, which a trial needs once."""
    noisy = np.clip(images + 0.1, 0.0, 1.0)
    benchmark.extra_info.update(scalars({"samples": IMAGES}))
    scores = benchmark(quality.score, noisy, images)
    assert len(scores.psnr) == IMAGES


@pytest.fixture
def records() -> Callable[[], tuple[tuple[Any], dict[str, Any]]]:
    """Timing records of ordinary length, each with an id of its own; in the form that ``pedantic`` takes arguments."""
    numbers = itertools.count()
    rounds = [
        {"round": number, "load": 0.5, "train": [[4096, 0.25]] * 6, "latency": [0.004] * 300} for number in range(5)
    ]

    def make() -> tuple[tuple[Any], dict[str, Any]]:
        facts = {"session": "s", "metrics": {"train_samples_per_second": 16384.0}, "samples": {"rounds": rounds}}
        ended = Ended(CELL, "ok", started=now(), seconds=1.0, facts=facts)
        return (make_record(ended, f"{next(numbers):016x}", "0" * 16),), {}

    return make


@pytest.mark.benchmark(group="harness: journal")
def test_journal_append(
    benchmark: Any, tmp_path: Path, records: Callable[[], tuple[tuple[Any], dict[str, Any]]]
) -> None:
    """Checked against the schema, written, synced to the disk: what a cell costs when it is done."""
    from results.journal import Journal

    with Journal(tmp_path) as journal:
        benchmark.pedantic(journal.append, setup=records, rounds=30, warmup_rounds=1)
        benchmark.extra_info.update(scalars({"record_bytes": journal.path.stat().st_size // len(journal.records)}))
        assert len(journal.records) >= 1


@pytest.mark.benchmark(group="harness: certificates")
def test_certificate_lookup(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is known: what a resumed run asks for every cell."""
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path))
    cell = certificate_for(CELL)
    certificates.store(cell, "f" * 16, {"status": "ok", "checks": []})
    found = benchmark(certificates.lookup, cell, "f" * 16)
    assert found == {"status": "ok", "checks": []}


@pytest.mark.benchmark(group="harness: certificates", timer=CLOCK)
def test_certificates_of_quick(benchmark: Any) -> None:
    """All of them from an empty cache, in seconds of processor time; beside another checkout:
    :mod:`bench.suite.certificate_cost`."""

    def prove() -> dict[str, Any]:
        found = processor_seconds(ROOT, Choice())
        CLOCK.advance(found["seconds"])
        return found

    found = benchmark.pedantic(prove, rounds=1)
    benchmark.extra_info.update(scalars({"supervisor_seconds": found["supervisor"], **found["statuses"]}))
    assert found["statuses"]["ok"] >= 1


@pytest.mark.benchmark(group="harness: report")
def test_report(benchmark: Any, tmp_path: Path) -> None:
    """The published run on MNIST, from its records to the page."""
    if not PUBLISHED.is_dir():
        pytest.skip("no published runs beside this package: they are part of the repository, not of the distribution")
    from report import write_report

    path = benchmark.pedantic(write_report, args=([PUBLISHED], tmp_path / "report.html"), rounds=3, warmup_rounds=1)
    benchmark.extra_info.update(scalars({"page_bytes": path.stat().st_size}))
