"""What share of the machine's peak could a training step reach at all?

    pytest bench/suite/test_ceilings.py --benchmark-only -s

On one core: every product and convolution of a step of ``dense`` and ``conv`` by itself, in every library
(:mod:`bench.suite.ceilings`), each library in a process of its own, in turn, several rounds.  A step that takes each
from the library that is fastest at it, and does nothing else, would train so many images a second: no tuned track that
calls these libraries comes past it.  The table is printed; the sums stand in ``extra_info``.
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


def fastest(rounds: list[dict[str, Any]]) -> tuple[float, dict[str, tuple[int, str, float]]]:
    """(peak, operation -> (floating-point operations, library, seconds)): the fastest by the medians over rounds, of
    which each has the answers of all libraries."""
    peaks = [statistics.median(found[library]["peak"] for found in rounds) for library in rounds[0]]
    best: dict[str, tuple[int, str, float]] = {}
    for library in rounds[0]:
        for name, (flops, _) in rounds[0][library]["operations"].items():
            seconds = statistics.median(found[library]["operations"][name][1] for found in rounds)
            if name not in best or seconds < best[name][2]:
                best[name] = flops, library, seconds
    return max(peaks), best


@pytest.mark.benchmark(group="ceilings: what multiplies in a training step, by itself", timer=CLOCK)
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_what_multiplies_in_a_step(benchmark: Any, network: str) -> None:
    """The sum over all that multiplies in a step, each by the library that is fastest at it."""
    installed = [library for library in LIBRARIES if importlib.util.find_spec(library)]
    core = str(distinct_cores()[0])
    rounds = [
        {
            library: fresh_process("bench.suite.ceilings", library, network, core, **ONE_THREAD)
            for library in (installed if number % 2 else installed[::-1])
        }
        for number in range(ROUNDS)
    ]
    peak, best = fastest(rounds)
    total = sum(seconds for _, _, seconds in best.values())
    work = sum(flops for flops, _, _ in best.values())
    lines = [f"\n{network}, batches of {BATCH}, one core; best product of 1,024 x 1,024: {peak / 1e9:.0f} GFLOP/s"]
    for name, (flops, library, seconds) in best.items():
        rate = flops / seconds
        lines.append(f"  {name:20s} {seconds * 1e3:7.2f} ms  {rate / 1e9:4.0f} GFLOP/s  {rate / peak:4.0%}  {library}")
    lines.append(
        f"  {'together':20s} {total * 1e3:7.2f} ms  {work / total / 1e9:4.0f} GFLOP/s  {work / total / peak:4.0%}"
    )
    lines.append(f"  no step trains more than {BATCH / total:,.0f} images/s with these libraries")
    facts = {"peak": peak, "share": work / total / peak, "images_per_second": BATCH / total, "rounds": ROUNDS}
    benchmark.extra_info.update(scalars({"network": network, **facts}))
    benchmark.pedantic(lambda: CLOCK.advance(total), rounds=1)
    print("\n".join(lines))
