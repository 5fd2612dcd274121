"""The statistics of speed, apart from everything that measures, stores or draws.

What is an observation?  Blocks timed inside one process are not independent of each other: a process keeps its
memory layout, its compiled code and its luck.  So the *process* is the unit (Kalibera & Jones 2013, "Rigorous
benchmarking in reasonable time"): blocks give one figure for each process, and every interval is taken over
processes.  Rates are positive and their errors multiply, so intervals are Student's t on logarithms (Georges,
Buytaert & Eeckhout 2007, "Statistically rigorous Java performance evaluation"); contestants of one round ran side
by side, so they are compared in pairs.

All intervals are two-sided at :data:`CONFIDENCE`.  With a single process there is no interval: ``low`` and ``high``
are then NaN, and ``known`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95

WARMUP_SHARE = 0.5
"""Warm-up is looked for in this share of a series, counted from its start; the rest is what it is compared with."""
WARMUP_DEVIATIONS = 3.0
"""A block is slow if it is this many robust standard deviations above the median of the settled blocks ..."""
WARMUP_EFFECT = 0.02
"""... and at least this fraction above it: smaller differences do not matter and can not be told from drift."""
WARMUP_MINIMUM = 4
"""Shorter series say nothing about warm-up."""
MAD_TO_SIGMA = 1.4826
"""Median absolute deviation of a normal distribution -> its standard deviation."""

Blocks = Sequence[Sequence[float]]
"""Blocks of one process: pairs (samples, seconds)."""


@dataclass(frozen=True)
class Interval:
    """An estimate and what it is between.  ``low`` and ``high`` are NaN where one observation allows none."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def includes(self, value: float) -> bool:
        """Whether ``value`` can not be ruled out.  True where there is no interval: nothing is ruled out then."""
        return not self.known or self.low <= value <= self.high


def mean_interval(values: ArrayLike) -> Interval:
    """Mean and t-interval of values of any sign, shape (n,), n >= 1."""
    data = _vector(values)
    mean = float(data.mean())
    half = _half_width(data)
    return Interval(mean, mean - half, mean + half)


def median_interval(values: ArrayLike) -> Interval:
    """Median of positive values, shape (n,) with one value a process, and a t-interval on their logarithms.

    The interval is that of the geometric mean, which is the median of the population wherever logarithms scatter
    symmetrically; a handful of processes supports no interval that assumes less (the distribution-free one of the
    median needs six).  It is widened, if need be, to hold the sample median itself.
    """
    data = _positive(values)
    median = float(np.median(data))
    logs = np.log(data)
    centre, half = float(logs.mean()), _half_width(logs)
    if math.isnan(half):
        return Interval(median, math.nan, math.nan)
    return Interval(median, min(math.exp(centre - half), median), max(math.exp(centre + half), median))


def process_rate(blocks: Blocks) -> float:
    """Samples per second of one process: the median over its blocks, which one disturbed block does not move."""
    pairs = np.asarray(blocks, np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ValueError(f"blocks must be pairs (samples, seconds), at least one; got shape {pairs.shape}")
    return float(np.median(_positive(pairs[:, 0]) / _positive(pairs[:, 1])))


def rate_interval(rounds: Sequence[Blocks | float]) -> Interval:
    """Samples per second over processes.  ``rounds``: for each process its blocks, or its rate."""
    return median_interval(_rates(rounds))


def paired_ratio(rounds_a: Sequence[Blocks | float], rounds_b: Sequence[Blocks | float]) -> Interval:
    """How many times the figure of ``b`` that of ``a`` is: geometric mean of the ratios round by round, t on logs.

    Both sequences hold one entry (blocks, or a figure) for each round, in the same order.
    """
    a, b = _rates(rounds_a), _rates(rounds_b)
    if len(a) != len(b):
        raise ValueError(f"pairs need as many rounds on both sides; got {len(a)} and {len(b)}")
    logs = mean_interval(np.log(a) - np.log(b))
    return Interval(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high))


def shared_ranks(names: Sequence[str], log_rates: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, int]:
    """Ranks by speed, 1 for the fastest; contestants that can not be told apart share one.

    ``log_rates``: by name, or a (contestants, rounds) array in the order of ``names``; columns are rounds in which
    the contestants ran side by side, NaN where one is missing.  A contestant shares the rank of the fastest one of
    the group before it if the interval of their paired ratio includes 1 (or if fewer than two common rounds allow
    no interval); otherwise it opens the next group, whose rank counts all contestants before it: 1, 1, 3.
    """
    rows = [log_rates[name] for name in names] if isinstance(log_rates, Mapping) else list(np.asarray(log_rates))
    table = {name: np.asarray(row, np.float64) for name, row in zip(names, rows, strict=True)}
    order = sorted(names, key=lambda name: (-float(np.nanmean(table[name])), name))
    ranks: dict[str, int] = {}
    leader = order[0] if order else ""
    for position, name in enumerate(order, 1):
        difference = table[leader] - table[name]
        common = difference[np.isfinite(difference)]
        tied = name == leader or len(common) < 2 or mean_interval(common).includes(0.0)
        if not tied:
            leader = name
        ranks[name] = ranks[leader] if tied and name != leader else position
    return ranks


def warmup_blocks(series: ArrayLike) -> int:
    """How many leading blocks of a series of costs (seconds a sample), shape (n,), are warm-up: at most n // 2.

    The settled level is the median of the second half.  Leading blocks are warm-up as long as they lie above it by
    more than :data:`WARMUP_DEVIATIONS` robust standard deviations of the second half and by more than
    :data:`WARMUP_EFFECT` of the level.  A process can start *fast* as well (before clocks drop) or never settle at
    all (Barrett et al. 2017, "Virtual machine warmup blows hot and cold"): 0 does not say that the series is flat,
    only that it does not begin with blocks that are slower than its end.
    """
    costs = _vector(series)
    count = len(costs)
    if count < WARMUP_MINIMUM:
        return 0
    candidates = int(count * WARMUP_SHARE)
    settled = costs[candidates:]
    level = float(np.median(settled))
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(settled - level)))
    limit = level + max(WARMUP_DEVIATIONS * sigma, WARMUP_EFFECT * level)
    calm = np.flatnonzero(costs[:candidates] <= limit)
    return int(calm[0]) if len(calm) else candidates


def _half_width(data: NDArray[np.float64]) -> float:
    """Half the t-interval of the mean; NaN for a single value."""
    from scipy.special import stdtrit  # Student's t without the second of import that scipy.stats takes

    count = len(data)
    if count < 2:
        return math.nan
    return float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2) * data.std(ddof=1) / math.sqrt(count))


def _rates(rounds: Sequence[Blocks | float]) -> NDArray[np.float64]:
    return np.array([float(entry) if isinstance(entry, int | float) else process_rate(entry) for entry in rounds])


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    data = np.asarray(values, np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise ValueError(f"needed are one or more finite values, shape (n,); got {data!r}")
    return data


def _positive(values: ArrayLike) -> NDArray[np.float64]:
    data = _vector(values)
    if data.min() <= 0:
        raise ValueError(f"needed are positive values; the smallest is {data.min()}")
    return data
