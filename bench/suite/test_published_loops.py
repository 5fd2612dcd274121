"""How much faster than the loop of its source does a published network train on the tuned tracks?

    pytest bench/suite/test_published_loops.py --benchmark-only -s

On one core: the source's own loop (:mod:`bench.suite.published_loops`), once as anybody would start it and once with
the scheduling of our workers, and every tuned track, each in a process of its own, in turn; several rounds of them.
All get images that are in memory; what the sources spend on reading files and drawing noise beforehand is not counted.
Ratios are printed and stand in ``extra_info``: 4 says that the source's loop takes four times as long.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bench.cells import TimingCell
from bench.process import ROOT, Worker, distinct_cores, source_environment
from bench.reproduce import recipe as recipes
from bench.suite.conftest import CLOCK, REQUEST_TIMEOUT, missing, scalars
from bench.suite.published_loops import LOOPS, SAMPLES
from results.statistics import Interval, mean_interval

ROUNDS, EPOCHS = 3, 5
PUBLISHED, SCHEDULED = "published", "published, scheduled as our workers"
TUNED = ("keras[tensorflow]", "torch", "jax")


def cell_of(name: str, backend: str) -> TimingCell:
    """The recipe as published, as a workload of ``backend``."""
    recipe = recipes.load(name)
    axes = recipe.axes(recipe.variants[0])
    wanted = {axis: value for axis, value in axes.items() if axis in TimingCell.__dataclass_fields__}
    return TimingCell(**{**wanted, "backend": backend, "track": "tuned"})


def published(name: str, *options: str) -> float:
    """Seconds an image, the median over the epochs of a fresh process."""
    command = [sys.executable, "-m", "bench.suite.published_loops", name, str(distinct_cores()[0]), str(EPOCHS)]
    done = subprocess.run(
        [*command, *options],
        env=source_environment(ROOT),
        capture_output=True,
        text=True,
        timeout=REQUEST_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(statistics.median(json.loads(done.stdout.splitlines()[-1]))) / SAMPLES


def tuned(cell: TimingCell, logs: Path) -> float:
    with Worker(cell.backend, cell.setting, distinct_cores()[:1], logs) as worker:
        worker.configure()
        worker.request("prepare", REQUEST_TIMEOUT, cell=cell.axes(), samples=SAMPLES, measure_memory=False)
        worker.request("calibrate", REQUEST_TIMEOUT, kind="train", seconds=0.0, repeats=1)
        blocks = [worker.request("block", REQUEST_TIMEOUT, kind="train", repeats=1) for _ in range(EPOCHS)]
        return float(statistics.median(block["seconds"] / block["samples"] for block in blocks))


def quotient(slow: list[float], fast: list[float]) -> Interval:
    """Over rounds, each of which has a process of either."""
    found = mean_interval([math.log(a / b) for a, b in zip(slow, fast, strict=True)])
    return Interval(*(math.exp(value) for value in (found.value, found.low, found.high)))


@pytest.mark.benchmark(group="published loops against tuned tracks", timer=CLOCK)
@pytest.mark.parametrize("name", list(LOOPS))
def test_tuned_track_against_the_loop_of_its_source(benchmark: Any, name: str) -> None:
    """An epoch as published; how many times as long as on the tuned tracks is in ``extra_info``."""
    cells = {backend: cell_of(name, backend) for backend in TUNED if not missing(cell_of(name, backend))}
    if reason := missing(cell_of(name, "keras[tensorflow]")):
        pytest.skip(reason)
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
        against = {side: quotient(seconds[side], seconds[backend]) for side in (PUBLISHED, SCHEDULED)}
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
