"""The words for what a network has learned, and the rule by which its training stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from results import convergence as c


def curve(psnr: Sequence[float]) -> list[dict[str, Any]]:
    return [{"epoch": epoch + 1, "psnr": value} for epoch, value in enumerate(psnr)]


def power_law(epochs: int, slope: float = 1.0) -> list[dict[str, Any]]:
    """``slope`` dB more with every doubling, for ever."""
    return curve([10 + slope * math.log2(epoch) for epoch in range(1, epochs + 1)])


def saturating(epochs: int, final: float = 18.0) -> list[dict[str, Any]]:
    return curve([final - 8 * 2.0**-epoch for epoch in range(1, epochs + 1)])


@pytest.mark.parametrize("epochs", [3, 4, 7, 50])
@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.05, 2.0])
def test_the_slope_of_a_power_law_is_its_own_however_long(epochs: int, slope: float) -> None:
    found = c.still_rising(power_law(epochs, slope))
    assert found is not None
    assert found.value == pytest.approx(slope, abs=1e-9)


def test_two_epochs_have_a_slope_without_an_interval_and_one_has_none() -> None:
    found = c.still_rising(curve([10, 12]))
    assert found is not None
    assert (found.value, found.known) == (2.0, False)
    assert c.still_rising(curve([10])) is None
    assert c.still_rising([]) is None


def test_only_the_last_doubling_counts() -> None:
    steep_then_flat = curve([10, 12, 14, 16, 16, 16, 16, 16, 16, 16])
    found = c.still_rising(steep_then_flat)
    assert found is not None
    assert found.value == pytest.approx(0, abs=1e-9)


def test_the_interval_covers_the_slope_under_noise() -> None:
    """Simulated: about 95 of 100 intervals hold the true slope."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        noise = random.normal(0, 0.1, 24)
        found = c.still_rising(curve([10 + 0.3 * math.log2(e) + n for e, n in zip(range(1, 25), noise, strict=True)]))
        assert found is not None
        held += found.includes(0.3)
    assert 0.92 < held / 400 < 0.98


def test_training_stops_when_the_curve_is_flat_and_not_before() -> None:
    stops = [n for n in range(1, 60) if c.has_converged(saturating(n), mean_image=9.0)]
    assert stops
    assert stops[0] >= c.LEAST_EPOCHS
    assert saturating(stops[0])[-1]["psnr"] > 18 - 0.2, "what is left is not worth another doubling"
    assert not any(c.has_converged(power_law(n, 0.3), mean_image=5.0) for n in range(1, 200))


@pytest.mark.parametrize("level", [9.0, 10.0, 10.4])
def test_a_plateau_at_the_mean_image_is_no_convergence(level: float) -> None:
    assert not any(c.has_converged(curve([level] * n), mean_image=10.0) for n in range(1, 300))
    assert c.has_converged(curve([level + 2] * 8), mean_image=10.0)


def test_a_plateau_that_is_left_goes_on() -> None:
    """As conv networks do: flat for long, then learning."""
    left = curve([10.0] * 12 + [10.2, 11, 13, 15])
    assert not any(c.has_converged(left[:n], mean_image=10.0) for n in range(1, len(left) + 1))


def test_overfitting_stops_and_its_best_epoch_is_the_first_best() -> None:
    overfitted = curve([10, 14, 16, 17, 17, 16.5, 16, 15.5])
    assert c.has_converged(overfitted, mean_image=9.0)
    assert c.best_epoch(overfitted) == 4


def record(psnr: Sequence[float], over_mean: float | None = 3.0) -> dict[str, Any]:
    metrics = c.rising_metrics(curve(psnr))
    return {
        "curve": curve(psnr),
        "metrics": metrics if over_mean is None else {**metrics, "psnr_over_mean_low": over_mean},
    }


@pytest.mark.parametrize(
    ("psnr", "over_mean", "word"),
    [
        ([10, 12, 14, 16], 3.0, "unfinished"),
        ([16, 16, 16, 16], 3.0, "converged"),
        ([10, 10, 10, 10], -0.01, "collapsed"),
        ([10, 10, 10, 10], 0.0, "collapsed"),
        ([8, 9, 9.5, 10], -0.01, "untrained"),
        ([9], -0.5, "untrained"),
        ([16], 3.0, None),
        ([10, 12, 14, 16], None, "unfinished"),
        ([16, 16, 16, 16], None, "converged"),
    ],
)
def test_every_network_has_one_word(psnr: list[float], over_mean: float | None, word: str | None) -> None:
    assert c.state(record(psnr, over_mean)) == word
    assert c.is_trained(record(psnr, over_mean)) == (word not in ("untrained", "collapsed"))


def test_records_from_before_are_judged_by_their_curve() -> None:
    old = {"metrics": {"psnr": 16.0}, "curve": curve([10, 12, 14, 16])}
    assert c.state(old) == "unfinished"
    assert c.state({"metrics": {"psnr": 16.0}}) is None


@pytest.mark.parametrize(("train", "held"), [(1, 0), (2, 1), (9, 1), (100, 10), (60_000, 1000)])
def test_a_tenth_is_held_out_at_most_a_thousand(train: int, held: int) -> None:
    assert c.validation_count(train) == held
    assert c.trained_on({"train": train, "val": None}) == train - held
    assert c.trained_on({"train": train}) == c.trained_on({"train": train, "val": "test"}) == train
    assert c.trained_on({"train": None, "val": 7}) is None
