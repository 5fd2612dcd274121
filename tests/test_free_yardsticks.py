"""What costs nothing beside the networks of a run: who does not beat it is said, and said first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import report
from report import free, sentences
from report.page import make_page
from report.quality import quality
from report.sentences import analyse
from report.yardstick_views import free_table, worth_charts, worth_table
from report.yardsticks import EQUAL, UNKNOWN, WORSE, worths
from results.loading import Run, load_run
from results.scores import read_scores
from results.statistics import mean_interval
from results.yardsticks import FREE
from tests import fake_run

MEDIAN = fake_run.NOISY_PSNR["gaussian(0.4)"] + 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has not asked for yardsticks: it has those that cost nothing."""
    made = fake_run.make_run(tmp_path_factory.mktemp("runs") / "fake", kinds=("trial", "yardstick"))
    records = [json.loads(line) for line in (made / "records.jsonl").read_text().splitlines()]
    write(made, [one for one in records if one["kind"] == "trial" or one["cell"]["method"] in FREE])
    return made


def write(folder: Path, records: list[dict[str, Any]]) -> None:
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def changed(folder: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Run:
    shutil.copytree(folder, target)
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    for record in records:
        change(record)
    write(target, records)
    return load_run(target)


def weakened(target: Path, lead: float, *where: tuple[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Gives trials at ``where`` under gaussian(0.4) so many dB more than the 3x3 median, the same on every image."""

    def change(record: dict[str, Any]) -> None:
        cell = record["cell"]
        if record["kind"] != "trial" or record["status"] != "ok" or cell["corruption"] != "gaussian(0.4)":
            return
        if all(cell[axis] == value for axis, value in where):
            key = str(sorted(cell.items(), key=str))
            record["scores"] = fake_run._image_scores(target, MEDIAN + lead, "gaussian(0.4)", key)
            record["metrics"]["psnr"] = MEDIAN + lead
            record["metrics"]["psnr_gain"] = 1.0 + lead

    return change


ONE = (("architecture", "dense"), ("latent", 16), ("loss", "mse"))


def said(run: Run) -> str:
    return next((one.sentence for one in sentences.findings(analyse(run)) if one.topic == "Worth"), "")


def test_where_all_beat_it_nothing_is_said(folder: Path) -> None:
    run = load_run(folder)
    found = worths(run)
    assert len(found) == 32
    assert all(one.scored and one.best_free.beaten for one in found)
    # Nothing was asked for: there is no rival that a sweep would have to ask for.
    assert not any(one.classical or one.linear for one in found)
    assert said(run) == ""
    assert not any(one.topic == "Yardsticks" for one in sentences.findings(analyse(run)))


def test_the_best_of_them_stands_beside_a_network_paired_by_image(folder: Path) -> None:
    run = load_run(folder)
    found, scored = worths(run), quality(run)
    for condition, configuration in scored.scores:
        rival = free.best_free(found, condition, configuration)
        assert rival is not None
        noisy = scored.scores[condition, configuration].noisy
        assert rival.psnr == pytest.approx(max(noisy + 1.0, 10.2))
    assert free.best_free(found, ("nowhere",), next(iter(scored.configurations))) is None
    one = found[0]
    assert [rival.name for rival in one.free] == ["median-3x3", "gaussian", "identity", "mean-image"]
    trials = [
        record
        for record in run.of("trial", "ok")
        if all(record["cell"][axis] == one.cell[axis] for axis in ("architecture", "latent", "loss", "corruption"))
    ]
    (median,) = (
        record
        for record in run.of("yardstick", "ok")
        if (record["cell"]["method"], record["cell"]["corruption"]) == ("median-3x3", one.cell["corruption"])
    )
    psnr = []
    for record in (*trials, median):
        scores = read_scores([run.folder], record["scores"])
        assert scores is not None
        psnr.append(scores[:, 0].astype(float))
    expected = mean_interval(np.mean(psnr[:-1], axis=0) - psnr[-1])
    assert one.best_free.gain.value == pytest.approx(expected.value)
    assert one.best_free.gain.low == pytest.approx(expected.low)
    assert one.best_free.images == fake_run.TEST


def test_a_network_that_does_not_beat_a_filter_is_said_not_to_first(folder: Path, tmp_path: Path) -> None:
    run = changed(folder, tmp_path / "one", weakened(tmp_path / "one", -0.56, *ONE))
    first = sentences.findings(analyse(run))[0]
    assert first.topic == "Worth"
    assert first.headline == "dense (latent 16, MSE) does not beat a 3x3 median filter under gaussian(0.4)"
    figures = f"{MEDIAN - 0.56:.2f} against {MEDIAN:.2f} dB (0.5"
    assert first.detail.startswith(figures)
    assert first.detail.endswith("; 512 test images)")
    assert " behind, 0." in first.detail
    (lost,) = free.not_beating(worths(run))
    assert lost.best_free.verdict == WORSE
    # At the top of the page as in the terminal.
    assert make_page(run).findings[0].topic == "Worth"


def test_a_lead_that_is_not_measurable_is_none(folder: Path, tmp_path: Path) -> None:
    run = changed(folder, tmp_path / "one", weakened(tmp_path / "one", 0.0, *ONE))
    (lost,) = free.not_beating(worths(run))
    assert lost.best_free.verdict == EQUAL
    assert "does not measurably beat a 3x3 median filter under gaussian(0.4): " in said(run)
    assert "no measurable difference, " in said(run)


def test_of_many_the_counts_and_the_worst_are_said(folder: Path, tmp_path: Path) -> None:
    run = changed(folder, tmp_path / "many", weakened(tmp_path / "many", -2.0, ("architecture", "conv")))
    found = said(run)
    what = "the best of noisy input, mean training image, 3x3 median filter and Gaussian filter"
    assert found.startswith(f"In 4 of 32 cases (4 of 8 networks), a network does not beat {what}: furthest behind are ")
    assert found.count(" behind, ") == 2
    assert found.endswith("; and 2 more (512 test images).")


def test_without_scores_there_is_no_interval_and_the_means_decide(folder: Path, tmp_path: Path) -> None:
    def bare(record: dict[str, Any]) -> None:
        weakened(tmp_path / "bare", -0.56, *ONE)(record)
        record.pop("scores", None)

    run = changed(folder, tmp_path / "bare", bare)
    assert {one.best_free.verdict for one in worths(run)} == {UNKNOWN}
    assert "(0.56 behind, no interval is known)" in said(run)


def test_without_yardsticks_the_noisy_input_is_known_all_the_same(folder: Path, tmp_path: Path) -> None:
    def bare(record: dict[str, Any]) -> None:
        if record["kind"] == "yardstick":
            record |= {"status": "skipped", "reason": "the budget ended before it"}
        elif record["status"] == "ok":
            shift = 9.0 if record["cell"]["architecture"] == "conv" else 0.0
            for end in ("", "_low", "_high"):
                record["metrics"][f"psnr_gain{end}"] -= shift

    run = changed(folder, tmp_path / "bare", bare)
    found = said(run)
    assert "(4 of 8 networks), a network does not beat the noisy input: " in found
    assert "of the noisy input (" in found
    page = make_page(run)
    assert page.free is page.worth is None


def test_the_report_always_shows_them(folder: Path, tmp_path: Path) -> None:
    run = changed(folder, tmp_path / "one", weakened(tmp_path / "one", -0.56, *ONE))
    found = worths(run)
    table = free_table(found)
    assert table.columns[1:5] == [
        "noisy input, dB", "mean training image, dB", "3x3 median filter, dB", "Gaussian filter, dB"
    ]  # fmt: skip
    rows = {row[0].note: row for row in table.rows}
    assert set(rows) == set(fake_run.QUICK.corruptions)
    row = rows["gaussian(0.4)"]
    assert [cell.text for cell in row[1:5]] == [f"{MEDIAN - 1:.2f}", "10.20", f"{MEDIAN:.2f}", f"{MEDIAN - 0.3:.2f}"]
    assert [cell.note for cell in row[1:5]] == ["", "", "best of these", ""]
    assert (row[-1].text, row[-1].kind) == ("1 of 8", "bad")
    assert rows["salt_pepper(0.1)"][-1].text == "0 of 8"
    each = worth_table(found)
    assert len(each.rows) == 32
    assert all(len(one) == len(each.columns) for one in each.rows)
    assert "best classical, dB" not in each.columns
    assert sum(row[-1].text == WORSE for row in each.rows) == 1
    assert worth_charts(found) == []
    html = report.write_report([tmp_path / "one"]).read_text()
    assert "What costs nothing, on the very same noisy images" in html
    assert "The linear optimum" not in html
