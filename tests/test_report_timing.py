"""What the report says of timing: steady states, break-even, time to PSNR, finer figures, the synchronisation audit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import report
from report import sentences, text
from report.page import make_page, render
from report.sentences import analyse
from report.tables import Table
from report.tracks import gains
from report.tradeoff import frontier, panels
from results.loading import Run, load_run, merge
from tests import fake_run
from tests.valid_charts import check_charts

PUBLISHED = sorted(path.parent for path in Path("results/published").glob("*/records.jsonl"))
Change = Callable[[dict[str, Any]], dict[str, Any] | None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run.make_run(tmp_path_factory.mktemp("runs") / "fake")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return load_run(folder)


def changed(folder: Path, target: Path, change: Change) -> Run:
    """A copy of a run whose records went through ``change`` (None drops one)."""
    shutil.copytree(folder, target)
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    lines = [json.dumps(made) + "\n" for record in records if (made := change(record)) is not None]
    (target / "records.jsonl").write_text("".join(lines))
    return load_run(target)


def of(record: dict[str, Any], kind: str, **axes: Any) -> bool:
    """Whether a record is an ok one of a kind with these axes."""
    cell = record["cell"]
    return record["kind"] == kind and record["status"] == "ok" and all(cell[name] == axes[name] for name in axes)


def finding(run: Run, topic: str) -> str:
    return " | ".join(found.sentence for found in sentences.findings(analyse(run)) if found.topic == topic)


def column(table: Table, title: str) -> list[str]:
    index = table.columns.index(title)
    return [row[index].text for row in table.rows]


# -- steady states and disturbances --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "doubt"),
    [("no_steady_state", "no steady state"), ("inconsistent", "its processes do not settle alike"),
     ("slowdown", None), ("warmup", None), ("flat", None), ("too_short", None)],
)  # fmt: skip
def test_without_a_steady_state_a_contestant_is_shown_not_ranked(
    folder: Path, tmp_path: Path, kind: str, doubt: str | None
) -> None:
    who = {"backend": "keras[tensorflow]", "track": "tuned", "architecture": "dense"}

    def unsettle(record: dict[str, Any]) -> dict[str, Any]:
        return record | {"steady": {"train": kind}} if of(record, "timing", **who) else record

    run = changed(folder, tmp_path / "run", unsettle)
    dense = next(load for load in analyse(run).loads if load.label == "dense")
    (standing,) = (s for s in dense.standings if s.contestant.name == "keras[tensorflow] tuned")
    assert standing.contestant.doubt == doubt
    # It is the fastest of the network, so whoever is second leads without it.
    assert (standing.rank, dense.leaders[0].contestant.name) == (
        (1, "keras[tensorflow] tuned") if doubt is None else (None, "keras[jax] tuned")
    )
    assert ("dense: keras[tensorflow] tuned" in finding(run, "Steadiness")) == (doubt is not None)
    table = make_page(run).speed[1][2]
    notes = [row[1].note for row in table.rows if row[1].text == "keras[tensorflow]"]
    assert any(f"not ranked: {doubt}" in note for note in notes) == (doubt is not None)
    assert any("slows down" in note for note in notes) == (kind == "slowdown")


def test_an_unranked_contestant_is_in_no_comparison(folder: Path, tmp_path: Path) -> None:
    def unsettle(record: dict[str, Any]) -> dict[str, Any]:
        return record | {"steady": {"train": "no_steady_state"}} if of(record, "timing", backend="torch") else record

    found = analyse(changed(folder, tmp_path / "run", unsettle))
    names = {one.backend for start in found.starts for meeting in start.meetings for one in (meeting.a, meeting.b)}
    assert names
    assert "torch" not in names
    assert found.race is not None
    assert "torch" not in {attempt.contestant.backend for attempt in found.race.attempts}


def test_what_a_session_warns_of_stands_beside_its_speeds(folder: Path, tmp_path: Path) -> None:
    def warn(record: dict[str, Any]) -> dict[str, Any]:
        if of(record, "timing", architecture="conv"):
            return record | {"warnings": ["too disturbed: 9 of 12 blocks"]}
        return (
            record | {"warnings": ["one odd thing"]} if of(record, "timing", backend="torch", track="tuned") else record
        )

    run = changed(folder, tmp_path / "run", warn)
    html = report.write_report([run.folder]).read_text()
    assert "conv: too disturbed: 9 of 12 blocks (all contestants)" in html
    assert "dense: one odd thing (torch tuned)" in html
    assert not any("disturbed" in line for line in make_page(run).warnings)


@pytest.mark.parametrize("what", ["imported_with", "prepared_with"])
def test_what_starts_side_by_side_is_said_to(run: Run, folder: Path, tmp_path: Path, what: str) -> None:
    def together(record: dict[str, Any]) -> dict[str, Any]:
        for entry in record.get("samples", {}).get("rounds", []):
            entry[what] = 1
        return record

    said = "Processes started side by side"
    assert said not in render(make_page(run))
    assert said in render(make_page(changed(folder, tmp_path / "run", together)))


def test_columns_of_what_nobody_measured_are_left_out(run: Run, folder: Path, tmp_path: Path) -> None:
    def without_inference(record: dict[str, Any]) -> dict[str, Any]:
        metrics = record.get("metrics", {})
        record["metrics"] = {name: value for name, value in metrics.items() if not name.startswith("inference_s")}
        return record

    whole = make_page(run).speed[0][2].columns
    spared = make_page(changed(folder, tmp_path / "run", without_inference)).speed[0][2]
    assert [name for name in whole if name not in spared.columns] == [
        name for name in whole if name.startswith("inference")
    ]
    assert {len(row) for row in spared.rows} == {len(spared.columns)}
    assert spared.numeric == frozenset(range(2, len(spared.columns)))


def test_disturbed_blocks_are_counted(run: Run) -> None:
    table = make_page(run).details[0]
    assert set(column(table, "blocks disturbed")) == {
        "1 of 25"
    }  # 5 rounds of 5 blocks, the last of the first disturbed


# -- finer figures -------------------------------------------------------------------------------------------------


def test_the_details_have_a_column_for_whatever_was_measured(run: Run) -> None:
    table = make_page(run).details[0]
    assert table.columns == [
        "backend, track", "series", "blocks disturbed", "step, ms", "latency p50, ms", "p95, ms", "p99, ms",
        "batch 1, images/s", "batch 32, images/s", "batch 128, images/s", "batch 1,024, images/s",
    ]  # fmt: skip
    assert set(column(table, "series")) == {"flat", "warms up"}
    for title in ("latency p50, ms", "p95, ms", "p99, ms"):
        assert all(float(value) > 0 for value in column(table, title))
    assert [float(a) < float(b) < float(c) for a, b, c in zip(*(column(table, title) for title in table.columns[4:7]),
                                                             strict=True)] == [True] * len(table.rows)  # fmt: skip


def test_energy_is_a_figure_or_a_reason(run: Run, folder: Path, tmp_path: Path) -> None:
    page = make_page(run)
    assert page.energy == ["this machine shows no energy counters"]
    assert "energy, J/image" not in page.details[0].columns

    def measure(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] == "timing" and record["status"] == "ok":
            figures = {"train_joules_per_sample": 0.0021, "train_joules_per_sample_low": 0.0020,
                       "train_joules_per_sample_high": 0.0022}  # fmt: skip
            return record | {"energy": "measured", "metrics": record["metrics"] | figures}
        return record

    measured = make_page(changed(folder, tmp_path / "run", measure))
    assert measured.energy == []
    assert set(column(measured.details[0], "energy, J/image")) == {"0.00210"}


def test_inference_by_batch_size_is_drawn(run: Run) -> None:
    for chart in make_page(run).batches:
        rows = chart.spec["layer"][0].get("data", chart.spec.get("data"))["values"]
        assert {row["batch"] for row in rows} == set(fake_run.BATCHES)
        assert "in batches of 1024" in chart.summary  # the fake rates grow with the batch


def test_speeds_are_shares_of_the_measured_peak(run: Run) -> None:
    page = make_page(run)
    table = page.speed[1][2]
    row = next(row for row in table.rows if row[1].text == "keras[tensorflow]" and row[1].note == "tuned")
    shares = {title: row[table.columns.index(title)].text for title in ("training, of peak", "inference, of peak")}
    # 60,000 images/s of 2.9 MFLOP are 174 of 200 GFLOP/s; inference is three times as fast, at 1.1 MFLOP.
    assert {name: float(share.removesuffix(" %")) for name, share in shares.items()} == {
        "training, of peak": pytest.approx(87, abs=4),
        "inference, of peak": pytest.approx(99, abs=5),
    }
    assert page.peaks is not None
    assert [cell.text for cell in page.peaks.rows[0]] == [
        "cpu, float32, 1 thread", "200 GFLOP/s", "12.5 GB/s", "16 FLOP/byte"
    ]  # fmt: skip


def test_peaks_of_another_setting_are_no_measure(folder: Path, tmp_path: Path) -> None:
    run = changed(folder, tmp_path / "run", lambda record: record)
    about = json.loads((run.folder / "run.json").read_text())
    about["environments"][fake_run.ENVIRONMENT]["peaks"][0]["threads"] = 8
    (run.folder / "run.json").write_text(json.dumps(about))
    assert set(column(make_page(load_run(run.folder)).speed[0][2], "training, of peak")) == {"–"}


# -- ties ----------------------------------------------------------------------------------------------------------


def test_no_measurable_difference_is_more_than_not_told_apart(run: Run, folder: Path, tmp_path: Path) -> None:
    def scatter(record: dict[str, Any]) -> dict[str, Any]:
        # The second of the tied two: every other round 15 % slower or faster, so that the tie is known badly.
        if of(record, "timing", backend="torch", track="tuned", architecture="conv"):
            for entry in record["samples"]["rounds"]:
                factor = 1.15 if entry["round"] % 2 else 1 / 1.15
                entry["train"] = [[samples, factor * seconds] for samples, seconds in entry["train"]]
        return record

    known, unknown = run, changed(folder, tmp_path / "run", scatter)
    for which, same, words in ((known, True, "no difference within 3 %"), (unknown, False, "not told apart")):
        first, second = analyse(which).loads[0].leaders
        assert (first.same, second.same) == (False, same)
        assert words in " ".join(row[3].note for row in make_page(which).speed[0][2].rows)
    assert "without a measurable difference (within 3 %)" in finding(known, "Speed")
    assert "can not be told apart" in finding(unknown, "Speed")


# -- tracks ----------------------------------------------------------------------------------------------------------


def test_what_tuning_brings_is_a_table_and_a_sentence(run: Run) -> None:
    found = gains(analyse(run).loads)
    assert len(found) == 5
    torch = next(gain for gain in found if (gain.backend, gain.load.axes["architecture"]) == ("torch", "dense"))
    assert torch.ratio.value == pytest.approx(29_000 / 23_000, rel=0.03)
    table = make_page(run).gains
    assert table is not None
    assert table.columns == ["", "keras[tensorflow]", "keras[jax]", "torch"]
    shown = {row[0].text: row[1:] for row in table.rows}
    assert [cell.text for row in shown.values() for cell in row].count("–") == 1
    cell = shown[torch.load.label][-1]
    assert cell.text == text.ratio(torch.ratio)
    assert cell.note.endswith(" images/s")
    said = finding(run, "Tuning")
    assert len(re.findall(r"\[\d", said)) == 5, "an interval each"


def test_many_comparisons_are_counted_and_not_recited(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "MOST_COMPARISONS", 4)
    ratios = sorted(gains(analyse(run).loads), key=lambda gain: gain.ratio.value)
    said = finding(run, "Tuning")
    assert said.endswith(f"ratio of rates from {ratios[0].said} to {ratios[-1].said} (n = 5 rounds).")
    assert finding(run, "Break-even").endswith("of 5 comparisons.")


# -- break-even ----------------------------------------------------------------------------------------------------


def test_break_even_is_told_in_images_and_epochs(run: Run) -> None:
    said = finding(run, "Break-even")
    # dense, torch: the first step takes 2.5 s instead of 0.4 s, and 1/23,000 - 1/29,000 s are saved an image:
    # 233,000 images, 57 epochs of 4,096; 5 % of noise in the 2.1 s, and more in the difference of the rates.
    (meeting,) = (m for m in analyse(run).starts[1].of_tracks if m.a.backend == "torch")
    assert meeting.found.kind == "overtakes"
    assert meeting.found.images.value == pytest.approx(2.1 / (1 / 23_000 - 1 / 29_000), rel=0.15)
    assert meeting.found.images.low < 233_000 < meeting.found.images.high
    assert "epochs of glyphs" in said
    assert "tuned is ahead of idiomatic after some time in 5 of 5 comparisons" in said
    table = make_page(run).starts[1][1]
    assert set(column(table, "outcome")) <= {"overtakes it", "ahead from the start"}
    assert len(table.rows) == 3 + 6 - 1  # tracks of 3 backends (keras[torch]'s has no certificate), the first against 6


def test_what_is_undecided_is_said_to_be_open(run: Run) -> None:
    analysis = analyse(run)

    def said(undecided: int, of: int) -> str:
        """Of that many comparisons of tracks, with the first of them undecided."""
        meetings = [meeting for start in analysis.starts for meeting in start.of_tracks][:of]
        made = tuple(
            replace(one, found=replace(one.found, kind="undecided")) if place < undecided else one
            for place, one in enumerate(meetings)
        )
        (found,) = sentences.breakeven_findings([replace(analysis.starts[0], meetings=made)], analysis.epoch)
        return found.sentence

    assert "tuned is ahead of idiomatic after some time in 2 of 3 comparisons, undecided in 1: " in said(1, 3)
    assert (
        said(3, 3)
        == "Counted from a cold start, it is open whether tuned is ever ahead of idiomatic, in all 3 comparisons."
    )
    assert "it is open whether " in said(1, 1)
    assert "undecided" not in said(0, 3)


def test_who_is_first_from_how_many_images_on(run: Run) -> None:
    dense = analyse(run).starts[1]
    assert dense.ahead[0][0].name == "torch idiomatic"  # 1.3 + 0.02 + 0.4 s to start, the least of all
    assert dense.ahead[-1][0].name == "keras[tensorflow] tuned"  # the fastest
    images = [number for _, number in dense.ahead]
    assert images[0] == 0
    assert images == sorted(images)
    said = make_page(run).starts[1][2]
    assert said.startswith("dense: torch idiomatic is first from the start; ")
    assert "keras[tensorflow] tuned from " in said


# -- time to PSNR --------------------------------------------------------------------------------------------------


def test_time_to_psnr_counts_cold_costs_and_epochs_at_the_measured_rate(run: Run) -> None:
    found = analyse(run).race
    assert found is not None
    assert (found.condition, found.images) == ("glyphs, gaussian(0.2)", 4096)
    # All backends were trained under the first corruption: every ranked contestant takes part.
    ranked = sum(len(load.ranked) for load in analyse(run).loads)
    assert len(found.attempts) == ranked > 8
    first = found.winner
    assert first is not None
    ends = [attempt.expected[-1].value for attempt in found.attempts if attempt.expected[-1] is not None]
    assert first.expected[-1] is not None
    assert first.expected[-1].value == min(ends) == ends[0]
    (torch,) = (a for a in found.attempts if a.contestant.name == "torch tuned" and a.network.startswith("dense"))
    epochs = torch.reaches[0].typical_epochs
    assert epochs is not None
    assert torch.expected[0] is not None
    # Cold 1.3 + 0.02 + 0.01 + 2.5 s, drawn with some per cent of noise; 29,000 images/s.
    assert torch.expected[0].value == pytest.approx(3.83 + epochs * 4096 / 29_000, rel=0.1)
    assert torch.own
    assert torch.reaches[0].typical_seconds == pytest.approx(epochs * 4096 / 29_000 * 1.1)


def test_copies_of_the_training_images_are_images_of_an_epoch(folder: Path, tmp_path: Path) -> None:
    def doubled(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] == "trial":
            record["cell"] |= {"repeats": 2}
        return record

    run = changed(folder, tmp_path / "run", doubled)
    analysis = analyse(run)
    assert analysis.race is not None
    assert analysis.race.images == 2 * 4096
    assert analysis.epoch is not None
    assert analysis.epoch.size == 2 * 4096
    found = analysis.race.attempts
    (torch,) = (a for a in found if a.contestant.name == "torch tuned" and a.network.startswith("dense"))
    epochs = torch.reaches[0].typical_epochs
    assert epochs is not None
    assert torch.expected[0] is not None
    assert torch.expected[0].value == pytest.approx(3.83 + epochs * 2 * 4096 / 29_000, rel=0.1)
    _, dense = panels(run, analysis.loads)
    (curve,) = (curve for curve in dense.curves if curve.who == "torch")
    assert curve.seconds[1] - curve.seconds[0] == pytest.approx(2 * 4096 / 29_000, rel=0.1)


def test_seconds_and_rates_of_two_machines_are_not_compared(folder: Path, run: Run, tmp_path: Path) -> None:
    """The same run once more, from a machine at a tenth of the speed."""

    def slow(record: dict[str, Any]) -> dict[str, Any] | None:
        if record["fingerprint"] == fake_run.OLD_FINGERPRINT:
            return None
        record["environment"] = "slow"
        record["fingerprint"] = "s" * len(record["fingerprint"])
        record["id"] = record["id"].partition("-")[0] + "-" + record["fingerprint"]
        if record["kind"] == "timing" and record["status"] == "ok":
            for entry in record["samples"]["rounds"]:
                entry["train"] = [[images, 10 * seconds] for images, seconds in entry["train"]]
            for name in record["metrics"]:
                if name.startswith("train_samples_per_second"):
                    record["metrics"][name] /= 10
        return record

    both = merge([run, changed(folder, tmp_path / "slow", slow)])
    analysis = analyse(both)
    alone = analyse(run)
    assert analysis.race is not None
    assert alone.race is not None
    named = [(one.contestant.name, one.network) for one in analysis.race.attempts]
    assert sorted(named) == sorted((one.contestant.name, one.network) for one in alone.race.attempts)
    points, _ = frontier(both, analysis.loads)
    best = [point for point in frontier(run, alone.loads)[0] if point.best]
    assert len([point for point in points if point.best]) == 2 * len(best), "each machine has a frontier of its own"


def test_the_idiomatic_track_borrows_the_curve_of_its_own_backend(run: Run) -> None:
    found = analyse(run).race
    assert found is not None
    idiomatic = [attempt for attempt in found.attempts if attempt.contestant.track == "idiomatic"]
    assert idiomatic
    assert not any(attempt.own for attempt in idiomatic)
    for attempt in idiomatic:
        twins = [a for a in found.attempts if (a.network, a.contestant.backend, a.own) == (
            attempt.network, attempt.contestant.backend, True)]  # fmt: skip
        assert all(twin.best == attempt.best for twin in twins)


def test_no_target_is_one_that_the_noisy_input_has(folder: Path, tmp_path: Path) -> None:
    before = analyse(load_run(folder)).race
    assert before is not None
    (target,) = before.targets

    def noisy(value: float) -> Change:
        def change(record: dict[str, Any]) -> dict[str, Any]:
            if record["kind"] == "trial" and "psnr_noisy" in record.get("metrics", {}):
                record["metrics"]["psnr_noisy"] = value
            return record

        return change

    just_above = analyse(changed(folder, tmp_path / "above", noisy(target - 0.1))).race
    assert just_above is not None
    assert just_above.targets == before.targets
    run = changed(folder, tmp_path / "at", noisy(float(target)))
    analysis = analyse(run)
    assert analysis.race is None, "nobody comes to a whole dB above the noisy input: there is no race"
    assert not any(one.topic == "Time to PSNR" for one in sentences.findings(analysis))
    assert make_page(run, analysis).races == []


def test_who_does_not_reach_a_target_is_said_to_and_comes_last(folder: Path, tmp_path: Path) -> None:
    def stunt(record: dict[str, Any]) -> dict[str, Any]:
        if of(record, "trial", architecture="dense"):
            for entry in record["curve"]:
                entry["psnr"] -= 2.0
        return record

    run = changed(folder, tmp_path / "run", stunt)
    found = analyse(run).race
    assert found is not None
    low, high = found.targets
    assert high - low >= 1
    (table,) = make_page(run).races
    last = column(table, f"to {high} dB")
    assert "not reached" in last
    assert last == sorted(last, key=lambda value: value == "not reached")
    assert "not reached" not in column(table, f"to {low} dB")
    late = last.count("not reached")
    assert f"{late} of {len(last)} timed contestants do not reach it" in finding(run, "Time to PSNR")


# -- certificates --------------------------------------------------------------------------------------------------


def test_the_synchronisation_audit_is_part_of_the_certificates(run: Run, folder: Path, tmp_path: Path) -> None:
    table = make_page(run).audit
    assert table is not None
    assert len(table.rows) == 8  # backends x tracks, one device
    assert set(column(table, "synchronize()")) == {"✓ waits"}
    assert column(table, "training: done without").count("30.0 %") == 1  # only jax's tuned track comes back early

    def break_one(record: dict[str, Any]) -> dict[str, Any]:
        if of(record, "certificate", backend="torch", track="tuned", architecture="dense", loss="mse"):
            (check,) = (check for check in record["checks"] if check["quantity"] == "synchronisation")
            check |= {"ok": False, "deviation": 9.0}
            return record | {"status": "parity_failed", "reason": "synchronize() does not wait for train_epoch"}
        return record

    broken = changed(folder, tmp_path / "run", break_one)
    table = make_page(broken).audit
    assert table is not None
    assert column(table, "synchronize()").count("✗ does not wait") == 1
    assert "and 2 more: shown, not ranked" in finding(broken, "Certificates")  # two of keras[torch] fail anyway
    departures = make_page(broken).certificates[1]
    where = dict(zip(column(departures, "contestant"), column(departures, "first departs at"), strict=True))
    assert where == {"keras[torch] tuned": "weights after 10 steps", "torch tuned": "synchronisation"}
    dense = next(load for load in analyse(broken).loads if load.label == "dense")
    assert next(s.rank for s in dense.standings if s.contestant.name == "torch tuned") is None


# -- older records -------------------------------------------------------------------------------------------------


class Text(HTMLParser):
    """The text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._raw = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        self.parts += [] if self._raw else [data]


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda path: path.name)
def test_published_runs_still_make_a_report(published: Path, tmp_path: Path) -> None:
    html = report.write_report([published], tmp_path / "report.html").read_text()
    said = " ".join("".join(Text(html).parts).split())
    assert "nan" not in said.lower().replace("nano", "")
    assert "None" not in said
    assert check_charts(html) > 0
    run = load_run(published)
    trained, timed = ({record["cell"]["threads"] for record in run.of(kind)} for kind in ("trial", "timing"))
    # An epoch on two threads says nothing of trials on one.
    race = analyse(run).race
    assert ("Time to PSNR" in said) == (race is not None)
    assert race is None or trained & timed, "nor is there one to a PSNR that the noisy input has"


def test_there_are_published_runs() -> None:
    assert len(PUBLISHED) >= 2


def test_records_from_before_these_figures_have_the_columns_they_always_had(folder: Path, tmp_path: Path) -> None:
    def age(record: dict[str, Any]) -> dict[str, Any]:
        new = ("latency_p50", "latency_p99", "train_step", "inference_samples_per_second_b", "sync_")
        metrics = {name: value for name, value in record.get("metrics", {}).items() if not name.startswith(new)}
        for entry in record.get("samples", {}).get("rounds", []):
            entry.pop("conditions", None)
        old = {name: value for name, value in record.items() if name not in ("steady", "energy", "audit")}
        return old | {"metrics": metrics} if metrics else old

    run = changed(folder, tmp_path / "run", age)
    about = json.loads((run.folder / "run.json").read_text())
    del about["environments"][fake_run.ENVIRONMENT]["peaks"]
    (run.folder / "run.json").write_text(json.dumps(about))
    page = make_page(load_run(run.folder))
    assert page.speed[0][2].columns[-2:] == ["GFLOP/s", "n"]
    assert page.details[0].columns == ["backend, track", "latency p50, ms", "p95, ms"]
    assert page.batches == []
    assert page.energy == []
    assert page.audit is None
    assert len(page.starts) == 2
