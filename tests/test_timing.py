"""Timing sessions: the order of blocks, what is counted, and that one contestant's death is its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_backend
import numpy as np
import pytest
from numpy.typing import NDArray

from bench import memory, sessions, timing
from bench.cells import TimingCell
from bench.plan import Session
from bench.process import Worker, distinct_cores
from bench.records import Ended, make_record
from bench.sessions import SessionRun
from bench.summary import classified, energy_state, steady_states, summarise, warnings
from bench.timing import TimingBench, staged_samples
from implementations.adapter import Setting
from implementations.parameters import Array
from results.schema import validate


@pytest.fixture(autouse=True)
def _announced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    # NumPy in float64 is two orders slower than what the sizes of epochs are made for.
    monkeypatch.setattr(timing, "WORK_PER_SECOND", {"cpu": 1e8})
    monkeypatch.setattr(timing, "MINIMUM_BATCHES", 2)
    monkeypatch.setattr(sessions, "WATCH_SECONDS", 0.02)


def cell(backend: str = "fake", **axes: Any) -> TimingCell:
    small = {"track": "tuned", "architecture": "dense", "latent": 4, "height": 6, "width": 6, "batch_size": 8}
    return TimingCell(**{"backend": backend, **small, **axes})


def session(*cells: TimingCell, rounds: int = 2, blocks: int = 4, seconds: float = 0.02) -> Session:
    return Session(cells, rounds, blocks, seconds, inference=True, latency=True)


def measure(what: Session, logs: Path, **options: Any) -> dict[TimingCell, Ended]:
    ended = SessionRun(what, logs=logs, cpus=distinct_cores()[:1], **options).run()
    assert [one.cell for one in ended] == list(what.cells)
    for one in ended:
        validate(make_record(one, "0" * 16, "here"))
    return {one.cell: one for one in ended}


def test_a_session_measures_all_figures(tmp_path: Path) -> None:
    slow, fast = cell("other"), cell("fake")
    results = measure(session(slow, fast, rounds=3), tmp_path)
    for one in results.values():
        metrics, rounds = one.facts["metrics"], one.facts["samples"]["rounds"]
        assert one.status == "ok"
        assert [r["round"] for r in rounds] == [0, 1, 2]
        for name in ("train_samples_per_second", "inference_samples_per_second", "latency_seconds"):
            assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
        for name in ("import_seconds", "build_seconds", "staging_seconds", "first_step_seconds", "latency_p95_seconds"):
            assert metrics[name] > 0
        assert metrics["latency_p95_seconds"] >= metrics["latency_seconds"]
        assert all(len(r["train"]) == len(r["inference"]) == 4 for r in rounds)
        assert all(seconds > 0 and samples % 16 == 0 for r in rounds for samples, seconds in r["train"])
        assert metrics["peak_memory_bytes"] > 0
    # "other" takes ten times as long in training; a busy machine blurs that, by no factor of 5.
    rates = {c.backend: one.facts["metrics"]["train_samples_per_second"] for c, one in results.items()}
    assert rates["fake"] / rates["other"] > 2
    network = fast.make_architecture()
    flops = network.forward_flops() + network.backward_flops()
    assert results[fast].facts["metrics"]["train_gflops"] == pytest.approx(rates["fake"] * flops / 1e9)
    assert len({one.facts["session"] for one in results.values()}) == 1


def test_blocks_go_round_in_abba_order_and_rounds_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []
    alive: set[int] = set()
    request = Worker.request

    def spy(self: Worker, verb: str, timeout: float, **payload: Any) -> dict[str, Any]:
        asked.append((self.backend, verb, payload.get("kind", "")))
        alive.add(self.pid)
        return request(self, verb, timeout, **payload)

    monkeypatch.setattr(Worker, "request", spy)
    measure(session(cell("fake"), cell("other"), blocks=2), tmp_path)
    trained = [backend for backend, verb, kind in asked if (verb, kind) == ("block", "train")]
    assert trained == ["fake", "other", "other", "fake", "other", "fake", "fake", "other"]
    assert len(alive) == 4, "a fresh process for every contestant and round"
    first_block = next(i for i, (_, verb, _) in enumerate(asked) if verb == "block")
    assert {backend for backend, verb, _ in asked[:first_block] if verb == "prepare"} == {"fake", "other"}


def test_tracks_are_contestants_and_workloads_share_processes(tmp_path: Path) -> None:
    cells = [cell(track=track, loss=loss) for loss in ("mse", "bce") for track in ("idiomatic", "tuned")]
    results = measure(session(*cells, rounds=2, blocks=1), tmp_path)
    assert all(one.status == "ok" for one in results.values())
    for one in results.values():
        measured = ["peak_memory_bytes" in r for r in one.facts["samples"]["rounds"]]
        assert sum(measured) == 1, "memory is that of the first workload of a process; the workloads take turns"


def test_who_fails_is_out_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FRAGILE", "1")
    good, dying, missing = cell("fake"), cell("fragile"), cell("unavailable")
    results = measure(session(good, dying, missing), tmp_path)
    assert (results[dying].status, results[missing].status) == ("crashed", "unsupported")
    assert "SIGSEGV" in str(results[dying].reason)
    assert "_trouble" in results[dying].stderr or "fake_backend" in results[dying].stderr, "faulthandler's traceback"
    assert results[good].status == "ok"
    assert len(results[good].facts["samples"]["rounds"]) == 2


def test_a_death_in_one_workload_leaves_the_next_a_fresh_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "MINIMUM_BATCHES", 1)
    monkeypatch.setattr(timing, "WORK_PER_SECOND", {"cpu": 1.0})
    hanging, fine = cell(batch_size=fake_backend.CRASH), cell(batch_size=8)
    results = measure(session(hanging, fine, rounds=1, blocks=1), tmp_path)
    assert (results[hanging].status, results[fine].status) == ("crashed", "ok")


def test_a_hang_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "MINIMUM_BATCHES", 1)
    monkeypatch.setattr(timing, "WORK_PER_SECOND", {"cpu": 1.0})
    hanging = cell(batch_size=fake_backend.HANG)
    results = measure(session(hanging, rounds=1, blocks=1), tmp_path, timeout=0.5)
    assert results[hanging].status == "timeout"


def test_time_that_runs_out_means_fewer_rounds_and_a_warning(tmp_path: Path) -> None:
    (one,) = measure(session(cell(), rounds=5), tmp_path, stop_at=0.0).values()
    assert len(one.facts["samples"]["rounds"]) == 1, "the first round is always run"
    assert one.facts["warnings"][:2] == [
        "time for 1 of 5 rounds only",
        "a single process: no interval can be given",
    ]
    assert "train_samples_per_second_low" not in one.facts["metrics"]


def test_warmup_is_left_out_of_the_figures_and_kept_in_the_samples() -> None:
    def process(rate: float) -> dict[str, Any]:
        blocks = [[100, 100 / r] for r in (rate / 10, rate / 3, rate, rate, rate, rate)]
        return classified(
            {"train": blocks, "inference": blocks[2:], "latency": [1e-3] * 9 + [5e-3], "staged_samples": 100}
        )

    rounds = [process(rate) for rate in (900.0, 1000.0, 1100.0)]
    assert [r["warmup_blocks"] for r in rounds] == [2, 2, 2]
    assert [r["inference_warmup_blocks"] for r in rounds] == [0, 0, 0]
    metrics = summarise(cell(), rounds)
    assert metrics["train_samples_per_second"] == pytest.approx(1000.0)
    assert metrics["train_samples_per_second_low"] < 900 < 1100 < metrics["train_samples_per_second_high"]
    assert metrics["latency_seconds"] == pytest.approx(1e-3)
    # Of the 30 calls together: two of the three that took 5 ms lie above it.
    assert metrics["latency_p95_seconds"] == pytest.approx(np.quantile([1e-3] * 27 + [5e-3] * 3, 0.95))
    assert metrics["latency_p50_seconds"] == pytest.approx(1e-3)
    assert "latency_p99_seconds" not in metrics, "30 calls have no 99th percentile"


def test_epochs_have_whole_batches_and_about_the_length_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    dense = cell(height=28, width=28, latent=64).make_architecture()
    samples = staged_samples(dense, 128, "cpu", 1, 0.5)
    assert samples % 128 == 0
    flops = dense.forward_flops() + dense.backward_flops()
    assert samples * flops / 60e9 == pytest.approx(0.5, rel=0.05)
    assert staged_samples(dense, 128, "cpu", 1, 0.0) == timing.MINIMUM_BATCHES * 128
    assert staged_samples(dense, 128, "cuda", 1, 10.0) <= timing.MAXIMUM_SAMPLES


def test_blocks_have_the_length_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clocked(fake_backend.Fake):
        """64 samples take 4 ms to train, inference 0.1 ms an image."""

        now = 0.0

        def train_epoch(self, order: NDArray[np.int64]) -> float:
            self.now += 0.004 * len(order) / 64
            return 0.0

        def reconstruct(self, noisy: Array) -> Array:
            self.now += 1e-4 * len(noisy)
            return noisy

    adapter = Clocked()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: adapter.now))
    adapter.configure(Setting())
    bench = TimingBench(adapter, "float32", memory.resident_bytes())
    facts = bench.prepare(cell(), 64, measure_memory=True)
    seconds = {name: value for name, value in facts.items() if name.endswith("_seconds")}
    assert seconds == {"build_seconds": 0.0, "staging_seconds": 0.0, "first_step_seconds": pytest.approx(0.0005)}
    assert facts["process"]["threads"] == 1

    found = bench.calibrate("train", 0.1)
    assert found["repeats"] == 25
    assert [samples for samples, _ in found["blocks"]] == [64, 128, 256, 512, 1024], "64 ms are half of it: enough"
    block = bench.block("train", 25)
    assert (block["samples"], block["seconds"], block["calls"]) == (25 * 64, pytest.approx(0.1), 1)
    assert bench.calibrate("inference", 0.1)["repeats"] == round(0.1 / 0.0064)
    assert bench.calibrate("latency", 1.0)["repeats"] == timing.LATENCY_CALLS[1]
    latency = bench.block("latency", 3)
    assert latency["latency"] == [pytest.approx(1e-4)] * 3
    assert latency["conditions"]["calls"] == 3


def test_peak_memory_is_what_was_held_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    if not memory.reset_peak():
        pytest.skip("this system can not reset the peak")
    before = memory.resident_bytes()
    block = np.ones(16 * 2**20)  # 128 MiB, touched
    del block
    assert memory.resident_bytes() - before < 64 * 2**20
    assert memory.peak_resident_bytes() - before >= 120 * 2**20
    memory.reset_peak()
    assert memory.peak_resident_bytes() - before < 64 * 2**20


def test_the_pytest_benchmark_suite_reports_the_workers_own_clock(tmp_path: Path) -> None:
    output = tmp_path / "benchmarks.json"
    command = [sys.executable, "-m", "pytest", "bench/suite", "--benchmark-only", "-q", f"--benchmark-json={output}"]
    command += ["--daebench-backend=fake,absent", "--daebench-track=tuned", "--daebench-latent=4"]
    command += ["--daebench-batch-size=8", "--daebench-block-seconds=0.001", "-p", "no:cacheprovider"]
    root = Path(timing.__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed, 4 skipped" in done.stdout
    found = {one["name"].split("[")[0]: one for one in json.loads(output.read_text())["benchmarks"]}
    assert set(found) == {"test_train_epoch", "test_inference", "test_latency", "test_harness_overhead"}
    train = found["test_train_epoch"]
    facts = train["extra_info"]
    assert (facts["backend"], facts["samples"], facts["clock"]) == ("fake", 128, "worker"), "16 batches of 8"
    assert facts["samples_per_second"] == pytest.approx(128 / train["stats"]["median"])
    # A step of this network is 4.5 MFLOP for each of 8 samples: no machine does 8 of them in less than 0.1 ms, and a
    # clock that stood still would say 0.
    assert train["stats"]["min"] > 1e-4
