"""Trials that belong together, and figures over their seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from results.convergence import trained_on
from results.schema import Record
from results.statistics import Interval, mean_interval

Metrics = Mapping[str, float]


def alike(records: Iterable[Record], names: Sequence[str]) -> list[list[Record]]:
    """The records by those axes of their cells that ``names`` says, in the order in which they first appear."""
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[tuple(record["cell"].get(name) for name in names)].append(record)
    return list(groups.values())


def over_seeds(by_seed: Mapping[int, Sequence[Metrics]], name: str) -> Interval:
    """The mean of the metric ``name`` over backends and seeds.

    The interval is over seeds where there are several.  Else it is that over test images, from the metrics
    ``NAME_low`` and ``NAME_high``: means over backends, unknown where one has none.
    """
    means = [mean([metrics[name] for metrics in found]) for _, found in sorted(by_seed.items())]
    if len(means) > 1:
        return mean_interval(means)
    (found,) = by_seed.values()
    low, high = (mean([metrics.get(f"{name}_{end}", math.nan) for metrics in found]) for end in ("low", "high"))
    return Interval(means[0], low, high)


def epoch_images(trial: Record) -> int | None:
    """Images that a trial sees in an epoch, each copy of ``repeats`` counted; None where it takes all there are and
    its record does not say how many that is."""
    cell = trial["cell"]
    train = trial.get("images", {}).get("train", trained_on(cell))
    return None if train is None else int(train) * int(cell.get("repeats", 1))


def counted(conditions: Sequence[tuple[str, str]]) -> str:
    """What a mean is over, from the (corruption, label) of each condition: the label of a single one, "3 corruptions"
    where they differ in nothing else, or "6 conditions"."""
    if len(conditions) == 1:
        return conditions[0][1]
    alone = len({corruption for corruption, _ in conditions}) == len(conditions)
    return f"{len(conditions)} {'corruptions' if alone else 'conditions'}"


def mean(values: Iterable[float]) -> float:
    """Of at least one number."""
    every = list(values)
    return math.fsum(every) / len(every)
