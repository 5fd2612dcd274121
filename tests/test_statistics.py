"""Intervals cover what they claim to cover, ties share ranks, warm-up is found where it is and only there."""

import math

import numpy as np
import pytest

from results import statistics
from results.statistics import (
    mean_interval,
    median_interval,
    paired_ratio,
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
