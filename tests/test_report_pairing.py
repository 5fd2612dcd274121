"""One rule for how far two networks are apart: the same figure and interval wherever a page gives it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report import pairing, quality_tables, ranking, scoring, sentences, tables, text
from report.quality import Quality, quality
from report.sentences import Analysis, analyse
from results.loading import Run, load_run
from results.statistics import mean_interval
from tests import fake_run

SIZE = fake_run.Size(backends=("torch", "keras[jax]"), full=("torch", "keras[jax]"), latents=(64,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two backends, dense and conv, two losses, four corruptions, one seed; all have finished learning."""
    made = fake_run.make_run(tmp_path_factory.mktemp("one-seed"), SIZE)
    target = tmp_path_factory.mktemp("finished") / "run"
    changed(made, target, lambda record: record.update(fake_run.lesson(record, "converged")))
    return target


@pytest.fixture(scope="module")
def analysis(folder: Path) -> Analysis:
    return analyse(load_run(folder))


def changed(folder: Path, target: Path, edit: Callable[[dict[str, Any]], None]) -> Run:
    """The run with each trial edited in place."""
    target.mkdir()
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    for record in records:
        if record["kind"] == "trial" and record["status"] == "ok":
            edit(record)
    (target / "run.json").write_text((folder / "run.json").read_text())
    (target / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    shutil.copytree(folder / "scores", target / "scores", dirs_exist_ok=True)
    return load_run(target)


def shift(record: dict[str, Any], gains: dict[str, float]) -> None:
    """Let its gain be that of its corruption, where ``gains`` has it."""
    metrics, gain = record["metrics"], gains.get(record["cell"]["corruption"])
    if gain is not None:
        metrics |= {"psnr_gain": gain, "psnr_gain_low": gain - 0.1, "psnr_gain_high": gain + 0.1}


def widen(record: dict[str, Any], half: float) -> None:
    """Let its mean be known to within ``half``."""
    gain = record["metrics"]["psnr_gain"]
    record["metrics"] |= {"psnr_gain_low": gain - half, "psnr_gain_high": gain + half}


def finding(found: Quality) -> str:
    said = ranking.said(found)
    assert said is not None
    return sentences.Finding("Quality", *said).sentence


# -- one figure ----------------------------------------------------------------------------------------------------


def test_finding_table_and_recommendation_have_one_figure_of_one_gap(folder: Path, analysis: Analysis) -> None:
    """By image, from the files themselves: the mean over backends, then over corruptions."""
    by_network: dict[tuple[str, str], list[np.ndarray]] = {}
    for record in load_run(folder).of("trial", "ok"):
        key = record["cell"]["architecture"], record["cell"]["loss"]
        by_network.setdefault(key, []).append(np.load(folder / record["scores"])[:, 0].astype(np.float64))
    conv, second = (np.mean(by_network["conv", loss], axis=0) for loss in ("mse", "bce"))
    expected = mean_interval(conv - second)
    assert expected.low > 0, "measurably apart, or nothing would be said of it"

    said = text.behind(expected)
    assert f"second: conv (latent 64, BCE), {said} (mean over 4 corruptions" in finding(analysis.quality)
    assert analysis.advice is not None
    assert f"next: conv (latent 64, BCE), {said}" in dict(analysis.advice.facts)["Quality"]
    table = quality_tables.standings_table(analysis.quality)
    (row,) = [row for row in table.rows if (row[0].text, row[2].text) == ("conv", "BCE")]
    assert (row[7].text, row[7].note) == tables.split(text.decibels(expected, sign=False))
    assert table.kinds == ["leader", "", "", ""]


def test_outlined_are_those_that_pairs_can_not_part(folder: Path, analysis: Analysis) -> None:
    """Unpaired, half a decibel of scatter over images would hide what all images agree on."""
    table = quality_tables.quality_table(analysis.quality)
    for row in table.rows:
        assert [cell.kind for cell in row[2:]].count("heat best") == 1, row[0].text
    assert analysis.quality.scores
    gap = analysis.quality.pairing
    for condition in analysis.quality.conditions:
        scores = {k: s for (c, k), s in analysis.quality.scores.items() if c == condition}
        best = max(scores, key=lambda key: scores[key].gain)
        assert analysis.quality.best(condition) == [best]
        others = [key for key in scores if key != best]
        assert all(gap.gap([condition], best, key).low > 0 for key in others)


def test_several_seeds_are_paired_by_seed_and_no_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = fake_run.Size(backends=("torch",), full=("torch",), latents=(64,), seeds=(0, 1, 2))
    run = load_run(fake_run.make_run(tmp_path, size))
    monkeypatch.setattr(pairing, "read_scores", lambda *_: pytest.fail("a file was read"))
    found = quality(run)
    standings, shared = found.standings()
    a, b = standings[:2]
    seeds = [a.by_seed[seed] - b.by_seed[seed] for seed in (0, 1, 2)]
    gap = found.pairing.gap(shared, a.configuration, b.configuration)
    assert (gap.value, gap.low, gap.high) == pytest.approx(
        (lambda one: (one.value, one.low, one.high))(mean_interval(seeds))
    )
    assert found.pairing.gap(shared, b.configuration, a.configuration).value == -gap.value


def test_files_are_read_only_where_a_verdict_hangs_on_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.18 dB between losses need pairs, with means known to 0.12; 0.35 dB and more between networks do not."""
    read: list[str] = []
    original = pairing.read_scores
    monkeypatch.setattr(pairing, "read_scores", lambda folders, path: read.append(path) or original(folders, path))
    run = changed(folder, tmp_path / "run", lambda record: widen(record, 0.12))
    found = quality(run)
    condition = next(iter(found.conditions))
    best = found.best(condition)
    cells = {r["scores"]: r["cell"] for r in run.of("trial", "ok")}
    assert {cells[path]["corruption"] for path in read} == {found.corruptions[condition]}
    unread = {path for path in cells if cells[path]["corruption"] == found.corruptions[condition]} - set(read)
    assert len(read) == len(set(read))
    assert unread, "dense is further behind than no pairing could hide"
    assert len(best) == 1


@pytest.mark.parametrize("what", ["hashes", "scores", "other images", "other noise"])
def test_without_the_same_images_on_both_sides_intervals_add_up(folder: Path, tmp_path: Path, what: str) -> None:
    def edit(record: dict[str, Any]) -> None:
        widen(record, 0.3)
        if what in ("hashes", "scores"):
            del record[what]
        elif what == "other images":
            record["hashes"]["data"] = record["cell"]["loss"]
        else:
            record["hashes"]["noisy_test"] = record["cell"]["loss"]

    found = quality(changed(folder, tmp_path / "run", edit))
    standings, shared = found.standings()
    gap = found.pairing.gap(shared, standings[0].configuration, standings[1].configuration)
    assert gap.value == pytest.approx(standings[0].gain.value - standings[1].gain.value)
    assert gap.high - gap.value == pytest.approx(math.hypot(standings[0].half, standings[1].half))
    assert "no measurable difference from conv (latent 64, BCE)" in finding(found)


def test_images_that_are_exact_count_on_neither_side(folder: Path, tmp_path: Path) -> None:
    """One network gives 40 images back exactly: means that leave these out are of other images than its rival's."""
    number = iter(range(1000))

    def edit(record: dict[str, Any]) -> None:
        scores = np.load(folder / record["scores"]).astype(np.float64)
        scores[:40, 0] = 60.0
        if record["cell"]["loss"] == "bce":
            scores[:40, 0] = 100.0
            record["metrics"] |= {"psnr_capped": 40.0, "exact": 40.0}
        metrics = record["metrics"]
        counted = scores[scores[:, 0] < 100, 0]
        metrics["psnr_gain"] = metrics["psnr"] = float(counted.mean())
        record["scores"] = f"scores/{next(number)}.npy"
        (tmp_path / "run" / "scores").mkdir(exist_ok=True)
        np.save(tmp_path / "run" / record["scores"], scores)

    run = changed(folder, tmp_path / "run", edit)
    found = quality(run)
    by_loss = {key[2]: key for key in found.configurations if key[0] == "conv"}
    condition = next(iter(found.conditions))
    gains = {loss: found.scores[condition, key].gain for loss, key in by_loss.items()}
    assert gains["mse"] - gains["bce"] > 2, "as means have it, the perfect one is far behind"
    gap = found.pairing.gap([condition], by_loss["mse"], by_loss["bce"])
    assert gap.value == pytest.approx(0.18, abs=0.1), "as on the images that both leave something to be done on"
    said = scoring.exact_said(found)
    assert said is not None
    assert said[0].startswith("40 test pictures come out exact under ")


def test_who_is_ahead_in_pairs_leads_whatever_the_means(folder: Path) -> None:
    """A mean of one seed against one of three: what counts is the seed that both have."""

    def record(loss: str, seed: int, gain: float) -> dict[str, Any]:
        metrics = {"psnr_gain": gain, "psnr_gain_low": gain - 0.01, "psnr_gain_high": gain + 0.01}
        return {"cell": {"seed": seed}, "metrics": metrics}

    trials = {
        (("c",), ("a",)): [record("a", seed, gain) for seed, gain in enumerate((5.0, 7.0, 9.0))],
        (("c",), ("b",)): [record("b", seed, gain) for seed, gain in enumerate((5.5, 7.51))],
    }
    one = pairing.Pairing(load_run(folder), trials)
    assert one.leader([("c",)], [("a",), ("b",)]) == ("b",)
    assert one.sign([("c",)], ("a",), ("b",)) == -1


# -- conditions that disagree --------------------------------------------------------------------------------------


def test_levels_that_disagree_in_sign_have_no_mean_in_the_headline(folder: Path, tmp_path: Path) -> None:
    gains = {"gaussian(0.2)": -4.3, "gaussian(0.4)": 1.0, "salt_pepper(0.1)": 3.8, "salt_pepper(0.3)": 5.0}

    def edit(record: dict[str, Any]) -> None:
        if (record["cell"]["architecture"], record["cell"]["loss"]) == ("conv", "mse"):
            shift(record, gains)
        else:
            shift(record, dict.fromkeys(gains, 0.5))
        record.pop("scores")

    run = changed(folder, tmp_path / "run", edit)
    said = finding(quality(run))
    assert said == (
        "conv (latent 64, MSE) denoises best, but does harm under some noise, from +5.00 dB [+4.90, +5.10] PSNR over "
        "the noisy input under salt_pepper(0.3) to −4.30 dB [−4.40, −4.20] under gaussian(0.2): second: conv (latent "
        "64, BCE), 0.88 dB (0.73 to 1.02) behind; worse than the noisy input under gaussian(0.2); best of those that "
        "are not: conv (latent 64, BCE) (ranked by the mean over 4 corruptions; 1 seed, so intervals cover the 512 "
        "test images only)."
    )
    advice = analyse(run).advice
    assert advice is not None
    facts = dict(advice.facts)["Quality"]
    assert facts.startswith("from +5.00 dB [+4.90, +5.10] PSNR over the noisy input under salt_pepper(0.3) to −4.30 dB")
    assert "; worse than the noisy input under gaussian(0.2)" in facts
    assert "+1.37" not in said + facts


def test_a_network_that_helps_under_all_noise_has_its_mean(analysis: Analysis) -> None:
    said = finding(analysis.quality)
    assert said.startswith("conv (latent 64, MSE) denoises best, +")
    assert "PSNR over the noisy input: second: " in said
    assert "worse than" not in said


def test_a_single_network_is_not_ranked(tmp_path: Path) -> None:
    size = fake_run.Size(backends=("torch",), full=("torch",), architectures=("dense",), latents=(64,), losses=("mse",))
    made = fake_run.make_run(tmp_path / "made", size)
    done = changed(made, tmp_path / "done", lambda record: record.update(fake_run.lesson(record, "converged")))
    said = finding(quality(done))
    assert said.startswith("Only one network was trained here, so there is no ranking: dense (latent 64, MSE), +")
    assert said.endswith(": mean over 4 corruptions; 1 seed, so intervals cover the 512 test images only.")


# -- exact pictures ------------------------------------------------------------------------------------------------


def test_exact_pictures_are_named_with_what_they_count(folder: Path, tmp_path: Path) -> None:
    def edit(record: dict[str, Any]) -> None:
        if record["cell"]["corruption"] == "salt_pepper(0.1)":
            some = {"psnr_capped": 3.0, "exact": 3.0, "exact_noisy": 50.0, "images": 512.0, "psnr_images": 462.0}
        else:
            some = {"psnr_capped": 0.0, "exact": 0.0, "exact_noisy": 0.0, "images": 512.0, "psnr_images": 512.0}
        record["metrics"] |= some

    found = analyse(changed(folder, tmp_path / "run", edit))
    (said,) = [one.sentence for one in sentences.findings(found) if one.topic == "Exact images"]
    assert said == (
        "3 of 512 test pictures come out exact and 50 of 512 test pictures are exact when noisy under salt_pepper(0.1)"
        ": they are left out of means and gains of PSNR, which they would carry away."
    )


def test_where_all_pictures_count_all_the_same_it_is_said(folder: Path, tmp_path: Path) -> None:
    def edit(record: dict[str, Any]) -> None:
        record["metrics"] |= {"psnr_capped": 0.0, "exact_noisy": 511.0, "images": 512.0, "psnr_images": 512.0}

    said = scoring.exact_said(quality(changed(folder, tmp_path / "run", edit)))
    assert said is not None
    assert said[0] == "511 of 512 test pictures are exact when noisy under gaussian(0.2)"
    assert "but count under gaussian(0.2), gaussian(0.4), salt_pepper(0.1) and others" in said[1]


def test_nothing_is_said_where_no_picture_is_exact(analysis: Analysis) -> None:
    assert scoring.exact_said(analysis.quality) is None
    assert scoring.mixed_said(analysis.quality) is None


def test_trials_of_an_older_version_beside_newer_ones_are_told(folder: Path, tmp_path: Path) -> None:
    def edit(record: dict[str, Any]) -> None:
        if record["cell"]["architecture"] == "conv":
            record["metrics"]["psnr_raw"] = record["metrics"]["psnr"]

    said = scoring.mixed_said(quality(changed(folder, tmp_path / "run", edit)))
    assert said is not None
    assert said[0] == "16 trials of 32 were scored by an older version"
    assert "(dense)" in said[1]
