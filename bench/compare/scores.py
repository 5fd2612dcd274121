"""PSNR of one cell on two sides: by one rule on both sides, and image by image where the scores were kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.compare.matching import Pair
from results.loading import Run
from results.schema import Record
from results.scores import combined, differences, read_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Folders = tuple[Iterable[Path], Iterable[Path]]
"""Where the files of scores of base and head lie."""


def levels(base: Record, head: Record) -> tuple[float, float]:
    """PSNR of two trials, dB.  Where one of them is from a version that did not clip outputs to [0, 1], that of outputs
    as they are on both sides."""
    name = "psnr" if _one_rule(base, head) else "psnr_raw"
    first, second = (float(side["metrics"].get(name, side["metrics"]["psnr"])) for side in (base, head))
    return first, second


def other_rule(base: Record, head: Record) -> str:
    """Why the two can not be compared although they are of the same images, or ""."""
    if _one_rule(base, head) or not any(_exact(side) or side["metrics"].get("exact_noisy") for side in (base, head)):
        return ""
    return "one side counts exact images in its mean, as versions before this rule did: PSNR does not compare"


def lost(base: Record, head: Record, folders: Folders) -> float:
    """Decibels that the head loses, mean over the test images: of those that are exact on no side, as far as each
    side's own mean leaves out others and the scores were kept."""
    if (_exact(base) or _exact(head)) and (part := _differences(base, head, folders)) is not None:
        return float(combined([part]).mean())
    first, second = levels(base, head)
    return first - second


def by_image(pairs: Sequence[Pair], folders: Folders) -> NDArray[np.float64] | None:
    """Decibels that the head loses on each test image, mean over the seeds of ``pairs``; None where scores lack, or
    follow two rules."""
    parts = [_differences(pair.base, pair.head, folders) for pair in pairs]
    found = [part for part in parts if part is not None]
    return combined(found) if len(found) == len(parts) and len({len(part) for part in found}) == 1 else None


def folders_of(runs: tuple[Run, Run]) -> Folders:
    """Those of two runs."""
    base, head = (run.folders or (run.folder,) for run in runs)
    return base, head


def _differences(base: Record, head: Record, folders: Folders) -> NDArray[np.float64] | None:
    sides = (base, head)
    if not _one_rule(base, head) or not all("scores" in side and side.get("hashes", {}).get("data") for side in sides):
        return None
    found = [read_scores(where, side["scores"]) for where, side in zip(folders, sides, strict=True)]
    return None if found[0] is None or found[1] is None else differences(found[0], found[1])


def _one_rule(base: Record, head: Record) -> bool:
    return ("psnr_raw" in base["metrics"]) == ("psnr_raw" in head["metrics"])


def _exact(record: Record) -> bool:
    return bool(record["metrics"].get("exact", record["metrics"].get("psnr_capped")))
