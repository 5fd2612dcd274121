"""A run by its sets of images: what is ranked, averaged and recommended is so within one of them.

Images are one set if they go by one name, have one shape and are scored in one way (patches or whole images); those of
a folder must also be those of one moment, by the hash of its contents.  Where images of one name turn out to be several
by the hashes of the trials, as those of two versions of this suite may be, each hash is a set of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from report.inputs import IMAGES
from report.naming import varying
from report.tables import printable
from results.loading import Run
from results.schema import CONTENTS_SEPARATOR, Record

SCORED = ("trial", "yardstick")
"""Kinds of records that are about images; certificates and speeds are not."""
AXES = ("dataset", "height", "width", "channels", "evaluate")
HASHED = 8
"""Characters of a hash in a name."""

Key = tuple[Any, ...]


@dataclass(frozen=True)
class DataSet:
    """``run``: all of it that is about these images, and what is about none.  ``label``: "mnist", or with what tells it
    from another of its name "mnist (64×64)"; "" where the run has no other."""

    label: str
    run: Run

    def told(self, text: str) -> str:
        """``text`` with the data set that it is about, where there are several."""
        return f"on {self.label}: {text}" if self.label else text


def data_sets(run: Run) -> list[DataSet]:
    """At least one, in the order of their first records."""
    records = [record for record in run.current if record["kind"] in SCORED]
    split = _split(records)
    keys = {id(record): _key(record, split) for record in records}
    # A trial that came to no figure has no hash: it belongs to all sets of its name.
    found = dict.fromkeys(keys[id(record)] for record in records if record["kind"] == "trial" and _known(record))
    bases = {key[:-1] for key in found}
    found |= dict.fromkeys(
        keys[id(record)] for record in records if record["kind"] == "trial" and keys[id(record)][:-1] not in bases
    )
    if len(found) < 2:
        return [DataSet("", run)]

    def part(key: Key) -> Run:
        kept = (
            record
            for record in run.current
            if id(record) not in keys
            or keys[id(record)] == key
            or (not _known(record) and keys[id(record)][:-1] == key[:-1])
        )
        return replace(run, current=tuple(kept))

    return [DataSet(_label(key, list(found)), part(key)) for key in found]


def _known(record: Record) -> bool:
    return bool(record["status"] == "ok")


def _axes(record: Record) -> Key:
    cell = record["cell"]
    return (*(cell.get(name) for name in AXES[:-1]), cell.get("evaluate", "patches"), _contents(record))


def _contents(record: Record) -> str:
    """Hash of the contents of the folder that its images come from; "" for others."""
    return str(record["fingerprint"]).partition(CONTENTS_SEPARATOR)[2]


def _split(records: Sequence[Record]) -> set[Key]:
    """Choices of images of which there are several by their hashes."""
    hashes: dict[Key, set[str]] = defaultdict(set)
    for record in records:
        if record["kind"] == "trial" and (given := record.get("hashes", {}).get("data")):
            hashes[_choice(record)].add(given)
    return {choice for choice, found in hashes.items() if len(found) > 1}


def _choice(record: Record) -> Key:
    return (*_axes(record), *(record["cell"].get(name) for name in IMAGES if name not in AXES))


def _key(record: Record, split: set[Key]) -> Key:
    own = str(record.get("hashes", {}).get("data", "")) if _choice(record) in split else ""
    return (*_axes(record), own)


def _label(key: Key, others: Sequence[Key]) -> str:
    """The name of the images, and of what differs among those of that name."""
    names = (*AXES, "contents", "hash")
    rows = [dict(zip(names, one, strict=True)) for one in others if one[0] == key[0]]
    differing = varying(rows, names)
    own = dict(zip(names, key, strict=True))
    parts = []
    if {"height", "width"} & set(differing):
        parts.append(f"{own['height']}×{own['width']}")
    if "channels" in differing:
        parts.append("gray" if own["channels"] == 1 else "colour")
    if "evaluate" in differing:
        parts.append("whole images" if own["evaluate"] == "whole" else "patches")
    parts += [f"contents {own[name][:HASHED]}" for name in ("contents", "hash") if name in differing and own[name]]
    return printable(str(own["dataset"]) + (f" ({', '.join(parts)})" if parts else ""))
