"""Intervals cover what they claim to (more in test_coverage.py), differences are shown or not, ties share ranks, and
warm-up is found where it is and only there."""

import math

import numpy as np
import pytest

from results import statistics
from results.statistics import (
    compare_ratio,
    hierarchical_rate,
    holm,
    holm_adjusted,
    interquartile_mean,
    mean_interval,
    median_interval,
    pair_estimate,
    paired_ratio,
    paired_ratio_bootstrap,
    probability_of_improvement,
    process_rate,
    rate_interval,
    shared_ranks,
    warmup_blocks,
)


def test_mean_interval_is_students_t() -> None:
    # Textbook: n = 4, mean 5, s = 2.5819889, t(0.975, 3) = 3.1824463 -> half width 4.1085.
    interval = mean_interval([2.0, 4.0, 6.0, 8.0])
    assert interval.value == 5.0
    assert interval.high - interval.value == pytest.approx(3.1824463 * math.sqrt(20 / 3) / 2, rel=1e-7)
    assert interval.value - interval.low == pytest.approx(interval.high - interval.value)


def test_one_process_has_no_interval() -> None:
    for interval in (mean_interval([3.0]), median_interval([3.0]), paired_ratio([3.0], [1.0])):
        assert not interval.known
        assert interval.includes(1e9), "without an interval nothing is ruled out"
    assert rate_interval([[(100, 2.0)]]).value == 50.0


def test_rate_of_a_process_ignores_one_disturbed_block() -> None:
    assert process_rate([(100, 1.0), (100, 1.0), (100, 9.0)]) == 100.0
    assert process_rate([(100, 1.0), (300, 3.0)]) == 100.0, "blocks may differ in size"


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [1.0, -1.0], [[1.0]]])
def test_what_is_no_rate_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="needed are"):
        median_interval(bad)


def test_pairs_need_equal_rounds() -> None:
    with pytest.raises(ValueError, match="3 and 2"):
        paired_ratio([1.0, 2.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize("processes", [3, 5, 10])
def test_coverage_is_nominal(processes: int) -> None:
    # 4000 simulated sessions: the share covered has a standard error of sqrt(.95*.05/4000) = 0.0034; 4 of them.
    random = np.random.default_rng(1)
    truth = 1000.0
    hits = 0
    for logs in random.normal(math.log(truth), 0.05, (4000, processes)):
        interval = median_interval(np.exp(logs))
        hits += interval.low <= truth <= interval.high
    assert hits / 4000 == pytest.approx(0.95, abs=4 * 0.0034)


def test_blocks_are_not_taken_for_processes() -> None:
    # Processes scatter by 5 %, blocks within one by 0.1 %: an interval over all blocks would be far too narrow and
    # miss the truth most of the time.  Standard error of the share: sqrt(.95*.05/1500) = 0.0056.
    random = np.random.default_rng(2)
    naive = hits = 0
    for _ in range(1500):
        level = 1000.0 * np.exp(random.normal(0, 0.05, 4))
        rounds = [[(1.0, 1.0 / (rate * np.exp(random.normal(0, 0.001)))) for _ in range(8)] for rate in level]
        interval = rate_interval(rounds)
        hits += interval.low <= 1000.0 <= interval.high
        pooled = median_interval([s / t for blocks in rounds for s, t in blocks])
        naive += pooled.low <= 1000.0 <= pooled.high
    assert hits / 1500 == pytest.approx(0.95, abs=4 * 0.0056)
    assert naive / 1500 < 0.75


def test_pairing_removes_what_a_round_has_in_common() -> None:
    random = np.random.default_rng(3)
    round_effect = np.exp(random.normal(0, 0.3, 6))
    a = list(110.0 * round_effect * np.exp(random.normal(0, 0.005, 6)))
    b = list(100.0 * round_effect * np.exp(random.normal(0, 0.005, 6)))
    ratio = paired_ratio(a, b)
    assert ratio.value == pytest.approx(1.1, rel=0.01)
    assert ratio.low > 1.0, "a 10 % difference is plain within rounds"
    unpaired_a, unpaired_b = median_interval(a), median_interval(b)
    assert unpaired_a.low < unpaired_b.high, "and hidden between them"


def test_ties_share_a_rank() -> None:
    wobble = np.array([0.01, -0.02, 0.015, -0.005, 0.0])
    rates = {
        "fast": np.log(200.0) + wobble,
        "as fast": np.log(200.5) - wobble,
        "slow": np.log(100.0) + wobble,
        "slower": np.log(50.0) - wobble,
    }
    assert shared_ranks(list(rates), rates) == {"fast": 1, "as fast": 1, "slow": 3, "slower": 4}
    assert shared_ranks(list(rates), np.array(list(rates.values()))) == shared_ranks(list(rates), rates)


def test_missing_rounds_are_compared_where_both_ran() -> None:
    rates = {"a": [5.0, 5.01, math.nan], "b": [4.0, 4.01, 4.02], "c": [math.nan, math.nan, 3.0]}
    # "a" and "b" have two rounds in common and differ by a constant; "b" and "c" have one: no verdict, so a tie.
    assert shared_ranks(list(rates), rates) == {"a": 1, "b": 2, "c": 2}
    assert shared_ranks([], {}) == {}


@pytest.mark.parametrize("length", [8, 12, 20])
@pytest.mark.parametrize("slow", [1, 2, 4])
def test_warmup_is_found(length: int, slow: int) -> None:
    random = np.random.default_rng(4)
    found = []
    for _ in range(200):
        series = 1e-4 * np.exp(random.normal(0, 0.003, length))
        series[:slow] *= np.linspace(3.0, 1.3, slow)
        found.append(warmup_blocks(series))
    assert np.mean(np.array(found) >= slow) > 0.99
    assert np.mean(np.array(found) == slow) > 0.9, "and nothing else is thrown away with it"


def test_flat_series_have_no_warmup() -> None:
    random = np.random.default_rng(5)
    series = 1e-4 * np.exp(random.normal(0, 0.003, (400, 8)))
    # 2 % above the level is 6.7 standard deviations of this noise: no false alarm may happen at all.
    assert [warmup_blocks(row) for row in series] == [0] * 400
    noisy = 1e-4 * np.exp(random.normal(0, 0.03, (400, 8)))
    assert np.mean([warmup_blocks(row) > 0 for row in noisy]) < 0.2, "four blocks estimate a spread badly"


def test_a_fast_start_and_a_late_disturbance_are_not_warmup() -> None:
    assert warmup_blocks([0.5, 0.5, 1.0, 1.0, 1.0, 1.0]) == 0
    assert warmup_blocks([1.0, 1.0, 1.0, 1.0, 5.0, 1.0]) == 0
    assert warmup_blocks([9.0, 1.0, 1.0]) == 0, "too short to tell"
    assert warmup_blocks([9.0, 9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 1.0]) == 4
    assert warmup_blocks([9.0] * statistics.WARMUP_MINIMUM) == 0


def test_pair_estimate_is_the_median_of_pairwise_means() -> None:
    # Differences of logarithms 0, 1, 5: means of two (and of each alone) are 0, .5, 1, 2.5, 3, 5; their median 1.75.
    assert pair_estimate([1.0, 1.0, 1.0], np.exp([0.0, 1.0, 5.0])) == pytest.approx(1.75)
    assert pair_estimate([2.0], [3.0]) == pytest.approx(math.log(1.5)), "positive: b costs more"


def test_pair_estimate_survives_bad_blocks() -> None:
    a = np.full(10, 1e-3)
    b = 1.03 * a
    b[[2, 5]] *= 8.0
    assert pair_estimate(a, b) == pytest.approx(math.log(1.03), rel=1e-9)
    assert np.log(b / a).mean() > 0.4, "which the mean does not"


def test_bootstraps_agree_with_the_intervals_over_processes() -> None:
    rounds_a = [[(100.0, 1.00), (100.0, 1.02), (100.0, 0.99)], [(100.0, 1.05)], [(100.0, 0.97)]]
    rounds_b = [[(samples, 2 * seconds) for samples, seconds in blocks] for blocks in rounds_a]
    rate = hierarchical_rate(rounds_a)
    assert rate.value == pytest.approx(math.exp(np.mean([math.log(process_rate(blocks)) for blocks in rounds_a])))
    assert rate.low < rate.value < rate.high
    ratio = paired_ratio_bootstrap(rounds_a, rounds_b)
    # The rate of a is twice that of b in every block: nothing is left to vary but the last digits.
    assert [ratio.value, ratio.low, ratio.high] == pytest.approx([2.0] * 3, rel=1e-12)
    assert ratio.value == pytest.approx(paired_ratio(rounds_a, rounds_b).value)


def test_bootstraps_are_the_same_for_the_same_seed() -> None:
    rounds = [[(1.0, seconds) for seconds in row] for row in np.random.default_rng(6).uniform(1.0, 1.1, (5, 6))]
    assert hierarchical_rate(rounds) == hierarchical_rate(rounds)
    first, other = hierarchical_rate(rounds, seed=1), hierarchical_rate(rounds, seed=2)
    assert first != other
    assert first.high - first.value == pytest.approx(other.high - other.value, rel=0.1)


def test_many_blocks_take_little_memory_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    a, b = ([[(1.0, s) for s in row] for row in random.uniform(1.0, 1.1, (4, 30))] for _ in range(2))
    at_once = paired_ratio_bootstrap(a, b, resamples=200)
    monkeypatch.setattr(statistics, "LARGEST_DRAW", 5000)
    assert paired_ratio_bootstrap(a, b, resamples=200) == at_once


def test_one_process_has_no_bootstrap_interval() -> None:
    blocks = [(100.0, 1.0), (100.0, 1.1)]
    assert not hierarchical_rate([blocks]).known
    assert not paired_ratio_bootstrap([blocks], [blocks]).known
    assert paired_ratio_bootstrap([blocks], [blocks]).value == 1.0


def test_blocks_that_are_no_pairs_are_refused() -> None:
    one, two = [(100.0, 1.0)], [(100.0, 1.0), (100.0, 1.0)]
    with pytest.raises(ValueError, match="2 and 1"):
        paired_ratio_bootstrap([two], [one])
    with pytest.raises(ValueError, match="1 and 2"):
        paired_ratio_bootstrap([one], [one, one])
    with pytest.raises(ValueError, match="needed are"):
        hierarchical_rate([])
    with pytest.raises(ValueError, match="blocks must be pairs"):
        hierarchical_rate([[]])


def test_holm() -> None:
    # Holm's own procedure, by hand: .01 * 4, then max(.04, .02 * 3), max(.06, .03 * 2), .5 * 1.
    p = [0.5, 0.01, 0.03, 0.02]
    assert holm_adjusted(p) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm(p) == [False, True, False, False]
    assert holm(p, alpha=0.1) == [False, True, True, True]
    assert holm_adjusted([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])


def test_holm_keeps_the_error_of_the_family() -> None:
    # 4000 families of 20 without any effect: one or more finds in 5 % of them (s.e. 0.0034), in 64 % if each is
    # taken for itself.
    p = np.random.default_rng(8).uniform(size=(4000, 20))
    assert np.mean([any(holm(row)) for row in p.tolist()]) == pytest.approx(0.05, abs=4 * 0.0034)
    assert np.mean((p < 0.05).any(axis=1)) > 0.6


@pytest.mark.parametrize(
    ("centre", "spread", "expected"),
    [
        (0.05, 0.005, "slower"),
        (-0.05, 0.005, "faster"),
        (0.01, 0.001, "slower"),  # however small: difference comes first
        (0.0, 0.005, "equivalent"),
        (0.0, 0.05, "inconclusive"),
        (0.05, 0.2, "inconclusive"),
        (0.0, 0.0, "equivalent"),
        (0.02, 0.0, "slower"),
    ],
)
def test_a_ratio_is_different_or_shown_not_to_be_or_neither(centre: float, spread: float, expected: str) -> None:
    wobble = spread * np.array([-1.0, 1.0, -0.5, 0.5, 1.2, -1.2])
    assert compare_ratio(centre + wobble, margin=0.03) == expected


def test_one_round_decides_nothing() -> None:
    assert compare_ratio([0.0], margin=0.03) == "inconclusive"
    with pytest.raises(ValueError, match="margin"):
        compare_ratio([0.0, 0.1], margin=0.0)


def test_wrong_claims_are_rare() -> None:
    # With a true difference of just the margin "equivalent" is wrong, and with none "slower" and "faster" are: each
    # at most alpha = 5 % of 3000 sessions (s.e. 0.004; four of them).
    random = np.random.default_rng(9)
    same = [compare_ratio(row, 0.03) for row in random.normal(0.0, 0.02, (3000, 8))]
    assert same.count("slower") + same.count("faster") == pytest.approx(150, abs=4 * 0.004 * 3000)
    assert same.count("equivalent") > 1500
    apart = [compare_ratio(row, 0.03) for row in random.normal(math.log(1.03), 0.02, (3000, 8))]
    assert 0 < apart.count("equivalent") <= 150 + 4 * 0.004 * 3000


def test_interquartile_mean() -> None:
    assert interquartile_mean([1.0, 2.0, 4.0, 100.0]).value == 3.0, "a failed seed at either end is left out"
    assert interquartile_mean([30.0, 31.0, 35.0]).value == 32.0, "of three none is: a quarter of them is less than one"
    assert not interquartile_mean([30.0]).known
    several = interquartile_mean([[10.0, 10.1, 10.2], [30.0, 30.1, 30.2]])
    assert several.value == pytest.approx(20.1)
    assert several.high - several.low < 1.0, "seeds are drawn within tasks, however far apart those lie"
    with pytest.raises(ValueError, match="finite"):
        interquartile_mean([])


def test_probability_of_improvement() -> None:
    assert probability_of_improvement([2.0, 4.0], [1.0, 3.0]).value == 0.75
    tie = probability_of_improvement([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    assert tie.value == 0.5
    assert tie.low + tie.high == pytest.approx(1.0)
    apart = probability_of_improvement([3.0, 4.0, 5.0], [0.0, 1.0, 2.0])
    assert apart.value == apart.high == 1.0
    assert 0.45 < apart.low < 0.6, "three seeds of each prove little, even if all are better"
    assert not probability_of_improvement([1.0], [0.0, 2.0]).known
