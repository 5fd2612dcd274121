"""A rate is what further samples cost; what a call costs whatever it is given is told apart from it."""

from __future__ import annotations

import pytest

from results.rates import call_overhead, rate, settled_blocks


def entry(overhead: float, speed: float, samples: int = 1000, calls: int = 3) -> dict:
    seconds = calls * (overhead + samples / speed)
    return {
        "train": [[calls * samples, seconds]] * 5,
        "warmup_blocks": 0,
        "calls": {"train": calls},
        "short_calls": {"train": [64, overhead + 64 / speed]},
    }


@pytest.mark.parametrize("overhead", [0.0, 0.06, 1.0])
def test_the_overhead_of_a_call_does_not_slow_the_rate(overhead: float) -> None:
    assert rate(entry(overhead, 5000.0), "train") == pytest.approx(5000.0)
    assert call_overhead(entry(overhead, 5000.0), "train") == pytest.approx(overhead, abs=1e-12)


def test_without_short_calls_the_rate_is_gross() -> None:
    measured = entry(0.1, 5000.0)
    del measured["short_calls"]
    assert rate(measured, "train") == pytest.approx(1000 / (0.1 + 0.2))
    assert call_overhead(measured, "train") is None


def test_a_disturbed_short_call_is_not_believed() -> None:
    measured = entry(0.0, 5000.0) | {"short_calls": {"train": [64, 9.0]}}
    assert rate(measured, "train") == pytest.approx(5000.0)


def test_warm_up_is_left_out_and_what_was_not_measured_is_none() -> None:
    measured = {"train": [[10, 9.0], [10, 1.0], [10, 1.0]], "warmup_blocks": 1}
    assert settled_blocks(measured, "train") == [[10, 1.0], [10, 1.0]]
    assert rate(measured, "train") == 10.0
    assert rate(measured, "inference") is None
