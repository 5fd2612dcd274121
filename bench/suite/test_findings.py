"""Five things that decide over figures, each measured with and without.

    pytest bench/suite/test_findings.py --benchmark-only --benchmark-group-by=group

What they are about: :func:`bench.worker.run_undivided`, what :meth:`Adapter.environment` leaves to OpenMP,
:func:`implementations.heap.keep_freed_memory`, :func:`implementations.torch_device.flush_subnormals` and the shape in
which the tuned tracks of JAX take their loss.  The ratio of the medians in a group is what each is worth on this
machine.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import corruption, datasets
from bench.cells import TimingCell
from bench.process import Worker, WorkerFailure, distinct_cores
from bench.suite.conftest import CLOCK, REQUEST_TIMEOUT, fresh_process, scalars
from implementations import adapter, catalog, heap, parameters
from implementations.adapter import Setting
from implementations.training import Training

FIT = TimingCell(backend="keras[tensorflow]", track="idiomatic", architecture="dense", latent=64, batch_size=32)
FIT_SAMPLES = 256 * FIT.batch_size
"""Of a call of ``fit``: half a second, in which the sleeps of the thread that tunes the input pipeline grow long."""
TWO = TimingCell(backend="torch", track="tuned", architecture="dense", latent=64, threads=2)
TWO_SAMPLES = 64 * TWO.batch_size
IMAGES, EPOCHS = 640, 320
"""Adam's first moments shrink by 0.9 a step: after 800 steps without a gradient nothing but a subnormal is left."""
ROUNDS = 7
PROCESSES = 3


@pytest.mark.benchmark(group="findings: fit on one core", timer=CLOCK)
@pytest.mark.parametrize("scheduling", ["batch", "other"])
def test_fit_on_one_core(benchmark: Any, tmp_path: Path, scheduling: str) -> None:
    """An epoch of Keras' ``fit`` on TensorFlow in a process that has one core, whose threads may interrupt each other
    (``other``, the usual) or not (``batch``, as workers are)."""
    if not hasattr(os, "SCHED_BATCH"):
        pytest.skip("this system has no SCHED_BATCH")
    if reason := adapter.adapter_class(FIT.backend).missing():
        pytest.skip(reason)
    policy = {"batch": os.SCHED_BATCH, "other": os.SCHED_OTHER}[scheduling]
    with Worker(FIT.backend, FIT.setting, distinct_cores()[:1], tmp_path) as worker:
        with contextlib.suppress(WorkerFailure):  # refused, but by then it has set itself to what workers are
            worker.request("memory", REQUEST_TIMEOUT)
        os.sched_setscheduler(worker.pid, policy, os.sched_param(0))  # threads inherit it; the framework has none yet
        try:
            worker.configure()
        except WorkerFailure as failure:
            pytest.skip(failure.reason)
        _measure_epochs(benchmark, worker, FIT, FIT_SAMPLES, {"scheduling": scheduling})


@pytest.mark.benchmark(group="findings: torch on two cores", timer=CLOCK)
@pytest.mark.parametrize("waiting", ["default", "passive"])
def test_torch_on_two_cores(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: str) -> None:
    """An epoch of torch on two threads that look for work before they sleep (OpenMP's default), or sleep at once."""
    cores = distinct_cores()[:2]
    if len(cores) < 2:
        pytest.skip("one core")
    if reason := adapter.adapter_class(TWO.backend).missing():
        pytest.skip(reason)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if waiting == "passive":
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    with Worker(TWO.backend, TWO.setting, cores, tmp_path) as worker:
        worker.configure()
        _measure_epochs(benchmark, worker, TWO, TWO_SAMPLES, {"waiting": waiting})


KEPT = {"conv": ("jax", "torch"), "conv-small": ("jax",), "conv-latif": ("jax", "keras[jax]")}
"""Networks that it matters to, and the backends."""


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize("memory", ["kept", "given back"])
@pytest.mark.parametrize(("network", "backend"), [(name, who) for name, those in KEPT.items() for who in those])
def test_memory_between_steps(benchmark: Any, backend: str, network: str, memory: str) -> None:
    """A step of the tuned track, in fresh processes whose C library keeps what a step frees, or gives it back as it
    does by itself; ``faults`` and ``system_seconds`` of a step beside it."""
    if not sys.platform.startswith("linux"):
        pytest.skip("glibc is to be told")
    if reason := adapter.adapter_class(backend).missing():
        pytest.skip(reason)
    benchmark.group = f"findings: memory of {backend}, {network}"
    variables = adapter.adapter_class(backend).environment(Setting()) | (heap.ONE_ARENA if memory == "kept" else {})
    core = str(distinct_cores()[0])
    steps: list[dict[str, float]] = []

    def process() -> None:
        steps.append(fresh_process("bench.suite.memory_steps", backend, network, core, memory, **variables))
        CLOCK.advance(steps[-1]["seconds"])

    benchmark.pedantic(process, rounds=PROCESSES)
    medians = {name: float(np.median([step[name] for step in steps])) for name in ("faults", "system_seconds")}
    benchmark.extra_info.update(scalars({"backend": backend, "network": network, "memory": memory, **medians}))


def _measure_epochs(benchmark: Any, worker: Worker, cell: TimingCell, samples: int, facts: dict[str, Any]) -> None:
    worker.request("prepare", REQUEST_TIMEOUT, cell=cell.axes(), samples=samples, measure_memory=False)

    def epoch() -> None:
        CLOCK.advance(worker.request("block", REQUEST_TIMEOUT, kind="train", repeats=1)["seconds"])

    benchmark.extra_info.update(scalars({**facts, "samples": samples, "clock": "worker"}))
    benchmark.pedantic(epoch, rounds=ROUNDS, warmup_rounds=2)


@pytest.fixture(scope="module")
def trained() -> Iterator[Any]:
    """The tuned track of torch after :data:`EPOCHS` epochs with subnormals kept: (adapter, order of an epoch, state of
    the optimizer)."""
    kind = adapter.adapter_class("torch")
    if reason := kind.missing():
        pytest.skip(reason)
    from implementations import torch_device

    network = catalog.make("dense", (28, 28, 1), 64)
    torch: Any = kind()
    torch.configure(Setting())
    torch.build(network, Training(), "tuned")
    torch_device.flush_subnormals(False)
    torch.load_weights(parameters.initialise(network, 0))
    clean = datasets.as_float(datasets.load("glyphs", train=IMAGES, test=2).train)
    torch.stage(corruption.corrupt(clean, "masking(0.5)", seed=0, split="train"), clean)
    order = np.arange(IMAGES, dtype=np.int64)
    for _ in range(EPOCHS):
        torch.train_epoch(order)
    # Flushed once, the moments are zero: each measurement begins with those that training has left.
    yield torch, order, copy.deepcopy(torch.optimizer.state_dict())
    torch_device.flush_subnormals(False)


@pytest.mark.benchmark(group="findings: torch after many epochs")
@pytest.mark.parametrize("flush", [True, False], ids=["flushed", "kept"])
def test_torch_with_subnormal_numbers(benchmark: Any, trained: Any, flush: bool) -> None:
    """An epoch of torch when many of Adam's moments have become subnormal: flushed to zero, or kept as torch does."""
    from implementations import torch_device

    torch, order, state = trained
    torch_device.flush_subnormals(False)  # flushed, they are not even seen
    torch.optimizer.load_state_dict(copy.deepcopy(state))
    moments = np.concatenate([state["exp_avg"].numpy().ravel() for state in torch.optimizer.state.values()])
    share = float(np.mean((moments != 0) & (np.abs(moments) < np.finfo(np.float32).tiny)))
    torch_device.flush_subnormals(flush)
    benchmark.extra_info.update(scalars({"subnormal_share": share, "samples": IMAGES}))
    benchmark.pedantic(torch.train_epoch, args=(order,), rounds=3 * ROUNDS, warmup_rounds=2)


@pytest.mark.benchmark(group="findings: the loss of images with one channel, by XLA")
@pytest.mark.parametrize("shape", [(128, 784), (128, 28, 28, 1)], ids=["rows", "images"])
def test_loss_behind_a_product_in_xla(benchmark: Any, shape: tuple[int, ...]) -> None:
    """Binary cross-entropy from the logits of a last dense layer, and its gradient by the layer's weights: the same
    numbers as rows, or as the images that they are.  On a CPU, XLA does not vectorise along a last axis of one."""
    jax = pytest.importorskip("jax")
    from implementations import jax_network

    x, weights, clean = (
        jax.device_put(np.random.default_rng(0).random(size, np.float32))
        for size in ((128, 256), (256, 784), (128, 784))
    )

    def loss(weights: Any) -> Any:
        return jax_network.mean_loss("bce", (x @ weights).reshape(shape), clean.reshape(shape), linear=False)

    differentiate = jax.jit(jax.value_and_grad(loss))
    benchmark.extra_info.update(scalars({"shape": "x".join(map(str, shape)), "jax": jax.__version__}))
    benchmark.pedantic(lambda: jax.block_until_ready(differentiate(weights)), rounds=50, warmup_rounds=3)
