"""Time to PSNR: how long each timed contestant trains, from nothing, until the validation PSNR passes a target."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from report.groups import epoch_images
from report.naming import TRAINING, configuration_label, describe, natural_key, varying
from report.quality import condition_axes
from report.speed import Contestant, Workload
from report.tradeoff import SHARED, cell_of, linked
from results.loading import Run
from results.roles import role
from results.schema import Record
from results.statistics import Interval, paired_ratio
from results.targets import Reach, expected_seconds, highest, reach, seconds_by_round, whole_targets

Condition = tuple[Any, ...]


@dataclass(frozen=True)
class Attempt:
    """One contestant.  ``reaches`` and ``expected`` (s) by target; ``own``: the curve is of this backend and track,
    so that the trial's clock is this contestant's; ``best``: the highest PSNR of the curve, dB; ``epochs``: its length.
    """

    contestant: Contestant
    network: str
    reaches: tuple[Reach, ...]
    expected: tuple[Interval | None, ...]
    own: bool
    best: float
    epochs: int
    last: dict[int, float]
    """Seconds to the last target by round; empty where it is not reached."""


@dataclass(frozen=True)
class Race:
    """All contestants of one machine under the one condition that most of them were trained on.  ``images``: of an
    epoch."""

    condition: str
    images: int
    targets: tuple[int, ...]
    """dB, ascending and above the noisy input: the last whole dB that all reach, and the last that the best reaches."""
    attempts: tuple[Attempt, ...]
    """The first to the last target first; those that do not reach it by the time to the one before."""

    @property
    def winner(self) -> Attempt | None:
        """The first to the last target."""
        return self.attempts[0] if self.attempts and self.attempts[0].expected[-1] is not None else None

    @property
    def tied(self) -> list[Attempt]:
        """Who is not told apart from the winner, round by round."""
        return [one for one in self.attempts[1:] if one.last and _not_told_apart(one.last, self.attempts[0].last)]


def race(run: Run, loads: Sequence[Workload], distrusted: frozenset[str] = frozenset()) -> Race | None:
    """None without ranked contestants whose network has learning curves, and where nobody comes to a whole dB above the
    noisy input.  Trials in ``distrusted`` (ids) are of backends that compute something else."""
    trials = [
        record
        for record in run.of("trial", "ok")
        if record.get("curve") and epoch_images(record) and record["id"] not in distrusted
    ]
    machines: dict[str, list[Contestant]] = defaultdict(list)
    for load in loads:  # seconds of two machines are never compared
        machines[load.environment] += [one for standing in load.ranked if (one := standing.contestant).costs]
    if not trials or not any(machines.values()):
        return None
    axes = [name for name in condition_axes(trials[0]["cell"]) if name not in TRAINING]
    groups: dict[Condition, list[Record]] = defaultdict(list)
    for record in trials:
        groups[tuple(record["cell"].get(name) for name in axes)].append(record)
    best: tuple[int, int, Condition, list[Contestant]] | None = None
    for condition in sorted(groups, key=lambda key: [natural_key(part) for part in key]):
        for _, timed in sorted(machines.items()):
            covered = [found for one in timed if (found := _curves(one, groups[condition]))]
            worth = (len(covered), sum(map(len, covered)))
            if _targets(covered, groups[condition]) and (best is None or worth > best[:2]):
                best = (*worth, condition, timed)
    if best is None:
        return None
    group, timed = groups[best[2]], best[3]
    cell = group[0]["cell"]
    label_axes = varying((record["cell"] for record in trials), [name for name in axes if name != "corruption"])
    title = ", ".join(filter(None, [f"{cell['dataset']}, {cell['corruption']}", describe(cell, label_axes)]))
    images = epoch_images(group[0])
    assert images is not None, "others have been left out"
    racing = [(one, found) for one in timed if (found := _curves(one, group))]
    return _race(title, images, racing, _targets([found for _, found in racing], group))


def _targets(networks: Sequence[Sequence[Record]], group: Sequence[Record]) -> tuple[int, ...]:
    """Of ``networks`` (of each the trials), all of one condition, to which the trials of ``group`` belong."""
    noisy = max((record["metrics"].get("psnr_noisy", -math.inf) for record in group), default=-math.inf)
    return whole_targets(([record["curve"] for record in found] for found in networks), noisy)


def _race(title: str, images: int, timed: Sequence[tuple[Contestant, list[Record]]], targets: tuple[int, ...]) -> Race:
    attempts = []
    named = varying((cell_of(one) for one, _ in timed), SHARED)
    for one, found in timed:
        curves = [record["curve"] for record in found]
        reaches = tuple(reach(curves, target) for target in targets)
        rounds = one.record["samples"]["rounds"]
        epochs = reaches[-1].typical_epochs if reaches else None
        last = {} if epochs is None else seconds_by_round(rounds, epochs, images)
        expected = tuple(
            None if each.typical_epochs is None else expected_seconds(rounds, each.typical_epochs, images)
            for each in reaches
        )
        own = {(record["cell"]["backend"], record["cell"]["track"]) for record in found} == {(one.backend, one.track)}
        network = configuration_label(cell_of(one), named)
        length = max(len(curve) for curve in curves)
        attempts.append(Attempt(one, network, reaches, expected, own, highest(curves) or math.nan, length, last))

    def order(attempt: Attempt) -> tuple[Any, ...]:
        ends = [math.inf if time is None else time.value for time in reversed(attempt.expected)]
        return (*ends, attempt.network, attempt.contestant.name)

    return Race(title, images, targets, tuple(sorted(attempts, key=order)))


def _not_told_apart(a: dict[int, float], b: dict[int, float]) -> bool:
    common = sorted(a.keys() & b.keys())
    if len(common) < 2:
        return True
    return paired_ratio([a[number] for number in common], [b[number] for number in common]).includes(1.0)


def _curves(one: Contestant, trials: Sequence[Record]) -> list[Record]:
    """Trials, one for each seed, whose curves are this contestant's: its own, or its backend's other track's, or else
    those of one other backend that trains the same network the same way.  Of several lengths the longest."""
    wanted = linked(cell_of(one))
    same = [record for record in trials if linked(record["cell"])[1:] == wanted[1:]]
    if not same:
        return []

    def whose(record: Record) -> tuple[bool, bool, str, str]:
        cell = record["cell"]
        foreign = cell["backend"] != one.backend
        return (foreign, foreign or cell["track"] != one.track, cell["backend"], cell["track"])

    first = min(map(whose, same))
    # Where each cell was trained once, seeds need not have been trained by one and the same.
    chosen = [record for record in same if whose(record) == first or role(record)]
    longest = max(record["cell"]["epochs"] for record in chosen)
    by_seed = {record["cell"]["seed"]: record for record in chosen if record["cell"]["epochs"] == longest}
    return [by_seed[seed] for seed in sorted(by_seed)]
