"""What a comparison is shown as: JSON, terminal, Markdown, and the command line around them."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import sys
import types
from pathlib import Path
from typing import Any

import jsonschema
import markdown_it
import pytest

from bench import cli
from bench.compare import markdown, rows, terminal, wording
from results.comparison import Comparison, ComparisonError, Outcome, Row, Side, from_json, load_schema, to_json
from results.schema import loads
from results.statistics import Interval
from tests.recorded_runs import axes, rates, timing, trial, write

HOSTILE = "<script>alert(1)</script> | **bold** `code` [link](http://x) @everyone\n# title <!-- </details>"


def row(label: str = "torch tuned, dense latent=64, train", outcome: Outcome = "pass", **rest: Any) -> Row:
    values: dict[str, Any] = {
        "label": label,
        "cell": axes(),
        "metric": "train",
        "unit": "ratio",
        "outcome": outcome,
        "base": 24_100.0,
        "head": 24_000.0,
        "change": Interval(0.004, -0.01, 0.02),
        "margin": 0.03,
        "detectable": 0.021,
        "rounds": 8,
        "samples": {"base": [24_100.0, 24_000.0], "head": [24_000.0, 23_900.0]},
    }
    return Row(**(values | rest))


def comparison(*rows: Row, **rest: Any) -> Comparison:
    values: dict[str, Any] = {
        "kind": "recorded",
        "base": Side("results/main", {"revision": "0123", "dirty": False}),
        "head": Side("results/branch", {"versions": {"torch": "2.14.0"}}),
        "rows": rows,
        "started": "2026-03-01T10:00:00+00:00",
        "seconds": 1.5,
        "confidence": 0.98,
    }
    return Comparison(**(values | rest))


PASSED = row()
SLOWER = row("torch tuned, conv latent=64, train", "regressed", change=Interval(0.034, 0.029, 0.039), head=23_300.0)
UNSURE = row(
    "torch tuned, conv latent=64, latency",
    "inconclusive",
    metric="latency",
    base=1.31e-3,
    head=1.33e-3,
    change=Interval(0.015, -0.02, 0.05),
    detectable=0.08,
    more_seconds=240.0,
)
FASTER = row("jax tuned, dense latent=64, train", "improved", change=Interval(-0.1, -0.11, -0.09))
WORSE = row(
    "torch tuned, dense latent=64, psnr",
    metric="psnr",
    unit="dB",
    outcome="regressed",
    base=20.0,
    head=19.7,
    change=Interval(0.3, 0.25, 0.35),
    margin=0.1,
)
UNJUDGED = row(
    "keras tuned, dense, train", "inconclusive", change=None, detectable=None, reason="other machine: cpu A → B"
)
ALL = comparison(
    PASSED,
    SLOWER,
    UNSURE,
    FASTER,
    WORSE,
    UNJUDGED,
    missing=("torch tuned, dense latent=8 (timing)",),
    new=("torch tuned, dense latent=4 (timing)",),
    renamed=(("a (timing)", "b (timing)"),),
    failed=("torch tuned, conv latent=8 (trial): diverged: not finite",),
    differences=("torch: 2.13.0 → 2.14.0",),
    warnings=("Sessions drift.",),
)


# -- verdict of all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "outcome", "code"),
    [
        (comparison(PASSED), "pass", 0),
        (comparison(PASSED, FASTER), "improved", 0),
        (comparison(PASSED, FASTER, UNSURE), "inconclusive", 3),
        (comparison(PASSED, FASTER, UNSURE, SLOWER), "regressed", 1),
        (comparison(), "inconclusive", 3),
        (comparison(PASSED, missing=("a",)), "regressed", 1),
        (comparison(PASSED, missing=("a",), allow_missing=True), "pass", 0),
        (comparison(PASSED, failed=("a",), allow_missing=True), "regressed", 1),
        (comparison(PASSED, interrupted=True), "inconclusive", 130),
        (comparison(PASSED, SLOWER, interrupted=True), "regressed", 130),
    ],
)
def test_the_worst_row_decides(found: Comparison, outcome: str, code: int) -> None:
    assert (found.outcome, found.exit_code) == (outcome, code)


# -- JSON ----------------------------------------------------------------------------------------------------------


def test_json_holds_all_of_a_comparison() -> None:
    document = to_json(ALL)
    jsonschema.Draft202012Validator.check_schema(load_schema())
    jsonschema.validate(document, load_schema())
    assert (document["outcome"], document["exit_code"]) == ("regressed", 1)
    assert from_json(loads(json.dumps(document, allow_nan=False))) == ALL


def test_a_document_from_before_interrupts_were_told_is_read_as_it_was_meant() -> None:
    old = to_json(ALL)
    del old["interrupted"], old["confidence"]
    assert from_json(old) == dataclasses.replace(ALL, confidence=None)


def test_an_interrupt_is_said_in_the_headline_and_in_the_json() -> None:
    stopped = comparison(PASSED, interrupted=True)
    assert "interrupted before all was measured" in wording.headline(stopped)
    document = to_json(stopped)
    jsonschema.validate(document, load_schema())
    assert from_json(document) == stopped


def test_the_schema_names_every_field() -> None:
    schema = load_schema()
    derived = {"schema", "outcome", "exit_code"}
    assert set(schema["properties"]) - derived == {field.name for field in dataclasses.fields(Comparison)}
    assert set(schema["$defs"]["row"]["properties"]) == {field.name for field in dataclasses.fields(Row)}
    assert set(schema["$defs"]["side"]["properties"]) == {field.name for field in dataclasses.fields(Side)}


def test_ends_that_are_not_known_are_null() -> None:
    open_ended = comparison(row(change=Interval(0.01, -math.inf, math.nan)))
    document = to_json(open_ended)
    assert document["rows"][0]["change"] == {"value": 0.01, "low": None, "high": None}
    change = from_json(document).rows[0].change
    assert change is not None
    assert change.value == 0.01
    assert not change.known


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        ({"kind": "rumour"}, "kind: 'rumour'"),
        ({"rows": [{"label": "x"}]}, r"rows\[0\].*required"),
        ({"schema": 2}, "schema: 1 was expected"),
    ],
)
def test_what_is_no_comparison_is_refused(breaks: dict[str, Any], words: str) -> None:
    with pytest.raises(ComparisonError, match=words):
        from_json(to_json(ALL) | breaks)
    with pytest.raises(ComparisonError, match=r"comparison: .* is not of type 'object'"):
        from_json([])


# -- words ---------------------------------------------------------------------------------------------------------


def test_changes_levels_and_times_as_text() -> None:
    assert wording.change(0.0341, "ratio") == "+3.4 %"
    assert wording.change(-0.104, "ratio") == "−10.4 %"
    assert wording.change(0.00001, "ratio") == "0.0 %"
    assert wording.change(0.25, "dB") == "+0.25 dB"
    assert wording.change(40.0, "ratio") == "over +999 %"
    assert wording.interval(Interval(0.034, 0.029, 0.039), "ratio") == "+3.4 % [+2.9, +3.9]"
    assert wording.interval(Interval(0.034, math.nan, math.nan), "ratio") == "+3.4 %"
    assert wording.interval(Interval(0.3, 0.25, math.inf), "dB") == "+0.30 dB [+0.25, –]"
    assert wording.interval(None, "dB") == "–"
    assert wording.level(24_100.0, "train") == "24,100 images/s"
    assert wording.level(1.31e-3, "latency") == "1.31 ms"
    assert wording.level(19.354, "psnr") == "19.35 dB"
    assert wording.level(None, "psnr") == "–"
    assert [wording.waiting(seconds) for seconds in (0.2, 40, 700, 40_000)] == ["1 s", "40 s", "12 min", "11 h"]
    assert wording.margin(PASSED) == "3 %"
    assert wording.margin(WORSE) == "0.1 dB"


def test_less_time_is_never_called_more() -> None:
    assert wording.direction(-0.328, "ratio") == "32.8 % less time"
    assert wording.direction(0.034, "ratio") == "3.4 % more time"
    assert wording.direction(0.3, "dB") == "0.30 dB lost"
    assert wording.direction(-0.3, "dB") == "0.30 dB gained"
    assert wording.direction(1e-6, "ratio") == wording.direction(-1e-6, "dB") == "no change"


def test_reasons_say_what_the_interval_does_not() -> None:
    lucky = row(change=Interval(-0.2, -0.42, 0.02))
    assert wording.default_reason(lucky) == "measured were 20.0 % less time, which may be chance: not slower, surely"
    assert wording.default_reason(row(change=Interval(0.01, 0.005, 0.015))) == "measurably slower, but by less than 3 %"
    assert wording.default_reason(PASSED) == ""
    assert wording.default_reason(FASTER) == "9.0 % less time at least"
    assert wording.default_reason(SLOWER) == "2.9 % more time at least"
    close = row("x", "inconclusive", change=Interval(0.03, 0.001, 0.059), more_seconds=None)
    assert wording.default_reason(close).startswith(
        "slower taken by itself, and not yet beyond doubt among all figures"
    )


def test_what_a_round_has_brought_says_which_way_it_went() -> None:
    duel = types.SimpleNamespace(measured={"train": types.SimpleNamespace(changes=[math.log(0.672)])})
    judge = types.SimpleNamespace(decided={})
    line = rows.round_line(3, [(duel, "train")], judge, 90.0, 120.0)  # type: ignore[list-item,arg-type]
    assert "in the others the head takes, so far: 32.8 % less time" in line
    assert "more time" not in line


def test_the_headline_says_how_many_and_the_worst() -> None:
    assert wording.headline(ALL) == (
        "speed, 5 figures: 1 regressed, 2 inconclusive, 1 improved, 1 pass (worst: torch tuned, conv latent=64, train, "
        "3.4 % more time; best: jax tuned, dense latent=64, train, 10.0 % less time); "
        "quality, 1 figure: 1 regressed (worst: torch tuned, dense latent=64, psnr, 0.30 dB lost); "
        "1 cell failed; 1 cell missing."
    )
    assert wording.headline(comparison(PASSED)) == "speed, 1 figure: 1 pass."
    assert wording.headline(comparison()) == "nothing was compared."


def test_long_lists_are_cut_and_say_so() -> None:
    items = [str(number) for number in range(50)]
    assert wording.cut(items[:20]) == items[:20]
    assert wording.cut(items)[20:] == ["and 30 more (the JSON has all)"]


# -- terminal ------------------------------------------------------------------------------------------------------


def shown(found: Comparison) -> str:
    stream = io.StringIO()
    terminal.show(found, stream)
    return stream.getvalue()


def test_a_pipe_gets_plain_text_with_the_verdict_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    text = shown(ALL)
    assert "\x1b" not in text
    lines = text.rstrip().splitlines()
    assert lines[-1].startswith("regressed  speed, 5 figures:")
    table = [line for line in lines if line.startswith(("regressed ", "inconclusive ", "improved ", "pass "))][:-1]
    speeds = ["regressed", "inconclusive", "inconclusive", "improved", "pass"]
    assert [line.split()[0] for line in table] == [*speeds, "regressed"]
    assert [line for line in lines if line in ("speed", "quality")] == ["speed", "quality"]
    heads = [line for line in lines if line.startswith("verdict ")]
    assert ["time (+: slower)" in line for line in heads] == [True, False]
    assert ["PSNR lost (+: worse)" in line for line in heads] == [False, True]
    assert "with its 98 % interval" in " ".join(lines)
    slower = next(line for line in table if "conv latent=64, train" in line)
    assert " ".join(slower.split()).endswith("train 24,100 images/s 23,300 images/s +3.4 % [+2.9, +3.9] –")
    unsure = next(line for line in table if "latency" in line)
    assert unsure.endswith("+8.0 %  4 min")
    for words in (
        "torch tuned, dense latent=8 (timing)",
        "a (timing) → b (timing)",
        "torch tuned, conv latent=8 (trial): diverged: not finite",
        "torch: 2.13.0 → 2.14.0",
        "keras tuned, dense, train: other machine: cpu A → B",
        "Sessions drift.",
    ):
        assert f"  {words}" in lines


def test_a_narrow_terminal_keeps_names_and_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    line = next(line for line in shown(comparison(SLOWER)).splitlines() if line.startswith("regressed "))
    assert "torch tuned, conv" in line
    assert "+3.4 % [+2.9, +3.9]" in line
    assert "images/s" not in line
    assert len(line.rstrip()) <= 80


def test_markup_in_labels_is_text() -> None:
    backend = row("keras[tensorflow] tuned [bold]x[/bold], train", "regressed")
    assert "keras[tensorflow] tuned [bold]x[/bold], train" in shown(comparison(backend))


# -- Markdown ------------------------------------------------------------------------------------------------------


def html(text: str) -> str:
    return str(markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def test_markdown_begins_with_the_verdict_and_unfolds_only_what_matters() -> None:
    text = markdown.render(ALL)
    first = [line for line in text.splitlines() if line][:3]
    assert first[0] == markdown.MARKER
    assert first[1] == "### ❌ daebench: regressed"
    assert first[2].startswith("speed, 5 figures: 1 regressed")
    unfolded, folded = text.split("<details>", 1)
    assert unfolded.count("| ❌ regressed |") == 2
    assert "pass |" not in unfolded
    assert folded.count("| ✅ pass |") == 1
    assert "torch tuned, dense latent=8" in unfolded  # missing
    assert "diverged: not finite" in unfolded
    assert "other machine: cpu A → B" in unfolded
    assert "torch: 2.13.0 → 2.14.0" in folded
    assert text.count("<details>") == text.count("</details>") == 3
    rendered = html(text)
    assert rendered.count("<table>") == 4  # speed and quality, unfolded and folded
    assert rendered.count("<tr>") == 2 + 5 + 2 + 6
    assert "<summary>All 6 figures</summary>" in rendered


def test_markdown_of_a_pass_names_the_largest_change_of_speed_and_of_quality() -> None:
    """A change of 0.00 dB was called the largest beside one of −46 %: the two have no common scale."""
    same = dataclasses.replace(WORSE, outcome="pass", change=Interval(0.0, 0.0, 0.0))
    faster = row("jax tuned, dense, train", change=Interval(-0.46, -0.8, 0.02))
    text = markdown.render(comparison(PASSED, faster, same))
    assert "### ✅ daebench: pass" in text
    unfolded = text.split("<details>", 1)[0]
    assert (
        "The largest change in speed: −46.0 % \\[−80.0, +2.0\\], jax tuned, dense, train; quality: 0.00 dB" in unfolded
    )
    assert "| --- |" not in unfolded


def test_an_improvement_is_unfolded_in_its_own_table() -> None:
    text = markdown.render(comparison(FASTER, dataclasses.replace(WORSE, outcome="pass"), confidence=0.98))
    assert "### 🚀 daebench: improved" in text
    unfolded = text.split("<details>", 1)[0]
    assert unfolded.count("| 🚀 improved |") == 1
    assert "PSNR lost" not in unfolded
    assert "98 % interval" in text


def test_what_runs_say_is_never_markup() -> None:
    hostile = comparison(
        row(HOSTILE, "regressed"),
        row("x", "inconclusive", change=None, reason=HOSTILE),
        base=Side(HOSTILE),
        missing=(HOSTILE,),
        failed=(HOSTILE,),
        differences=(HOSTILE,),
        warnings=(HOSTILE,),
    )
    rendered = html(markdown.render(hostile))
    for markup in ("<script>", "<strong>bold", "<code>", "<a ", "<h1>", "@everyone"):
        assert markup not in rendered, markup
    assert rendered.count("<!--") == 1  # our own
    assert rendered.count("</details>") == rendered.count("<details>")
    assert rendered.count("<th>verdict</th>") == 2
    # Six cells follow the figure in each row of the hostile label: no pipe of its own made another.
    assert all(line.count("<td") == 7 for line in rendered.split("<tr>") if "<td" in line)


def test_a_comment_fits_into_what_github_takes() -> None:
    rows = [row(f"torch tuned, dense latent={number}, loss=bce, train", "regressed") for number in range(2000)]
    text = markdown.render(comparison(*rows))
    assert len(text) <= markdown.LIMIT < 65_536
    assert text.count("| ❌ regressed |") > 300
    assert "rows left out: the JSON has all." in text
    assert text.count("<details>") == text.count("</details>")
    unfolded = text.split("<details>", 1)[0]
    assert unfolded.count("| ❌ regressed |") == markdown.TELLING
    assert f"{2000 - markdown.TELLING} more that are not simply pass" in unfolded


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders: the base, the same again, one whose network is slower, one that lacks it, one with noise."""
    folder = tmp_path_factory.mktemp("runs")
    conv = axes(architecture="conv")
    quality = [trial(axes(), 20.0)]
    sides = {
        "base": [timing(axes(), rates(1000)), timing(conv, rates(500)), *quality],
        "same": [timing(axes(), rates(1001)), timing(conv, rates(500)), *quality],
        "slow": [timing(axes(), rates(1000)), timing(conv, rates(450)), *quality],
        "less": [timing(axes(), rates(1000)), *quality],
        "noisy": [timing(axes(), rates(1000, scatter=0.1)), timing(conv, rates(500)), *quality],
        "other": [timing(axes(latent=8), rates(1000)), trial(axes(loss="bce"), 20.0)],
    }
    return {name: str(write(folder / name, records)) for name, records in sides.items()}


@pytest.mark.parametrize(
    ("head", "options", "code"),
    [
        ("same", [], 0),
        ("slow", [], 1),
        ("slow", ["--margin", "30%"], 0),
        ("less", [], 1),
        ("less", ["--allow-missing"], 0),
        ("noisy", [], 3),
        ("noisy", ["--metrics", "psnr"], 0),
        ("same", ["--drift", "5%"], 3),
    ],
)
def test_the_exit_code_is_the_verdict(
    runs: dict[str, str], capsys: pytest.CaptureFixture[str], head: str, options: list[str], code: int
) -> None:
    assert cli.main(["compare", runs["base"], runs[head], *options]) == code
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert last.split()[0] in {0: ("pass", "improved"), 1: ("regressed",), 3: ("inconclusive",)}[code]


def test_files_are_written_beside_the_table(
    runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name: tmp_path / name for name in ("all.json", "verdict.md", "bencher.json")}
    options = ["--json", str(places["all.json"]), "--markdown", str(places["verdict.md"])]
    options += ["--export", f"bencher={places['bencher.json']}"]
    assert cli.main(["compare", runs["base"], runs["slow"], *options]) == 1
    assert "regressed" in capsys.readouterr().out
    found = from_json(loads(places["all.json"].read_text()))
    assert found.outcome == "regressed"
    assert places["verdict.md"].read_text() == markdown.render(found) + "\n"
    assert "torch tuned, conv latent=64" in loads(places["bencher.json"].read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(places)


def test_what_is_no_plain_file_is_written_into_and_stays(runs: dict[str, str], tmp_path: Path) -> None:
    """As root, /dev/stdout and /dev/null would else be plain files from then on, for everybody."""
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    places = ["--json", str(pipe), "--markdown", str(link), "--export", "bencher=/dev/null"]
    assert cli.main(["compare", runs["base"], runs["same"], *places]) == 0
    assert os.read(reader, 1) == b"{"
    os.close(reader)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert file.read_text().startswith(markdown.MARKER)
    assert Path("/dev/null").is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_one_of_them_may_go_to_stdout(runs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", runs["base"], runs["same"], "--json", "-"]) == 0
    assert from_json(loads(capsys.readouterr().out)).outcome == "pass"
    assert cli.main(["compare", runs["base"], runs["same"], "--markdown", "-"]) == 0
    assert capsys.readouterr().out.startswith(markdown.MARKER)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare"], ["two run folders", "not 0", "--live"]),
        (["compare", "BASE"], ["not 1"]),
        (["compare", "BASE", "nowhere"], ["'nowhere'", "no such folder"]),
        (["compare", "BASE", "BASE"], ["same run folder"]),
        (
            ["compare", "BASE", "OTHER"],
            ["nothing was compared", "latent is 64 in the base, 8 in the head", "loss is mse"],
        ),
        (["compare", "BASE", "OTHER", "--allow-missing", "--json", "x"], ["nothing was compared"]),
        (["compare", "BASE", "SAME", "--margin", "3"], ["--margin '3'", "3% or 0.03"]),
        (["compare", "BASE", "SAME", "--margin", "lots"], ["--margin 'lots'"]),
        (["compare", "BASE", "SAME", "--margin", "0%"], ["--margin '0%'"]),
        (["compare", "BASE", "SAME", "--margin", "nan"], ["--margin 'nan'"]),
        (["compare", "BASE", "SAME", "--psnr-margin", "-1"], ["--psnr-margin -1", "above 0"]),
        (["compare", "BASE", "SAME", "--psnr-margin", "nan"], ["--psnr-margin nan"]),
        (["compare", "BASE", "SAME", "--alpha", "1"], ["--alpha 1", "0.01"]),
        (["compare", "BASE", "SAME", "--metrics", "speed"], ["--metrics 'speed'", "train, inference, latency, psnr"]),
        (["compare", "BASE", "SAME", "--max-minutes", "3"], ["--max-minutes", "compare --live"]),
        (["compare", "BASE", "SAME", "--base-rev", "main"], ["--base-rev", "compare --live"]),
        (["compare", "BASE", "SAME", "--quiet"], ["--quiet", "compare --live"]),
        (["compare", "BASE", "SAME", "--json", "."], ["--json .", "folder"]),
        (["compare", "BASE", "SAME", "--markdown", "no/where.md"], ["--markdown no/where.md", "no folder no"]),
        (["compare", "BASE", "SAME", "--export", "benchr=x"], ["'benchr'", "did you mean 'bencher'?"]),
        (["compare", "BASE", "SAME", "--export", "bencher"], ["names no file", "bencher=FILE"]),
        (["compare", "BASE", "SAME", "--json", "x", "--markdown", "x"], ["asked for twice"]),
        (["compare", "--live", "a", "b"], ["one sweep, not 2"]),
        (["compare", "--live", "--max-minutes", "0"], ["--max-minutes 0"]),
        (["compare", "--live", "--quality-seeds", "0"], ["--quality-seeds 0"]),
        (["compare", "--live", "--drift", "1%"], ["--drift", "recorded runs"]),
        (["export", "BASE", "--format", "csv"], ["--format 'csv'", "bencher"]),
        (["export", "BASE", "--format", "bencher", "-o", "no/x"], ["--output no/x"]),
        (["export", "nowhere", "--format", "bencher"], ["no such folder"]),
    ],
)
def test_a_mistake_gets_one_message_and_exit_code_2(
    runs: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "bench.compare.live", live_stand_in([]))
    named = {"BASE": runs["base"], "SAME": runs["same"], "OTHER": runs["other"]}
    assert cli.main([named.get(argument, argument) for argument in arguments]) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    (line,) = answer.err.splitlines()
    assert line.startswith("daebench: ")
    assert [word for word in words if word not in line] == [], line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["new.json", "/dev/null"])
def test_what_can_not_be_written_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    calls: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "bench.compare.live", live_stand_in(calls))
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)  # root could write everywhere
    assert cli.main(["compare", "--live", "--json", place]) == 2
    assert f"--json {place}" in capsys.readouterr().err
    assert not calls


def live_stand_in(calls: list[Any]) -> types.ModuleType:
    """bench.compare.live without the measuring: keeps what it is asked for, and finds a regression."""
    from bench.compare.live import LiveOptions

    def run_live(options: Any) -> Comparison:
        calls.append(options)
        return dataclasses.replace(ALL, kind="live")

    module = types.ModuleType("bench.compare.live")
    module.LiveOptions, module.run_live = LiveOptions, run_live  # type: ignore[attr-defined]
    return module


def test_live_is_told_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.compare.live import LiveOptions
    from bench.compare.sides import SideSpec

    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, "bench.compare.live", live_stand_in(calls))
    assert cli.main(["compare", "--live"]) == 1
    assert "regressed" in capsys.readouterr().out
    words = (
        "compare --live quick --set latent=8 --base-python py1 --head-python py2 --base-rev r1 --head-rev r2 "
        "--base-backend torch --head-backend jax --margin 5% --psnr-margin 0.2 --alpha 0.02 --max-minutes 3 "
        f"--metrics psnr,train --quality-seeds 4 --out {tmp_path} --quiet --allow-missing"
    )
    assert cli.main(words.split()) == 1
    plain, full = calls
    assert plain == LiveOptions()  # the defaults of both are the same
    assert full == LiveOptions(
        sweep="quick",
        overrides=("latent=8",),
        base=SideSpec("py1", "r1", "torch"),
        head=SideSpec("py2", "r2", "jax"),
        margin=0.05,
        psnr_margin=0.2,
        alpha=0.02,
        max_minutes=3.0,
        metrics=("train", "psnr"),
        quality_seeds=4,
        out=tmp_path,
        progress=False,
        allow_missing=True,
    )
