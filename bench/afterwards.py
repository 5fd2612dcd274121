"""What is asked of a trained network besides the quality of its own test images (see ``Scoring`` of a sweep).

Parts of the trial's record: ``scores``, the file with those of every image; ``weights``, the file with those that it
ended with; ``cross``, its scores under further corruptions; ``codes``, what its codes are good for; ``warnings``, which
of it could not be had and why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import codes, kept, transfer
from bench.cells import TrialCell
from bench.parts import Parts
from bench.quality import Basic, Scores
from implementations.adapter import Adapter

if TYPE_CHECKING:
    from bench.trial import Clean, Noisy


@dataclass
class Shared:
    """What depends on no network: the trials of one worker have it in common."""

    tests: transfer.NoisyTests = field(default_factory=transfer.NoisyTests)
    yardsticks: codes.Yardsticks = field(default_factory=codes.Yardsticks)


def judge(
    adapter: Adapter,
    cell: TrialCell,
    clean: Clean,
    noisy: Noisy,
    scores: Scores,
    before: Basic,
    folder: Path,
    shared: Shared,
    parts: Parts,
) -> dict[str, Any]:
    """Of ``adapter``, which has just been trained as ``cell`` says; ``scores`` are those of its test images, ``before``
    those of the same images noisy."""
    found: dict[str, Any] = {"scores": kept.save_scores(scores, folder, before)}
    if cell.keep_weights:
        found["weights"] = kept.save_weights(
            adapter.weights(), kept.about_weights(cell, cell.make_architecture()), folder
        )
    warnings: list[str] = []
    if cell.cross_noise and cell.evaluate == "whole":
        warnings.append("other noise was not met (cross_noise): whole images are scored under their own noise alone")
    elif cell.cross_noise:
        with parts("cross_seconds"):
            found["cross"], said = transfer.cross(adapter, cell, clean, noisy, scores, shared.tests)
        warnings += said
    if cell.codes:
        with parts("codes_seconds"):
            found["codes"], said = codes.judge_codes(adapter, cell, clean, noisy, shared.yardsticks)
        warnings += said
    return {**found, "warnings": warnings} if warnings else found
