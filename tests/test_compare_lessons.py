"""Quality is not judged of networks that have learned nothing, and judged with a remark of those that still learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.cells import TrialCell
from bench.compare import lessons, rows
from bench.compare.export import export_figures, figures_of_run, origin_of_run
from bench.compare.recorded import compare_runs
from bench.compare.wording import notes
from results.comparison import Comparison
from results.loading import load_run
from tests import recorded_runs
from tests.fake_run import lesson

DENSE = recorded_runs.axes()


def trials(psnr: float, *words: str) -> list[dict[str, Any]]:
    """One for each seed, which has learned what its word says."""
    return [lesson(recorded_runs.trial(DENSE, psnr + 0.001 * seed, seed=seed), word) for seed, word in enumerate(words)]


def compare(tmp_path: Path, base: list[dict[str, Any]], head: list[dict[str, Any]]) -> Comparison:
    folders = [recorded_runs.write(tmp_path / name, side) for name, side in (("base", base), ("head", head))]
    return compare_runs(*folders)


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize(("base", "head"), [("untrained", "converged"), ("converged", "collapsed")])
def test_who_has_not_learned_is_not_judged(tmp_path: Path, seeds: int, base: str, head: str) -> None:
    found = compare(tmp_path, trials(10.0, *[base] * seeds), trials(10.0, *[head] * seeds))
    (row,) = found.rows
    assert (row.outcome, row.change) == ("inconclusive", None)
    side, word = ("base", "untrained") if base == "untrained" else ("head", "collapsed")
    assert row.reason == (
        f"the {side} ({word}) has not learned to denoise and is no better than the mean training image: no verdict on "
        "quality; train longer, for more epochs"
    )
    assert found.outcome == "inconclusive"
    assert found.exit_code == 3
    assert row.reason in notes(found.rows)[0]


def test_equal_figures_of_untrained_networks_are_no_pass(tmp_path: Path) -> None:
    (row,) = compare(tmp_path, trials(10.0, "untrained"), trials(10.0, "untrained")).rows
    assert row.outcome == "inconclusive"
    assert row.reason.startswith("the base (untrained) and the head (untrained) have not learned to denoise")


def test_seeds_that_did_not_learn_are_named(tmp_path: Path) -> None:
    words = ["converged", "untrained", "converged", "untrained"]
    (row,) = compare(tmp_path, trials(20.0, *["converged"] * 4), trials(20.0, *words)).rows
    assert row.reason.startswith("the head (untrained, seed 1, 3) has not learned")


@pytest.mark.parametrize("seeds", [1, 4])
def test_unfinished_networks_are_judged_with_a_remark(tmp_path: Path, seeds: int) -> None:
    found = compare(tmp_path, trials(20.0, *["unfinished"] * seeds), trials(20.0, *["converged"] * seeds))
    (row,) = found.rows
    assert row.outcome == "pass"
    assert row.reason.endswith(
        "the base unfinished: PSNR still rises with more training, so this holds for so much of it"
    )


def test_finished_networks_are_judged_as_before(tmp_path: Path) -> None:
    done = ["converged"] * 4
    (row,) = compare(tmp_path, trials(20.0, *done), trials(20.0, *done)).rows
    assert (row.outcome, row.reason) == ("pass", "")


def test_a_live_comparison_follows_the_same_rule() -> None:
    cell = TrialCell(backend="torch", track="tuned", architecture="dense", latent=4)
    sides = {name: trials(10.0, "untrained", "untrained") for name in ("base", "head")}
    result = {"base": [10.0, 10.0], "head": [10.0, 10.0], "changes": [0.0, 0.0], "identical": True}
    told = {"refusal": lessons.refusal(sides, [0, 1]), "remark": lessons.remark(sides)}
    row = rows.quality_row(cell, result | told, 0.1, 0.01, "dense")
    assert (row.outcome, row.change, row.base) == ("inconclusive", None, 10.0)
    assert "have not learned to denoise" in rows.sentence(row)
    late = {name: trials(20.0, "unfinished", "unfinished") for name in ("base", "head")}
    told = {"refusal": lessons.refusal(late, [0, 1]), "remark": lessons.remark(late)}
    row = rows.quality_row(cell, result | told, 0.1, 0.01, "dense")
    assert row.reason.startswith("equal to the last digit at the first seed; both sides unfinished: ")


def test_what_is_exported_says_it_where_the_format_has_a_place(tmp_path: Path) -> None:
    run = load_run(recorded_runs.write(tmp_path / "run", trials(10.0, "untrained", "converged")))
    entries = export_figures("github-bigger-is-better", figures_of_run(run), origin_of_run(run))
    assert [entry["extra"].split("; ")[-1] for entry in entries] == ["untrained", "converged"]
