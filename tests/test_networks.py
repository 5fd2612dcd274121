"""Networks that a worker keeps: each is as good as one that was built just now."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_backend import Fake

from bench import lanes, networks, trial
from bench.cells import CertificateCell, TrialCell
from bench.lanes import Job, Lanes, Waiting
from bench.networks import Networks, compiling_length
from bench.process import Worker, distinct_cores
from implementations.adapter import Compiles, Setting, adapter_class, backends

INSTALLED = [name for name in backends() if not adapter_class(name).missing()]
BATCH = 16


def cell(backend: str = "fake", **axes: Any) -> TrialCell:
    small = {"latent": 3, "height": 12, "width": 12, "train": 2 * BATCH, "test": 8, "epochs": 2, "batch_size": BATCH}
    given = {"track": "tuned", "architecture": "dense", "corruption": "gaussian(0.4)", "loss": "mse"}
    return TrialCell(backend=backend, **{**small, **given, **axes})


def certificate(like: TrialCell) -> CertificateCell:
    return CertificateCell(**{name: getattr(like, name) for name in CertificateCell.__dataclass_fields__})


# One for each way of compiling; the others are left to `make slow`.
SLOW = ("keras[jax]", "keras[torch]")


@pytest.mark.parametrize(
    "backend", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in INSTALLED]
)
def test_a_network_met_again_trains_as_one_of_its_own(backend: str, tmp_path: Path) -> None:
    """Certified, left for another, and come back to, with other data staged meanwhile."""
    cells = [cell(backend), cell(backend, loss="bce"), cell(backend, seed=1, train=4 * BATCH)]
    found = []
    for order, certify in ((cells, True), (cells[::-1], False)):
        with Worker(backend, Setting(), distinct_cores()[:1], tmp_path) as worker:
            worker.configure()
            for one in cells[:1] if certify else ():
                result = worker.request("certify", 120.0, cell=certificate(one).axes())
                assert result["status"] == "ok", result["reason"]
            found.append({one: worker.request("trial", 120.0, cell=one.axes(), folder=str(tmp_path)) for one in order})
    for one in cells:
        kept, alone = (results[one] for results in found)
        assert kept["status"] == "ok"
        assert kept["metrics"]["psnr"] == pytest.approx(alone["metrics"]["psnr"], abs=1e-4)
        assert kept["hashes"] == alone["hashes"]
    assert len({results["metrics"]["psnr"] for results in found[0].values()}) == len(cells), "they do differ"


class Counting(Fake):
    """Tells what it builds and is given."""

    built = 0
    staged: list[int]

    def build(self, *arguments: Any) -> None:
        super().build(*arguments)
        type(self).built += 1

    def stage(self, noisy: Any, clean: Any) -> None:
        super().stage(noisy, clean)
        self.staged_samples = len(noisy)


@pytest.fixture
def counting() -> Counting:
    Counting.built = 0
    adapter = Counting()
    adapter.configure(Setting())
    return adapter


def test_a_network_is_built_once_however_often_it_is_left(counting: Counting, tmp_path: Path) -> None:
    bench = trial.TrialBench(counting)
    for loss, seed in itertools.product(("mse", "bce"), range(2)):
        for latent in (2, 3):
            bench.run(cell(loss=loss, seed=seed, latent=latent), tmp_path)
    assert Counting.built == 4
    kept = [bench.networks.find(cell(loss=loss, latent=n)) for loss in ("mse", "bce") for n in (2, 3)]
    adapters = [network.adapter for network in kept if network is not None]
    assert len(set(map(id, adapters))) == 4
    held = sorted(adapter.staged_samples for adapter in adapters if isinstance(adapter, Counting))
    assert held == [2, 2, 2, 2 * BATCH], "one alone holds a data set"


def test_an_epoch_of_another_length_is_not_compiled_in_the_time_of_training(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    train = Counting.train_epoch

    def spy(self: Counting, order: Any) -> float:
        lengths.append(len(order))
        return train(self, order)

    monkeypatch.setattr(Counting, "train_epoch", spy)
    bench = trial.TrialBench(counting)
    for batches in (2, 4, 2):
        bench.run(cell(train=batches * BATCH, epochs=1), tmp_path)
    # Each length once before it counts; come back to, it is known.
    assert [length // BATCH for length in lengths] == [2, 2, 4, 4, 2]


class Compiling(Fake):
    """Takes a second, and nothing else does, for every size of a batch or length of an epoch that is new to its
    network."""

    kind: Compiles = "nothing"
    clock = 0.0
    lengths: list[int]

    @property
    def compiles(self) -> Compiles:
        return self.kind

    def build(self, *arguments: Any) -> None:
        super().build(*arguments)
        self.met: set[int] = set()
        self.lengths = []

    def train_epoch(self, order: Any) -> float:
        size = self.training.batch_size
        sizes = {len(order[start : start + size]) for start in range(0, len(order), size)}
        wanted: set[int] = {"nothing": set[int](), "step": sizes, "epoch": {len(order)}}[self.kind]
        type(self).clock += len(wanted - self.met)
        self.met |= wanted
        self.lengths.append(len(order))
        return super().train_epoch(order)


@pytest.mark.parametrize(
    ("kind", "thrown_away"), [("nothing", []), ("step", [2 * BATCH + 3]), ("epoch", [4 * BATCH + 3, 5 * BATCH + 3])]
)
def test_no_more_is_thrown_away_than_what_compiles(
    kind: Compiles, thrown_away: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: Compiling.clock)
    adapter = Compiling()
    adapter.kind = kind
    adapter.configure(Setting())
    bench = trial.TrialBench(adapter)
    trained = []
    for batches in (4, 5):
        result = bench.run(cell(train=batches * BATCH + 3, epochs=2), tmp_path)
        assert result["metrics"]["train_seconds"] == 0.0, "no compilation among the seconds of training"
        trained += [batches * BATCH + 3] * 2
    for length in trained:
        adapter.lengths.remove(length)
    assert adapter.lengths == thrown_away


@pytest.mark.parametrize(("samples", "expected"), [(256, 32), (259, 35), (19, 19), (16, 16), (7, 7)])
def test_steps_are_compiled_for_full_batches_and_the_last_one(samples: int, expected: int) -> None:
    assert compiling_length("step", samples, BATCH) == expected
    assert compiling_length("epoch", samples, BATCH) == samples
    assert compiling_length("nothing", samples, BATCH) == 0


def test_few_networks_are_kept_and_only_those_of_one_track(counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MOST_KEPT", 2)
    held = Networks(counting)

    def build(one: TrialCell) -> None:
        with held.building(one) as network:
            network.adapter.build(one.make_architecture(), one.make_training(), one.track)

    first, second, third = (cell(latent=latent) for latent in (2, 3, 4))
    build(first)
    assert held.adapter is counting
    build(second)
    assert held.find(first) is not None  # and is now the one that was asked for last
    build(third)
    assert held.find(second) is None
    assert held.find(first) is not None
    build(cell(latent=2, track="idiomatic"))
    assert held.find(first) is None
    assert held.find(third) is None
    assert held.clear() is counting
    on_device = cell(latent=2, device="cuda"), cell(latent=3, device="cuda")
    for one in on_device:
        build(one)
    assert held.find(on_device[0]) is None


def test_what_could_not_be_built_is_not_kept(counting: Counting) -> None:
    held = Networks(counting)
    with pytest.raises(MemoryError), held.building(cell()):
        raise MemoryError
    assert held.find(cell()) is None


class Stub:
    """A worker that notes what it is asked."""

    asked: list[tuple[int, Any]]
    alive = True

    def __init__(self, backend: str, setting: Setting, cpus: Sequence[int], logs: Path) -> None:
        self.cpus, self.met = tuple(cpus), set[Any]()

    def configure(self, timeout: float, *, lean: bool) -> None:
        pass

    def request(self, verb: str, timeout: float, on_notice: Any, **payload: Any) -> dict[str, Any]:
        type(self).asked.append((self.cpus[0], payload["cell"]["latent"]))
        self.both.wait(10.0)
        return {}

    def stderr(self) -> str:
        return ""

    def close(self) -> None:
        pass

    stop = close


def test_jobs_go_to_the_worker_that_has_met_their_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "Worker", Stub)
    monkeypatch.setattr(lanes, "HELP_SECONDS", 0.0)
    Stub.asked = []
    Stub.both = threading.Barrier(2)  # type: ignore[attr-defined]
    waiting = Waiting()
    for latents in ((2, 3), (3, 3, 2, 2)):
        jobs = [Job(cell(latent=latent), "trial", 5.0, near=latent) for latent in latents]
        Lanes(jobs, pools=[[0], [1]], logs=tmp_path, waiting=waiting).run(lambda ended: None)
    places = {latent: {cpu for cpu, asked in Stub.asked if asked == latent} for latent in (2, 3)}
    assert sorted(map(len, places.values())) == [1, 1], places
    assert places[2] != places[3]


def test_weights_of_a_kept_network_are_its_own(counting: Counting, tmp_path: Path) -> None:
    bench = trial.TrialBench(counting)
    one, other = cell(latent=2), cell(latent=3)
    bench.run(one, tmp_path)
    found = bench.networks.find(one)
    assert found is not None
    before = {name: value.copy() for name, value in found.adapter.weights().items()}
    bench.run(other, tmp_path)
    after = found.adapter.weights()
    assert all(np.array_equal(before[name], after[name]) for name in before)
