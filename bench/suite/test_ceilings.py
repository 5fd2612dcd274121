"""What share of the machine's peak could a training step reach at all?

    pytest bench/suite/test_ceilings.py --benchmark-only -s

On one core: every product and convolution of a step of ``dense`` and ``conv`` by itself, the loss and the optimizer, in
every library (:mod:`bench.suite.ceilings`), each library in a process of its own, in turn, several rounds.  A step that
took each part from the library that is fastest at it, found all it reads in the nearest cache and did nothing else
would train so many images a second: no tuned track that calls these libraries comes past it.  The table is printed;
the sums stand in ``extra_info``.
"""

from __future__ import annotations

import importlib.util
import statistics
from typing import Any

import pytest

from bench.process import distinct_cores
from bench.suite.ceilings import BATCH, LIBRARIES
from bench.suite.conftest import CLOCK, fresh_process, scalars

ROUNDS = 3
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Rounds = list[dict[str, Any]]
"""Of each, by library, what :func:`bench.suite.ceilings.measure` says."""


def fastest(rounds: Rounds) -> dict[str, tuple[int, str, float]]:
    """Part -> (floating-point operations, library, seconds) of the fastest, by the medians over rounds."""
    best: dict[str, tuple[int, str, float]] = {}
    for library in rounds[0]:
        for name, (flops, _) in rounds[0][library]["parts"].items():
            seconds = statistics.median(found[library]["parts"][name][1] for found in rounds)
            if name not in best or seconds < best[name][2]:
                best[name] = flops, library, seconds
    return best


def measure(network: str) -> Rounds:
    installed = [library for library in LIBRARIES if importlib.util.find_spec(library)]
    core = str(distinct_cores()[0])
    return [
        {
            library: fresh_process("bench.suite.ceilings", library, network, core, **ONE_THREAD)
            for library in (installed if number % 2 else installed[::-1])
        }
        for number in range(ROUNDS)
    ]


@pytest.mark.benchmark(group="ceilings: the parts of a training step, by themselves", timer=CLOCK)
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_parts_of_a_step(benchmark: Any, network: str) -> None:
    """The sum over all parts of a step, each by the library that is fastest at it."""
    rounds = measure(network)
    peak = max(statistics.median(found[library]["peak"] for found in rounds) for library in rounds[0])
    best = fastest(rounds)
    work = sum(flops for flops, _, _ in best.values())

    def line(name: str, seconds: float, flops: float, remark: str = "") -> str:
        rate = f"{flops / seconds / 1e9:4.0f} GFLOP/s {flops / seconds / peak:5.0%}" if flops else ""
        return f"  {name:22s} {seconds * 1e3:7.2f} ms  {rate:19s}  {remark}".rstrip()

    lines = [f"\n{network}, batches of {BATCH}, one core; best product of 1,024 x 1,024: {peak / 1e9:.0f} GFLOP/s"]
    lines += [line(name, seconds, flops, library) for name, (flops, library, seconds) in best.items()]
    multiplying = sum(seconds for flops, _, seconds in best.values() if flops)
    total = sum(seconds for _, _, seconds in best.values())
    lines += [line("all that multiplies", multiplying, work), line("all of it", total, work)]
    facts = {"peak": peak, "rounds": ROUNDS, "share": work / total / peak, "images_per_second": BATCH / total}
    for library in rounds[0]:
        in_turn = [found[library]["in_turn"] for found in rounds]
        if None not in in_turn:
            seconds = statistics.median(in_turn)
            facts[f"{library} in turn, share"] = work / seconds / peak
            lines.append(line("multiplied in turn", seconds, work, library))
    lines.append(f"  no step of these libraries trains more than {BATCH / total:,.0f} images/s")
    benchmark.extra_info.update(scalars({"network": network, **facts}))
    benchmark.pedantic(lambda: CLOCK.advance(total), rounds=1)
    print("\n".join(lines))
