"""Whether trials that stand side by side were given the same bytes, as the hashes in their records say.

That every backend gets the same images, noise, initial weights and order of batches is what a comparison rests on.
One run sees to it; several runs that are read as one may be of other images under the same name: of a folder that has
changed, or of another version of a data set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from report import text
from report.naming import ASKED, WHO, backend_key, configuration_label
from results.loading import Run, is_native
from results.schema import Record

INPUTS = {
    "data": "clean images",
    "noisy": "noisy images",
    "weights": "initial weights",
    "order": "order of batches",
}
"""Hashes of a trial's record, and what they are of."""


@dataclass(frozen=True)
class Unlike:
    """Trials of one cell by several backends that were not given the same.  ``what``: values of :data:`INPUTS`;
    ``parties``: the backends by what they were given, one may be among several."""

    cell: str
    what: tuple[str, ...]
    parties: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Inputs:
    """``trials`` that share their cell with another but for who computes it, ``sets`` of such, and those of them that
    were not given the same bytes.  ``told``: whether all records have all hashes."""

    trials: int
    sets: int
    unlike: tuple[Unlike, ...]
    told: bool = True


NONE = Inputs(0, 0, ())


def inputs(run: Run) -> Inputs:
    """Of all trials that came to figures.  Native ones start from weights of their own."""
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in run.of("trial", "ok"):
        cell = record["cell"]
        groups[tuple(str(cell[name]) for name in sorted(cell) if name not in (*WHO, *ASKED))].append(record)
    several = [group for group in groups.values() if len(group) > 1]
    unlike = tuple(found for group in several if (found := _unlike(group)) is not None)
    told = all(
        _hash(record, name) is not None
        for group in several
        for record in group
        for name in INPUTS
        if not (name == "weights" and is_native(record))
    )
    return Inputs(sum(map(len, several)), len(several), unlike, told)


def _unlike(group: Sequence[Record]) -> Unlike | None:
    what = tuple(name for name in INPUTS if len({_hash(record, name) for record in group} - {None}) > 1)
    if not what:
        return None
    parties: dict[tuple[str | None, ...], set[str]] = defaultdict(set)
    for record in group:
        parties[tuple(_hash(record, name) for name in what)].add(record["cell"]["backend"])
    cell = group[0]["cell"]
    return Unlike(
        f"{configuration_label(cell)}, {cell['dataset']}, {cell['corruption']}, seed {cell['seed']}",
        tuple(INPUTS[name] for name in what),
        tuple(tuple(sorted(names, key=backend_key)) for names in parties.values()),
    )


def _hash(record: Record, name: str) -> str | None:
    """None where it was not recorded, or says nothing."""
    if name == "weights" and is_native(record):
        return None
    found = record.get("hashes", {}).get(name)
    return None if found is None else str(found)


def said(found: Inputs) -> tuple[str, str] | None:
    """Headline and detail where trials that stand side by side were not given the same."""
    if not found.unlike:
        return None
    first = found.unlike[0]
    what = text.listing(list(dict.fromkeys(name for one in found.unlike for name in one.what)))
    of = text.count(found.sets, "set")
    headline = f"Not the same {what}: {len(found.unlike):,} of {of} of trials side by side are no comparison"
    parties = " against ".join(text.listing(list(names)) for names in first.parties)
    more = " first of all" if found.unlike[1:] else ""
    detail = (
        f"by their hashes;{more} {first.cell}: {parties}; data of one name have changed between runs, or between "
        "machines: run one of them again, or report them apart"
    )
    return headline, detail


def confirmed(found: Inputs) -> str:
    """ " The hashes of all 25 trials side by side say so."; "" where there are none, or it is not known."""
    if not found.trials or not found.told or found.unlike:
        return ""
    return f" The hashes of all {found.trials:,} trials side by side say so."
