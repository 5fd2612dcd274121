"""Quality: equal to scikit-image image by image, and the four traps that give plausible but wrong numbers."""

from __future__ import annotations

import json
import time
from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from skimage import metrics

from bench import quality
from bench.quality import BLOCK, QualityError, Scores, blocks, mean_of, mean_psnr, psnr, score, summarise

Values = NDArray[np.float64]

# Both compute the same sums of some 50 products in float64, perhaps in another order: 50 * 2**-53, times the
# condition of the quotient in flat regions.
TOLERANCE = 1e-12

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def pair(
    count: int = 6, height: int = 28, width: int = 28, channels: int = 1, noise: float = 0.1
) -> tuple[Values, Values]:
    rng = np.random.default_rng(2)
    clean = rng.random((count, height, width, channels)) ** 3
    clean[0, :, : width // 2] = 0  # flat, as the background of a character
    return (clean + rng.normal(0, noise, clean.shape)).clip(0, 1), clean


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28, 3), (11, 11, 1), (12, 35, 2), (64, 64, 3)])
def test_every_figure_is_scikit_images(shape: tuple[int, int, int]) -> None:
    images, clean = pair(5, *shape)
    got = score(images, clean)
    for index, (image, reference) in enumerate(zip(images, clean, strict=True)):
        expected = {
            "mse": metrics.mean_squared_error(reference, image),
            "psnr": metrics.peak_signal_noise_ratio(reference, image, data_range=1.0),
            "ssim": metrics.structural_similarity(reference, image, data_range=1.0, channel_axis=-1),
            "ssim_wang": metrics.structural_similarity(reference, image, data_range=1.0, channel_axis=-1, **WANG),
        }
        for name, value in expected.items():
            assert getattr(got, name)[index] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)


def test_a_gray_image_scores_as_scikit_image_scores_it_without_a_channel_axis() -> None:
    images, clean = pair()
    for index in range(len(clean)):
        expected = metrics.structural_similarity(clean[index, ..., 0], images[index, ..., 0], data_range=1.0)
        assert score(images, clean).ssim[index] == pytest.approx(expected, abs=TOLERANCE)


def test_float32_is_computed_in_float64() -> None:
    images, clean = (array.astype(np.float32) for array in pair())
    got, expected = score(images, clean), score(images.astype(np.float64), clean.astype(np.float64))
    for field in fields(Scores):
        np.testing.assert_array_equal(getattr(got, field.name), getattr(expected, field.name))
        assert getattr(got, field.name).dtype == np.float64


@pytest.mark.parametrize("count", [1, 7, 1000, BLOCK, BLOCK + 1, 3 * BLOCK + 12345, 8 * BLOCK - 3])
def test_a_mean_by_parts_is_the_mean_of_the_whole_bit_by_bit(count: int) -> None:
    values = np.random.default_rng(count).standard_normal(count) ** 3
    longest = []

    def part(place: slice) -> Values:
        longest.append(len(values[place]))
        return values[place]

    assert mean_of(count, part) == float(values.mean())
    assert sum(longest) == count
    assert max(longest) <= BLOCK


def test_errors_by_blocks_are_those_of_the_whole_bit_by_bit() -> None:
    images, clean = (array.astype(np.float32) for array in pair(400))
    assert len(blocks(clean)) > 2
    difference = images.astype(np.float64) - clean.astype(np.float64)
    mse = np.mean(difference**2, axis=(1, 2, 3))
    np.testing.assert_array_equal(score(images, clean).mse, mse)
    np.testing.assert_array_equal(psnr(images, clean), -10 * np.log10(mse))


def test_an_image_scores_alike_alone_and_among_many() -> None:
    images, clean = pair(400)  # more than one internal block
    got = score(images, clean)
    for index in (0, 3, 399):
        alone = score(images[index : index + 1], clean[index : index + 1])
        for field in fields(Scores):
            assert getattr(alone, field.name)[0] == pytest.approx(getattr(got, field.name)[index], abs=TOLERANCE)


def test_equal_images_are_perfect() -> None:
    _, clean = pair()
    perfect = score(clean, clean)
    np.testing.assert_allclose(perfect.ssim, 1, atol=TOLERANCE)
    np.testing.assert_allclose(perfect.ssim_wang, 1, atol=TOLERANCE)
    assert not perfect.mse.any()


def test_values_beyond_black_and_white_are_clipped_and_the_raw_figure_stands_beside() -> None:
    _, clean = pair()
    found = score(clean + 2.0, clean)
    white = np.mean((1 - clean) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(found.mse, white)
    np.testing.assert_allclose(found.psnr, -10 * np.log10(white))
    np.testing.assert_allclose(found.raw, -10 * np.log10(4.0))
    np.testing.assert_allclose(psnr(clean + 2.0, clean), found.psnr)
    np.testing.assert_allclose(quality.score_basic(clean + 2.0, clean).raw, -10 * np.log10(4.0))


@pytest.mark.parametrize("count", [6, 400])  # of one block, and of several of which only some need clipping
def test_clipped_scores_are_those_of_the_clipped_images(count: int) -> None:
    images, clean = pair(count)
    images[3] += 0.5
    images[4] -= 0.5
    found, expected = score(images, clean), score(images.clip(0, 1), clean)
    for name in ("psnr", "ssim", "ssim_wang", "mse"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(expected.raw, expected.psnr)
    np.testing.assert_allclose(found.raw, -10 * np.log10(np.mean((images - clean) ** 2, axis=(1, 2, 3))))
    assert set(np.flatnonzero(found.raw != found.psnr)) == {3, 4}
    assert mean_psnr(images, clean) == pytest.approx(found.psnr.mean())
    summary = summarise(found, expected)
    assert summary["psnr_raw"] == pytest.approx(found.raw.mean())
    assert summary["psnr_noisy_raw"] == pytest.approx(expected.psnr.mean())
    assert summary["psnr_raw"] < summary["psnr"]


# --- the four traps ---------------------------------------------------------------------------------------------------


def test_trap_1_a_window_must_not_reach_into_the_next_image() -> None:
    images, clean = pair(20)
    stack = metrics.structural_similarity(clean[..., 0], images[..., 0], data_range=1.0)  # windows of 7x7x7
    assert abs(stack - score(images, clean).ssim.mean()) > 0.005


def test_trap_2_the_range_of_the_data_is_one() -> None:
    image, reference = (array[0, ..., 0] for array in pair(1))
    got = score(image[None, ..., None], reference[None, ..., None])
    for wrong in (2.0, 255.0):  # the range of [-1, 1], and that of 8-bit images
        assert metrics.structural_similarity(reference, image, data_range=wrong) - got.ssim[0] > 0.005
        psnr = metrics.peak_signal_noise_ratio(reference, image, data_range=wrong)
        assert psnr - got.psnr[0] == pytest.approx(20 * np.log10(wrong))


def test_trap_3_the_range_is_guessed_from_neither_type_nor_values() -> None:
    images, clean = pair(1)
    dim = (images * 0.25, clean * 0.25)
    # Guessed from the values, as some libraries do, a dim image seems four times as good as it is in SSIM's terms.
    guessed = metrics.structural_similarity(dim[1][0, ..., 0], dim[0][0, ..., 0], data_range=np.ptp(dim[1]))
    assert abs(guessed - score(*dim).ssim[0]) > 0.01
    # Guessed from the type: scikit-image takes a float image with values below 0 as one of [-1, 1], 6 dB better.
    shifted = clean - 0.001
    assert shifted.min() < 0
    by_type = metrics.peak_signal_noise_ratio(shifted[0], images[0])
    assert by_type - score(images, shifted).psnr[0] == pytest.approx(20 * np.log10(2))
    # And 8-bit images, whose range would be guessed as 255, are refused.
    with pytest.raises(QualityError, match="as_float"):
        score((255 * images).astype(np.uint8), clean)


def test_trap_4_an_exact_image_does_not_swallow_the_mean() -> None:
    images, clean = pair()
    images[2] = clean[2]
    with np.errstate(divide="ignore"):
        wrong = [metrics.peak_signal_noise_ratio(c, i, data_range=1.0) for i, c in zip(images, clean, strict=True)]
    assert np.isinf(np.mean(wrong))
    got = score(images, clean)
    assert got.psnr[2] == 100
    summary = summarise(got, got)
    assert summary["psnr_capped"] == summary["exact"] == summary["exact_noisy"] == 1
    others = [w for w in wrong if np.isfinite(w)]
    assert summary["psnr"] == summary["psnr_noisy"] == pytest.approx(np.mean(others))
    assert summary["psnr_q95"] == pytest.approx(np.percentile(others, 95))
    assert (summary["psnr_images"], summary["images"]) == (5, 6)
    assert summary["ssim"] == pytest.approx(got.ssim.mean()), "SSIM and MSE are finite: all images count"
    assert summary["mse"] == pytest.approx(got.mse.mean())


# --- what can not be scored -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "clean", "words"),
    [
        (np.zeros((2, 28, 28, 1)), np.zeros((2, 28, 27, 1)), "one shape"),
        (np.zeros((2, 28, 28)), np.zeros((2, 28, 28)), r"\(n, h, w, c\)"),
        (np.zeros((0, 28, 28, 1)), np.zeros((0, 28, 28, 1)), "n > 0"),
        (np.zeros((2, 10, 28, 1)), np.zeros((2, 10, 28, 1)), "10x28 pixels are too small; SSIM needs 11x11"),
        (np.zeros((2, 28, 28, 1)), np.zeros((2, 28, 28, 1), np.uint8), "clean are uint8"),
    ],
)
def test_what_can_not_be_scored_is_said(images: Values, clean: Values, words: str) -> None:
    with pytest.raises(QualityError, match=words):
        score(images, clean)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_found(value: float) -> None:
    images, clean = pair()
    images[4, 3, 3, 0] = value
    with pytest.raises(QualityError, match="images hold values that are not finite, first in image 4"):
        score(images, clean)


# --- summary ----------------------------------------------------------------------------------------------------------


def test_summary_has_mean_interval_quantiles_and_gain_of_every_figure() -> None:
    images, clean = pair(40, noise=0.05)
    noisy, _ = pair(40, noise=0.2)
    after, before = score(images, clean), score(noisy, clean)
    summary = summarise(after, before)
    for name in ("psnr", "ssim", "ssim_wang", "mse"):
        values, start = getattr(after, name), getattr(before, name)
        assert summary[name] == pytest.approx(values.mean())
        low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
        assert (summary[f"{name}_low"], summary[f"{name}_high"]) == pytest.approx((low, high))
        for quantile in (5, 25, 75, 95):
            assert summary[f"{name}_q{quantile:02}"] == pytest.approx(np.percentile(values, quantile))
        assert summary[f"{name}_median"] == pytest.approx(np.median(values))
        assert summary[f"{name}_noisy"] == pytest.approx(start.mean())
        gain = (start - values) if name == "mse" else (values - start)
        assert summary[f"{name}_gain"] == pytest.approx(gain.mean())
        low, high = stats.t.interval(0.95, 39, gain.mean(), stats.sem(gain))
        assert (summary[f"{name}_gain_low"], summary[f"{name}_gain_high"]) == pytest.approx((low, high))
        assert summary[f"{name}_gain"] > 0
    assert summary["psnr_capped"] == 0
    json.dumps(summary, allow_nan=False)


def test_summary_of_perfect_images_is_strict_json_too() -> None:
    _, clean = pair()
    perfect = score(clean, clean)
    summary = summarise(perfect, perfect)
    json.dumps(summary, allow_nan=False)
    assert summary["psnr"] == summary["psnr_low"] == summary["psnr_pooled"] == 100
    assert summary["psnr_capped"] == summary["psnr_images"] == summary["images"] == len(clean)


def test_an_image_that_is_exact_on_either_side_is_left_out_on_both() -> None:
    images, clean = pair(8, noise=0.05)
    noisy, _ = pair(8, noise=0.2)
    images[1], noisy[5], images[6], noisy[6] = clean[1], clean[5], clean[6], clean[6]
    after, before = score(images, clean), score(noisy, clean)
    summary = summarise(after, before)
    rest = [0, 2, 3, 4, 7]
    gain = after.psnr[rest] - before.psnr[rest]
    assert summary["psnr"] == pytest.approx(after.psnr[rest].mean())
    assert summary["psnr_noisy"] == pytest.approx(before.psnr[rest].mean())
    assert summary["psnr_gain"] == pytest.approx(gain.mean())
    low, high = stats.t.interval(0.95, len(rest) - 1, gain.mean(), stats.sem(gain))
    assert (summary["psnr_gain_low"], summary["psnr_gain_high"]) == pytest.approx((low, high))
    assert [summary[name] for name in ("exact", "exact_noisy", "psnr_images", "images")] == [2, 2, 5, 8]
    assert mean_psnr(images, clean, before.exact) == pytest.approx(summary["psnr"])
    # The PSNR of the mean error is of all images, and no infinity swallows it.
    assert summary["psnr_pooled"] == pytest.approx(-10 * np.log10(after.mse.mean()))
    assert summary["psnr_noisy_pooled"] == pytest.approx(-10 * np.log10(before.mse.mean()))


def test_an_empty_image_that_is_off_by_a_gray_level_in_a_pixel_is_exact_enough() -> None:
    """A black tile with one pixel of 1/255, under noise that spares black: 77 dB, and no word of the noise."""
    images, clean = pair(12, noise=0.2)
    images[:2] = clean[:2] = 0
    clean[:2, 5, 5] = 1 / 255
    images[0, 5, 5] = 1 / 255
    found = score(images, clean)
    assert found.psnr[:2] == pytest.approx([100, 20 * np.log10(255 * 28)])
    summary = summarise(found, found)
    assert [summary[name] for name in ("psnr_capped", "exact", "psnr_images", "images")] == [1, 2, 10, 12]
    assert summary["psnr"] == pytest.approx(found.psnr[2:].mean())
    clean[:2] = 0.5
    images[:2] = 0.5 + 0.11 / 255
    assert not score(images, clean).exact.any(), "a tenth of a gray level is what counts"


def test_where_nearly_all_images_are_exact_all_count() -> None:
    images, clean = pair(5)
    images[1:] = clean[1:]
    after, before = score(images, clean), score(pair(5, noise=0.2)[0], clean)
    summary = summarise(after, before)
    assert summary["psnr"] == pytest.approx((after.psnr[0] + 400) / 5)
    assert [summary[name] for name in ("exact", "psnr_images", "images")] == [4, 5, 5]
    assert mean_psnr(images, clean, before.exact) == pytest.approx(summary["psnr"])


def test_one_image_has_no_interval() -> None:
    one = score(*pair(1))
    with pytest.raises(QualityError, match="at least 2"):
        summarise(one, one)
    with pytest.raises(QualityError, match="same on both sides"):
        summarise(score(*pair(3)), score(*pair(4)))


def test_scoring_is_cheap() -> None:
    """500 images of 28x28 take 0.06 s on one core; 10 times that leaves room for a slower one."""
    images, clean = pair(500)
    score(images[:2], clean[:2])
    start = time.process_time()  # of this process: not what others keep the machine busy with
    score(images, clean)
    assert time.process_time() - start < 0.6


@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_in_strips_have_the_similarity_of_the_whole(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    clean = rng.random((2, 61, 40, channels))
    images = np.clip(clean + rng.normal(0, 0.2, clean.shape), 0, 1)
    at_once = quality.score(images, clean)
    for rows in (1, 7, 50):
        monkeypatch.setattr(quality, "LARGE", rows * 40 * channels)
        in_strips = quality.score(images, clean)
        assert in_strips.ssim == pytest.approx(at_once.ssim, abs=1e-12)
        assert in_strips.ssim_wang == pytest.approx(at_once.ssim_wang, abs=1e-12)
