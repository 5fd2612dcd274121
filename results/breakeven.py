"""Break-even: after how many images a contestant that starts dearly and trains fast has overtaken another.

Training N images takes ``cold + N / rate``: the cold costs (importing, building, staging, the first step with its
compilation) and then the measured rate.  Two such lines meet at

    N = (cold_a - cold_b) / (1 / rate_b - 1 / rate_a),

a ratio of two differences, each measured with error.  Its interval is Fieller's (1954, "Some problems in interval
estimation"): the numbers of images at which the paired t-interval of the two times still includes "equal".  It needs
no linearisation, which fails just where it matters (rates that hardly differ), and says so when there is no upper end.
Rounds in which both contestants ran side by side are the pairs; the process is the unit, as in
:mod:`results.statistics`.

Images of an epoch are counted as if a single long call trained them all, as someone does who gives ``fit`` the number
of epochs: what calls cost beside their images is in :func:`results.rates.call_overhead`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from results.cold import COLD_COSTS, is_fresh
from results.rates import rate
from results.statistics import CONFIDENCE, Interval, mean_interval

Kind = Literal["overtakes", "overtaken", "always", "never", "undecided"]


@dataclass(frozen=True)
class Cost:
    """What training costs one process: ``cold`` seconds once, then ``each`` seconds an image."""

    cold: float
    each: float

    def seconds(self, images: float) -> float:
        """Time to train ``images`` images from nothing, s."""
        return self.cold + images * self.each


@dataclass(frozen=True)
class BreakEven:
    """Where a stands against b.

    ``overtakes``: a starts later and is faster, and is ahead from ``images`` on.  ``overtaken``: the reverse, a is
    ahead until ``images``.  ``always``: a is faster and measurably starts no later.  ``never``: it is slower and
    measurably starts no earlier.  (Where a start merely looks like that, ``images`` is 0, with an interval.)
    ``undecided``: their rates can not be told apart (or a single round allows no interval), and so neither where they
    meet.
    """

    kind: Kind
    images: Interval
    """NaN for ``always``, ``never`` and ``undecided``.  Its lower end may be 0."""
    seconds: float
    """When they meet: the time that both take for ``images`` images, s; NaN where they do not."""
    rounds: int

    def epochs(self, size: int) -> Interval:
        """``images`` in epochs of a data set of ``size`` images."""
        if size < 1:
            raise ValueError(f"size = {size}: a data set has at least one image")
        return Interval(self.images.value / size, self.images.low / size, self.images.high / size)


def cost(entry: Mapping[str, Any]) -> Cost | None:
    """The cost of the process behind a round (an entry of ``samples.rounds``); None without a rate or any cold cost, as
    where the process was not a fresh one."""
    if not is_fresh(entry):
        return None
    speed = rate(entry, "train")
    cold = [float(entry[name]) for name in COLD_COSTS if entry.get(name) is not None]
    return Cost(math.fsum(cold), 1 / speed) if speed and cold else None


def costs(rounds: Iterable[Mapping[str, Any]]) -> dict[int, Cost]:
    """Costs by the number of the round, of those rounds that have them."""
    return {int(entry["round"]): found for entry in rounds if (found := cost(entry)) is not None}


def typical(by_round: Mapping[int, Cost]) -> Cost:
    """Medians over processes."""
    cold = float(np.median([one.cold for one in by_round.values()]))
    return Cost(cold, float(np.median([one.each for one in by_round.values()])))


def breakeven(a: Mapping[int, Cost], b: Mapping[int, Cost]) -> BreakEven:
    """Where ``a`` overtakes ``b``; both are costs by round, of which those that both have are compared.

    The estimate comes from medians, so that one import from a cold disk does not move it; the interval from means,
    widened if need be to hold the estimate.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) < 2:
        return _apart("undecided", len(common))
    later = np.array([a[number].cold - b[number].cold for number in common])
    saved = np.array([b[number].each - a[number].each for number in common])
    gain = mean_interval(saved)
    if gain.includes(0.0):
        return _apart("undecided", len(common))
    faster = gain.value > 0
    value = float(np.median(later)) / (float(np.median(saved)) or gain.value)
    start = mean_interval(later)
    if value <= 0 and (start.high <= 0 if faster else start.low >= 0):
        return _apart("always" if faster else "never", len(common))
    value = max(value, 0.0)
    low, high = _fieller(later, saved)
    images = Interval(value, min(low, value), max(high, value))
    at = float(np.median([one[number].seconds(value) for one in (a, b) for number in common]))
    return BreakEven("overtakes" if faster else "overtaken", images, at, len(common))


def leads(costs_by_name: Mapping[str, Cost]) -> list[tuple[str, float]]:
    """Who has trained N images first, from N = 0 on: (name, images from which on it leads), the lower envelope.

    >>> leads({"quick start": Cost(1, 0.5), "fast": Cost(3, 0.1), "neither": Cost(4, 0.4)})
    [('quick start', 0.0), ('fast', 5.0)]
    """
    if not costs_by_name:
        return []
    here = min(costs_by_name, key=lambda name: (costs_by_name[name].cold, costs_by_name[name].each, name))
    found = [(here, 0.0)]
    while True:
        own = costs_by_name[here]
        meets = [
            ((one.cold - own.cold) / (own.each - one.each), one.each, name)
            for name, one in costs_by_name.items()
            if one.each < own.each
        ]
        if not meets:
            return found
        images, _, here = min(meets)
        found.append((here, images))


def _apart(kind: Kind, rounds: int) -> BreakEven:
    return BreakEven(kind, Interval(math.nan, math.nan, math.nan), math.nan, rounds)


def _fieller(numerator: np.ndarray[Any, Any], denominator: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Ends, at least 0, of the interval of mean(numerator) / mean(denominator), pairs of shape (n,), n >= 2.  The
    denominator's mean is measurably not 0, which makes the interval a bounded one."""
    from scipy.special import stdtrit  # Student's t without the second of import that scipy.stats takes

    count = len(numerator)
    t = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2))
    top, bottom = float(numerator.mean()), float(denominator.mean())
    covariance = np.cov(numerator, denominator) * t**2 / count
    # The x of (top - x bottom)^2 <= var(numerator - x denominator) t^2 / n lie between the roots of a x^2 + b x + c.
    a = bottom**2 - float(covariance[1, 1])
    b = -2 * (top * bottom - float(covariance[0, 1]))
    c = top**2 - float(covariance[0, 0])
    if a <= 0:  # by rounding alone
        return 0.0, math.inf
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return max((-b - root) / (2 * a), 0.0), max((-b + root) / (2 * a), 0.0)


def sentence(a: str, b: str, found: BreakEven, size: int | None = None, dataset: str = "") -> str:
    """ "tuned overtakes idiomatic after 61,000 images [48,000, 79,000] (1.0 epochs of mnist)", without a full stop."""
    if found.kind == "always":
        return f"{a} is ahead of {b} from the start"
    if found.kind == "never":
        return f"{a} never overtakes {b}"
    if found.kind == "undecided":
        return f"{a} and {b} can not be told apart in rate, so neither is known to overtake the other"
    first, second = (a, b) if found.kind == "overtakes" else (b, a)
    if found.images.value == 0:
        return f"{first} is ahead of {second} from the start, or after {_round(found.images.high)} images at the latest"
    images = f"{_round(found.images.value)} images [{_round(found.images.low)}, {_round(found.images.high)}]"
    epochs = f" ({_round(found.epochs(size).value, 2)} epochs of {dataset or f'{size:,} images'})" if size else ""
    return f"{first} overtakes {second} after {images}{epochs}"


def _round(value: float, digits: int = 3) -> str:
    if not math.isfinite(value):
        return "no end"
    if value <= 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(value))
    return f"{round(value, decimals):,.{max(decimals, 0)}f}"


def pairs(names: Sequence[tuple[str, str]]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Of (backend, track): the tuned track of each backend against its idiomatic one, in the order given."""
    return [((backend, "tuned"), (backend, "idiomatic")) for backend, track in names
            if track == "tuned" and (backend, "idiomatic") in names]  # fmt: skip
