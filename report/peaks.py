"""Shares of the machine's peak: what part of the fastest matrix product measured here a contestant comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from results.schema import Record


@dataclass(frozen=True)
class Peaks:
    """The peaks that a run measured (``about``: its run.json); false where it has none, as runs before they existed."""

    about: dict[str, Any]

    def __bool__(self) -> bool:
        return False

    def share(self, record: Record, what: str) -> float | None:
        """Of the peak at the record's device, precision and threads; None where it can not be told."""
        return None
