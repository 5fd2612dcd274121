"""Cold costs are those of fresh processes: what is measured, kept, mended in old records, and shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from report import sentences
from report.page import make_page, render
from report.sentences import analyse
from report.start import start
from results.breakeven import cost, costs
from results.cold import COLD_COSTS, cold_metrics, is_fresh, mended
from results.loading import Run, load_run
from tests import fake_run

Entry = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run.make_run(tmp_path_factory.mktemp("runs") / "fake")


def changed(folder: Path, target: Path, change: Callable[[Entry, Entry], None]) -> Run:
    """A copy of a run; ``change`` is given each timing record and each of its rounds."""
    shutil.copytree(folder, target)
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    for record in records:
        for entry in record.get("samples", {}).get("rounds", []):
            change(record, entry)
    (target / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return load_run(target)


def entry(number: int, build: float, **more: Any) -> Entry:
    return {"round": number, "train": [[1000, 0.1]] * 3, "import_seconds": 1.0, "build_seconds": build, **more}


def test_only_fresh_processes_tell_cold_costs() -> None:
    rounds = [entry(0, 0.7, fresh=True), entry(1, 0.003, fresh=False), entry(2, 0.8, fresh=True)]
    found = cold_metrics(rounds)
    assert found["build_seconds"] == pytest.approx(0.75)
    assert found["build_seconds_low"] < 0.7 < 0.8 < found["build_seconds_high"]
    assert cold_metrics(rounds[1:2]) == {}
    assert "build_seconds_low" not in cold_metrics(rounds[:1]), "one process allows no interval"
    assert costs(rounds).keys() == {0, 2}
    assert cost(rounds[1]) is None


def test_old_rounds_tell_by_their_memory() -> None:
    assert is_fresh(entry(0, 0.7, peak_memory_bytes=2e8))
    assert not is_fresh(entry(0, 0.7))
    assert not is_fresh(entry(0, 0.7, peak_memory_bytes=2e8, fresh=False))


def test_old_records_are_mended_when_they_are_read() -> None:
    """torch builds its first network in 0.7 s and the others of a process in 3 ms, the old median."""
    (raw,) = (
        record
        for line in Path("results/published/speed/records.jsonl").read_text().splitlines()
        if (record := json.loads(line))["kind"] == "timing"
        and [record["cell"][name] for name in ("backend", "track", "architecture")] == ["torch", "idiomatic", "dense"]
    )
    assert raw["metrics"]["build_seconds"] < 0.01
    better = mended(raw)
    assert 0.7 < better["metrics"]["build_seconds"] < 0.8
    others = {name for name in raw["metrics"] if not name.startswith(COLD_COSTS)}
    assert {name: better["metrics"][name] for name in others} == {name: raw["metrics"][name] for name in others}
    assert mended(better | {"samples": {"rounds": [entry(0, 9.0, fresh=True)]}})["metrics"] == better["metrics"]


def test_a_workload_that_no_process_was_given_first_has_none(folder: Path, tmp_path: Path) -> None:
    def stale(record: Entry, entry: Entry) -> None:
        if record["cell"]["architecture"] == "conv":
            entry["fresh"] = False
            for name in COLD_COSTS:
                for end in ("", "_low", "_high"):
                    record["metrics"].pop(name + end, None)

    run = changed(folder, tmp_path / "run", stale)
    found = analyse(run)
    page = make_page(run, found)
    assert [table.caption for _, table in page.cold] != []
    assert page.never_first == "conv"
    assert "No process was given conv first, so there are none for these." in render(page)
    assert {one.load.axes["architecture"] for one in found.starts} == {"dense"}
    assert found.race is not None
    assert {one.contestant.record["cell"]["architecture"] for one in found.race.attempts} == {"dense"}


def test_one_fresh_process_of_each_decides_nothing(folder: Path, tmp_path: Path) -> None:
    def later(record: Entry, entry: Entry) -> None:
        entry["fresh"] = entry["round"] == 0

    run = changed(folder, tmp_path / "run", later)
    found = analyse(run)
    assert not [one for one in sentences.findings(found) if one.topic == "Break-even"]
    tables = [table for _, table, _ in make_page(run, found).starts]
    outcomes = {row[table.columns.index("outcome")].text for table in tables for row in table.rows}
    assert outcomes == {"unknown: one fresh process each"}
    said = " ".join(sentences.lead_sentence(one, found.epoch) for one in found.starts)
    assert "if at all: by one fresh process of each" in said
    assert "not told apart" not in said


def test_each_pair_meets_once(folder: Path) -> None:
    """Also where an idiomatic track is the fastest, so that it would be held against its tuned one a second time."""
    (load,) = (load for load in analyse(load_run(folder)).loads if load.axes["architecture"] == "dense")
    ordered = sorted(load.standings, key=lambda standing: standing.contestant.track != "idiomatic")
    found = start(replace(load, standings=tuple(replace(one, rank=1) for one in ordered)))
    assert found is not None
    met = [{meeting.a.name, meeting.b.name} for meeting in found.meetings]
    assert ordered[0].contestant.track == "idiomatic"
    assert all(met.count(pair) == 1 for pair in met)
    assert all(meeting.a.track == "tuned" for meeting in found.of_tracks)


def test_who_is_first_at_a_target_by_chance_is_not_called_the_first(folder: Path, tmp_path: Path) -> None:
    found = analyse(load_run(folder)).race
    assert found is not None
    first, second = found.attempts[:2]
    assert first.last.keys() == second.last.keys() != set()

    def said(times: dict[int, float]) -> str:
        race = replace(found, attempts=(first, replace(second, last=times)))
        (finding,) = sentences.reach_findings(race)
        return finding.headline

    later = {number: 1.5 * seconds for number, seconds in first.last.items()}
    scattered = {number: seconds * (2 if number % 2 else 0.6) for number, seconds in first.last.items()}
    assert "can not be told apart" not in said(later)
    who = f"{second.contestant.name} with {second.network}"
    assert said(scattered).endswith(f", but can not be told apart from {who}")
    assert said({0: 9.0}).endswith(who), "one common round tells nothing"
