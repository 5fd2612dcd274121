"""Cold costs: what a fresh process pays once, before it trains at its rate.

Only the first network that a process is given tells them.  What a framework loads and sets up for its first one is
there for the second: torch builds dense in 0.7 s, and after another network in 3 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from results.schema import Record
from results.statistics import over_processes

COLD_COSTS = ("import_seconds", "build_seconds", "staging_seconds", "first_step_seconds")
"""Importing, making model and optimizer, placing the data, the first training call; s.  Names of metrics and of a
round's figures."""


def is_fresh(entry: Mapping[str, Any]) -> bool:
    """Whether the process of a round (an entry of ``samples.rounds``) had been given nothing else before.

    Rounds from before this was written down tell it by their memory, which was measured in such processes alone.
    """
    return bool(entry.get("fresh", entry.get("peak_memory_bytes") is not None))


def cold_metrics(rounds: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Each cold cost over the fresh processes among ``rounds``, with ``_low`` and ``_high`` where there are several;
    nothing without any."""
    fresh = [entry for entry in rounds if is_fresh(entry)]
    metrics: dict[str, float] = {}
    for name in COLD_COSTS:
        metrics |= over_processes(name, [entry[name] for entry in fresh if entry.get(name) is not None])
    return metrics


def mended(record: Record) -> Record:
    """``record`` with the cold costs of its fresh processes: old ones have medians over all of them."""
    rounds: Sequence[Mapping[str, Any]] = (record.get("samples") or {}).get("rounds") or []
    if "metrics" not in record or not rounds or all("fresh" in entry for entry in rounds):
        return record
    wrong = {f"{name}{end}" for name in COLD_COSTS for end in ("", "_low", "_high")}
    others = {name: value for name, value in record["metrics"].items() if name not in wrong}
    return {**record, "metrics": others | cold_metrics(rounds)}
