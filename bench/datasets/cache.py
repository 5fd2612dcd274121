"""Arrays that are slow to make, kept in the cache folder.  Never an error: a cache that fails is computed anew."""

from __future__ import annotations

import contextlib
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets.base import cache_dir

Arrays = dict[str, NDArray[Any]]

UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What numpy and zipfile raise for a file that is missing, torn, or something else altogether."""


def arrays(folder: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """``make()``, or what it gave the last time under this key, which has to name everything that it depends on."""
    path = cache_dir() / folder / f"{key}.npz"
    # What a damaged zip file raises depends on where the damage is; none of it is the person's concern.
    with contextlib.suppress(*UNREADABLE), np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
    made = make()
    with contextlib.suppress(OSError):
        _write(path, made)
    return made


def _write(path: Path, content: Arrays) -> None:
    """All or nothing: two processes may write the same file, a third may read it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        with part.open("xb") as file:
            np.savez(file, **content)  # type: ignore[arg-type]
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Beside ``path``, where it is written before it is put in its place: no other process has this name.

    A file that is opened there anew gets the rights that the umask leaves; one of :mod:`tempfile` would be for its
    owner alone, and others may share the cache.
    """
    return path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
