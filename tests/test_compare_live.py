"""compare --live with backends made of NumPy: fast to start, and one of them really is slower."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fake_backend
import pytest

from bench import cli
from bench.compare import live
from bench.compare.live import LiveOptions, run_live
from bench.compare.sides import CompareError, SideSpec
from results.comparison import Comparison, Row, from_json
from results.verdicts import SequentialJudge

SWEEP = """
name = "tiny"
[axes]
backend = {backend}
architecture = "dense"
latent = 4
train = 128
test = 32
batch_size = 16
# As long as it takes to become measurably better than the mean training image: of less there is no verdict.
learning_rate = 0.004
epochs = 24
[timing]
tracks = ["idiomatic"]
"""


@pytest.fixture(autouse=True)
def announced(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "live-cache"))
    # Blocks are sized for frameworks; NumPy takes a hundred times as long.
    monkeypatch.setattr("bench.compare.pairs.BLOCK_SECONDS", 0.002)
    monkeypatch.setattr("bench.compare.pairs.BLOCK_PAIRS", 4)


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(SWEEP.format(backend='"fake"'))
    return str(path)


def options(sweep: str, **changes: object) -> LiveOptions:
    known: dict[str, object] = {"metrics": ("train", "psnr"), "max_minutes": 0.6, "quality_seeds": 2, "progress": False}
    return LiveOptions(sweep=sweep, **{**known, **changes})  # type: ignore[arg-type]


def outcomes(comparison: Comparison) -> dict[str, str]:
    return {row.metric: row.outcome for row in comparison.rows}


@pytest.mark.slow
def test_a_backend_at_half_the_rate_is_regressed_long_before_the_time_is_over(sweep: str) -> None:
    found = run_live(options(sweep, base=SideSpec(backend="fake"), head=SideSpec(backend="half"), max_minutes=8.0))
    assert outcomes(found) == {"train": "regressed", "psnr": "pass"}
    assert (found.outcome, found.exit_code) == ("regressed", 1)
    train = next(row for row in found.rows if row.metric == "train")
    assert train.change is not None
    assert train.change.low > 0
    assert found.confidence == pytest.approx(0.98)
    assert train.change.value > 0.5  # half the rate is a change of 1.0
    assert train.base is not None
    assert train.head is not None
    assert train.base > 1.5 * train.head  # images/s
    assert found.seconds < 240
    assert "backend: fake → half" in found.differences
    # The raw blocks are there, and say the same.
    assert len(train.samples["rounds"]) == train.rounds
    assert {entry["first"] for entry in train.samples["rounds"]} == {"base", "head"}


@pytest.mark.slow
def test_the_same_on_both_sides_is_not_regressed_and_equal_to_the_last_digit(sweep: str) -> None:
    found = run_live(options(sweep, max_minutes=0.3))
    assert outcomes(found)["psnr"] == "pass"
    assert outcomes(found)["train"] in ("pass", "inconclusive")
    psnr = next(row for row in found.rows if row.metric == "psnr")
    assert psnr.rounds == 1
    assert "last digit" in psnr.reason


def test_false_alarms_are_shared_out_over_quality_and_speed(sweep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[float] = []
    row = live.rows.quality_row

    def quality_row(head: Any, found: Any, margin: float, alpha: float, *rest: Any) -> Row:
        spent.append(alpha)
        return row(head, found, margin, alpha, *rest)

    class Judge(SequentialJudge):
        def __init__(self, margins: Sequence[float], alpha: float, *rest: float) -> None:
            spent.append(alpha)
            super().__init__(margins, alpha, *rest)

    monkeypatch.setattr(live.rows, "quality_row", quality_row)
    monkeypatch.setattr(live, "SequentialJudge", Judge)
    asked = options(sweep, metrics=("train", "inference", "psnr"), max_minutes=0.01)
    assert {row.metric for row in run_live(asked).rows} == {"train", "inference", "psnr"}
    assert spent == [pytest.approx(asked.alpha / 3), pytest.approx(asked.alpha * 2 / 3)]


def test_a_head_that_computes_something_else_is_not_timed_but_failed(sweep: str) -> None:
    found = run_live(options(sweep, base=SideSpec(backend="fake"), head=SideSpec(backend="wrong")))
    assert found.rows == ()
    assert found.exit_code == 1
    assert any("parity_failed" in sentence for sentence in found.failed)


def test_what_the_base_could_not_do_either_is_no_regression(sweep: str) -> None:
    with pytest.raises(CompareError, match=r"nothing was compared: .*the base can not run it: .*parity_failed"):
        run_live(options(sweep, base=SideSpec(backend="wrong"), head=SideSpec(backend="fake")))


def test_another_interpreter_can_be_a_side(sweep: str, tmp_path: Path) -> None:
    """A link to the same one: what it runs is the same, and asked of that interpreter."""
    found = run_live(options(sweep, base=SideSpec(python=sys.executable), metrics=("psnr",)))
    assert found.outcome == "pass"
    assert found.base.facts["interpreter"] == sys.executable
    assert found.base.facts["versions"]["numpy"]


def test_the_command_writes_what_was_measured(sweep: str, tmp_path: Path) -> None:
    """From the command line to the file, which reads back as the same comparison."""
    target = tmp_path / "verdict.json"
    arguments = ["compare", "--live", sweep, "--metrics", "psnr", "--json", str(target), "--quiet"]
    assert cli.main(arguments) == 0
    content = json.loads(target.read_text())
    assert from_json(content).outcome == content["outcome"] == "pass"


@pytest.mark.parametrize("phase", ["_certify", "_speed"])
def test_an_interrupt_before_speed_was_judged_is_no_pass(
    sweep: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], phase: str
) -> None:
    """Ctrl-C when all that has been judged so far has passed: that says nothing of what was still to come."""

    def interrupt(session: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(live._Session, phase, interrupt)
    assert cli.main(["compare", "--live", sweep, "--metrics", "train,psnr", "--quality-seeds", "1", "--quiet"]) == 130
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert last.split()[0] == "inconclusive"
    assert "interrupted" in last


@pytest.mark.parametrize(
    ("base", "head", "message"),
    [
        (SideSpec(python="/no/such/python"), SideSpec(), "--base-python /no/such/python"),
        (SideSpec(), SideSpec(rev="no-such-revision"), "--head-rev no-such-revision"),
        (SideSpec(backend="fake"), SideSpec(), "come together"),
        (SideSpec(backend="fake:quick"), SideSpec(backend="fake"), "track 'quick' is unknown"),
        (SideSpec(python="true"), SideSpec(), "base: daebench does not run with .*true"),
    ],
)
def test_sides_that_can_not_be_had_are_refused_with_the_option(
    sweep: str, base: SideSpec, head: SideSpec, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_live(options(sweep, base=base, head=head))


def test_a_backend_that_is_not_here_leaves_nothing_to_compare(tmp_path: Path) -> None:
    path = tmp_path / "absent.toml"
    path.write_text(SWEEP.format(backend='"absent"'))
    with pytest.raises(CompareError, match=r"nothing of it can be compared here .*no-such-framework"):
        run_live(options(str(path)))
