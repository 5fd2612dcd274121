"""From changes to verdicts: pass, regressed, improved, or inconclusive and why.

A change is what one round (a pair of processes; for quality a seed) says of the head against the base, positive
where the head is worse: the logarithm of the ratio of costs, or decibels lost.  Three one-sided tests are made
(Schuirmann 1987, "A comparison of the two one-sided tests procedure"):

* *worse than nothing*: the lower bound lies above 0, and the estimate is at least half the margin.  The second
  condition keeps a session that is long enough to see 0.2 % from failing somebody who allows 3 %.  An alarm fails
  somebody's work, so all figures of a comparison share one chance of a false one, and this level is the strictest.
* *not worse than the margin*: the upper bound lies below it.
* *better than nothing*: the upper bound lies below 0, and the estimate is better by half the margin.  Said of one
  figure, as a pass is, and at its level: nobody's work fails by it.

The first makes it regressed, the second pass, the third improved, none inconclusive; the first two together pass,
since a change that is surely smaller than the margin is what the margin allows.  Rounds are few, and bounds are those
of Student's t.

What is shown is one interval, both ends at the same level for every figure: the laxest of those above.  So a regressed
figure always lies above 0, an improved one below it, and a pass below the margin; an interval that lies above 0 need
not be an alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.comparison import Outcome
from results.sequential import nominal_levels
from results.statistics import Interval

POWER = 0.95
"""How often a change is to be found that is called detectable."""
ALPHA_PASS = 0.01
"""How often a figure that is worse by the whole margin may pass in a live session, and one that is no better be called
improved."""
LEAST_SHARE = 0.5
"""Of the margin: a smaller estimate is neither a regression nor an improvement, however sure it is."""
MOST_ROUNDS = 100_000


@dataclass(frozen=True)
class Verdict:
    """``change``: mean and the interval that is shown; ``detectable``: see :class:`results.comparison.Row`;
    ``more_rounds``: as many again would make ``margin`` detectable; ``p_worse``: of "not worse than nothing"."""

    outcome: Outcome
    change: Interval
    detectable: float
    more_rounds: int | None
    p_worse: float


def decide(change: float, worse: float, passing: float, margin: float) -> Outcome:
    """The rule of this module.  ``worse`` and ``passing``: how far the bounds of the tests are from ``change``, in its
    unit."""
    high = change + passing
    if high < margin:
        return "improved" if high < 0 and change <= -LEAST_SHARE * margin else "pass"
    return "regressed" if change - worse > 0 and change >= LEAST_SHARE * margin else "inconclusive"


def judge(
    changes: Sequence[float], margin: float, level_worse: float, level_pass: float, level_shown: float | None = None
) -> Verdict:
    """The verdict on ``changes``, shape (n,), at these one-sided levels; ``level_shown``: of either end of the interval
    that is shown, the laxer of the two unless it is said.

    With one round it is inconclusive, unless nothing changed at all in any: differences of exactly 0 mean that both
    sides computed the same bits."""
    from scipy.special import stdtr

    data = np.asarray(changes, np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise ValueError(f"changes: needed are one or more finite values, shape (n,); got {data!r}")
    mean, count = float(data.mean()), len(data)
    if not data.any():
        return Verdict("pass", Interval(0.0, 0.0, 0.0), 0.0, None, 1.0)
    if count < 2:
        return Verdict("inconclusive", Interval(mean, math.nan, math.nan), math.inf, None, 1.0)
    error = float(data.std(ddof=1)) / math.sqrt(count)
    if error == 0.0:
        error = 1e-300  # equal changes, not nothing: certain, as far as these rounds can tell
    outcome = decide(mean, _t(level_worse, count) * error, _t(level_pass, count) * error, margin)
    half = _t(max(level_worse, level_pass) if level_shown is None else level_shown, count) * error
    change = Interval(mean, mean - half, mean + half)
    # Student's t for the power as well stands in for the noncentral distribution: right to a per cent of power here.
    detectable = (_t(level_worse, count) + _t(1.0 - POWER, count)) * error
    more = _rounds_to_find(margin, error * math.sqrt(count), min(level_worse, level_pass), count)
    return Verdict(outcome, change, detectable, more, float(stdtr(count - 1, -mean / error)))


def _t(level: float, count: int) -> float:
    """How many standard errors a bound at this level is away: infinitely many at level 0."""
    from scipy.special import stdtrit

    return math.inf if level <= 0.0 else max(-float(stdtrit(count - 1, level)), 0.0)


def _rounds_to_find(margin: float, deviation: float, level: float, count: int) -> int | None:
    """Further rounds until ``margin`` is detectable; None where no number helps (level 0) or none is needed."""
    if level <= 0.0:
        return None

    def enough(rounds: int) -> bool:
        return (_t(level, rounds) + _t(1.0 - POWER, rounds)) * deviation / math.sqrt(rounds) <= margin

    wanted = count
    while wanted < MOST_ROUNDS and not enough(wanted):
        wanted = math.ceil(wanted * 1.1)
    if wanted >= MOST_ROUNDS:
        return MOST_ROUNDS
    return wanted - count if wanted > count else None


class SequentialJudge:
    """Judges a family of rows look after look; what was decided stays decided.

    ``alpha``: how often any row of the family may be called regressed where none is (Holm's procedure over the rows:
    Maurer & Bretz 2013, "Multiple testing in group sequential trials using graphical approaches").  ``alpha_pass``:
    how often a row that is worse by the margin may pass, for each row, or one that is no better be called improved.
    ``alpha_shown``: of either end of the intervals, over all looks; by default the larger of the two.
    """

    def __init__(
        self, margins: Sequence[float], alpha: float, alpha_pass: float, alpha_shown: float | None = None
    ) -> None:
        self.margins = list(margins)
        self.alpha = alpha
        self.alpha_pass = alpha_pass
        self.alpha_shown = max(alpha, alpha_pass) if alpha_shown is None else alpha_shown
        self.decided: dict[int, Verdict] = {}
        self.latest: dict[int, Verdict] = {}
        self._looks: dict[int, list[tuple[int, float]]] = {index: [] for index in range(len(self.margins))}

    @property
    def done(self) -> bool:
        return len(self.decided) == len(self.margins)

    def look(self, changes: Sequence[Sequence[float]], fraction: float) -> None:
        """After ``fraction`` of the time: ``changes`` of every row so far (rows that are decided are not looked at)."""
        waiting = [i for i in range(len(self.margins)) if i not in self.decided and changes[i]]
        for index in waiting:
            looks = self._looks[index]
            if not looks or len(changes[index]) > looks[-1][0]:
                looks.append((len(changes[index]), fraction))
        again = True
        while again:  # a rejection frees its share of alpha for the others
            again = False
            for index in list(waiting):
                verdict = self.latest[index] = self._judge(index, changes[index])
                if verdict.outcome != "inconclusive":
                    self.decided[index] = verdict
                    waiting.remove(index)
                    again = again or verdict.outcome == "regressed"

    def verdict(self, index: int) -> Verdict | None:
        """The decision on a row, or how it stands; None before its first look."""
        return self.decided.get(index) or self.latest.get(index)

    def _judge(self, index: int, changes: Sequence[float]) -> Verdict:
        rejected = sum(verdict.outcome == "regressed" for verdict in self.decided.values())
        rounds, fractions = zip(*self._looks[index], strict=True)
        worse = nominal_levels(self.alpha / (len(self.margins) - rejected), rounds, fractions)[-1]
        passing = nominal_levels(self.alpha_pass, rounds, fractions)[-1]
        shown = nominal_levels(self.alpha_shown, rounds, fractions)[-1]
        return judge(changes, self.margins[index], worse, passing, shown)
