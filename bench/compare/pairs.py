"""Measuring two sides against each other: one round is a fresh process of each, alive together, block against block.

Both do the same work in a block, and blocks go A B B A: what drifts falls on both alike.  A round yields, for each
cell and metric, one number: the robust log ratio of costs of paired blocks.  Processes differ from each other by more
than their blocks tell (memory layout, compiled code), so rounds, not blocks, are what verdicts count.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from bench.cells import TimingCell
from bench.compare.sides import Runner
from bench.process import IMPORT_TIMEOUT, Worker, WorkerFailure
from bench.sessions import STEP_TIMEOUT
from bench.timing import BlockKind, staged_samples
from results.comparison import Metric
from results.statistics import pair_estimate

KINDS: tuple[BlockKind, ...] = get_args(BlockKind)
NAMES = ("base", "head")
BLOCK_PAIRS = 8
"""Pairs of blocks in a round: then blocks add about as much to the scatter of rounds as processes do (2.9 % between
blocks, 0.5 of it shared by neighbours, 0.7 % between processes), and more of them would only cost time."""
FEWEST_PAIRS = 3
"""Where a single block takes long, as ``fit`` does with what it costs beside its images: the least that a median of
differences can be taken of."""
BLOCK_SECONDS = 0.15
"""What a block is meant to last: long against the clock and the scheduler's ticks, short enough to be neighbours."""
DISTURBED_SHARE = 0.5
"""Pairs that hold a disturbed block are left out, unless that would leave fewer than this share."""

Key = tuple[int, BlockKind]
"""A cell, as its place in the pairing, and what is measured of it."""


@dataclass(frozen=True)
class Pairing:
    """What is measured in the same two processes: cells of the base's contestant, and the head's in the same order."""

    base: tuple[TimingCell, ...]
    head: tuple[TimingCell, ...]

    def __post_init__(self) -> None:
        if len(self.base) != len(self.head) or not self.base:
            raise ValueError(f"a pairing needs equally many cells on both sides; got {self.base} and {self.head}")

    def cells(self, name: str) -> tuple[TimingCell, ...]:
        return self.base if name == "base" else self.head

    def pairs(self) -> list[tuple[TimingCell, TimingCell]]:
        """(base's cell, head's cell), in their order."""
        return list(zip(self.base, self.head, strict=True))

    @property
    def label(self) -> str:
        names = [f"{cells[0].backend} {cells[0].track}" for cells in (self.base, self.head)]
        return names[0] if names[0] == names[1] else " / ".join(names)


@dataclass
class Measured:
    """What one cell and kind has come to.  ``rounds``: raw, JSON-able; ``changes``: log cost ratios, one a round."""

    rounds: list[dict[str, Any]] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)

    def level(self, name: str, metric: Metric) -> float | None:
        """The median over processes: images/s, for latency seconds."""
        costs = [statistics.median(entry[name]) for entry in self.rounds]
        if not costs:
            return None
        cost = float(statistics.median(costs))
        return cost if metric == "latency" else 1.0 / cost


class PairFailure(Exception):
    """One side could not be measured.  ``name``: which; ``failure``: what became of it."""

    def __init__(self, name: str, failure: WorkerFailure) -> None:
        super().__init__(f"{name}: {failure.status}: {failure.reason}")
        self.name = name
        self.failure = failure


class Duel:
    """Two sides of a pairing, round after round."""

    def __init__(
        self, pairing: Pairing, sides: Sequence[Runner], kinds: Sequence[BlockKind], cpus: Sequence[int], logs: Path
    ) -> None:
        self.pairing = pairing
        self.sides = dict(zip(NAMES, sides, strict=True))
        self.kinds = tuple(kinds)
        self.cpus = cpus
        self.logs = logs
        self.measured: dict[Key, Measured] = {
            (place, kind): Measured() for place in range(len(pairing.base)) for kind in self.kinds
        }
        self._repeats: dict[Key, int] = {}
        self._pairs: dict[Key, int] = {}

    def round(self, number: int, wanted: Sequence[Key]) -> None:
        """Measure ``wanted`` once more.  PairFailure if a side fails; no process is left behind."""
        # Who starts first, and which cell comes first, takes turns.
        order = NAMES if number % 2 == 0 else NAMES[::-1]
        places = sorted({place for place, _ in wanted})
        turn = number % len(places)
        with contextlib.ExitStack() as stack:
            workers = {name: stack.enter_context(self._started(name)) for name in order}
            for place in places[turn:] + places[:turn]:
                kinds = [kind for kind in self.kinds if (place, kind) in wanted]
                self._cell(place, kinds, workers, order)

    @contextlib.contextmanager
    def _started(self, name: str) -> Iterator[Worker]:
        cell = self.pairing.cells(name)[0]
        program = self.sides[name].program(cell.backend, cell.setting)
        with Worker(cell.backend, cell.setting, self.cpus, self.logs, program, cell.track) as worker:
            try:
                worker.configure(IMPORT_TIMEOUT)
            except WorkerFailure as failure:
                raise PairFailure(name, failure) from None
            yield worker

    def _cell(self, place: int, kinds: Sequence[BlockKind], workers: dict[str, Worker], order: Sequence[str]) -> None:
        cell = self.pairing.head[place]
        samples = staged_samples(cell.make_architecture(), cell.batch_size, cell.device, cell.threads, BLOCK_SECONDS)
        for name in order:
            axes = self.pairing.cells(name)[place].axes()
            _ask(name, workers[name], "prepare", cell=axes, samples=samples, measure_memory=False)
        for kind in kinds:
            self._warm(place, kind, workers, order)
        blocks: dict[BlockKind, dict[str, list[dict[str, Any]]]] = {
            kind: {name: [] for name in NAMES} for kind in kinds
        }
        load = os.getloadavg()[0]
        for pair in range(BLOCK_PAIRS):
            for kind in kinds:
                if pair >= self._pairs[place, kind]:
                    continue
                repeats = self._repeats[place, kind]
                for name in order if pair % 2 == 0 else order[::-1]:
                    blocks[kind][name].append(_ask(name, workers[name], "block", kind=kind, repeats=repeats))
        for kind in kinds:
            self._keep(self.measured[place, kind], kind, blocks[kind], order[0], load)

    def _warm(self, place: int, kind: BlockKind, workers: dict[str, Worker], order: Sequence[str]) -> None:
        """Compile, and settle how long blocks are: by the slower side of the first round, for both and for good."""
        known = self._repeats.get((place, kind))
        found = [
            _ask(name, workers[name], "calibrate", kind=kind, seconds=BLOCK_SECONDS, repeats=known)["repeats"]
            for name in order
        ]
        if known is None:
            self._repeats[place, kind] = min(found)
        seconds = []
        for name in order:
            # Of the length that counts: a loop of another length is another compiled program to some backends.
            _ask(name, workers[name], "block", kind=kind, repeats=self._repeats[place, kind])
            if known is None:  # and once more, with nothing left to compile, for its length
                block = _ask(name, workers[name], "block", kind=kind, repeats=self._repeats[place, kind])
                seconds.append(sum(block["latency"]) if kind == "latency" else block["seconds"])
        if seconds:
            affordable = round(BLOCK_PAIRS * BLOCK_SECONDS / max(max(seconds), 1e-9))
            self._pairs[place, kind] = min(max(affordable, FEWEST_PAIRS), BLOCK_PAIRS)

    def _keep(
        self, measured: Measured, kind: BlockKind, blocks: dict[str, list[dict[str, Any]]], first: str, load: float
    ) -> None:
        costs = {name: [_cost(block, kind) for block in blocks[name]] for name in NAMES}
        pairs = len(costs["base"])
        calm = [index for index in range(pairs) if not any(_is_disturbed(blocks[name][index]) for name in NAMES)]
        counted = calm if len(calm) >= DISTURBED_SHARE * pairs else list(range(pairs))
        change = pair_estimate([costs["base"][i] for i in counted], [costs["head"][i] for i in counted])
        entry = {**costs, "first": first, "disturbed": pairs - len(calm), "change": change}
        measured.rounds.append({**entry, "load": [round(load, 2), round(os.getloadavg()[0], 2)]})
        measured.changes.append(change)


def _ask(name: str, worker: Worker, verb: str, **payload: Any) -> dict[str, Any]:
    try:
        return worker.request(verb, STEP_TIMEOUT, **payload)
    except WorkerFailure as failure:
        raise PairFailure(name, failure) from None


def _cost(block: dict[str, Any], kind: BlockKind) -> float:
    """Seconds an image; of latencies the median, for single calls have long tails."""
    if kind == "latency":
        return float(statistics.median(block["latency"]))
    return float(block["seconds"]) / float(block["samples"])


def _is_disturbed(block: dict[str, Any]) -> bool:
    """By the mark of the side itself; revisions that make none were not disturbed as far as one can know."""
    return bool(block.get("disturbed") or (block.get("conditions") or {}).get("disturbed"))
