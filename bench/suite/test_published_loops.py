"""How much faster than the loop of its source does a published network train on the tuned tracks?

    pytest bench/suite/test_published_loops.py --benchmark-only -s

On one core: the source's own loop (:mod:`bench.suite.published_loops`), once as anybody would start it and once with
the scheduling of our workers, and every tuned track, each in a process of its own, in turn; several rounds of them.
All get images that are in memory; what the sources spend on reading files and drawing noise beforehand is not counted.
Ratios are printed and stand in ``extra_info``: 4 says that the source's loop takes four times as long.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bench.cells import TimingCell
from bench.process import Worker, distinct_cores
from bench.reproduce import recipe as recipes
from bench.suite.conftest import CLOCK, REQUEST_TIMEOUT, fresh_process, missing, scalars
from bench.suite.published_loops import LOOPS, SAMPLES
from results.statistics import paired_ratio

ROUNDS, EPOCHS = 3, 5
PUBLISHED, SCHEDULED = "published", "published, scheduled as our workers"
PUBLISHED_ON = "keras[tensorflow]"
TUNED = (PUBLISHED_ON, "torch", "jax")


def cell_of(name: str, backend: str) -> TimingCell:
    """The recipe as published, as a workload of ``backend``."""
    recipe = recipes.load(name)
    axes = recipe.axes(recipe.variants[0])
    wanted = {axis: value for axis, value in axes.items() if axis in TimingCell.__dataclass_fields__}
    return TimingCell(**{**wanted, "backend": backend, "track": "tuned"})


def published(name: str, *options: str) -> float:
    """Seconds an image, the median over the epochs of a fresh process."""
    found = fresh_process("bench.suite.published_loops", name, str(distinct_cores()[0]), str(EPOCHS), *options)
    return float(statistics.median(found)) / SAMPLES


def tuned(cell: TimingCell, logs: Path) -> float:
    with Worker(cell.backend, cell.setting, distinct_cores()[:1], logs, track=cell.track) as worker:
        worker.configure()
        worker.request("prepare", REQUEST_TIMEOUT, cell=cell.axes(), samples=SAMPLES, measure_memory=False)
        worker.request("calibrate", REQUEST_TIMEOUT, kind="train", seconds=0.0, repeats=1)
        blocks = [worker.request("block", REQUEST_TIMEOUT, kind="train", repeats=1) for _ in range(EPOCHS)]
        return float(statistics.median(block["seconds"] / block["samples"] for block in blocks))


@pytest.mark.benchmark(group="published loops against tuned tracks", timer=CLOCK)
@pytest.mark.parametrize("name", list(LOOPS))
def test_tuned_track_against_the_loop_of_its_source(benchmark: Any, name: str) -> None:
    """An epoch as published; how many times as long as on the tuned tracks is in ``extra_info``."""
    if reason := missing(cell_of(name, PUBLISHED_ON)):
        pytest.skip(reason)
    wanted = {backend: cell_of(name, backend) for backend in TUNED}
    cells = {backend: cell for backend, cell in wanted.items() if not missing(cell)}
    seconds: dict[str, list[float]] = {side: [] for side in (PUBLISHED, SCHEDULED, *cells)}
    with tempfile.TemporaryDirectory(prefix="daebench-") as logs:
        for number in range(ROUNDS):
            for side in seconds if number % 2 else reversed(seconds):
                if side in cells:
                    seconds[side].append(tuned(cells[side], Path(logs)))
                else:
                    seconds[side].append(published(name, *(["--undivided"] if side == SCHEDULED else [])))
    rates = {side: 1 / statistics.median(found) for side, found in seconds.items()}
    facts: dict[str, Any] = {"recipe": name, "rounds": ROUNDS, "samples": SAMPLES, "images_per_second": rates}
    lines = [f"\n{name}: published {rates[PUBLISHED]:,.0f} images/s, in our scheduling {rates[SCHEDULED]:,.0f}"]
    for backend in cells:
        against = {side: paired_ratio(seconds[side], seconds[backend]) for side in (PUBLISHED, SCHEDULED)}
        for side, found in against.items():
            prefix = f"{side} over {backend}"
            facts |= {prefix: found.value, f"{prefix}, low": found.low, f"{prefix}, high": found.high}
        told = "; in our scheduling ".join(
            f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in against.values()
        )
        lines.append(f"  {backend} tuned {rates[backend]:,.0f} images/s: {told} times the published loop")
    benchmark.extra_info.update(scalars(facts))
    epochs = iter([found * SAMPLES for found in seconds[PUBLISHED]])
    benchmark.pedantic(lambda: CLOCK.advance(next(epochs)), rounds=ROUNDS)
    print("\n".join(lines))
