"""A rate is what further samples cost; what a call costs whatever it is given is told apart from it."""

from __future__ import annotations

import pytest

from results.rates import call_overhead, rate, settled_blocks, step_seconds, too_disturbed, undisturbed_latencies


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
    for seconds in (9.0, 0.19):  # a long call takes 0.2 s
        measured = entry(0.0, 5000.0) | {"short_calls": {"train": [64, seconds]}}
        assert rate(measured, "train") == pytest.approx(5000.0)


def test_warm_up_is_left_out_and_what_was_not_measured_is_none() -> None:
    measured = {"train": [[10, 9.0], [10, 1.0], [10, 1.0]], "warmup_blocks": 1}
    assert settled_blocks(measured, "train") == [[10, 1.0], [10, 1.0]]
    assert rate(measured, "train") == 10.0
    assert rate(measured, "inference") is None


def conditions(text: str, **more: int) -> list[dict]:
    """A letter for each block: "x" was disturbed."""
    return [{"disturbed": "waited" if letter == "x" else None, **more} for letter in text]


def test_disturbed_blocks_do_not_count_while_enough_others_are_there() -> None:
    good, bad = [10, 1.0], [10, 3.0]
    measured = {"train": [bad, good, bad, good], "conditions": {"train": conditions("x.x.")}}
    assert settled_blocks(measured, "train") == [good, good]
    assert rate(measured, "train") == 10.0
    assert not too_disturbed(measured, "train")


def test_too_disturbed_a_round_counts_all_of_its_blocks() -> None:
    blocks = [[10, 3.0], [10, 1.0], [10, 3.0], [10, 3.0]]
    measured = {"train": blocks, "conditions": {"train": conditions("x.xx")}}
    assert settled_blocks(measured, "train") == blocks
    assert too_disturbed(measured, "train")


def test_warm_up_is_no_block_that_remains() -> None:
    measured = {
        "train": [[10, 9.0], [10, 1.0], [10, 1.0], [10, 2.0]],
        "warmup_blocks": 1,
        "conditions": {"train": conditions("...x")},
    }
    assert settled_blocks(measured, "train") == [[10, 1.0], [10, 1.0]]


def test_older_records_without_conditions_count_as_they_did() -> None:
    assert settled_blocks({"train": [[10, 1.0], [10, 2.0]]}, "train") == [[10, 1.0], [10, 2.0]]
    assert not too_disturbed({"train": [[10, 1.0]]}, "train")


def test_latencies_of_disturbed_blocks_are_left_out_as_a_block() -> None:
    measured = {"latency": [1.0, 1.1, 9.0, 9.1], "conditions": {"latency": conditions(".x", calls=2)}}
    assert undisturbed_latencies(measured) == [1.0, 1.1]
    assert undisturbed_latencies({"latency": [1.0, 2.0]}) == [1.0, 2.0]
    assert undisturbed_latencies(measured | {"conditions": {"latency": conditions("xx", calls=2)}}) == [
        1.0, 1.1, 9.0, 9.1
    ]  # fmt: skip


def settling(overhead: float, step: float) -> dict:
    """Two slow blocks, a disturbed one, three good ones; blocks of 4 steps of 8 samples."""
    quick = [32, overhead + 4 * step]
    return entry(overhead, 8 / step) | {
        "settle": {"train": [[32, 9.0], [32, 9.0], [32, 7.0], quick, quick, quick]},
        "steady": {"train": {"kind": "warmup", "start": 2}},
        "conditions": {"settle": conditions("..x...")},
    }


def test_step_times_are_those_of_steady_blocks_without_what_a_call_costs() -> None:
    assert step_seconds(settling(0.0, 0.01), 8) == pytest.approx([0.01] * 3)
    assert step_seconds(settling(0.03, 0.01), 8) == pytest.approx([0.01] * 3)


def test_steps_that_are_lost_in_the_cost_of_a_call_are_not_told() -> None:
    assert step_seconds(settling(0.1, 0.01), 8) == []
    assert step_seconds(entry(0.0, 1000.0), 8) == []
