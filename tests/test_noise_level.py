"""The noise of pictures is estimated: photographs, letters, digits and clothes of known noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import corruption, datasets
from bench.trained import level
from bench.trained.level import estimate
from bench.trained.pictures import Picture

PHOTOGRAPHS = {"chelsea.png": 3, "rocket.jpg": 3, "camera.png": 1}


def photograph(name: str, side: int = 300) -> Picture:
    whole = datasets.load_whole("photos", channels=PHOTOGRAPHS[name])
    pixels = datasets.as_float(whole.read(whole.names.index(name))[None])[0]
    return pixels[:side, 50 : 50 + side]


def as_file(picture: Picture, text: str, seed: int = 0) -> Picture:
    """With noise, clipped and rounded to 8 bits as a file holds it."""
    noisy = corruption.corrupt(np.ascontiguousarray(picture)[None], text, seed=seed, split="test")[0]
    return (np.round(noisy * 255) / 255).astype(np.float32)


def sigma(picture: Picture) -> float:
    found = estimate(picture)
    assert found.sigma is not None, found.why
    return found.sigma


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("true", [0.03, 0.05, 0.1, 0.2, 0.3])
def test_photographs(name: str, true: float) -> None:
    """Their own grain and texture come on top of it, as what they have without noise says."""
    clean = photograph(name)
    own = sigma(clean)
    assert own <= 0.02
    found = sigma(as_file(clean, f"gaussian({true})"))
    least = 0.94 if true < 0.3 else 0.9  # at 0.3 clipping reaches everywhere
    assert least * true <= found <= 1.06 * np.hypot(true, 1.5 * own) + 0.002


@pytest.mark.parametrize("size", [28, 64])
@pytest.mark.parametrize("true", [0.05, 0.1, 0.2, 0.3])
def test_letters(size: int, true: float) -> None:
    """28x28 pixels are few: a single one is told to a fifth, their median to a tenth."""
    images = datasets.as_float(datasets.load("glyphs", train=2, test=20, size=size).test)
    found = [estimate(as_file(image, f"gaussian({true})", seed)).sigma for seed, image in enumerate(images)]
    known = np.array([one for one in found if one is not None])
    assert len(known) >= 18
    assert np.median(known) == pytest.approx(true, rel=0.16 if true < 0.1 else 0.1)
    assert np.quantile(np.abs(known / true - 1), 0.9) < 0.4


@pytest.mark.parametrize("name", ["glyphs", "mnist", "fashion-mnist"])
def test_small_pictures_without_noise_are_not_said_to_have_some(name: str) -> None:
    try:
        images = datasets.as_float(datasets.load(name, train=2, test=50).test)
    except datasets.DataError as error:
        pytest.skip(str(error))
    assert [found for image in images if (found := estimate(image).sigma) is not None] == []


def test_a_white_background_is_as_good_as_a_black_one() -> None:
    page = np.ones((100, 200, 1), np.float32)
    page[20:80:12, 10:190] = 0
    assert sigma(as_file(page, "gaussian(0.1)")) == pytest.approx(0.1, rel=0.1)
    assert sigma(as_file(1 - page, "gaussian(0.1)")) == pytest.approx(0.1, rel=0.1)
    assert estimate(page).sigma is None


def test_texture_is_not_taken_for_noise() -> None:
    """Grass is estimated as having 0.04, more than a photograph with noise of 0.03; but not everywhere."""
    whole = datasets.load_whole("photos", channels=1)
    grass = datasets.as_float(whole.read(whole.names.index("grass.png"))[None])[0]
    found = estimate(grass)
    assert found.sigma is None
    assert "differs from place to place" in found.why
    assert sigma(as_file(grass, "gaussian(0.1)")) == pytest.approx(0.11, rel=0.06)


@pytest.mark.parametrize("text", ["salt_pepper(0.1)", "masking(0.2)"])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_noise_of_single_pixels_has_no_level(text: str, name: str) -> None:
    found = estimate(as_file(photograph(name), text))
    assert found.sigma is None
    assert "black or white" in found.why


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.full((12, 300, 1), 0.5), "smaller than 20x20"),
        (np.zeros((50, 50, 3)), "exactly black or white"),
        (np.ones((50, 50, 1)), "exactly black or white"),
        (np.random.default_rng(0).uniform(0.3, 0.7, (24, 24, 1)), "too small"),
    ],
)
def test_what_cannot_be_estimated_is_not(picture: Any, words: str) -> None:
    found = estimate(picture)
    assert found.sigma is None
    assert words in found.why


def test_a_flat_picture_has_none() -> None:
    assert sigma(np.full((64, 64, 1), 0.5, np.float32)) == pytest.approx(0, abs=1e-6)


def test_of_a_large_picture_the_middle_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "LARGEST_SIDE", 100)
    picture = np.full((300, 120, 1), 0.5)
    picture[100:200] += np.random.default_rng(0).normal(0, 0.1, (100, 120, 1))
    assert sigma(picture) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("mean", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("true", [0.02, 0.2, 0.5])
def test_what_clipping_takes_is_added_again(mean: float, true: float) -> None:
    drawn = np.clip(np.random.default_rng(0).normal(mean, true, 200_000), 0, 1)
    means = np.full(10, mean)
    assert float(level.clipped_variance(means, true)[0]) == pytest.approx(drawn.var(), rel=0.02)
    assert level.unclipped(float(drawn.std()), means) == pytest.approx(true, rel=0.03)
