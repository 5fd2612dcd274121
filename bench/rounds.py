"""Rounds of a timing session that is not done, in a file: what was stopped goes on with the next round.

A session becomes records only when it is over, and some take an hour.  A round is whole in itself: fresh processes, all
contestants; so those that were measured before an interrupt count like any other.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results.journal import replace_file

SCHEMA = 1


class Rounds:
    """In ``path``, valid for one session of ``owners``: whatever makes them worthless when it changes (ids of cells, of
    the environment)."""

    def __init__(self, path: Path, owners: Sequence[str]) -> None:
        self.path = path
        self._owner = {"schema": SCHEMA, "owners": sorted(owners)}

    def load(self) -> dict[str, Any] | None:
        """What :meth:`save` was given last; None if there is nothing, or nothing of this session."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        mine = isinstance(found, dict) and {name: found.get(name) for name in self._owner} == self._owner
        return found["content"] if mine else None

    def save(self, content: dict[str, Any]) -> None:
        """Whole or not at all, whatever happens meanwhile."""
        replace_file(self.path, json.dumps({**self._owner, "content": content}, allow_nan=False))

    def clear(self) -> None:
        """The session is in the journal."""
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others are still there
            self.path.parent.rmdir()
