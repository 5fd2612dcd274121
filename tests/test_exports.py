"""Exports, each checked against its consumer: a schema of what it reads, and pytest-benchmark itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bench import cli
from bench.compare.export import (
    FORMATS,
    ExportError,
    Figure,
    Origin,
    export_figures,
    figures_of_comparison,
    figures_of_run,
    origin_of_comparison,
    origin_of_run,
    parse_format,
)
from bench.compare.recorded import compare_runs
from results.comparison import Comparison, Side
from results.loading import load_run
from results.schema import loads
from results.statistics import Interval
from tests import fake_run
from tests.recorded_runs import axes, rates, timing, trial, write

SCHEMAS = Path(__file__).parent / "schemas"
SCHEMA_OF = {
    "pytest-benchmark": "pytest-benchmark",
    "github-smaller-is-better": "github-action-benchmark",
    "github-bigger-is-better": "github-action-benchmark",
    "bencher": "bencher",
}
MILLISECOND = [seconds / 1000 for seconds in rates(1.0)]


def side(level: float) -> list[dict[str, Any]]:
    """A run of one cell: ``level`` images/s in training, three times that in inference, 1 ms, 20 dB."""
    timed = timing(axes(), rates(level), inference=rates(3 * level), latency=MILLISECOND)
    return [timed, trial(axes(), 20.0)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("exports") / "run", side(1000.0))


def schema(form: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{SCHEMA_OF[form]}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def exported(folder: Path, form: str) -> Any:
    loaded = load_run(folder)
    return export_figures(parse_format("--format", form), figures_of_run(loaded), origin_of_run(loaded))


# -- schemas -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_runs_and_comparisons_obey_the_schema_of_who_reads_them(tmp_path: Path, form: Any) -> None:
    big = fake_run.make_run(tmp_path / "fake")
    jsonschema.validate(exported(big, form), schema(form))
    comparison = compare_runs(write(tmp_path / "a", side(1000.0)), write(tmp_path / "b", side(900.0)))
    figures, origin = figures_of_comparison(comparison), origin_of_comparison(comparison)
    document = export_figures(form, figures, origin)
    jsonschema.validate(document, schema(form))
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    ("form", "broken"),
    [
        ("bencher", {"torch": {"latency": {"lower_value": 1.0}}}),
        ("bencher", {"torch": {"latency": {"value": "1"}}}),
        ("github-bigger-is-better", {"name": "torch", "unit": "s", "value": 1}),
        ("github-bigger-is-better", [{"name": "torch", "value": 1.0}]),
        ("pytest-benchmark", {"benchmarks": []}),
    ],
)
def test_the_schemas_refuse_what_their_consumers_would(form: str, broken: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema(form))


# -- figures -------------------------------------------------------------------------------------------------------


def test_names_tell_figures_apart(tmp_path: Path) -> None:
    figures = figures_of_run(load_run(fake_run.make_run(tmp_path / "fake")))
    names = [figure.name for figure in figures]
    assert len(names) > 50
    assert len(set(names)) == len(names)


def test_bencher_gets_levels_with_their_intervals(run: Path) -> None:
    document = exported(run, "bencher")
    timed = document["torch tuned, dense latent=64"]
    assert timed["train-images-per-second"]["value"] == pytest.approx(1000, rel=1e-9)
    assert timed["inference-images-per-second"]["value"] == pytest.approx(3000, rel=1e-9)
    assert timed["latency"]["value"] == pytest.approx(1e6, rel=1e-9)  # nanoseconds
    for metric in timed.values():
        assert metric["lower_value"] <= metric["value"] <= metric["upper_value"]
    assert timed["psnr-db"] == {"value": 20.0, "lower_value": 19.95, "upper_value": 20.05}


def test_smaller_is_better_holds_times_and_bigger_the_rest(run: Path) -> None:
    smaller = {entry["name"].rpartition(", ")[2]: entry for entry in exported(run, "github-smaller-is-better")}
    bigger = {entry["name"].rpartition(", ")[2]: entry for entry in exported(run, "github-bigger-is-better")}
    assert set(smaller) == {"train", "inference", "latency"}
    assert set(bigger) == {"train", "inference", "psnr"}
    assert (smaller["train"]["value"], smaller["train"]["unit"]) == (pytest.approx(1000.0, rel=1e-9), "µs/image")
    assert (bigger["train"]["value"], bigger["train"]["unit"]) == (pytest.approx(1000.0, rel=1e-9), "images/s")
    assert bigger["psnr"]["unit"] == "dB"
    low, high = (float(end) for end in smaller["train"]["range"].split(" .. "))
    assert low < 1000 < high  # 1000 images/s happen to be 1000 µs an image
    assert smaller["train"]["extra"] == "6 processes; range: 95 % interval"


def test_a_comparison_exports_the_heads_levels(tmp_path: Path) -> None:
    found = compare_runs(write(tmp_path / "a", side(1000.0)), write(tmp_path / "b", side(900.0)))
    figures = {figure.metric: figure for figure in figures_of_comparison(found)}
    assert figures["train"].level.value == pytest.approx(900, rel=1e-4)
    assert figures["train"].label == "torch tuned, dense latent=64"
    assert len(figures["train"].samples) == 6
    assert figures["psnr"].samples == (20.0,)
    assert not figures["psnr"].level.known


def test_the_rounds_of_a_live_comparison_are_its_samples(tmp_path: Path) -> None:
    (found,) = compare_runs(*(write(tmp_path / name, [timing(axes(), rates(500))]) for name in "ab")).rows
    rounds = [{"base": [9.0, 9.0], "head": [0.001, 0.002, 0.009]}, {"base": [9.0], "head": [0.004]}]
    live = Comparison("live", Side("a"), Side("b"), (replace(found, samples={"rounds": rounds}),))
    (figure,) = figures_of_comparison(live)
    assert figure.samples == pytest.approx((500.0, 250.0))
    slow = Comparison("live", Side("a"), Side("b"), (replace(found, metric="latency", samples={"rounds": rounds}),))
    assert figures_of_comparison(slow)[0].samples == pytest.approx((0.002, 0.004))


def test_a_single_process_has_a_level_and_no_interval(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", [timing(axes(), [500.0])])
    assert exported(folder, "bencher") == {
        "torch tuned, dense latent=64": {"train-images-per-second": {"value": 500.0}}
    }
    (entry,) = exported(folder, "github-bigger-is-better")
    assert "range" not in entry
    assert exported(folder, "pytest-benchmark")["benchmarks"][0]["stats"]["stddev"] == 0.0


def test_a_format_without_a_place_for_the_figures_is_refused() -> None:
    psnr = Figure("torch", "psnr", Interval(20.0, 19.0, 21.0), (20.0,))
    with pytest.raises(ExportError, match=r"pytest-benchmark has no place .* \(psnr\)"):
        export_figures("pytest-benchmark", [psnr], Origin())
    with pytest.raises(ExportError, match="no figure at all"):
        export_figures("bencher", [], Origin())
    with pytest.raises(ExportError, match=r"--format 'benchr' is unknown \(did you mean 'bencher'\?\)"):
        parse_format("--format", "benchr")


# -- pytest-benchmark ----------------------------------------------------------------------------------------------


def test_statistics_are_those_that_pytest_benchmark_computes() -> None:
    """Its own class, fed with the same figures."""
    stats = pytest.importorskip("pytest_benchmark.stats")
    samples = [1.0, 1.1, 0.9, 1.05, 3.0]
    reference = stats.Stats()
    for sample in samples:
        reference.update(sample)
    figure = Figure("torch", "latency", Interval(1.0, 0.9, 1.1), tuple(samples))
    ours = export_figures("pytest-benchmark", [figure], Origin())["benchmarks"][0]["stats"]
    for name in ("min", "max", "mean", "stddev", "rounds", "median", "ops", "total", "iqr_outliers", "stddev_outliers"):
        assert ours[name] == pytest.approx(getattr(reference, name)), name
    assert ours["outliers"] == reference.outliers


def test_pytest_benchmark_compares_what_was_exported(tmp_path: Path, run: Path) -> None:
    slower = write(tmp_path / "slower", side(500.0))
    for name, folder in (("0001_base", run), ("0002_head", slower)):
        assert (
            cli.main(["export", str(folder), "--format", "pytest-benchmark", "-o", str(tmp_path / f"{name}.json")]) == 0
        )
    program = Path(sys.executable).with_name("pytest-benchmark")
    done = subprocess.run(
        [
            *([str(program)] if program.exists() else [sys.executable, "-m", "pytest_benchmark"]),
            "compare",
            str(tmp_path / "0001_base.json"),
            str(tmp_path / "0002_head.json"),
            "--columns=mean,rounds",
            "--sort=mean",
            "--group-by=fullname",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    lines = [line for line in text.splitlines() if "torch tuned, dense latent=64, train (" in line]
    assert len(lines) == 2, text
    assert [line.split(")")[1].split("(")[0].strip() for line in lines] == ["1.0000", "2.0000"]  # ms an image
    assert all(line.endswith(" 6") for line in (line.rstrip() for line in lines))  # rounds: processes


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_export_prints_or_writes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert cli.main(["export", str(run), "--format", form]) == 0
    printed = loads(capsys.readouterr().out)
    jsonschema.validate(printed, schema(form))
    assert cli.main(["export", str(run), "--format", form, "--output", str(tmp_path / "out.json")]) == 0
    assert loads((tmp_path / "out.json").read_text()) == printed
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
