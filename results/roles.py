"""Who stands for a cell that several certified backends could train, and who only repeats it.

A sweep with ``quality = "once"`` lets one backend train each cell (``role`` of its record: ``trained``) and others
repeat some of them (``confirmed``).  Figures come from the former, so that no mean is over other conditions because
another backend happened to repeat them; the latter are what agreement is judged by (:mod:`results.agreement`).
Records without a role are of runs in which every backend trained all that it was given: all of them stand.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from results.loading import Run
from results.schema import Record

Role = Literal["trained", "confirmed"]
TRAINED: Role = "trained"
CONFIRMED: Role = "confirmed"
WHO = ("backend", "track", "threads")
"""Axes of a cell that change who computes it and nothing of what is computed.  Another device or precision is another
computation: its rounding is its own."""
ASKED = ("cross_noise", "codes", "keep_weights")
"""What is asked of a network after it was trained."""


class Contestant(NamedTuple):
    """Who computes, on what."""

    backend: str
    track: str
    threads: int
    device: str
    precision: str


def contestant(cell: Mapping[str, Any]) -> Contestant:
    """Who computes a cell with these axes."""
    return Contestant(*(cell[name] for name in Contestant._fields))


def computation(cell: Mapping[str, Any], without: tuple[str, ...] = ()) -> Hashable:
    """What cells have in common that several backends could train in place of each other; ``without`` further axes."""
    left_out = {*WHO, *ASKED, *without}
    return tuple(sorted((name, repr(value)) for name, value in cell.items() if name not in left_out))


def figures(run: Run, distrusted: frozenset[str] = frozenset()) -> Run:
    """``run`` without the trials that repeat what another record stands for: what means are taken over.

    Where nothing else of a cell is ok and trusted (``distrusted`` are ids), the first repetition stands for it.
    """
    stands: dict[Hashable, Record] = {}
    for record in run.of("trial", "ok"):
        key = computation(record["cell"])
        if record["id"] in distrusted:
            continue
        if key not in stands or (role(record) != CONFIRMED and role(stands[key]) == CONFIRMED):
            stands[key] = record

    def kept(record: Record) -> bool:
        if record["kind"] != "trial" or role(record) != CONFIRMED:
            return True
        first = stands.get(computation(record["cell"]))
        return first is None or first is record

    return replace(run, current=tuple(record for record in run.current if kept(record)))


def role(record: Record) -> Role | None:
    """The role of a trial's record; None where every backend trained everything."""
    found: Role | None = record.get("role")
    return found
