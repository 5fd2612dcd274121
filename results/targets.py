"""Time to PSNR: how long a contestant trains until its validation PSNR first passes a target.

Two figures, kept apart.  *Measured*: the trial's own clock when its curve first passed, which stops while the network
is evaluated, but ran beside other trials.  *Expected*: the epochs that the curve needed, at the rate of a timing
session and begun with its cold costs, for anyone who trains the same network the same way: certified backends compute
the same curve, so any backend's curve will do.

The PSNR is known at the end of each epoch only, so a target counts as passed at the end of the first epoch at which it
is: nothing is interpolated.  Training on after a target can lose it again; the first time counts (as in MLPerf,
Mattson et al. 2020, "MLPerf training benchmark").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.breakeven import cost
from results.rates import call_overhead
from results.statistics import Interval, median_interval

Curve = Sequence[Mapping[str, Any]]
"""``curve`` of a trial record: an entry per epoch with ``epoch``, ``psnr`` (dB) and ``seconds`` (training so far)."""


@dataclass(frozen=True)
class Reach:
    """When the curves of one network, one for each seed, first passed ``target`` dB."""

    target: float
    epochs: tuple[float, ...]
    """Of the seeds that passed, ascending."""
    seconds: tuple[float, ...]
    """On the trials' own clocks, of the seeds that passed and have one, ascending."""
    seeds: int

    @property
    def reached(self) -> bool:
        """Whether more than half of the seeds passed: else the middle one did not."""
        return 2 * len(self.epochs) > self.seeds

    @property
    def typical_epochs(self) -> float | None:
        """The epoch by which more than half of all seeds had passed (of two seeds the later); None if they did not."""
        return self.epochs[self.seeds // 2] if self.reached else None

    @property
    def typical_seconds(self) -> float | None:
        """The same of the trials' clocks."""
        known = len(self.seconds) == len(self.epochs)
        return self.seconds[self.seeds // 2] if self.reached and known else None


def first_passing(curve: Curve, target: float) -> Mapping[str, Any] | None:
    """The first entry with a PSNR of at least ``target`` dB; None if none has."""
    return next((entry for entry in curve if entry.get("psnr") is not None and entry["psnr"] >= target), None)


def reach(curves: Sequence[Curve], target: float) -> Reach:
    """When ``curves``, one for each seed, pass ``target`` dB."""
    passed = [entry for curve in curves if (entry := first_passing(curve, target)) is not None]
    seconds = sorted(float(entry["seconds"]) for entry in passed if entry.get("seconds") is not None)
    return Reach(target, tuple(sorted(float(entry["epoch"]) for entry in passed)), tuple(seconds), len(curves))


def highest(curves: Sequence[Curve]) -> float | None:
    """The PSNR that more than half of the curves come to at some epoch, dB; None without any."""
    tops = [max((float(e["psnr"]) for e in curve if e.get("psnr") is not None), default=-math.inf) for curve in curves]
    middle = sorted(tops, reverse=True)[len(tops) // 2] if tops else -math.inf
    return middle if math.isfinite(middle) else None


def whole_targets(groups: Iterable[Sequence[Curve]], above: float = -math.inf) -> tuple[int, ...]:
    """Targets to compare ``groups`` by (each the curves of one network, a curve for each seed), ascending, at most two.

    The last whole dB that all of them reach, at which all can be compared, and the last that the best of them reaches,
    at which some drop out.  Whole decibels, so that a target does not follow the fourth digit of a run.  All lie
    ``above`` so many dB, those of the noisy input, where whoever does nothing would be first.  Empty without curves,
    and where nobody reaches such a target.
    """
    tops = [top for group in groups if (top := highest(group)) is not None]
    found = {math.floor(min(tops)), math.floor(max(tops))} if tops else set()
    return tuple(sorted(target for target in found if target > above))


def expected_seconds(rounds: Iterable[Mapping[str, Any]], epochs: float, images: int) -> Interval | None:
    """Seconds from nothing to the end of epoch ``epochs`` with ``images`` images each, over the processes of a timing
    record (``samples.rounds``): cold costs, images at the measured rate, and what a call costs for each epoch, since
    someone who looks at the PSNR after every epoch calls as often.  None if no process has a rate and cold costs.

    The interval is that of the timing alone: that another seed may need more epochs is in :class:`Reach`.
    """
    found = seconds_by_round(rounds, epochs, images)
    return median_interval(list(found.values())) if found else None


def seconds_by_round(rounds: Iterable[Mapping[str, Any]], epochs: float, images: int) -> dict[int, float]:
    """The same of each process that has a rate and cold costs, by the number of its round."""
    found = {}
    for entry in rounds:
        one = cost(entry)
        if one is not None:
            seconds = one.seconds(epochs * images) + epochs * (call_overhead(entry, "train") or 0.0)
            found[int(entry["round"])] = seconds
    return found
