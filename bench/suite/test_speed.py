"""A training epoch, a pass of inference, one image, and what the harness itself costs, for every backend and track.

    pytest bench/suite --benchmark-only --benchmark-group-by=func,param:contestant
    pytest bench/suite --benchmark-only --daebench-architecture=dense,conv --daebench-backend=torch

Times are those of one epoch over (one pass through) ``extra_info["samples"]`` images, measured inside the worker; see
``conftest.py`` for how, and why.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench.suite.conftest import CLOCK, ROUNDS, Contestant
from bench.timing import BlockKind


def _describe(benchmark: Any, contestant: Contestant, samples: int) -> None:
    """The facts that make a figure comparable, beside it."""
    from bench import certificates, machine
    from bench.plan import certificate_for

    cell, network = contestant.cell, contestant.cell.make_architecture()
    fingerprint = machine.fingerprint(cell.backend, cell.device)
    certificate = certificates.lookup(certificate_for(cell), fingerprint)
    benchmark.extra_info.update(
        cell.axes(),
        samples=samples,
        parameters=network.parameter_count(),
        train_flops_per_sample=network.forward_flops() + network.backward_flops(),
        forward_flops_per_sample=network.forward_flops(),
        # `daebench verify` makes certificates; a figure without one is a figure of something.
        certificate=certificate["status"] if certificate else "not checked",
        fingerprint=fingerprint,
        versions=contestant.facts["versions"],
        import_seconds=contestant.facts["import_seconds"],
        build_seconds=contestant.facts["build_seconds"],
        first_step_seconds=contestant.facts["first_step_seconds"],
        clock="worker",
    )


def _measure(benchmark: Any, contestant: Contestant, kind: BlockKind, samples: int) -> None:
    repeats = contestant.calibrate(kind)
    _describe(benchmark, contestant, samples)
    benchmark.extra_info["repeats_per_block"] = repeats
    seconds = benchmark.pedantic(contestant.block, args=(kind, repeats), rounds=ROUNDS)
    assert seconds > 0
    if benchmark.enabled:
        benchmark.extra_info["samples_per_second"] = samples / benchmark.stats.stats.median


@pytest.mark.benchmark(group="train epoch", timer=CLOCK)
def test_train_epoch(benchmark: Any, contestant: Contestant) -> None:
    _measure(benchmark, contestant, "train", contestant.samples)


@pytest.mark.benchmark(group="inference", timer=CLOCK)
def test_inference(benchmark: Any, contestant: Contestant) -> None:
    _measure(benchmark, contestant, "inference", contestant.samples)


@pytest.mark.benchmark(group="one image", timer=CLOCK)
def test_latency(benchmark: Any, contestant: Contestant) -> None:
    _measure(benchmark, contestant, "latency", 1)


@pytest.mark.benchmark(group="harness overhead per block", timer=CLOCK)
def test_harness_overhead(benchmark: Any, contestant: Contestant) -> None:
    """All that a block costs outside its timed region: nobody has to believe that it is small."""
    _describe(benchmark, contestant, contestant.samples)
    benchmark.pedantic(contestant.overhead, args=("train", 1), rounds=ROUNDS)
