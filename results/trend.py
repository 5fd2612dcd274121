"""A history as series: one metric of one cell on one machine, commit by commit, with its steps and what else changed.

Changes are signed as in a comparison: *positive is worse*, whatever the metric; for speeds, times and sizes the cost
after over the cost before, minus 1 (0.03: 3 % slower), for PSNR the decibels lost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from results.history import TRACKED, Entry, History, Tracked
from results.statistics import Interval
from results.steps import Levels, find_levels


@dataclass(frozen=True)
class Point:
    """A figure of one commit.  ``position``: of its entry among those of the machine, from 0."""

    position: int
    entry: Entry
    figure: Interval


@dataclass(frozen=True)
class Event:
    """What was installed otherwise than in the entry of the machine before: "torch 2.12.1 → 2.13.0"."""

    position: int
    entry: Entry
    changes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return ", ".join(self.changes)


@dataclass(frozen=True)
class Step:
    """A change of level between two runs.  ``change``: positive is worse.  ``events``: what else changed there."""

    point: Point
    before: float
    after: float
    change: float
    events: tuple[Event, ...] = ()

    @property
    def worse(self) -> bool:
        return self.change > 0


@dataclass(frozen=True)
class Series:
    """One metric of one cell on one machine.  Runs with changes that no commit holds are left out."""

    machine: str
    label: str
    metric: str
    points: tuple[Point, ...]
    events: tuple[Event, ...] = ()

    @property
    def tracked(self) -> Tracked:
        return TRACKED[self.metric]

    @cached_property
    def costs(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Figures on the scale on which noise adds up, more is worse: logarithms, or dB; shape (points,)."""
        values = np.array([point.figure.value for point in self.points], np.float64)
        scaled = np.log(values) if self.tracked.scale == "ratio" else values
        return -scaled if self.tracked.more_is_better else scaled

    @cached_property
    def levels(self) -> Levels:
        return find_levels(self.costs, floor=self.tracked.floor, smallest=self.tracked.smallest)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Changes of level, oldest first."""
        found = []
        for before, after in itertools.pairwise(self.levels.pieces):
            point, last = self.points[after.start], self.points[after.start - 1]
            meanwhile = tuple(event for event in self.events if last.position < event.position <= point.position)
            change = self.change(after.value, before.value)
            found.append(Step(point, self.figure(before.value), self.figure(after.value), change, meanwhile))
        return tuple(found)

    @property
    def level(self) -> float:
        """The latest one, in the unit of the metric."""
        return self.figure(self.levels.pieces[-1].value)

    def change(self, cost: float, than: float) -> float:
        """By how much one cost is worse than another."""
        return math.expm1(cost - than) if self.tracked.scale == "ratio" else cost - than

    def figure(self, cost: float) -> float:
        """The inverse of ``costs``."""
        scaled = -cost if self.tracked.more_is_better else cost
        return math.exp(scaled) if self.tracked.scale == "ratio" else scaled


@dataclass(frozen=True)
class MachineTrend:
    """All that is known of one machine: its entries in order, what changed on it, its series."""

    machine: str
    entries: tuple[Entry, ...]
    events: tuple[Event, ...]
    series: tuple[Series, ...]

    @property
    def steps(self) -> list[tuple[Series, Step]]:
        """Of all series, the newest first."""
        found = [(series, step) for series in self.series for step in series.steps]
        return sorted(found, key=lambda pair: (-pair[1].point.position, -abs(pair[1].change)))

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(label, status) of the cells that the newest entry could not compute."""
        return [(label, cell["status"]) for label, cell in self.entries[-1].cells.items() if cell["status"] != "ok"]


def trends(history: History) -> list[MachineTrend]:
    """By machine, the one with the newest commit first."""
    return [_trend(machine, entries) for machine, entries in history.machines().items()]


def _trend(machine: str, entries: Sequence[Entry]) -> MachineTrend:
    events = tuple(_events(entries))
    points: dict[tuple[str, str], list[Point]] = {}
    for position, entry in enumerate(entries):
        if entry.dirty:
            continue
        for label, cell in entry.cells.items():
            for metric, (value, low, high) in cell.get("metrics", {}).items():
                if metric in TRACKED:
                    ends = (math.nan if end is None else float(end) for end in (low, high))
                    points.setdefault((label, metric), []).append(Point(position, entry, Interval(value, *ends)))
    order = list(TRACKED)
    keys = sorted(points, key=lambda key: (key[0], order.index(key[1])))
    series = tuple(Series(machine, label, metric, tuple(points[label, metric]), events) for label, metric in keys)
    return MachineTrend(machine, tuple(entries), events, series)


def _events(entries: Sequence[Entry]) -> list[Event]:
    found = []
    for position, (before, after) in enumerate(itertools.pairwise(entries), 1):
        changes = []
        for name in sorted({*before.versions, *after.versions}):
            old, new = before.versions.get(name), after.versions.get(name)
            if old != new:
                changes.append(f"{name} {old or 'absent'} → {new or 'absent'}")
        if changes:
            found.append(Event(position, after, tuple(changes)))
    return found
