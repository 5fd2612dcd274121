"""Why two runs have no cell in common, in one sentence: which axes differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from results.loading import Run
from results.roles import ASKED, WHO
from results.schema import Kind, Record

LISTED = 3
"""Values of an axis that are named; of more how many there are."""
TRIED = 200
"""Cells of either side among which near ones are looked for."""
FURTHER = (*WHO, *ASKED)
"""Named last: trials are the same whoever trains them, and whatever else is asked of the network."""

Sides = tuple[list[Record], list[Record]]


def why_nothing(base: Run, head: Run, kinds: Sequence[Kind]) -> str:
    """What ``base`` and ``head`` differ in, so that no cell of ``kinds`` stands, done, in both."""
    sides = tuple([record for record in run.matched.current if record["kind"] in kinds] for run in (base, head))
    done = tuple([record for record in side if record["status"] == "ok"] for side in sides)
    empty = [
        f"the {name} has {_undone(side)}"
        for name, side, good in zip(("base", "head"), sides, done, strict=True)
        if not good
    ]
    if empty:
        return " and ".join(empty)
    shared = [kind for kind in kinds if all(any(record["kind"] == kind for record in side) for side in done)]
    if not shared:
        have = [", ".join(dict.fromkeys(record["kind"] for record in side)) for side in done]
        return f"the base has records of the kind {have[0]}, the head of {have[1]}"
    said = []
    for kind in shared:
        of_kind = ([r for r in done[0] if r["kind"] == kind], [r for r in done[1] if r["kind"] == kind])
        said.append((f"{kind}s: " if len(shared) > 1 else "") + _apart(of_kind))
    return "; ".join(said)


def _undone(records: Sequence[Record]) -> str:
    if not records:
        return "no cell of what is to be judged"
    statuses = [record["status"] for record in records]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    return f"no cell that ended well ({counts})"


def _apart(sides: Sides) -> str:
    """The axes of which no value stands on both sides; where there are none, those of the two nearest cells."""
    axes = _in_order(sides)
    found = [(name, _values(sides[0], name), _values(sides[1], name)) for name in axes]
    disjoint = [
        f"{name} is {_some(here)} in the base, {_some(there)} in the head"
        for name, here, there in found
        if not set(here) & set(there)
    ]
    if disjoint:
        return "; ".join(disjoint)
    cells = [[record["cell"] for record in side[:TRIED]] for side in sides]
    pairs = ((base, head, _differ(base, head, axes)) for base in cells[0] for head in cells[1])
    base, head, differing = min(pairs, key=lambda pair: len(pair[2]))
    steps = [f"{name} ({_text(base.get(name))}, {_text(head.get(name))})" for name in differing]
    return f"no axis differs throughout; cells that are near to each other differ in {', '.join(steps)}"


def _differ(base: Mapping[str, Any], head: Mapping[str, Any], axes: Sequence[str]) -> list[str]:
    return [name for name in axes if _text(base.get(name)) != _text(head.get(name))]


def _in_order(sides: Sides) -> list[str]:
    names = dict.fromkeys(name for side in sides for record in side for name in record["cell"])
    return sorted(names, key=lambda name: name in FURTHER)  # stable: else as in the cell


def _values(records: Sequence[Record], name: str) -> list[str]:
    return list(dict.fromkeys(_text(record["cell"].get(name)) for record in records))


def _some(values: Sequence[str]) -> str:
    rest = len(values) - LISTED
    return ", ".join(values[:LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _text(value: Any) -> str:
    return "default" if value is None else str(value)
