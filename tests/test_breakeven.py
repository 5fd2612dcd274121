"""Break-even and time to PSNR: where lines meet, how sure that is, and what is said when they do not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from results.breakeven import BreakEven, Cost, breakeven, cost, costs, leads, pairs, sentence, typical
from results.statistics import Interval


def processes(cold: float, rate: float, *, rounds: int = 6, noise: float = 0.0, seed: int = 0) -> dict[int, Cost]:
    draw = np.random.default_rng([seed, round(cold * 1000), round(rate)])
    return {
        number: Cost(cold * float(draw.normal(1, noise)), 1 / (rate * float(draw.normal(1, noise))))
        for number in range(rounds)
    }


def test_lines_meet_where_arithmetic_says() -> None:
    # 6 s later to start, 1/10,000 - 1/30,000 s saved an image: 6 / (2/30,000) = 90,000 images.
    found = breakeven(processes(8, 30_000), processes(2, 10_000))
    assert found.kind == "overtakes"
    assert found.images == Interval(pytest.approx(90_000), pytest.approx(90_000), pytest.approx(90_000))
    assert found.seconds == pytest.approx(11)  # 8 + 3 = 2 + 9
    assert found.epochs(60_000).value == pytest.approx(1.5)
    assert found.rounds == 6


def test_the_other_way_round_it_is_overtaken_at_the_same_place() -> None:
    a, b = processes(8, 30_000, noise=0.02), processes(2, 10_000, noise=0.02)
    forwards, backwards = breakeven(a, b), breakeven(b, a)
    assert (forwards.kind, backwards.kind) == ("overtakes", "overtaken")
    assert backwards.images == Interval(*(pytest.approx(x) for x in (forwards.images.value, forwards.images.low,
                                                                      forwards.images.high)))  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ((2, 30_000), (8, 10_000), "always"),  # starts earlier and is faster
        ((8, 10_000), (2, 30_000), "never"),
        ((8, 10_000), (2, 10_000), "undecided"),
    ],
)
def test_lines_that_do_not_meet(a: tuple[float, float], b: tuple[float, float], kind: str) -> None:
    found = breakeven(processes(*a, noise=0.03), processes(*b, noise=0.03, seed=1))
    assert found.kind == kind
    assert math.isnan(found.images.value)
    assert math.isnan(found.seconds)


def test_starts_that_can_not_be_told_apart_let_the_interval_begin_at_nothing() -> None:
    found = [breakeven(processes(5, 30_000, noise=0.03, seed=s), processes(5, 10_000, noise=0.03, seed=s + 100))
             for s in range(40)]  # fmt: skip
    assert {one.kind for one in found} == {"overtakes"}, "that one starts earlier by chance says nothing"
    assert 0 < sum(one.images.value == 0 for one in found) < 40
    # Six processes with 3 % of 5 s each: medians 0.11 s apart or so, which 0.067 ms an image make up in 1,600 images.
    assert all(one.images.value < 10_000 for one in found if one.kind == "overtakes")
    assert sum(one.images.low == 0 for one in found if one.kind == "overtakes") >= 10


def test_one_round_decides_nothing() -> None:
    assert breakeven(processes(8, 30_000, rounds=1), processes(2, 10_000, rounds=1)).kind == "undecided"
    assert breakeven(processes(8, 30_000), {}).rounds == 0


def test_only_common_rounds_are_compared() -> None:
    a, b = processes(8, 30_000, rounds=4), processes(2, 10_000, rounds=7)
    a[99] = Cost(1e6, 1e6)
    assert breakeven(a, b).rounds == 4
    assert breakeven(a, b).images.value == pytest.approx(90_000)


def test_one_import_from_a_cold_disk_does_not_move_the_estimate() -> None:
    a = processes(8, 30_000)
    a[0] = Cost(38, a[0].each)
    found = breakeven(a, processes(2, 10_000))
    assert found.images.value == pytest.approx(90_000)
    # The mean start is 5 s later than the median, and nothing rules out that starts are alike.
    assert found.images.low == 0
    assert found.images.high > 150_000


def test_intervals_cover_the_truth() -> None:
    """Truth 90,000 images, 3 % noise in cold costs and rates: 95 % of 1,000 intervals should hold it.

    The standard error of such a share is sqrt(0.95 * 0.05 / 1000) = 0.7 %, so 93 % is three of them below.  Fieller's
    intervals are exact for normal errors and never too short; taking in the median widens them a little.
    """
    covered = 0
    for seed in range(1000):
        a, b = processes(8, 30_000, noise=0.03, seed=seed), processes(2, 10_000, noise=0.03, seed=seed)
        found = breakeven(a, b)
        assert found.kind == "overtakes"
        assert 0 <= found.images.low <= found.images.value <= found.images.high
        covered += found.images.low <= 90_000 <= found.images.high
    assert 930 <= covered <= 985


def test_a_difference_hard_to_see_has_a_wide_interval() -> None:
    near, far = (breakeven(processes(8, rate, noise=0.01), processes(2, 10_000, noise=0.01)) for rate in (10_600, 1e5))
    assert near.kind == far.kind == "overtakes"
    assert near.images.high / near.images.low > 1.2 > far.images.high / far.images.low


def entry(number: int, seconds: float, **cold: float | None) -> dict[str, Any]:
    return {"round": number, "train": [[1000, seconds]] * 3, "warmup_blocks": 0, "fresh": True, **cold}


def test_costs_come_from_the_rounds_of_a_record() -> None:
    one = entry(3, 0.1, import_seconds=2.0, build_seconds=0.5, staging_seconds=None, first_step_seconds=1.5)
    assert cost(one) == Cost(pytest.approx(4.0), pytest.approx(1e-4))
    assert cost(entry(0, 0.1)) is None  # no cold costs were measured
    assert cost({"round": 0, "import_seconds": 1.0}) is None  # and here no rate
    assert costs([one, {"round": 4}]).keys() == {3}
    assert typical({0: Cost(1, 2), 1: Cost(3, 4), 2: Cost(100, 5)}) == Cost(3, 4)


def test_who_leads_when() -> None:
    lines = {"quick": Cost(1, 0.5), "between": Cost(2, 0.2), "fast": Cost(6, 0.1), "never": Cost(6.5, 0.3)}
    assert [(name, pytest.approx(images)) for name, images in leads(lines)] == [
        ("quick", 0.0), ("between", 1 / 0.3), ("fast", 40.0)
    ]  # fmt: skip
    for images in (1.0, 10.0, 100.0):
        first = [name for name, start in leads(lines) if start <= images][-1]
        assert first == min(lines, key=lambda name: lines[name].seconds(images))
    assert leads({}) == []
    assert leads({"alone": Cost(1, 1)}) == [("alone", 0.0)]


def test_sentences() -> None:
    found = BreakEven("overtakes", Interval(61_234, 48_000, 79_499), 5.0, 6)
    said = sentence("torch tuned", "torch idiomatic", found, 60_000, "mnist")
    assert said == ("torch tuned overtakes torch idiomatic after 61,200 images [48,000, 79,500] (1.0 epochs of mnist)")
    nothing = Interval(math.nan, math.nan, math.nan)
    assert "from the start" in sentence("a", "b", BreakEven("always", nothing, math.nan, 6))
    soon = BreakEven("overtakes", Interval(0.0, 0.0, 3_214), 2.0, 6)
    assert sentence("a", "b", soon) == "a is ahead of b from the start, or after 3,210 images at the latest"
    assert "never overtakes" in sentence("a", "b", BreakEven("never", nothing, math.nan, 6))
    assert "can not be told apart" in sentence("a", "b", BreakEven("undecided", nothing, math.nan, 6))
    assert sentence("a", "b", BreakEven("overtaken", Interval(10, 0, math.inf), 1.0, 6)).startswith("b overtakes a")
    with pytest.raises(ValueError, match="size = 0"):
        found.epochs(0)


def test_the_tuned_track_is_compared_with_the_idiomatic_one_of_its_backend() -> None:
    names = [("torch", "tuned"), ("jax", "tuned"), ("torch", "idiomatic")]
    assert pairs(names) == [(("torch", "tuned"), ("torch", "idiomatic"))]
