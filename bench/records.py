"""Making records: what a cell left behind, in the form that results/record.schema.json describes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from bench import machine
from bench.cells import Cell, CertificateCell, Point, TimingCell, TrialCell
from bench.datasets import folder
from bench.yardsticks import YardstickCell, fingerprint
from results.schema import CONTENTS_SEPARATOR, SCHEMA_VERSION, Kind, Record, Status

_KINDS: dict[type[Point], Kind] = {
    CertificateCell: "certificate",
    TrialCell: "trial",
    YardstickCell: "yardstick",
    TimingCell: "timing",
}


@dataclass(frozen=True)
class Ended:
    """How one cell ended.  ``facts``: the parts of a record that only its kind has, and metrics and hashes."""

    cell: Point
    status: Status
    reason: str | None = None
    stderr: str = ""
    started: str = ""
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)


def now() -> str:
    """This moment as records have it: ISO 8601, UTC, with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def kind_of(cell: Point) -> Kind:
    return _KINDS[type(cell)]


class Fingerprints:
    """What makes a record of a cell stale when it changes, for one run: the fingerprint of its backend, or of the
    yardsticks, and the contents of the folder that its images come from, which are read once."""

    def __init__(self) -> None:
        self.contents: dict[str, str] = {}
        """Of folders, by the name of the data set."""

    def __call__(self, cell: Point) -> str:
        found = machine.fingerprint(cell.backend, cell.device) if isinstance(cell, Cell) else fingerprint()
        if not isinstance(cell, TrialCell | YardstickCell) or not cell.dataset.startswith(folder.PREFIX):
            return found
        if cell.dataset not in self.contents:
            self.contents[cell.dataset] = folder.contents(cell.dataset)
        return f"{found}{CONTENTS_SEPARATOR}{self.contents[cell.dataset]}"


def identity(cell: Point, fingerprint: str) -> str:
    """The id of the record of ``cell`` under these versions."""
    return f"{cell.key()}-{fingerprint}"


def make_record(ended: Ended, fingerprint: str, environment: str) -> Record:
    """A record that the journal accepts.  Empty parts are left out, and metrics that are no finite number."""
    record: Record = {
        "schema": SCHEMA_VERSION,
        "id": identity(ended.cell, fingerprint),
        "kind": kind_of(ended.cell),
        "cell": ended.cell.axes(),
        "fingerprint": fingerprint,
        "environment": environment,
        "status": ended.status,
        "reason": None if ended.status == "ok" else ended.reason or "no reason was given",
        # Kept for failures alone: a library's chatter says nothing about a cell that went well.
        "stderr": None if ended.status == "ok" else ended.stderr or None,
        "started": ended.started or now(),
        "seconds": max(ended.seconds, 0.0),
    }
    for name, part in ended.facts.items():
        if name == "metrics":
            part = {metric: value for metric, value in part.items() if value is not None and math.isfinite(value)}
        if part:
            record[name] = part
    return record
