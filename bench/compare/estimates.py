"""From a change and its errors to a verdict, where the two sides were not measured side by side.

Rounds that ran side by side are judged in pairs (:mod:`results.verdicts`).  Two recorded runs have no pairs: the
processes of one scatter about the level of *their* session, those of the other about theirs.  So a change has two
errors: one that further processes would shrink, and one that they would not (how far sessions drift apart).  The
rules are those of :func:`results.verdicts.judge`, with Welch's t (Welch 1947, "The generalization of Student's
problem when several different population variances are involved") in place of the paired one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.comparison import Outcome
from results.statistics import Interval
from results.verdicts import POWER, decide

MANY = 1e6
"""Degrees of freedom from which Student's t is the normal distribution, to all digits that matter."""
LONGEST = 1e4
"""Times as long: nobody waits for a longer session than that."""
_STEP = 1.05


@dataclass(frozen=True)
class Estimate:
    """A change (log ratio of costs, or decibels lost; positive is worse) and its standard errors."""

    change: float
    error: float
    """What more processes (or seeds) like these would shrink."""
    freedom: float
    """Degrees of freedom of ``error``."""
    fixed: float = 0.0
    """What they would not: it counts as known."""

    def longer(self, factor: float) -> Estimate:
        """The same, measured ``factor`` times as long."""
        return Estimate(self.change, self.error / math.sqrt(factor), self.freedom * factor, self.fixed)

    @property
    def total(self) -> float:
        # Equal figures in all processes: certain, as far as they can tell.
        return max(math.hypot(self.error, self.fixed), 1e-300)

    def bound(self, level: float) -> float:
        """How far a one-sided bound at ``level`` is from the change: Student's t with the degrees of freedom of
        Satterthwaite (1946, "An approximate distribution of estimates of variance components")."""
        from scipy.special import stdtrit

        freedom = min(self.freedom * (self.total / self.error) ** 4, MANY) if self.error > 0 else MANY
        return -float(stdtrit(freedom, level)) * self.total


@dataclass(frozen=True)
class Judged:
    """``change``: the estimate with its interval, both ends at the level that a pass is judged by.  ``detectable``:
    found in 95 of 100 cases.  ``longer``: how many times as long such a measurement
    would have to be to find the margin; None where none is long enough, or none needed."""

    outcome: Outcome
    change: Interval
    detectable: float
    longer: float | None


def welch(base: Sequence[float], head: Sequence[float]) -> Estimate | None:
    """The change from ``base`` to ``head``: logarithms of costs of processes, two or more a side, else None."""
    if min(len(base), len(head)) < 2:
        return None
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (base, head)]
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (base, head), strict=True))
    freedom = sum(parts) ** 2 / spread if spread > 0 else float(len(base) + len(head) - 2)
    return Estimate(float(np.mean(head) - np.mean(base)), math.sqrt(sum(parts)), freedom)


def paired(differences: Sequence[float]) -> Estimate:
    """The change that ``differences`` (two or more, positive is worse) say."""
    count = len(differences)
    return Estimate(float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(count), count - 1.0)


def judge(estimate: Estimate, margin: float, level_worse: float, level_pass: float) -> Judged:
    """By the rule of :func:`results.verdicts.decide`; the interval is shown at the laxer of the two levels."""
    outcome = decide(estimate.change, estimate.bound(level_worse), estimate.bound(level_pass), margin)
    half = estimate.bound(max(level_worse, level_pass))
    change = Interval(estimate.change, estimate.change - half, estimate.change + half)
    longer = _longer(estimate, margin, level_worse, level_pass) if outcome == "inconclusive" else None
    return Judged(outcome, change, detectable(estimate, level_worse), longer)


def detectable(estimate: Estimate, level: float) -> float:
    """The change that is found at ``level`` in 95 of 100 cases: the bound, and as much again as the error of the
    estimate may hide of it (normal, for the error is the sum of many)."""
    from scipy.special import ndtri

    return estimate.bound(level) + float(ndtri(POWER)) * estimate.total


def judge_family(
    estimates: Sequence[Estimate], margins: Sequence[float], alpha: float, alpha_pass: float
) -> list[Judged]:
    """All of them, with a chance of at most ``alpha`` that any is called regressed where none is (Holm 1979, "A simple
    sequentially rejective multiple test procedure"): each that is found worse frees its share for the others.  A
    row that is worse by its margin passes with a chance of at most ``alpha_pass``."""
    rejected: set[int] = set()
    while True:
        level = alpha / max(len(estimates) - len(rejected), 1)
        judged = [
            judge(estimate, margin, level, alpha_pass) for estimate, margin in zip(estimates, margins, strict=True)
        ]
        found = {index for index, verdict in enumerate(judged) if verdict.outcome == "regressed"}
        if found <= rejected:
            return judged
        rejected |= found


def _longer(estimate: Estimate, margin: float, level_worse: float, level_pass: float) -> float | None:
    def finds(factor: float) -> bool:
        return detectable(estimate.longer(factor), level_worse) <= margin

    def decides(factor: float) -> bool:
        then = estimate.longer(factor)
        return decide(then.change, then.bound(level_worse), then.bound(level_pass), margin) != "inconclusive"

    # A measurement that finds the margin and has not decided yet met a change in between: what would decide that?
    goal = decides if finds(1.0) else finds
    factor = 1.0
    while factor < LONGEST:
        factor *= _STEP
        if goal(factor):
            return factor
    return None
