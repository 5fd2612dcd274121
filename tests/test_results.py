"""Reading runs back: the schema, what counts and what is stale, frames, merged runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from results import schema
from results.journal import Journal
from results.loading import RunError, load_run, merge
from tests import fake_run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run.make_run(tmp_path_factory.mktemp("runs") / "fake")


def test_the_schema_is_a_schema_and_all_records_of_a_run_obey_it(folder: Path) -> None:
    definition = json.loads((ROOT / "results" / "record.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(definition)
    validator = jsonschema.Draft202012Validator(definition)
    lines = (folder / "records.jsonl").read_text().splitlines()
    assert len(lines) > 100
    for line in lines:
        validator.validate(json.loads(line))
    assert {json.loads(line)["kind"] for line in lines} == set(schema.KINDS)
    assert {json.loads(line)["status"] for line in lines} == set(schema.STATUSES)


def test_the_schema_and_the_types_name_the_same_kinds_and_statuses() -> None:
    properties = schema.load_schema()["properties"]
    assert tuple(properties["kind"]["enum"]) == schema.KINDS
    assert tuple(properties["status"]["enum"]) == schema.STATUSES
    assert properties["schema"]["const"] == schema.SCHEMA_VERSION


def test_every_field_is_documented_for_people() -> None:
    definition = schema.load_schema()
    parts = [definition, definition["properties"]["curve"]["items"], definition["properties"]["checks"]["items"]]
    parts += [definition["$defs"][name] for name in ("cell", "metrics", "round")]
    names = {name for part in parts for name in part["properties"]} | set(schema.STATUSES)
    documented = set(re.findall(r"`(\w+)`", (ROOT / "results" / "README.md").read_text()))
    assert names - documented == set()


def test_an_ok_trial_needs_its_figures(folder: Path) -> None:
    record = next(record for record in load_run(folder).of("trial", "ok"))
    schema.validate(record)
    del record["metrics"]["psnr_gain"]
    with pytest.raises(schema.RecordError, match="metrics: 'psnr_gain' is a required property"):
        schema.validate(record)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "1e999", "[" * 100_000, "{'a': 1}", ""])
def test_what_is_not_strict_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (the messages are json's own)
        schema.loads(text)


def test_older_fingerprints_are_stale_and_count_nowhere(folder: Path) -> None:
    run = load_run(folder)
    (old,) = run.stale
    assert old["fingerprint"] == fake_run.OLD_FINGERPRINT
    (new,) = (record for record in run.current if record["cell"] == old["cell"] and record["kind"] == old["kind"])
    assert new["fingerprint"] == fake_run.FINGERPRINT
    assert len(run.records) == len(run.current) + 1
    assert run.frame("trial").psnr.min() > 5  # the stale record claims 3 dB


def test_a_retry_supersedes_the_failure_before_it(tmp_path: Path) -> None:
    fake_run.make_run(tmp_path, kinds=["certificate"])
    with Journal(tmp_path) as journal:
        failed = next(record for record in journal.records if record["status"] == "crashed")
        journal.append(
            failed | {"status": "ok", "reason": None, "checks": journal.records[0]["checks"]}, supersede=True
        )
    run = load_run(tmp_path)
    assert [record["status"] for record in run.superseded] == ["crashed"]
    assert not run.stale
    assert next(record for record in run.current if record["id"] == failed["id"])["status"] == "ok"


def test_frames_have_axes_and_metrics_as_columns(folder: Path) -> None:
    run = load_run(folder)
    trials = run.frame("trial")
    assert len(trials) == len(run.of("trial"))
    assert {"backend", "corruption", "latent", "psnr", "psnr_gain_low", "status"} <= set(trials.columns)
    timing = run.frame("timing")
    assert timing[timing.status == "ok"].train_samples_per_second.gt(0).all()


def test_frames_of_a_run_without_such_records_are_empty_tables(tmp_path: Path) -> None:
    run = load_run(fake_run.make_run(tmp_path, kinds=["trial"]))
    assert run.frame("timing").empty
    assert "backend" in run.frame("timing").columns
    with pytest.raises(ValueError, match="kind 'trials' is unknown"):
        run.frame("trials")  # type: ignore[arg-type]


def test_text_that_no_file_can_hold_is_replaced(folder: Path) -> None:
    texts = [str(record["stderr"]) for record in load_run(folder).records]
    assert any("�" in text for text in texts)
    "".join(texts).encode()


def test_a_run_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    fake_run.make_run(tmp_path, kinds=["certificate"])
    before = (tmp_path / "records.jsonl").read_bytes() + b'{"schema":1,"id":"half'
    (tmp_path / "records.jsonl").write_bytes(before)
    run = load_run(tmp_path)
    assert "unfinished" in run.notes[0]
    assert (tmp_path / "records.jsonl").read_bytes() == before


def broken_folder(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"run\.json is missing"),
        ({"run.json": "{}"}, "schema = None"),
        ({"run.json": '{"schema": 1}'}, r"records\.jsonl is missing"),
        ({"run.json": '{"schema": 1}', "records.jsonl": ""}, "holds no records yet"),
        ({"run.json": '{"schema": 1}', "records.jsonl": '{"schema": 99}\n'}, "line 1: schema = 99"),
    ],
)
def test_folders_that_are_no_run(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(RunError, match=message):
        load_run(broken_folder(tmp_path, files))


def test_an_unknown_folder_and_a_changed_record(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such folder"):
        load_run(tmp_path / "nowhere")
    fake_run.make_run(tmp_path, kinds=["trial"])
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text().replace('"psnr":', '"psnr":"high","was":', 1))
    with pytest.raises(RunError, match=r"record 1 \(.*\): metrics\.psnr: 'high' is not of type 'number'"):
        load_run(tmp_path)


def test_merged_runs_keep_the_newest_of_a_cell_on_each_machine(tmp_path: Path) -> None:
    def copy(name: str, change: dict[str, Any]) -> Path:
        source = fake_run.make_run(tmp_path / "source", kinds=["timing"])
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text((source / "run.json").read_text())
        lines = [json.loads(line) | change for line in (source / "records.jsonl").read_text().splitlines()]
        (tmp_path / name / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        for file in source.iterdir():
            file.unlink()
        return tmp_path / name

    here = load_run(copy("here", {}))
    later = load_run(copy("later", {"started": "2026-03-05T10:00:01Z", "seconds": 7.0}))
    elsewhere = load_run(copy("elsewhere", {"environment": "another"}))
    assert merge([here]) is here
    again = merge([later, here])
    assert {record["seconds"] for record in again.current} == {7.0}
    assert len(again.stale) == len(here.current)
    both = merge([here, elsewhere])
    assert len(both.current) == 2 * len(here.current)
    assert not both.stale
