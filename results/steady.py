"""Has a process reached a steady state?  Change-points of its series of block costs, and what they mean.

Processes do not simply warm up and settle: some slow down, some never settle, and one program may do a different
thing in every process (Barrett et al. 2017, "Virtual machine warmup blows hot and cold").  So nothing is assumed;
the series is cut into segments of constant level by optimal partitioning (Jackson et al. 2005, whose minimum PELT,
Killick et al. 2012, finds with pruning; series are so short here that none is needed), and the segments are read as
Barrett et al. read them: what is the last one, how long is it, and was an earlier one faster?

Two things keep such a cut from seeing a step in every wobble.  *Outliers* are pulled in towards the running median
before (as in Barrett et al.).  *Autocorrelation*: block costs wander, so the mean of m blocks is worse than their
spread and m say, and the penalty of a step is taken in long-run variances (Lavielle & Moulines 2000: penalised
least squares stays consistent under dependence if the penalty grows with it).  The spread itself is taken from
differences of neighbours, which steps hardly touch.

Costs are judged by their logarithms: a step is a ratio of levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from results.partition import begins_up_to, cheapest

Kind = Literal["flat", "warmup", "slowdown", "no_steady_state", "too_short"]

SHORTEST_SERIES = 12
"""Below it a last quarter has fewer than three blocks, of which one may be an outlier: nothing can be said."""
AUTOCORRELATION = 0.54
"""Lag-1 autocorrelation that block costs are taken to have: what was recorded on a busy two-core machine.  It is
not estimated: thirty blocks tell it only to within 0.2, and steps look like autocorrelation."""
WINDOW = 5
"""Blocks of the running median that outliers are measured from: two bad neighbours do not move it."""
CLAMP = 2.0
"""Outliers are pulled in to this many standard deviations from the running median (few good blocks lie beyond)."""
PENALTY = 2.0
"""What a step must improve the fit by: this times ln n long-run variances (a step has two parameters, where and how
far; and the spread is itself estimated)."""
SHORTEST_SEGMENT = 3
"""Blocks of a segment at least: with fewer it would be a matter of outliers."""
SAME_LEVEL = 0.05
"""Levels within this ratio of each other are one (smaller spurious steps are merged away; smaller true ones do not
decide whether a process has settled, and stay within its rate)."""
STEADY_SHARE = 0.25
"""This share of the series, its end, must be of one level for the process to count as settled (Barrett et al.: the
last 500 of 2000 iterations)."""
LEADING_BLOCKS = 2
LEADING_EFFECT = 0.10
"""As many blocks at the very start, all slower than the steady level by this and by four standard deviations, are
warm-up although they are too few for a segment: that outliers begin a series twice running is rare."""
LEADING_FACTOR = 2.0
"""A single first block is warm-up only if it costs this many times the steady level: outliers do not reach it."""
SMALLEST_SPREAD = 0.002
"""Of the logarithms of costs: clocks and rounding may leave neighbours exactly equal."""
STRAYS = 0.25
"""Of a contestant's processes, this share (but always one out of three or more) may behave unlike all the others
without making the contestant inconsistent: a series is judged right 19 times out of 20, so of ten one is often not."""
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Steadiness:
    """What one process did."""

    kind: Kind
    start: int
    """Index of the first block of the steady part: 0 if flat; the length of the series if there is none."""
    level: float
    """Cost in seconds a sample: median of the steady part; of the whole series if there is none (NaN if empty)."""
    changepoints: tuple[int, ...] = ()
    """Indices at which another level begins, ascending, equal levels merged."""

    @property
    def settled(self) -> bool:
        """Whether there is a steady part at all."""
        return self.kind in ("flat", "warmup", "slowdown")


def classify(series: ArrayLike) -> Steadiness:
    """What a process did, from its costs (seconds a sample) in order, shape (n,), positive; blocks alike in length.

    ``flat``: one level.  ``warmup``: the last level is the fastest there was.  ``slowdown``: an earlier one was
    faster.  ``no_steady_state``: levels still change within the last :data:`STEADY_SHARE` of the series, or it ends
    in a slope.  ``too_short``: fewer than :data:`SHORTEST_SERIES` blocks.
    """
    costs = np.asarray(series, np.float64)
    if costs.ndim != 1 or not np.isfinite(costs).all() or (costs <= 0).any():
        raise ValueError(f"a series of costs must be positive and finite, shape (n,); got {costs!r}")
    count = len(costs)
    if count < SHORTEST_SERIES:
        return Steadiness("too_short", count, float(np.median(costs)) if count else math.nan)
    logs = np.log(costs)
    spread = _spread(logs)
    calm = _winsorised(logs, spread)
    starts, sloping = _partition(calm, spread)
    starts = _merged(calm, starts)
    changepoints = tuple(starts[1:])
    if sloping or count - starts[-1] < STEADY_SHARE * count:
        return Steadiness("no_steady_state", count, float(np.median(costs)), changepoints)
    levels = _levels(calm, starts)
    start = starts[-1]
    if not changepoints:
        start = _leading(logs, float(np.median(logs)), spread)
        changepoints = (start,) if start else ()
    kind: Kind = "flat" if not start else "slowdown" if min(levels) < levels[-1] - SAME_LEVEL else "warmup"
    return Steadiness(kind, start, float(np.median(costs[start:])), changepoints)


def combine(kinds: Sequence[Steadiness]) -> Kind | Literal["inconsistent"]:
    """What a contestant did, from its processes.

    Processes that were too short say nothing and are left out; if all were (or there are none): ``too_short``.  All
    alike: that.  Flat ones and ones that warm up: ``warmup``.  More than half without a steady state:
    ``no_steady_state``.  Any other mixture is ``inconsistent``, as in Barrett et al. (2017), except that
    few processes (:data:`STRAYS`) that differ from all others are overlooked.
    """
    found = [entry.kind for entry in kinds if entry.kind != "too_short"]
    if not found:
        return "too_short"
    if found.count("no_steady_state") * 2 > len(found):
        return "no_steady_state"
    strays = max(int(STRAYS * len(found)), 1 if len(found) >= 3 else 0)
    if found.count("flat") + found.count("warmup") >= len(found) - strays:
        return "warmup" if "warmup" in found else "flat"
    if found.count("slowdown") >= len(found) - strays:
        return "slowdown"
    return "inconsistent"


def _spread(logs: NDArray[np.float64]) -> float:
    """Standard deviation of the blocks around their level, from differences of neighbours."""
    steps = MAD_TO_SIGMA * float(np.median(np.abs(np.diff(logs)))) / math.sqrt(2)
    return max(steps / math.sqrt(1 - AUTOCORRELATION), SMALLEST_SPREAD)


def _long_run(spread: float) -> float:
    """Variance that the mean of m blocks has, times m, for large m."""
    return spread**2 * (1 + AUTOCORRELATION) / (1 - AUTOCORRELATION)


def _winsorised(logs: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    half = WINDOW // 2
    middles = np.clip(np.arange(len(logs)), half, len(logs) - 1 - half)
    running = np.median(logs[middles[:, None] + np.arange(-half, half + 1)], axis=1)
    return np.clip(logs, running - CLAMP * spread, running + CLAMP * spread)


def _partition(calm: NDArray[np.float64], spread: float) -> tuple[list[int], bool]:
    """Starts of the segments of the cheapest cut (0 first), and whether the last one is a slope and not a level.

    Cheapest: see :mod:`results.partition`.  The last segment may be a straight line at one further penalty.
    """
    count = len(calm)
    penalty = PENALTY * math.log(count) * _long_run(spread)
    best, last = cheapest(calm, penalty, SHORTEST_SEGMENT)
    # Prefix sums of y, y^2, x, x^2 and x y, so that the line through any last segment costs O(1).
    index = np.arange(count, dtype=np.float64)
    data = calm - calm.mean()
    sums = [np.concatenate(([0.0], np.cumsum(part))) for part in (data, data**2, index, index**2, index * data)]
    begins = np.arange(count - max(SHORTEST_SEGMENT, math.ceil(STEADY_SHARE * count)) + 1)
    size = count - begins
    total, squared, x, xx, xy = (part[count] - part[begins] for part in sums)
    variance = xx - x**2 / size
    slope = (xy - x * total / size) / variance
    lines = best[begins] + squared - total**2 / size - slope**2 * variance + 2 * penalty
    line = int(np.argmin(lines))
    sloping = bool(lines[line] < best[count] and abs(slope[line]) * size[line] > 2 * SAME_LEVEL)
    return [*begins_up_to(last, line), line] if sloping else begins_up_to(last, count), sloping


def _levels(calm: NDArray[np.float64], starts: Sequence[int]) -> list[float]:
    return [float(part.mean()) for part in np.split(calm, list(starts[1:]))]


def _merged(calm: NDArray[np.float64], starts: list[int]) -> list[int]:
    """Segments without the borders between levels that are the same (:data:`SAME_LEVEL`), closest pair first."""
    kept = list(starts)
    while len(kept) > 1:
        gaps = np.abs(np.diff(_levels(calm, kept)))
        closest = int(np.argmin(gaps))
        if gaps[closest] > SAME_LEVEL:
            break
        del kept[closest + 1]
    return kept


def _leading(logs: NDArray[np.float64], level: float, spread: float) -> int:
    """How many blocks at the very start are warm-up although no segment was found there."""
    slow = logs - level > max(math.log1p(LEADING_EFFECT), 4 * spread)
    run = int(np.argmin(slow)) if not slow.all() else len(slow)
    return run if run >= LEADING_BLOCKS or (run == 1 and logs[0] - level > math.log(LEADING_FACTOR)) else 0
