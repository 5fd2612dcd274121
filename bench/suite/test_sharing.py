"""What it is worth that the cells of a sweep share processes: certificates and trials of ``quick``, ten minutes.

    pytest bench/suite/test_sharing.py --benchmark-only

``shared``: by workers that keep what they have imported and built, as ``daebench run`` does it.  ``own``: each cell in
a process of its own, as many side by side.  The references, which both need, are there before; timing sessions have
fresh processes anyway and are no part of this.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.lanes import Job, Lanes, Waiting, core_pools
from bench.parity import reference_path
from bench.plan import Plan, make_plan
from bench.process import REFERENCE
from bench.records import Ended
from bench.suite.conftest import scalars
from bench.sweep import load_sweep

SWEEP = "quick"
LIMIT = 600.0
"""Seconds for a cell."""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The plan, its references computed in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = make_plan(load_sweep(SWEEP))
        different = {reference_path(cell): cell for cell in made.certificates}.values()
        jobs = [Job(cell, "reference", LIMIT, backend=REFERENCE) for cell in different]
        _at_once(jobs, tmp_path_factory.mktemp("logs"), None)
        yield made


def _jobs(plan: Plan, folder: Path) -> tuple[list[Job], list[Job]]:
    certificates = [Job(cell, "certify", LIMIT, near=cell.build_key()) for cell in plan.certificates]
    return certificates, [Job(cell, "trial", LIMIT, str(folder), near=cell.build_key()) for cell in plan.trials]


def _at_once(jobs: Sequence[Job], logs: Path, waiting: Waiting | None) -> list[Ended]:
    done: list[Ended] = []
    Lanes(jobs, pools=core_pools(None, 1), logs=logs, waiting=waiting).run(done.append)
    return done


def _one_by_one(jobs: Sequence[Job], logs: Path) -> list[Ended]:
    """Every lane takes the next job when its last is done."""
    left = iter(jobs)
    done: list[Ended] = []
    guard = threading.Lock()

    def lane(cpus: Sequence[int]) -> None:
        while True:
            with guard:
                job = next(left, None)
            if job is None:
                return
            Lanes([job], pools=[cpus], logs=logs).run(done.append)

    lanes = [threading.Thread(target=lane, args=(cpus,)) for cpus in core_pools(None, 1)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    return done


@pytest.mark.benchmark(group="harness: certificates and trials of quick")
@pytest.mark.parametrize("processes", ["shared", "own"])
def test_processes(benchmark: Any, plan: Plan, tmp_path: Path, processes: str) -> None:
    certificates, trials = _jobs(plan, tmp_path)

    def work() -> list[Ended]:
        if processes == "own":
            return _one_by_one([*certificates, *trials], tmp_path)
        waiting = Waiting()
        try:
            return [*_at_once(certificates, tmp_path, waiting), *_at_once(trials, tmp_path, waiting)]
        finally:
            waiting.close()

    done = benchmark.pedantic(work, rounds=1)
    assert len(done) == len(plan.certificates) + len(plan.trials)
    failed = [ended for ended in done if ended.status != "ok"]
    assert not failed, failed[0].reason
    benchmark.extra_info.update(
        scalars({"processes": processes, "cells": len(done), "lanes": len(core_pools(None, 1))})
    )
