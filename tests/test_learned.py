"""What networks have learned, in everything that people read: who is ranked, and what is so far only."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import report
from report import charts, facts, learned, quality_tables, robustness, sentences, tables
from report.learned import Learned, Rival
from report.page import make_page
from report.quality import quality
from report.sentences import analyse
from report.tradeoff import frontier
from results.convergence import REMEDIES
from results.loading import Run, load_run
from results.statistics import Interval
from tests import fake_run
from tests.test_report import changed

PUBLISHED = Path(__file__).parents[1] / "results" / "published"
SIZE = replace(fake_run.QUICK, corruptions=("gaussian(0.4)", "salt_pepper(0.3)"), latents=(64,))
Word = Callable[[dict[str, Any]], str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "fake"
    return fake_run.make_run(folder, SIZE, ["certificate", "trial", "timing"])


def told(folder: Path, target: Path, word: Word, **how: float) -> Run:
    """The run with trials that have learned what ``word`` says of their cells."""

    def change(record: dict[str, Any]) -> dict[str, Any]:
        scored = record["kind"] == "trial" and record["status"] == "ok"
        return fake_run.lesson(record, word(record["cell"]), **how) if scored else record

    return load_run(changed(folder, target, change))


def trial(seed: int, word: str, slope: float = 0.5, **axes: Any) -> dict[str, Any]:
    cell = fake_run.cell("torch", "tuned", "dense", 64, "mse", seed=seed, epochs=6, train=4096, **axes)
    return fake_run.lesson({"cell": cell, "metrics": {"psnr": 18.0}}, word, slope)


# -- a configuration is as its trials ------------------------------------------------------------------------------


def test_the_rise_is_the_mean_over_seeds_with_its_interval() -> None:
    found = learned.learned([trial(0, "unfinished", 0.4), trial(1, "unfinished", 0.6), trial(2, "unfinished", 0.5)])
    assert found.word == "unfinished"
    assert found.rising is not None
    assert found.rising.value == pytest.approx(0.5)
    assert found.rising.high - 0.5 == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)  # Student's t, 2 degrees
    assert found.by_seed == pytest.approx({0: 0.4, 1: 0.6, 2: 0.5})


def test_backends_are_no_seeds() -> None:
    """One seed by two backends: the interval is that of the curves."""
    found = learned.learned([trial(0, "unfinished", 0.4), trial(0, "unfinished", 0.6)])
    assert found.rising is not None
    assert (found.rising.low, found.rising.high) == pytest.approx((0.5, 0.5), abs=1e-9), "both curves are straight"


@pytest.mark.parametrize(
    ("words", "word", "some"),
    [
        (["converged", "converged", "converged"], "converged", ""),
        (["converged", "untrained", "converged"], "untrained", "1 of 3 seeds"),
        (["converged", "collapsed", "unfinished"], "collapsed", "1 of 3 seeds"),
        (["untrained", "collapsed", "unfinished"], "untrained", "2 of 3 seeds"),
        (["collapsed", "collapsed", "collapsed"], "collapsed", ""),
        (["unfinished", "unfinished", "converged"], "unfinished", ""),
    ],
)
def test_one_untrained_seed_makes_it_untrained(words: list[str], word: str, some: str) -> None:
    found = learned.learned([trial(seed, what) for seed, what in enumerate(words)])
    assert (found.word, found.some) == (word, some)
    assert found.trained == (word in ("converged", "unfinished"))


def test_several_conditions_are_as_their_mean_and_one_untrained_counts() -> None:
    parts = [learned.learned([trial(0, "unfinished", slope)]) for slope in (0.2, 0.6)]
    found = learned.together(parts)
    assert found.rising is not None
    assert found.rising.value == pytest.approx(0.4)
    with_one = learned.together([*parts, learned.learned([trial(0, "untrained")])])
    assert not with_one.trained
    assert with_one.some == "under 1 of 3 conditions"


def test_of_one_epoch_nothing_is_said() -> None:
    cell = fake_run.cell("torch", "tuned", "dense", 64, "mse", seed=0, epochs=1)
    found = learned.learned([{"cell": cell, "metrics": {"psnr": 18.0}, "curve": [{"epoch": 1, "psnr": 18.0}]}])
    assert (found.word, found.slope, found.trained) == (None, "", True)


# -- leads, as far as curves allow ---------------------------------------------------------------------------------


def unfinished(slope: float, low: float = math.nan, high: float = math.nan) -> Learned:
    return Learned("unfinished", Interval(slope, low, high))


DONE = Learned("converged", Interval(0.0, -0.05, 0.05))


@pytest.mark.parametrize(
    ("gap", "rising", "said"),
    [
        (1.0, Interval(0.5, math.nan, math.nan), "about 4.0 times"),
        (1.0, Interval(0.5, 0.25, 1.0), "about 4.0 times (2.0 to 16 times)"),
        (1.0, Interval(0.5, 0.1, 1.0), "about 4.0 times (2.0 to more than 100 times)"),
        (1.0, Interval(0.5, -0.1, 1.1), "about 4.0 times (1.9 to more than 100 times)"),
        (7.0, Interval(1.0, 0.9, 1.1), "more than 100 times"),
        (1.0, Interval(-0.5, -0.6, -0.4), "more than 100 times"),
        (1e6, Interval(0.2, 0.1, 0.3), "more than 100 times"),
    ],
)
def test_a_gap_over_a_slope_is_doublings(gap: float, rising: Interval, said: str) -> None:
    assert learned.times_text(learned.times_needed(gap, rising)) == said


def test_between_finished_networks_the_words_stand() -> None:
    rivals = [Rival("b", DONE, Interval(1.0, 0.9, 1.1)), Rival("c", Learned(), Interval(1.0, 0.9, 1.1))]
    assert learned.outlook("a", DONE, rivals) == ""


def test_an_unfinished_network_behind_has_the_training_that_it_would_need() -> None:
    rival = Rival("b", unfinished(0.5), Interval(1.0, 0.9, 1.1))
    assert learned.outlook("a", DONE, [rival]) == (
        "b would need about 4.0 times the training to close the gap at its present slope (+0.50 dB per doubling)"
    )
    assert learned.catching_up(rival) == "about 4.0 times"
    assert learned.catching_up(Rival("b", DONE, rival.gap)) == ""


def test_a_gap_that_hardly_more_training_closes_is_no_number() -> None:
    assert learned.times_text(learned.times_needed(0.01, Interval(1.0, 0.9, 1.1))) == "less than 1.1 times"


def test_of_several_that_one_is_named_which_catches_up_first() -> None:
    rivals = [
        Rival("b", unfinished(0.2), Interval(1.0, 0.9, 1.1)),
        Rival("c", unfinished(1.0), Interval(2.0, 1.9, 2.1)),
        Rival("d", DONE, Interval(0.2, 0.1, 0.3)),
    ]
    said = learned.outlook("a", DONE, rivals)
    assert said.startswith("c would need about 4.0 times the training")


def test_a_leader_that_still_learns_says_so_itself() -> None:
    leader = Learned("unfinished", Interval(0.4, 0.3, 0.5))
    assert learned.outlook("a", leader, [Rival("b", DONE, Interval(1.0, 0.9, 1.1))]) == (
        "a itself is still rising by 0.40 dB per doubling of its training"
    )
    tied = Rival("b", unfinished(0.7), Interval(0.1, -0.1, 0.3))
    assert learned.outlook("a", DONE, [tied]) == "b is still rising by 0.70 dB per doubling of its training"
    older = replace(leader, tested=True)
    assert learned.outlook("a", older, []).endswith("of its training (from the curve on test images)")


# -- the first finding ---------------------------------------------------------------------------------------------


def only_conv(word: str) -> Word:
    return lambda cell: word if cell["architecture"] == "conv" else "converged"


def test_untrained_networks_are_the_first_thing_said(folder: Path, tmp_path: Path) -> None:
    first = report.findings(told(folder, tmp_path / "run", only_conv("untrained")))[0]
    # 4,096 images of which 3,687 are trained on, in batches of 128 for 6 epochs: 29 updates an epoch.
    assert first == (
        "4 of 8 networks (9 of 19 trials) have not learned to denoise: they are no better than the mean training "
        "image (9.9 dB). They are conv (latent 64, BCE) and conv (latent 64, MSE). Train longer, for more epochs: they "
        "have seen 174 updates. Of these, read only the speeds."
    )


def test_a_collapse_has_its_own_remedy(folder: Path, tmp_path: Path) -> None:
    def word(cell: dict[str, Any]) -> str:
        collapsed = (cell["architecture"], cell["loss"], cell["corruption"]) == ("conv", "mse", "gaussian(0.4)")
        return "collapsed" if collapsed else "converged"

    first = report.findings(told(folder, tmp_path / "run", word))[0]
    assert first.startswith("1 of 8 networks (3 of 19 trials) has not learned to denoise: it is no better than the")
    assert f"It no longer learns (collapsed): {REMEDIES}; it has seen 174 updates" in first
    bce = report.findings(told(folder, tmp_path / "bce", lambda cell: word({**cell, "loss": _other(cell["loss"])})))[0]
    assert "(collapsed): try smaller batches or another learning rate; it has seen" in bce, "that loss was tried"


def _other(loss: str) -> str:
    return "mse" if loss == "bce" else "bce"


def test_where_all_are_untrained_nothing_else_is_said_of_quality(folder: Path, tmp_path: Path) -> None:
    run = told(folder, tmp_path / "run", lambda cell: "untrained")
    analysis = analyse(run)
    found = sentences.findings(analysis)
    assert found[0].headline == "None of the 8 networks (19 trials) has learned to denoise"
    assert found[0].detail.endswith("Read only the speeds")
    assert not {"Quality", "Agreement", "Time to PSNR", "Worth"} & {one.topic for one in found}
    assert "Speed" in {one.topic for one in found}
    assert analysis.advice is not None
    assert analysis.advice.headline == (
        "Nothing can be recommended: no network has learned to denoise under all conditions"
    )
    assert analysis.advice.commands == ()
    assert not any(point.best for point in frontier(run, analysis.loads)[0])
    html = report.publish([run.folder]).path.read_text()
    assert "has learned to denoise" in html


def test_without_speeds_there_are_none_to_read(folder: Path, tmp_path: Path) -> None:
    whole = told(folder, tmp_path / "run", only_conv("untrained"))
    run = replace(whole, current=tuple(record for record in whole.current if record["kind"] == "trial"))
    assert "read only the speeds" not in report.findings(run)[0]


# -- shown, and never ranked ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """conv, which has the higher PSNR, has learned nothing; dense has finished."""
    return told(folder, tmp_path_factory.mktemp("untrained") / "run", only_conv("untrained"))


def test_who_has_not_learned_never_denoises_best(folder: Path, untrained: Run) -> None:
    before = analyse(load_run(folder)).quality.standings()[0]
    assert before[0].label.startswith("conv"), "else this would show nothing"
    analysis = analyse(untrained)
    (said,) = (one.sentence for one in sentences.findings(analysis) if one.topic == "Quality")
    assert said.startswith("dense (latent 64, MSE) denoises best, ")
    assert "conv" not in said
    assert "so far" not in said
    advice = analysis.advice
    assert advice is not None
    assert advice.headline.startswith("Take dense (latent 64,")
    known = dict(advice.facts)
    assert "conv" not in known["Quality"]
    assert known["Not considered"].startswith("conv (latent 64, MSE) and conv (latent 64, BCE) are no better than")


def test_nothing_untrained_is_on_the_frontier_and_nothing_is_beaten_by_it(untrained: Run) -> None:
    points, _ = frontier(untrained, analyse(untrained).loads)
    assert {point.network for point in points} == {"conv", "dense"}, "shown all the same"
    assert {point.network for point in points if point.best} == {"dense"}
    table = tables.frontier_table(points)
    marks = {(row[1].text, row[-1].text) for row in table.rows}
    assert marks == {("conv", "untrained"), ("dense", "converged")}
    marked = charts.frontier_chart(points)
    assert "✕" in json.dumps(marked.spec, ensure_ascii=False)
    assert "conv" not in marked.summary


def test_tables_and_charts_mark_them(untrained: Run) -> None:
    found = quality(untrained)
    heat = quality_tables.quality_table(found)
    conv = [index for index, title in enumerate(heat.columns) if title.startswith("conv")]
    for row in heat.rows:
        for index, cell in enumerate(row[2:], 2):
            assert (cell.note == "untrained") == (index in conv) == (cell.kind == "heat unlearned")
            assert not (index in conv and "best" in cell.kind)
        assert any("best" in cell.kind for cell in row)
    assert "hatched" in heat.caption
    standings = quality_tables.standings_table(found)
    assert [row[-1].text for row in standings.rows] == ["converged"] * 2 + ["untrained"] * 2
    assert standings.kinds[2:] == ["unranked", "unranked"]
    assert "leader" in standings.kinds[:2]
    every = tables.status_table(untrained.current)
    words = {row[every.columns.index("learned")].text for row in every.rows if row[0].text == "trial"}
    assert words == {"untrained", "converged", "–"}
    drawn = charts.quality_chart(found)
    assert "(dense, latent 64," in drawn.summary
    assert "✕" in json.dumps(drawn.spec, ensure_ascii=False)


def test_the_mildest_worst_case_is_of_a_network_that_has_learned() -> None:
    gains = {("a", "b"): Interval(1.0, 0.9, 1.1), ("b", "a"): Interval(1.2, 1.1, 1.3)}
    worse = {pair: Interval(gain.value - 3, gain.low - 3, gain.high - 3) for pair, gain in gains.items()}
    nothing = learned.learned([trial(0, "untrained")])
    found = [robustness.Matrix("dense", gains, DONE), robustness.Matrix("conv", worse, nothing)]
    said = robustness.said(found)
    assert said is not None
    assert "conv" not in " ".join(said)
    assert robustness.said(found[1:]) is None
    assert [row[0].note for row in robustness.worst_table(found).rows] == ["", "untrained"]


# -- so far --------------------------------------------------------------------------------------------------------


def test_a_lead_over_networks_that_still_learn_is_one_so_far(folder: Path, tmp_path: Path) -> None:
    """conv leads; dense is 0.35 dB behind and rises by 0.175 dB per doubling: two of them."""
    word: Word = lambda cell: "converged" if cell["architecture"] == "conv" else "unfinished"  # noqa: E731
    analysis = analyse(told(folder, tmp_path / "run", word, slope=0.175))
    (said,) = (one for one in sentences.findings(analysis) if one.topic == "Quality")
    assert said.headline.startswith("conv (latent 64, MSE) denoises best so far, ")
    (dense,) = (one for one in analysis.quality.standings()[0] if one.label == "dense (latent 64, MSE)")
    first = analysis.quality.standings()[0][0]
    times = 2 ** ((first.gain.value - dense.gain.value) / 0.175)
    assert 2 < times < 10
    assert f"dense (latent 64, MSE) would need about {times:.1f} times" in said.detail
    assert analysis.advice is not None
    assert "to close the gap at its present slope" in dict(analysis.advice.facts)["So far"]
    table = quality_tables.standings_table(analysis.quality)
    (note,) = (row[-1].note for row in table.rows if row[0].text == "dense" and row[2].text == "MSE")
    assert note.startswith("+0.17 dB per doubling; about ") or note.startswith("+0.18 dB per doubling; about ")
    heat = quality_tables.quality_table(analysis.quality)
    assert "↗" in heat.caption
    assert any("↗\u00a00.17" in cell.note or "↗\u00a00.18" in cell.note for row in heat.rows for cell in row)


def test_finished_networks_are_compared_as_before(folder: Path, tmp_path: Path) -> None:
    run = told(folder, tmp_path / "run", lambda cell: "converged")
    said = report.findings(run)
    assert not any("so far" in one or "learned" in one for one in said)
    assert any(one.startswith("conv (latent 64, MSE) denoises best, ") for one in said)


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_older_runs_are_told_by_their_curves_on_test_images(name: str) -> None:
    run = load_run(PUBLISHED / name)
    (said,) = (one for one in sentences.findings(analyse(run)) if one.topic == "Quality")
    assert "so far" in said.headline
    assert "from the curve on test images" in said.detail
    table = quality_tables.standings_table(quality(run.matched))
    assert "from the curve on test images" in table.caption
    assert {row[-1].text for row in table.rows} <= {"unfinished", "converged"}


# -- curves and facts ----------------------------------------------------------------------------------------------


def test_curves_stand_beside_the_noisy_input_and_the_mean_training_image(folder: Path, untrained: Run) -> None:
    page = make_page(untrained)
    for by_epochs, by_seconds in page.curves:
        for one in (by_epochs, by_seconds):
            assert "noisy input" in json.dumps(one.spec)
            assert "mean training image" in json.dumps(one.spec)
            assert "mean training image 9.90 dB" in one.summary
    assert (page.curves_of, page.curves_flat) == ("validation images", True)
    older = make_page(load_run(folder))
    assert (older.curves_of, older.curves_flat) == ("test images", False)
    assert "mean training image" not in json.dumps([one.spec for pair in older.curves for one in pair])


def test_the_fact_sheet_has_epochs_as_run_and_images_as_counted(folder: Path, tmp_path: Path, untrained: Run) -> None:
    known = dict(facts.fact_sheet(untrained))
    assert known["Training"].startswith("6 epochs, ")
    assert known["Images"] == "3,687 training, 409 validation, 512 test"
    assert "Images" not in dict(facts.fact_sheet(load_run(folder)))

    def change(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] != "trial" or record["status"] != "ok":
            return record
        made = fake_run.lesson(record, "converged")
        dense = record["cell"]["architecture"] == "dense"
        return {**made, "curve": made["curve"][:3] if dense else made["curve"],
                "stopped": "converged" if dense else "budget"}  # fmt: skip

    mixed = dict(facts.fact_sheet(load_run(changed(folder, tmp_path / "run", change))))
    assert mixed["Training"].startswith("3/6 epochs (stopped: 10 converged, 10 by budget), ")


def test_a_table_for_pandas_has_the_word(untrained: Run) -> None:
    trials = untrained.frame("trial")
    assert set(trials[trials.architecture == "conv"].learned.dropna()) == {"untrained"}
    assert "learned" not in untrained.frame("timing").columns


# -- what one seed, or a native network, may hide ------------------------------------------------------------------


def test_one_seed_of_several_that_did_not_learn_is_counted(tmp_path: Path) -> None:
    size = replace(SIZE, backends=("torch",), losses=("mse",), seeds=(0, 1, 2), full=("torch",))
    folder = fake_run.make_run(tmp_path / "fake", size, ["trial"])

    def word(cell: dict[str, Any]) -> str:
        return "untrained" if (cell["architecture"], cell["seed"]) == ("conv", 1) else "converged"

    run = told(folder, tmp_path / "run", word)
    first = report.findings(run)[0]
    assert first.startswith("2 of 4 networks (2 of 12 trials) have not learned to denoise")
    assert "2 of them with some seeds only" in first
    (row,) = (row for row in quality_tables.standings_table(quality(run)).rows if row[0].text == "conv")
    assert (row[-1].text, row[-1].note.split(",")[0]) == ("untrained", "1 of 3 seeds")
