"""The recommendation of a run: the rule, what it says of margins and of what was not tried, and how it is used."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import report
from bench import cli, kept
from bench.cells import TrialCell
from bench.datasets import DataError
from bench.plan import make_plan
from bench.quality import Scores
from bench.sweep import SweepError, load_sweep
from report import sentences
from report.advice import Advice
from report.page import make_page
from report.sentences import analyse
from results.journal import Journal, write_run_file
from results.loading import load_run, merge
from tests import fake_run

IMAGES = 40
NOISES = ("gaussian(0.2)", "salt_pepper(0.2)")
NOISY = 12.0


class Runs:
    """A run in the making: trials with the scores of every image, timings with rates by round, certificates."""

    def __init__(self, folder: Path, name: str = "advise") -> None:
        self.folder, self.name = folder, name
        self.records: list[dict[str, Any]] = []
        self._common = np.random.default_rng(0).normal(0, 2, IMAGES)  # all networks find the same images hard

    def trial(
        self, architecture: str, latent: int, psnr: float, *, backend: str = "torch", noise: float = 0.05,
        corruptions: tuple[str, ...] = NOISES, weights: bool = True, status: str = "ok", reason: str | None = None,
        **other: Any,
    ) -> Runs:  # fmt: skip
        for corruption in corruptions:
            axes = self._axes(backend, "tuned", architecture, latent) | other
            cell = TrialCell(**axes, dataset="photos", train=64, test=IMAGES, corruption=corruption, keep_weights=True)
            if status != "ok":
                self._add("trial", cell.axes(), cell.key(), status=status, reason=reason)
                continue
            draw = np.random.default_rng(abs(hash((architecture, latent, corruption))) % 2**32)
            values = psnr + self._common + draw.normal(0, noise, IMAGES)
            values += psnr - values.mean()
            path = kept.save_scores(Scores(values, values / 40, values / 40, values * 0), self.folder)
            half = 2 * float(values.std(ddof=1)) / IMAGES**0.5
            metrics = fake_run._summary("psnr", psnr, NOISY, half, 1.0)
            parts: dict[str, Any] = {"metrics": metrics, "scores": path, "hashes": {"data": "d" * 16}}
            if weights:
                parts["weights"] = f"weights/{cell.key()}.safetensors"
            self._add("trial", cell.axes(), cell.key(), **parts)
        return self

    def timing(self, architecture: str, latent: int, rate: float, *, backend: str = "torch", track: str = "tuned",
               spread: float = 0.005, inference: float = 3.0, **other: Any) -> Runs:  # fmt: skip
        axes = self._axes(backend, track, architecture, latent) | other
        draw = np.random.default_rng(len(self.records))
        rounds = []
        for number in range(5):
            own = rate * float(np.exp(draw.normal(0, spread)))
            blocks = [[1000, 1000 / own]] * 3
            rounds.append({"round": number, "train": blocks, "inference": [[1000, 1000 / (inference * own)]] * 3})
        rates = {"train_samples_per_second": rate, "inference_samples_per_second": inference * rate}
        metrics = {f"{name}{end}": value for name, value in rates.items() for end in ("", "_low", "_high")}
        self._add("timing", axes, f"t{len(self.records)}", session="s", metrics=metrics, samples={"rounds": rounds})
        check = {"quantity": "loss", "deviation": 1e-9, "tolerance": 1e-6, "tensor": None, "ok": True}
        self._add("certificate", axes, f"c{len(self.records)}", checks=[check], metrics={})
        return self

    def advice(self) -> Advice | None:
        with Journal(self.folder) as journal:
            for record in self.records:
                journal.append(record)
        write_run_file(
            self.folder,
            {
                "schema": 1, "name": self.name, "description": "", "created": "2026-03-01T10:00:00Z", "command": "",
                "sweep": {}, "environments": {}, "planned": {}, "finished": None, "notes": [],
            },
        )  # fmt: skip
        return analyse(load_run(self.folder)).advice

    def _axes(self, backend: str, track: str, architecture: str, latent: int) -> dict[str, Any]:
        return fake_run.cell(backend, track, architecture, latent, "mse")

    def _add(self, kind: str, axes: dict[str, Any], key: str, **parts: Any) -> None:
        status = parts.pop("status", "ok")
        made = fake_run.record(kind, axes, status, parts.pop("reason", None), **parts)
        made["id"] = f"{key}-{made['fingerprint']}"
        self.records.append(made)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.chdir(tmp_path)
    return Runs(tmp_path / "results" / "advise")


def facts(advice: Advice | None) -> dict[str, str]:
    assert advice is not None
    return dict(advice.facts)


# -- the rule ------------------------------------------------------------------------------------------------------


def test_clearly_better_wins_however_slow(run: Runs) -> None:
    run.trial("dense", 32, 18.0).trial("conv", 32, 19.0).timing("dense", 32, 9000).timing("conv", 32, 900)
    advice = run.advice()
    assert advice is not None
    assert advice.headline == "Take conv (latent 32, MSE) with torch, tuned track"
    # Single means are known to within 0.6 dB; differences on the same images to within 0.02 dB.
    assert "+7.00 dB" in facts(advice)["Quality"]
    assert "next: dense (latent 32, MSE), 1.00 dB (0.9" in facts(advice)["Quality"]


def test_a_better_one_that_was_not_timed_is_not_called_slower(run: Runs) -> None:
    run.trial("dense", 32, 18.95).trial("conv", 32, 19.0).timing("dense", 32, 9000)
    advice = run.advice()
    assert advice is not None
    assert advice.headline == "Take dense (latent 32, MSE) with torch, tuned track"
    assert "behind conv (latent 32, MSE), which was not timed: surely below 0.1 dB" in facts(advice)["Quality"]


def test_of_equals_the_fastest_is_taken(run: Runs) -> None:
    """0.05 dB are known for certain, and nobody sees them."""
    run.trial("dense", 32, 18.95).trial("conv", 32, 19.0).timing("dense", 32, 9000).timing("conv", 32, 900)
    advice = run.advice()
    assert advice is not None
    assert advice.headline == "Take dense (latent 32, MSE) with torch, tuned track"
    said = facts(advice)
    assert "0.05 dB (0.0" in said["Quality"]
    assert "behind conv (latent 32, MSE), which trains more slowly: surely below 0.1 dB" in said["Quality"]
    assert "9.99 [9." in said["Speed"]
    assert "times that of conv (latent 32, MSE), which is as good" in said["Speed"]


def test_differences_that_are_not_known_are_no_reason(run: Runs) -> None:
    run.trial("dense", 32, 18.7, noise=3.0).trial("conv", 32, 19.0, noise=3.0)
    run.timing("dense", 32, 9000).timing("conv", 32, 900)
    advice = run.advice()
    assert advice is not None
    assert "dense" in advice.headline
    assert "no measurable difference from conv (latent 32, MSE), which trains more slowly" in facts(advice)["Quality"]


def test_of_equals_whose_speed_is_not_told_apart_the_better_is_taken(run: Runs) -> None:
    run.trial("dense", 32, 18.95).trial("conv", 32, 19.0)
    run.timing("dense", 32, 1000, spread=0.2).timing("conv", 32, 990, spread=0.2)
    advice = run.advice()
    assert advice is not None
    assert "conv" in advice.headline


def test_the_framework_is_the_fastest_on_that_network(run: Runs) -> None:
    run.trial("conv", 32, 19.0).trial("conv", 32, 19.0, backend="keras[tensorflow]")
    run.timing("conv", 32, 1000).timing("conv", 32, 500, track="idiomatic")
    run.timing("conv", 32, 2000, backend="keras[tensorflow]")
    advice = run.advice()
    assert advice is not None
    assert advice.headline.endswith("with keras[tensorflow], tuned track")
    assert "times the rate of torch tuned, the next" in facts(advice)["Speed"]
    # Its own trained network, in its own form.
    mine = [r["id"][:16] for r in run.records if r["kind"] == "trial" and r["cell"]["backend"].startswith("keras")]
    assert [line for _, line in advice.commands if "export" in line] == [
        f"daebench export {identity} --to keras" for identity in mine
    ]
    assert [line for _, line in advice.commands if "denoise" in line] == [
        f"daebench denoise IMAGE... --record {identity} -o DIR" for identity in mine
    ]


def test_of_leaders_that_share_a_rank_the_one_that_infers_faster(run: Runs) -> None:
    run.trial("conv", 32, 19.0)
    run.timing("conv", 32, 1000, spread=0.1).timing("conv", 32, 1001, spread=0.1, track="idiomatic", inference=9)
    advice = run.advice()
    assert advice is not None
    assert advice.headline.endswith("torch, idiomatic track")
    assert "(not told apart)" in facts(advice)["Speed"]
    assert "(not told apart)" in facts(advice)["Speed"]
    assert "the next" not in facts(advice)["Speed"], "what it is taken before may well train faster"


def test_speed_of_another_code_size_is_said_to_be_that(run: Runs) -> None:
    run.trial("conv", 128, 19.0).trial("conv", 32, 17.0).timing("conv", 32, 1000)
    advice = run.advice()
    assert "latent 128" in (advice.headline if advice else "")
    assert "timed with a code of 32" in facts(advice)["Speed"]


def test_a_network_has_the_speed_at_which_it_was_trained(run: Runs) -> None:
    """Two sizes of the batch, and one of them timed on two threads too: each is judged by its own rate."""
    run.trial("conv", 32, 18.97, batch_size=32).trial("conv", 32, 19.0, batch_size=128)
    run.timing("conv", 32, 500, batch_size=32).timing("conv", 32, 9000, batch_size=128, threads=2)
    run.timing("conv", 32, 2000, batch_size=128)
    advice = run.advice()
    assert advice is not None
    assert advice.headline.startswith("Take conv (latent 32, MSE, batch 128) with torch")
    said = facts(advice)["Speed"]
    assert said.startswith("trains 2,0")
    assert "images/s (1 thread, batch 128)" in said
    assert "times that of conv (latent 32, MSE, batch 32), which is as good" in said
    assert "; 1.00 [" not in said


def test_networks_that_were_timed_as_one_have_no_ratio(run: Runs) -> None:
    run.trial("conv", 32, 18.97).trial("conv", 128, 19.0).timing("conv", 32, 1000)
    advice = run.advice()
    assert "which is as good" not in facts(advice)["Speed"]


def test_without_times_of_inference_the_first_of_the_leaders_is_taken(run: Runs) -> None:
    run.trial("conv", 32, 19.0).timing("conv", 32, 2000).timing("conv", 32, 1900, backend="jax")
    for record in run.records:
        if record["kind"] == "timing":
            record["metrics"] = {n: v for n, v in record["metrics"].items() if "inference" not in n}
            record["samples"] = {"rounds": [{n: v for n, v in one.items() if n != "inference"}
                                            for one in record["samples"]["rounds"]]}  # fmt: skip
    advice = run.advice()
    assert advice is not None
    assert advice.headline.endswith("with torch, tuned track")


def test_commands_say_where_the_record_is_unless_it_is_found_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, told in (
        (tmp_path / "results" / "here", ""),
        (tmp_path / "results" / "published" / "here", ""),
        (tmp_path / "other" / "results" / "there", f" --run {tmp_path}/other/results/there"),
        (tmp_path / "my run's", f" --run '{tmp_path}/my run'\"'\"'s'"),
    ):
        runs = Runs(folder).trial("dense", 32, 19.0).timing("dense", 32, 1000)
        advice = runs.advice()
        assert advice is not None
        assert {line.partition(" --to torch")[2] for _, line in advice.commands if "export" in line} == {told}


def test_commands_of_several_runs_name_the_run_of_each_record(tmp_path: Path) -> None:
    one = Runs(tmp_path / "one").trial("dense", 32, 17.0).timing("dense", 32, 1000)
    two = Runs(tmp_path / "two").trial("conv", 32, 19.0).timing("conv", 32, 1000)
    assert one.advice()
    assert two.advice()
    for runs in (one, two):
        for record in runs.records:
            if "weights" in record:
                (runs.folder / "weights").mkdir(exist_ok=True)
                (runs.folder / record["weights"]).write_bytes(b"")
    found = analyse(merge([load_run(one.folder), load_run(two.folder)])).advice
    assert found is not None
    assert found.headline.startswith("Take conv")
    assert {line.partition(" --run ")[2] for _, line in found.commands} == {str(two.folder)}


def test_images_that_are_not_the_same_are_not_ranked_together(run: Runs) -> None:
    run.trial("dense", 32, 18.0).trial("conv", 32, 19.0).timing("dense", 32, 9000).timing("conv", 32, 900)
    for record in run.records:
        if record["kind"] == "trial":
            record["hashes"] = {"data": record["cell"]["architecture"]}
    assert run.advice() is None, "each of the two sets of images has a recommendation of its own"


def test_nothing_is_recommended_that_does_not_help(run: Runs) -> None:
    run.trial("dense", 32, NOISY - 1).timing("dense", 32, 1000)
    advice = run.advice()
    assert advice is not None
    assert advice.headline.startswith("Nothing can be recommended: no network gains measurably")
    assert advice.commands == ()


def test_without_timing_or_weights_it_says_so(run: Runs) -> None:
    run.trial("dense", 32, 18.0, weights=False)
    advice = run.advice()
    assert advice is not None
    assert advice.headline == "Take dense (latent 32, MSE)"
    assert facts(advice)["Quality"].endswith("; no other network was trained under all of it")
    assert "not measured" in facts(advice)["Speed"]
    assert "keep_weights = true" in facts(advice)["To use it"]


def test_what_was_not_tried_is_said(run: Runs) -> None:
    run.trial("dense", 32, 18.0).timing("dense", 32, 1000)
    run.trial("conv", 128, 0, status="skipped", reason="the budget of 4 min ended before it")
    run.trial("strided", 1, 0, status="unsupported", reason="strided: a 30x30x1 image comes back as 32x32x1; images")
    said = facts(run.advice())
    assert said["Not tried"] == (
        "2 trials for want of budget (so conv (128) did not take part); the same command goes on"
    )
    assert "30x30x1" in said["Not possible"]


def test_those_that_do_not_gain_are_no_choice(run: Runs) -> None:
    run.trial("dense", 32, NOISY - 1).trial("conv", 32, 18.0).timing("dense", 32, 9000).timing("conv", 32, 900)
    advice = run.advice()
    assert "conv" in (advice.headline if advice else "")
    assert facts(advice)["Quality"].endswith("; no other network gains")


def test_no_trial_at_all(run: Runs) -> None:
    run.timing("dense", 32, 1000)
    advice = run.advice()
    assert advice is not None
    assert "a larger --budget" in advice.headline


# -- where it is shown ---------------------------------------------------------------------------------------------


def test_the_report_of_advise_opens_with_it(run: Runs) -> None:
    run.trial("dense", 32, 18.0).trial("conv", 32, 19.0).timing("dense", 32, 9000).timing("conv", 32, 900).advice()
    loaded = load_run(run.folder)
    page = make_page(loaded)
    assert page.advice is not None
    assert sentences.findings(analyse(loaded))[0].topic == sentences.ADVICE
    assert sentences.ADVICE not in [found.topic for found in page.findings], "it has a place of its own"
    published = report.publish([run.folder])
    html = published.path.read_text()
    assert html.index('id="advice"') < html.index('id="findings"')
    assert "Take conv (latent 32, MSE)" in html
    assert f"daebench export {run.records[2]['id'][:16]} --to torch" in html
    assert published.commands == list(page.advice.commands)


def test_other_runs_have_it_behind_the_findings(tmp_path: Path) -> None:
    other = Runs(tmp_path / "mine", "mine")
    advice = other.trial("dense", 32, 18.0).timing("dense", 32, 9000).advice()
    assert advice is not None
    assert all(line.endswith(f" --run {tmp_path / 'mine'}") for _, line in advice.commands)
    loaded = load_run(other.folder)
    assert sentences.ADVICE not in [found.topic for found in sentences.findings(analyse(loaded))]
    published = report.publish([other.folder])
    assert published.commands == []
    html = published.path.read_text()
    assert html.index('id="findings"') < html.index('id="advice"')


@pytest.mark.parametrize("what", ["trials", "timings"])
def test_other_runs_without_trials_or_timings_recommend_nothing(tmp_path: Path, what: str) -> None:
    other = Runs(tmp_path / "mine", "mine")
    other.trial("dense", 32, 18.0) if what == "trials" else other.timing("dense", 32, 9000)
    assert other.advice() is None


# -- the sweep -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(12):
        data = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (40, 40), np.uint8)).save(data, "PNG")
        (folder / f"{number}.png").write_bytes(data.getvalue())
    return folder


def test_advise_takes_what_fits_and_what_there_is(pictures: Path) -> None:
    plan = make_plan(load_sweep("advise", [f"dataset=folder:{pictures}", "size=30"]))
    assert {cell.architecture for cell in plan.trials} == {"dense", "conv", "conv-residual(3,16)"}
    left_out = [(cell, reason) for cell, reason in plan.unsupported if cell.architecture == "strided"]
    assert left_out
    assert all("30x30" in reason for _, reason in left_out)
    (counts,) = {(cell.train, cell.test) for cell in plan.trials}
    assert sum(filter(None, counts)) == 12, "of fewer images all are taken"
    assert all(cell.keep_weights for cell in plan.trials)
    assert {cell.backend for cell in plan.trials} >= {"torch", "keras[tensorflow]"}
    timed = {(cell.backend, cell.track) for session in plan.sessions for cell in session.cells}
    assert len(timed) == 4


def test_files_that_can_not_be_read_are_named_before_a_run(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "torn[1].png").write_bytes((pictures / "0.png").read_bytes()[:100])
    name = f"folder:{pictures}"
    plan = make_plan(load_sweep("advise", [f"dataset={name}"]))
    (note,) = plan.notes
    assert note.startswith(f"{name}: torn[1].png could not be read")
    assert cli.main(["run", "advise", "--set", f"dataset={name}", "--dry-run"]) == 0
    assert "torn[1].png could not be read" in capsys.readouterr().out.replace("\n", " ")


def test_few_pictures_are_no_complaint_about_a_value_that_nobody_typed(pictures: Path) -> None:
    name = f"folder:{pictures}"
    for number in range(4, 12):
        (pictures / f"{number}.png").unlink()
    plan = make_plan(load_sweep("advise", [f"dataset={name}"]))
    assert {(cell.train, cell.test) for cell in plan.trials} == {(2, 2)}
    (pictures / "3.png").unlink()
    with pytest.raises(DataError, match="at least 4 readable images in"):
        make_plan(load_sweep("advise", [f"dataset={name}"]))


def test_a_sweep_that_does_not_say_so_is_refused_as_before(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('axes.architecture = ["dense", "strided"]\naxes.size = 30\naxes.dataset = "photos"\n')
    with pytest.raises(SweepError, match="strided"):
        make_plan(load_sweep(path))
    path.write_text('only_fitting = true\naxes.architecture = "strided"\naxes.size = 30\naxes.dataset = "photos"\n')
    with pytest.raises(SweepError, match=r"no network fits: strided.*30x30"):
        make_plan(load_sweep(path))


def test_advise_is_shipped_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "advise", "--dry-run"]) == 0
    assert "conv-residual(3,16)" in capsys.readouterr().out
