"""Corruptions: their text, their definitions, and that an image's noise depends on its key alone.

Tolerances of statistical tests: the seeds are fixed, so a test passes always or never; figures over N independent
values have to lie within 5 standard errors of the definition.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from bench.corruption import KINDS, CorruptionError, corrupt, parse

IMAGES, SIDE = 300, 28
COUNT = IMAGES * SIDE * SIDE


def flat(value: float, channels: int = 1) -> NDArray[np.float32]:
    return np.full((IMAGES, SIDE, SIDE, channels), value, np.float32)


def textured(count: int = 12, side: int = SIDE, channels: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((count, side, side, channels), np.float32)


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("gaussian(0.4)", "gaussian(0.4)"),
        (" gaussian ( .40 ) ", "gaussian(0.4)"),
        ("blur(0..2)+uniform(0.01..1.5)", "blur(0..2) + uniform(0.01..1.5)"),
        ("uniform(1e-2)", "uniform(0.01)"),
        ("gaussian(0.2..0.2)", "gaussian(0.2)"),
        ("downsample(2..4)", "downsample(2..4)"),
        ("masking(-0)", "masking(0)"),
        ("gaussian(1e+0) + gaussian(1.0)", "gaussian(1) + gaussian(1)"),
    ],
)
def test_text_has_one_canonical_form(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert parse(canonical) == parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gausian(0.4)", ["'gausian' is unknown", "salt_pepper", "did you mean 'gaussian'?"]),
        ("gaussian(-0.1)", ["level -0.1", "gaussian", "0 to 10", "standard deviation", "gaussian(0.4)"]),
        ("salt_pepper(1.2)", ["level 1.2", "0 to 1", "share of the pixels"]),
        ("gaussian(0.1..99)", ["level 99", "0 to 10"]),
        ("gaussian(1e999)", ["level 1e999", "0 to 10"]),
        ("downsample(0)", ["level 0", "whole numbers 1 to 32"]),
        ("downsample(2.5)", ["level 2.5", "whole numbers 1 to 32"]),
        ("blur(2..0)", ["2..0 of blur is reversed", "blur(0..2)"]),
        ("", ["empty", "gaussian(0.4)"]),
        ("gaussian", ["'gaussian' on", "kind(level)"]),
        ("gaussian()", ["kind(level)"]),
        ("gaussian(nan)", ["kind(level)"]),
        ("gaussian(0.1) blur(1)", ["'blur(1)' on", "' + '"]),
        ("gaussian(0.1) +", ["kind(level)"]),
        ("gaussian(0.1, 0.2)", ["kind(low..high)"]),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: str, words: list[str]) -> None:
    with pytest.raises(CorruptionError) as caught:
        parse(text)
    for word in words:
        assert word in str(caught.value)


def test_every_kind_has_an_example_that_does_something() -> None:
    images = textured()
    for kind in KINDS.values():
        assert parse(kind.example).steps[0].kind == kind.name
        assert not np.array_equal(corrupt(images, kind.example, seed=0, clip=False), images)


def test_all_eight_kinds_are_there() -> None:
    assert set(KINDS) == {
        "gaussian",
        "uniform",
        "salt_pepper",
        "masking",
        "speckle",
        "poisson",
        "blur",
        "downsample",
    }


# --- definitions ------------------------------------------------------------------------------------------------------


def test_gaussian_adds_normal_noise_of_that_standard_deviation() -> None:
    noise = (corrupt(flat(0.5), "gaussian(0.4)", seed=3, clip=False) - 0.5).ravel() / 0.4
    assert abs(noise.mean()) < 5 / np.sqrt(COUNT)
    assert abs(noise.std() - 1) < 5 / np.sqrt(2 * COUNT)
    # Kolmogorov-Smirnov: sqrt(N) D exceeds 1.95 once in a thousand times.
    assert stats.kstest(noise, "norm").statistic < 1.95 / np.sqrt(COUNT)


def test_uniform_adds_numbers_of_the_interval() -> None:
    noise = (corrupt(flat(0.0), "uniform(0.5)", seed=3, clip=False)).ravel()
    assert noise.min() >= -0.5
    assert noise.max() < 0.5
    assert stats.kstest(noise, "uniform", (-0.5, 1.0)).statistic < 1.95 / np.sqrt(COUNT)


def test_speckle_is_proportional_to_the_image() -> None:
    bright, dark = (corrupt(flat(v), "speckle(0.5)", seed=3, clip=False) / v - 1 for v in (1.0, 0.125))
    np.testing.assert_allclose(bright, dark, atol=1e-6)  # float32: v * 2**-24, divided by v
    assert abs(bright.mean()) < 5 * 0.5 / np.sqrt(COUNT)
    assert abs(bright.std() - 0.5) < 5 * 0.5 / np.sqrt(2 * COUNT)
    assert not corrupt(flat(0.0), "speckle(0.5)", seed=3).any()


@pytest.mark.parametrize("value", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("level", [0.05, 0.3, 1.0])
def test_poisson_noise_has_the_variance_of_photons(value: float, level: float) -> None:
    noisy = corrupt(flat(value), f"poisson({level})", seed=3, clip=False).astype(np.float64).ravel()
    photons = noisy / level**2
    np.testing.assert_allclose(photons, np.rint(photons), atol=1e-4 * max(1, photons.max()))
    rate = np.float64(np.float32(value)) / level**2
    assert abs(photons.mean() - rate) < 5 * np.sqrt(rate / COUNT)
    # The fourth central moment of a Poisson number is rate + 3 rate**2: hence the error of the variance.
    assert abs(photons.var() - rate) < 5 * np.sqrt((rate + 2 * rate**2) / COUNT)


def test_poisson_takes_what_is_below_black_as_black_and_level_0_as_no_noise() -> None:
    assert not corrupt(flat(-0.5), "poisson(0.3)", seed=0, clip=False).any()
    images = textured()
    np.testing.assert_array_equal(corrupt(images, "poisson(0)", seed=0), images)
    assert np.isfinite(corrupt(images, "poisson(0..1e-7)", seed=0)).all()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_salt_pepper_turns_that_share_black_or_white_in_equal_parts(share: float) -> None:
    noisy = corrupt(flat(0.5), f"salt_pepper({share})", seed=3)
    for value in (0.0, 1.0):
        error = np.sqrt(share / 2 * (1 - share / 2) / COUNT)
        assert abs(np.mean(noisy == value) - share / 2) <= 5 * error
    assert set(np.unique(noisy)) <= {0.0, 0.5, 1.0}
    if share in (0.0, 1.0):  # exactly
        assert np.mean(noisy == 0.5) == 1 - share


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_masking_turns_that_share_black(share: float) -> None:
    noisy = corrupt(flat(0.5), f"masking({share})", seed=3)
    assert set(np.unique(noisy)) <= {0.0, 0.5}
    assert abs(np.mean(noisy == 0) - share) <= 5 * np.sqrt(share * (1 - share) / COUNT)


@pytest.mark.parametrize("text", ["salt_pepper(0.4)", "masking(0.4)"])
def test_colours_of_a_pixel_are_lost_together(text: str) -> None:
    images = textured(channels=3) * 0.5 + 0.25
    lost = corrupt(images, text, seed=3) != images
    assert lost.any()
    assert not lost.all()
    np.testing.assert_array_equal(lost.any(axis=3), lost.all(axis=3))


def test_colours_of_a_pixel_get_noise_of_their_own_otherwise() -> None:
    noise = corrupt(flat(0.5, channels=3), "gaussian(0.4)", seed=3, clip=False) - 0.5
    correlation = np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(correlation).max() < 5 / np.sqrt(COUNT)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.5, 1.0, 2.5, 12.0])
def test_blur_is_scipys_gaussian_filter(sigma: float) -> None:
    images = textured(channels=3)
    expected = [ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0)) for image in images]
    # Both in float64; the result is rounded to float32 (2**-24 of values below 1).
    np.testing.assert_allclose(corrupt(images, f"blur({sigma})", seed=0), expected, rtol=0, atol=2**-24)


def test_blur_of_a_range_blurs_every_image_with_its_own_sigma() -> None:
    images = np.zeros((200, 31, 31, 1), np.float32)
    images[:, 15, 15] = 1
    blurred = corrupt(images, "blur(1..2)", seed=0)[..., 0].astype(np.float64)
    offsets = np.arange(31) - 15
    sigmas = np.sqrt((blurred.sum(axis=2) * offsets**2).sum(axis=1))  # the window's own second moment
    # From sigma 1 on, that of the sampled and cut window is within 0.5 % of sigma.
    assert len(np.unique(sigmas)) > 190
    assert stats.kstest(sigmas, "uniform", (1.0, 1.0)).statistic < 1.95 / np.sqrt(200) + 0.01


@pytest.mark.parametrize("factor", [1, 2, 3, 7, 32])
def test_downsample_gives_every_block_its_mean(factor: int) -> None:
    images = textured(channels=3)
    expected = np.empty_like(images, np.float64)
    for top in range(0, SIDE, factor):
        for left in range(0, SIDE, factor):
            block = np.s_[:, top : top + factor, left : left + factor]
            expected[block] = images[block].astype(np.float64).mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(corrupt(images, f"downsample({factor})", seed=0), expected, rtol=0, atol=2**-24)


def test_downsample_of_a_range_draws_whole_numbers_up_to_the_end_of_the_range() -> None:
    images = np.broadcast_to(textured(1), (IMAGES, SIDE, SIDE, 1))
    noisy = corrupt(np.ascontiguousarray(images), "downsample(2..4)", seed=0)
    kinds = [corrupt(images[:1].copy(), f"downsample({factor})", seed=0)[0] for factor in (2, 3, 4)]
    counts = [sum(np.array_equal(image, kind) for image in noisy) for kind in kinds]
    assert sum(counts) == IMAGES
    assert min(counts) > IMAGES / 3 - 5 * np.sqrt(IMAGES * 2 / 9)


def test_levels_of_a_range_are_uniform_and_drawn_per_image() -> None:
    noise = corrupt(flat(0.5), "gaussian(0.1..0.5)", seed=3, clip=False) - 0.5
    levels = noise.std(axis=(1, 2, 3))
    # A level is known to 1 / sqrt(2 * 784) = 2.5 % of itself from one image.
    assert stats.kstest(levels, "uniform", (0.1, 0.4)).statistic < 1.95 / np.sqrt(IMAGES) + 0.025


def test_a_chain_is_applied_from_left_to_right() -> None:
    images = textured()
    both = corrupt(images, "blur(1) + downsample(4)", seed=0)
    np.testing.assert_array_equal(both, corrupt(corrupt(images, "blur(1)", seed=0), "downsample(4)", seed=0))
    assert not np.array_equal(both, corrupt(images, "downsample(4) + blur(1)", seed=0))


def test_the_same_kind_twice_in_a_chain_draws_twice() -> None:
    noise = corrupt(flat(0.5), "gaussian(0.3) + gaussian(0.4)", seed=0, clip=False) - 0.5
    assert abs(noise.std() - 0.5) < 5 * 0.5 / np.sqrt(2 * COUNT)  # 0.7 if it were the same noise


def test_clip_limits_the_end_of_the_chain_only() -> None:
    free = corrupt(flat(0.5), "gaussian(1)", seed=0, clip=False)
    assert free.min() < 0
    assert free.max() > 1
    np.testing.assert_array_equal(corrupt(flat(0.5), "gaussian(1)", seed=0), free.clip(0, 1))
    smooth = corrupt(flat(0.5), "gaussian(1) + blur(3)", seed=0)
    np.testing.assert_array_equal(smooth, corrupt(free, "blur(3)", seed=0))


# --- what the noise depends on ----------------------------------------------------------------------------------------

RANDOM = ["gaussian(0.4)", "uniform(0.5)", "salt_pepper(0.2)", "masking(0.3)", "speckle(0.2..0.5)", "poisson(0.3)"]
ALL = [*RANDOM, "blur(0..2)", "downsample(1..4)", "blur(0..2) + uniform(0.01..1.5)"]


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("shape", [(28, 28, 1), (13, 11, 3)])
def test_an_image_is_corrupted_alike_in_every_batch(text: str, shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(1).random((205, *shape), np.float32)  # more than one internal block
    whole = corrupt(images, text, seed=5, epoch=2)
    for start, stop in ((0, 1), (3, 20), (100, 205), (204, 205)):
        part = corrupt(images[start:stop], text, seed=5, epoch=2, first=start)
        np.testing.assert_array_equal(part, whole[start:stop])


@pytest.mark.parametrize("text", ALL)
def test_seed_split_and_epoch_each_give_other_noise(text: str) -> None:
    images = textured()
    noisy = [
        corrupt(images, text, seed=0),
        corrupt(images, text, seed=1),
        corrupt(images, text, seed=0, epoch=1),
        corrupt(images, text, seed=0, split="test"),
        corrupt(images, text, seed=0, first=100),
    ]
    for index, one in enumerate(noisy):
        for other in noisy[:index]:
            assert not np.array_equal(one, other)
    np.testing.assert_array_equal(noisy[0], corrupt(images, text, seed=0))


@pytest.mark.parametrize("text", ["gaussian(0.4)", "uniform(0.5)"])
def test_images_and_epochs_are_uncorrelated(text: str) -> None:
    noise = corrupt(flat(0.5), text, seed=0, clip=False) - 0.5
    other = corrupt(flat(0.5), text, seed=0, clip=False, epoch=1) - 0.5
    for a, b in ((noise[1:], noise[:-1]), (noise, other), (noise[:, 1:], noise[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


def test_levels_scale_one_and_the_same_noise() -> None:
    weak, strong = (corrupt(flat(0.0), f"gaussian({level})", seed=0, clip=False) for level in (0.2, 0.4))
    np.testing.assert_allclose(strong, 2 * weak, rtol=1e-6)  # the levels are rounded to float32


def test_the_input_is_left_as_it_was() -> None:
    images = textured()
    before = images.copy()
    for text in [*ALL, "blur(0)", "gaussian(0)", "downsample(1)"]:
        result = corrupt(images, text, seed=0)
        assert not np.shares_memory(result, images)
    np.testing.assert_array_equal(images, before)


def test_bytes_are_the_same_on_every_machine() -> None:
    """Made from the raw stream by exact operations, so these hashes hold everywhere; a change of them is a new noise
    under an old name."""
    images = np.linspace(0, 1, 3 * 12 * 12, dtype=np.float32).reshape(3, 12, 12, 1)
    digests = {
        text: hashlib.sha256(corrupt(images, text, seed=7, epoch=1).tobytes()).hexdigest()[:16]
        for text in ("uniform(0.5)", "salt_pepper(0.2)", "masking(0.1..0.5)")
    }
    assert digests == {
        "uniform(0.5)": "7553acdc4518dad6",
        "salt_pepper(0.2)": "1275cda4a9d2c839",
        "masking(0.1..0.5)": "14bc6a103b2d6424",
    }


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"images": np.zeros((2, 28, 28, 1), np.uint8)}, "as_float"),
        ({"images": np.zeros((2, 28, 28), np.float32)}, "(n, h, w, c)"),
        ({"split": "holdout"}, "train, test, validation"),
        ({"epoch": -1}, "epoch -1"),
        ({"first": -1}, "first -1"),
        ({"corruption": "nothing(1)"}, "'nothing' is unknown"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], word: str) -> None:
    good: dict[str, object] = {"images": textured(), "corruption": "gaussian(0.4)", "seed": 0}
    with pytest.raises(CorruptionError) as caught:
        corrupt(**(good | arguments))  # type: ignore[arg-type]
    assert word in str(caught.value)


def test_noise_into_memory_that_is_there_is_the_same_noise() -> None:
    images = np.random.default_rng(3).random((200, 28, 28, 1), np.float32)
    out = np.full_like(images, np.nan)
    assert corrupt(images, "gaussian(0.4)", seed=1, out=out) is out
    np.testing.assert_array_equal(out, corrupt(images, "gaussian(0.4)", seed=1))
    with pytest.raises(CorruptionError, match="out is float32"):
        corrupt(images, "gaussian(0.4)", seed=1, out=out[:3])


def test_no_images_are_no_error() -> None:
    assert corrupt(np.empty((0, 28, 28, 1), np.float32), "blur(0..2) + gaussian(1)", seed=0).shape == (0, 28, 28, 1)
