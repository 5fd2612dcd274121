"""Looking at a growing sample again and again without fooling oneself: group-sequential tests with alpha-spending.

Whoever tests after every round and stops at the first success finds something in nothing: ten looks at 1 % each are
not 1 % together.  Lan & DeMets (1983, "Discrete sequential boundaries for clinical trials") hand out the allowed
error bit by bit: after a fraction t of what there is at most, :func:`spent` of it may have been used.  What is left
for a look follows from the joint distribution of all looks so far, found by the recursion of Armitage, McPherson &
Rowe (1969, "Repeated significance tests on accumulating data").  As fraction the *time* is taken (Lan & DeMets 1989,
"Group sequential procedures: calendar versus information time"): it does not depend on what was observed, and a
session that is slower than thought stays valid.

The recursion is that of normal sums.  Rounds are few, so their means are tested with Student's t at the nominal level
of each look (Jennison & Turnbull 2000, "Group sequential methods", section 4.4).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SPENDING_POWER = 1.0
"""alpha * t^power: 1 spends evenly.  Larger powers save it for the end, and a clear regression is then found late."""
GRID = 801
"""Points of the numerical integral (odd, for Simpson's rule): levels are then right to five digits."""
REACH = 8.0
"""Standard deviations that the grid reaches below 0: a normal variable is beyond once in 10^15."""
BISECTIONS = 60
"""Halvings of an interval of some 20 standard deviations: to the last digit of a float."""


def spent(alpha: float, fraction: float) -> float:
    """How much of ``alpha`` may be used up by ``fraction`` (0 to 1) of the time."""
    return float(alpha * min(max(fraction, 0.0), 1.0) ** SPENDING_POWER)


def nominal_levels(alpha: float, rounds: Sequence[int], fractions: Sequence[float]) -> list[float]:
    """The one-sided p-value below which each look stops, so that all looks together err with ``alpha`` at most.

    ``rounds``: how many there were at each look so far, rising; ``fractions``: of the time, not falling, 1 at the
    latest look that is possible.  A look to which nothing is left has level 0.
    """
    if len(rounds) != len(fractions):
        raise ValueError(f"looks need rounds and fractions in pairs; got {len(rounds)} and {len(fractions)}")
    if any(later <= earlier for earlier, later in itertools.pairwise(rounds)) or min(rounds, default=1) < 1:
        raise ValueError(f"rounds must rise from look to look, from 1 at least; got {list(rounds)}")
    return list(_levels(alpha, tuple(rounds), tuple(fractions)))


@lru_cache(maxsize=4096)
def _levels(alpha: float, rounds: tuple[int, ...], fractions: tuple[float, ...]) -> tuple[float, ...]:
    from scipy.special import ndtr

    if not rounds:
        return ()
    # The looks before do not change when another one is added.
    before = _levels(alpha, rounds[:-1], fractions[:-1])
    allowed = spent(alpha, fractions[-1]) - (spent(alpha, max(fractions[:-1])) if before else 0.0)
    if allowed <= 0.0:
        return (*before, 0.0)
    grid, density = _continuing(before, rounds[:-1])
    step = math.sqrt(rounds[-1] - (rounds[-2] if before else 0))

    def crossing(bound: float) -> float:
        """P(no earlier look stopped, and the sum is now above ``bound``)."""
        return float(np.sum(density * ndtr((grid - bound) / step)))

    low, high = -REACH * math.sqrt(rounds[-1]), 2 * REACH * math.sqrt(rounds[-1])
    if crossing(low) <= allowed:
        return (*before, 1.0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if crossing(middle) > allowed else (low, middle)
    return (*before, float(ndtr(-high / math.sqrt(rounds[-1]))))


def _continuing(levels: tuple[float, ...], rounds: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the sum of standard normal rounds stands if no look has stopped: points, and probability at each."""
    from scipy.special import ndtri

    grid, density = np.zeros(1), np.ones(1)  # before the first round the sum is 0
    done = 0
    for level, count in zip(levels, rounds, strict=True):
        scale = math.sqrt(count)
        top = REACH * scale if level <= 0.0 else min(-float(ndtri(level)), REACH) * scale
        points = np.linspace(-REACH * scale, top, GRID)
        weights = np.full(GRID, 2.0)
        weights[1::2] = 4.0
        weights[[0, -1]] = 1.0
        weights *= (points[1] - points[0]) / 3.0
        step = math.sqrt(count - done)
        apart = (points[:, None] - grid[None, :]) / step
        density = weights * (np.exp(-0.5 * apart**2) / (step * math.sqrt(2 * math.pi)) @ density)
        grid, done = points, count
    return grid, density
