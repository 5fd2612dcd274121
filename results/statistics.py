"""The statistics of speed and quality, apart from everything that measures, stores or draws.

What is an observation?  Blocks timed inside one process are not independent of each other: a process keeps its
memory layout, its compiled code and its luck.  So the *process* is the unit (Kalibera & Jones 2013, "Rigorous
benchmarking in reasonable time"): blocks give one figure for each process, and every interval is taken over
processes.  Rates are positive and their errors multiply, so intervals are Student's t on logarithms (Georges,
Buytaert & Eeckhout 2007, "Statistically rigorous Java performance evaluation"); contestants of one round ran side
by side, so they are compared in pairs.

Where blocks are at hand and not only one figure a process, :func:`hierarchical_rate` and
:func:`paired_ratio_bootstrap` let them speak too.  "No measurable difference" is an outcome that has to be shown
(:func:`compare_ratio`), several comparisons are one family (:func:`holm`), and quality varies over seeds as speed
does over processes (:func:`interquartile_mean`, :func:`probability_of_improvement`).

All intervals are two-sided at :data:`CONFIDENCE`.  With a single process there is no interval: ``low`` and ``high``
are then NaN, and ``known`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
NORMAL_95 = 1.959963984540054
"""Standard errors from the middle of a normal 95 % interval to its end."""

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

RESAMPLES = 2000
"""Of a bootstrap: the half-width of a 95 % interval then varies by about 2 % from seed to seed."""
MIDDLE = 0.25
"""The interquartile mean leaves out this share of the values at either end (rounded down)."""
LARGEST_DRAW = 1 << 22
"""Numbers that a bootstrap holds at once: 32 MB, whatever the number of blocks."""

RatioOutcome = Literal["faster", "slower", "equivalent", "inconclusive"]

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


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean and t-interval of values of any sign, shape (n,), n >= 1."""
    data = _vector(values)
    mean = float(data.mean())
    half = _half_width(data, confidence)
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


def over_processes(name: str, values: Sequence[float]) -> dict[str, float]:
    """A metric ``name`` from one positive value a process: its median, with ``_low`` and ``_high`` where there is an
    interval; nothing without values, or where one is not positive."""
    if not values or min(values) <= 0:
        return {}
    interval = median_interval(values)
    ends = {f"{name}_low": interval.low, f"{name}_high": interval.high} if interval.known else {}
    return {name: interval.value, **ends}


def process_rate(blocks: Blocks) -> float:
    """Samples per second of one process: the median over its blocks, which one disturbed block does not move."""
    return float(np.median(1 / _costs(blocks)))


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
    return _exponential(logs)


def pair_estimate(costs_a: ArrayLike, costs_b: ArrayLike) -> float:
    """Robust log ratio of the costs of one round, b relative to a: positive if b costs more.

    Both of shape (blocks,): seconds a sample of blocks that were measured in pairs (ABBA), in the same order.  The
    Hodges-Lehmann estimate of the paired differences of logarithms (Hodges & Lehmann 1963): the median of the means
    of all pairs of differences; nearly as efficient as the mean, and three bad blocks in ten do not carry it away.
    """
    return float(_hodges_lehmann(_paired_differences(costs_a, costs_b)))


def hierarchical_rate(rounds: Sequence[Blocks], *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Samples per second: geometric mean of the processes' rates, with a bootstrap over processes and their blocks.

    ``rounds``: the blocks of each process.  See :func:`_two_stage` for what is resampled and corrected.
    """
    found = _two_stage([-np.log(_costs(blocks)) for blocks in rounds], _medians, seed, resamples)
    return _exponential(found)


def paired_ratio_bootstrap(
    rounds_a: Sequence[Blocks], rounds_b: Sequence[Blocks], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """How many times the rate of ``b`` that of ``a`` is, as :func:`paired_ratio`, from blocks measured in pairs.

    Both sequences hold the blocks of one process for each round; block i of ``a`` and block i of ``b`` ran next to
    each other, so there are as many.  Each round gives its :func:`pair_estimate`; rounds, then pairs of blocks within
    them, are resampled (:func:`_two_stage`).  What disturbed both blocks of a pair is gone from their ratio, which
    :func:`paired_ratio` achieves only for what disturbed a whole round.
    """
    if len(rounds_a) != len(rounds_b):
        raise ValueError(f"pairs need as many rounds on both sides; got {len(rounds_a)} and {len(rounds_b)}")
    pairs = [_paired_differences(_costs(a), _costs(b)) for a, b in zip(rounds_a, rounds_b, strict=True)]
    return _exponential(_two_stage(pairs, _hodges_lehmann, seed, resamples))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """P-values of a family, in the given order, so adjusted that comparing each with alpha keeps the error of the
    whole family (one or more false finds) below alpha, whatever their dependence (Holm 1979)."""
    if not all(0.0 <= p <= 1.0 for p in p_values):
        raise ValueError(f"p-values lie between 0 and 1; got {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[bool]:
    """Which members of a family are significant with an error of ``alpha`` for the family as a whole."""
    return [p <= alpha for p in holm_adjusted(p_values)]


def compare_ratio(log_ratios: ArrayLike, margin: float, alpha: float = 0.05) -> RatioOutcome:
    """What rounds say of the *cost* of b relative to a; ``log_ratios``: shape (rounds,), positive where b costs more.

    First difference: a t-interval at 1 - ``alpha`` that leaves out 0 says "slower" or "faster" (b), however small
    the difference.  Then equivalence: two one-sided tests (Schuirmann 1987), that is an interval at 1 - 2 ``alpha``
    within 1/(1 + ``margin``) .. 1 + ``margin``, say "equivalent": no difference beyond the margin (0.03: 3 %).
    Otherwise, and with fewer than two rounds, "inconclusive": neither was shown.
    """
    if not margin > 0:
        raise ValueError(f"margin must be positive, as a fraction (0.03 for 3 %); got {margin}")
    data = _vector(log_ratios)
    mean = float(data.mean())
    difference, equivalence = _half_width(data, 1 - alpha), _half_width(data, 1 - 2 * alpha)
    if len(data) < 2:
        return "inconclusive"
    if abs(mean) > difference:
        return "slower" if mean > 0 else "faster"
    return "equivalent" if abs(mean) + equivalence < math.log1p(margin) else "inconclusive"


def interquartile_mean(values: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Mean of the middle half of the values of several seeds (Agarwal et al. 2021, "Deep reinforcement learning at
    the edge of the statistical precipice"): robust to a seed that failed, and it uses more of them than the median.

    ``values``: shape (seeds,), or (tasks, seeds): then the middle half of all values, and seeds are resampled within
    each task (stratified).  A percentile bootstrap of n values is too narrow by sqrt(1 - 1/n) and by Student's t over
    the normal; its deviations are expanded by both (Hesterberg 2015).  One seed: no interval.
    """
    data = np.atleast_2d(np.asarray(values, np.float64))
    if data.ndim != 2 or not data.size or not np.isfinite(data).all():
        raise ValueError(f"needed are finite values, shape (seeds,) or (tasks, seeds); got {values!r}")
    tasks, seeds = data.shape
    estimate = float(_middle_means(data.reshape(1, -1))[0])
    if seeds < 2:
        return Interval(estimate, math.nan, math.nan)
    picks = np.random.default_rng(seed).integers(seeds, size=(resamples, tasks, seeds))
    deviations = _middle_means(data[np.arange(tasks)[:, None], picks].reshape(resamples, -1)) - estimate
    expanded = deviations * math.sqrt(seeds / (seeds - 1)) * _student_over_normal(tasks * (seeds - 1))
    low, high = np.quantile(expanded, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Interval(estimate, estimate + float(low), estimate + float(high))


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> Interval:
    """Probability that a run of ``a`` is better (greater) than one of ``b``; ties count half (Agarwal et al. 2021).

    Values over seeds, shapes (n,) and (m,), unpaired.  The interval is the score interval of Newcombe (2006, method
    5) for the Mann-Whitney statistic: a bootstrap has no width where all of ``a`` lie above all of ``b``, although
    three seeds of each prove little.  One value on either side: no interval.
    """
    from scipy.special import ndtri

    first, second = _vector(a), _vector(b)
    estimate = float((np.sign(first[:, None] - second).mean() + 1) / 2)
    if min(len(first), len(second)) < 2:
        return Interval(estimate, math.nan, math.nan)
    pairs, dependent = len(first) * len(second), (len(first) + len(second)) / 2 - 1
    normal = float(ndtri(0.5 + CONFIDENCE / 2))

    def end(outer: float) -> float:
        """Between the estimate and the outer limit: where the estimate is just not to be rejected."""
        inside, outside = estimate, outer
        for _ in range(60):
            p = (inside + outside) / 2
            variance = p * (1 - p) / pairs * (1 + dependent * ((1 - p) / (2 - p) + p / (1 + p)))
            accepted = (estimate - p) ** 2 <= normal**2 * variance
            inside, outside = (p, outside) if accepted else (inside, p)
        return inside

    return Interval(estimate, end(0.0), end(1.0))


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


def _two_stage(
    units: Sequence[NDArray[np.float64]],
    estimator: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int,
    resamples: int,
) -> Interval:
    """Mean over processes of ``estimator`` of their blocks (along the last axis), and a two-stage bootstrap interval.

    Processes are drawn with replacement, then blocks within each drawn one.  Taken as it is, that scatters up to
    twice too far: the processes' figures already *contain* what their blocks contribute, and the second stage adds
    it again (Davison & Hinkley 1997, section 3.8).  It also takes for independent what is autocorrelated, and for a
    normal distribution what a handful of processes makes a Student's t.  So deviations are brought to the standard
    error of the processes' figures and expanded by t over the normal (Hesterberg 2015, "What teachers should know
    about the bootstrap"), and taken symmetrically (Hall 1988): with four processes the two tails follow the accident
    of which processes were met, and intervals with a tail of their own covered 92 % in place of 95 %.
    """
    estimates = np.array([float(estimator(_vector(unit))) for unit in units])
    centre = float(_vector(estimates).mean())
    if len(units) < 2:
        return Interval(centre, math.nan, math.nan)
    standard_error = float(estimates.std(ddof=1)) / math.sqrt(len(units))
    random = np.random.default_rng(seed)
    picks = random.integers(len(units), size=(resamples, len(units)))
    replicates = np.empty(picks.shape)
    for position, unit in enumerate(units):
        drawn = picks == position
        blocks = random.integers(len(unit), size=(int(drawn.sum()), len(unit)))
        step = max(1, LARGEST_DRAW // len(unit) ** 2)
        replicates[drawn] = np.concatenate(
            [estimator(unit[blocks[at : at + step]]) for at in range(0, len(blocks), step)] or [np.empty(0)]
        )
    means = replicates.mean(axis=1)
    deviations = np.abs(means - means.mean())
    spread = float(np.sqrt((deviations**2).mean()))
    scale = standard_error * _student_over_normal(len(units) - 1) / spread if spread > 0 else 0.0
    half = scale * float(np.quantile(deviations, CONFIDENCE))
    return Interval(centre, centre - half, centre + half)


def _hodges_lehmann(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of all means of two (and of each alone) along the last axis."""
    first, second = np.triu_indices(differences.shape[-1])
    return np.asarray(np.median((differences[..., first] + differences[..., second]) / 2, axis=-1))


def _medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.median(values, axis=-1))


def _middle_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interquartile means of rows, shape (rows, n) -> (rows,)."""
    cut = int(MIDDLE * values.shape[1])
    return np.asarray(np.sort(values, axis=1)[:, cut : values.shape[1] - cut].mean(axis=1))


def _paired_differences(costs_a: ArrayLike, costs_b: ArrayLike) -> NDArray[np.float64]:
    a, b = _positive(costs_a), _positive(costs_b)
    if len(a) != len(b):
        raise ValueError(f"pairs need as many blocks on both sides of a round; got {len(a)} and {len(b)}")
    return np.asarray(np.log(b) - np.log(a))


def _costs(blocks: Blocks) -> NDArray[np.float64]:
    """Seconds a sample of each block."""
    pairs = np.asarray(blocks, np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ValueError(f"blocks must be pairs (samples, seconds), at least one; got shape {pairs.shape}")
    return np.asarray(_positive(pairs[:, 1]) / _positive(pairs[:, 0]))


def _exponential(logs: Interval) -> Interval:
    return Interval(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high))


def _half_width(data: NDArray[np.float64], confidence: float = CONFIDENCE) -> float:
    """Half the t-interval of the mean; NaN for a single value."""
    from scipy.special import stdtrit  # Student's t without the second of import that scipy.stats takes

    count = len(data)
    if count < 2:
        return math.nan
    return float(stdtrit(count - 1, 0.5 + confidence / 2) * data.std(ddof=1) / math.sqrt(count))


def _student_over_normal(freedom: int) -> float:
    """How much wider Student's t makes an interval at :data:`CONFIDENCE` than the normal distribution."""
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2) / ndtri(0.5 + CONFIDENCE / 2))


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
