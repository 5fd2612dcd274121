"""Runs of which not all that was planned is done say so, before anything else, wherever they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_backend
import fake_run
import pytest
from recorded_runs import ENVIRONMENT, axes, rates, timing, trial, write

from bench import cli, runner
from bench.compare.export import export_figures, figures_of_run, origin_of_run
from bench.history import add_run
from report import facts, publish
from report.page import make_page, render
from report.sentences import analyse
from results.completeness import completeness
from results.history import read_history
from results.journal import read_run_file, write_run_file
from results.loading import load_run, merge
from results.trend import trends

BUDGET = "the budget of 10s ended before it"


def made(folder: Path, change: Callable[[dict[str, Any]], None] = lambda about: None, done: int = 1) -> Path:
    """Four planned trials and a timing, of which the first ``done`` trials are done, and one is skipped."""
    records = [trial(axes(), 18.0 + seed, seed=seed) for seed in range(done)]
    records.append(
        fake_run.record("trial", {**records[0]["cell"], "seed": 3}, "skipped", BUDGET, environment=ENVIRONMENT)
    )
    records.append(timing(axes(), rates(1000.0)))
    write(folder, records)
    about = read_run_file(folder)
    about |= {"planned": {"certificate": 0, "trial": 4, "timing": 1}, "finished": "2026-03-01T11:00:00Z"}
    about["cells"] = [record["id"].partition("-")[0] for record in records] + ["0" * 16, "1" * 16]
    change(about)
    write_run_file(folder, about)
    return folder


def test_counts_are_of_what_was_planned(tmp_path: Path) -> None:
    run = load_run(made(tmp_path / "run"))
    found = completeness(run)
    assert found.total == (2, 5)
    assert found.headline == "2 of 5 planned cells are done (1 of 4 trials)"
    assert found.reason.split("; ") == [
        "the budget of 10s ended before 1 of the others",
        "2 left no record: the run was interrupted, or is still going on",
    ]
    assert facts.status_line(run) == "2 of 5 planned ok; 1 skipped, 2 not begun"
    assert dict(facts.fact_sheet(run))["Run"].endswith("not finished yet")


def test_a_failure_is_a_result_and_a_finished_run_says_nothing(tmp_path: Path) -> None:
    cells = [
        trial(axes(), 18.0, seed=0),
        fake_run.record("trial", {**trial(axes(), 1.0)["cell"], "seed": 1}, "crashed", "x"),
    ]
    write(tmp_path / "run", cells)
    about = read_run_file(tmp_path / "run")
    write_run_file(tmp_path / "run", {**about, "planned": {"trial": 2}, "finished": "2026-03-01T11:00:00Z"})
    run = load_run(tmp_path / "run")
    assert completeness(run).sentence == ""
    assert facts.status_line(run) == "1 of 2 ok; 1 crashed"
    assert "Unfinished" not in render(make_page(run))


def test_the_first_line_of_the_report_says_so(tmp_path: Path) -> None:
    published = publish([made(tmp_path / "run")])
    assert published.unfinished.startswith("2 of 5 planned cells are done (1 of 4 trials): the budget of 10s ended")
    html = published.path.read_text()
    lead = re.search(r'<p class="lead[^>]*>(.*?)</p>', html, re.S)
    assert lead is not None
    assert lead[1].startswith("<strong>Unfinished: 2 of 5 planned cells are done (1 of 4 trials)")


def test_what_was_planned_by_two_runs_is_the_sum_of_both(tmp_path: Path) -> None:
    one, two = load_run(made(tmp_path / "one")), load_run(made(tmp_path / "two"))
    both = merge([one, replace(two, current=tuple(record for record in two.current if record["kind"] == "timing"))])
    # The timing is one cell, measured twice on one machine.
    assert completeness(both).total == (2, 9)
    assert completeness(merge([one, two])).total[1] == 4 + 4 + 1 + 1 - (2 + 1), "what both have counts once"


def test_a_cell_of_another_command_does_not_stand_in(tmp_path: Path) -> None:
    def other(about: dict[str, Any]) -> None:
        about["cells"] = about["cells"][1:]
        about["planned"]["trial"] = 3

    found = completeness(load_run(made(tmp_path / "run", other)))
    assert found.total == (1, 4)


def test_exports_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(tmp_path / "run")
    run = load_run(folder)
    figures, origin = figures_of_run(run), origin_of_run(run)
    for entry in export_figures("github-bigger-is-better", figures, origin):
        assert entry["extra"].endswith(f"; unfinished run: {completeness(run).sentence}")
    for entry in export_figures("pytest-benchmark", figures, origin)["benchmarks"]:
        assert entry["extra_info"]["unfinished"] == completeness(run).sentence
    assert cli.main(["export", str(folder), "--format", "bencher"]) == 0
    shown = capsys.readouterr()
    json.loads(shown.out)
    assert f"unfinished: {completeness(run).sentence}" in shown.err


def test_histories_say_so_and_take_no_mean_over_fewer_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def seeds(about: dict[str, Any]) -> None:
        about["sweep"] = {"grids": [{"seed": [0, 1, 2, 3]}]}

    history = tmp_path / "history.jsonl"
    ((entry,), _) = add_run(made(tmp_path / "run", seeds), history, commit="a" * 40)
    scored = [cell for cell in entry.cells.values() if "dataset" in cell["cell"]]
    assert scored
    assert all(not cell["metrics"] for cell in scored)
    timed = [cell for cell in entry.cells.values() if "dataset" not in cell["cell"]]
    assert all(cell["metrics"] for cell in timed), "a speed is a speed"
    found = read_history(history)
    assert found.entries[0].unfinished == completeness(load_run(tmp_path / "run")).sentence
    (machine,) = trends(found)
    assert machine.entries[0].unfinished
    assert cli.main(["history", "show", "--file", str(history), "--html", str(tmp_path / "page.html")]) == 0
    assert "unfinished" in capsys.readouterr().out
    assert "The newest run is unfinished: 2 of 5 planned cells are done" in (tmp_path / "page.html").read_text()
    # A line of an older version has no such field.
    old = json.loads(history.read_text())
    del old["unfinished"]
    history.write_text(json.dumps(old) + "\n")
    assert read_history(history).entries[0].unfinished == ""


def test_two_folders_of_images_are_two_series(tmp_path: Path) -> None:
    for name, digest in (("A", "1a2b3c4d"), ("B", "5e6f7a8b"), ("A", "99999999")):
        made_up = trial(axes(), 18.0)
        fingerprint = f"{fake_run.FINGERPRINT}.{digest}"
        own = {"cell": {**made_up["cell"], "dataset": f"folder:{name}"}, "fingerprint": fingerprint}
        write(tmp_path / digest, [{**made_up, **own, "id": f"{digest}-{fingerprint}"}])
        commit = "b" * 40 if digest == "99999999" else "a" * 40
        add_run(tmp_path / digest, tmp_path / "history.jsonl", commit=commit)
    found = read_history(tmp_path / "history.jsonl")
    assert len(found.entries) == 3, "none takes the place of another"
    (machine,) = trends(found)
    assert len(machine.series) == 3, "figures of other images are no step"


# -- while it runs ---------------------------------------------------------------------------------------------------

SWEEP = """
[axes]
backend = "fake"
architecture = "dense"
latent = [4, 8]
size = 12
val = "test"
train = 40
test = 20
batch_size = 20
epochs = 1
seed = [0, 1, 2, 3, 4, 5]
[timing]
rounds = 0
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "mine.toml"
    path.write_text(SWEEP)
    return path


def test_what_a_budget_leaves_out_is_one_line(sweep: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    arguments = ["run", str(sweep), "--out", str(out), "--budget", "0.001s"]
    assert cli.main(arguments) == 0
    shown = capfd.readouterr()
    assert sum("not run" in line for line in shown.err.splitlines()) <= 3, "a line for each phase, not for each cell"
    assert not [line for line in shown.err.splitlines() if "skipped" in line]
    assert re.search(r"12 trials not run: the budget .*ended", shown.err)
    planned = sum(read_run_file(out)["planned"].values())
    assert shown.out.startswith(f"unfinished: 0 of {planned} planned cells are done: {planned} skipped in ")
    assert read_run_file(out)["finished"] is None
    page = make_page(load_run(out))
    assert page.missing is not None
    (trials,) = [row for row in page.missing.rows if row[0].text == "trial"]
    assert trials[-1].text == "12"
    # The next one says its own reason, and the one after it has all.
    assert cli.main([*arguments[:-1], "0.002s"]) == 0
    capfd.readouterr()
    assert cli.main(arguments[:-2]) == 0
    shown = capfd.readouterr()
    assert "unfinished" not in shown.out
    assert read_run_file(out)["finished"]
    assert analyse(load_run(out)).done.sentence == ""


def test_an_interrupted_run_says_how_much_was_planned(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: runner._Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner._Run, "_try", interrupt)
    out = tmp_path / "run"
    assert cli.main(["run", str(sweep), "--out", str(out)]) == 130
    planned = read_run_file(out)["planned"]
    done, every = planned["certificate"], sum(planned.values())
    assert planned["trial"] == 12
    assert capfd.readouterr().out.startswith(
        f"unfinished: {done} of {every} planned cells are done: {done} ok, {every - done} not begun in "
    )
    assert cli.main(["report", str(out)]) == 0
    assert capfd.readouterr().out.startswith(
        f"unfinished: {done} of {every} planned cells are done (0 of 12 trials): {every - done} left no record"
    )
