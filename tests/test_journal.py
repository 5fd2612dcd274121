"""The journal of a run: nothing that was appended is ever lost, whatever happens to the process that appends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from results.journal import Journal, JournalError, read_run_file, scan, write_run_file
from results.schema import RecordError
from tests import fake_run

ROOT = Path(__file__).parents[1]


def make(seed: int, status: str = "skipped", **rest: Any) -> dict[str, Any]:
    """A small valid record; every seed is another cell."""
    axes = fake_run.cell("torch", "tuned", "dense", 64, "mse") | {
        "dataset": "glyphs", "train": None, "test": 512, "corruption": "gaussian(0.4)",
        "clip": True, "refresh": False, "epochs": 1, "seed": seed,
    }  # fmt: skip
    reason = None if status == "ok" else "for the test"
    metrics = {"psnr": 15.0, "psnr_noisy": 11.0, "psnr_gain": 4.0}
    return fake_run.record("trial", axes, status, reason, metrics=metrics, **rest)


def test_records_come_back_as_they_were_appended(tmp_path: Path) -> None:
    with Journal(tmp_path / "run") as journal:
        journal.append(make(1))
        journal.append(make(2, status="ok"))
        assert journal.has(make(2)["id"])
        assert not journal.has(make(3)["id"])
    with Journal(tmp_path / "run") as journal:
        assert journal.recovered is None
        assert journal.records == [make(1), make(2, status="ok")]
    lines = (tmp_path / "run" / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["cell"]["seed"] for line in lines] == [1, 2]


def test_a_record_is_synced_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    fsync = os.fsync
    with Journal(tmp_path) as journal:
        monkeypatch.setattr(os, "fsync", lambda file: (sizes.append(os.fstat(file).st_size), fsync(file)))
        journal.append(make(1))
        assert sizes == [journal.path.stat().st_size]


def test_a_known_id_is_refused_unless_it_supersedes_a_failure(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(make(1, status="crashed"))
        with pytest.raises(JournalError, match=r"is known already \(status crashed\)"):
            journal.append(make(1, status="ok"))
        journal.append(make(1, status="ok"), supersede=True)
        with pytest.raises(JournalError, match=r"is known already \(status ok\)"):
            journal.append(make(1, status="ok"), supersede=True)
    with Journal(tmp_path) as journal:
        assert [record["status"] for record in journal.records] == ["crashed", "ok"]


@pytest.mark.parametrize("cut", [1, 2, 40, -1])
def test_a_torn_last_line_is_moved_aside(tmp_path: Path, cut: int) -> None:
    """``cut``: how much of the line was written; -1: all but the closing brace."""
    with Journal(tmp_path) as journal:
        journal.append(make(1))
    line = json.dumps(make(2)).encode()
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(line[:cut])
    with Journal(tmp_path) as journal:
        assert "torn" in (journal.recovered or "")
        assert journal.records == [make(1)]
        assert (tmp_path / "records.torn").read_bytes() == line[:cut] + b"\n"
        journal.append(make(2))
    assert [record["cell"]["seed"] for record in scan(tmp_path / "records.jsonl").records] == [1, 2]


def test_a_line_that_lacks_only_its_newline_is_kept(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_bytes(json.dumps(make(1)).encode())
    with Journal(tmp_path) as journal:
        assert "newline" in (journal.recovered or "")
        journal.append(make(2))
    assert len(scan(tmp_path / "records.jsonl").records) == 2


def test_zeros_at_the_end_as_a_power_cut_leaves_them(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(make(1))
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(bytes(512))
    with Journal(tmp_path) as journal:
        assert journal.records == [make(1)]
    assert (tmp_path / "records.torn").read_bytes() == bytes(512) + b"\n"


@pytest.mark.parametrize("broken", ["{", "", '{"schema":1,"id":NaN}', "[]", '{"schema": 2}'])
def test_a_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path, broken: str) -> None:
    lines = [json.dumps(make(1)), broken, json.dumps(make(2))]
    (tmp_path / "records.jsonl").write_text("\n".join(lines) + "\n")
    if not broken:  # an empty line is no damage
        assert len(Journal(tmp_path).records) == 2
        return
    before = (tmp_path / "records.jsonl").read_bytes()
    with pytest.raises(JournalError, match=r"records\.jsonl, line 2: "):
        Journal(tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_an_id_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    line = json.dumps(make(1, status="ok")) + "\n"
    (tmp_path / "records.jsonl").write_text(2 * line)
    with pytest.raises(JournalError, match=r"line 2: id .* already stands"):
        Journal(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "failed"}, "status: 'failed' is not one of"),
        ({"metrics": {"psnr": float("nan")}}, r"metrics\.psnr: nan is not JSON"),
        ({"metrics": {"psnr": {1}}}, r"metrics\.psnr: set is not JSON"),
        ({"reason": None}, "reason: None is not of type 'string'"),
        ({"started": "yesterday"}, "started: 'yesterday' does not match"),
        ({"schema": 2}, "schema = 2"),
        ({"pictures": {"clean": "../../etc/passwd"}}, r"pictures\.clean"),
        ({"colour": 1}, "'colour' was unexpected"),
    ],
)
def test_what_the_schema_does_not_allow_is_not_written(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with Journal(tmp_path) as journal:
        with pytest.raises(RecordError, match=message):
            journal.append(make(1) | change)
        assert journal.records == []
    assert (tmp_path / "records.jsonl").read_bytes() == b""


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="no locks on this system")
    first = Journal(tmp_path)
    with pytest.raises(JournalError, match="is being written by another process"):
        Journal(tmp_path)
    first.close()
    Journal(tmp_path).close()
    with pytest.raises(JournalError, match="is closed"):
        first.append(make(1))


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(file: int, data: bytes, write: Any = os.write) -> int:
        write(file, bytes(data[: len(data) // 2]))
        raise OSError(28, "No space left on device")

    with Journal(tmp_path) as journal:
        journal.append(make(1))
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(JournalError, match="No space left"):
            journal.append(make(2))
        monkeypatch.undo()
        assert not journal.has(make(2)["id"])
        journal.append(make(3))
    assert [record["cell"]["seed"] for record in scan(tmp_path / "records.jsonl").records] == [1, 3]


WRITER = """
import sys
from results.journal import Journal
from tests.test_journal import make
with Journal(sys.argv[1]) as journal:
    for seed in range(int(sys.argv[2]), 10**9):
        journal.append(make(seed, stderr="x" * 20_000))
        print(seed, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_writer_loses_nothing_that_append_returned_for(tmp_path: Path) -> None:
    announced: list[int] = []
    start = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(start)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        announced += [int(process.stdout.readline()) for _ in range(5)]
        time.sleep(0.02)
        process.kill()  # SIGKILL
        announced += [int(line) for line in process.stdout.read().splitlines() if line]
        process.wait()
        process.stdout.close()
        with Journal(tmp_path) as journal:  # the lock went with the process
            seeds = [record["cell"]["seed"] for record in journal.records]
            assert set(announced) <= set(seeds)
            assert len(seeds) == len(set(seeds))
            # At most the one append that was under way has come to more than was announced.
            assert len(seeds) - len(announced) <= _ + 1
            start = max(seeds) + 1


def test_run_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    write_run_file(tmp_path, {"schema": 1, "name": "quick", "notes": ["µ"]})
    write_run_file(tmp_path, {"schema": 1, "name": "quick", "finished": None})
    assert read_run_file(tmp_path) == {"schema": 1, "name": "quick", "finished": None}
    with pytest.raises(RecordError, match="name: inf is not JSON"):
        write_run_file(tmp_path, {"schema": 1, "name": float("inf")})
    assert read_run_file(tmp_path)["finished"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "is missing"), ("{", "Expecting"), ("[]", "not a JSON object"), ('{"schema": 7}', "schema = 7")],
)
def test_a_run_file_that_can_not_be_read(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(JournalError, match=message):
        read_run_file(tmp_path)
