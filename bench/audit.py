"""The synchronisation audit: is the work done when the clock is read?

Every timed region ends with ``synchronize()``.  A backend that computes on a device, in threads or lazily, and whose
``synchronize()`` does not wait for it, is fast on paper alone.  Three questions are put to it, for training and for
inference, on the network that it has already built:

1. After ``synchronize()``, does reading the result (the weights; the images) take longer than it takes when nothing
   has been asked for a while?  Then work was left: reading must wait for it, or else give wrong numbers, which
   question 3 and the certificate find.  What was left, as a share of the whole, is the *residual*.
2. Do 2n batches take twice as long as n?  Counted are batches beyond a call of a few, since a call costs something
   whatever it is given (:mod:`results.rates`): (T(2n) - T(short)) / (T(n) - T(short)), brought to 2.
3. Is the result still the same a moment later?

How long the region takes *without* ``synchronize()`` is told too, as a share: 1 means that the verb itself waits.

A neighbour on the machine only ever adds time, and not evenly.  So calls of all lengths take turns, the shortest of
each counts, and a doubt is followed by more and by longer calls before it becomes a verdict.  Long calls meet the
neighbour every time, though, and short ones can slip through (128 batches took 4.45 times as long as 64 beside the
tests of this project).  So on a CPU the second question may be answered by processor time: what this process, threads
and all, has worked by the time ``synchronize()`` is back holds no neighbour, and work that is put off is not in it.

This module runs in a worker.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells import Cell
from implementations import counter, parameters
from implementations.adapter import Adapter, Device

RESIDUAL_TOLERANCE = 0.05
"""Largest share of a region that may be left after ``synchronize()``.  Correct backends measured 0 to 0.01 beside a
busy neighbour; less than this would not change a ranking."""
LEAST_RATIO, MOST_RATIO = 1.5, 4.0
"""What counts as twice.  Too little is what hidden work looks like; a call of ``fit`` on TensorFlow costs some
milliseconds more or less each time, which counts where the calls are short.  Too much hides nothing: larger
arrays miss caches and need new pages, which made NumPy take 3 times as long for twice as many images."""
OWN_SHARE = 0.5
"""Processor time speaks for a call if it is at least this much of its time: a call that mostly waits says with it
nothing about what it waits for."""
MINIMUM_SECONDS = 0.05
"""The further batches of the shorter call take at least this: ten time slices of a busy system's scheduler ..."""
SHORT_CALLS_LONG = 2.0
""" ... and at least this many times a call of a few batches, so that what a call costs is not what is measured."""
SHORT_BATCHES = 2
"""Batches of a short call; for one, some adapters take another path."""
FEWEST_BATCHES = 4
MAXIMUM_SAMPLES = 60_000
"""Of the longest call, the size of MNIST: what it is given must fit into memory."""
PAUSE_SECONDS = 0.02
"""At least so long nothing is asked before a result is read as idle."""
REPEATS, BRIEF_REPEATS = 2, 1
"""Rounds before a good result is believed; a brief audit repeats one that is part of the certificate."""
MOST_REPEATS = 2
"""Rounds before a doubtful result leads to calls of twice the length ..."""
ATTEMPTS = 3
""" ... and lengths that are tried before it is believed."""

AUDIT_BATCHES = 4
"""Of images that are staged where nothing is staged yet; they go round and round."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Audit:
    """``reason``: None if and only if ``ok``.  ``severity``: the worst figure as a share of what is allowed, more than
    1 if it is not ok.  ``figures``: metrics by name, as results/README.md has them."""

    ok: bool
    reason: str | None
    severity: float
    figures: Figures


@dataclass(frozen=True)
class Call:
    """Seconds of one call: until the verb came back, until ``synchronize()`` did too, and of reading the result;
    and of processor time, of all threads, until ``synchronize()`` came back."""

    returned: float
    closed: float
    read: float
    worked: float

    @property
    def total(self) -> float:
        """With whatever reading had to wait for: what the work took, wherever it was hidden."""
        return self.closed + self.read


class Verb(ABC):
    """A timed verb of an adapter, and how its result is read."""

    name: str
    words: str
    result: str
    is_kept: bool
    """Whether a result stays what it is when the verb is called again."""

    def __init__(self, adapter: Adapter, images: NDArray[Any], batch_size: int) -> None:
        self.adapter, self.images, self.batch_size = adapter, images, batch_size
        self.most_batches = max(MAXIMUM_SAMPLES // batch_size, 2 * FEWEST_BATCHES)

    def rows(self, batches: int) -> NDArray[np.int64]:
        """That many whole batches of staged samples, round and round."""
        return np.arange(batches * self.batch_size, dtype=np.int64) % len(self.images)

    @abstractmethod
    def start(self, rows: NDArray[Any]) -> Any:
        """The verb itself."""

    @abstractmethod
    def read(self, started: Any) -> list[NDArray[Any]]:
        """The result, on the CPU."""

    def prepare(self, batches: int) -> NDArray[Any]:
        """What :meth:`start` is given; made outside the clock."""
        return self.rows(batches)


class Training(Verb):
    name, words, result, is_kept = "train", "train_epoch", "the weights", False

    def start(self, rows: NDArray[Any]) -> Any:
        return self.adapter.train_epoch(rows)

    def read(self, started: Any) -> list[NDArray[Any]]:
        return list(self.adapter.weights().values())


class Inference(Verb):
    name, words, result, is_kept = "inference", "reconstruct", "the images", True

    def prepare(self, batches: int) -> NDArray[Any]:
        return self.images[self.rows(batches)]

    def start(self, rows: NDArray[Any]) -> Any:
        return self.adapter.reconstruct(rows)

    def read(self, started: Any) -> list[NDArray[Any]]:
        # A sum looks at every number and, unlike a copy, asks the system for no memory.
        return [np.asarray(started).sum(dtype=np.float64)]


def audit(
    adapter: Adapter, images: NDArray[Any], batch_size: int, *, brief: bool = False, device: Device = "cpu"
) -> Audit:
    """Audit ``adapter``, which is built, has weights and has ``images`` (n, h, w, c) staged as its noisy samples, at
    least one batch.  Trains: weights and optimizer are others afterwards.

    ``brief``: be content with the first good result.  ``device``: where the adapter computes.  Takes 0.3 to 3 s; some
    times more if there are doubts.
    """
    found = [_Examination(verb(adapter, images, batch_size), brief, device).run() for verb in (Training, Inference)]
    failed = [part for part in found if not part.ok]
    return Audit(
        ok=not failed,
        reason=failed[0].reason if failed else None,
        severity=max(part.severity for part in found),
        figures={name: value for part in found for name, value in part.figures.items()},
    )


def build(adapter: Adapter, cell: Cell) -> NDArray[Any]:
    """Build the network of ``cell``, give it weights and stage images for :func:`audit`, which are returned."""
    architecture = cell.make_architecture()
    shape = (AUDIT_BATCHES * cell.batch_size, *architecture.input_shape)
    images = counter.uniform(shape, "audit", "images").astype(cell.setting.dtype)
    adapter.build(architecture, cell.make_training(), cell.track)
    adapter.load_weights(parameters.initialise(architecture, 0))
    adapter.stage(images, images)
    return images


class _Examination:
    """Of one verb: calls of a few, n and 2n batches in turn, until the answer is clear."""

    def __init__(self, verb: Verb, brief: bool, device: Device) -> None:
        self.verb, self.device = verb, device
        self.least = BRIEF_REPEATS if brief else REPEATS
        self.calls: dict[int, list[Call]] = {}
        self.idle: list[float] = []
        self.changed = False
        self.result: Any = None
        self.value: list[NDArray[Any]] = []

    def run(self) -> Audit:
        batches = self._find_length()
        verdict = None
        for attempt in range(ATTEMPTS):
            if attempt:
                if 4 * batches > self.verb.most_batches:
                    break
                batches *= 2
            for repeat in range(MOST_REPEATS):
                self.call(SHORT_BATCHES)
                self.look_again()  # where nothing waits, only the work of a short call is over by then
                self.call(batches)
                self.call(2 * batches)
                self.rest()
                verdict = self.judge(batches)
                if verdict.ok and repeat + 1 >= self.least:
                    return verdict
        assert verdict is not None
        return verdict

    def _find_length(self) -> int:
        """A power of two, for some adapters compile anew for others."""
        self.call(SHORT_BATCHES)  # what is compiled or set up at the first call ...
        self.calls.clear()  # ... is no measure of the next
        self.call(SHORT_BATCHES)
        self.call(SHORT_BATCHES)
        short = self.best(SHORT_BATCHES).total
        wanted = max(MINIMUM_SECONDS, SHORT_CALLS_LONG * short)
        # A batch takes at most this, so no fewer will do.
        batches = _power_of_two(max(FEWEST_BATCHES, MINIMUM_SECONDS / (short / SHORT_BATCHES)))
        while 4 * batches <= self.verb.most_batches:
            further = self.call(batches).total - self.best(SHORT_BATCHES).total
            if further >= wanted:
                break
            batches *= 2 if further > 0.3 * wanted else 4
        return max(min(batches, self.verb.most_batches // 2), FEWEST_BATCHES)

    def call(self, batches: int) -> Call:
        rows = self.verb.prepare(batches)
        before = time.process_time()
        start = time.perf_counter()
        self.result = self.verb.start(rows)
        returned = time.perf_counter()
        self.verb.adapter.synchronize()
        closed = time.perf_counter()
        worked = time.process_time() - before
        self.value = self.verb.read(self.result)
        end = time.perf_counter()
        made = Call(returned - start, closed - start, end - closed, worked)
        self.calls.setdefault(batches, []).append(made)
        return made

    def pause(self) -> None:
        time.sleep(max(PAUSE_SECONDS, self.best(SHORT_BATCHES).total))

    def look_again(self) -> float:
        """Read the last result again, a moment later: has it changed?  Seconds of reading at rest."""
        self.pause()
        start = time.perf_counter()
        late = self.verb.read(self.result)
        seconds = time.perf_counter() - start
        self.changed |= not _equal(self.value, late)
        return seconds

    def rest(self) -> None:
        """Has the last result changed?  And how long does reading take at rest?"""
        seconds = self.look_again()
        if not self.verb.is_kept:
            # A second reading may be cheaper, since some frameworks keep what they have copied once: make new weights,
            # and wait until they are there even if nothing but reading waits.
            self.verb.start(self.verb.prepare(SHORT_BATCHES))
            self.verb.adapter.synchronize()
            self.pause()
            start = time.perf_counter()
            self.verb.read(None)
            seconds = time.perf_counter() - start
        self.idle.append(seconds)

    def best(self, batches: int) -> Call:
        """The shortest of the calls of a length, part by part."""
        calls = self.calls[batches]
        return Call(*(min(getattr(call, part.name) for call in calls) for part in fields(Call)))

    def judge(self, batches: int) -> Audit:
        """What the calls of ``batches`` and twice as many come to."""
        verb, short, once, twice = self.verb, *map(self.best, (SHORT_BATCHES, batches, 2 * batches))
        left = max(twice.read - min(self.idle), 0.0)
        residual = left / (twice.closed + left)
        figures = {
            f"sync_{verb.name}_residual": residual,
            f"sync_{verb.name}_residual_seconds": left,
            f"sync_{verb.name}_returned": min(twice.returned / twice.closed, 1.0),
            f"sync_{verb.name}_batches": float(batches),
        }
        problems = {}
        severity = [residual / RESIDUAL_TOLERANCE]
        if residual > RESIDUAL_TOLERANCE:
            problems["residual"] = (
                f"synchronize() does not wait for {verb.words}: after it, reading {verb.result} "
                f"takes {left * 1e3:.1f} ms longer than at rest: {residual:.0%} of the work was left "
                f"({RESIDUAL_TOLERANCE:.0%} allowed)"
            )
        if self.changed:
            severity.append(math.inf)
            problems["changed"] = f"{verb.result} of {verb.words} still change after synchronize()"
        ratio = _ratio(short.closed, once.closed, twice.closed, batches)
        if _departure(ratio) > 1 and self.device == "cpu":
            ratio = _own_ratio(short, once, twice, batches, ratio)
        if ratio is not None:
            figures[f"sync_{verb.name}_ratio"] = ratio
        severity.append(_departure(ratio))
        if severity[-1] > 1:
            told = "no time that can be measured" if ratio is None else f"{ratio:.2f} times the time of {batches}"
            problems["ratio"] = (
                f"{verb.words}: {2 * batches} batches take {told} (2 expected, {LEAST_RATIO:g} to "
                f"{MOST_RATIO:g} allowed; a call of {SHORT_BATCHES} subtracted)"
            )
        reason = next(iter(problems.values()), None)
        return Audit(reason is None, reason, max(severity), figures)


def _ratio(short: float, once: float, twice: float, batches: int) -> float | None:
    """Twice the time of a further batch in a call of ``2 * batches`` over that in a call of ``batches``; None if the
    latter takes no time."""
    by_one = (once - short) / (batches - SHORT_BATCHES)
    by_two = (twice - short) / (2 * batches - SHORT_BATCHES)
    return 2 * by_two / by_one if by_one > 0 else None


def _own_ratio(short: Call, once: Call, twice: Call, batches: int, by_time: float | None) -> float | None:
    """That ratio by processor time where it can tell and finds nothing to object to; else ``by_time``."""
    ratio = _ratio(short.worked, once.worked, twice.worked, batches)
    return ratio if once.worked >= OWN_SHARE * once.closed and _departure(ratio) <= 1 else by_time


def _departure(ratio: float | None) -> float:
    """From 2, as a share of what is allowed."""
    if ratio is None:
        return math.inf
    return (ratio - 2) / ((MOST_RATIO if ratio > 2 else LEAST_RATIO) - 2)


def _power_of_two(least: float) -> int:
    return int(1 << (math.ceil(least) - 1).bit_length())


def _equal(one: Iterable[Any], other: Iterable[Any]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))
