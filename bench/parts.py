"""Where the seconds of a cell go, by the name of what was done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Parts:
    """Seconds by name.  A part within a part counts for itself alone, so that all together are never more than what
    went by."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """What is done inside belongs to ``name``."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._open:
            name = self._open[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now
