"""The synchronisation audit: backends whose work is done when the clock is read pass, the others do not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_backend
import numpy as np
import pytest
from fake_backend import Fake

from bench import audit as audits
from bench import certificates, cli_show, machine
from bench.audit import Audit, audit
from bench.cells import CertificateCell, TimingCell
from bench.certifying import run_certificates
from bench.parity import SYNCHRONISATION, certify
from bench.process import Worker, distinct_cores
from implementations.adapter import TRACKS, Setting, adapter_class, backends
from implementations.architecture import Architecture
from implementations.parameters import Array, Weights
from implementations.training import Training

STEP = 1e-3
"""Seconds of a batch of the fakes: they sleep, so that a busy machine does not slow them."""
BATCH = 8


class Device(Fake):
    """A device that needs ``STEP`` a batch, whatever it is; what it does with its time is up to its subclasses."""

    name = "device"

    def work(self, batches: int) -> None:
        time.sleep(STEP * batches)

    def train_epoch(self, order: Any) -> float:
        self.work(-(-len(order) // self.training.batch_size))
        return 0.5

    def reconstruct(self, noisy: Array) -> Array:
        self.work(-(-len(noisy) // self.training.batch_size))
        return np.zeros_like(noisy)


class Background(Device):
    """Trains in a thread.  Whoever asks for the weights waits for it, so its numbers are right; ``synchronize`` waits
    for the share ``waits`` of the work."""

    waits = 1.0

    def build(self, architecture: Architecture, training: Training, track: Any) -> None:
        super().build(architecture, training, track)
        self.thread: threading.Thread | None = None
        self.done = 0.0

    def work(self, batches: int) -> None:
        self.join()
        now = time.perf_counter()
        self.done, self.enough = now + STEP * batches, now + self.waits * STEP * batches
        self.thread = threading.Thread(target=time.sleep, args=(STEP * batches,))
        self.thread.start()

    def join(self) -> None:
        if self.thread is not None:
            self.thread.join()

    def synchronize(self) -> None:
        if self.thread is not None:
            time.sleep(max(self.enough - time.perf_counter(), 0.0))

    def weights(self) -> Weights:
        self.join()
        return super().weights()

    def reconstruct(self, noisy: Array) -> Array:
        time.sleep(STEP * (-(-len(noisy) // self.training.batch_size)))
        return np.zeros_like(noisy)


class Never(Background):
    waits = 0.0


class Partly(Background):
    waits = 0.7


class LazyImages(Device):
    """Gives images back that are computed when somebody looks."""

    def reconstruct(self, noisy: Array) -> Any:
        batches = -(-len(noisy) // self.training.batch_size)
        return _Lazy(lambda: time.sleep(STEP * batches), np.zeros_like(noisy))


class _Lazy:
    def __init__(self, compute: Callable[[], None], value: Array) -> None:
        self.compute: Callable[[], None] | None = compute
        self.value = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.compute is not None:
            self.compute()
            self.compute = None
        return self.value


class Unfinished(Device):
    """Neither ``synchronize`` nor reading waits: the numbers come in a little later, whatever was asked for.

    Later by most of the pause after which the audit looks again: by the two batches of a short call alone, 2 ms, a busy
    machine let them come in before the first look, every time.
    """

    ready_at = 0.0

    def work(self, batches: int) -> None:
        self.ready_at = time.perf_counter() + 0.75 * audits.PAUSE_SECONDS

    def weights(self) -> Weights:
        ready = time.perf_counter() >= self.ready_at
        return {name: value + ready for name, value in super().weights().items()}


class Truncated(Device):
    """Trains on 64 batches at most, however many it is given: fast on long epochs.

    On 8 a busy machine's delays, of some milliseconds a call, looked like the work of the others.
    """

    def work(self, batches: int) -> None:
        super().work(min(batches, 64))


def audited(kind: type[Device], *, brief: bool = False, device: Any = "cpu") -> Audit:
    cell = TimingCell(backend="x", track="tuned", architecture="dense", latent=4, height=12, width=12, batch_size=BATCH)
    adapter = kind()
    adapter.configure(Setting())
    return audit(adapter, audits.build(adapter, cell), BATCH, brief=brief, device=device)


@pytest.mark.parametrize("kind", [Device, Background])
@pytest.mark.parametrize("brief", [False, True])
def test_who_has_finished_when_the_clock_is_read_passes(kind: type[Device], brief: bool) -> None:
    found = audited(kind, brief=brief)
    assert found.ok
    assert found.reason is None
    assert found.severity < 1
    for verb in ("train", "inference"):
        assert found.figures[f"sync_{verb}_ratio"] == pytest.approx(2, abs=0.5)
        assert found.figures[f"sync_{verb}_residual"] < 0.05


def test_it_is_told_whether_the_verb_itself_waits() -> None:
    assert audited(Device).figures["sync_train_returned"] > 0.95
    assert audited(Background).figures["sync_train_returned"] < 0.2


@pytest.mark.parametrize(
    ("kind", "left"),
    [(Never, 1.0), (Partly, 0.3)],
)
def test_training_that_goes_on_behind_synchronize_is_caught(kind: type[Device], left: float) -> None:
    found = audited(kind, brief=True)
    assert not found.ok
    assert found.severity > 1
    assert "synchronize() does not wait for train_epoch" in str(found.reason)
    assert found.figures["sync_train_residual"] == pytest.approx(left, abs=0.1)
    assert found.figures["sync_inference_residual"] < 0.05, "inference is honest, and found to be"


def test_images_that_are_computed_when_somebody_looks_are_caught() -> None:
    found = audited(LazyImages)
    assert "synchronize() does not wait for reconstruct" in str(found.reason)
    assert found.figures["sync_inference_residual"] > 0.9


def test_weights_that_change_after_synchronize_are_caught() -> None:
    found = audited(Unfinished)
    assert not found.ok
    assert "still change" in str(found.reason) or "train_epoch" in str(found.reason)
    assert found.severity == math.inf, "seen, whatever is named first"


def test_time_that_does_not_grow_with_the_work_is_caught() -> None:
    found = audited(Truncated)
    assert not found.ok
    assert "2 expected" in str(found.reason) or "no time" in str(found.reason)


class Working(Device):
    """Works for its time instead of sleeping; a neighbour holds up calls of more than ``most`` batches.

    By five times what they take: of a fixed time little is left where real neighbours make all calls long.
    """

    most = 200
    aside = 0.0
    """Share of the work that another process does."""

    def work(self, batches: int) -> None:
        start = time.perf_counter()
        until = time.process_time() + (1 - self.aside) * STEP * batches
        while time.process_time() < until:
            pass
        time.sleep(self.aside * STEP * batches)
        if batches > self.most:
            time.sleep(5 * (time.perf_counter() - start))


class HeldUp(Working):
    most = 100


class Elsewhere(HeldUp):
    aside = 0.9


class Hurried(Working):
    """Leaves most of a short epoch to its thread, which it does not wait for."""

    def work(self, batches: int) -> None:
        super().work(batches if batches > 100 else batches // 8)


@pytest.fixture
def of_one_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 and 128 batches, whatever the doubts."""
    monkeypatch.setattr(audits, "MAXIMUM_SAMPLES", 128 * BATCH)


def test_a_neighbour_that_meets_long_calls_alone_is_not_held_against_it(of_one_length: None) -> None:
    found = audited(HeldUp, brief=True)
    assert found.ok, found.reason
    assert found.figures["sync_train_ratio"] == pytest.approx(2, abs=0.5)


@pytest.mark.parametrize(("kind", "device"), [(Elsewhere, "cpu"), (Hurried, "cpu"), (HeldUp, "cuda")])
def test_processor_time_does_not_speak_for_what_the_processor_does_not_do(
    kind: type[Device], device: Any, of_one_length: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine makes 32 batches take as long as asked for, and 64 are not yet held up.
    monkeypatch.setattr(audits, "FEWEST_BATCHES", 64)
    found = audited(kind, device=device)
    assert not found.ok
    assert "2 expected" in str(found.reason)


class Stairs(Device):
    """A call costs 60 ms and goes up in steps of 8 batches, as ``fit`` does: odd, and honest."""

    def work(self, batches: int) -> None:
        time.sleep(0.06)
        super().work(-(-batches // 8) * 8)


def test_what_a_call_costs_is_not_held_against_it() -> None:
    assert audited(Stairs).ok


# -- in the certificate --------------------------------------------------------------------------------------------


class AsyncFake(Fake):
    """Computes all that it should, a moment later than it says."""

    name = "fake"
    waits = False
    delay = 5 * STEP
    """Seconds a batch, well above what the NumPy network needs for it beside busy neighbours."""

    def train_epoch(self, order: Any) -> float:
        loss = super().train_epoch(order)
        self.until = time.perf_counter() + self.delay * len(order) / self.training.batch_size
        return loss

    def wait(self) -> None:
        time.sleep(max(getattr(self, "until", 0.0) - time.perf_counter(), 0.0))

    def synchronize(self) -> None:
        if self.waits:
            self.wait()

    def weights(self) -> Weights:
        self.wait()
        return super().weights()


class HonestFake(AsyncFake):
    waits = True


CELL = CertificateCell(
    backend="fake", track="tuned", precision="float64", architecture="dense", latent=2, height=4, width=4, batch_size=16
)


def certified(kind: type[Fake], shared: dict[Any, Audit], cell: CertificateCell = CELL) -> dict[str, Any]:
    adapter = kind()
    adapter.configure(Setting("cpu", "float64", 1))
    return certify(adapter, cell, shared)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "audit-references"))


def test_the_audit_is_part_of_the_certificate_and_made_once() -> None:
    shared: dict[Any, Audit] = {}
    result = certified(HonestFake, shared)
    assert result["status"] == "ok", result["reason"]
    (check,) = (check for check in result["checks"] if check["quantity"] == SYNCHRONISATION)
    assert check["ok"]
    assert 0 <= check["deviation"] <= check["tolerance"] == 1
    assert {"sync_train_ratio", "sync_train_residual", "sync_inference_ratio"} <= set(result["metrics"])
    assert set(shared) == {"tuned"}
    start = time.perf_counter()
    again = certified(HonestFake, shared)
    assert again["metrics"] == result["metrics"], "the audit of the process is repeated, not made again"
    assert time.perf_counter() - start < 10


def test_an_asynchronous_backend_that_computes_the_specification_gets_no_certificate() -> None:
    result = certified(AsyncFake, {})
    assert result["status"] == "parity_failed"
    assert "synchronize() does not wait" in result["reason"]
    wrong = [check["quantity"] for check in result["checks"] if not check["ok"]]
    assert wrong == [SYNCHRONISATION], "there is nothing wrong with its numbers"
    assert result["metrics"]["worst_ratio"] <= 1


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends that a worker finds: "fake" is honest, "late" is not."""
    variables = fake_backend.environment()
    variables[fake_backend.EXTRA_BACKENDS] += ";late=test_audit:AsyncFake"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    machine.fingerprint.cache_clear()


def test_a_failed_audit_is_shown_and_not_kept(
    announced: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine measured once is no property of the backend: it is asked again."""
    monkeypatch.setenv("COLUMNS", "120")  # on 80 a table this wide breaks its words
    late = CertificateCell(**{**CELL.axes(), "backend": "late"})
    records = run_certificates([CELL, late], use_cache=False)
    assert [record["status"] for record in records] == ["ok", "parity_failed"]
    assert certificates.lookup(CELL, machine.fingerprint("fake", "cpu")) is not None
    assert certificates.lookup(late, machine.fingerprint("late", "cpu")) is None

    cli_show.certificates(records)
    lines = capsys.readouterr().out.splitlines()
    shown = next(index for index, line in enumerate(lines) if line.startswith("synchronisation: time of 2n"))
    rows = {line.split()[0]: line for line in lines[shown:] if " tuned " in line}
    assert "ok" in rows["fake"]
    assert "failed" in rows["late"]
    assert "%" in rows["late"]


def test_a_worker_audits_what_it_has_prepared_or_builds_it(announced: None, tmp_path: Path) -> None:
    cell = TimingCell(backend="fake", track="tuned", architecture="dense", latent=2, height=4, width=4, batch_size=16)
    with Worker("fake", Setting(), distinct_cores()[:1], tmp_path) as worker:
        worker.configure()
        built = worker.request("audit", 60.0, cell=cell.axes())
        worker.request("prepare", 60.0, cell=cell.axes(), samples=64, measure_memory=False)
        prepared = worker.request("audit", 60.0, cell=cell.axes())
        block = worker.request("block", 60.0, kind="train", repeats=1)
    for found in (built, prepared):
        assert found["ok"], found["reason"]
        assert found["reason"] is None
        # NumPy beside another process: the audit's own bounds, and why they are not narrower, stand at MOST_RATIO.
        assert audits.LEAST_RATIO <= found["figures"]["sync_train_ratio"] <= audits.MOST_RATIO
    assert block["samples"] == 64, "the workload is there as before"


@pytest.mark.slow
def test_every_installed_backend_passes_on_both_tracks_beside_another_at_work() -> None:
    installed = [name for name in backends() if not adapter_class(name).missing()]
    cells = [
        CertificateCell(backend=name, track=track, architecture="dense", batch_size=16)
        for name in installed
        for track in TRACKS
    ]
    records = run_certificates(cells, jobs=2, use_cache=False)
    assert len(records) == 2 * len(installed) > 0
    for record in records:
        (check,) = (check for check in record["checks"] if check["quantity"] == SYNCHRONISATION)
        assert check["ok"], f"{record['cell']['backend']} {record['cell']['track']}: {record['reason']}"
