"""Processes that settle are told from those that do not, in the noise of a busy machine.  `-s` prints the tables."""

import math

import numpy as np
import pytest
from noise import block_noise
from numpy.typing import NDArray

from results.steady import LEADING_FACTOR, SHORTEST_SERIES, Kind, Steadiness, classify, combine

KINDS: tuple[Kind, ...] = ("flat", "warmup", "slowdown", "no_steady_state")
LENGTHS = (30, 60, 120)
STEPS = (0.15, 0.5)
"""Steps of the traces, as fractions.  The smallest is five standard deviations of a block; of a mean of four
consecutive ones, which is all that a series of 30 has of some levels, it is six (their noise is autocorrelated)."""
LEVEL = 1e-4


def trace(random: np.random.Generator, kind: Kind, length: int) -> NDArray[np.float64]:
    """Costs of ``length`` blocks of a process of this kind, shape (length,): a shape without noise, times noise."""
    logs = np.zeros(length)
    step = math.log1p(random.uniform(*STEPS))
    position = np.arange(length)
    if kind == "warmup":
        blocks = int(random.integers(max(4, length // 8), length // 2))
        decays = random.random() < 0.5
        logs += 3 * step * np.exp(-position / (blocks / 4)) if decays else step * (position < blocks)
    elif kind == "slowdown":
        logs += step * (position >= int(random.integers(max(4, length // 8), int(0.6 * length))))
    elif kind == "no_steady_state":
        way = random.integers(3)
        if way == 0:  # another level in the last fifth
            late = int(random.integers(math.ceil(0.8 * length), length - 3))
            logs += random.choice([-1, 1]) * step * (position >= late)
        elif way == 1:  # up and down, six times
            logs += step * (position // (length // 6) % 2)
        else:  # a slope from the first block to the last
            logs += random.choice([-1, 1]) * math.log1p(random.uniform(0.3, 1.0)) * position / length
    return LEVEL * np.exp(logs + block_noise(random, (length,)))


def confusion(traces: int, seed: int) -> dict[int, dict[Kind, dict[str, float]]]:
    """Length -> true kind -> share that was found, by kind found."""
    table: dict[int, dict[Kind, dict[str, float]]] = {}
    for length in LENGTHS:
        for kind in KINDS:
            random = np.random.default_rng([seed, length])
            found = [classify(trace(random, kind, length)).kind for _ in range(traces)]
            table.setdefault(length, {})[kind] = {name: found.count(name) / traces for name in KINDS}
    print(f"\n{'blocks':>6}  {'true kind':<16}" + "".join(f"{name:>17}" for name in KINDS))
    for length, rows in table.items():
        for kind, row in rows.items():
            print(f"{length:>6}  {kind:<16}" + "".join(f"{100 * row[name]:>15.1f} %" for name in KINDS))
    return table


def test_kinds_are_told_apart() -> None:
    # 95 % are wanted; 150 traces of a classifier that is right in just 95 % find that less two standard errors,
    # 0.95 - 2 sqrt(0.95 * 0.05 / 150) = 0.914, or more.
    for length, rows in confusion(150, seed=1).items():
        for kind, row in rows.items():
            assert row[kind] >= 0.914, (length, kind, row)


@pytest.mark.slow
def test_kinds_are_told_apart_in_many_traces() -> None:
    for length, rows in confusion(2000, seed=2).items():
        for kind, row in rows.items():
            assert row[kind] >= 0.95, (length, kind, row)


def test_the_steady_part_begins_where_it_does() -> None:
    random = np.random.default_rng(3)
    starts, levels = [], []
    for _ in range(200):
        costs = LEVEL * np.exp(math.log1p(0.3) * (np.arange(60) < 20) + block_noise(random, (60,)))
        found = classify(costs)
        starts.append(found.start)
        levels.append(found.level)
    assert np.mean(np.abs(np.array(starts) - 20) <= 2) >= 0.9
    # A level from 40 such blocks has a standard error of 0.029 sqrt(3.3 / 40) * 1.25 (a median) = 1 %.
    assert np.mean(np.abs(np.array(levels) / LEVEL - 1) < 0.03) >= 0.97


def test_series_without_noise() -> None:
    flat = [1.0] * 24
    assert classify(flat) == Steadiness("flat", 0, 1.0)
    assert classify([2.0] * 6 + [1.0] * 18) == Steadiness("warmup", 6, 1.0, (6,))
    assert classify([1.0] * 6 + [2.0] * 18) == Steadiness("slowdown", 6, 2.0, (6,))
    assert classify([1.0] * 20 + [2.0] * 4) == Steadiness("no_steady_state", 24, 1.0, (20,))
    assert classify(np.geomspace(1.0, 2.0, 24)).kind == "no_steady_state", "a slope to the very end"
    assert classify([1.0, 1.02] * 12).kind == "flat", "levels within a few per cent are one"


def test_few_slow_blocks_at_the_start_are_warmup_and_elsewhere_are_not() -> None:
    settled = [1.0, 1.01, 0.99, 1.0] * 6
    assert classify([9.0, *settled]) == Steadiness("warmup", 1, 1.0, (1,)), "compiled in the first block"
    assert classify([1.5, 1.3, *settled]).start == 2
    assert classify([LEADING_FACTOR - 0.1, *settled]).kind == "flat", "one outlier may well be the first block"
    assert classify([*settled[:12], 9.0, 9.0, *settled[12:]]).kind == "flat"
    assert classify([*settled, 9.0]).kind == "flat"


def test_units_do_not_matter() -> None:
    costs = trace(np.random.default_rng(4), "warmup", 60)
    seconds, hours = classify(costs), classify(costs / 3600)
    assert (seconds.kind, seconds.start, seconds.changepoints) == (hours.kind, hours.start, hours.changepoints)
    assert hours.level == pytest.approx(seconds.level / 3600)


def test_short_series_say_nothing() -> None:
    assert classify([2.0] + [1.0] * (SHORTEST_SERIES - 2)) == Steadiness("too_short", SHORTEST_SERIES - 1, 1.0)
    empty = classify([])
    assert (empty.kind, empty.start) == ("too_short", 0)
    assert math.isnan(empty.level)
    assert not empty.settled
    assert classify([1.0] * SHORTEST_SERIES).settled


@pytest.mark.parametrize("bad", [[1.0, math.nan] * 10, [1.0, 0.0] * 10, [-1.0] * 20, [[1.0] * 20]])
def test_what_is_no_cost_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        classify(bad)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], "too_short"),
        (["too_short"] * 3, "too_short"),
        (["flat"] * 3, "flat"),
        (["flat", "too_short"], "flat"),
        (["flat", "warmup", "flat"], "warmup"),
        (["slowdown"] * 3, "slowdown"),
        (["no_steady_state"] * 2 + ["flat"], "no_steady_state"),
        (["no_steady_state", "flat"], "inconsistent"),
        (["slowdown", "flat"], "inconsistent"),
        (["slowdown"] * 2 + ["warmup"] * 2, "inconsistent"),
        # One process in three, or a quarter of more: the classifier itself is wrong about as many now and then.
        (["flat"] * 2 + ["no_steady_state"], "flat"),
        (["warmup"] * 6 + ["slowdown", "no_steady_state"], "warmup"),
        (["flat"] * 5 + ["slowdown"] * 3, "inconsistent"),
        (["slowdown"] * 3 + ["flat"], "slowdown"),
    ],
)
def test_processes_are_combined(kinds: list[Kind], expected: str) -> None:
    assert combine([Steadiness(kind, 0, 1.0) for kind in kinds]) == expected


def test_ten_steady_processes_are_hardly_ever_called_anything_else() -> None:
    # Each is judged right in 95 of 100 cases or more; that three of ten are not (two are overlooked) has a
    # probability of 1.2 %: of 60 contestants at most 4 (p = 0.001 for more).
    random = np.random.default_rng(5)
    found = [combine([classify(trace(random, "flat", 30)) for _ in range(10)]) for _ in range(60)]
    assert sum(kind not in ("flat", "warmup") for kind in found) <= 4
