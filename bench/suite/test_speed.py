"""A training epoch, a pass of inference and one image, for every backend, track and architecture that is asked for.

    pytest bench/suite/test_speed.py::test_speed --benchmark-only --benchmark-group-by=param:phase,param:contestant
    pytest bench/suite/test_speed.py --benchmark-only --daebench-architecture=dense,conv --daebench-backend=torch

Times are those of one epoch over (one pass through) ``extra_info["samples"]`` images, measured inside the worker; see
``conftest.py`` for how, and why.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench.suite.conftest import CLOCK, ROUNDS, Contestant, scalars
from bench.timing import BlockKind

GROUPS = {"train": "train epoch", "inference": "inference", "latency": "one image"}


def describe(contestant: Contestant, samples: int) -> dict[str, Any]:
    """The facts that make a figure comparable."""
    from bench import certificates, machine
    from bench.plan import certificate_for

    cell, network = contestant.cell, contestant.cell.make_architecture()
    fingerprint = machine.fingerprint(cell.backend, cell.device)
    certificate = certificates.lookup(certificate_for(cell), fingerprint)
    known = ("versions", "import_seconds", "build_seconds", "staging_seconds", "first_step_seconds")
    return {
        **cell.axes(),
        "samples": samples,
        "parameters": network.parameter_count(),
        "train_flops_per_sample": network.forward_flops() + network.backward_flops(),
        "forward_flops_per_sample": network.forward_flops(),
        # `daebench verify` makes certificates; a figure without one is a figure of something.
        "certificate": certificate["status"] if certificate else "not checked",
        "fingerprint": fingerprint,
        "clock": "worker",
        **{name: contestant.facts.get(name) for name in known},
    }


@pytest.mark.benchmark(timer=CLOCK)
def test_speed(benchmark: Any, contestant: Contestant, phase: BlockKind) -> None:
    repeats = contestant.calibrate(phase)
    samples = 1 if phase == "latency" else contestant.samples
    benchmark.group = GROUPS[phase]
    benchmark.extra_info.update(scalars({**describe(contestant, samples), "phase": phase, "repeats": repeats}))
    seconds = benchmark.pedantic(contestant.block, args=(phase, repeats), rounds=ROUNDS)
    assert seconds > 0
    if benchmark.enabled:
        benchmark.extra_info["samples_per_second"] = samples / benchmark.stats.stats.median


@pytest.mark.benchmark(group="harness: around a block", timer=CLOCK)
def test_harness_overhead(benchmark: Any, contestant: Contestant) -> None:
    """All that a block costs outside its timed region: nobody has to believe that it is small."""
    benchmark.extra_info.update(scalars(describe(contestant, contestant.samples)))
    benchmark.pedantic(contestant.overhead, args=("train", 1), rounds=ROUNDS)


@pytest.mark.benchmark(group="harness: round trip")
def test_worker_round_trip(benchmark: Any, contestant: Contestant) -> None:
    """A question over the pipe and its answer: JSON both ways, and a look at /proc for the memory."""
    benchmark.extra_info.update(scalars({"backend": contestant.cell.backend, "track": contestant.cell.track}))
    answer = benchmark.pedantic(contestant.memory, rounds=50, warmup_rounds=1)
    assert answer["peak_memory_bytes"] >= 0
