"""The history: what a line holds, which lines are joined, where steps are found, and the page that shows it."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_run
import numpy as np
import pytest

from bench import cli
from bench.history import add_run, entries, label
from results.history import Entry, HistoryError, append_history, read_history
from results.journal import read_run_file, write_run_file
from results.loading import load_run
from results.schema import LATER_AXES
from results.steps import SHORTEST, find_levels
from results.trend import Series, trends
from tests.valid_charts import check_charts

CELL = "torch tuned, dense latent 64 mse, batch_size 128"
AXES = {"backend": "torch", "track": "tuned", "architecture": "dense", "latent": 64, "loss": "mse", "batch_size": 128}
FACTS = {"processor": "Imaginary CPU", "cores": 2, "gpus": [], "system": "Linux", "python": "3.11"}


def entry(number: int, rate: float, **other: Any) -> Entry:
    """The entry of the ``number``-th commit, which trains ``rate`` images/s."""
    figures = {"train_samples_per_second": [rate, 0.99 * rate, 1.01 * rate], "latency_seconds": [40 / rate, None, None]}
    values = {
        "commit": f"{number:040x}",
        "committed": f"2026-03-{number // 24 + 1:02}T{number % 24:02}:00:00+00:00",
        "run": "regress",
        "machine": "m1",
        "started": f"2026-04-{number // 24 + 1:02}T{number % 24:02}:30:00+00:00",
        "facts": FACTS,
        "versions": {"torch": "2.12.0"},
        "cells": {CELL: {"status": "ok", "cell": AXES, "metrics": figures}},
        **other,
    }
    return Entry(**values)


def noise(count: int, generator: np.random.Generator, sigma: float = 0.01) -> np.ndarray:
    """Logarithms of figures of ``count`` runs: resembling their neighbours by 0.3, one in 20 astray by up to 40 %."""
    shocks = generator.standard_normal(count)
    for index in range(1, count):
        shocks[index] = 0.3 * shocks[index - 1] + math.sqrt(1 - 0.3**2) * shocks[index]
    return sigma * shocks + (generator.random(count) < 0.05) * generator.uniform(0, 0.4, count)


def rates(count: int = 30, step: int = 20, factor: float = 0.94) -> list[float]:
    """A noisy history that is ``factor`` as fast from run ``step`` on."""
    logs = noise(count, np.random.default_rng(4))
    return [1000 * math.exp(-log) * (factor if index >= step else 1.0) for index, log in enumerate(logs)]


def write(path: Path, found: list[Entry]) -> Path:
    append_history(path, found)
    return path


def training(path: Path) -> Series:
    (trend,) = trends(read_history(path))
    return next(series for series in trend.series if series.metric == "train_samples_per_second")


# -- the file ------------------------------------------------------------------------------------------------------


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "history.jsonl", [entry(1, 1000)])
    append_history(path, [entry(0, 900)])
    found = read_history(path)
    assert [one.commit for one in found.entries] == [entry(0, 1).commit, entry(1, 1).commit]  # by date of the commit
    assert found.entries[1] == entry(1, 1000)
    for line in path.read_text().splitlines():
        assert json.loads(line)["schema"] == 1


def test_the_same_commit_machine_and_run_is_refused_or_replaced_in_words(tmp_path: Path) -> None:
    path = write(tmp_path / "history.jsonl", [entry(1, 1000)])
    before = path.read_bytes()
    with pytest.raises(HistoryError, match=r"commit 0000000000 is there already.*--replace"):
        append_history(path, [entry(2, 1000), entry(1, 1100)])
    assert path.read_bytes() == before  # nothing of the two

    assert append_history(path, [entry(1, 1100)], replace=True) == [entry(1, 1000)]
    assert path.read_bytes().startswith(before)  # append-only: the old line stays
    found = read_history(path)
    assert found.replaced == 1
    assert [one.cells[CELL]["metrics"]["train_samples_per_second"][0] for one in found.entries] == [1100]


@pytest.mark.parametrize(
    "other", [{"machine": "m2"}, {"run": "standard"}, {"dirty": True}], ids=["machine", "run", "dirty"]
)
def test_another_machine_run_or_a_dirty_tree_is_another_line(tmp_path: Path, other: dict[str, Any]) -> None:
    path = write(tmp_path / "history.jsonl", [entry(1, 1000)])
    append_history(path, [entry(1, 1100, **other)])
    assert len(read_history(path).entries) == 2


@pytest.mark.parametrize("kept", [1, 40, -2])
def test_a_torn_last_line_is_left_out_and_moved_aside_by_the_next_writer(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "history.jsonl", [entry(1, 1000)])
    whole = path.read_bytes()
    torn = (entry(2, 900).to_json() + "\n").encode()[:kept]
    path.write_bytes(whole + torn)

    found = read_history(path)
    assert len(found.entries) == 1
    assert f"unfinished and was left out ({len(torn)} bytes)" in found.notes[0]

    append_history(path, [entry(3, 950)])
    assert path.read_bytes() == whole + entry(3, 950).to_json().encode() + b"\n"
    assert (tmp_path / "history.jsonl.torn").read_bytes() == torn + b"\n"


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """The size that a file may have is a disk that is full after some bytes, to whoever writes and however."""
    path = write(tmp_path / "history.jsonl", [entry(1, 1000)])
    before = path.read_bytes()
    script = (
        "import resource, signal, sys; from pathlib import Path; from tests.test_history import append_history, entry; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 10},) * 2); "
        "append_history(Path(sys.argv[1]), [entry(2, 1001)])"
    )
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=variables)
    assert "HistoryError" in done.stderr.splitlines()[-1]
    assert "could not be written" in done.stderr
    assert path.read_bytes() == before


def test_a_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "history.jsonl", [entry(1, 1000)])
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append_history(path, [entry(2, 900)])
    assert [one.commit for one in read_history(path).entries] == [entry(1, 1).commit, entry(2, 1).commit]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{torn", "line 1: .*changed by something else"),
        ('{"schema": 2}', "line 1: schema = 2: this version of daebench reads schema 1"),
        (entry(1, 1).to_json().replace('"run":"regress"', '"run":7'), "line 1: run = 7 should be a JSON str"),
        (entry(1, 1).to_json().replace("[1,0.99,1.01]", "[-1,0.99,1.01]"), "train_samples_per_second.*positive"),
        (entry(1, 1).to_json().replace("[1,0.99,1.01]", "[1]"), "should be .value, low, high."),
    ],
    ids=["no JSON", "schema", "type", "sign", "triple"],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(line + "\n" + entry(2, 900).to_json() + "\n")
    with pytest.raises(HistoryError, match=message):
        read_history(path)


# -- from a run ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run.make_run(tmp_path_factory.mktemp("runs") / "fake")


def with_git(recorded: Path, folder: Path, **git: Any) -> Path:
    """The same run, made from another commit or on another machine."""
    machine = git.pop("facts", {})
    shutil.copytree(recorded, folder)
    about = read_run_file(folder)
    for environment in about["environments"].values():
        environment.update(machine, git=git)
    write_run_file(folder, about)
    return folder


def test_a_run_becomes_one_line_with_what_its_records_say(recorded: Path, tmp_path: Path) -> None:
    run = load_run(with_git(recorded, tmp_path / "run", commit="a" * 40, dirty=False))
    (found,) = entries(run)
    assert (found.commit, found.run, found.dirty) == ("a" * 40, "fake", False)
    assert found.facts["processor"] == "Imaginary CPU E5 @ 2.00GHz"
    assert found.facts["python"] == "3.11"
    assert found.versions["torch"] == "2.13.0"
    assert found.versions["python"] == "3.11.7"
    timed = next(one for one in run.of("timing", "ok") if one["cell"]["backend"] == "torch")
    figures = found.cells[label(timed["cell"])]["metrics"]["train_samples_per_second"]
    assert figures == [timed["metrics"][f"train_samples_per_second{end}"] for end in ("", "_low", "_high")]
    failed = next(one for one in run.of("timing") if one["status"] != "ok")
    assert found.cells[label(failed["cell"])] == {"status": "timeout", "cell": failed["cell"], "metrics": {}}


def test_trials_count_as_their_mean_over_seeds(tmp_path: Path) -> None:
    size = replace(fake_run.QUICK, seeds=(0, 1, 2), corruptions=("gaussian(0.4)",), architectures=("dense",))
    run = load_run(with_git(fake_run.make_run(tmp_path / "made", size), tmp_path / "run", commit="a" * 40, dirty=False))
    (found,) = entries(run)
    trial = next(one for one in run.of("trial", "ok") if one["cell"]["backend"] == "torch")
    scores = [one["metrics"]["psnr"] for one in run.of("trial", "ok") if label(one["cell"]) == label(trial["cell"])]
    value, low, high = found.cells[label(trial["cell"])]["metrics"]["psnr"]
    assert len(scores) == 3
    assert value == pytest.approx(np.mean(scores))
    assert low < value < high


def test_a_label_is_the_same_with_axes_that_came_later() -> None:
    """Those of records from before join those of today, which have more axes, at their usual values."""
    axes = {**AXES, "dataset": "glyphs"}
    later = {**axes, **LATER_AXES["trial"]}
    assert label(later) == label(axes)
    assert label({**later, "evaluate": "whole"}) != label(axes)
    assert label({**later, "val": None}) != label(axes), "trained on fewer images"


def test_no_two_cells_of_a_run_have_the_same_label(recorded: Path) -> None:
    for kind in ("timing", "trial"):
        cells = {json.dumps({**r["cell"], "seed": 0}, sort_keys=True) for r in load_run(recorded).of(kind)}
        assert len(cells) == len({label(json.loads(cell)) for cell in cells})


def test_a_run_without_its_commit_must_be_told(recorded: Path, tmp_path: Path) -> None:
    run = with_git(recorded, tmp_path / "run")
    with pytest.raises(HistoryError, match=r"does not say which commit.*--commit"):
        entries(load_run(run))
    (found,) = entries(load_run(run), commit="v1.2")
    assert found.commit == "v1.2"


def test_changes_that_no_commit_holds_are_refused_or_left_out(recorded: Path, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    run = with_git(recorded, tmp_path / "run", commit="a" * 40, dirty=True)
    with pytest.raises(HistoryError, match=r"changes that no commit holds.*--allow-dirty"):
        add_run(run, file)
    assert not file.exists()
    add_run(run, file, allow_dirty=True)
    (trend,) = trends(read_history(file))
    assert [one.name for one in trend.entries] == ["aaaaaaaaaa+changes"]
    assert trend.series == ()


def test_only_like_machines_are_joined(recorded: Path, tmp_path: Path) -> None:
    """A newer library is an event in the series; another processor or another minor Python begins one of its own."""
    file = tmp_path / "history.jsonl"
    packages = {"packages": {"torch": "2.14.0"}}
    for number, facts in enumerate(({}, packages, {"cpu": "Other CPU"}, {"python": "3.12.1"}, {"python": "3.11.9"})):
        add_run(with_git(recorded, tmp_path / f"run{number}", commit=f"{number:040x}", dirty=False, facts=facts), file)
    found = trends(read_history(file))
    # All were "measured" at one moment, so the order within a machine is that of the file.
    assert sorted(len(one.entries) for one in found) == [1, 1, 3]
    joined = max(found, key=lambda one: len(one.entries))
    assert "torch 2.13.0 → 2.14.0" in joined.events[0].changes
    assert "python 3.11.7 → 3.11.9" in joined.events[1].changes
    series = next(s for s in joined.series if s.label.startswith("torch tuned") and s.metric == "latency_seconds")
    assert len(series.points) == 3


# -- steps ---------------------------------------------------------------------------------------------------------


def test_a_step_is_found_where_it_is_and_signed_so_that_positive_is_worse(tmp_path: Path) -> None:
    path = write(tmp_path / "history.jsonl", [entry(number, rate) for number, rate in enumerate(rates())])
    series = training(path)
    (step,) = series.steps
    # Two of three times the exact run; the noise of its neighbours may shift it by one.
    assert abs(step.point.position - 20) <= 1
    # The medians of 20 and 10 runs of 1 % scatter by 0.28 and 0.4 %: three standard deviations are 1.5 %.
    assert step.change == pytest.approx(1 / 0.94 - 1, abs=0.015)
    assert step.worse
    assert series.level == pytest.approx(940, rel=0.015)
    (trend,) = trends(read_history(path))
    (latency,) = [one for one in trend.series if one.metric == "latency_seconds"]
    assert latency.steps[0].worse  # 40 / rate: longer, and worse as well


def test_a_step_names_what_else_changed_there(tmp_path: Path) -> None:
    found = [
        entry(number, rate, versions={"torch": "2.12.0" if number < 20 else "2.13.0"})
        for number, rate in enumerate([1000.0, 1001.0] * 10 + [900.0, 901.0] * 5)
    ]
    (step,) = training(write(tmp_path / "history.jsonl", found)).steps
    assert [event.sentence for event in step.events] == ["torch 2.12.0 → 2.13.0"]


@pytest.mark.parametrize("strays", [(10,), (10, 11), (0,), (29,), (28, 29)], ids=str)
def test_runs_that_went_astray_are_no_step(strays: tuple[int, ...]) -> None:
    values = 0.01 * np.random.default_rng(2).standard_normal(30)
    values[list(strays)] += 0.4
    assert find_levels(values, floor=0.005, smallest=0.015).changes == ()


def test_short_series_have_no_steps_and_constant_ones_neither() -> None:
    assert find_levels([0.0, 0.0, 1.0, 1.0, 1.0], floor=0.005, smallest=0.015).changes == ()
    assert find_levels(np.zeros(50), floor=0.005, smallest=0.015).changes == ()
    assert find_levels([0.0] * SHORTEST + [1.0] * SHORTEST, floor=0.005, smallest=0.015).changes == (SHORTEST,)


def test_steps_that_do_not_matter_are_not_reported() -> None:
    values = np.repeat([0.0, 0.012, 0.10], 20)
    found = find_levels(values, floor=0.001, smallest=0.015)
    assert found.changes == (40,)


def detected(count: int, step: float, tail: int, series: int) -> tuple[float, float]:
    """Shares of series: with steps although there is none; with one within two runs of where ``step`` is."""
    generator = np.random.default_rng(count)
    false = found = 0
    for _ in range(series):
        values = noise(count, generator)
        false += bool(find_levels(values, floor=0.005, smallest=0.015).changes)
        values[count - tail :] += step
        cuts = find_levels(values, floor=0.005, smallest=0.015).changes
        found += any(abs(cut - (count - tail)) <= 2 for cut in cuts)
    return false / series, found / series


def test_noise_has_hardly_any_steps_and_a_real_one_is_found() -> None:
    """Of 300 series; true rates (2000 series, see the slow test) are below 0.03 and above 0.93: three standard
    deviations of 300 draws are 0.03 and 0.045."""
    false, found = detected(count=40, step=0.05, tail=10, series=300)
    assert false <= 0.06
    assert found >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize(("count", "power"), [(8, 0.0), (15, 0.70), (20, 0.85), (40, 0.93), (100, 0.93), (200, 0.90)])
def test_the_rates_of_false_and_found_steps(count: int, power: float) -> None:
    """What results/steps.py promises: one to three of 100 (here 2000 series, three standard deviations are 1.1 %)."""
    false, found = detected(count, step=0.05, tail=max(3, count // 3 if count < 40 else 10), series=2000)
    print(f"{count} runs: false {false:.3f}, 5 % step found {found:.3f}")
    assert false <= 0.04
    assert found >= power


# -- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def daebench(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "220")

    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def test_add_and_show(daebench: Any, recorded: Path, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    run = with_git(recorded, tmp_path / "run", commit="a" * 40, dirty=False)
    code, out, _ = daebench("history", "add", run, "--file", file)
    assert code == 0
    assert "aaaaaaaaaa of " in out

    code, _, err = daebench("history", "add", run, "--file", file)
    assert code == 2
    assert err.count("\n") == 1
    assert "--replace" in err

    assert daebench("history", "add", run, "--file", file, "--replace")[0] == 0
    code, out, _ = daebench("history", "show", "--file", file)
    assert code == 0
    assert "Imaginary CPU E5 @ 2.00GHz, 2 cores, Linux, Python 3.11" in out
    assert "timeout keras[jax] tuned, conv" in out
    assert "steps can be told from 6 runs on" in out


def test_show_names_steps_and_prints_strict_json(daebench: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "history.jsonl", [entry(number, rate) for number, rate in enumerate(rates())])
    _, out, _ = daebench("history", "show", "--file", file)
    assert f"step {CELL}: training" in out
    assert "slower since 0000000000 of 2026-03-01" in out

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    code, out, _ = daebench("history", "show", "--file", file, "--json")
    assert code == 0
    (machine,) = json.loads(out, parse_constant=refuse)["machines"]
    series = next(one for one in machine["series"] if one["metric"] == "train_samples_per_second")
    assert len(series["points"]) == 30
    assert len(series["steps"]) == 1
    assert series["steps"][0]["change"] > 0.04


def test_no_history_is_a_message(daebench: Any, tmp_path: Path) -> None:
    code, _, err = daebench("history", "show", "--file", tmp_path / "none.jsonl")
    assert code == 2
    assert "holds no history yet; `daebench history add RUN" in err


# -- the page ------------------------------------------------------------------------------------------------------

HOSTILE = "</script><script>alert(1)</script>\x1b[31m"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four contestants, a step, a newer library, a stray, a second machine with a single run, and a hostile name."""
    from report.history import write_history

    folder = tmp_path_factory.mktemp("page")
    found = []
    for number, rate in enumerate(rates(40, 25)):
        cells = {}
        for index, (backend, track) in enumerate(
            [("torch", "tuned"), ("torch", "idiomatic"), ("keras[tensorflow]", "tuned"), ("keras[tensorflow]", HOSTILE)]
        ):
            figure = rate * (1 + index) if index < 2 else 1500.0 + number % 3
            metrics = {"train_samples_per_second": [figure, None, None], "psnr": [20.0 + 0.001 * index, None, None]}
            axes = {**AXES, "backend": backend, "track": track}
            cells[CELL.replace("torch tuned", f"{backend} {track}")] = {
                "status": "ok", "cell": axes, "metrics": metrics,
            }  # fmt: skip
        found.append(entry(number, rate, cells=cells, versions={"torch": "2.12.0" if number < 25 else "2.13.0"}))
    found.append(entry(41, 500, machine="m2", facts={**FACTS, "processor": HOSTILE}))
    return write_history(read_history(write(folder / "history.jsonl", found)), folder / "history.html")


def test_the_page_says_everything_without_javascript(page_file: Path) -> None:
    page = page_file.read_text().partition('<script type="application/json"')[0]
    assert "slower" in page
    assert "torch 2.12.0 → 2.13.0" in page
    assert page.count("<svg") == 2  # training and PSNR, four contestants in each
    assert "fewer than 6 runs can not show one" in page  # the second machine
    assert "<script>alert(1)" not in page
    assert "\x1b" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_same_history_gives_the_same_bytes(page_file: Path, tmp_path: Path) -> None:
    from report.history import write_history

    again = write_history(read_history(page_file.with_name("history.jsonl")), tmp_path / "again.html")
    assert again.read_bytes() == page_file.read_bytes()


def test_its_charts_are_what_vega_lite_takes(page_file: Path) -> None:
    assert check_charts(page_file.read_text()) == 2


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_in_a_browser(page_file: Path, width: int) -> None:
    """It draws, complains of nothing, asks for nothing, and nothing sticks out of it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    complaints: list[str] = []
    requests: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-charts=ready]", state="attached", timeout=60_000)
        assert page.locator(".plot.live svg").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [page_file.as_uri()]
