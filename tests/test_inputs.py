"""Trials that stand side by side were given the same bytes, or the report says that they were not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_run
import pytest

from report import facts, inputs, publish
from report.sentences import analyse, findings
from results.loading import Run, load_run

Altered = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load_run(fake_run.make_run(tmp_path / "run"))


def altered(run: Run, change: Altered) -> Run:
    return replace(run, current=tuple(change(json.loads(json.dumps(record))) for record in run.current))


def with_hash(name: str, value: str, **axes: Any) -> Altered:
    """Trials with these ``axes`` get another hash."""

    def change(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] == "trial" and all(record["cell"][axis] == wanted for axis, wanted in axes.items()):
            record["hashes"] = {**record.get("hashes", {}), name: value}
        return record

    return change


def test_trials_of_the_same_bytes_are_said_to_be(run: Run) -> None:
    found = inputs.inputs(run)
    assert found.unlike == ()
    assert 2 <= found.trials <= len(run.of("trial", "ok"))
    said = facts.summary(run, found)
    assert said.endswith(f"same noise. The hashes of all {found.trials:,} trials side by side say so.")
    assert "Inputs" not in {finding.topic for finding in findings(analyse(run))}


@pytest.mark.parametrize("name", ["data", "noisy", "weights", "order"])
def test_other_bytes_are_named_first(run: Run, name: str) -> None:
    other = altered(run, with_hash(name, "0" * 16, backend="torch"))
    found = inputs.inputs(other)
    assert found.unlike
    for one in found.unlike:
        assert one.what == inputs.INPUTS[name]
        assert sum(party.startswith("torch (from 20") for party in one.parties) == 1
    first = findings(analyse(other))[0]
    assert first.topic == "Inputs"
    assert f"not given the same {inputs.INPUTS[name]}" in first.headline
    assert f"{found.unlike[0].where}: {' against '.join(found.unlike[0].parties)}" in first.detail
    said = facts.summary(other, found)
    assert "same noise" not in said
    assert "see the findings" in said


def test_what_was_not_recorded_is_neither_confirmed_nor_denied(run: Run) -> None:
    def silent(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] == "trial" and record["cell"]["backend"] == "torch" and "hashes" in record:
            del record["hashes"]["order"]
        return record

    found = inputs.inputs(altered(run, silent))
    assert found.unlike == ()
    assert facts.summary(run, found).endswith("same noise.")


def test_one_other_set_does_not_speak_for_all(run: Run) -> None:
    all_of_torch = inputs.inputs(altered(run, with_hash("order", "0" * 16, backend="torch"))).unlike
    alone = with_hash("order", "0" * 16, backend="torch", architecture="conv", seed=0)
    found = inputs.inputs(altered(run, alone)).unlike
    assert 0 < len(found) < len(all_of_torch)
    assert all(one.where.startswith("conv (") and one.where.endswith("seed 0") for one in found)


def test_native_weights_are_their_own(run: Run) -> None:
    def native(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] == "trial" and record["cell"]["backend"] == "torch":
            record["cell"]["defaults"] = "native"
            record["hashes"] = {**record.get("hashes", {}), "weights": "0" * 16}
        return record

    other = altered(run, native)
    assert inputs.inputs(other).unlike == ()
    noisy = altered(other, with_hash("noisy", "0" * 16, defaults="native"))
    assert inputs.inputs(noisy).unlike


def test_runs_of_a_folder_that_changed_in_between(tmp_path: Path) -> None:
    """Two runs as one report, each true in itself: torch's saw other pictures under the same name."""
    for name, backends, digest in (("one", {"keras[tensorflow]"}, "a" * 16), ("two", {"torch"}, "b" * 16)):
        folder = fake_run.make_run(tmp_path / name)
        records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
        kept = []
        for record in records:
            if record["kind"] != "trial" or record["cell"]["backend"] not in backends:
                continue
            if "hashes" in record:
                record["hashes"] = {**record["hashes"], "data": digest}
            kept.append(json.dumps(record))
        (folder / "records.jsonl").write_text("".join(f"{line}\n" for line in kept))
        assert "were not given the same" not in publish([folder]).findings[0]
    said = publish([tmp_path / "one", tmp_path / "two"], tmp_path / "both.html").findings[0]
    assert "were not given the same clean images" in said
    assert "keras[tensorflow] (from" in said
    assert "against torch (from" in said


def test_networks_that_are_ranked_saw_the_same_images(run: Run) -> None:
    """dense on other images than conv, each of them in all backends: no two trials of one cell differ."""
    other = inputs.inputs(altered(run, with_hash("data", "0" * 16, architecture="dense")))
    assert {one.what for one in other.unlike} == {"clean images"}
    assert "glyphs: " in str(inputs.said(other))
    noisy = inputs.inputs(altered(run, with_hash("noisy", "0" * 16, architecture="dense", seed=0)))
    assert {one.what for one in noisy.unlike} == {"noisy images"}
    assert all(one.where.endswith("seed 0") for one in noisy.unlike)
