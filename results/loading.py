"""Runs as they are read: records sorted into current and stale, and as pandas frames.

Reading takes no lock and repairs nothing, so that a run can be looked at while it is being written.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.cold import mended
from results.convergence import state
from results.journal import RECORDS, JournalError, read_run_file, scan
from results.schema import CONTENTS_SEPARATOR, KINDS, LATER_AXES, Kind, Record, RecordError, validate

if TYPE_CHECKING:
    import pandas as pd

# Half of a surrogate pair, as `surrogateescape` leaves it in a stderr that was not UTF-8: no file can hold it.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class RunError(ValueError):
    """A folder that holds no readable run; the message says what is missing."""


@dataclass(frozen=True)
class Run:
    """A run, or several read as one.

    ``current``: the newest record of every cell, in the order of the journal.  ``stale``: older ones of the same
    cells, made with other versions or on another machine (another fingerprint), and all of a folder's former contents.
    ``superseded``: failed attempts that were repeated under the same fingerprint.  ``records`` are all three.
    """

    folder: Path
    about: dict[str, Any]
    records: tuple[Record, ...]
    current: tuple[Record, ...]
    stale: tuple[Record, ...]
    superseded: tuple[Record, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know of the reading itself: a torn line that was left out."""
    folders: tuple[Path, ...] = field(default=())
    """All folders, where several were read as one."""
    beside: tuple[Record, ...] = ()
    """What other commands than the last have left in its folder, where :attr:`asked` has taken it out."""

    def of(self, kind: Kind, status: str | None = None) -> list[Record]:
        """Current records of a kind (and status)."""
        return [record for record in self.current if record["kind"] == kind and status in (None, record["status"])]

    @property
    def matched(self) -> Run:
        """This run without its native cells, which compute something else: what is ranked, averaged and compared."""
        return replace(self, current=tuple(record for record in self.current if not is_native(record)))

    @property
    def asked(self) -> Run:
        """What the last command asked for, which need not be all that its folder holds: an answer is about what was
        asked.  Of a run that does not say (``cells`` of run.json), all of it."""
        cells = self.about.get("cells")
        if not isinstance(cells, list):
            return self
        wanted = set(map(str, cells))
        inside = {id(record) for record in self.current if str(record["id"]).partition("-")[0] in wanted}
        return replace(
            self,
            current=tuple(record for record in self.current if id(record) in inside),
            beside=(*self.beside, *(record for record in self.current if id(record) not in inside)),
        )

    def frame(self, kind: Kind) -> pd.DataFrame:
        """Current records of ``kind``, a row each: id, status, reason, seconds, environment, the axes, the metrics."""
        return frame(self.of(kind), kind)

    def environment(self, record: Record) -> dict[str, Any]:
        """The entry of run.json that ``record`` refers to; empty where it is missing."""
        found = self.about.get("environments", {}).get(record["environment"], {})
        return found if isinstance(found, dict) else {}


def frame(records: Iterable[Record], kind: Kind) -> pd.DataFrame:
    """``records`` of one kind as a table, with the columns a table of that kind always has, even when empty.  Trials
    have ``learned``, the word of :func:`results.convergence.state`."""
    import pandas as pd

    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is unknown; known are {', '.join(KINDS)}")
    rows = [
        {
            **{
                name: record.get(name)
                for name in ("id", "status", "reason", "seconds", "environment", "session", "role")
            },
            **record["cell"],
            **record.get("metrics", {}),
            **({"learned": state(record) if record["status"] == "ok" else None} if kind == "trial" else {}),
        }
        for record in records
    ]
    if rows:
        return pd.DataFrame(rows)
    return pd.DataFrame(
        columns=["id", "status", "reason", "seconds", "environment", "backend", "track", "architecture"]
    )


def is_native(record: Record) -> bool:
    """Whether it is about a framework with its own defaults, which claims no parity with any other."""
    return bool(record["cell"].get("defaults") == "native")


def cell_key(record: Record) -> str:
    """What two records of the same cell share."""
    return json.dumps([record["kind"], record["cell"]], sort_keys=True)


def load_run(folder: Path | str) -> Run:
    """Read the run in ``folder``.  RunError if there is none, if it has no records, or if they can not be read."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"run {str(folder)!r}: there is no such folder; give the --out folder of a `daebench run`")
    path = folder / RECORDS
    try:
        about = read_run_file(folder)
        found = scan(path)
    except FileNotFoundError:
        raise RunError(f"{path} is missing: the run in {folder} has left no records") from None
    except (JournalError, RecordError) as error:
        raise RunError(str(error)) from error
    if not found.records:
        raise RunError(f"{path} holds no records yet: the run in {folder} has finished no cell")
    for number, record in enumerate(found.records, 1):
        try:
            validate(record)
        except RecordError as error:
            raise RunError(f"{path}, record {number} ({record['id']}): {error}") from error
    records = tuple(mended(_completed(_clean(record))) for record in found.records)
    notes = (
        (f"The last line of {RECORDS} is unfinished and was left out ({len(found.torn)} bytes).",) if found.torn else ()
    )
    return _sorted(folder, _clean(about), records, notes, (folder,))


def merge(runs: Sequence[Run]) -> Run:
    """Several runs as one: environments united, the newest record (by ``started``) of every cell and environment.

    The same cell timed on two machines stays two records; a cell that was repeated on one machine is stale.
    """
    if not runs:
        raise RunError("no run was given")
    if len(runs) == 1:
        return runs[0]
    about = dict(runs[0].about)
    about["name"] = " + ".join(str(run.about.get("name", run.folder.name)) for run in runs)
    about["description"] = " ".join(
        dict.fromkeys(str(run.about["description"]) for run in runs if run.about.get("description"))
    )
    about["environments"] = {key: value for run in runs for key, value in run.about.get("environments", {}).items()}
    ends = [run.about.get("finished") for run in runs]
    about["finished"] = max(map(str, ends)) if all(ends) else None
    about["notes"] = [note for run in runs for note in run.about.get("notes", [])]
    pool = sorted((record for run in runs for record in run.current), key=lambda record: str(record["started"]))
    current = {(cell_key(record), record["environment"]): record for record in pool}
    chosen = {id(record) for record in current.values()}
    about["planned"] = _planned(runs, current.values())
    about.pop("cells", None)  # each was asked for by itself
    return Run(
        folder=runs[0].folder,
        about=about,
        records=tuple(record for run in runs for record in run.records),
        current=tuple(record for run in runs for record in run.current if id(record) in chosen),
        stale=tuple(record for run in runs for record in (*run.stale, *run.current) if id(record) not in chosen),
        superseded=tuple(record for run in runs for record in run.superseded),
        notes=tuple(note for run in runs for note in run.notes),
        folders=tuple(folder for run in runs for folder in run.folders),
        beside=tuple(record for run in runs for record in run.beside),
    )


def _planned(runs: Sequence[Run], current: Iterable[Record]) -> dict[str, int]:
    """Cells by kind that all of ``runs`` planned; those of which only one record is left in ``current`` count once.  A
    kind of which a run does not say how many it planned has as many as it left."""
    kept = Counter(record["kind"] for record in current)
    found: dict[str, int] = {}
    for kind in KINDS:
        known = [(one.about.get("planned", {}).get(kind), len(one.of(kind))) for one in runs]
        wanted = sum(max(number, have) if isinstance(number, int) else have for number, have in known)
        found[kind] = wanted - (sum(have for _, have in known) - kept[kind])
    return found


def _sorted(
    folder: Path, about: dict[str, Any], records: tuple[Record, ...], notes: tuple[str, ...], folders: tuple[Path, ...]
) -> Run:
    # The size of a folder may be part of its cells: those of its former contents need not have a newer one.  Its last
    # contents are those of the last call, which may have found all its records there.
    there = {record["cell"].get("dataset"): _contents(record) for record in records} | about.get("contents", {})
    now = [record for record in records if _contents(record) == there[record["cell"].get("dataset")]]
    newest = {cell_key(record): record for record in now}
    current, stale, superseded = [], [], []
    for record in records:
        last = newest.get(cell_key(record))
        if last is None or _contents(record) != _contents(last):
            stale.append(record)
        elif record is last:
            current.append(record)
        elif record["fingerprint"] == last["fingerprint"]:
            superseded.append(record)
        else:
            stale.append(record)
    return Run(folder, about, records, tuple(current), tuple(stale), tuple(superseded), notes, folders)


def _contents(record: Record) -> str:
    """Of the folder that its images come from, as its fingerprint has it; else empty."""
    return str(record["fingerprint"]).partition(CONTENTS_SEPARATOR)[2]


def _completed(record: Record) -> Record:
    """With the axes that nobody named when it was written, so that it is a record of the same cell as a new one."""
    later = LATER_AXES.get(record["kind"], {})
    return {**record, "cell": {**record["cell"], **{n: v for n, v in later.items() if n not in record["cell"]}}}


def _clean(value: Any) -> Any:
    """The same JSON with text that can be written down."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("�", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
