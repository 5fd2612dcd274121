"""Alpha-spending: looks that together err as often as they may, and no more often."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import ndtri

from results.sequential import nominal_levels, spent


def test_a_single_look_at_the_end_has_all_of_alpha() -> None:
    assert nominal_levels(0.05, [12], [1.0]) == pytest.approx([0.05], abs=1e-6)


def test_spending_is_even_and_ends_at_alpha() -> None:
    assert [spent(0.02, t) for t in (0.0, 0.25, 1.0, 3.0)] == pytest.approx([0.0, 0.005, 0.02, 0.02])


def test_earlier_looks_do_not_change_when_another_is_added() -> None:
    short = nominal_levels(0.01, [4, 5], [0.4, 0.5])
    assert nominal_levels(0.01, [4, 5, 9], [0.4, 0.5, 0.9])[:2] == short


def test_a_look_without_time_since_the_last_has_nothing_to_spend() -> None:
    levels = nominal_levels(0.01, [4, 5], [0.5, 0.5])
    assert levels[0] == pytest.approx(0.005, abs=1e-6)
    assert levels[1] == 0.0


@pytest.mark.parametrize(
    ("rounds", "fractions"),
    [([4, 5, 6, 8, 12, 20], [0.2, 0.25, 0.3, 0.4, 0.6, 1.0]), ([1, 2, 3], [0.1, 0.2, 1.0]), ([10, 11], [0.9, 1.0])],
)
def test_all_looks_together_stop_as_often_as_they_may(rounds: list[int], fractions: list[float]) -> None:
    # Sums of 400,000 series of standard normal rounds.  The share that has stopped by each look has a standard error
    # of sqrt(0.05 * 0.95 / 400,000) = 0.00034; five of them are allowed.
    alpha, series = 0.05, 400_000
    levels = nominal_levels(alpha, rounds, fractions)
    generator = np.random.default_rng(1)
    total, stopped, done = np.zeros(series), np.zeros(series, bool), 0
    for count, fraction, level in zip(rounds, fractions, levels, strict=True):
        total += generator.standard_normal(series) * np.sqrt(count - done)
        done = count
        stopped |= total / np.sqrt(count) > -ndtri(level)
        assert stopped.mean() == pytest.approx(spent(alpha, fraction), abs=0.0017)


def test_looks_cost_less_than_if_they_were_independent() -> None:
    # Looks share their data: Bonferroni over equal parts would leave 0.01 for each of five.
    levels = nominal_levels(0.05, [2, 4, 6, 8, 10], [0.2, 0.4, 0.6, 0.8, 1.0])
    assert levels[0] == pytest.approx(0.01, abs=1e-6)
    assert all(later > earlier for earlier, later in itertools.pairwise(levels))
    assert levels[-1] > 0.015


@pytest.mark.parametrize(
    ("rounds", "fractions"), [([4, 4], [0.4, 0.5]), ([0], [1.0]), ([4], [0.1, 0.2]), ([5, 4], [0.1, 0.2])]
)
def test_looks_that_can_not_be_are_refused(rounds: list[int], fractions: list[float]) -> None:
    with pytest.raises(ValueError, match=r"looks|rounds"):
        nominal_levels(0.05, rounds, fractions)
