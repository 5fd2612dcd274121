"""What is asked of a trained network besides the quality of its own test images (see ``Scoring`` of a sweep).

Parts of the trial's record: ``scores``, the file with those of every image; ``weights``, the file with those that it
ended with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import kept
from bench.cells import TrialCell
from bench.quality import Scores
from implementations.adapter import Adapter

if TYPE_CHECKING:
    from bench.trial import Clean


def judge(adapter: Adapter, cell: TrialCell, clean: Clean, scores: Scores, folder: Path) -> dict[str, Any]:
    """Of ``adapter``, which has just been trained as ``cell`` says; ``scores`` are those of its test images."""
    found: dict[str, Any] = {"scores": kept.save_scores(scores, folder)}
    if cell.keep_weights:
        found["weights"] = kept.save_weights(adapter.weights(), {"cell": json.dumps(cell.axes())}, folder)
    return found
