"""PSNR of two sides: the same trials with the same seeds on both, judged over seeds.

Weights, noise and batch order of a seed are the same bytes on both sides, so the difference holds nothing but what
the sides compute differently, and where that is nothing at all one seed says so.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cells import TrialCell
from bench.compare import lessons, scores
from bench.compare.pairs import NAMES, PairFailure
from bench.compare.sides import Runner
from bench.process import IMPORT_TIMEOUT, Worker, WorkerFailure
from bench.trial_jobs import TRIAL_TIMEOUT

COMPARED = ("psnr", "ssim", "train_loss", "validation_loss")
"""Equal to the last digit at the first seed: both sides computed the same."""


def measure(
    cells: Sequence[tuple[TrialCell, TrialCell]],
    seeds: int,
    sides: Sequence[Runner],
    cpus: Sequence[int],
    logs: Path,
    on_step: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any] | PairFailure]:
    """For each pair of cells (base's, head's; all of one contestant) the PSNR by seed: ``base`` and ``head`` in dB,
    ``changes`` (decibels that the head loses), ``identical``, ``refusal`` and ``remark`` (what they have learned, see
    :mod:`bench.compare.lessons`); or how a side failed."""
    found: list[dict[str, Any] | PairFailure] = []
    with contextlib.ExitStack() as stack:
        pictures = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="daebench-")))
        workers: dict[str, Worker] = {}
        try:
            for name, side, cell in zip(NAMES, sides, cells[0], strict=True):
                program = side.program(cell.backend, cell.setting)
                worker = Worker(cell.backend, cell.setting, cpus, logs, program)
                workers[name] = stack.enter_context(worker)
                _configure(name, worker)
        except PairFailure as failure:
            return [failure for _ in cells]
        for pair in cells:
            on_step(f"quality of {pair[1].backend}, {pair[1].architecture}")
            try:
                found.append(_seeds(pair, seeds, workers, pictures))
            except PairFailure as failure:
                found.append(failure)
                if failure.failure.dead:
                    return found + [failure for _ in cells[len(found) :]]
    return found


def _configure(name: str, worker: Worker) -> None:
    try:
        worker.configure(IMPORT_TIMEOUT)
    except WorkerFailure as failure:
        raise PairFailure(name, failure) from None


def _seeds(pair: tuple[TrialCell, TrialCell], seeds: int, workers: dict[str, Worker], pictures: Path) -> dict[str, Any]:
    result: dict[str, Any] = {"base": [], "head": [], "changes": [], "identical": False}
    trials: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for seed in range(seeds):
        base, head = (
            _trial(name, workers[name], replace(cell, seed=cell.seed + seed), pictures)
            for name, cell in zip(NAMES, pair, strict=True)
        )
        for name, trial, level in zip(NAMES, (base, head), scores.levels(base, head), strict=True):
            trials[name].append(trial)
            result[name].append(level)
        result["changes"].append(scores.lost(base, head, ([pictures], [pictures])))
        if seed == 0 and all(base["metrics"][metric] == head["metrics"][metric] for metric in COMPARED):
            result["identical"] = True
            break
    used = [pair[1].seed + seed for seed in range(len(result["changes"]))]
    return result | {"refusal": lessons.refusal(trials, used), "remark": lessons.remark(trials)}


def _trial(name: str, worker: Worker, cell: TrialCell, pictures: Path) -> dict[str, Any]:
    try:
        result = worker.request("trial", TRIAL_TIMEOUT, cell=cell.axes(), folder=str(pictures))
    except WorkerFailure as failure:
        raise PairFailure(name, failure) from None
    if result["status"] != "ok":
        raise PairFailure(name, WorkerFailure(result["status"], result["reason"]))
    return result
