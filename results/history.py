"""The history of a project's figures: one line a commit, machine and run; append-only; read as series with steps.

A history is a file of JSON lines (README.md, "history").  Only like is joined: figures of one cell, measured on one
machine (the same processor, cores, GPUs and minor version of Python).  Other versions of libraries do not part a
series, for their effect is what one wants to see; they stand in it as events.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from results.journal import write_all
from results.schema import dumps, loads

HISTORY_SCHEMA = 1
TORN_SUFFIX = ".torn"


class HistoryError(ValueError):
    """A history that can not be read or added to as it is; the message says where and what to do."""


@dataclass(frozen=True)
class Tracked:
    """A metric that is followed.  ``floor``: the least standard deviation between runs that is believed; ``smallest``:
    steps below it are not marked.  Both as fractions for ``scale`` "ratio", in dB for "dB"."""

    title: str
    unit: str
    more_is_better: bool
    scale: Literal["ratio", "dB"]
    floor: float
    smallest: float


# A machine scatters by 0.7 % between processes, and a run takes the median of some: 0.5 % between runs is the least.
# Cold costs and memory are read once a process and depend on disk caches and allocators: they scatter more.  With one
# machine and one version the same seeds give the same PSNR but for the order of summation.
_SPEED, _COLD = (0.005, 0.015), (0.03, 0.10)
TRACKED: Mapping[str, Tracked] = {
    "train_samples_per_second": Tracked("training", "images/s", True, "ratio", *_SPEED),
    "inference_samples_per_second": Tracked("inference", "images/s", True, "ratio", *_SPEED),
    "latency_seconds": Tracked("latency of one image", "s", False, "ratio", *_SPEED),
    "psnr": Tracked("PSNR", "dB", True, "dB", 0.01, 0.05),
    "import_seconds": Tracked("import", "s", False, "ratio", *_COLD),
    "first_step_seconds": Tracked("first step", "s", False, "ratio", *_COLD),
    "peak_memory_bytes": Tracked("peak memory", "bytes", False, "ratio", 0.01, 0.03),
}
"""By the names of the records' metrics."""


@dataclass(frozen=True)
class Entry:
    """One line: what one commit came to on one machine, in one run of a sweep.

    ``machine``: hash of ``facts``, by which entries are joined.  ``versions``: packages, Python and drivers.
    ``cells``: by label, each ``{"status", "cell", "metrics": {name: [value, low, high]}}``; ends are null where there
    is no interval, ``metrics`` is empty unless the status is ok.  ``dirty``: there were changes that no commit holds.
    """

    commit: str
    committed: str
    """ISO 8601, UTC."""
    run: str
    machine: str
    started: str
    facts: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    dirty: bool = False
    unfinished: str = ""
    """How much of the run's plan is not done, and why; "" where all is, or an older version wrote the line."""

    @property
    def identity(self) -> tuple[str, bool, str, str]:
        """Of two entries with the same, the later one counts."""
        return self.commit, self.dirty, self.machine, self.run

    @property
    def name(self) -> str:
        """The commit as people read it."""
        return self.commit[:10] + ("+changes" if self.dirty else "")

    def to_json(self) -> str:
        """The line, without its end."""
        return dumps({"schema": HISTORY_SCHEMA, **asdict(self)})


@dataclass(frozen=True)
class History:
    """``entries`` that count, by date of the commit.  ``replaced``: how many lines later ones replaced."""

    entries: tuple[Entry, ...] = ()
    replaced: int = 0
    notes: tuple[str, ...] = ()

    def machines(self) -> dict[str, list[Entry]]:
        """Entries by machine, the machine with the newest commit first."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.machine, []).append(entry)
        return dict(sorted(found.items(), key=lambda item: item[1][-1].committed, reverse=True))


def read_history(path: Path | str) -> History:
    """All that stands in ``path``; nothing where there is no such file.

    An unfinished last line, as a kill in the middle of a write leaves it, is left out and noted.  HistoryError names
    any other line that can not be read.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return History()
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror or error}: name another file with --file") from error
    entries, sound = _parse(path, data)
    torn = len(data) - sound
    notes = (f"{path}: the last line is unfinished and was left out ({torn} bytes)",) if torn else ()
    counting = {entry.identity: entry for entry in entries}
    ordered = sorted(counting.values(), key=lambda entry: (entry.committed, entry.started))
    return History(tuple(ordered), len(entries) - len(counting), notes)


def append_history(path: Path | str, entries: Iterable[Entry], *, replace: bool = False) -> list[Entry]:
    """Add lines for ``entries`` and return those that they replace.

    On the disk before this returns; all of them or, on an error, none.  HistoryError if one of the same commit,
    machine and run is there, unless ``replace``: the old line stays, and the new one counts.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    added = list(entries)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        _lock(descriptor)
        data = file.read()
        known, sound = _parse(path, data)
        there = {entry.identity: entry for entry in known}
        replaced = [there[entry.identity] for entry in added if entry.identity in there]
        if replaced and not replace:
            old = replaced[0]
            raise HistoryError(
                f"{path}: commit {old.name} is there already, for run {old.run!r} on this machine (measured "
                f"{old.started}): add it again with --replace, and the new figures count"
            )
        if data[sound:]:
            # Kept before it is cut off: a kill between the two leaves the bytes twice, never not at all.
            with path.with_name(path.name + TORN_SUFFIX).open("ab") as torn:
                torn.write(data[sound:] + b"\n")
                torn.flush()
                os.fsync(torn.fileno())
            os.ftruncate(descriptor, sound)
        lines = "".join(entry.to_json() + "\n" for entry in added)
        unended = bool(data[:sound]) and not data[:sound].endswith(b"\n")
        try:
            write_all(descriptor, ("\n" if unended else "").encode() + lines.encode())
            os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, sound)  # a full disk must not leave half a line behind
            raise HistoryError(f"{path}: could not be written: {error}") from error
    return replaced


def _parse(path: Path, data: bytes) -> tuple[list[Entry], int]:
    """The entries, and where the sound part of ``data`` ends."""
    entries: list[Entry] = []
    sound = 0
    for number, end, line in _lines(data):
        if line.strip():
            try:
                entries.append(_entry(loads(line)))
            except HistoryError as error:
                raise HistoryError(f"{path}, line {number}: {error}") from None
            except ValueError as error:
                if end == len(data):
                    break
                raise HistoryError(
                    f"{path}, line {number}: {error}; the history was changed by something else than daebench: "
                    "restore the file, or remove the line"
                ) from None
        sound = end
    return entries, sound


def _lines(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, end, bytes) of each line."""
    end = 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        end += len(line)
        yield number, end, line


_TYPES: Mapping[str, type] = {
    "commit": str, "committed": str, "run": str, "machine": str, "started": str,
    "facts": dict, "versions": dict, "cells": dict, "dirty": bool,
}  # fmt: skip


_LATER: Mapping[str, type] = {"unfinished": str}
"""Fields that lines of older versions are without."""


def _entry(data: object) -> Entry:
    if not isinstance(data, dict):
        raise HistoryError("not a JSON object")
    if data.get("schema") != HISTORY_SCHEMA:
        raise HistoryError(f"schema = {data.get('schema')!r}: this version of daebench reads schema {HISTORY_SCHEMA}")
    later = {name: kind for name, kind in _LATER.items() if name in data}
    for name, kind in (*_TYPES.items(), *later.items()):
        if not isinstance(data.get(name), kind):
            raise HistoryError(f"{name} = {json.dumps(data.get(name))[:80]} should be a JSON {kind.__name__}")
    for label, cell in data["cells"].items():
        _check_cell(label, cell)
    return Entry(**{name: data[name] for name in (*_TYPES, *later)})


def _check_cell(label: str, cell: object) -> None:
    if not isinstance(cell, dict) or not isinstance(cell.get("cell"), dict) or "status" not in cell:
        raise HistoryError(f"cells[{label!r}] should have status, cell and metrics")
    for name, figures in cell.get("metrics", {}).items():
        if not isinstance(figures, list) or len(figures) != 3 or not _is_number(figures[0]):
            raise HistoryError(f"cells[{label!r}].metrics.{name} = {figures!r} should be [value, low, high]")
        if any(end is not None and not _is_number(end) for end in figures[1:]):
            raise HistoryError(f"cells[{label!r}].metrics.{name} = {figures!r}: ends are numbers or null")
        if name in TRACKED and TRACKED[name].scale == "ratio" and figures[0] <= 0:
            raise HistoryError(f"cells[{label!r}].metrics.{name} = {figures!r} should be positive")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _lock(descriptor: int) -> None:
    """One writer at a time, where the system can; others wait, for it takes a moment only."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except (ImportError, OSError):
        return
