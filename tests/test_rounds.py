"""Rounds of a timing session that an interrupt must not lose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake_backend
import pytest
from test_timing import cell, measure, session

from bench.rounds import Rounds


@pytest.fixture(autouse=True)
def _announced(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_backend.announce_for_sessions(monkeypatch)


def stopped_in_round(number: int) -> Any:
    def step(text: str) -> None:
        if text.startswith(f"round {number}/"):
            raise KeyboardInterrupt

    return step


def test_a_session_goes_on_with_the_round_that_it_was_stopped_in(tmp_path: Path) -> None:
    cells = [cell("fake"), cell("other")]
    what = session(*cells, blocks=1, rounds=4)
    kept = Rounds(tmp_path / "sessions" / "one.json", ["a", "b"])
    with pytest.raises(KeyboardInterrupt):
        measure(what, tmp_path, kept=kept, on_step=stopped_in_round(3))
    said: list[str] = []
    results = measure(what, tmp_path, kept=Rounds(kept.path, ["b", "a"]), on_step=said.append)
    assert said[0] == "goes on after round 2 of 4"
    assert not any(text.startswith(("round 1/", "round 2/")) for text in said)
    for one in cells:
        rounds = results[one].facts["samples"]["rounds"]
        assert [entry["round"] for entry in rounds] == [0, 1, 2, 3]
        assert len({entry["import_seconds"] for entry in rounds}) == 4
        assert results[one].facts["metrics"]["train_samples_per_second"] > 0
    # What was measured before is as it was, to the last digit: as a record it would have been read from a file too.
    before = json.loads(kept.path.read_text())["content"]["courses"]
    assert all(before[one.key()]["rounds"] == results[one].facts["samples"]["rounds"] for one in cells)
    kept.clear()
    assert not kept.path.parent.exists()


def test_a_contestant_that_failed_stays_out_when_a_session_goes_on(tmp_path: Path) -> None:
    cells = [cell("fake"), cell("unavailable")]
    what = session(*cells, blocks=1, rounds=2)
    kept = Rounds(tmp_path / "one.json", [])
    with pytest.raises(KeyboardInterrupt):
        measure(what, tmp_path, kept=kept, on_step=stopped_in_round(2))
    results = measure(what, tmp_path, kept=kept)
    assert [results[one].status for one in cells] == ["ok", "unsupported"]
    assert results[cells[1]].reason


def test_rounds_of_other_versions_or_of_a_torn_file_do_not_count(tmp_path: Path) -> None:
    kept = Rounds(tmp_path / "one.json", ["versions 1"])
    assert kept.load() is None
    kept.save({"done": 1})
    assert kept.load() == {"done": 1}
    assert Rounds(kept.path, ["versions 2"]).load() is None
    for text in ("", kept.path.read_text()[:-5], "[1]", "{}"):
        kept.path.write_text(text)
        assert kept.load() is None
    kept.clear()
    kept.clear()
