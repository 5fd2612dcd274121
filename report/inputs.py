"""Whether trials that stand side by side were given the same bytes, as the hashes in their records say.

That every backend gets the same images, noise, initial weights and order of batches is what a comparison rests on.
One run sees to it; several runs that are read as one may be of other images under the same name: of a folder that has
changed, or of another version of a data set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from report import text
from report.groups import alike
from report.naming import ASKED, WHO, backend_key, configuration_label
from report.native import WENT_IN
from report.tables import printable
from results.loading import Run, is_native
from results.schema import Record

INPUTS = {
    "data": "clean images",
    "noisy": "noisy images",
    "weights": "initial weights",
    "order": "order of batches",
}
"""Hashes of a trial's record, and what they are of."""
IMAGES = ("dataset", "train", "test", "val", "height", "width", "channels", "evaluate")
"""Axes that decide on the clean images, whatever is trained on them ..."""
NOISE = (*IMAGES, "corruption", "clip", "seed", "repeats")
""" ... and on the noisy ones.  Networks are ranked by them too, so they are held against each other across networks;
weights and order are one for trials that share all but who computes them."""


@dataclass(frozen=True)
class Unlike:
    """Trials that should have been given the same and were not.  ``what``: of :data:`INPUTS`; ``where``: which trials;
    ``parties``: who was given each."""

    what: str
    where: str
    parties: tuple[str, ...]


@dataclass(frozen=True)
class Inputs:
    """``trials`` that share their cell with another but for who computes it; what of all trials was ``unlike``.
    ``told``: whether all their records have all hashes."""

    trials: int
    unlike: tuple[Unlike, ...]
    told: bool = True


NONE = Inputs(0, ())


def inputs(run: Run) -> Inputs:
    """Of all trials that came to figures.  Native ones start from weights of their own."""
    trials = run.of("trial", "ok")
    unlike = [*_differing(trials, "data", IMAGES), *_differing(trials, "noisy", NOISE)]
    whole = _whole(trials)
    for name in ("weights", "order"):
        unlike += _differing(trials, name, whole)
    several = [group for group in alike(trials, whole) if len(group) > 1]
    told = all(_hash(record, name) is not None for group in several for record in group for name in _common(record))
    return Inputs(sum(map(len, several)), tuple(unlike), told)


def _whole(trials: Sequence[Record]) -> tuple[str, ...]:
    """All axes of trials but who computes them, and what was asked of the networks afterwards."""
    axes = dict.fromkeys(name for record in trials for name in record["cell"])
    return tuple(name for name in axes if name not in (*WHO, *ASKED))


def _differing(trials: Sequence[Record], name: str, axes: Sequence[str]) -> list[Unlike]:
    found = []
    for group in alike(trials, axes):
        by_hash: dict[str, list[Record]] = defaultdict(list)
        for record in group:
            if (given := _hash(record, name)) is not None:
                by_hash[given].append(record)
        if len(by_hash) > 1:
            found.append(Unlike(INPUTS[name], _where(group[0]["cell"], axes), _parties(list(by_hash.values()))))
    return found


def _where(cell: dict[str, Any], axes: Sequence[str]) -> str:
    parts = [configuration_label(cell)] if "architecture" in axes else []
    parts.append(str(cell["dataset"]))
    if "corruption" in axes:
        parts += [str(cell["corruption"]), f"seed {cell['seed']}"]
    return printable(", ".join(parts))


def _parties(groups: Sequence[Sequence[Record]]) -> tuple[str, ...]:
    """ "keras[tensorflow] and torch (from 2026-11-20 14:03 on)": backends alone would not always tell them apart."""
    found = []
    for group in groups:
        backends = sorted({str(record["cell"]["backend"]) for record in group}, key=backend_key)
        found.append((min(str(record["started"]) for record in group), text.listing(backends)))
    return tuple(f"{names} (from {begun[:16].replace('T', ' ')} on)" for begun, names in sorted(found))


def _common(record: Record) -> Collection[str]:
    """Of :data:`INPUTS` what it should have in common with others."""
    return WENT_IN if is_native(record) else INPUTS


def _hash(record: Record, name: str) -> str | None:
    """None where it was not recorded, or says nothing."""
    found = record.get("hashes", {}).get(name) if name in _common(record) else None
    return None if found is None else str(found)


def said(found: Inputs) -> tuple[str, str] | None:
    """Headline and detail where trials that stand side by side were not given the same."""
    if not found.unlike:
        return None
    first = found.unlike[0]
    what = text.listing(list(dict.fromkeys(one.what for one in found.unlike)))
    headline = f"Trials that stand side by side here were not given the same {what}, and are no comparison"
    more = f", and {len(found.unlike) - 1:,} more" if found.unlike[1:] else ""
    detail = (
        f"by their hashes, {first.what} of {first.where}: {' against '.join(first.parties)}{more}; what goes by one "
        "name has changed between runs, or between machines: run one of them again, or report them apart"
    )
    return headline, detail


def confirmed(found: Inputs) -> str:
    """ " The hashes of all 25 trials side by side say so."; "" where there are none, or it is not known."""
    if not found.trials or not found.told or found.unlike:
        return ""
    return f" The hashes of all {found.trials:,} trials side by side say so."
