"""Runs: everything gets a record, nothing is run twice, and no failure, kill, interrupt or budget loses a cell."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_backend
import numpy as np
import pytest
from PIL import Image

from bench import certifying, lanes, machine, runner, sessions
from bench.cells import Cell, TimingCell, TrialCell
from bench.places import PlaceError
from bench.plan import Plan, Session, certificate_for
from bench.process import REFERENCE
from bench.records import Ended
from bench.runner import Options, Outcome, run
from bench.trial_jobs import build_order
from bench.yardsticks import YardstickCell
from implementations.adapter import Setting
from report.certification import certification
from results.journal import Journal, JournalError, scan
from results.loading import load_run
from results.schema import validate

QUIET = Options(progress=False, jobs=2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _announced(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAEBENCH_CACHE", str(cache))
    monkeypatch.setenv(fake_backend.GATE, str(tmp_path / "gate"))
    monkeypatch.setattr(sessions, "WATCH_SECONDS", 0.02)


def trial(backend: str = "fake", **axes: Any) -> TrialCell:
    small = {
        "track": "idiomatic", "architecture": "dense", "latent": 4, "height": 12, "width": 12,
        "train": 64, "test": 12, "batch_size": 32, "epochs": 2,
    }  # fmt: skip
    return TrialCell(**{"backend": backend, **small, **axes})


def timed(cell: TrialCell) -> TimingCell:
    return TimingCell.from_axes(cell.axes())


def plan(*trials: TrialCell, timing: tuple[TimingCell, ...] = (), unsupported: Any = ()) -> Plan:
    certificates = tuple(dict.fromkeys(certificate_for(cell) for cell in (*trials, *timing)))
    measured = (Session(timing, 1, 1, 0.01, inference=False, latency=False),) if timing else ()
    return Plan("test", "", {}, certificates, trials, measured, tuple(unsupported))


def records(folder: Path) -> list[dict[str, Any]]:
    found = scan(folder / "records.jsonl").records
    for record in found:
        validate(record)
    return found


def statuses(folder: Path, *cells: Cell) -> list[str]:
    last = {record["id"].split("-")[0]: record["status"] for record in records(folder)}
    return [last[cell.key()] for cell in cells]


def test_a_run_certifies_trains_times_and_is_then_done(tmp_path: Path) -> None:
    cells = [trial(seed=seed, backend=backend) for seed in (0, 1) for backend in ("fake", "other")]
    what = plan(*cells, timing=(timed(cells[0]), timed(cells[1])))
    outcome = run(what, tmp_path, QUIET)
    assert outcome.counts == {"ok": 8}
    assert (outcome.ran, outcome.interrupted, outcome.skipped) == (8, False, {})
    kept = records(tmp_path)
    assert Counter(record["kind"] for record in kept) == {"certificate": 2, "trial": 4, "timing": 2}
    assert [record["kind"] for record in kept[-2:]] == ["timing"] * 2, "nothing runs beside timing"
    trained = [record for record in kept if record["kind"] == "trial"]
    assert len({record["metrics"]["psnr"] for record in trained}) == 2, "two backends agree, two seeds do not"
    assert all((tmp_path / path).is_file() for record in trained for path in record["pictures"].values())

    about = json.loads((tmp_path / "run.json").read_text())
    assert about["planned"] == {"certificate": 2, "trial": 4, "timing": 2}
    assert about["finished"]
    assert set(about["environments"]) == {record["environment"] for record in kept}

    again = run(what, tmp_path, QUIET)
    assert (again.counts, again.ran) == ({"ok": 8}, 0)
    assert records(tmp_path) == kept

    # Another folder: what was proved once is not proved again.
    elsewhere = tmp_path / "elsewhere"
    start = time.monotonic()
    assert run(plan(cells[0]), elsewhere, QUIET).counts == {"ok": 2}
    (proof,) = (r for r in kept if r["kind"] == "certificate" and r["cell"]["backend"] == cells[0].backend)
    assert records(elsewhere)[0]["checks"] == proof["checks"]
    assert time.monotonic() - start < 30


def test_no_cache_proves_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import certificates

    monkeypatch.setattr(certificates, "lookup", lambda cell, fingerprint: pytest.fail("the cache was asked"))
    assert run(plan(trial()), tmp_path, replace(QUIET, use_cache=False)).counts == {"ok": 2}


def test_what_computes_something_else_is_never_run(tmp_path: Path) -> None:
    cell = trial("wrong")
    outcome = run(plan(cell, trial(), timing=(timed(cell),)), tmp_path, QUIET)
    assert outcome.counts == {"parity_failed": 3, "ok": 2}
    wrong = [record for record in records(tmp_path) if record["cell"]["backend"] == "wrong"]
    assert {record["kind"] for record in wrong} == {"certificate", "trial", "timing"}
    assert len({record["reason"] for record in wrong}) == 1
    assert "gradient" in wrong[0]["reason"]
    assert not any(record.get("metrics") for record in wrong if record["kind"] != "certificate")


def test_failures_are_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    troubles = {
        fake_backend.CRASH: "crashed",
        fake_backend.RAISE: "crashed",
        fake_backend.NAN: "diverged",
        fake_backend.MEMORY: "out_of_memory",
        fake_backend.HANG: "timeout",
    }
    bad = [trial(train=samples) for samples in troubles]
    good = [trial(seed=seed) for seed in range(3)]
    what = plan(good[0], *bad, *good[1:])
    assert run(what, tmp_path, replace(QUIET, timeout=4.0)).counts["ok"] == 4
    assert statuses(tmp_path, *bad) == list(troubles.values())
    assert statuses(tmp_path, *good) == ["ok"] * 3
    crashed = next(record for record in records(tmp_path) if record["cell"].get("train") == fake_backend.CRASH)
    assert "SIGABRT" in crashed["reason"]
    assert "divide the universe by zero" in crashed["stderr"]

    # Failures are final, unless one asks for another try: then the new record stands behind the old one.
    assert run(what, tmp_path, QUIET).ran == 0
    assert run(plan(*good, *bad[:3]), tmp_path, replace(QUIET, retry_failed=True)).ran == 3
    lines = Counter(record["id"].split("-")[0] for record in records(tmp_path))
    assert [lines[cell.key()] for cell in (*good, *bad)] == [1, 1, 1, 2, 2, 2, 1, 1]


def test_what_can_not_run_here_has_a_record_too(tmp_path: Path) -> None:
    absent, unavailable, broken = trial("absent"), trial("unavailable"), trial("unloadable")
    what = plan(unavailable, broken, unsupported=[(absent, "no-such-framework not installed")])
    counts = run(what, tmp_path, QUIET).counts
    assert statuses(tmp_path, absent, unavailable, broken) == ["unsupported", "unsupported", "parity_failed"]
    assert counts == {"unsupported": 3, "crashed": 1, "parity_failed": 1}
    reasons = {record["cell"]["backend"]: record["reason"] for record in records(tmp_path) if record["kind"] == "trial"}
    assert reasons["unavailable"] == "no cpu on Sundays"
    assert reasons["unloadable"].startswith("its certificate ended as crashed: ImportError")


def test_stale_records_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    what = plan(trial())
    run(what, tmp_path, QUIET)
    monkeypatch.setattr(machine, "fingerprint", lambda backend, device: "another-version")
    assert run(what, tmp_path, QUIET).ran == 2
    assert len(records(tmp_path)) == 4
    assert len({record["fingerprint"] for record in records(tmp_path)}) == 2


def test_other_pictures_in_a_folder_are_other_data(tmp_path: Path) -> None:
    pictures, folder = tmp_path / "pictures", tmp_path / "run"
    for number in range(6):
        path = pictures / ("train" if number < 4 else "test") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 20), np.uint8)).save(path)
    name = f"folder:{pictures}"
    glyphs, few, more = trial(), trial(dataset=name, train=3, test=2), trial(dataset=name, train=4, test=2)
    yardstick = YardstickCell(method="identity", dataset=name, train=4, test=2, height=12, width=12)
    what = replace(plan(glyphs, few, more, timing=(timed(more),)), yardsticks=(yardstick,))
    assert run(what, folder, QUIET).counts == {"ok": 6}
    assert run(what, folder, QUIET).ran == 0
    before = load_run(folder)
    assert all(certification(before).doubt(record) is None for record in before.of("trial"))

    last = (pictures / "test" / "5.png").read_bytes()
    (pictures / "test" / "5.png").write_bytes((pictures / "train" / "0.png").read_bytes())
    fewer = replace(what, trials=(glyphs, more))
    with pytest.raises(PlaceError, match="its images have changed since"):
        run(fewer, folder, QUIET)
    outcome = run(fewer, folder, replace(QUIET, add_data=True))
    assert outcome.ran == 2, "one training and the yardstick"
    assert "changed between two calls" in outcome.notes[0]
    after = load_run(folder)
    assert [record["cell"]["dataset"] for record in after.of("trial")] == ["glyphs", name]
    stale = Counter((record["kind"], record["cell"].get("train")) for record in after.stale)
    assert stale == {("trial", 3): 1, ("trial", 4): 1, ("yardstick", 4): 1}, "that of fewer images is not mixed in"
    fingerprint = machine.fingerprint("fake", "cpu")
    assert {record["fingerprint"] for record in after.of("timing") + after.of("certificate")} == {fingerprint}
    trials = {record["cell"]["dataset"]: record["fingerprint"] for record in after.of("trial")}
    assert trials["glyphs"] == fingerprint
    assert trials[name].startswith(f"{fingerprint}.")

    (pictures / "test" / "5.png").write_bytes(last)
    assert run(what, folder, replace(QUIET, add_data=True)).ran == 0, "these have been trained on before"
    again = load_run(folder)
    assert {record["id"] for record in again.current} == {record["id"] for record in before.current}
    assert {record["id"] for record in again.stale}.isdisjoint(record["id"] for record in before.current)


def test_fresh_starts_anew_and_keeps_the_old_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(plan(trial()), folder, QUIET)
    outcome = run(plan(trial()), folder, replace(QUIET, fresh=True))
    assert outcome.ran == 2
    (old,) = [path for path in tmp_path.iterdir() if path.name.startswith("run.")]
    assert len(records(old)) == len(records(folder)) == 2
    assert str(old) in outcome.notes[0]


@pytest.mark.parametrize("broken", [b'{"schema":1,"id":\n{}\n', b'{"schema":0,"id":"old"}\n', b"{torn"])
def test_fresh_needs_nothing_of_the_run_that_it_moves_aside(tmp_path: Path, broken: bytes) -> None:
    """A journal of an older schema, or with a broken line, is what one starts anew for; it is kept to the last byte."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "records.jsonl").write_bytes(broken)
    outcome = run(plan(trial()), folder, replace(QUIET, fresh=True))
    assert outcome.counts == {"ok": 2}
    (old,) = [path for path in tmp_path.iterdir() if path.name.startswith("run.")]
    assert (old / "records.jsonl").read_bytes() == broken


@pytest.mark.parametrize(("place", "out"), [(".", "."), ("logs", ".."), ("logs", "../../run")])
def test_fresh_from_inside_the_folder_that_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, out: str
) -> None:
    folder = tmp_path / "run"
    run(plan(trial()), folder, QUIET)
    monkeypatch.chdir(folder / place)
    assert run(plan(trial()), Path(out), replace(QUIET, fresh=True)).ran == 2
    (old,) = [path for path in tmp_path.iterdir() if path.name.startswith("run.")]
    assert len(records(old)) == len(records(folder)) == 2


def test_two_runs_can_not_write_the_same_folder(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(JournalError, match="another process"):
        run(plan(trial()), tmp_path, replace(QUIET, fresh=True))


def test_a_budget_skips_what_it_can_not_pay_and_the_next_run_does_it(tmp_path: Path) -> None:
    cells = [trial(seed=seed) for seed in range(4)]
    what = plan(*cells, timing=(timed(cells[0]),))
    run(plan(cells[0]), tmp_path, QUIET)
    outcome = run(what, tmp_path, replace(QUIET, budget=0.01))
    assert outcome.counts == {"ok": 2, "skipped": 4}
    assert outcome.skipped == {"the budget of 0s ended before it": 4}
    before = len(records(tmp_path))
    assert run(what, tmp_path, replace(QUIET, budget=0.01)).counts == outcome.counts
    assert len(records(tmp_path)) == before, "a cell is said to be skipped once"
    assert run(what, tmp_path, QUIET).counts == {"ok": 6}


def test_a_budget_proves_first_what_trials_want_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Cell] = []

    class Noted(lanes.Lanes):
        def __init__(self, jobs: Any, **options: Any) -> None:
            asked.extend(job.cell for job in jobs if job.verb == "certify")
            super().__init__(jobs, **options)

    monkeypatch.setattr(certifying, "Lanes", Noted)
    large, small = trial(track="tuned", latent=8), trial(track="tuned", latent=4)
    idiomatic = [replace(timed(cell), track="idiomatic") for cell in (large, small)]
    what = plan(large, small, timing=(*idiomatic, timed(large), timed(small)))
    run(what, tmp_path / "limited", replace(QUIET, budget=0.01, use_cache=False))
    assert [(cell.track, cell.latent) for cell in asked] == [
        ("tuned", 8), ("tuned", 4), ("idiomatic", 8), ("idiomatic", 4)
    ]  # fmt: skip


def test_a_budget_cuts_a_cell_that_hangs(tmp_path: Path) -> None:
    run(plan(trial()), tmp_path, QUIET)  # the certificate is there
    start = time.monotonic()
    outcome = run(plan(trial(train=fake_backend.HANG)), tmp_path, replace(QUIET, budget=3.0))
    assert time.monotonic() - start < 6
    assert outcome.skipped == {"the budget ended while it ran": 1}


def test_backends_train_side_by_side(tmp_path: Path) -> None:
    # The first backend waits at a gate that the second one's result opens.
    waiting, opening = trial(train=fake_backend.SLOW), trial("other")
    assert _gated(tmp_path, [waiting, opening], opens=opening) == ["ok", "ok"]


def test_a_free_lane_helps_where_enough_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "HELP_SECONDS", 0.0)
    waiting = trial(train=fake_backend.SLOW)
    others = [trial(seed=seed) for seed in range(3)]
    assert _gated(tmp_path, [waiting, *others], opens=others[-1]) == ["ok"] * 4


def _gated(folder: Path, cells: list[TrialCell], opens: TrialCell) -> list[str]:
    gate = folder / "gate"
    gate.touch()
    ended: dict[Cell, Ended] = {}

    def note(one: Ended) -> None:
        ended[one.cell] = one
        if one.cell == opens:
            gate.unlink()

    jobs = [lanes.Job(cell, "trial", 20.0, str(folder)) for cell in cells]
    assert lanes.Lanes(jobs, pools=lanes.core_pools(2, 1), logs=folder / "logs").run(note) == []
    return [ended[cell].status for cell in cells]


def test_workers_wait_for_the_next_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One import for certificates, trials and the machine's peaks; none is alive when time is measured."""
    started: list[lanes.Worker] = []

    class Counted(lanes.Worker):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            started.append(self)

    class Alone(sessions.SessionRun):
        def run(self) -> list[Ended]:
            assert not any(worker.alive for worker in started)
            return super().run()

    monkeypatch.setattr(lanes, "Worker", Counted)
    monkeypatch.setattr(runner, "SessionRun", Alone)
    cell = trial()
    outcome = run(plan(cell, timing=(timed(cell),)), tmp_path, replace(QUIET, jobs=1, use_cache=False))
    assert set(outcome.counts) == {"ok"}
    assert [worker.backend for worker in started].count("fake") == 1


def test_no_worker_waits_with_a_device_or_after_an_interrupt(tmp_path: Path) -> None:
    waiting = lanes.Waiting()
    with lanes.Worker("fake", Setting(threads=1), [], tmp_path) as alive:
        assert not waiting.leave(("fake", Setting(device="cuda")), [0], alive)
        assert not waiting.leave((REFERENCE, Setting()), [0], alive)
        assert waiting.leave(("fake", Setting(threads=1)), [0], alive)
        assert not waiting.take([1])
        assert waiting.borrow("fake", Setting(threads=1)) is alive
        assert waiting.borrow("fake", Setting(threads=2)) is None
        waiting.close()
        assert not alive.alive


def test_lanes_have_cores_of_their_own() -> None:
    pools = lanes.core_pools(None, 1)
    assert len(pools) == machine.cores()
    assert len({core for pool in pools for core in pool}) == len(pools)
    assert len(lanes.core_pools(5, 1)) == 5, "more jobs than cores, if somebody asks for it"
    assert len(lanes.core_pools(None, 1, exclusive=True)) == 1


# -- kills and interrupts ------------------------------------------------------------------------------------------

SCRIPT = """
import json, signal, sys
from pathlib import Path
import test_runner
from bench.runner import run
# Tests that run in the background of a shell inherit that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
cells = [test_runner.trial(seed=seed) for seed in range(3)]
cells.insert(2, test_runner.trial(train=test_runner.fake_backend.SLOW))
timing = test_runner.timed(cells[0])
if sys.argv[2:]:
    timing = test_runner.replace(timing, batch_size=test_runner.fake_backend.HANG)
    test_runner.sessions.staged_samples = lambda *_: test_runner.fake_backend.HANG
options = test_runner.replace(test_runner.QUIET, jobs=1)
outcome = run(test_runner.plan(*cells, timing=(timing,)), Path(sys.argv[1]), options)
print(json.dumps([outcome.counts, outcome.interrupted]))
"""


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert process.poll() is None, "the run ended too early"
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def _count(folder: Path, kind: str) -> int:
    path = folder / "records.jsonl"
    return sum(f'"kind":"{kind}"' in line for line in path.read_text().splitlines()) if path.exists() else 0


def _workers(folder: Path) -> list[int]:
    """Processes whose stderr goes into the run's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                target = os.readlink(entry / "fd" / "2")
            except OSError:
                continue
            if target.startswith(str(folder)):
                found.append(int(entry.name))
    return found


def test_kill_9_and_rerun_finishes_each_cell_exactly_once(tmp_path: Path) -> None:
    gate, folder = tmp_path / "gate", tmp_path / "run"
    gate.touch()
    with _start(folder) as process:
        _wait_for(lambda: _count(folder, "trial") >= 2, process)
        time.sleep(0.3)  # the gated trial is being trained
        assert _workers(folder)
        process.send_signal(signal.SIGKILL)
    done = {record["id"] for record in records(folder)}
    assert 3 <= len(done) < 6
    deadline = time.monotonic() + 5
    while _workers(folder):
        assert time.monotonic() < deadline, "workers outlive their supervisor"
        time.sleep(0.05)
    # As if it had been hit in the middle of a write, too.
    with (folder / "records.jsonl").open("ab") as file:
        file.write(b'{"schema":1,"id":"torn')

    gate.unlink()
    with _start(folder) as process:
        counts, interrupted = json.loads(process.communicate(timeout=60)[0])
    assert (counts, interrupted) == ({"ok": 6}, False)
    lines = Counter(record["id"] for record in records(folder))
    assert set(lines.values()) == {1}, "exactly once"
    assert len(lines) == 6
    assert done < set(lines)
    assert "torn" in json.loads((folder / "run.json").read_text())["notes"][0]


@pytest.mark.parametrize("phase", ["trials", "timing"])
def test_ctrl_c_stops_cleanly_and_soon(tmp_path: Path, phase: str) -> None:
    gate, folder = tmp_path / "gate", tmp_path / "run"
    if phase == "trials":
        gate.touch()
    with _start(folder, *(["hang"] if phase == "timing" else [])) as process:
        _wait_for(lambda: _count(folder, "trial") == (3 if phase == "trials" else 4), process)
        time.sleep(1.0)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        counts, interrupted = json.loads(process.communicate(timeout=20)[0])
        # Two seconds are promised; a busy machine may take longer to schedule it all.
        assert time.monotonic() - start < 4
    assert interrupted
    assert counts == {"ok": len(records(folder))}
    assert len(records(folder)) == (4 if phase == "trials" else 5), "the certificate and the trials before"
    assert not _workers(folder)
    assert json.loads((folder / "run.json").read_text())["finished"] is None


def test_others_on_the_gpu_are_named_before_it_is_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "gpu_processes", lambda: ["python3 (process 812, 512 MiB)"])
    monkeypatch.setattr(fake_backend.Fake, "devices", ("cpu", "cuda"))
    for device, named in (("cpu", False), ("cuda", True)):
        cell = trial(device=device)
        folder = tmp_path / device
        assert run(plan(cell, timing=(timed(cell),)), folder, QUIET).counts == {"ok": 3}
        notes = json.loads((folder / "run.json").read_text())["notes"]
        assert any("python3 (process 812, 512 MiB)" in note for note in notes) == named


def test_equal_builds_follow_each_other() -> None:
    cells = [trial(latent=n, seed=seed, loss=loss) for seed in (0, 1) for n in (4, 8) for loss in ("mse", "bce")]
    builds = [(cell.latent, cell.loss) for cell in sorted(cells, key=build_order)]
    assert [len(list(group)) for _, group in itertools.groupby(builds)] == [2, 2, 2, 2]


def test_an_outcome_can_be_made_by_hand() -> None:
    assert Outcome({"ok": 1}, 2.0) == Outcome(counts={"ok": 1}, seconds=2.0, skipped={}, interrupted=False)
