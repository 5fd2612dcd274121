"""Yardsticks as rows of a run: what is planned, run, resumed and recorded, and what the report makes of it."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_backend
import numpy as np
import pytest

import report
from bench import cli, cli_show, judging, progress, runner, trial
from bench.cells import TrialCell
from bench.estimate import estimate
from bench.lanes import Job, Lanes, Worker
from bench.plan import Plan, certificate_for, make_plan
from bench.process import REFERENCE
from bench.runner import Options
from bench.sweep import load_sweep
from bench.yardstick_plan import COSTLY, yardsticks_for
from bench.yardsticks import METHODS, PLAIN, TONED, YardstickCell, run_yardstick
from report import sentences, text
from report.page import make_page
from report.sentences import analyse
from report.yardstick_views import worth_charts, worth_table
from report.yardsticks import BETTER, UNKNOWN, WORSE, Yardsticks, said, worths
from results.journal import Journal, scan
from results.loading import Run, load_run
from results.schema import RecordError, validate
from results.scores import read_scores
from results.statistics import mean_interval
from tests import fake_run

CELL = TrialCell(backend="fake", track="idiomatic", architecture="dense", latent=4, height=12, width=12, train=64,
                 test=12, batch_size=32, epochs=1)  # fmt: skip


@pytest.fixture(autouse=True)
def _fake_backends(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


# -- the plan ------------------------------------------------------------------------------------------------------


def planned(folder: Path, *overrides: str) -> Plan:
    path = folder / "mine.toml"
    path.write_text(
        """
        axes.backend = ["fake", "other"]
        axes.architecture = "dense"
        axes.loss = ["mse", "bce"]
        [[grid]]
        latent = [8, 16]
        seed = [0, 1]
        refresh = [false, true]
        [[grid]]
        latent = 32
        clip = false
        """
    )
    return make_plan(load_sweep(path, overrides))


def test_what_costs_nothing_is_in_every_sweep(tmp_path: Path) -> None:
    cells = planned(tmp_path).yardsticks
    assert {(cell.seed, cell.clip) for cell in cells} == {(0, True), (1, True), (0, False)}
    assert [cell.method for cell in cells] == 3 * ["identity", "mean-image", "median-3x3", "gaussian"]
    # A mean image is of one size.
    assert [cell.method for cell in yardsticks_for([replace(CELL, evaluate="whole")], full=False)] == [
        "identity", "median-3x3", "gaussian"
    ]  # fmt: skip


def test_trials_are_projected_onto_their_images(tmp_path: Path) -> None:
    made = planned(tmp_path, "yardsticks=true")
    cells = made.yardsticks
    assert len(set(cells)) == len(cells)
    groups: dict[Any, list[YardstickCell]] = {}
    for cell in cells:
        groups.setdefault((cell.seed, cell.clip), []).append(cell)
    # Neither backend nor loss nor fresh noise changes what there is to denoise.
    assert set(groups) == {(0, True), (1, True), (0, False)}
    assert {cell.rank for cell in groups[1, True]} == {None, 8, 16}
    assert {cell.rank for cell in groups[0, False]} == {None, 32}
    assert {cell.method for cell in groups[0, False]} == {*PLAIN, "mean-image", "linear"}, (
        "without clipping there is no shift"
    )
    assert {cell.method for cell in groups[0, True]} == {*TONED, *PLAIN, "mean-image", "linear"} - set(COSTLY)
    borders = sum(a.noise != b.noise for a, b in itertools.pairwise(cells))
    assert borders == 2, "those of the same images stand together"


def test_ranks_are_those_of_codes_as_far_as_images_have_so_many() -> None:
    large = replace(CELL, latent=500)
    assert {cell.rank for cell in yardsticks_for([CELL, large, replace(CELL, latent=None)], full=True)} == {
        None,
        4,
        144,
    }
    # A matrix is made for images of one size.
    assert {(cell.rank, cell.evaluate) for cell in yardsticks_for([replace(CELL, evaluate="whole")], full=True)} == {
        (None, "whole")
    }


def test_they_are_in_the_estimate_and_in_what_a_dry_run_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without, made = planned(tmp_path), planned(tmp_path, "yardsticks=true")
    one, two = estimate(without), estimate(made)
    assert 0 < one.yardsticks < 30
    assert two.yardsticks > 30
    assert two.total == pytest.approx(one.total - one.yardsticks + two.yardsticks)
    cli_show.plan(made, tmp_path, 1)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"yardsticks: {len(made.yardsticks)} on 3 noisy sets of images: identity, mean-image" in shown
    assert "linear optimum of rank 8, 16, 32" in shown
    cli_show.plan(without, tmp_path, 1)
    shown = " ".join(capsys.readouterr().out.split())
    assert "yardsticks: 12 on 3 noisy sets of images: identity, mean-image, median-3x3, gaussian" in shown
    assert "linear" not in shown


def test_copies_of_the_training_set_leave_the_test_images_as_they_are() -> None:
    clean = trial.load_clean(CELL)
    once, twice = trial.corrupted(CELL, clean), trial.corrupted(replace(CELL, repeats=2), clean)
    assert once.digest != twice.digest
    assert once.test_digest == twice.test_digest
    assert once.test_digest != trial.corrupted(replace(CELL, seed=1), clean).test_digest


# -- the run -------------------------------------------------------------------------------------------------------

QUIET = Options(progress=False, jobs=1)


def plan(*trials: TrialCell, methods: tuple[str, ...] = ("identity", "gaussian", "linear")) -> Plan:
    cells = tuple(cell for cell in yardsticks_for(trials, full=True) if cell.method in methods)
    return Plan("test", "", {}, tuple(dict.fromkeys(map(certificate_for, trials))), trials, (), (), cells)


def records(folder: Path) -> list[dict[str, Any]]:
    found = scan(folder / "records.jsonl").records
    for record in found:
        validate(record)
    return found


def test_a_run_scores_them_once_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    what = plan(CELL)
    part = replace(what, yardsticks=what.yardsticks[:1])
    assert runner.run(part, tmp_path, QUIET).counts == {"ok": 3}
    outcome = runner.run(what, tmp_path, QUIET)
    assert (outcome.counts, outcome.ran) == ({"ok": 5}, 2)
    assert runner.run(what, tmp_path, QUIET).ran == 0

    kept_records = records(tmp_path)
    assert Counter(record["kind"] for record in kept_records) == {"certificate": 1, "trial": 1, "yardstick": 3}
    (trained,) = (record for record in kept_records if record["kind"] == "trial")
    found = {record["cell"]["method"]: record for record in kept_records if record["kind"] == "yardstick"}
    assert found["linear"]["cell"]["rank"] == 4
    for record in found.values():
        assert "backend" not in record["cell"]
        for name in ("data", "noisy_test"):
            assert record["hashes"][name] == trained["hashes"][name]
        assert record["pictures"]["noisy"] == trained["pictures"]["noisy"]
        scores = read_scores([tmp_path], record["scores"])
        assert scores is not None
        assert scores.shape == (12, 3)
        assert scores[:, 2].mean() == pytest.approx(record["metrics"]["psnr_noisy"], abs=1e-4)
        assert scores[:, 0].mean() == pytest.approx(record["metrics"]["psnr"], abs=1e-4)
    # Only the matrix needs the noise of all training images.
    assert found["linear"]["hashes"]["noisy"] == trained["hashes"]["noisy"]
    assert "noisy" not in found["gaussian"]["hashes"]
    assert found["identity"]["metrics"]["psnr"] == trained["metrics"]["psnr_noisy"]
    assert found["gaussian"]["calibration"]["parameters"]["sigma"] > 0
    about = json.loads((tmp_path / "run.json").read_text())
    assert about["planned"]["yardstick"] == 3
    assert "gaussian glyphs gaussian(0.4)  psnr" in progress.describe(found["gaussian"])
    assert "linear rank=4" in progress.describe(found["linear"])

    (one,) = worths(load_run(tmp_path))
    assert one.classical is not None
    assert one.classical.name == "gaussian"
    assert one.linear is not None
    gain = trained["metrics"]["psnr"] - found["linear"]["metrics"]["psnr"]
    assert one.linear.gain.value == pytest.approx(gain, abs=1e-4)


def test_a_worker_that_has_trained_scores_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Noted(Worker):
        def __init__(self, backend: str, *rest: Any) -> None:
            started.append(backend)
            super().__init__(backend, *rest)

    monkeypatch.setattr("bench.lanes.Worker", Noted)
    what = plan(CELL)
    what = replace(what, yardsticks=tuple(yardsticks_for([CELL], full=False)))
    assert runner.run(what, tmp_path / "a", QUIET).counts == {"ok": 6}
    assert set(started) == {"fake"}, "no process is started for them"
    started.clear()
    # Much work is shared out among workers of its own.
    monkeypatch.setattr(judging, "SHORT_WORK", 0.0)
    assert runner.run(what, tmp_path / "b", QUIET).counts == {"ok": 6}
    assert REFERENCE in started
    # Nobody is there where the trials were done before.
    monkeypatch.setattr(judging, "SHORT_WORK", 100.0)
    started.clear()
    assert runner.run(replace(what, trials=(), certificates=()), tmp_path / "c", QUIET).counts == {"ok": 4}
    assert started == [REFERENCE]
    rows = [{r["cell"]["method"]: r["metrics"]["psnr"] for r in records(tmp_path / name) if r["kind"] == "yardstick"}
            for name in "abc"]  # fmt: skip
    assert rows[0] == rows[1] == rows[2]


def test_trials_leave_the_yardsticks_what_they_need_of_a_budget(tmp_path: Path) -> None:
    what = replace(plan(CELL), yardsticks=tuple(yardsticks_for([CELL], full=False)))

    def share(budget: float | None, asked: Plan) -> float:
        with Journal(tmp_path) as journal:
            return runner._Run(asked, tmp_path, journal, replace(QUIET, budget=budget), [])._yardstick_share()

    assert share(None, what) == share(100.0, replace(what, yardsticks=())) == 0
    assert 0 < share(600.0, what) < 0.01, "what costs nothing takes nothing"
    assert share(600.0, replace(what, yardsticks=plan(CELL, methods=tuple(METHODS)).yardsticks)) < 0.3
    assert share(1.0, what) == runner.YARDSTICK_SHARE


def test_what_can_not_be_scored_has_a_record_that_says_why(tmp_path: Path) -> None:
    what = plan(CELL, methods=("gaussian", "linear"))
    few = [replace(cell, train=10) for cell in what.yardsticks if cell.method == "linear"]
    missing = [replace(cell, dataset="folder:/no/such/folder") for cell in what.yardsticks if cell.method != "linear"]
    what = replace(what, certificates=(), trials=(), yardsticks=(*few, *missing, what.yardsticks[0]))
    assert runner.run(what, tmp_path, QUIET).counts == {"unsupported": 1, "crashed": 1, "ok": 1}
    (found,) = (record for record in records(tmp_path) if record["cell"]["train"] == 10)
    assert (found["status"], found["stderr"]) == ("unsupported", None)
    assert found["reason"] == "yardstick linear needs at least 20 training images; there are 10"


def test_a_method_without_a_setting_for_the_images_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = (cell for cell in plan(CELL).yardsticks if cell.method == "gaussian")
    monkeypatch.setitem(METHODS, "gaussian", replace(METHODS["gaussian"], allowed=lambda parameters, shape: False))
    for one in (cell, replace(cell, dataset="photos", evaluate="whole")):
        found = run_yardstick(one, tmp_path)
        assert (found["status"], found["metrics"]) == ("unsupported", {})
        assert found["reason"] == "yardstick gaussian has no setting for images of 12x12 pixels"


def test_few_images_of_a_folder_are_no_failure_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "images", "glyphs", "few", "--train", "12", "--test", "6"]) == 0
    (tmp_path / "few.toml").write_text(
        """
        yardsticks = true
        trial_track = "idiomatic"
        timing.rounds = 0
        [axes]
        backend = "fake"
        architecture = "dense"
        latent = 4
        dataset = "folder:few"
        size = 12
        batch_size = 6
        epochs = 1
        """
    )
    assert cli.main(["run", "few.toml", "--out", "run", "--jobs", "1"]) == 0, capfd.readouterr()
    counts = Counter(record["status"] for record in records(tmp_path / "run") if record["kind"] == "yardstick")
    assert counts["unsupported"] == 1, "the matrix"
    assert set(counts) == {"ok", "unsupported"}


def test_a_budget_leaves_them_out_with_the_reason(tmp_path: Path) -> None:
    what = replace(plan(CELL), certificates=(), trials=())
    outcome = runner.run(what, tmp_path, replace(QUIET, budget=0.001))
    assert outcome.counts == {"skipped": 3}
    assert outcome.skipped == {"the budget of 0s ended before it": 3}
    assert runner.run(what, tmp_path, QUIET).counts == {"ok": 3}


def test_a_lane_goes_on_with_the_images_that_it_has(tmp_path: Path) -> None:
    cells = [replace(cell, seed=seed) for seed in (0, 1) for cell in plan(CELL).yardsticks]
    jobs = [Job(cell, "yardstick", 1.0, backend=REFERENCE, near=cell.noise) for cell in cells]
    lanes = Lanes(jobs, pools=[[0], [0]], logs=tmp_path)
    first = lanes._take(0)
    lanes._spent[jobs[0].queue] = [60.0]  # enough is left for a second lane
    second = lanes._take(1)
    taken = [lanes._take(lane) for lane in (0, 1, 1, 0)]
    assert first == jobs[0]
    assert second == jobs[3]
    assert taken == [jobs[1], jobs[4], jobs[5], jobs[2]]


# -- records and report --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run.make_run(tmp_path_factory.mktemp("runs") / "fake", kinds=("trial", "yardstick"))


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return load_run(folder)


def changed(folder: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Run:
    """A copy of a run whose records went through ``change``."""
    shutil.copytree(folder, target)
    made = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    for record in made:
        change(record)
    (target / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in made))
    return load_run(target)


@pytest.mark.parametrize(("kind", "axis"), [("yardstick", "rank"), ("yardstick", "clip"), ("trial", "backend")])
def test_every_kind_has_its_axes(run: Run, kind: Any, axis: str) -> None:
    record = json.loads(json.dumps(run.of(kind, "ok")[0]))
    validate(record)
    del record["cell"][axis]
    with pytest.raises(RecordError, match=axis):
        validate(record)


def test_networks_stand_beside_the_yardsticks_of_their_images(run: Run) -> None:
    found = worths(run)
    # Two networks, four corruptions, two codes, two losses; backends are averaged.
    assert len(found) == 32
    one = next(one for one in found if one.label == "conv (latent 16, MSE) on glyphs, gaussian(0.4)")
    assert one.classical is not None
    assert one.linear is not None
    assert (one.classical.name, one.linear.name) == ("nlm-tone", "linear, rank 16")
    assert one.classical.psnr == pytest.approx(one.noisy + 3)
    trials = [
        record for record in run.of("trial", "ok")
        if all(record["cell"][name] == one.cell[name] for name in ("architecture", "latent", "loss", "corruption"))
    ]  # fmt: skip
    (linear,) = (
        record for record in run.of("yardstick")
        if record["cell"]["rank"] == 16 and record["cell"]["corruption"] == "gaussian(0.4)"
    )  # fmt: skip
    assert len(trials) > 1
    network = np.mean([np.load(run.folder / record["scores"])[:, 0].astype(float) for record in trials], axis=0)
    expected = mean_interval(network - np.load(run.folder / linear["scores"])[:, 0])
    assert one.linear.gain.value == pytest.approx(expected.value)
    assert one.linear.gain.low == pytest.approx(expected.low)
    # Paired: the spread of the images, 1.4 dB, is not in it.
    assert one.linear.gain.high - one.linear.gain.low < 0.1
    assert one.linear.verdict == BETTER
    assert {rival.verdict for one in found for rival in [one.linear] if rival} >= {BETTER, WORSE}


def test_names_decide_nothing_and_hashes_all(run: Run, folder: Path, tmp_path: Path) -> None:
    def other_noise(record: dict[str, Any]) -> None:
        if record["kind"] == "yardstick" and record["cell"]["corruption"] == "gaussian(0.4)":
            record["hashes"] |= {"noisy": "0" * 16, "noisy_test": "1" * 16}

    found = [one for one in worths(changed(folder, tmp_path / "other", other_noise)) if one.scored]
    assert len(found) == 24
    assert all(one.corruption != "gaussian(0.4)" for one in found)

    def copies(record: dict[str, Any]) -> None:
        """More noise for training, the same test images."""
        if record["kind"] == "trial" and "hashes" in record:
            record["hashes"]["noisy"] = "2" * 16

    assert sum(one.scored for one in worths(changed(folder, tmp_path / "copies", copies))) == 32
    trial_record = run.of("trial", "ok")[0]
    assert ("identity", None) in Yardsticks(run).of(trial_record)
    assert Yardsticks(run).of({**trial_record, "hashes": {}}) == {}


def test_seeds_are_averaged_each_with_the_yardstick_of_its_own_noise(tmp_path: Path) -> None:
    size = replace(fake_run.QUICK, seeds=(0, 1, 2), corruptions=("gaussian(0.4)",), architectures=("dense",))
    run = load_run(fake_run.make_run(tmp_path, size, ("trial", "yardstick")))
    found = worths(run)
    assert {one.seeds for one in found} == {3}
    assert all(one.linear is not None and one.linear.gain.known for one in found)


def test_without_scores_nothing_is_said_for_certain(folder: Path, tmp_path: Path) -> None:
    run = changed(folder, tmp_path / "bare", lambda record: record.pop("scores", None) and None)
    found = worths(run)
    assert {rival.verdict for one in found for rival in (one.linear, one.classical) if rival} == {UNKNOWN}
    assert all(one.linear is not None and one.linear.gain.value == pytest.approx(one.psnr - one.linear.psnr)
               for one in found)  # fmt: skip


def test_scores_outside_the_run_or_of_another_kind_are_not_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    np.save(tmp_path / "scores" / "flat.npy", np.zeros(5))
    np.save(tmp_path / "scores" / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "scores" / "good.npy", np.ones((3, 2), np.float32))
    (tmp_path / "scores" / "broken.npy").write_bytes(b"\x93NUMPY")
    inside = tmp_path / "scores"
    assert read_scores([tmp_path], "scores/good.npy") is not None
    for name in ("flat", "objects", "broken", "absent"):
        assert read_scores([tmp_path], f"scores/{name}.npy") is None
    assert read_scores([inside / "deeper"], "../good.npy") is None


def test_the_report_says_what_the_networks_are_worth(run: Run, folder: Path) -> None:
    analysis = analyse(run)
    (finding,) = (found for found in sentences.findings(analysis) if found.topic == "Yardsticks")
    beaten = sum(one.linear is not None and one.linear.verdict == BETTER for one in analysis.worths)
    assert f"In {beaten} of 32 cases, a network beats the best linear denoiser of its rank" in finding.sentence
    assert "the best classical denoiser (nlm-tone) is beaten in" in finding.sentence
    (one,) = (
        one for one in analysis.worths if one.label == "conv (latent 16, MSE) on glyphs, salt_pepper(0.3)"
    )  # fmt: skip
    assert one.classical is not None
    alone = said([one])
    assert alone is not None
    assert alone[0].startswith(f"{one.label} beats the best linear denoiser of its rank, by +1.")
    assert said([replace(one, linear=None)]) == (f"{one.label} beats the best classical denoiser (nlm-tone), by "
                                                 f"{text.decibels(one.classical.gain)}", "")  # fmt: skip
    assert said([replace(one, linear=None, classical=None)]) is None

    table = worth_table(analysis.worths)
    assert len(table.rows) == 32
    assert {row[-1].text for row in table.rows} >= {"better", "worse"}
    shown = worth_charts(analysis.worths)
    assert [chart.title for chart in shown] == [f"glyphs, {name}" for name in sorted(fake_run.QUICK.corruptions)]
    assert "at 16, " in shown[0].summary
    assert "noisy input 15.40 dB" in shown[0].summary

    html = report.write_report([folder]).read_text()
    assert "What the networks are worth" in html
    assert 'href="#worth"' in html
    group = make_page(run).pictures[0]
    labels = [strip.label for strip in group.strips]
    assert labels[:4] == ["clean", "noisy", "nlm-tone", f"linear, rank {64 if 'latent 64' in group.title else 16}"]


def test_a_run_without_yardsticks_has_no_such_section(tmp_path: Path) -> None:
    run = load_run(fake_run.make_run(tmp_path, kinds=("trial",)))
    found = worths(run)
    assert not any(one.scored or one.classical or one.linear for one in found)
    # The noisy input is known all the same, and its paired lead.
    assert [rival.name for rival in found[0].free] == ["identity"]
    page = make_page(run)
    assert page.worth is page.free is None
    assert not any(found.topic in ("Worth", "Yardsticks") for found in page.findings)


def test_a_cell_that_failed_is_listed_like_any_other(folder: Path, tmp_path: Path) -> None:
    def fail(record: dict[str, Any]) -> None:
        if record["kind"] == "yardstick" and record["cell"]["method"] == "median":
            record |= {"status": "crashed", "reason": "the cat sat on it", "stderr": "Traceback"}

    page = make_page(changed(folder, tmp_path / "failed", fail))
    assert page.statuses is not None
    assert page.missing is not None
    rows = [[cell.text for cell in row] for row in page.statuses.rows]
    assert ["yardstick", "–", "median", "glyphs, gaussian(0.2), seed 0", "crashed"] in [row[:5] for row in rows]
    assert any(row[0].text == "yardstick" and row[3].text == "–" for row in page.missing.rows)
    assert any(title.startswith("yardstick: –, median") for title, _ in page.errors)
