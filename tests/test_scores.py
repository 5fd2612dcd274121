"""Scores by image in pairs: exact images are left out on both sides, and means of means keep their standard error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.kept import save_scores
from bench.quality import Scores
from results.scores import combined, differences, read_scores
from results.statistics import mean_interval

DRAW = np.random.default_rng(4)


def side(psnr: list[float], noisy: list[float] | None = None) -> np.ndarray:
    columns = [psnr, [0.5] * len(psnr)] + ([] if noisy is None else [noisy])
    return np.array(columns).T


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    psnr, noisy = np.array([20.0, 100.0]), np.array([10.0, 12.0])
    scores = Scores(psnr, psnr / 40, psnr * 0, psnr / 40)
    path = save_scores(scores, tmp_path, Scores(noisy, noisy / 40, noisy * 0, noisy / 40))
    found = read_scores([tmp_path], path)
    assert found is not None
    np.testing.assert_allclose(found, [[20, 0.5, 10], [100, 2.5, 12]])
    old = read_scores([tmp_path], save_scores(scores, tmp_path))
    assert old is not None, "files from before noisy images were kept"
    assert old.shape == (2, 2)


def test_exact_images_are_left_out_on_both_sides() -> None:
    a = side([20.0, 100.0, 22.0, 23.0, 24.0], [10.0, 11.0, 100.0, 12.0, 13.0])
    b = side([19.0, 21.0, 20.0, 100.0, 20.0])
    found = differences(a, b)
    assert found is not None
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, True, False])
    assert combined([found]).tolist() == [1.0, 4.0]
    assert differences(a, b[:4]) is None


def test_where_too_few_are_left_all_count() -> None:
    found = differences(side([100.0, 100.0, 22.0]), side([50.0, 60.0, 21.0]))
    assert found is not None
    assert found.tolist() == [50.0, 40.0, 1.0]


def test_without_exact_images_the_parts_are_averaged_image_by_image() -> None:
    parts = DRAW.normal(1, 2, (3, 50))
    np.testing.assert_allclose(combined(list(parts)), parts.mean(axis=0))


def test_parts_that_leave_out_others_have_the_mean_of_their_means() -> None:
    parts = DRAW.normal(1, 2, (2, 40))
    parts[0, :5] = np.nan
    parts[:, 7] = np.nan
    found = combined(list(parts))
    assert found.mean() == pytest.approx(np.nanmean(parts, axis=1).mean())
    assert len(found) == 39


def test_the_interval_of_parts_that_leave_out_others_holds_what_it_says() -> None:
    draw = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        parts = draw.normal(0, 1, 60) + draw.normal(0, 0.5, (2, 60))  # an image is hard under both
        parts[0, draw.random(60) < 0.4] = np.nan
        inside += mean_interval(combined(list(parts))).includes(0.0)
    assert 0.92 <= inside / 400 <= 0.98
