"""The journal of a run: records.jsonl, append-only, one record a line, on the disk before append() returns.

A process that is killed in the middle of a write leaves a torn last line.  The next writer moves its bytes to
records.torn and goes on; nothing is ever rewritten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from results.schema import SCHEMA_VERSION, Record, RecordError, dumps, loads, validate

RECORDS = "records.jsonl"
TORN = "records.torn"
RUN_FILE = "run.json"


class JournalError(ValueError):
    """A journal that can not be read or written as it is; the message says where and what to do."""


@dataclass(frozen=True)
class Scan:
    """What a file of records holds: ``torn`` are the bytes of an unfinished last line, from offset ``sound`` on."""

    records: list[Record]
    sound: int
    torn: bytes
    unended: bool
    """The last line is complete, but for its newline."""


def scan(path: Path) -> Scan:
    """Read all lines of ``path``.  JournalError names a broken line in the middle, or an id that stands twice."""
    data = path.read_bytes()
    records: list[Record] = []
    lines: dict[str, int] = {}
    sound = 0
    for number, start, end, line in _lines(data):
        if not line.strip():
            sound = end
            continue
        try:
            record = loads(line)
            _check_head(record)
        except ValueError as error:
            if end == len(data) and not isinstance(error, RecordError):
                return Scan(records, start, data[start:], unended=False)
            raise JournalError(
                f"{path}, line {number}: {error}; the journal was changed by something else than daebench: "
                "restore the file, or move the line elsewhere (its cell is then run again)"
            ) from error
        identity = record["id"]
        if identity in lines and records[lines[identity]]["status"] == "ok":
            raise JournalError(f"{path}, line {number}: id {identity} already stands on an earlier line with status ok")
        lines[identity] = len(records)
        records.append(record)
        sound = end
    return Scan(records, sound, b"", unended=bool(data) and not data.endswith(b"\n"))


def _lines(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(number from 1, start, end, bytes without the newline); only \\n ends a line."""
    start = 0
    number = 0
    while start < len(data):
        number += 1
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline + 1
        yield number, start, end, data[start:end].removesuffix(b"\n")
        start = end


def _check_head(record: object) -> None:
    """The least that a record must be to be found again.  (All of it was checked when it was appended.)"""
    if not isinstance(record, dict):
        raise RecordError("not a JSON object")
    if record.get("schema") != SCHEMA_VERSION:
        validate(record)
    for name, kind in (("id", str), ("kind", str), ("cell", dict), ("fingerprint", str), ("status", str)):
        if not isinstance(record.get(name), kind):
            raise RecordError(f"{name} = {record.get(name)!r} should be a JSON {kind.__name__}")


class Journal:
    """The one writer of a run folder (made if it is not there).

    ``records``: all that stand in it, oldest first.  ``recovered``: None, or one sentence on what was repaired.
    Use it as a context manager, or close() it: the lock is held until then.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.path = self.folder / RECORDS
        self.recovered: str | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        try:
            _lock(self._file, self.path)
            found = scan(self.path)
            self.records: list[Record] = found.records
            self._repair(found)
            _sync_folder(self.folder)
        except BaseException:
            os.close(self._file)
            raise
        self._status = {record["id"]: record["status"] for record in self.records}
        self._open = True

    def _repair(self, found: Scan) -> None:
        if found.torn:
            # Kept before it is cut off: a kill between the two leaves the bytes twice, never not at all.
            _append_bytes(self.folder / TORN, found.torn + b"\n")
            os.ftruncate(self._file, found.sound)
            os.fsync(self._file)
            self.recovered = (
                f"{self.path}: the last line was torn ({len(found.torn)} bytes without an end, as after a kill in the "
                f"middle of a write); it was moved to {TORN} and its cell will be run again"
            )
        elif found.unended:
            write_all(self._file, b"\n")
            os.fsync(self._file)
            self.recovered = f"{self.path}: the last line was complete but for its newline, which was added"

    def has(self, identity: str) -> bool:
        """Is there a record with this id?"""
        return identity in self._status

    def append(self, record: Record, *, supersede: bool = False) -> None:
        """Check ``record`` and put it on the disk.

        RecordError if it is not what the schema allows.  JournalError if its id is known already; with
        ``supersede`` a record may follow one of the same id that was not ok (a retry, or a cell that was skipped).
        """
        if not self._open:
            raise JournalError(f"{self.path} is closed")
        line = dumps(record)
        record = loads(line)  # what a reader will get: tuples are lists, and later changes by the caller stay outside
        validate(record)
        identity, status = record["id"], self._status.get(record["id"])
        if status is not None and not (supersede and status != "ok"):
            raise JournalError(f"{self.path}: id {identity} is known already (status {status})")
        size = os.fstat(self._file).st_size
        try:
            write_all(self._file, line.encode() + b"\n")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)  # a full disk must not leave half a line behind
            raise JournalError(f"{self.path}: could not be written: {error}") from error
        self.records.append(record)
        self._status[identity] = record["status"]

    def close(self) -> None:
        """Release the lock.  Closing twice is fine."""
        if self._open:
            self._open = False
            os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def named(folder: Path) -> Path:
    """``folder`` by a name of its own: what "." and ".." say changes when the folder is moved."""
    return folder if folder.name not in ("", "..") else folder.resolve()


def move_aside(folder: Path) -> Path | None:
    """Rename a run folder; its new name, or None if there is no run in it.  JournalError if it is being written.

    Nothing of it is read: who starts anew may do so because it can not be.
    """
    folder = named(folder)
    try:
        file = os.open(folder / RECORDS, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        _lock(file, folder / RECORDS)
    finally:
        os.close(file)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    target = folder.with_name(f"{folder.name}.{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = folder.with_name(f"{folder.name}.{stamp}-{number}")
    return folder.rename(target)


def read_run_file(folder: Path | str) -> dict[str, Any]:
    """run.json as it stands.  JournalError if it is missing, no JSON object, or of another schema."""
    path = Path(folder) / RUN_FILE
    try:
        about = loads(path.read_bytes())
    except FileNotFoundError:
        raise JournalError(f"{path} is missing: {folder} is not the folder of a run") from None
    except ValueError as error:
        raise JournalError(f"{path}: {error}") from error
    if not isinstance(about, dict):
        raise JournalError(f"{path}: not a JSON object")
    if about.get("schema") != SCHEMA_VERSION:
        raise JournalError(f"{path}: schema = {about.get('schema')!r}, but this version reads schema {SCHEMA_VERSION}")
    return about


def write_run_file(folder: Path | str, data: dict[str, Any]) -> None:
    """Replace run.json in one step: whoever reads sees the old file or the new one.  RecordError on what is no JSON."""
    dumps(data)
    replace_file(Path(folder) / RUN_FILE, json.dumps(data, allow_nan=False, indent=2) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Let ``text`` stand in ``path``, in one step and for good: on the disk when this is back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_all(file: int, data: bytes) -> None:
    """All of ``data`` to a descriptor, past every buffer: a write that fails is not tried again when it is closed."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _append_bytes(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the names of new files durable, where the system can (not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        except OSError:
            pass  # some network file systems refuse; the file itself is synced
        finally:
            os.close(handle)


def _lock(file: int, path: Path) -> None:
    """One writer at a time; the lock goes with the process, however it ends.  Without fcntl there is no lock."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalError(
            f"{path} is being written by another process: wait until that run has ended, or use another --out"
        ) from None
    except OSError:
        return  # a file system without locks; better an unlocked run than none
