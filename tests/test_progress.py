"""What a person sees of a run: lines that say what came out, and when it will be done."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import estimate, progress
from bench.cells import Point, TimingCell, TrialCell
from bench.plan import Plan
from bench.records import Ended, make_record
from results.schema import Record

PUBLISHED = Path(__file__).parents[1] / "results" / "published"


def trial(**axes: Any) -> TrialCell:
    return TrialCell(**{"backend": "fake", "track": "idiomatic", "architecture": "dense", "latent": 4, **axes})


def timed(**axes: Any) -> TimingCell:
    return TimingCell.from_axes(trial(**axes).axes())


def expected(*cells: Point, seconds: float = 0.0) -> progress.Expected:
    """Every cell as much as every other."""
    return progress.Expected(seconds, dict.fromkeys(cells, 3.0))


def test_long_steps_are_told_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    shown = progress.Progress({"sessions": expected(timed(), seconds=90.0)}, stream=said)
    shown.step("made ready")
    assert said.getvalue() == "", "something was said a moment ago"
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.0)
    shown.step("block 1/4")
    assert said.getvalue().split() == ["block", "1/4", "ETA", "1m30s"]


def test_progress_lines_say_what_came_out_and_when_it_ends() -> None:
    stream = io.StringIO()
    cells = [trial(seed=seed) for seed in range(12)]
    shown = progress.Progress({"trials": expected(*cells, seconds=24.0), "sessions": expected()}, stream=stream)
    metrics = {"psnr": 17.93, "psnr_gain": 6.91, "psnr_noisy": 11.02}
    record = make_record(Ended(cells[0], "ok", seconds=1.23, facts={"metrics": metrics}), "f", "e")
    shown.begin("trials")
    assert shown.remaining() == 24.0, "by the estimate, as long as nothing is done"
    shown.cell("trials", record)
    shown.close()
    line = stream.getvalue()
    assert line.startswith(
        "[ 1/12] trial fake dense latent=4 gaussian(0.4) mse seed=0  psnr 17.9 dB (+6.9)  1.2 s   ETA "
    )
    failed = make_record(Ended(trial(), "timeout", "no answer within 4 s: killed"), "f", "e")
    assert progress.describe(failed).endswith("mse  timeout: no answer within 4 s: killed")


@pytest.mark.parametrize(
    ("facts", "ending"),
    [
        ({"psnr_over_mean_low": -0.1, "still_rising": 0.5}, "psnr 10.2 dB (-0.8), untrained"),
        ({"psnr_over_mean_low": -0.1, "still_rising": 0.0}, "psnr 10.2 dB (-0.8), collapsed"),
        ({"psnr_over_mean_low": 2.0, "still_rising": 0.5}, "psnr 10.2 dB (-0.8), unfinished"),
        ({"psnr_over_mean_low": 2.0, "still_rising": 0.0}, "psnr 10.2 dB (-0.8)"),
        ({}, "psnr 10.2 dB (-0.8)"),
    ],
)
def test_the_line_of_a_trial_says_what_its_network_has_learned(facts: dict[str, float], ending: str) -> None:
    metrics = {"psnr": 10.2, "psnr_gain": -0.8, **facts}
    assert progress.describe(make_record(Ended(trial(), "ok", facts={"metrics": metrics}), "f", "e")).endswith(ending)


def test_no_two_lines_say_the_same() -> None:
    """And what comes with something that is named is not named besides."""
    stream = io.StringIO()
    cells = [trial(batch_size=size, epochs=size // 8, seed=seed) for size in (32, 128) for seed in (0, 1)]
    timings = [timed(batch_size=size, threads=2) for size in (32, 128)]
    phases = {"trials": expected(*cells), "sessions": expected(*timings)}
    shown = progress.Progress(phases, stream=stream)
    for phase, several in (("trials", cells), ("sessions", timings)):
        for cell in several:
            _ended(shown, phase, cell, 1.0)
    lines = stream.getvalue().splitlines()
    assert "trial fake dense latent=4 gaussian(0.4) mse batch_size=32 seed=1  crashed: SIGSEGV" in lines[1]
    assert "timing fake idiomatic dense latent=4 mse batch_size=128  crashed: SIGSEGV" in lines[-1]


def test_what_goes_without_saying_is_not_said() -> None:
    stream = io.StringIO()
    cells = [trial(clip=clip, refresh=refresh) for clip in (True, False) for refresh in (False, True)]
    shown = progress.Progress({"trials": expected(*cells)}, stream=stream)
    for cell in cells:
        _ended(shown, "trials", cell, 1.0)
    said = [line.split(" mse")[1].split("  crashed")[0] for line in stream.getvalue().splitlines()]
    assert said == ["", " refresh=True", " clip=False", " clip=False refresh=True"]


def _ended(shown: progress.Progress, phase: str, cell: Point, seconds: float) -> None:
    shown.cell(phase, make_record(Ended(cell, "crashed", "SIGSEGV", seconds=seconds), "f", "e"))


def test_the_time_left_follows_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock))
    cells = [trial(seed=seed) for seed in range(10)]
    timings = [timed(batch_size=size) for size in range(1, 5)]
    phases = {"trials": expected(*cells, seconds=500.0), "sessions": expected(*timings, seconds=80.0)}
    shown = progress.Progress(phases, enabled=False)
    shown.begin("trials")
    clock += 4.0  # two lanes: two cells of 4 s each in 4 s
    for cell, seconds in zip(cells, (4.0, 4.0, 0.0), strict=False):
        _ended(shown, "trials", cell, seconds)
    assert shown.remaining() == pytest.approx(7 * 2.0 + 80.0), "what took no time is no measure of the pace"
    for cell in cells[3:]:
        _ended(shown, "trials", cell, 2.0)
    shown.begin("sessions")
    clock += 40.0  # a session of two cells, which are told at its end
    _ended(shown, "sessions", timings[0], 20.0)
    assert shown.remaining() == pytest.approx(3 * 20.0)


def test_slow_cells_that_come_first_do_not_make_the_others_look_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock))
    slow, *fast = [trial(seed=seed) for seed in range(11)]
    shares = {slow: 30.0, **dict.fromkeys(fast, 1.0)}
    shown = progress.Progress({"trials": progress.Expected(40.0, shares)}, enabled=False)
    shown.begin("trials")
    clock += 60.0  # on a machine half as fast as was expected
    _ended(shown, "trials", slow, 60.0)
    assert shown.remaining() == pytest.approx(10 * 2.0)
    clock += 2.0
    _ended(shown, "trials", fast[0], 2.0)
    assert shown.remaining() == pytest.approx(9 * 2.0)


def test_the_time_left_of_a_session_follows_the_share_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock))
    first, second = ([timed(batch_size=size, loss=loss) for size in range(1, 5)] for loss in ("mse", "bce"))
    shown = progress.Progress({"sessions": expected(*first, *second, seconds=800.0)}, enabled=False)
    shown.begin("sessions")
    clock += 10.0
    shown.ahead("sessions", first, 0.1)
    by_pace, by_estimate = 10.0 / 0.05 * 0.95, 800.0 * 0.95
    assert shown.remaining() == pytest.approx((by_pace + by_estimate) / 2), "a twentieth of the cells: of both a half"
    clock += 190.0
    shown.ahead("sessions", first, 0.5)
    assert shown.remaining() == pytest.approx(600.0)
    clock += 200.0
    shown.ahead("sessions", first, 1.0)  # the end of the first of two sessions, of four cells each
    for cell in first:
        _ended(shown, "sessions", cell, 100.0)
        assert shown.remaining() == pytest.approx(400.0), "all cells ended at the same time"
    shown.ahead("sessions", second, 0.5)
    clock += 100.0
    assert shown.remaining() == pytest.approx(500.0 / 6 * 2)


def test_a_long_training_is_heard_of_and_its_own_word_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock))
    stream = io.StringIO()
    phases = {"trials": expected(trial(), trial(seed=1), seconds=100.0), "sessions": expected()}
    shown = progress.Progress(phases, stream=stream)
    shown.begin("trials")
    clock += 60.0
    shown.notice("trials", trial(), {"epoch": 12, "epochs": 500, "psnr": 17.9312, "seconds_left": 2440.0})
    assert stream.getvalue() == (
        "      trial fake dense latent=4 gaussian(0.4) mse seed=0  epoch 12 of 500, psnr 17.9 dB, 40m40s to go   "
        "ETA 41m30s\n"
    )
    clock += 40.0
    assert shown.remaining() == pytest.approx(2400.0 + 50.0), "and of the other trial what was expected"
    shown.cell(
        "trials",
        make_record(Ended(trial(), "ok", seconds=100.0, facts={"metrics": {"psnr": 1, "psnr_gain": 1}}), "f", "e"),
    )
    assert shown.remaining() == pytest.approx(100.0), "nothing is left of what it said"


def test_durations_read_as_people_say_them() -> None:
    assert [progress.duration(s) for s in (0, 44.6, 80, 3600, 7500)] == ["0s", "45s", "1m20s", "1h00m", "2h05m"]


@pytest.mark.parametrize("name", ["native", "robustness"])
def test_the_time_left_of_published_trials_would_have_been_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their lines are said again, each when it was said: 120 trials of five backends, and 16 of two."""
    lines = (PUBLISHED / name / "records.jsonl").read_text().splitlines()
    ran = [record for record in map(json.loads, lines) if record["kind"] == "trial" and record["seconds"]]
    ran = [
        {**record, "cell": TrialCell.from_axes(record["cell"]).axes()} for record in ran
    ]  # with axes that came later
    plan = Plan(name, "", {}, (), tuple(TrialCell.from_axes(record["cell"]) for record in ran), (), ())
    clock = begin = min(map(_started, ran))
    end = max(map(_ended_at, ran))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock))
    seconds = estimate.estimate(plan, jobs=2).trials
    phases = {"trials": progress.Expected(seconds, estimate.by_cell(plan)["trials"])}
    shown = progress.Progress(phases, enabled=False)
    shown.begin("trials")
    wrong = []
    for record in sorted(ran, key=_ended_at):
        clock = _ended_at(record)
        shown.cell("trials", record)
        if clock - begin > 0.1 * (end - begin):
            wrong.append((shown.remaining() - (end - clock)) / (end - begin))
    # Of the time that the trials took.  Counted by cells it was 2.6 times that for native, whose slow ones come first.
    assert max(map(abs, wrong)) < 0.25


def _started(record: Record) -> float:
    return datetime.fromisoformat(record["started"]).timestamp()


def _ended_at(record: Record) -> float:
    return _started(record) + float(record["seconds"])
