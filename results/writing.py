"""Files that somebody asked for by name: pages, figures, verdicts, networks."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """``text`` to ``path``, in one step: who reads it meanwhile finds the old file or the new one.

    What is no plain file by itself (a device, a pipe, a link such as /dev/stdout) stays what it is, and is written
    into.  Characters that are no text, as in names of files that are not UTF-8, are written as escapes.
    """
    data = text.encode("utf-8", errors="backslashreplace")
    if is_special(path):
        with contextlib.suppress(BrokenPipeError), path.open("wb") as file:  # who has closed the pipe has seen enough
            file.write(data)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def drafts(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path``, for files that are looked at before they are :func:`put` in their places; it is
    gone afterwards, with all that was left in it."""
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=".", suffix=".part"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put(draft: Path, path: Path) -> None:
    """The file ``draft``, of the same file system, becomes ``path`` in one step; what is special there is written into,
    as :func:`write_text` does."""
    if is_special(path):
        with draft.open("rb") as source, path.open("wb") as file:
            shutil.copyfileobj(source, file)
        return
    os.replace(draft, path)


def is_special(path: Path) -> bool:
    """Whether something stands there that is no plain file by itself."""
    return path.is_symlink() or (path.exists() and not path.is_file())
