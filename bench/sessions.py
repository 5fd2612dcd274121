"""Timing sessions, the supervisor's side: who is measured when, and what the figures come to.

Each round starts a fresh process for every contestant (backend and track), one after another, so that each import is
alone; then all are alive, and blocks go round in ABBA order: forwards, then backwards, so that a drift of the machine
(clocks, temperature, neighbours) falls on all alike.  Nothing else runs: the supervisor waits in a blocking read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.cells import TimingCell
from bench.plan import Session
from bench.process import IMPORT_TIMEOUT, Worker, WorkerFailure
from bench.records import Ended, now
from bench.timing import BlockKind, staged_samples
from implementations.adapter import Track
from results.rates import RateKind
from results.schema import Status

STEP_TIMEOUT = 600.0
"""Seconds for one request: build and first step of the slowest compiler known take 30."""
WATCH_SECONDS = 0.2
"""How long other programs are watched before a round: 20 ticks of the kernel's clock."""
BUSY_CORES = 0.25
"""More than this going on beside us deserves a warning."""
FIGURES = ("import_seconds", "build_seconds", "staging_seconds", "first_step_seconds")

Contestant = tuple[str, Track]


@dataclass
class _Course:
    """What one cell has come to so far."""

    rounds: list[dict[str, Any]] = field(default_factory=list)
    status: Status = "ok"
    reason: str | None = None
    stderr: str = ""

    def fail(self, failure: WorkerFailure) -> None:
        self.status, self.reason, self.stderr = failure.status, failure.reason, failure.stderr


class SessionRun:
    """One session over ``cells``, all of one device, precision and number of threads.

    ``stop_at`` (monotonic seconds): no further round is begun that, by the mean so far, would end later; the first
    is always run.  ``on_step`` hears a few words now and then, never during a block.
    """

    def __init__(
        self,
        session: Session,
        *,
        logs: Path,
        cpus: Sequence[int],
        timeout: float | None = None,
        stop_at: float | None = None,
        on_step: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.session = session
        self.logs = logs
        self.cpus = cpus
        self.timeout = timeout or STEP_TIMEOUT
        self.stop_at = stop_at
        self.on_step = on_step
        self.courses = {cell: _Course() for cell in session.cells}
        self.workloads: dict[TimingCell, list[TimingCell]] = {}
        for cell in session.cells:
            self.workloads.setdefault(replace(cell, backend="", track="tuned"), []).append(cell)
        self.contestants: list[Contestant] = list(dict.fromkeys((c.backend, c.track) for c in session.cells))
        self.workers: dict[Contestant, Worker] = {}
        self.imports: dict[Contestant, float] = {}

    def run(self) -> list[Ended]:
        """Measure; one result for each cell, in their order.  An interrupt leaves no process behind."""
        started, start = now(), time.monotonic()
        done = 0
        try:
            for number in range(self.session.rounds):
                spent = time.monotonic() - start
                if number and self.stop_at is not None and time.monotonic() + spent / number > self.stop_at:
                    break
                self._round(number)
                done += 1
        finally:
            self._kill_all()
        seconds = (time.monotonic() - start) / max(len(self.courses), 1)
        identity = f"{self.session.key()}-{started.replace(':', '')[:17]}"
        shortened = [f"time for {done} of {self.session.rounds} rounds only"] if done < self.session.rounds else []
        return [self._ended(cell, identity, started, seconds, shortened) for cell in self.courses]

    def _round(self, number: int) -> None:
        facts = {"round": number, "load": os.getloadavg()[0], "busy_cores": busy_cores(WATCH_SECONDS)}
        # Another one begins each round, so that none is always behind the same neighbour.
        shift = number % len(self.contestants)
        order = self.contestants[shift:] + self.contestants[:shift]
        for contestant in order:
            if self._running(contestant):
                self._start(contestant, number)
        workloads = list(self.workloads.values())
        turn = number % len(workloads)  # memory is measured in the first workload of a process alone
        for position, cells in enumerate(workloads[turn:] + workloads[:turn]):
            by_contestant = {(cell.backend, cell.track): cell for cell in cells}
            self._workload([by_contestant[c] for c in order if c in by_contestant], dict(facts), position == 0)
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()
        for course in self.courses.values():
            if course.rounds and course.rounds[-1]["round"] == number:
                course.rounds[-1]["load_after"] = os.getloadavg()[0]

    def _running(self, contestant: Contestant) -> list[TimingCell]:
        """The cells of a contestant that have not failed."""
        return [c for c in self.courses if (c.backend, c.track) == contestant and self.courses[c].status == "ok"]

    def _start(self, contestant: Contestant, number: int) -> None:
        backend, track = contestant
        self.on_step(f"round {number + 1}/{self.session.rounds}: {backend} {track} starts")
        try:
            worker = Worker(backend, self.session.cells[0].setting, self.cpus, self.logs)
            self.workers[contestant] = worker
            self.imports[contestant] = worker.configure(IMPORT_TIMEOUT)["import_seconds"]
        except WorkerFailure as failure:
            self._kill(contestant)
            for cell in self._running(contestant):
                self.courses[cell].fail(failure)

    def _workload(self, cells: Iterable[TimingCell], facts: dict[str, Any], first: bool) -> None:
        active = [cell for cell in cells if self.courses[cell].status == "ok"]
        figures = {cell: dict(facts) for cell in active}
        kinds: list[BlockKind] = ["train"]
        kinds += ["inference"] if self.session.inference else []
        kinds += ["latency"] if self.session.latency else []

        for cell in active:
            self._try(cell, partial(self._prepare, cell, first, kinds, figures[cell]))
        for sweep in range(self.session.blocks):
            self.on_step(f"round {facts['round'] + 1}/{self.session.rounds}: block {sweep + 1}/{self.session.blocks}")
            for cell in active if sweep % 2 == 0 else reversed(active):
                for kind in kinds:
                    self._try(cell, partial(self._block, cell, kind, figures[cell]))
        for cell in active:
            if first:
                self._try(cell, partial(self._memory, cell, figures[cell]))
            if self.courses[cell].status == "ok":
                self.courses[cell].rounds.append(_with_warmup(figures[cell]))

    def _try(self, cell: TimingCell, step: Callable[[], None]) -> None:
        """One step of one contestant; if it fails, that cell is out and the others go on."""
        if self.courses[cell].status != "ok":
            return
        try:
            step()
        except WorkerFailure as failure:
            self.courses[cell].fail(failure)
            # What it leaves behind in a process would be in the way of the next workload: that gets a fresh one.
            self._kill((cell.backend, cell.track))

    def _ask(self, cell: TimingCell, verb: str, /, **payload: Any) -> dict[str, Any]:
        return self.workers[cell.backend, cell.track].request(verb, self.timeout, **payload)

    def _prepare(self, cell: TimingCell, first: bool, kinds: Iterable[BlockKind], figures: dict[str, Any]) -> None:
        contestant = (cell.backend, cell.track)
        if contestant not in self.workers:  # its process died in the workload before
            self._start(contestant, figures["round"])
            if contestant not in self.workers:
                return
        block = self.session.block_seconds
        samples = staged_samples(cell.make_architecture(), cell.batch_size, cell.device, cell.threads, block)
        figures["import_seconds"] = self.imports[contestant]
        figures |= self._ask(cell, "prepare", cell=cell.axes(), samples=samples, measure_memory=first)
        figures["staged_samples"] = samples
        # The first process of a contestant finds how long its blocks are; those of later rounds are as long.
        known = self.courses[cell].rounds[0]["repeats"] if self.courses[cell].rounds else {}
        found = {
            kind: self._ask(cell, "calibrate", kind=kind, seconds=block, repeats=known.get(kind)) for kind in kinds
        }
        figures["calibration"] = {kind: result["blocks"] for kind, result in found.items()}
        figures["repeats"] = {kind: result["repeats"] for kind, result in found.items()}
        figures["short_calls"] = {kind: result["short_call"] for kind, result in found.items() if result["short_call"]}

    def _block(self, cell: TimingCell, kind: BlockKind, figures: dict[str, Any]) -> None:
        result = self._ask(cell, "block", kind=kind, repeats=figures["repeats"][kind])
        if kind == "latency":
            figures.setdefault(kind, []).extend(result["latency"])
        else:
            figures.setdefault(kind, []).append([result["samples"], result["seconds"]])
            figures.setdefault("calls", {})[kind] = result["calls"]

    def _memory(self, cell: TimingCell, figures: dict[str, Any]) -> None:
        figures |= self._ask(cell, "memory")

    def _kill(self, contestant: Contestant) -> None:
        worker = self.workers.pop(contestant, None)
        if worker is not None:
            worker.kill()
            worker.close()

    def _kill_all(self) -> None:
        for contestant in list(self.workers):
            self._kill(contestant)

    def _ended(self, cell: TimingCell, identity: str, started: str, seconds: float, warnings: list[str]) -> Ended:
        course = self.courses[cell]
        facts: dict[str, Any] = {"session": identity, "samples": {"rounds": course.rounds}}
        if course.status == "ok" and course.rounds:
            facts["metrics"] = summarise(cell, course.rounds)
            facts["warnings"] = [*warnings, *_warnings(course.rounds)]
        return Ended(cell, course.status, course.reason, course.stderr, started, seconds, facts)


def summarise(cell: TimingCell, rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Metrics of a timing record: medians over processes with intervals, from what each process measured."""
    import numpy as np

    from results.rates import call_overhead, rate
    from results.statistics import median_interval

    by_process: dict[str, list[float]] = {name: [r[name] for r in rounds if name in r] for name in FIGURES}
    kinds: tuple[RateKind, ...] = ("train", "inference")
    for kind in kinds:
        by_process[f"{kind}_samples_per_second"] = [found for r in rounds if (found := rate(r, kind))]
    latencies = [r["latency"] for r in rounds if r.get("latency")]
    by_process["latency_seconds"] = [float(np.median(calls)) for calls in latencies]
    by_process["latency_p95_seconds"] = [float(np.quantile(calls, 0.95)) for calls in latencies]
    metrics: dict[str, float] = {}
    for name, values in by_process.items():
        if not values or min(values) <= 0:
            continue
        interval = median_interval(values)
        metrics[name] = interval.value
        if interval.known:
            metrics |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    for name in ("peak_memory_bytes", "peak_device_bytes"):
        sizes = [r[name] for r in rounds if r.get(name) is not None]
        if sizes:
            metrics[name] = float(np.median(sizes))
    for kind in kinds:
        if overheads := [found for r in rounds if (found := call_overhead(r, kind)) is not None]:
            metrics[f"{kind}_call_seconds"] = float(np.median(overheads))
    network = cell.make_architecture()
    flops = network.forward_flops() + network.backward_flops()
    metrics["train_gflops"] = metrics["train_samples_per_second"] * flops / 1e9
    metrics["staged_samples"] = rounds[0]["staged_samples"]
    return metrics


def _with_warmup(figures: dict[str, Any]) -> dict[str, Any]:
    from results.statistics import warmup_blocks

    for kind, name in (("train", "warmup_blocks"), ("inference", "inference_warmup_blocks")):
        if kind in figures:
            figures[name] = warmup_blocks([seconds / samples for samples, seconds in figures[kind]])
    return figures


def _warnings(rounds: Sequence[dict[str, Any]]) -> list[str]:
    texts = []
    if len(rounds) < 2:
        texts.append("a single process: no interval can be given")
    busiest = max((r["busy_cores"] or 0.0 for r in rounds), default=0.0)
    if busiest > BUSY_CORES:
        texts.append(f"other programs kept {busiest:.1f} cores busy when a round began")
    return texts


def busy_cores(seconds: float) -> float | None:
    """How many cores all programs of this machine keep busy, watched for ``seconds``; None where it can not be seen."""
    before = _busy_seconds()
    time.sleep(seconds)
    after = _busy_seconds()
    return None if before is None or after is None else round(max(after - before, 0.0) / seconds, 3)


def _busy_seconds() -> float | None:
    try:
        # user, nice, system, (idle, iowait,) irq, softirq, in clock ticks: proc(5)
        ticks = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]]
    except (OSError, ValueError):
        return None
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
