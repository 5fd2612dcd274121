"""Backends in files that somebody names: ``--backend-file PATH``.

Every class of the file that subclasses :class:`Adapter` is a backend, named by its ``name``; one whose own name begins
with an underscore is not, and may be a base of others.  They are announced in the environment, so that worker
processes, which start anew, find them as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from implementations import source_file
from implementations.adapter import EXTRA_BACKENDS, Adapter, Announcement, backends, incomplete

RESERVED = ("all", "reference")
"""Names that mean something else where a backend is named."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+\[\]-]*")


class BackendFileError(ValueError):
    """A file that holds no backend, or one that can not be announced; the message says what to change."""


def classes(path: Path) -> list[type[Adapter]]:
    """The backends in file ``path``, complete and with a name each.  BackendFileError where there are none."""
    try:
        module = source_file.load(path)
    except source_file.SourceFileError as error:
        raise BackendFileError(str(error)) from error
    own = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Adapter) and kind.__module__ == module.__name__
    ]
    public = list(dict.fromkeys(kind for kind in own if not kind.__name__.startswith("_")))
    if not public:
        raise BackendFileError(
            f"{path}: there is no backend in it: a class that subclasses implementations.adapter.Adapter is needed, "
            "whose name does not begin with an underscore"
        )
    for kind in public:
        if trouble := incomplete(kind):
            raise BackendFileError(f"{path}: class {kind.__name__} {trouble}")
        if not isinstance(kind.name, str) or not _NAME.fullmatch(kind.name) or kind.name in RESERVED:
            raise BackendFileError(
                f"{path}: class {kind.__name__} has name = {kind.name!r}: letters, digits and _ . + - [ ] are allowed, "
                f"but not {' or '.join(RESERVED)}"
            )
    return public


def announce(paths: Iterable[Path]) -> list[str]:
    """Announce the backends of the files to this process and to all that it starts; returns their names.

    BackendFileError, and nothing of that file is announced, for a name that is taken, be it by another of these files.
    To announce one and the same class twice is no mistake.
    """
    names = []
    for path in paths:
        place = os.path.abspath(path)
        if ";" in place:
            raise BackendFileError(f"{path}: a path with ; in it can not be handed on to worker processes: rename it")
        wanted = [Announcement(kind.name, f"{place}:{kind.__name__}") for kind in classes(path)]
        known = backends()
        for index, new in enumerate(wanted):
            others = [other for other in wanted[:index] if other.name == new.name]
            taken = next(iter(others), known.get(new.name))
            if taken is not None and taken != new:
                raise BackendFileError(
                    f"{path}: the name {new.name!r} is taken by {taken.value}; give the class another name"
                )
        added = [f"{new.name}={new.value}" for new in wanted if new.name not in known]
        before = os.environ.get(EXTRA_BACKENDS, "")
        os.environ[EXTRA_BACKENDS] = ";".join(filter(None, [before, *added]))
        names += [new.name for new in wanted]
    return names
