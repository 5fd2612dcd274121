"""The worker's side of a timing session: prepare a workload, let it settle, run one block of it, tell the memory.

Which block of which process comes next is decided by :mod:`bench.sessions`.  A block is one call of a verb (or a few,
if it is long) between two readings of the clock, closed by ``synchronize()``, with the garbage collector off; beside
it stands what may have disturbed it (:mod:`bench.disturbance`).
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench import energy, machine, memory
from bench.cells import TimingCell
from bench.disturbance import Watch, scheduling, threads_alive
from implementations import counter, parameters
from implementations.adapter import Adapter, Precision, dtype_of
from implementations.aligned import aligned
from implementations.architecture import Architecture

BlockKind = Literal["train", "inference", "latency"]

SEED = 0
"""Speed does not depend on the values of noise and weights; they only must be ordinary."""
WORK_PER_SECOND = {"cpu": 60e9, "cuda": 2e12, "mps": 5e11}
"""FLOP/s (for each thread on a CPU) by which the staged samples are sized, so that an epoch takes about one block:
the middle of what PyTorch and TensorFlow reach on one core; a tuned GPU reaches more and runs several epochs."""
MINIMUM_BATCHES = 16
"""An epoch of fewer steps would measure what is done once per epoch, not training."""
MAXIMUM_BATCHES = 512
"""More steps say nothing more: with single images it would be thousands, of milliseconds each in some frameworks."""
MAXIMUM_SAMPLES = 60_000
"""The size of MNIST."""
LATENCY_CALLS = (5, 50)
"""Fewest and most single images timed in a block."""
CALIBRATION_SHARE = 0.5
"""A trial run of a block counts as long enough to extrapolate from at this share of the wanted length."""
MAXIMUM_REPEATS = 100_000
SHORT_BATCHES = 2
"""Batches of a short call: more than the one that ``predict`` would not be called for, and little to compute."""
SHORT_CALLS = 3
"""Short calls that are timed; their median counts."""
SHORT_CALLS_PER_BLOCK = 8
"""A block takes at least as long as this many short calls.  ``fit`` on TensorFlow needs about 50 ms however little it
is given, a tenth more or less each time: only calls that are long against that tell a rate."""
CLOCK_SHARE = 1e-3
"""Of a block, the clock's resolution and the cost of an empty timed region may be this much at most."""
CLOCK_READINGS = 200
"""Readings from which resolution and cost of the clock are taken: a tenth of a millisecond."""
SETTLE_SHARE = 4
"""A block of the settle series is this part of the staged epoch: short, so that a series of them shows what happens."""
SETTLE_BATCHES = 4
"""Fewest batches of it."""
SETTLE_GROWTH = 3
"""It is doubled up to so many times, until it takes ..."""
SETTLE_OVERHEADS = 2.5
"""... this many short calls: a series of calls of `fit` that do next to nothing would show how `fit` settles."""
SETTLE_LIMIT = 1.5
"""The series ends early when it has taken this many times what its blocks were meant to take together."""
RESIZED_BATCHES = (4, 16)
"""Fewest and most batches in a pass of inference at another batch size: the short call has two of them."""


def staged_samples(architecture: Architecture, batch_size: int, device: str, threads: int, block_seconds: float) -> int:
    """How many samples an epoch of a timing session has: whole batches, the same for every contestant."""
    flops = architecture.forward_flops() + architecture.backward_flops()
    speed = WORK_PER_SECOND[device] * (threads if device == "cpu" else 1)
    wanted = min(speed * block_seconds / max(flops, 1), MAXIMUM_SAMPLES)
    return max(MINIMUM_BATCHES, min(MAXIMUM_BATCHES, math.floor(wanted / batch_size))) * batch_size


class TimingBench:
    """One contestant's process.  ``rss_after_import``: bytes, what peak memory is counted from."""

    def __init__(self, adapter: Adapter, precision: Precision, rss_after_import: int) -> None:
        self.adapter = adapter
        self.dtype = np.dtype(dtype_of(precision))
        self.rss_after_import = rss_after_import
        self.images: NDArray[Any] = np.empty((0, 0, 0, 0))
        self.epoch = 0
        self.batch_size = 1
        self.cell: TimingCell | None = None
        self.watch = Watch(machine.affinity())
        self.clock = clock_facts()

    def prepare(self, cell: TimingCell, samples: int, measure_memory: bool) -> dict[str, Any]:
        """Build, load, stage and take the first step, each timed.  ``measure_memory``: start the peak from here.

        Besides the seconds: ``clock`` and ``process``, what they were measured with and under which conditions.
        """
        if measure_memory:
            memory.reset_peak()
        self.cell = cell
        architecture, training = cell.make_architecture(), cell.make_training()
        noisy, clean = (
            aligned(counter.uniform((samples, *architecture.input_shape), "timing", which), self.dtype)
            for which in ("noisy", "clean")
        )
        weights = parameters.initialise(architecture, SEED)
        self.images, self.epoch, self.batch_size = noisy, 0, cell.batch_size
        with _undisturbed():
            build = self._timed(lambda: self.adapter.build(architecture, training, cell.track))
            self.adapter.load_weights(weights)
            staging = self._timed(lambda: self.adapter.stage(noisy, clean))
            order = np.arange(min(cell.batch_size, samples), dtype=np.int64)
            first = self._timed(lambda: self.adapter.train_epoch(order))
        # A collection before every block walks all objects there are: 0.2 s where a framework is loaded, if what is
        # there to stay is not set apart.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        return {
            "build_seconds": build,
            "staging_seconds": staging,
            "first_step_seconds": first,
            "clock": self.clock,
            "process": {
                "cpus": self.watch.cpus,
                "threads": cell.threads,
                "threads_alive": threads_alive(),
                "gc": "off in blocks, frozen before",
                "nice": os.nice(0),
                "scheduling": scheduling(),
            },
        }

    def settle(self, kind: Literal["train"], blocks: int, seconds: float, batches: int | None = None) -> dict[str, Any]:
        """A series of up to ``blocks`` equal short calls from the process's first on: what the steady state is looked
        for in.  ``seconds``: of a full block, of which each is meant to be a part.

        ``batches`` of a call: given (what an earlier process found) or found here, and answered; one call before the
        series is not part of it, since it may compile the new shape.  The series ends early where a backend is so
        slow that it would take :data:`SETTLE_LIMIT` times as long as meant.  Answers ``batches``, ``blocks``: pairs
        [samples, seconds], and ``conditions``, as many.
        """
        self.watch = Watch(machine.affinity())
        batches = batches or self._settle_batches()
        count = batches * self.batch_size
        limit, spent = SETTLE_LIMIT * blocks * seconds, 0.0
        self._epoch_of(count)
        series: list[list[float]] = []
        conditions: list[dict[str, Any]] = []
        while len(series) < blocks and spent < limit:
            order = self._order(-(-count // len(self.images)))[:count]
            taken, found = self._watched(partial(self.adapter.train_epoch, order))
            series.append([count, taken])
            conditions.append(found)
            spent += taken
        return {"batches": batches, "blocks": series, "conditions": conditions}

    def _settle_batches(self) -> int:
        self._epoch_of(SHORT_BATCHES * self.batch_size)
        short = self._epoch_of(SHORT_BATCHES * self.batch_size)
        batches = max(SETTLE_BATCHES, len(self.images) // self.batch_size // SETTLE_SHARE)
        for _ in range(SETTLE_GROWTH):
            if self._epoch_of(batches * self.batch_size) >= SETTLE_OVERHEADS * short:
                break
            batches *= 2
        return batches

    def _epoch_of(self, count: int) -> float:
        """Seconds to train ``count`` samples in one call."""
        order = self._order(-(-count // len(self.images)))[:count]
        with _undisturbed():
            return self._timed(lambda: self.adapter.train_epoch(order))

    def calibrate(self, kind: BlockKind, seconds: float, repeats: int | None = None) -> dict[str, Any]:
        """How many repeats make a block of about ``seconds``; ``blocks`` are the pairs [samples, seconds] it took,
        ``short_call`` that of a call of a few batches (see :mod:`results.rates`).

        Doubling, until one run is long enough to extrapolate from; what is compiled at the first call of a new
        shape is compiled here.  Given ``repeats`` (what an earlier process found) are kept, and only warmed up.
        ``cpus``: the cores that the process is bound to by now.
        """
        self.watch = Watch(machine.affinity())
        self.block(kind, 1)
        short = None if kind == "latency" else self._short_call(kind)
        blocks: list[list[float]] = []
        if repeats is None:
            longer = SHORT_CALLS_PER_BLOCK * short[1] if short else 0.0
            clock = (self.clock["resolution_seconds"] + self.clock["cost_seconds"]) / CLOCK_SHARE
            repeats, blocks = self._find_repeats(kind, max(seconds, longer, clock))
        return {"repeats": repeats, "blocks": blocks, "short_call": short, "cpus": self.watch.cpus}

    def _find_repeats(self, kind: BlockKind, seconds: float) -> tuple[int, list[list[float]]]:
        blocks: list[list[float]] = []
        repeats = 1
        while True:
            done, taken = self._total(kind, self.block(kind, repeats))
            blocks.append([done, taken])
            if taken >= CALIBRATION_SHARE * seconds or repeats >= MAXIMUM_REPEATS:
                break
            repeats *= 2
        wanted = min(max(1, round(repeats * seconds / max(taken, 1e-9))), MAXIMUM_REPEATS)
        if kind == "latency":
            low, high = LATENCY_CALLS
            wanted = min(max(wanted, low), high)
        return wanted, blocks

    def _short_call(self, kind: BlockKind, enough: float = math.inf) -> list[float]:
        """[samples, seconds], the seconds a median; of a single call if that takes ``enough`` seconds: what a call
        costs beside its samples is then next to nothing of it."""
        count = min(SHORT_BATCHES * self.batch_size, len(self.images))
        order, images = np.arange(count, dtype=np.int64), self.images[:count]

        def call() -> None:
            if kind == "train":
                self.adapter.train_epoch(order)
            else:
                self.adapter.reconstruct(images)

        with _undisturbed():
            times = 1 if self._timed(call) > enough else SHORT_CALLS
            return [count, float(np.median([self._timed(call) for _ in range(times)]))]

    def _total(self, kind: BlockKind, result: dict[str, Any]) -> tuple[int, float]:
        if kind == "latency":
            return len(result["latency"]), sum(result["latency"])
        return result["samples"], result["seconds"]

    def block(self, kind: BlockKind, repeats: int) -> dict[str, Any]:
        """``repeats`` epochs of training or passes of inference: ``samples``, ``seconds``, ``calls``; or as many single
        images, each on its own clock: ``latency``, seconds.  With ``conditions`` (:mod:`bench.disturbance`)."""
        count = len(self.images)
        if kind == "latency":
            return self._latencies(repeats)
        # One call as far as memory allows: an epoch is one call of `fit`, whatever its length.
        per_call = max(1, min(repeats, MAXIMUM_SAMPLES // count))
        calls = -(-repeats // per_call)
        rows = [self._order(per_call) for _ in range(min(calls, 16))]
        images = self.images[rows[0]] if kind == "inference" else self.images

        def work() -> None:
            for i in range(calls):
                if kind == "train":
                    self.adapter.train_epoch(rows[i % len(rows)])
                else:
                    self.adapter.reconstruct(images)

        seconds, conditions = self._watched(work)
        return {"samples": count * per_call * calls, "seconds": seconds, "calls": calls, "conditions": conditions}

    def _order(self, passes: int) -> NDArray[np.int64]:
        """The staged samples ``passes`` times, each time in another order."""
        self.epoch += passes
        numbers = range(self.epoch - passes, self.epoch)
        return np.concatenate([counter.permutation(len(self.images), "order", SEED, number) for number in numbers])

    def _latencies(self, calls: int) -> dict[str, Any]:
        reconstruct, count = self.adapter.reconstruct, len(self.images)
        images = [self.images[i % count : i % count + 1] for i in range(calls)]
        seconds: list[float] = []

        def work() -> None:
            seconds.extend(self._timed(partial(reconstruct, image)) for image in images)

        _, conditions = self._watched(work)
        return {"latency": seconds, "conditions": {**conditions, "calls": calls}}

    def resize(self, batch_size: int, seconds: float, repeats: int | None = None) -> dict[str, Any]:
        """Make the network anew for inference in batches of ``batch_size``; blocks of "inference" are then passes of
        such batches over as many images as make a few.  There is no training any more until the next ``prepare``.

        Answers ``repeats`` (those given are kept) for blocks of about ``seconds``, and ``short_call``.
        """
        if self.cell is None:
            raise RuntimeError("nothing is prepared yet: ask for prepare first")
        architecture = self.cell.make_architecture()
        with _undisturbed():
            self.adapter.build(architecture, replace(self.cell, batch_size=batch_size).make_training(), self.cell.track)
            self.adapter.load_weights(parameters.initialise(architecture, SEED))
        low, high = RESIZED_BATCHES
        count = min(max(low, len(self.images) // batch_size), high) * batch_size
        if len(self.images) < count:
            self.images = np.resize(self.images, (count, *self.images.shape[1:]))
        else:
            self.images = self.images[:count]
        self.batch_size = batch_size
        found = self._total("inference", self.block("inference", 1))[1]
        short = self._short_call("inference", seconds)
        if repeats is None:
            # A second call tells what the first one compiled; where a pass is long, the first has told enough.
            found = found if found > seconds else self._total("inference", self.block("inference", 1))[1]
            overhead = max(0.0, (short[1] * count - found * short[0]) / (count - short[0]))
            wanted = max(seconds, SHORT_CALLS_PER_BLOCK * overhead) - overhead
            repeats = min(max(1, round(wanted / max(found - overhead, 1e-9))), MAXIMUM_REPEATS)
        return {"repeats": repeats, "short_call": short}

    def energy(self, kind: BlockKind, repeats: int) -> dict[str, Any]:
        """Joules of a window of blocks (see :mod:`bench.energy`), or ``unavailable``: why there are none."""
        assert self.cell is not None
        try:
            return dict(energy.find_meter(self.cell.device).measure(lambda: self.block(kind, repeats)["samples"]))
        except energy.EnergyUnavailable as reason:
            return {"unavailable": str(reason)}

    def memory(self) -> dict[str, Any]:
        """``peak_memory_bytes`` above the bare import (the harness's own copies of the staged images included, the
        same for every backend), and ``peak_device_bytes`` or None."""
        return {
            "peak_memory_bytes": max(memory.peak_resident_bytes() - self.rss_after_import, 0),
            "peak_device_bytes": self.adapter.peak_device_memory(),
        }

    def _watched(self, work: Callable[[], Any]) -> tuple[float, dict[str, Any]]:
        """Seconds of ``work``, and its conditions.  What is slow to read is read outside, before the collection."""
        before = self.watch.surroundings()
        with _undisturbed():
            start = self.watch.counters()
            seconds = self._timed(work)
            end = self.watch.counters()
        return seconds, self.watch.conditions((before, self.watch.surroundings()), (start, end))

    def _timed(self, work: Callable[[], Any]) -> float:
        start = time.perf_counter()
        work()
        self.adapter.synchronize()
        return time.perf_counter() - start


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Without a garbage collection in the middle."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def clock_facts() -> dict[str, float]:
    """The clock that everything is timed by: ``resolution_seconds``, the smallest step seen, and ``cost_seconds``,
    the median of timing nothing."""
    steps = []
    for _ in range(CLOCK_READINGS):
        start = time.perf_counter()
        steps.append(time.perf_counter() - start)
    return {
        "resolution_seconds": float(min((step for step in steps if step > 0), default=0.0)),
        "cost_seconds": float(np.median(steps)),
    }
