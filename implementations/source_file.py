"""A module from a file that lies anywhere, and what to say where there is none.

Such a module can import nothing that lies beside it: it is one file, and its folder is not on the path.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

PREFIX = "daebench_file_"
"""Of the names of such modules; what follows is made of the path."""


class SourceFileError(ValueError):
    """A file that is no module; the message says why, and in which line."""


class _FromSource(SourceFileLoader):
    """Neither reads nor writes ``__pycache__``: that goes by a time in whole seconds, and a file that is being written
    changes faster; and the folder is somebody else's."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def is_path(place: str) -> bool:
    """Whether ``place`` names a file, and not a module: modules have no separators in their names."""
    return os.sep in place or "/" in place


def load(path: Path) -> ModuleType:
    """The module in file ``path``, executed once in a process.  SourceFileError where that can not be."""
    absolute = os.path.abspath(path)
    name = PREFIX + hashlib.sha256(absolute.encode()).hexdigest()[:12]
    if name in sys.modules:
        return sys.modules[name]
    if not os.path.isfile(absolute):
        raise SourceFileError(f"{path}: {'that is a folder, not a file' if path.is_dir() else 'no such file'}")
    loader = _FromSource(name, absolute)
    spec = importlib.util.spec_from_file_location(name, absolute, loader=loader)
    assert spec is not None  # there is a loader
    try:
        code = loader.get_code(name)
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes, before Python 3.12
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        told = error.msg if isinstance(error, SyntaxError) else error
        raise SourceFileError(f"{path}{where}: this is not Python: {told}") from error
    except OSError as error:
        raise SourceFileError(f"{path}: {error.strerror}") from error
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it is executed: dataclasses look their own module up
    try:
        exec(code, vars(module))
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == absolute]
        where = f", line {lines[-1]}" if lines else ""
        raise SourceFileError(f"{path}{where}: {type(error).__name__}: {error}") from error
    return module
