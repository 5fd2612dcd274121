"""Where a run may go: a folder of its own, of one set of images, and never among somebody's files."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import fake_backend
import numpy as np
import pytest
from PIL import Image

from bench import cli, places
from bench.places import PlaceError, default_name, is_run
from results.journal import read_run_file, write_run_file
from results.loading import load_run

SWEEP = """
[axes]
backend = "fake"
architecture = "dense"
latent = 4
size = 12
channels = 1
batch_size = 4
epochs = 1
[timing]
rounds = 0
"""


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "places-cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SWEEP)


class Answer:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def daebench(capfd: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> Answer:
        code = cli.main(arguments)
        return Answer(code, *capfd.readouterr())

    return call


def photographs(folder: Path, first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for number in range(first, first + 12):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run_of(daebench: Any, folder: Path, *more: str) -> Answer:
    answer: Answer = daebench("run", "mine.toml", "--set", f"dataset=folder:{folder}", *more)
    return answer


def refused(answer: Answer) -> str:
    """The one message of a refusal."""
    assert answer.code == 2, answer.out
    (line,) = answer.err.splitlines()
    return line


# -- an answer is about what was asked -------------------------------------------------------------------------------


def test_two_folders_of_images_have_run_folders_of_their_own(daebench: Any, tmp_path: Path) -> None:
    """Both would go to results/mine: everything of the second was there already, and its answer that of the first."""
    a, b = photographs(tmp_path / "A"), photographs(tmp_path / "B", 50)
    for folder in (a, b):
        assert run_of(daebench, folder).code == 0
    made = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert [name[:-6] for name in made] == ["mine-A-", "mine-B-"]
    for name, folder in zip(made, (a, b), strict=True):
        trials = load_run(tmp_path / "results" / name).of("trial", "ok")
        assert [record["cell"]["dataset"] for record in trials] == [f"folder:{folder}"]
    again = run_of(daebench, a)
    assert again.code == 0
    assert f"results/{made[0]}/report.html" in again.out
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == made, "the same command resumes"


def test_names_of_run_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one" / "A b", tmp_path / "two" / "A b"
    for folder in (one, two):
        folder.mkdir(parents=True)
    assert default_name("quick") == "quick"
    assert default_name("quick", ["mnist", "glyphs"]) == "quick-mnist+glyphs"
    names = {default_name("advise", [f"folder:{folder}"]) for folder in (one, two)}
    assert len(names) == 2
    assert all(name.startswith("advise-A-b-") for name in names)
    monkeypatch.chdir(one.parent)
    assert default_name("advise", ["folder:A b"]) in names, "the same folder, whatever leads there"
    assert default_name("advise", ["folder:.."]).startswith(f"advise-{tmp_path.name}"[:20])


def test_a_run_folder_refuses_other_images_unless_told(daebench: Any, tmp_path: Path) -> None:
    a, b = photographs(tmp_path / "A"), photographs(tmp_path / "B", 50)
    assert run_of(daebench, a, "--out", "run").code == 0
    before = contents(tmp_path / "run")
    for extra in ([], ["--dry-run"]):
        message = refused(run_of(daebench, b, "--out", "run", *extra))
        assert f"holds the run of folder:{a}, and this is of folder:{b}" in message
        assert "--out" in message
        assert "--fresh" in message
        assert places.ADD_DATA in message
    assert contents(tmp_path / "run") == before
    assert f"and this is of {'glyphs'}" in refused(daebench("run", "mine.toml", "--out", "run"))

    both = run_of(daebench, b, "--out", "run", "--add-data")
    assert both.code == 0
    run = load_run(tmp_path / "run")
    assert {record["cell"]["dataset"] for record in run.of("trial")} == {f"folder:{a}", f"folder:{b}"}
    assert {record["cell"]["dataset"] for record in run.asked.of("trial")} == {f"folder:{b}"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"folder:{a}" not in page.replace(" ", ""), "the answer is about what was asked for now"
    assert "further record" in page
    assert run_of(daebench, a, "--out", "run").code == 0, "it is known there"


def test_images_that_have_changed_are_other_images(daebench: Any, tmp_path: Path) -> None:
    a = photographs(tmp_path / "A")
    assert run_of(daebench, a).code == 0
    (folder,) = (tmp_path / "results").iterdir()
    before = [record["id"] for record in load_run(folder).of("trial")]
    shutil.copy(a / "0.png", a / "new.png")
    message = refused(run_of(daebench, a))
    assert "its images have changed since" in message
    answer = run_of(daebench, a, "--add-data")
    assert answer.code == 0
    assert "what was made of the former ones is kept, counts as stale" in answer.err
    run = load_run(folder)
    assert [record["id"] for record in run.stale if record["kind"] == "trial"] == before
    assert run_of(daebench, a).code == 0, "these are the images that it knows now"
    fresh = run_of(daebench, a, "--fresh")
    assert fresh.code == 0
    assert len(list((tmp_path / "results").iterdir())) == 2, "the run before is kept beside it"


def test_the_same_images_by_another_path_are_the_same(daebench: Any, tmp_path: Path) -> None:
    a = photographs(tmp_path / "A")
    assert run_of(daebench, a, "--out", "run").code == 0
    assert run_of(daebench, Path("A"), "--out", "run").code == 0


def test_what_other_commands_left_is_no_part_of_an_answer(daebench: Any, tmp_path: Path) -> None:
    for latent in (4, 8):
        assert daebench("run", "mine.toml", "--set", f"latent={latent}").code == 0
    folder = tmp_path / "results" / "mine"
    run = load_run(folder)
    assert sorted(record["cell"]["latent"] for record in run.of("trial")) == [4, 8]
    assert [record["cell"]["latent"] for record in run.asked.of("trial")] == [8]
    own = (folder / "report.html").read_text()
    assert "latent 4," not in own
    answer = daebench("report", str(folder), "--all", "-o", "all.html")
    assert answer.code == 0
    assert "latent 4," in (tmp_path / "all.html").read_text()


def test_an_older_run_is_known_by_its_sweep(daebench: Any, tmp_path: Path) -> None:
    """Runs made before there was ``data`` in run.json."""
    assert daebench("run", "mine.toml", "--out", "run").code == 0
    about = read_run_file(tmp_path / "run")
    assert about["data"] == {"glyphs": None}
    write_run_file(tmp_path / "run", {name: value for name, value in about.items() if name not in ("data", "cells")})
    assert load_run(tmp_path / "run").asked.current == load_run(tmp_path / "run").current
    message = refused(run_of(daebench, photographs(tmp_path / "A"), "--out", "run"))
    assert "holds the run of glyphs" in message
    assert daebench("run", "mine.toml", "--out", "run").code == 0


# -- foreign folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [(), ("--fresh",), ("--dry-run",), ("--add-data",)])
def test_a_folder_that_daebench_did_not_make_is_never_touched(
    daebench: Any, tmp_path: Path, option: tuple[str, ...]
) -> None:
    home = photographs(tmp_path / "home")
    (home / "run.json").write_text('{"of": "another program"}')
    before = contents(tmp_path)
    message = refused(daebench("run", "mine.toml", "--out", str(home), *option))
    assert "was not made by daebench" in message
    assert contents(tmp_path) == before


def test_a_foreign_journal_makes_no_run_folder(daebench: Any, tmp_path: Path) -> None:
    home = photographs(tmp_path / "home")
    (home / "records.jsonl").write_text("")
    assert "was not made by daebench" in refused(daebench("run", "mine.toml", "--out", str(home), "--fresh"))
    assert home.is_dir()


@pytest.mark.parametrize("option", [(), ("--fresh",), ("--dry-run",)])
@pytest.mark.parametrize("below", ["", "runs", "new/run"])
def test_nothing_is_written_into_the_folder_of_the_images(
    daebench: Any, tmp_path: Path, below: str, option: tuple[str, ...]
) -> None:
    a = photographs(tmp_path / "A")
    before = contents(tmp_path)
    message = refused(run_of(daebench, a, "--out", str(a / below), *option))
    assert "lies inside the folder of the images" in message or "was not made by daebench" in message
    assert contents(tmp_path) == before
    assert a.is_dir()


def test_the_usual_place_may_be_among_the_images_too(
    daebench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = photographs(tmp_path / "A")
    shutil.copy(tmp_path / "mine.toml", a)
    monkeypatch.chdir(a)
    message = refused(daebench("run", "mine.toml", "--set", "dataset=folder:."))
    assert "lies inside the folder of the images (folder:.)" in message
    assert not (a / "results").exists()


def test_a_run_folder_in_which_the_images_lie_is_refused(daebench: Any, tmp_path: Path) -> None:
    assert daebench("run", "mine.toml", "--out", "run").code == 0
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "run" / "pictures" / f"mine{number}.png")
    message = refused(run_of(daebench, tmp_path / "run" / "pictures", "--out", "run", "--add-data"))
    assert "has the folder of the images" in message


def test_what_a_run_left_is_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for name in ("logs", "scores"):
        (folder / name).mkdir(parents=True)
    assert not is_run(folder), "without a journal that is anybody's"
    (folder / "records.jsonl").touch()
    assert is_run(folder), "killed before it had a run.json"
    (folder / "run.json").write_text("{torn")
    assert is_run(folder)
    (folder / "holiday.jpg").touch()
    assert not is_run(folder)
    write_run_file(folder, {"schema": 1, "environments": {}})
    assert is_run(folder), "somebody keeps a picture in it"


def test_the_logs_of_a_live_comparison_go_to_no_foreign_folder(daebench: Any, tmp_path: Path) -> None:
    a = photographs(tmp_path / "A")
    before = contents(a)
    answer = daebench("compare", "--live", "--base-rev", "HEAD", "--out", str(a))
    assert "was not made by daebench" in refused(answer)
    assert contents(a) == before


def test_pictures_are_not_denoised_into_the_folder_of_the_images(tmp_path: Path) -> None:
    a = photographs(tmp_path / "A")
    for folder in (a, a / "denoised"):
        with pytest.raises(PlaceError, match="folder of the images"):
            places.check_apart("--output", folder, [f"folder:{a}"])
    places.check_apart("--output", tmp_path / "denoised", [f"folder:{a}", "mnist", "folder:/no/such/folder"])


# -- several runs in one report --------------------------------------------------------------------------------------


def test_a_joint_report_takes_no_place_of_another(daebench: Any, tmp_path: Path) -> None:
    a = photographs(tmp_path / "A")
    assert daebench("run", "mine.toml").code == 0
    assert run_of(daebench, a).code == 0
    one, two = sorted((tmp_path / "results").iterdir())
    before = [(folder / "report.html").read_bytes() for folder in (one, two)]
    answer = daebench("report", f"results/{one.name}", f"results/{two.name}")
    assert answer.code == 0
    place = tmp_path / "results" / f"joint-{one.name}+{two.name}" / "report.html"
    assert answer.out.splitlines()[-1] == f"report: {place.relative_to(tmp_path)}"
    assert place.is_file()
    assert [(folder / "report.html").read_bytes() for folder in (one, two)] == before
    message = refused(daebench("report", str(one), str(two), "-o", str(one / "report.html")))
    assert "is the report of one of these runs alone" in message
    assert [(folder / "report.html").read_bytes() for folder in (one, two)] == before
    own = daebench("report", str(one), str(one))
    assert own.out.splitlines()[-1] == f"report: {one / 'report.html'}", "one run is one run"
    elsewhere = shutil.copytree(one, tmp_path / "elsewhere" / one.name)
    answer = daebench("report", str(one), str(elsewhere))
    assert f"joint-{one.name}+{one.name}-" in answer.out.splitlines()[-1], "of one name in two places: told apart"


def test_records_say_nothing_of_where_they_lie(daebench: Any, tmp_path: Path) -> None:
    """A run that was moved is the same run: what it is of is known by name and hash."""
    a = photographs(tmp_path / "A")
    assert run_of(daebench, a).code == 0
    (folder,) = (tmp_path / "results").iterdir()
    moved = folder.rename(tmp_path / "moved")
    assert run_of(daebench, a, "--out", str(moved)).code == 0
    lines = [json.loads(line) for line in (moved / "records.jsonl").read_text().splitlines()]
    assert set(Counter(line["id"] for line in lines).values()) == {1}
