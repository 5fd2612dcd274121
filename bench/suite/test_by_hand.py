"""What the idiomatic track costs beside the loop that a person would write: nothing, if all is well.

    pytest bench/suite/test_by_hand.py --benchmark-only -s

Both train the network ``dense`` on the same arrays in one process, an epoch each in turn (:mod:`bench.suite.by_hand`),
and there are several such processes, one after another.  The ratio is printed, and stands in ``extra_info``: 1.01 says
that the harness's epoch took 1 % longer.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.process import distinct_cores
from bench.suite.by_hand import BATCH, LOOPS, SAMPLES
from bench.suite.conftest import CLOCK, fresh_process, scalars
from implementations import adapter
from results.statistics import Interval, mean_interval, pair_estimate

PROCESSES, PAIRS = 5, 8
WALL, PROCESSOR = 0, 1
"""Of the pairs of seconds: the second is not moved by what else the machine does."""


def ratio(runs: list[dict[str, list[list[float]]]], clock: int) -> Interval:
    """harness / by hand: mean over processes of the robust estimates of each, and their interval."""
    logs = [pair_estimate(*([pair[clock] for pair in run[side]] for side in ("by_hand", "harness"))) for run in runs]
    found = mean_interval(logs)
    return Interval(*(math.exp(value) for value in (found.value, found.low, found.high)))


def process(backend: str, pairs: int) -> dict[str, list[list[float]]]:
    """What one fresh process has measured."""
    found: dict[str, list[list[float]]] = fresh_process(
        "bench.suite.by_hand", backend, str(distinct_cores()[0]), str(pairs)
    )
    return found


@pytest.mark.benchmark(group="harness: idiomatic track against the same loop by hand", timer=CLOCK)
@pytest.mark.parametrize("backend", list(LOOPS))
def test_idiomatic_track(benchmark: Any, backend: str) -> None:
    """An epoch of the track; its ratio to the loop by hand is in ``extra_info``."""
    if reason := adapter.adapter_class(backend).missing():
        pytest.skip(reason)
    runs = [process(backend, PAIRS) for _ in range(PROCESSES)]
    wall, processor = (ratio(runs, clock) for clock in (WALL, PROCESSOR))
    epochs = iter([pair[WALL] for run in runs for pair in run["harness"]])
    facts = {"backend": backend, "processes": PROCESSES, "pairs": PAIRS, "samples": SAMPLES, "batch_size": BATCH}
    for name, found in (("ratio", wall), ("processor_ratio", processor)):
        facts |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    benchmark.extra_info.update(scalars(facts))
    benchmark.pedantic(lambda: CLOCK.advance(next(epochs)), rounds=PROCESSES * PAIRS)
    print(
        f"\n{backend}: the idiomatic track takes {wall.value:.3f} times the loop by hand, {wall.low:.3f} to "
        f"{wall.high:.3f}; by processor time {processor.value:.3f}, {processor.low:.3f} to {processor.high:.3f}"
    )
