"""Steps in a history: where a figure that is measured once a commit changed its level, and by how much.

The series is cut into pieces of constant level that cost least: squared distances from the pieces' levels, in units of
the noise, plus a penalty for every cut ("optimal partitioning", Jackson et al. 2005, exact by dynamic programming; the
penalty grows with the logarithm of the length as in Yao 1988).  Three properties of such series need care:

- Single runs go astray (a neighbour on the machine, a throttled processor).  Values that stand out of their own
  neighbourhood are drawn back to it first (Hampel's identifier, Davies & Gather 1993), so that one of them is no step.
- The noise is not known.  It is estimated from differences of neighbours, which a few steps do not move, robustly
  (Rousseeuw & Croux 1993, the median absolute deviation), and never believed to be smaller than ``floor``.
- Neighbours resemble each other.  The penalty holds for a correlation of 0.3 between them.

That no step is found does *not* say that there is none: a change of the size of the noise needs many runs on both
sides, and the last :data:`SHORTEST` - 1 runs can not tell a step from a stray value yet.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from results.partition import begins_up_to, cheapest
from results.statistics import MAD_TO_SIGMA

SHORTEST = 3
"""Runs that a level needs to be one: two can go astray together, which happens once in 400 pairs at 5 % strays."""
NEIGHBOURS = 3
"""A value is compared with the median of as many on either side, itself included."""
STRAY_DEVIATIONS = 3.0
"""Further than this many standard deviations of the noise from that median, a value is drawn back to this distance."""
PENALTY = 7.0
"""Per cut, times the logarithm of the length.  By simulation (tests/test_history.py): steps are reported in one to
three of 100 series of 8 to 200 runs without any, at 5 % strays of up to 40 % and a correlation of 0.3."""
SHORT_SERIES = 5.0
"""The noise of a short series is not known well: with n differences its estimate is raised by 1 + this / n."""


@dataclass(frozen=True)
class Level:
    """A piece of constant level: runs ``start`` to ``end`` (exclusive)."""

    start: int
    end: int
    value: float
    """Median of its runs."""


@dataclass(frozen=True)
class Levels:
    """The pieces of a series in order, at least one, and the standard deviation of the noise around them."""

    pieces: tuple[Level, ...]
    noise: float

    @property
    def changes(self) -> tuple[int, ...]:
        """Where every piece but the first begins."""
        return tuple(piece.start for piece in self.pieces[1:])


def find_levels(values: ArrayLike, *, floor: float, smallest: float) -> Levels:
    """Cut ``values``, shape (n,), n >= 1, finite, into pieces of constant level.

    Values must be on a scale on which noise adds up: logarithms of times and rates, decibels as they are.  ``floor``:
    the least standard deviation that the noise is believed to have.  ``smallest``: steps below this are not reported,
    however sure.  Both on the scale of the values.
    """
    data = np.asarray(values, np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise ValueError(f"needed are one or more finite values, shape (n,); got {data!r}")
    noise = _noise(data, floor)
    if len(data) < 2 * SHORTEST:
        return Levels((_level(data, 0, len(data)),), noise)
    cuts = _cuts(_without_strays(data, noise) / noise, PENALTY * math.log(len(data)))
    pieces = [_level(data, start, end) for start, end in itertools.pairwise(cuts)]
    while len(pieces) > 1:
        sizes = [abs(after.value - before.value) for before, after in itertools.pairwise(pieces)]
        least = int(np.argmin(sizes))
        if sizes[least] >= smallest:
            break
        pieces[least : least + 2] = [_level(data, pieces[least].start, pieces[least + 1].end)]
    return Levels(tuple(pieces), noise)


def _level(data: NDArray[np.float64], start: int, end: int) -> Level:
    return Level(start, end, float(np.median(data[start:end])))


def _noise(data: NDArray[np.float64], floor: float) -> float:
    differences = np.diff(data)
    if len(differences) < 2:
        return floor
    # The difference of two independent values scatters sqrt(2) times as widely as each.  Around zero, not around
    # their median: in a short series with a step that would take part of the step for noise.
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(differences))) / math.sqrt(2)
    return max(sigma * (1 + SHORT_SERIES / len(differences)), floor)


def _without_strays(data: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Each value no further from the median of its neighbourhood than STRAY_DEVIATIONS of the noise."""
    padded = np.pad(data, NEIGHBOURS, mode="reflect")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1), axis=1)
    reach = STRAY_DEVIATIONS * noise
    return np.clip(data, middle - reach, middle + reach)


def _cuts(data: NDArray[np.float64], penalty: float) -> list[int]:
    """Bounds of the pieces, 0 and n included, that minimise squared distances from their means plus penalties."""
    _, last = cheapest(data, penalty, SHORTEST)
    return [*begins_up_to(last, len(data)), len(data)]
