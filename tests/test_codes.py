"""What codes are judged by: probes and clusterings with known answers, yardsticks against scikit-learn and by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import codes
from bench.codes import Chosen, Yardsticks, assess, choose, cluster_agreement, components, judge_codes, probe, wilson
from bench.records import Ended, make_record
from bench.trial import Clean, TrialBench, corrupted, load_clean
from implementations.adapter import Setting
from implementations.parameters import Array
from results.schema import validate
from tests.fake_backend import Fake
from tests.test_transfer import cell as plain
from tests.test_transfer import strip

Labelled = tuple[NDArray[np.float64], NDArray[np.int64]]


def cell(**axes: Any) -> Any:
    return plain(**{"cross_noise": "", "codes": True, "train": 200, "test": 100, **axes})


@pytest.fixture
def adapter() -> Fake:
    adapter = Fake()
    adapter.configure(Setting())
    return adapter


def groups(count: int, apart: float, seed: int, classes: int = 4) -> Labelled:
    """Points around one corner each of a 6-dimensional cube, ``apart`` standard deviations wide."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    corners = np.random.default_rng(0).choice([-1.0, 1.0], (classes, 6))
    corners[:, :2] = [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    return apart / 2 * corners[labels] + draw.normal(size=(count, 6)), labels


# -- figures with known answers ------------------------------------------------------------------------------------


def test_a_probe_reads_what_is_separable_and_nothing_from_noise() -> None:
    train, train_labels = groups(800, 12, 1)
    test, test_labels = groups(400, 12, 2)
    assert probe(train, train_labels, test, test_labels) == 1.0
    assert probe(1e6 * train + 5, train_labels, 1e6 * test + 5, test_labels) == 1.0, "scale and place do not matter"
    nothing = probe(groups(800, 0, 3)[0], train_labels, groups(400, 0, 4)[0], test_labels)
    assert abs(nothing - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 400)


def test_a_probe_regularises_as_much_as_held_out_images_want() -> None:
    """Of 306 numbers six say something: with as little regularisation as there may be, the rest drowns them."""
    draw = np.random.default_rng(5)
    (train, train_labels), (test, test_labels) = groups(600, 1.5, 1), groups(1000, 1.5, 2)
    train, test = (np.hstack([part, draw.normal(size=(len(part), 300))]) for part in (train, test))
    mean, deviation = train.mean(0), train.std(0)
    least = codes._accuracy(1e4, (train - mean) / deviation, train_labels, (test - mean) / deviation, test_labels)
    assert probe(train, train_labels, test, test_labels) > least + 0.03


def test_numbers_that_never_change_do_no_harm() -> None:
    train, train_labels = groups(200, 12, 1)
    test, test_labels = groups(100, 12, 2)
    dead = [np.hstack([part, np.zeros((len(part), 3))]) for part in (train, test)]
    assert probe(dead[0], train_labels, dead[1], test_labels) == 1.0
    assert cluster_agreement(np.zeros((20, 3)), np.arange(20) % 4, 4) == 0.0


def test_clusters_that_are_the_classes_agree_fully_and_random_ones_not() -> None:
    values, labels = groups(400, 14, 1)
    assert cluster_agreement(values, labels, 4) == 1.0
    assert cluster_agreement(values, 3 - labels, 4) == 1.0, "what the clusters are called does not matter"
    assert abs(cluster_agreement(values, np.random.default_rng(2).permutation(labels), 4)) < 0.03


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_the_published_ones(hits: int, count: int, low: float, high: float) -> None:
    assert wilson(hits / count, count) == pytest.approx((low, high), abs=5e-5)


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    train, _ = groups(300, 3, 1)
    test, _ = groups(50, 3, 2)
    axes = np.linalg.svd(train - train.mean(0), full_matrices=False)[2][:3]
    for part, found in zip((train, test), components(train, test, 3), strict=True):
        assert np.abs(found) == pytest.approx(np.abs((part - train.mean(0)) @ axes.T), abs=1e-9)
    assert components(train[:4], test, 100)[1].shape == (50, 4), "no more than there are"


# -- of a trial ----------------------------------------------------------------------------------------------------


def test_a_trial_says_what_its_codes_are_good_for(adapter: Fake, tmp_path: Path) -> None:
    trial = cell()
    result = TrialBench(adapter).run(trial, tmp_path)
    figures = result["codes"]
    names = {
        f"{kind}{what}"
        for kind in ("", "pixels_", "pca_")
        for noise in ("noisy", "clean")
        for what in (
            f"probe_accuracy_{noise}", f"probe_accuracy_{noise}_low", f"probe_accuracy_{noise}_high",
            f"cluster_ari_{noise}",
        )
    }  # fmt: skip
    assert set(figures) == names | {"classes", "probe_train_images", "probe_test_images", "seconds"}
    assert figures["probe_train_images"] == 200
    assert figures["seconds"] > 0
    validate(make_record(Ended(trial, "ok", facts=strip(result)), "f", "e"))


def test_figures_are_of_the_trained_networks_codes_and_of_the_trials_noise(adapter: Fake, tmp_path: Path) -> None:
    from sklearn.decomposition import PCA

    trial = cell(corruption="gaussian(0.2)", seed=2)
    figures = TrialBench(adapter).run(trial, tmp_path)["codes"]
    clean = load_clean(trial)
    noisy = corrupted(trial, clean)
    labels = clean.train_labels, clean.test_labels
    assert labels[0] is not None
    assert labels[1] is not None
    for noise, train, test in (("noisy", noisy.train, noisy.test), ("clean", clean.train, clean.test)):
        own = probe(adapter.encode(train), labels[0], adapter.encode(test), labels[1])
        assert figures[f"probe_accuracy_{noise}"] == own
        flat = train.reshape(len(train), -1), test.reshape(len(test), -1)
        assert figures[f"pixels_probe_accuracy_{noise}"] == probe(flat[0], labels[0], flat[1], labels[1])
        pca = PCA(4, random_state=0).fit(flat[0])
        reduced = probe(pca.transform(flat[0]), labels[0], pca.transform(flat[1]), labels[1])
        assert figures[f"pca_probe_accuracy_{noise}"] == reduced
    assert figures["classes"] == len(np.unique(labels[0]))


def test_yardsticks_are_made_once_for_all_networks(
    adapter: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[int] = []

    def counted(train: Array, test: Array, chosen: Chosen) -> codes.Figures:
        shapes.append(train.shape[1])
        return {"probe_accuracy_{noise}": float(train.shape[1])}

    monkeypatch.setattr(codes, "assess", counted)
    bench = TrialBench(adapter)
    first = bench.run(cell(), tmp_path)["codes"]
    # Noisy and clean: the code of 4, 144 pixels, 4 components.
    assert shapes == 2 * [4, 144, 4]
    second = bench.run(cell(loss="bce"), tmp_path)["codes"]
    assert shapes[6:] == [4, 4], "the same images: nothing but its own codes"
    assert second["pixels_probe_accuracy_noisy"] == first["pixels_probe_accuracy_noisy"] == 144
    bench.run(cell(latent=3), tmp_path)
    assert shapes[8:] == [3, 3, 3, 3], "another size has its own components"
    bench.run(cell(seed=1), tmp_path)
    assert shapes[12:] == [4, 144, 4, 4], "other noise: clean images have their figures already"


def test_without_labels_or_code_a_warning_says_so(adapter: Fake, tmp_path: Path) -> None:
    result = TrialBench(adapter).run(cell(dataset="photos", train=64, test=12), tmp_path)
    assert result["status"] == "ok"
    assert result["warnings"] == ["codes were not judged: photos has no labels of two classes or more"]
    assert not result["codes"], "and so left out of the record"
    trial = cell(architecture="conv-residual(2,4)", latent=None)
    clean = load_clean(trial)
    found, warnings = judge_codes(adapter, trial, clean, corrupted(trial, clean), Yardsticks())
    assert found == {}
    assert warnings == ["codes were not judged: conv-residual(2,4) has none"]


def test_codes_that_are_not_finite_are_not_judged(adapter: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = cell()
    clean = load_clean(trial)
    noisy = corrupted(trial, clean)

    def encode(images: Array) -> Array:
        found = images[:, 4:8, 5].reshape(len(images), -1).copy()
        if np.array_equal(images, noisy.test):
            found[5, 1] = math.nan
        return found

    monkeypatch.setattr(adapter, "encode", encode)
    found, warnings = judge_codes(adapter, trial, clean, noisy, Yardsticks())
    assert warnings == ["codes of noisy images are not finite: they were not judged"]
    assert "probe_accuracy_noisy" not in found
    assert "probe_accuracy_clean" in found


def test_scikit_learn_has_the_threads_of_the_trial(
    adapter: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threadpoolctl import threadpool_info

    seen: set[int] = set()

    def watched(train: Array, test: Array, chosen: Chosen) -> codes.Figures:
        seen.update(pool["num_threads"] for pool in threadpool_info())
        return assess(train, test, chosen)

    monkeypatch.setattr(codes, "assess", watched)
    TrialBench(adapter).run(cell(threads=1), tmp_path)
    assert seen == {1}


def test_the_images_looked_at_are_few_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "PROBE_IMAGES", 50)
    clean = load_clean(cell())
    first, second = choose(clean), choose(clean)
    assert first is not None
    assert second is not None
    assert len(first.train) == len(first.test) == len(first.train_labels) == 50
    assert np.array_equal(first.train, second.train)
    assert clean.train_labels is not None
    assert np.array_equal(first.train_labels, clean.train_labels[first.train])
    one = Clean(clean.train, clean.test, "", np.zeros(200, np.int64), clean.test_labels)
    assert choose(one) is None, "a single class can not be told from another"
