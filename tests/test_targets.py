"""Time to PSNR: when a curve first passes a target, which targets are asked for, and what that takes from nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from results.targets import expected_seconds, first_passing, highest, reach, whole_targets


def curve(*psnr: float | None, seconds: float | None = 2.0) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "psnr": value, "seconds": None if seconds is None else epoch * seconds}
        for epoch, value in enumerate(psnr, 1)
    ]


def test_the_first_epoch_at_or_above_the_target_counts() -> None:
    found = first_passing(curve(15.0, 17.0, 16.5, 18.0), 17)
    assert found is not None
    assert (found["epoch"], found["seconds"]) == (2, 4.0)  # and not epoch 4, after it was lost again
    assert first_passing(curve(15.0, 17.0), 17.01) is None
    assert first_passing(curve(None, 17.0), 16) == {"epoch": 2, "psnr": 17.0, "seconds": 4.0}
    assert first_passing([], 10) is None


def test_over_seeds_the_middle_one_counts() -> None:
    found = reach([curve(15.0, 17.5), curve(17.2, 18.0), curve(15.0, 16.0, 17.0)], 17)
    assert found.epochs == (1.0, 2.0, 3.0)
    assert found.typical_epochs == 2
    assert found.typical_seconds == 4.0


def test_seeds_that_did_not_pass_count_as_later_than_those_that_did() -> None:
    two_of_three = reach([curve(17.2), curve(15.0, 17.1), curve(12.0)], 17)
    assert two_of_three.reached
    assert two_of_three.typical_epochs == 2  # the middle of 1, 2, never
    one_of_two = reach([curve(17.2), curve(12.0)], 17)
    assert not one_of_two.reached
    assert one_of_two.typical_epochs is None
    assert one_of_two.typical_seconds is None
    assert not reach([], 17).reached


def test_of_two_seeds_the_later_counts() -> None:
    assert reach([curve(17.2), curve(15.0, 17.1)], 17).typical_epochs == 2


def test_a_trial_without_a_clock_has_epochs_alone() -> None:
    found = reach([curve(17.2, seconds=None)], 17)
    assert (found.typical_epochs, found.typical_seconds) == (1, None)


def test_targets_are_the_last_whole_decibels_of_the_worst_and_the_best() -> None:
    assert whole_targets([[curve(16.1, 19.35)], [curve(17.0, 20.99)]]) == (19, 20)
    assert whole_targets([[curve(16.1, 19.35)], [curve(17.0, 19.99)]]) == (19,)
    assert whole_targets([[curve(21.3, 18.0)]]) == (21,)  # what it once reached, it reached
    assert whole_targets([[curve(-0.5)]]) == (-1,)
    # At or below the noisy input, whoever does nothing would be first.
    both = [[curve(16.1, 19.35)], [curve(17.0, 20.99)]]
    assert whole_targets(both, above=18.99) == (19, 20)
    assert whole_targets(both, above=19.0) == (20,)
    assert whole_targets(both, above=20.0) == ()
    assert whole_targets([]) == whole_targets([[]]) == whole_targets([[curve(None)]]) == ()


@pytest.mark.parametrize("tops", [(17.0,), (17.0, 18.0), (17.0, 18.0, 19.0), (17.0, 18.0, 19.0, 20.0)])
def test_every_target_is_reached_by_the_network_it_was_taken_from(tops: tuple[float, ...]) -> None:
    curves = [curve(top) for top in tops]
    top = highest(curves)
    assert top is not None
    assert reach(curves, top).reached
    assert not reach(curves, top + 0.01).reached


def test_the_expected_time_is_cold_costs_images_at_the_rate_and_calls() -> None:
    entry = {
        "round": 0,
        "train": [[1000, 0.15]] * 3,
        "short_calls": {"train": [200, 0.07]},  # 800 further images in 0.08 s: 10,000/s, and 0.05 s a call
        "import_seconds": 2.0,
        "first_step_seconds": 1.0,
        "fresh": True,
    }
    found = expected_seconds([entry], epochs=3, images=60_000)
    assert found is not None
    assert found.value == pytest.approx(3.0 + 18.0 + 3 * 0.05)
    assert math.isnan(found.low)  # a single process
    assert expected_seconds([{"round": 0}], 3, 60_000) is None


def test_the_expected_time_has_an_interval_over_processes() -> None:
    rounds = [
        {"round": number, "train": [[1000, 0.1 * drift]], "import_seconds": 2.0, "fresh": True}
        for number, drift in enumerate((0.98, 1.0, 1.02, 1.01))
    ]
    found = expected_seconds(rounds, 1, 10_000)
    assert found is not None
    assert found.low < 3.0 < found.high
    assert found.high / found.low < 1.05
