"""Timing sessions, the supervisor's side: who is measured when, and what the figures come to.

Each round starts a fresh process for every contestant (backend and track), one after another, so that each import is
alone; then all are alive.  They are given their network one after another as well.  (Where a sweep would rather save
the time, both are done side by side on cores of their own.)  Every process first settles, in a series of short blocks
of its own; then blocks go round in ABBA order: forwards, then backwards, so that a drift of the machine (clocks,
temperature, neighbours) falls on all alike.  Nothing else runs: the supervisor waits in a blocking read.  What the
rounds come to: :mod:`bench.summary`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.cells import TimingCell
from bench.lanes import core_pools
from bench.plan import Session
from bench.process import IMPORT_TIMEOUT, Worker, WorkerFailure
from bench.records import Ended, now
from bench.rounds import Rounds
from bench.summary import classified, energy_state, steady_states, summarise, warnings
from bench.timing import BlockKind, staged_samples
from implementations.adapter import Track
from results.schema import Status

STEP_TIMEOUT = 600.0
"""Seconds for one request: build and first step of the slowest compiler known take 30."""
WATCH_SECONDS = 0.2
"""How long other programs are watched before a round: 20 ticks of the kernel's clock."""
RESIZED_BLOCKS = 2
"""Blocks of inference at another batch size, for each process: there and back again."""

Contestant = tuple[str, Track]


@dataclass
class _Course:
    """What one cell has come to so far."""

    rounds: list[dict[str, Any]] = field(default_factory=list)
    status: Status = "ok"
    reason: str | None = None
    stderr: str = ""
    audit: dict[str, Any] = field(default_factory=dict)

    def fail(self, failure: WorkerFailure) -> None:
        self.status, self.reason, self.stderr = failure.status, failure.reason, failure.stderr


class SessionRun:
    """One session over ``cells``, all of one device, precision and number of threads.

    ``stop_at`` (monotonic seconds): no further round is begun that, by the mean so far, would end later; the first
    is always run.  ``on_step`` hears a few words now and then, and ``on_share`` what part of the work is done, where
    ``weight`` says how much work the cells of a workload are; neither during a block.  ``kept``: where rounds are kept
    that an interrupt must not lose, and looked for first.
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
        on_share: Callable[[float], None] = lambda share: None,
        weight: Callable[[Sequence[TimingCell]], float] = len,
        kept: Rounds | None = None,
    ) -> None:
        self.session = session
        self.kept = kept
        self.logs = logs
        self.cpus = cpus
        self.timeout = timeout or STEP_TIMEOUT
        self.stop_at = stop_at
        self.on_step = on_step
        self.on_share = on_share
        self.weight = weight
        self.courses = {cell: _Course() for cell in session.cells}
        self.workloads: dict[TimingCell, list[TimingCell]] = {}
        for cell in session.cells:
            self.workloads.setdefault(replace(cell, backend="", track="tuned"), []).append(cell)
        self.contestants: list[Contestant] = list(dict.fromkeys((c.backend, c.track) for c in session.cells))
        # A device is for one process at a time, whatever it does.
        exclusive = any(cell.device != "cpu" for cell in session.cells)
        self.pools = core_pools(None, len(cpus)) if session.starts_together and not exclusive else [cpus]
        self.measured = 0
        """Rounds that this run has added."""
        self.work = self.worked = 0.0
        """All that this run has to do, and what is done of it, by ``weight``."""
        self.workers: dict[Contestant, Worker] = {}
        self.imports: dict[Contestant, dict[str, Any]] = {}
        self.unused: set[Contestant] = set()
        """Whose processes have not had any network yet: what they pay for their first is what a fresh process pays."""

    def run(self) -> list[Ended]:
        """Measure; one result for each cell, in their order.  An interrupt leaves no process behind."""
        started, before = self._resume()
        self.work = (self.session.rounds - before) * sum(map(self.weight, self.workloads.values()))
        start = time.monotonic()
        try:
            for number in range(before, self.session.rounds):
                spent = time.monotonic() - start
                if self.measured and self.stop_at is not None and start + spent + spent / self.measured > self.stop_at:
                    break
                self._round(number)
                self.measured += 1
                self._keep(started, number + 1)
        finally:
            self._kill_all()
        done = before + self.measured
        seconds = (time.monotonic() - start) / max(len(self.courses), 1)
        identity = f"{self.session.key()}-{started.replace(':', '')[:17]}"
        shortened = [f"time for {done} of {self.session.rounds} rounds only"] if done < self.session.rounds else []
        return [self._ended(cell, identity, started, seconds, shortened) for cell in self.courses]

    def _resume(self) -> tuple[str, int]:
        """When the session began, and how many rounds of it are done."""
        found = self.kept.load() if self.kept else None
        if found is None:
            return now(), 0
        self.on_step(f"goes on after round {found['done']} of {self.session.rounds}")
        self.courses = {cell: _Course(**found["courses"][cell.key()]) for cell in self.courses}
        return found["started"], found["done"]

    def _keep(self, started: str, done: int) -> None:
        if self.kept and self.session.rounds > 1:
            courses = {cell.key(): asdict(course) for cell, course in self.courses.items()}
            self.kept.save({"started": started, "done": done, "courses": courses})

    def _round(self, number: int) -> None:
        facts = {"round": number, "load": os.getloadavg()[0], "busy_cores": busy_cores(WATCH_SECONDS)}
        # Another one begins each round, so that none is always behind the same neighbour.
        shift = number % len(self.contestants)
        order = self.contestants[shift:] + self.contestants[:shift]
        starting = [contestant for contestant in order if self._running(contestant)]
        for group in self._together(starting, lambda contestant: contestant):
            self._start(group, number, self.pools)
        workloads = list(self.workloads.values())
        turn = number % len(workloads)  # cold costs and memory are those of the first workload of a process alone
        for cells in workloads[turn:] + workloads[:turn]:
            by_contestant = {(cell.backend, cell.track): cell for cell in cells}
            self._workload([by_contestant[c] for c in order if c in by_contestant], dict(facts))
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()
        for course in self.courses.values():
            if course.rounds and course.rounds[-1]["round"] == number:
                course.rounds[-1]["load_after"] = os.getloadavg()[0]

    def _together(self, those: Sequence[Any], contestant: Callable[[Any], Contestant]) -> Iterator[Sequence[Any]]:
        """As many at a time as there are pools of cores; alike ones together then, for they take equally long."""
        width = len(self.pools)
        ordered = sorted(those, key=contestant) if width > 1 else those
        return (ordered[begin : begin + width] for begin in range(0, len(ordered), width))

    def _running(self, contestant: Contestant) -> list[TimingCell]:
        """The cells of a contestant that have not failed."""
        return [c for c in self.courses if (c.backend, c.track) == contestant and self.courses[c].status == "ok"]

    def _start(self, contestants: Sequence[Contestant], number: int, pools: Sequence[Sequence[int]]) -> None:
        """Start the processes of ``contestants`` at the same time, each on one of ``pools``; then all are moved to the
        cores on which they are measured."""
        names = ", ".join(" ".join(contestant) for contestant in contestants)
        self.on_step(f"round {number + 1}/{self.session.rounds}: {names} {'start' if contestants[1:] else 'starts'}")
        for contestant, cpus in zip(contestants, pools, strict=False):
            with self._or_out(contestant):
                worker = Worker(contestant[0], self.session.cells[0].setting, cpus, self.logs, track=contestant[1])
                self.workers[contestant] = worker
                self.unused.add(contestant)
                worker.send("configure")
        for contestant in contestants:
            if contestant in self.workers:
                with self._or_out(contestant):
                    seconds = self.workers[contestant].configured(IMPORT_TIMEOUT)["import_seconds"]
                    self.imports[contestant] = {"import_seconds": seconds, "imported_with": len(contestants) - 1}
        for contestant in contestants:
            if contestant in self.workers:
                self.workers[contestant].move(self.cpus)

    @contextlib.contextmanager
    def _or_out(self, contestant: Contestant) -> Iterator[None]:
        """A contestant whose process does not start is out, in all workloads."""
        try:
            yield
        except WorkerFailure as failure:
            self._kill(contestant)
            for cell in self._running(contestant):
                self.courses[cell].fail(failure)

    def _audit(self, cell: TimingCell) -> None:
        """Does synchronize() wait, in this very process?  Asked when the contestant's first workload is measured, since
        the audit trains and would take that out of the cold costs and of what settling shows; before any figure
        counts, since whoever fails has none: in no workload."""
        found = self._ask(cell, "audit", cell=cell.axes())
        for one in self._running((cell.backend, cell.track)):
            self.courses[one].audit = found
            if not found["ok"]:
                self.courses[one].fail(WorkerFailure("parity_failed", f"synchronisation audit: {found['reason']}"))

    def _workload(self, cells: Sequence[TimingCell], facts: dict[str, Any]) -> None:
        weight = self.weight(cells)
        active = [cell for cell in cells if self.courses[cell].status == "ok"]
        figures: dict[TimingCell, dict[str, Any]] = {cell: dict(facts) for cell in active}
        kinds: list[BlockKind] = ["train"]
        kinds += ["inference"] if self.session.inference else []
        kinds += ["latency"] if self.session.latency else []
        where = f"round {facts['round'] + 1}/{self.session.rounds}, {_named(active[0])}" if active else ""

        groups = list(self._together(active, lambda cell: (cell.backend, cell.track)))
        steps = len(groups) + self.session.blocks
        for made, group in enumerate(groups):
            self.on_share((self.worked + weight * made / steps) / self.work)
            self.on_step(f"{where}: {', '.join(f'{cell.backend} {cell.track}' for cell in group)} made ready")
            self._prepare(group, figures)
            for cell in group:
                self._try(cell, partial(self._calibrate, cell, kinds, figures[cell]))
        for sweep in range(self.session.blocks):
            self.on_share((self.worked + weight * (len(groups) + sweep) / steps) / self.work)
            self.on_step(f"{where}: block {sweep + 1}/{self.session.blocks}")
            for cell in active if sweep % 2 == 0 else reversed(active):
                for kind in kinds:
                    self._try(cell, partial(self._block, cell, kind, figures[cell]))
        for cell in active:
            if figures[cell].get("fresh"):
                self._try(cell, partial(self._memory, cell, figures[cell]))
        if self.session.energy:
            for cell in active:
                self._try(cell, partial(self._energy, cell, figures[cell]))
        if self.session.audit and not facts["round"]:
            for cell in active:
                if not self.courses[cell].audit:
                    self._try(cell, partial(self._audit, cell))
        for size in self.session.inference_batches if self.session.inference else ():
            self._resized(active, size, figures)
        for cell in active:
            if self.courses[cell].status == "ok":
                self.courses[cell].rounds.append(classified(figures[cell]))
        self.worked += weight
        self.on_share(self.worked / self.work)

    def _try(self, cell: TimingCell, step: Callable[[], None]) -> None:
        """One step of one contestant; if it fails, that cell is out and the others go on."""
        if self.courses[cell].status == "ok":
            with self._or_fails(cell):
                step()

    @contextlib.contextmanager
    def _or_fails(self, cell: TimingCell) -> Iterator[None]:
        try:
            yield
        except WorkerFailure as failure:
            self.courses[cell].fail(failure)
            # What it leaves behind in a process would be in the way of the next workload: that gets a fresh one.
            self._kill((cell.backend, cell.track))

    def _ask(self, cell: TimingCell, verb: str, /, **payload: Any) -> dict[str, Any]:
        return self.workers[cell.backend, cell.track].request(verb, self.timeout, **payload)

    def _prepare(self, cells: Sequence[TimingCell], figures: dict[TimingCell, dict[str, Any]]) -> None:
        """Have the networks of ``cells`` made, side by side, each on one of the pools."""
        for cell in cells:
            if (cell.backend, cell.track) not in self.workers:  # its process died in the workload before
                self._start([(cell.backend, cell.track)], figures[cell]["round"], [self.cpus])
        begun = [(cell, cpus) for cell, cpus in zip(cells, self.pools, strict=False) if self._alive(cell)]
        for cell, cpus in begun:
            shape, block = cell.make_architecture(), self.session.block_seconds
            samples = staged_samples(shape, cell.batch_size, cell.device, cell.threads, block)
            fresh = (cell.backend, cell.track) in self.unused
            self.unused.discard((cell.backend, cell.track))
            figures[cell] |= {**self.imports[cell.backend, cell.track], "staged_samples": samples, "fresh": fresh}
            with self._or_fails(cell):
                worker = self.workers[cell.backend, cell.track]
                if cpus != self.cpus:
                    worker.move(cpus)
                worker.send("prepare", cell=cell.axes(), samples=samples, measure_memory=fresh)
        for cell, cpus in begun:
            if self._alive(cell):
                with self._or_fails(cell):
                    worker = self.workers[cell.backend, cell.track]
                    figures[cell] |= worker.answer("prepare", self.timeout) | {"prepared_with": len(begun) - 1}
                    if cpus != self.cpus:
                        worker.move(self.cpus)

    def _alive(self, cell: TimingCell) -> bool:
        return self.courses[cell].status == "ok" and (cell.backend, cell.track) in self.workers

    def _calibrate(self, cell: TimingCell, kinds: Iterable[BlockKind], figures: dict[str, Any]) -> None:
        block = self.session.block_seconds
        # The first process of a contestant finds how long its blocks are; those of later rounds are as long.
        before = self.courses[cell].rounds[0] if self.courses[cell].rounds else {}
        if self.session.settle_blocks:
            batches = before.get("settle_batches")
            rules = {"kind": "train", "blocks": self.session.settle_blocks, "seconds": block, "batches": batches}
            settled = self._ask(cell, "settle", **rules)
            figures["settle"], figures["settle_batches"] = {"train": settled["blocks"]}, settled["batches"]
            figures.setdefault("conditions", {})["settle"] = settled["conditions"]
        known = before.get("repeats", {})
        found = {
            kind: self._ask(cell, "calibrate", kind=kind, seconds=block, repeats=known.get(kind)) for kind in kinds
        }
        # Those on which the blocks are run: it may have been prepared on others.
        figures["process"]["cpus"] = next(iter(found.values()))["cpus"]
        figures["calibration"] = {kind: result["blocks"] for kind, result in found.items()}
        figures["repeats"] = {kind: result["repeats"] for kind, result in found.items()}
        figures["short_calls"] = {kind: result["short_call"] for kind, result in found.items() if result["short_call"]}

    def _block(self, cell: TimingCell, kind: BlockKind, figures: dict[str, Any]) -> None:
        result = self._ask(cell, "block", kind=kind, repeats=figures["repeats"][kind])
        figures.setdefault("conditions", {}).setdefault(kind, []).append(result["conditions"])
        if kind == "latency":
            figures.setdefault(kind, []).extend(result["latency"])
        else:
            figures.setdefault(kind, []).append([result["samples"], result["seconds"]])
            figures.setdefault("calls", {})[kind] = result["calls"]

    def _resized(self, active: Sequence[TimingCell], size: int, figures: dict[TimingCell, dict[str, Any]]) -> None:
        """Inference in batches of ``size``: an entry like a round's under ``batches``.  It comes last, since the
        networks are made anew for it."""
        others = [cell for cell in active if cell.batch_size != size]
        entries: dict[TimingCell, dict[str, Any]] = {cell: {} for cell in others}
        for cell in others:
            self._try(cell, partial(self._resize, cell, size, entries[cell]))
        for sweep in range(RESIZED_BLOCKS):
            for cell in others if sweep % 2 == 0 else reversed(others):
                self._try(cell, partial(self._block, cell, "inference", entries[cell]))
        for cell in others:
            figures[cell].setdefault("batches", {})[str(size)] = entries[cell]

    def _resize(self, cell: TimingCell, size: int, entry: dict[str, Any]) -> None:
        before = self.courses[cell].rounds[0] if self.courses[cell].rounds else {}
        known = before.get("batches", {}).get(str(size), {}).get("repeats", {}).get("inference")
        found = self._ask(cell, "resize", batch_size=size, seconds=self.session.block_seconds, repeats=known)
        entry["repeats"] = {"inference": found["repeats"]}
        entry["short_calls"] = {"inference": found["short_call"]}

    def _energy(self, cell: TimingCell, figures: dict[str, Any]) -> None:
        figures["energy"] = self._ask(cell, "energy", kind="train", repeats=figures["repeats"]["train"])

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

    def _ended(self, cell: TimingCell, identity: str, started: str, seconds: float, shortened: list[str]) -> Ended:
        course = self.courses[cell]
        facts: dict[str, Any] = {"session": identity, "samples": {"rounds": course.rounds}, "audit": course.audit}
        if course.status == "ok" and course.rounds:
            network = cell.make_architecture()
            flops = network.forward_flops() + network.backward_flops()
            facts["metrics"] = summarise(course.rounds, batch_size=cell.batch_size, step_flops=flops)
            facts["warnings"] = [*shortened, *warnings(course.rounds, facts["metrics"])]
            facts["steady"] = steady_states(course.rounds) or {"train": "too_short"}
            facts["energy"] = energy_state(course.rounds)
        return Ended(cell, course.status, course.reason, course.stderr, started, seconds, facts)


def _named(cell: TimingCell) -> str:
    return f"{cell.architecture}, batch {cell.batch_size}, {cell.loss}"


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
