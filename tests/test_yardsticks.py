"""Yardsticks: the linear optimum where it is known exactly, classical denoisers as their libraries have them, cells."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import corruption, datasets, quality, trial
from bench.cells import TrialCell
from bench.yardsticks import (
    METHODS,
    PLAIN,
    TONED,
    LinearOptimum,
    Method,
    YardstickBench,
    YardstickCell,
    YardstickError,
    calibrate,
    fingerprint,
    linear,
    method,
    run_yardstick,
    score_yardsticks,
)
from bench.yardsticks.base import Images, Parameters, psnr
from bench.yardsticks.calibrate import CALIBRATION_VALUES, FEWEST, calibration_images
from bench.yardsticks.cell import make_pairs
from results.schema import dumps, loads
from results.yardsticks import FREE

Values = NDArray[np.float64]

FLOAT32 = 3e-6
"""Images are float32: their own rounding is 6e-8, and sums over some hundred of them add up."""


# -- the linear optimum ------------------------------------------------------------------------------------------------


def orthonormal(rows: int, columns: int, seed: int) -> Values:
    """Columns with mean zero and the identity as their matrix of products."""
    drawn = np.random.default_rng(seed).normal(size=(rows, columns))
    return np.linalg.qr(drawn - drawn.mean(axis=0))[0]


def known_pairs(strengths: Values, sigma: float, count: int = 3000) -> tuple[Images, Images, Values]:
    """(noisy, clean, directions): the sample itself, not only its expectation, has clean variances ``strengths`` along
    ``directions`` (the columns), white noise of variance sigma**2, and nothing between the two."""
    d = len(strengths)
    drawn = orthonormal(count, 2 * d, 1) * np.sqrt(count)
    directions = np.linalg.qr(np.random.default_rng(2).normal(size=(d, d)))[0]
    clean = 0.5 + (drawn[:, :d] * np.sqrt(strengths)) @ directions.T
    noisy = clean + 0.1 + sigma * drawn[:, d:]
    shape = (count, 4, 3, 1)
    return noisy.astype(np.float32).reshape(shape), clean.astype(np.float32).reshape(shape), directions


STRENGTHS = np.array([0.4, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001]) / 10
SIGMA = 0.1


def test_linear_optimum_is_the_one_known_in_closed_form() -> None:
    noisy, clean, directions = known_pairs(STRENGTHS, SIGMA)
    found = LinearOptimum(noisy, clean, ridge=0.0)
    kept = STRENGTHS / (STRENGTHS + SIGMA**2)
    for rank in range(1, 13):
        # Rank k keeps the k strongest directions, each shrunk by s / (s + sigma^2), and loses what they can not say.
        expected = directions[:, :rank] * kept[:rank] @ directions[:, :rank].T
        into, out = found.map(rank).into[:, :rank], found.map(rank).out[:rank]
        np.testing.assert_allclose((into @ out).T, expected, atol=FLOAT32)
        error = STRENGTHS.sum() - (STRENGTHS * kept)[:rank].sum()
        assert mean_squared_error(into, out, noisy, clean) * 12 == pytest.approx(error, abs=FLOAT32)


def correlated_pairs(count: int = 400, d: int = 20, seed: int = 3) -> tuple[Images, Images]:
    """Clean images that are no Gaussian, noise that is neither white nor independent of them."""
    rng = np.random.default_rng(seed)
    clean = (rng.random((count, 6)) ** 3 @ rng.random((6, d)) / 6).clip(0, 1)
    mixed = rng.normal(size=(d, d)) * np.linspace(0.1, 2, d)
    noisy = 0.7 * clean + 0.1 + 0.05 * (0.5 + clean) * (rng.normal(size=(count, d)) @ mixed)
    return noisy.astype(np.float32).reshape(count, 4, d // 4, 1), clean.astype(np.float32).reshape(count, 4, d // 4, 1)


def mean_squared_error(into: Values, out: Values, noisy: Images, clean: Images) -> float:
    y, x = (images.reshape(len(images), -1).astype(np.float64) for images in (noisy, clean))
    return float(np.square((y - y.mean(axis=0)) @ into @ out + x.mean(axis=0) - x).mean())


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_no_other_map_of_the_same_rank_is_better(rank: int) -> None:
    noisy, clean = correlated_pairs()
    found = LinearOptimum(noisy, clean, ridge=0.0).map(rank)
    into, out = found.into[:, :rank], found.out[:rank]
    best = mean_squared_error(into, out, noisy, clean)
    rng = np.random.default_rng(4)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(20):
            other = (
                (into + size * rng.normal(size=into.shape) * np.abs(into).mean()),
                out + size * rng.normal(size=out.shape) * np.abs(out).mean(),
            )
            assert mean_squared_error(*other, noisy, clean) > best
    # Cutting the full-rank filter down by its own singular values looks alike, and is not the optimum.
    full = LinearOptimum(noisy, clean, ridge=0.0).map(20)
    left, middle, right = np.linalg.svd(full.into @ full.out)
    naive = mean_squared_error(left[:, :rank] * middle[:rank], right[:rank], noisy, clean)
    assert naive > 1.01 * best


def test_at_full_rank_it_is_ordinary_regression() -> None:
    noisy, clean = correlated_pairs()
    y, x = (images.reshape(len(images), -1).astype(np.float64) for images in (noisy, clean))
    with_one = np.column_stack([y, np.ones(len(y))])
    expected = with_one @ np.linalg.lstsq(with_one, x, rcond=None)[0]
    got = LinearOptimum(noisy, clean, ridge=0.0).at(20).denoise(noisy)
    np.testing.assert_allclose(got.reshape(x.shape), expected.clip(0, 1), atol=1e-5)  # float32, condition about 100


@pytest.mark.parametrize("count", [15, 400])
def test_products_of_images_and_of_pixels_give_the_same_maps(count: int) -> None:
    noisy, clean = correlated_pairs(count)
    ridge = 1e-3
    one = linear.from_moments(linear.Moments.of(noisy, clean))(ridge)
    other = linear.from_pairs(noisy, clean)(ridge)
    for rank in (1, 3, 10):
        np.testing.assert_allclose(one.at(rank).denoise(noisy), other.at(rank).denoise(noisy), atol=FLOAT32)


def test_held_out_scores_are_those_of_the_denoisers() -> None:
    noisy, clean = correlated_pairs(50)
    found = LinearOptimum(noisy, clean, ridge=1e-3).map(1)
    expected = [psnr(found.at(rank).denoise(noisy), clean).mean() for rank in (1, 5, 20)]
    assert found.mean_psnr(noisy, clean, [1, 5, 20]) == pytest.approx(expected, abs=1e-4)  # dB; the denoiser is float32


def test_moments_do_not_depend_on_blocks_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, clean = correlated_pairs(101)
    whole = linear.Moments.of(noisy, clean)
    monkeypatch.setattr(linear, "BLOCK", 7 * 20)
    small = linear.Moments.of(noisy, clean)
    added = linear.Moments.of(noisy[:30], clean[:30]) + linear.Moments.of(noisy[30:], clean[30:])
    for name in ("count", "mean_noisy", "mean_clean", "noisy_noisy", "clean_noisy"):
        for moments in (small, added):
            np.testing.assert_allclose(getattr(moments, name), getattr(whole, name), rtol=1e-10, atol=1e-12)
    flat = whole.noisy_noisy / 101
    np.testing.assert_allclose(flat, np.cov(noisy.reshape(101, -1).T.astype(np.float64), bias=True), atol=1e-12)


def test_held_out_images_choose_a_ridge_that_pays_where_images_are_few() -> None:
    few, many = (glyph_pairs(count, test=200, size=14) for count in (100, 4000))
    clean_train, noisy_train, clean_test, noisy_test = few
    chosen = LinearOptimum(noisy_train, clean_train)
    unregularised = LinearOptimum(noisy_train, clean_train, ridge=1e-6)
    better, worse = (psnr(one.at(64).denoise(noisy_test), clean_test) for one in (chosen, unregularised))
    assert (better - worse).mean() > 0.5
    assert chosen.held_out == 10
    rich = LinearOptimum(many[1], many[0])
    assert rich.ridge(64) < chosen.ridge(64)
    facts = chosen.facts(64)
    assert facts["held_out_psnr"][f"{chosen.ridge(64):g}"] == max(facts["held_out_psnr"].values())
    assert facts["held_out_rank"] == 64


def test_large_images_are_decomposed_by_a_part_of_the_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, clean = correlated_pairs(100)
    monkeypatch.setattr(linear, "LARGEST", 18)
    found = LinearOptimum(noisy, clean, ridge=1e-3)
    assert found.images == 18
    assert found.facts(3)["subset"] == "evenly spaced training images"
    evenly = np.linspace(0, 99, 18).round().astype(int)
    expected = linear.from_pairs(noisy[evenly], clean[evenly])(1e-3 * found.variance).at(3).denoise(noisy)
    np.testing.assert_array_equal(found.at(3).denoise(noisy), expected)


def test_pixels_that_never_vary_do_no_harm() -> None:
    noisy, clean = correlated_pairs()
    noisy[:, 0], clean[:, 0] = 0, 0
    denoised = LinearOptimum(noisy, clean).at(5).denoise(noisy)
    assert np.isfinite(denoised).all()
    np.testing.assert_allclose(denoised[:, 0], 0, atol=1e-9)
    still = np.zeros_like(noisy)
    assert not LinearOptimum(still, still).at(5).denoise(still).any()


def test_the_linear_optimum_says_what_it_can_not_do() -> None:
    noisy, clean = correlated_pairs(30)
    with pytest.raises(YardstickError, match="allow 1 to 20"):
        LinearOptimum(noisy, clean).at(21).denoise(noisy)
    with pytest.raises(YardstickError, match="at least 20 training images; there are 19"):
        LinearOptimum(noisy[:19], clean[:19])
    with pytest.raises(YardstickError, match="float32"):
        LinearOptimum(noisy.astype(np.float64), clean)  # type: ignore[arg-type]
    with pytest.raises(YardstickError, match="ridge -1"):
        LinearOptimum(noisy, clean, ridge=-1)


PUBLISHED = {
    ("mnist", "gaussian(0.4)"): {8: 14.48, 16: 15.84, 32: 17.31, 64: 18.42, 128: 18.86, 784: 18.96},
    ("fashion-mnist", "gaussian(0.5)"): {8: 15.88, 16: 16.59, 32: 17.11, 64: 17.43, 128: 17.57, 784: 17.62},
}
"""Mean PSNR in dB over the 10,000 test images, computed beforehand by other code with other noise of the same kind."""
NOISY = {"mnist": 11.0, "fashion-mnist": 9.3}


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("DAEBENCH_DATA"), reason="DAEBENCH_DATA names no folder with the real data")
@pytest.mark.parametrize(("name", "noise"), PUBLISHED)
def test_the_linear_optimum_of_real_data_is_the_published_one(name: str, noise: str) -> None:
    cell = YardstickCell(method="linear", rank=8, dataset=name, corruption=noise)
    data = datasets.load(name)
    clean, test = datasets.as_float(data.train), datasets.as_float(data.test)
    noisy = corruption.corrupt(clean, cell.corruption, seed=0)
    noisy_test = corruption.corrupt(test, cell.corruption, seed=0, split="test")
    assert psnr(noisy_test, test).mean() == pytest.approx(NOISY[name], abs=0.05)  # given with one decimal
    found = LinearOptimum(noisy, clean)
    for rank, expected in PUBLISHED[name, noise].items():
        got = float(psnr(found.at(rank).denoise(noisy_test), test).mean())
        print(f"{name} {noise} rank {rank}: {got:.3f} dB, published {expected}")
        assert got == pytest.approx(expected, abs=0.02)


# -- classical denoisers -----------------------------------------------------------------------------------------------

SETTINGS: dict[str, Parameters] = {
    "identity": {},
    "median-3x3": {},
    "gaussian": {"sigma": 1.2},
    "median": {"window": "square", "radius": 1},
    "tv": {"weight": 0.1},
    "nlm": {"h": 0.1, "sigma_over_h": 1.0, "patch_size": 3, "patch_distance": 3},
    "nlm-slow": {"h": 0.1, "sigma_over_h": 1.0, "patch_size": 3, "patch_distance": 3},
    "wavelet": {"wavelet": "db2", "levels": 2, "threshold": "BayesShrink", "sigma": 0.1, "shifts": 1, "ycbcr": False},
    "wiener": {"size": 3, "noise": 0.1},
}


def photo_pairs(count: int = 20, size: int = 32, channels: int = 1, level: float = 0.1) -> tuple[Images, Images]:
    clean = datasets.as_float(datasets.load("photos", train=count, test=2, size=size, channels=channels).train)
    return corruption.corrupt(clean, f"gaussian({level})", seed=0, clip=False), clean


def glyph_pairs(
    train: int, test: int, noise: str = "gaussian(0.4)", size: int = 28
) -> tuple[Images, Images, Images, Images]:
    data = datasets.load("glyphs", train=train, test=test, size=size)
    clean, clean_test = datasets.as_float(data.train), datasets.as_float(data.test)
    noisy = corruption.corrupt(clean, noise, seed=0)
    return clean, noisy, clean_test, corruption.corrupt(clean_test, noise, seed=0, split="test")


def test_every_plain_method_is_tested_here() -> None:
    assert set(SETTINGS) == set(PLAIN)
    assert set(TONED) == {f"{name}-tone" for name in PLAIN} - {"identity-tone", "median-3x3-tone"}
    assert set(METHODS) == set(PLAIN) | set(TONED)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("shape", [(17, 24, 1), (28, 28, 1), (24, 17, 3)])
def test_an_image_is_denoised_alike_alone_and_among_many(name: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(5)
    images = rng.random((5, *shape), dtype=np.float32)
    got = PLAIN[name].denoise(images, SETTINGS[name])
    assert got.shape == images.shape
    assert got.dtype == np.float32
    assert name == "identity" or not np.array_equal(got, images)
    for index in range(5):
        alone = PLAIN[name].denoise(images[index : index + 1], SETTINGS[name])
        np.testing.assert_array_equal(alone[0], got[index])


def test_methods_do_what_their_libraries_do() -> None:
    from scipy.signal import wiener
    from skimage import filters, restoration

    noisy = photo_pairs(3)[0]
    for image, place in ((noisy[0, :, :, 0], 0), (noisy[2, :, :, 0], 2)):
        expected: dict[str, Any] = {
            "gaussian": filters.gaussian(image, 1.2, mode="reflect"),
            "median": filters.median(image, np.ones((3, 3)), mode="reflect"),
            "median-3x3": filters.median(image, np.ones((3, 3)), mode="reflect"),
            "tv": restoration.denoise_tv_chambolle(image, 0.1),
            "nlm": restoration.denoise_nl_means(image, 3, 3, 0.1, sigma=0.1),
            "nlm-slow": restoration.denoise_nl_means(image, 3, 3, 0.1, sigma=0.1, fast_mode=False),
            "wavelet": restoration.cycle_spin(
                image,
                restoration.denoise_wavelet,
                max_shifts=1,
                workers=1,
                func_kw={"sigma": 0.1, "wavelet": "db2", "wavelet_levels": 2},
            ),
            "wiener": wiener(image.astype(np.float64), 3, 0.1**2),
        }
        for name, values in expected.items():
            got = PLAIN[name].denoise(noisy, SETTINGS[name])[place, :, :, 0]
            inside = slice(1, -1) if name == "wiener" else slice(None)  # scipy has black beyond the border
            np.testing.assert_allclose(got[inside, inside], values.clip(0, 1)[inside, inside], atol=2e-6, err_msg=name)


@pytest.mark.parametrize("channels", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_calibrated_methods_make_photographs_better(channels: int) -> None:
    noisy, clean = photo_pairs(8, size=24, channels=channels)
    before = psnr(noisy, clean).mean()
    for name in PLAIN:
        if name == "identity":
            continue
        found = calibrate(PLAIN[name], noisy, clean)
        # 2 dB: what the weakest of them (the median) reaches at this level, with half a dB to spare.
        assert psnr(PLAIN[name].denoise(noisy, found.parameters), clean).mean() > before + 2, name
        assert not found.edges or name in ("median", "wiener"), found.edges  # windows can not be smaller than 3x3


def test_gain_and_offset_take_back_what_clipping_did() -> None:
    clean_train, noisy_train, clean_test, noisy_test = glyph_pairs(60, 60)
    plain, toned = (
        score.scores.psnr
        for score in score_yardsticks(clean_train, noisy_train, clean_test, noisy_test, ["gaussian", "gaussian-tone"])
    )
    assert (toned - plain).mean() > 1
    found = calibrate(METHODS["gaussian-tone"], noisy_train, clean_train)
    assert float(found.parameters["gain"]) > 1
    assert float(found.parameters["offset"]) < 0


def test_an_unknown_method_is_told_the_known_ones() -> None:
    with pytest.raises(YardstickError, match="did you mean 'wavelet'"):
        method("wavelets")


def test_a_method_whose_library_is_not_installed_says_which() -> None:
    lacking = replace(PLAIN["gaussian"], needs=("no-such-distribution",))
    noisy, clean = photo_pairs(2)
    with pytest.raises(YardstickError, match="pip install no-such-distribution"):
        calibrate(lacking, noisy, clean)


# -- calibration -------------------------------------------------------------------------------------------------------


def shift_method(**changes: Any) -> Method:
    """Adds ``a`` + ``b`` / 10: with noisy = clean - 0.43, the best of coarse a and fine b is 0.4 and 0.3."""

    def apply(images: Images, parameters: Parameters) -> Images:
        return images + np.float32(float(parameters["a"]) + float(parameters["b"]) / 10)

    stages = ({"a": (0.1, 0.4, 0.6, 0.8)}, {"b": (0.1, 0.2, 0.3, 0.4)}, {"a": (0.1, 0.2, 0.4, 0.5)})
    settings: dict[str, Any] = {"name": "shift", "summary": "", "source": "", "start": {"b": 0.0}, "stages": stages}
    return Method(**{**settings, "apply": apply, "open_ended": ("a", "b"), **changes})


def shifted_pairs(count: int = 40) -> tuple[Images, Images]:
    clean = np.random.default_rng(6).random((count, 12, 12, 1), dtype=np.float32) * np.float32(0.5) + np.float32(0.45)
    return clean - np.float32(0.43), clean


def test_stages_are_searched_one_after_the_other_and_later_ones_nearby() -> None:
    noisy, clean = shifted_pairs()
    found = calibrate(shift_method(), noisy, clean)
    assert found.parameters == {"a": 0.4, "b": 0.3}
    tried = [candidate.parameters for candidate in found.tried]
    # Four of the first stage, four of the second with the best a; of the third 0.1 is too far away and 0.4 is known.
    assert tried[:4] == [{"b": 0.0, "a": a} for a in (0.1, 0.4, 0.6, 0.8)]
    assert tried[4:8] == [{"b": b, "a": 0.4} for b in (0.1, 0.2, 0.3, 0.4)]
    assert tried[8:] == [{"b": 0.3, "a": a} for a in (0.2, 0.5)]
    assert found.psnr == max(candidate.psnr for candidate in found.tried)
    assert found.edges == {}


def test_the_end_of_a_grid_is_told() -> None:
    noisy, clean = shifted_pairs()
    low = calibrate(shift_method(stages=({"a": (0.4, 0.5, 0.6)},)), noisy, clean)
    assert low.edges == {"a": "low"}
    high = calibrate(shift_method(stages=({"a": (0.1, 0.2, 0.4)},), toned=True), noisy, clean)
    assert set(high.parameters) == {"a", "b", "gain", "offset"}


def test_calibration_sees_few_training_images_and_always_the_same() -> None:
    chosen = calibration_images(60_000, (28, 28, 1))
    assert len(chosen) == CALIBRATION_VALUES // 784
    np.testing.assert_array_equal(chosen, calibration_images(60_000, (28, 28, 1)))
    assert (np.diff(chosen) > 0).all()
    assert len(calibration_images(60_000, (64, 64, 3))) == FEWEST
    assert len(calibration_images(5, (28, 28, 1))) == 5


def test_settings_that_suit_no_image_are_left_out() -> None:
    noisy, clean = photo_pairs(4, size=11)
    tried = [candidate.parameters for candidate in calibrate(PLAIN["wavelet"], noisy, clean).tried]
    assert max(int(one["levels"]) for one in tried if one["wavelet"] == "db1") == 3
    assert "sym4" not in {one["wavelet"] for one in tried}  # its filter has 8 taps: 11 pixels can not be halved
    assert not any(one["ycbcr"] for one in tried)
    with pytest.raises(YardstickError, match="no setting for images of 12x12"):
        calibrate(shift_method(allowed=lambda parameters, shape: False), *shifted_pairs())


# -- scores and cells --------------------------------------------------------------------------------------------------


def test_yardsticks_are_scored_like_networks() -> None:
    clean_train, noisy_train, clean_test, noisy_test = glyph_pairs(200, 50)
    results = score_yardsticks(
        clean_train, noisy_train, clean_test, noisy_test, ["identity", "median"], [8, 32], shown=[1, 3]
    )
    assert [result.name for result in results] == ["identity", "median", "linear (rank 8)", "linear (rank 32)"]
    before = quality.score(noisy_test, clean_test)
    np.testing.assert_array_equal(results[0].scores.psnr, before.psnr)
    assert results[0].rate is None
    assert results[0].calibration["psnr"] is None
    for result in results[1:]:
        assert quality.summarise(result.scores, before)["psnr_gain_low"] > 0
        assert result.rate is not None
        assert 0 < result.rate.low <= result.rate.images_per_second <= result.rate.high
        assert result.rate.blocks == 17  # of three images, the last of two
        assert result.shown.shape == (2, 28, 28, 1)
        dumps(result.calibration)
    again = METHODS["median"].denoise(noisy_test[[1, 3]], results[1].calibration["parameters"])
    np.testing.assert_array_equal(results[1].shown, again)
    assert results[3].scores.psnr.mean() > results[2].scores.psnr.mean() + 1
    assert results[2].numbers == 2 * 8 * 784 + 784


def test_what_costs_nothing_reaches_what_was_measured_elsewhere(tmp_path: Path) -> None:
    # Letters under gaussian(0.4): figures of another program, to a tenth of a dB.
    bench, reached = YardstickBench(), {}
    for name in FREE:
        result = bench.run(YardstickCell(method=name, train=2000, test=256), tmp_path)
        reached[name] = result["metrics"]["psnr"]
    expected = {"identity": 11.0, "mean-image": 10.2, "median-3x3": 15.6}
    for name, figure in expected.items():
        assert reached[name] == pytest.approx(figure, abs=0.06), name
    assert reached["gaussian"] > 13.4  # that of the program, whose width was not calibrated


def test_the_mean_image_knows_nothing_of_the_noisy_one() -> None:
    clean_train, noisy_train, clean_test, noisy_test = glyph_pairs(200, 50)
    (result,) = score_yardsticks(clean_train, noisy_train, clean_test, noisy_test, ["mean-image"], shown=[1, 3])
    mean = clean_train.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(result.shown, np.stack([mean, mean]), atol=1e-7)
    expected = -10 * np.log10(np.square(clean_test - mean).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(result.scores.psnr, expected, rtol=1e-5)
    assert (result.rate, result.calibration["images"]) == (None, 200)


def test_colour_images_of_another_size() -> None:
    noisy, clean = photo_pairs(30, size=14, channels=3, level=0.3)
    results = score_yardsticks(clean[:20], noisy[:20], clean[20:], noisy[20:], ["gaussian", "tv"], [5, 588])
    before = psnr(noisy[20:], clean[20:])
    for result in results:
        assert result.shown.shape == (8, 14, 14, 3)
        assert (result.scores.psnr - before).mean() > 0.5, result.name


def test_pairs_that_do_not_match_are_refused() -> None:
    noisy, clean = photo_pairs(4)
    with pytest.raises(YardstickError, match="one shape"):
        score_yardsticks(clean[:3], noisy, clean, noisy)
    with pytest.raises(YardstickError, match="differ"):
        score_yardsticks(clean, noisy, clean[:, :20], noisy[:, :20])


CELL = YardstickCell(method="linear", rank=16, train=300, test=40)


def test_a_cell_is_what_its_axes_say() -> None:
    assert YardstickCell.from_axes({**CELL.axes(), "backend": "torch"}) == CELL
    loads(dumps(CELL.axes()))
    keys = {cell.key() for cell in (CELL, replace(CELL, rank=8), replace(CELL, seed=1), replace(CELL, clip=False))}
    assert len(keys) == 4
    assert CELL.key() == YardstickCell.from_axes(CELL.axes()).key()


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"method": "bm3d"}, "allowed are identity, median-3x3, gaussian"),
        ({"method": "linear"}, "needs a rank"),
        ({"method": "linear", "rank": 785}, "allow 1 to 784"),
        ({"method": "tv", "rank": 8}, "only linear has one"),
        ({"method": "mean-image", "evaluate": "whole"}, "made for images of one size"),
    ],
)
def test_a_cell_that_can_not_be_is_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(YardstickError, match=message):
        YardstickCell(**axes)


def test_a_yardstick_sees_the_very_images_of_a_trial(tmp_path: Path) -> None:
    result = run_yardstick(CELL, tmp_path)
    axes = {name: value for name, value in CELL.axes().items() if name not in ("method", "rank")}
    same = TrialCell(backend="torch", track="tuned", architecture="dense", **axes)
    clean = trial.load_clean(same)
    noisy = trial.corrupted(same, clean)
    assert result["hashes"]["data"] == clean.digest
    assert result["hashes"]["noisy"] == noisy.digest
    pictures = trial._pictures(tmp_path, clean, noisy, clean.test)
    assert result["pictures"]["clean"] == pictures["clean"]
    assert result["pictures"]["noisy"] == pictures["noisy"]
    assert result["metrics"]["psnr_noisy"] == noisy.scores.psnr.mean()
    # Parameters are chosen by some training images alone, with the noise that trials give them.
    few = make_pairs(CELL, clean).few
    chosen = calibration_images(CELL.train or 0, (28, 28, 1))
    np.testing.assert_array_equal(few[0], clean.train[chosen])
    np.testing.assert_array_equal(few[1], noisy.train[chosen])
    filtered = run_yardstick(replace(CELL, method="median", rank=None), tmp_path)
    found = calibrate(METHODS["median"], noisy.train, clean.train)
    assert filtered["calibration"]["psnr"] == found.psnr


def test_a_cell_leaves_what_a_record_needs(tmp_path: Path) -> None:
    bench = YardstickBench()
    others = [replace(CELL, method=name, rank=None) for name in ("median", "mean-image", "identity", "median-3x3")]
    for cell in (CELL, replace(CELL, rank=8), *others):
        result = bench.run(cell, tmp_path)
        assert (result["status"], result["reason"]) == ("ok", None)
        assert loads(dumps(result)) == result
        assert set(result["pictures"]) == {"clean", "noisy", "denoised"}
        assert all((tmp_path / path).is_file() for path in result["pictures"].values())
        assert {"psnr", "psnr_low", "psnr_gain", "ssim"} <= set(result["metrics"])
        works = cell.method not in ("mean-image", "identity")
        assert ("yardstick_samples_per_second" in result["metrics"]) == works
        assert (result["metrics"]["psnr_gain"] > 1) == works
        assert ("parameters" in result["metrics"]) == (cell.method == "linear")
        alone = run_yardstick(cell, tmp_path)
        for name in ("psnr", "ssim", "mse_gain_high"):
            assert alone["metrics"][name] == result["metrics"][name]
        assert alone["pictures"] == result["pictures"]
        assert alone["hashes"] == result["hashes"]


def test_a_missing_library_is_a_status_and_what_is_not_finite_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(images: Images, parameters: Parameters) -> Images:
        return images * np.float32(np.nan)

    cell = replace(CELL, method="median", rank=None)
    monkeypatch.setitem(METHODS, "median", replace(PLAIN["median"], needs=("no-such-distribution",)))
    result = run_yardstick(cell, tmp_path)
    assert result["status"] == "unsupported"
    assert "no-such-distribution" in result["reason"]
    monkeypatch.setitem(METHODS, "median", replace(PLAIN["median"], apply=broken))
    result = run_yardstick(cell, tmp_path)
    assert result["status"] == "diverged"
    assert "not finite" in result["reason"]


def test_the_fingerprint_is_one_of_this_machine_and_source() -> None:
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 16
