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
    ``changes`` (decibels that the head loses), ``identical``; or how a side failed."""
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
    for seed in range(seeds):
        scores = [
            _trial(name, workers[name], replace(cell, seed=cell.seed + seed), pictures)
            for name, cell in zip(NAMES, pair, strict=True)
        ]
        for name, score in zip(NAMES, scores, strict=True):
            result[name].append(score["psnr"])
        result["changes"].append(scores[0]["psnr"] - scores[1]["psnr"])
        if seed == 0 and all(scores[0][metric] == scores[1][metric] for metric in COMPARED):
            result["identical"] = True
            break
    return result


def _trial(name: str, worker: Worker, cell: TrialCell, pictures: Path) -> dict[str, float]:
    try:
        result = worker.request("trial", TRIAL_TIMEOUT, cell=cell.axes(), folder=str(pictures))
    except WorkerFailure as failure:
        raise PairFailure(name, failure) from None
    if result["status"] != "ok":
        raise PairFailure(name, WorkerFailure(result["status"], result["reason"]))
    metrics: dict[str, float] = result["metrics"]
    return metrics
