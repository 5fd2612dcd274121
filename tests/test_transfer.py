"""Scores under noise that a network was not trained on: the same bytes as in the trials trained on it, made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import corruption, quality, transfer
from bench.cells import TrialCell
from bench.records import Ended, make_record
from bench.trial import Clean, TrialBench, corrupted, load_clean
from implementations.adapter import Setting
from implementations.parameters import Array
from results.schema import validate
from tests.fake_backend import Fake

NOISES = ("gaussian(0.4)", "salt_pepper(0.2)", "blur(1)")


def cell(**axes: Any) -> TrialCell:
    """A trial that takes a NumPy network a tenth of a second."""
    small = {
        "backend": "fake", "track": "idiomatic", "architecture": "dense", "latent": 4, "height": 12, "width": 12,
        "train": 64, "test": 12, "batch_size": 32, "epochs": 2, "cross_noise": "; ".join(NOISES),
    }  # fmt: skip
    return TrialCell(**{**small, **axes})


class Watched(Fake):
    """Keeps what it was asked to denoise, and spoils what looks like ``poison``."""

    poison: Array | None = None

    def __init__(self) -> None:
        self.asked: list[Array] = []

    def reconstruct(self, noisy: Array) -> Array:
        self.asked.append(noisy)
        output = super().reconstruct(noisy)
        if self.poison is not None and np.array_equal(noisy, self.poison):
            output[3, 0, 0, 0] = np.inf
        return output


@pytest.fixture
def adapter() -> Watched:
    adapter = Watched()
    adapter.configure(Setting())
    return adapter


@pytest.fixture(scope="module")
def clean() -> Clean:
    return load_clean(cell())


def test_the_entry_of_its_own_noise_is_the_trial_itself(adapter: Watched, tmp_path: Path) -> None:
    result = TrialBench(adapter).run(cell(), tmp_path)
    assert [entry["corruption"] for entry in result["cross"]] == list(NOISES), "in the order asked"
    own = result["cross"][0]["metrics"]
    assert set(own) == set(transfer.KEPT)
    assert own == {name: result["metrics"][name] for name in transfer.KEPT}
    assert "warnings" not in result
    validate(make_record(Ended(cell(), "ok", facts=strip(result)), "f", "e"))


def strip(result: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({name: part for name, part in result.items() if name not in ("status", "reason")}))


def test_other_noise_has_the_bytes_of_the_trial_trained_on_it(adapter: Watched, clean: Clean, tmp_path: Path) -> None:
    bench = TrialBench(adapter)
    bench.run(cell(seed=3, clip=False), tmp_path)
    for met, text in zip(adapter.asked[-2:], NOISES[1:], strict=True):
        there = corrupted(cell(seed=3, clip=False, corruption=text), clean)
        assert met.tobytes() == there.test.tobytes()
        other = corrupted(cell(seed=4, clip=False, corruption=text), clean)
        assert (met.tobytes() != other.test.tobytes()) is (text != "blur(1)"), "a blur is drawn by no seed"


def test_scores_are_those_of_the_trained_network(adapter: Watched, clean: Clean, tmp_path: Path) -> None:
    trial = cell()
    result = TrialBench(adapter).run(trial, tmp_path)
    noisy = corrupted(cell(corruption=NOISES[2]), clean)
    by_hand = quality.summarise(quality.score(adapter.reconstruct(noisy.test), clean.test), noisy.scores)
    found = result["cross"][2]["metrics"]
    assert found == pytest.approx({name: by_hand[name] for name in transfer.KEPT}, rel=1e-12)
    assert found["psnr_gain_low"] < found["psnr_gain"] < found["psnr_gain_high"]


def test_trials_share_the_noisy_sets(adapter: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []
    basic = quality.score_basic

    def counted(images: Array, clean: Array) -> quality.Basic:
        scored.append(1)
        return basic(images, clean)

    monkeypatch.setattr(quality, "score_basic", counted)
    bench = TrialBench(adapter)
    bench.run(cell(), tmp_path)
    assert len(scored) == 1 + 2 * 2, "the mean image; two other noises: before and after the network"
    bench.run(cell(latent=3), tmp_path)
    assert len(scored) == 5 + 2, "another network of the same seed needs the scores after it alone"
    bench.run(cell(seed=1), tmp_path)
    assert len(scored) == 7 + 4, "another seed has noise of its own"


def test_fewer_sets_are_kept_than_there_is_room_for(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "BUDGET", 1)
    made: list[str] = []
    corrupt = corruption.corrupt

    def counted(images: Array, noise: corruption.Corruption, **rest: Any) -> Array:
        made.append(str(noise))
        return corrupt(images, noise, **rest)

    monkeypatch.setattr(corruption, "corrupt", counted)
    tests = transfer.NoisyTests()
    levels = [f"gaussian(0.{digit})" for digit in range(1, transfer.LEAST_SETS + 2)]
    for text in levels:
        tests.get(cell(), clean, text)
    tests.get(cell(), clean, levels[-1])
    assert made == levels
    tests.get(cell(), clean, levels[0])
    assert made == [*levels, levels[0]], "the oldest had to go"


def test_output_that_is_not_finite_loses_its_entry_alone(adapter: Watched, clean: Clean, tmp_path: Path) -> None:
    adapter.poison = corrupted(cell(corruption=NOISES[1]), clean).test
    result = TrialBench(adapter).run(cell(), tmp_path)
    assert result["status"] == "ok"
    assert [entry["corruption"] for entry in result["cross"]] == [NOISES[0], NOISES[2]]
    assert result["warnings"] == [f"under {NOISES[1]} the output is not finite: it has no score there"]
    validate(make_record(Ended(cell(), "ok", facts=strip(result)), "f", "e"))


def test_nothing_is_scored_unless_asked(adapter: Watched, tmp_path: Path) -> None:
    result = TrialBench(adapter).run(cell(cross_noise=""), tmp_path)
    assert not {"cross", "codes", "warnings"} & set(result)


def test_basic_scores_are_the_full_ones_without_one(clean: Clean) -> None:
    noisy = transfer.corrupt_test(cell(), clean.test, "gaussian(0.4)")
    full, basic = quality.score(noisy, clean.test), quality.score_basic(noisy, clean.test)
    for name in ("psnr", "ssim", "mse"):
        assert np.array_equal(getattr(full, name), getattr(basic, name))
    assert "ssim_wang" not in quality.summarise(basic, full)
