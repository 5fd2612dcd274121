"""Reports rank, average and recommend within one set of images, whatever else they show."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_run
import pytest

from report import publish, sentences
from report.data_sets import data_sets
from report.page import make_page, render
from report.sentences import analyse
from results.loading import Run, load_run, merge

SMALL = fake_run.Size(backends=("torch",), full=("torch",), corruptions=("gaussian(0.2)", "gaussian(0.4)"))
SCORED = ("trial", "yardstick")


def made(folder: Path, dataset: str, gain: Callable[[dict[str, Any]], float] = lambda cell: 0.0, **run: Any) -> Path:
    """A run on ``dataset``, whose trials are ``gain`` dB better than those of the made-up run."""
    fake_run.make_run(folder, SMALL)
    lines = []
    for line in (folder / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] in SCORED:
            record["cell"]["dataset"] = dataset
            record["id"] = record["id"][:8] + hashlib.sha256(dataset.encode()).hexdigest()[:8] + record["id"][16:]
            if record.get("hashes"):
                record["hashes"] = {name: value[::-1] + dataset[-1] for name, value in record["hashes"].items()}
        if record["kind"] == "trial" and record["status"] == "ok":
            for name in ("psnr", "psnr_low", "psnr_high", "psnr_gain", "psnr_gain_low", "psnr_gain_high"):
                record["metrics"][name] += gain(record["cell"])
            del record["scores"]  # those of the images are those of the made-up run
        lines.append(json.dumps(record))
    (folder / "records.jsonl").write_text("".join(f"{line}\n" for line in lines))
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**about, **run}))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """On letters conv is far better, on folder:A dense is, and by more: a mean over both would take dense for all."""
    place = tmp_path_factory.mktemp("sets")
    letters = made(place / "letters", "glyphs", lambda cell: 3.0 * (cell["architecture"] == "conv"), name="advise")
    own = made(place / "own", "folder:A", lambda cell: 9.0 * (cell["architecture"] == "dense"), name="advise")
    return letters, own


@pytest.fixture(scope="module")
def both(folders: tuple[Path, Path]) -> Run:
    run = merge([load_run(folder) for folder in folders])
    return replace(run, about={**run.about, "name": "advise"})


def test_a_run_of_one_set_is_whole(folders: tuple[Path, Path]) -> None:
    run = load_run(folders[0])
    (only,) = data_sets(run)
    assert (only.label, only.run) == ("", run)
    assert analyse(run).advice is not None


def test_each_set_has_its_own_findings_and_its_own_recommendation(both: Run) -> None:
    analysis = analyse(both)
    assert [one.data.label for one in analysis.sets] == ["glyphs", "folder:A"]
    assert analysis.advice is None, "two recommendations are never one"
    winners = {}
    for one in analysis.sets:
        assert one.advice is not None
        winners[one.data.label] = one.advice.headline.split()[1]
        standings, shared = one.quality.standings()
        assert standings[0].label.startswith(winners[one.data.label])
        assert {one.data.label} == {
            record["cell"]["dataset"] for trials in one.quality.trials_of.values() for record in trials
        }
        assert len(shared) == len(SMALL.corruptions)
    assert winners == {"glyphs": "conv", "folder:A": "dense"}
    found = sentences.findings(analysis)
    said = [finding.headline for finding in found if finding.topic in ("Quality", sentences.ADVICE)]
    assert sum(headline.startswith("On glyphs: ") for headline in said) == 2
    assert sum(headline.startswith("On folder:A: ") for headline in said) == 2
    assert len(said) == 4, "and none is about both"


def test_what_is_about_no_images_is_said_once(both: Run) -> None:
    found = sentences.findings(analyse(both))
    assert sum(finding.topic == "Certificates" for finding in found) == 1
    assert not any(finding.headline.startswith("On ") for finding in found if finding.topic == "Speed")


def test_the_page_has_tables_and_charts_of_each(both: Run) -> None:
    page = make_page(both)
    assert page.advice is None
    assert [label for label, _ in page.advices] == ["glyphs", "folder:A"]
    assert len(page.quality_tables) == 2
    for (scores, standings), label in zip(page.quality_tables, ("glyphs", "folder:A"), strict=True):
        assert scores.caption.startswith(f"{label}: ")
        assert standings.caption.startswith(f"{label}: ")
    names = [chart.name for chart in page.charts()]
    assert len(names) == len(set(names))
    html = render(page)
    for label in ("glyphs", "folder:A"):
        assert f"<h3>On {label}</h3>" in html
    assert len(re.findall(r'id="advice"', html)) == 1
    assert all(group.title.startswith(("on glyphs: ", "on folder:A: ")) for group in page.pictures)


def test_a_joint_report_recommends_for_each(folders: tuple[Path, Path], tmp_path: Path) -> None:
    published = publish(list(folders), tmp_path / "both.html")
    ranks = [finding for finding in published.findings if "denoises best" in finding]
    assert [finding.partition(":")[0] for finding in ranks] == ["On glyphs", "On folder"]
    html = published.path.read_text()
    for label, network in (("glyphs", "conv"), ("folder:A", "dense")):
        assert re.search(rf"<h3>On {label}</h3>\s*<p class=\"lead\"><strong>Take {network} ", html)


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        ({"height": 56, "width": 56}, ["glyphs (28×28)", "glyphs (56×56)"]),
        ({"channels": 3}, ["glyphs (gray)", "glyphs (colour)"]),
        ({"evaluate": "whole"}, ["glyphs (patches)", "glyphs (whole images)"]),
        ({"corruption": "blur(1.0)"}, [""]),
        ({"train": 100}, [""]),
    ],
)
def test_images_of_another_shape_are_others(tmp_path: Path, change: dict[str, Any], labels: list[str]) -> None:
    run = load_run(fake_run.make_run(tmp_path / "run", SMALL))

    def other(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] == "trial" and record["cell"]["architecture"] == "dense":
            hashes = {name: value[::-1] for name, value in record.get("hashes", {}).items()}
            return {**record, "cell": {**record["cell"], **change}, "hashes": hashes}
        return record

    found = data_sets(replace(run, current=tuple(map(other, run.current))))
    assert sorted(one.label for one in found) == sorted(labels)


def test_a_folder_that_has_changed_is_two_sets(tmp_path: Path) -> None:
    """Two runs of it, on two machines, read as one: nothing of the two is put into one mean."""
    run = load_run(made(tmp_path / "run", "folder:A"))

    def moment(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] not in SCORED:
            return record
        contents = "1a2b3c4d" if record["cell"].get("architecture") == "conv" else "5e6f7a8b"
        return {**record, "fingerprint": f"{record['fingerprint']}.{contents}"}

    found = data_sets(replace(run, current=tuple(map(moment, run.current))))
    assert {one.label for one in found} == {"folder:A (contents 1a2b3c4d)", "folder:A (contents 5e6f7a8b)"}
    for one in found:
        assert len({record["cell"]["architecture"] for record in one.run.of("trial", "ok")}) == 1


def test_images_of_one_name_that_are_not_the_same_are_two_sets(tmp_path: Path) -> None:
    run = load_run(fake_run.make_run(tmp_path / "run", SMALL))

    def other(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] == "trial" and record["cell"]["architecture"] == "dense" and record.get("hashes"):
            return {**record, "hashes": {**record["hashes"], "data": "0" * 16}}
        return record

    found = data_sets(replace(run, current=tuple(map(other, run.current))))
    assert sorted(one.label for one in found) == ["glyphs (contents 00000000)", "glyphs (contents dddddddd)"]


def test_a_set_of_which_nothing_is_done_is_not_forgotten(folders: tuple[Path, Path]) -> None:
    run = merge([load_run(folder) for folder in folders])
    left = {"status": "skipped", "reason": "the budget of 10s ended before it"}

    def skipped(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] in SCORED and record["cell"]["dataset"] == "folder:A":
            kept = ("schema", "id", "kind", "cell", "fingerprint", "environment", "stderr", "started", "seconds")
            return {**{name: record[name] for name in kept}, **left}
        return record

    half = replace(run, about={**run.about, "name": "advise"}, current=tuple(map(skipped, run.current)))
    said = [finding.headline for finding in sentences.findings(analyse(half)) if finding.topic == sentences.ADVICE]
    assert said[0].startswith("On glyphs: take conv") or said[0].startswith("On glyphs: Take conv")
    assert said[1].startswith("On folder:A: ")
    assert "othing can be recommended" in said[1]
