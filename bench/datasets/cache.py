"""Arrays that are slow to make, kept in the cache folder.  Never an error: a cache that fails is computed anew."""

from __future__ import annotations

import contextlib
import os
import tempfile
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
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **content)  # type: ignore[arg-type]
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
