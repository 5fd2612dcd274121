"""Timing sessions: the order of blocks, what is counted, and that one contestant's death is its own."""

from __future__ import annotations

import mmap
import os
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
    fake_backend.announce_for_sessions(monkeypatch)


def cell(backend: str = "fake", **axes: Any) -> TimingCell:
    small = {"track": "tuned", "architecture": "dense", "latent": 4, "height": 6, "width": 6, "batch_size": 8}
    return TimingCell(**{"backend": backend, **small, **axes})


def session(*cells: TimingCell, rounds: int = 2, blocks: int = 4, seconds: float = 0.02, **rules: Any) -> Session:
    return Session(cells, rounds, blocks, seconds, inference=True, latency=True, **rules)


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


def test_a_session_says_what_share_of_it_is_done(tmp_path: Path) -> None:
    shares: list[float] = []
    measure(session(cell(), cell(latent=2), blocks=2, rounds=2), tmp_path, on_share=shares.append)
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    # A workload has three steps here: its only contestant is made ready, and two blocks.
    assert {round(12 * share) for share in shares} == set(range(13)), "2 rounds of 2 workloads"


def test_processes_settle_and_what_may_disturb_them_is_kept(tmp_path: Path) -> None:
    contestants = [cell(track="idiomatic"), cell(track="tuned")]
    rules = {"settle_blocks": 16, "inference_batches": (1, 8, 32), "energy": True}
    results = measure(session(*contestants, seconds=0.05, **rules), tmp_path)
    for one in results.values():
        assert "train" in one.facts["steady"]
        assert one.facts["energy"].startswith(("measured", "unavailable: "))
        for entry in one.facts["samples"]["rounds"]:
            series = entry["settle"]["train"]
            conditions = entry["conditions"]["settle"]
            assert len(series) == len(conditions)
            limit = timing.SETTLE_LIMIT * 16 * 0.05  # passed only on a machine that is busy many times over
            assert len(series) == 16 or sum(seconds for _, seconds in series) >= limit
            assert {samples for samples, _ in series} == {entry["settle_batches"] * 8}
            calm = sum(not found["disturbed"] for found in conditions)
            counted = calm if calm >= len(series) / 2 else len(series)  # with fewer than half, all are taken
            assert (entry["steady"]["train"]["kind"] == "too_short") == (counted < 12)
            assert len(entry["conditions"]["train"]) == len(entry["train"])
            assert sum(found["calls"] for found in entry["conditions"]["latency"]) == len(entry["latency"])
            assert all(found["wall_seconds"] > 0 for found in entry["conditions"]["train"])
            assert len(entry["process"]["cpus"]) == 1, "bound to the core that it was given"
            assert 0 < entry["clock"]["cost_seconds"] < 1e-3
            assert list(entry["batches"]) == ["1", "32"], "8 is the batch size that is measured anyway"
            assert len(entry["batches"]["32"]["inference"]) == sessions.RESIZED_BLOCKS
        metrics = one.facts["metrics"]
        sizes = [metrics[f"inference_samples_per_second_b{size}"] for size in (1, 8, 32)]
        assert sizes[1] == metrics["inference_samples_per_second"]
        assert min(sizes) > 0
        assert metrics["train_step_seconds"] == pytest.approx(8 / metrics["train_samples_per_second"])
    first, second = (one.facts["samples"]["rounds"] for one in results.values())
    assert first[0]["settle_batches"] == first[1]["settle_batches"], "later processes settle as the first one did"
    assert second[0]["repeats"] == second[1]["repeats"]


def test_who_does_not_wait_for_the_device_has_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    ask = SessionRun._ask

    def answer(self: SessionRun, contestant: TimingCell, verb: str, /, **payload: Any) -> dict[str, Any]:
        if verb != "audit":
            return ask(self, contestant, verb, **payload)
        asked.append((contestant.backend, len(self.courses[contestant].rounds)))
        honest = contestant.backend == "fake"
        return {"ok": honest, "reason": None if honest else "synchronize() does not wait", "figures": {"ratio": 2.0}}

    monkeypatch.setattr(SessionRun, "_ask", answer)
    good = cell("fake")
    bad = [cell("other", loss=loss) for loss in ("mse", "bce")]
    results = measure(session(good, *bad, blocks=2, audit=True), tmp_path)
    assert asked == [("fake", 0), ("other", 0)], "once a contestant, before its first round counts"
    assert (results[good].status, results[good].facts["audit"]["ok"]) == ("ok", True)
    for one in (results[bad[0]], results[bad[1]]):
        assert (one.status, one.reason) == ("parity_failed", "synchronisation audit: synchronize() does not wait")
        assert "metrics" not in one.facts


def test_blocks_go_round_in_abba_order_and_rounds_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []
    alive: set[int] = set()
    send = Worker.send

    def spy(self: Worker, verb: str, **payload: Any) -> None:
        asked.append((self.backend, verb, payload.get("kind", "")))
        alive.add(self.pid)
        send(self, verb, **payload)

    monkeypatch.setattr(Worker, "send", spy)
    measure(session(cell("fake"), cell("other"), blocks=2), tmp_path)
    trained = [backend for backend, verb, kind in asked if (verb, kind) == ("block", "train")]
    assert trained == ["fake", "other", "other", "fake", "other", "fake", "fake", "other"]
    assert len(alive) == 4, "a fresh process for every contestant and round"
    first_block = next(i for i, (_, verb, _) in enumerate(asked) if verb == "block")
    assert {backend for backend, verb, _ in asked[:first_block] if verb == "prepare"} == {"fake", "other"}
    # Settling, audits, energy and other batch sizes cost nothing where they are not asked for.
    assert {verb for _, verb, _ in asked} == {"configure", "prepare", "calibrate", "block", "memory"}


@pytest.mark.skipif(len(distinct_cores()) < 2, reason="a single core")
def test_processes_may_start_side_by_side_and_are_measured_on_the_same_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "core_pools", lambda jobs, threads: [[core] for core in distinct_cores()[:2]])
    alone = cell("fake")
    together = [cell("fake"), cell("other"), cell("unavailable"), cell("fake", track="idiomatic")]
    asked: list[tuple[str, set[int]]] = []
    send = Worker.send

    def spy(self: Worker, verb: str, **payload: Any) -> None:
        asked.append((verb, os.sched_getaffinity(self.pid)))
        send(self, verb, **payload)

    monkeypatch.setattr(Worker, "send", spy)
    results = measure(session(*together, blocks=1, rounds=1, starts_together=True), tmp_path)
    assert [results[one].status for one in together] == ["ok", "ok", "unsupported", "ok"]
    entries = [results[one].facts["samples"]["rounds"][0] for one in together if results[one].status == "ok"]
    assert [entry["imported_with"] for entry in entries] == [1, 1, 1]
    assert {tuple(entry["process"]["cpus"]) for entry in entries} == {(distinct_cores()[0],)}
    # In pairs, alike ones first: the second is told to import before the first has answered.
    assert [verb for verb, _ in asked][:2] == ["configure", "configure"]
    assert all(cores == {distinct_cores()[0]} for verb, cores in asked if verb in ("calibrate", "block"))
    # So are they prepared: the two of "fake", then the one that is left.
    assert [entry["prepared_with"] for entry in entries] == [1, 0, 1]
    first, second = distinct_cores()[:2]
    assert [cores for verb, cores in asked if verb == "prepare"] == [{first}, {second}, {first}]
    verbs = [verb for verb, _ in asked if verb in ("prepare", "calibrate")]
    assert verbs[:4] == ["prepare", "prepare", "calibrate", "calibrate"]
    (entry,) = measure(session(alone, blocks=1, rounds=1), tmp_path)[alone].facts["samples"]["rounds"]
    assert entry["imported_with"] == entry["prepared_with"] == 0


def test_on_a_device_processes_start_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "core_pools", lambda jobs, threads: [[0], [1]])
    for device, pools in (("cpu", [[0], [1]]), ("cuda", [[0]])):
        what = session(cell("fake", device=device), cell("other", device=device), starts_together=True)
        assert SessionRun(what, logs=tmp_path, cpus=[0]).pools == pools


def test_tracks_are_contestants_and_workloads_share_processes(tmp_path: Path) -> None:
    cells = [cell(track=track, loss=loss) for loss in ("mse", "bce") for track in ("idiomatic", "tuned")]
    results = measure(session(*cells, rounds=2, blocks=1), tmp_path)
    assert all(one.status == "ok" for one in results.values())
    for one in results.values():
        rounds = one.facts["samples"]["rounds"]
        measured = ["peak_memory_bytes" in r for r in rounds]
        assert sum(measured) == 1, "memory is that of the first workload of a process; the workloads take turns"
        assert [r["fresh"] for r in rounds] == measured
        (first,) = (r for r in rounds if r["fresh"])
        for name in ("build_seconds", "first_step_seconds"):
            assert one.facts["metrics"][name] == first[name], "so are cold costs"


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
    assert [entry["fresh"] for entry in results[fine].facts["samples"]["rounds"]] == [True]


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


def figures(rounds: list[dict[str, Any]]) -> dict[str, float]:
    network = cell().make_architecture()
    flops = network.forward_flops() + network.backward_flops()
    return summarise(rounds, batch_size=cell().batch_size, step_flops=flops)


def test_warmup_is_left_out_of_the_figures_and_kept_in_the_samples() -> None:
    def process(rate: float) -> dict[str, Any]:
        blocks = [[100, 100 / r] for r in (rate / 10, rate / 3, rate, rate, rate, rate)]
        return classified(
            {"train": blocks, "inference": blocks[2:], "latency": [1e-3] * 9 + [5e-3], "staged_samples": 100}
        )

    rounds = [process(rate) for rate in (900.0, 1000.0, 1100.0)]
    assert [r["warmup_blocks"] for r in rounds] == [2, 2, 2]
    assert [r["inference_warmup_blocks"] for r in rounds] == [0, 0, 0]
    metrics = figures(rounds)
    assert metrics["train_samples_per_second"] == pytest.approx(1000.0)
    assert metrics["train_samples_per_second_low"] < 900 < 1100 < metrics["train_samples_per_second_high"]
    assert metrics["latency_seconds"] == pytest.approx(1e-3)
    # Of the 30 calls together: two of the three that took 5 ms lie above it.
    assert metrics["latency_p95_seconds"] == pytest.approx(np.quantile([1e-3] * 27 + [5e-3] * 3, 0.95))
    assert metrics["latency_p50_seconds"] == pytest.approx(1e-3)
    assert "latency_p99_seconds" not in metrics, "30 calls have no 99th percentile"


def rounds_of(kinds: list[str], disturbed: str | None = None) -> list[dict[str, Any]]:
    return [
        {
            "train": [[100, 0.1]] * 2,
            "conditions": {"train": [{"disturbed": disturbed}] * 2},
            "steady": {"train": {"kind": kind, "start": 0, "level": 1e-3}},
            "busy_cores": 0.0,
        }
        for kind in kinds
    ]


def test_a_session_says_why_its_figures_should_be_read_with_care() -> None:
    assert warnings(rounds_of(["flat", "warmup"]), {}) == []
    (text,) = warnings(rounds_of(["flat", "flat"], "waited"), {})
    assert text.startswith("too disturbed: in 2 of 2 processes most train blocks")
    (text,) = warnings(rounds_of(["no_steady_state", "no_steady_state"]), {})
    assert text.startswith("no steady state")
    assert steady_states(rounds_of(["flat", "slowdown"])) == {"train": "inconsistent"}
    late = [entry | {"clock": {"cost_seconds": 1e-6}} for entry in rounds_of(["flat", "flat"])]
    assert warnings(late, {"latency_seconds": 1e-2}) == []
    assert "1 µs" in warnings(late, {"latency_seconds": 1e-4})[0]


def test_a_load_that_comes_and_goes_is_no_process_that_never_settles() -> None:
    series = [[100, 0.1 + 0.001 * (n % 3)] for n in range(24)]
    bad = range(18, 24)
    for n in bad:
        series[n] = [100, 0.2]
    conditions = [{"disturbed": "waited" if n in bad else None} for n in range(24)]
    measured = classified({"settle": {"train": series}, "conditions": {"settle": conditions}})
    assert (measured["steady"]["train"]["kind"], measured["steady"]["train"]["start"]) == ("flat", 0)
    blamed = classified({"settle": {"train": series}, "conditions": {"settle": [{"disturbed": None}] * 24}})
    assert blamed["steady"]["train"]["kind"] == "slowdown"


def test_energy_is_measured_or_has_a_reason() -> None:
    assert energy_state([{"energy": {"unavailable": "no counters"}}] * 2) == "unavailable: no counters"
    assert energy_state([{}]).startswith("unavailable: not asked for")
    window = {"source": "a test", "joules": 60.0, "seconds": 2.0, "samples": 3000}
    rounds = [{"energy": window, "train": [[100, 0.1]] * 4, "staged_samples": 100}] * 3
    assert energy_state(rounds) == "measured"
    assert figures(rounds)["train_joules_per_sample"] == pytest.approx(0.02)


def test_epochs_have_whole_batches_and_about_the_length_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    dense = cell(height=28, width=28, latent=64).make_architecture()
    samples = staged_samples(dense, 128, "cpu", 1, 0.5)
    assert samples % 128 == 0
    flops = dense.forward_flops() + dense.backward_flops()
    assert samples * flops / 60e9 == pytest.approx(0.5, rel=0.05)
    assert staged_samples(dense, 128, "cpu", 1, 0.0) == timing.MINIMUM_BATCHES * 128
    assert staged_samples(dense, 1, "cpu", 1, 0.5) == timing.MAXIMUM_BATCHES, "single images: not thousands of steps"
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


class Called(fake_backend.Fake):
    """A call costs 100 ms, a training step of 8 samples 2 ms, an image 1 ms to reconstruct; on a clock of its own."""

    now = 0.0

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        self.now += 0.1 + 0.002 * len(order) / 8
        return 0.0

    def reconstruct(self, noisy: Array) -> Array:
        self.now += 0.1 + 1e-3 * len(noisy)
        return noisy


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> TimingBench:
    adapter = Called()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: adapter.now))
    adapter.configure(Setting())
    bench = TimingBench(adapter, "float32", memory.resident_bytes())
    bench.prepare(cell(), 40 * 8, measure_memory=False)
    return bench


def test_the_settle_series_is_of_calls_that_are_long_against_their_cost(called: TimingBench) -> None:
    found = called.settle("train", 24, 10.0)
    # A short call takes 104 ms, a quarter of the epoch 120: doubled until it takes 2.5 short calls, or three times.
    assert found["batches"] == 80
    assert found["blocks"] == [[640, pytest.approx(0.26)]] * 24
    assert called.settle("train", 3, 10.0, batches=10)["blocks"] == [[80, pytest.approx(0.12)]] * 3


def test_a_slow_backend_settles_in_fewer_blocks(called: TimingBench) -> None:
    # 24 blocks of a session of 10 ms may take 1.5 x 24 x 10 ms = 0.36 s, and one takes 0.12 s: the limit is passed
    # with the third, or by rounding with the fourth.
    assert len(called.settle("train", 24, 0.01, batches=10)["blocks"]) in (3, 4)


def test_blocks_are_long_against_the_clock(called: TimingBench) -> None:
    plain = called.calibrate("train", 0.01)["repeats"]
    called.clock = {"resolution_seconds": 0.01, "cost_seconds": 0.0}  # an old system's: blocks of 10 s
    repeats = called.calibrate("train", 0.01)["repeats"]
    assert called.block("train", repeats)["seconds"] == pytest.approx(10.0, rel=0.02)
    assert repeats > plain


def test_inference_in_other_batches_is_a_network_made_for_them(called: TimingBench) -> None:
    from results.rates import rate

    found = called.resize(2, 0.5)
    assert found["short_call"] == [4, pytest.approx(0.104)]
    assert called.adapter.training.batch_size == 2
    block = called.block("inference", found["repeats"])
    assert block["seconds"] > timing.SHORT_CALLS_PER_BLOCK * 0.1 * 0.9, "long against the cost of the call"
    entry = {"inference": [[block["samples"], block["seconds"]]] * 2, "calls": {"inference": block["calls"]}}
    assert rate(entry | {"short_calls": {"inference": found["short_call"]}}, "inference") == pytest.approx(1000.0)
    assert called.resize(2, 0.5, repeats=7)["repeats"] == 7
    called.resize(512, 0.5)
    assert len(called.images) == 4 * 512, "more than were staged, if a few batches need them"


def test_peak_memory_is_what_was_held_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    if not memory.reset_peak():
        pytest.skip("this system can not reset the peak")
    before = memory.resident_bytes()
    # From the system and back to it: an array's memory the C library may keep (implementations/heap.py lets it).
    with mmap.mmap(-1, 128 * 2**20) as block:
        np.frombuffer(block, np.uint8)[:] = 1  # touched
    assert memory.resident_bytes() - before < 64 * 2**20
    assert memory.peak_resident_bytes() - before >= 120 * 2**20
    memory.reset_peak()
    assert memory.peak_resident_bytes() - before < 64 * 2**20
