"""Jobs side by side: a few lanes, each on cores of its own, share a list of jobs and keep workers alive between them.

A worker costs seconds of import, so a backend stays with the lane that has it; a lane without work of its own helps
out with a second worker where enough is left to pay for it.  All results come out in the calling thread.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cells import Cell, Point
from bench.process import IMPORT_TIMEOUT, REFERENCE, Worker, WorkerFailure, WorkerStopped
from bench.records import Ended, now
from implementations.adapter import Setting

HELP_SECONDS = 8.0
"""Work that must be left in a queue before a second worker is started for it: twice the slowest import."""
IMPORT_ATTEMPTS = 2
"""A backend that failed to start this often is not started again for the jobs that are left."""


@dataclass(frozen=True)
class Job:
    """A cell and what to ask a worker of ``backend`` and ``setting`` about it."""

    cell: Point
    verb: str
    timeout: float
    folder: str = ""
    backend: str = ""
    """Another one than the cell's: references and yardsticks need none."""
    near: Hashable = None
    """Jobs of a queue with the same one have much in common, like the network: as far as there are enough others, one
    worker does them, those of later lanes included."""

    host: tuple[str, Setting] | None = None
    """A worker that is there already and is to do it, though the cell would need none of its kind."""

    @property
    def queue(self) -> tuple[str, Setting]:
        """What a worker must be to do this job."""
        if self.host is not None:
            return self.host
        if self.backend == REFERENCE:
            return REFERENCE, Setting()
        assert isinstance(self.cell, Cell)
        return self.cell.backend, self.cell.setting


class Waiting:
    """Workers that wait for the next :class:`Lanes`: what they have imported need not be imported again.

    Only those that hold nothing but the memory of this machine wait: a device is for one process at a time.
    """

    def __init__(self) -> None:
        self._workers: dict[tuple[tuple[str, Setting], tuple[int, ...]], Worker] = {}

    def leave(self, key: tuple[str, Setting], cpus: Sequence[int], worker: Worker) -> bool:
        """Let ``worker`` wait; False if it must be closed instead."""
        place = key, tuple(cpus)
        if key[0] == REFERENCE or key[1].device != "cpu" or not worker.alive or place in self._workers:
            return False
        self._workers[place] = worker
        return True

    def take(self, cpus: Sequence[int]) -> dict[tuple[str, Setting], Worker]:
        """Those that are pinned to ``cpus``."""
        found = [place for place in self._workers if place[1] == tuple(cpus)]
        return {place[0]: self._workers.pop(place) for place in found}

    def borrow(self, backend: str, setting: Setting) -> Worker | None:
        """One of ``backend`` at ``setting``, which goes on waiting."""
        return next((worker for (key, _), worker in self._workers.items() if key == (backend, setting)), None)

    def idle(self) -> tuple[tuple[str, Setting], tuple[int, ...]] | None:
        """What one of them is, and the cores that it is pinned to; it goes on waiting."""
        return next((place for place, worker in self._workers.items() if worker.alive), None)

    def close(self) -> None:
        while self._workers:
            self._workers.popitem()[1].close()


@dataclass(frozen=True)
class Notice:
    """How far the job of ``cell`` is, in the words of its worker."""

    cell: Point
    facts: dict[str, Any]


class Lanes:
    """Runs ``jobs``, in their order as far as the workers allow.

    ``pools``: the cores of each lane.  ``deadline`` (monotonic seconds): no job is begun that, by the mean of its
    queue, would not be done by then.  ``cut``: where a job is stopped that still runs.  ``waiting``: workers of
    earlier lanes are taken from there, and left there in the end.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        pools: Sequence[Sequence[int]],
        logs: Path,
        deadline: float | None = None,
        cut: float | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self._waiting = waiting
        self._pending = list(jobs)
        self._pools = pools
        self._logs = logs
        self._deadline = deadline
        self._cut = cut
        self._changed = threading.Condition()
        self._owners: dict[tuple[str, Setting], set[int]] = {}
        self._spent: dict[tuple[str, Setting], list[float]] = {}
        self._near: dict[int, tuple[Hashable, Hashable]] = {}
        """By lane, of the job that it does or has done last."""
        self._refused: dict[tuple[str, Setting], list[WorkerFailure]] = {}
        self._workers: set[Worker] = set()
        self._own = [self._taken(lane) for lane in range(min(len(pools), len(jobs)))]
        self._stopping = False
        self._results: queue.SimpleQueue[Ended | Notice | BaseException | None] = queue.SimpleQueue()

    def run(self, on_end: Callable[[Ended], None], on_notice: Callable[[Notice], None] | None = None) -> list[Job]:
        """Do the jobs; ``on_end`` hears of each, in this thread, and ``on_notice`` of how far long ones are.  Returns
        those left out for want of time.

        On an exception here (Ctrl-C, a full disk in ``on_end``) all workers are killed before it goes on.
        """
        threads = [
            threading.Thread(target=self._lane, args=(index,), name=f"lane {index}", daemon=True)
            for index in range(len(self._own))
        ]
        for thread in threads:
            thread.start()
        left = len(threads)
        try:
            while left:
                result = self._results.get()
                if isinstance(result, Ended):
                    on_end(result)
                elif isinstance(result, Notice):
                    if on_notice is not None:
                        on_notice(result)
                elif result is None:
                    left -= 1
                else:
                    raise result
        finally:
            self._stop()
            for thread in threads:
                thread.join(1.0)
        return self._pending

    def _stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            workers = list(self._workers)
        for worker in workers:
            worker.stop()

    def _lane(self, index: int) -> None:
        own = self._own[index]
        try:
            while (job := self._take(index)) is not None:
                with contextlib.suppress(WorkerStopped):
                    self._results.put(self._do(job, own, self._pools[index]))
                with self._changed:
                    wanted = {pending.queue for pending in self._pending}
                    self._changed.notify_all()
                    done = [key for key, worker in own.items() if key not in wanted or not worker.alive]
                    leaving = [(key, own.pop(key)) for key in done]
                for key, worker in leaving:
                    self._let_go(key, worker, index)
        except BaseException as error:
            self._results.put(error)
        finally:
            for key, worker in own.items():
                self._let_go(key, worker, index)
            self._results.put(None)

    def _taken(self, lane: int) -> dict[tuple[str, Setting], Worker]:
        """Workers that have waited for this lane, which thereby is theirs."""
        if self._waiting is None:
            return {}
        with self._changed:
            own = self._waiting.take(self._pools[lane])
            self._workers |= set(own.values())
            for key in own:
                self._owners.setdefault(key, set()).add(lane)
        return own

    def _let_go(self, key: tuple[str, Setting], worker: Worker, lane: int) -> None:
        with self._changed:
            waits = (
                self._waiting is not None and not self._stopping and self._waiting.leave(key, self._pools[lane], worker)
            )
            if waits:
                self._workers.discard(worker)
        if not waits:
            self._close(worker)

    def _take(self, lane: int) -> Job | None:
        """The next job for this lane; waits while there may be one later, None when there will be none."""
        with self._changed:
            while True:
                if self._stopping or not self._pending:
                    return None
                chosen = self._choose(lane)
                if chosen is not None:
                    self._pending.remove(chosen)
                    self._near[lane] = chosen.queue, chosen.near
                    self._owners.setdefault(chosen.queue, set()).add(lane)
                    return chosen
                if not any(self._in_time(job) for job in self._pending):
                    return None
                self._changed.wait(1.0)

    def _choose(self, lane: int) -> Job | None:
        queues: dict[tuple[str, Setting], list[Job]] = {}
        for job in self._pending:
            if self._in_time(job):
                queues.setdefault(job.queue, []).append(job)
        owned = [jobs for key, jobs in queues.items() if lane in self._owners.get(key, {lane})]
        for jobs in owned:  # in the order of the jobs
            if (nearest := self._nearest(lane, jobs)) is not None:
                return nearest
        if owned:
            return owned[0][0]
        best: tuple[float, Job] | None = None
        for key, jobs in queues.items():
            work = self._mean(key) * len(jobs)
            if work >= HELP_SECONDS and (best is None or work > best[0]):
                best = work, self._nearest(lane, jobs) or jobs[0]
        return best[1] if best else None

    def _nearest(self, lane: int, jobs: Sequence[Job]) -> Job | None:
        """Of ``jobs``, all of one queue: the first that goes on with what this lane does, else with what its worker has
        met, else the first that no other lane has met."""
        key, last = jobs[0].queue, self._near.get(lane)
        mine = self._met(lane, key)
        others = {near for other in range(len(self._own)) if other != lane for near in self._met(other, key)}
        return next(
            itertools.chain(
                (job for job in jobs if job.near in mine and (key, job.near) == last),
                (job for job in jobs if job.near in mine),
                (job for job in jobs if job.near is None or job.near not in others),
            ),
            None,
        )

    def _met(self, lane: int, key: tuple[str, Setting]) -> set[Hashable]:
        """What the worker of a lane for this queue may still hold, and what the lane is beginning with."""
        worker, begun = self._own[lane].get(key), self._near.get(lane)
        return (worker.met if worker else set()) | ({begun[1]} if begun and begun[0] == key else set())

    def _mean(self, key: tuple[str, Setting]) -> float:
        spent = self._spent.get(key)
        return sum(spent) / len(spent) if spent else 0.0

    def _in_time(self, job: Job) -> bool:
        return self._deadline is None or time.monotonic() + self._mean(job.queue) <= self._deadline

    def _do(self, job: Job, own: dict[tuple[str, Setting], Worker], cpus: Sequence[int]) -> Ended:
        started, start = now(), time.monotonic()
        try:
            worker = own.get(job.queue)
            if worker is None:
                worker = self._start(job.queue, cpus)
                with self._changed:
                    own[job.queue] = worker
                start = time.monotonic()
            cut = self._cut is not None and start + job.timeout > self._cut
            timeout = max(self._cut - start, 0.1) if cut and self._cut is not None else job.timeout
            with self._changed:
                worker.met.add(job.near)
            try:
                payload = {"folder": job.folder} if job.folder else {}
                facts = dict(
                    worker.request(
                        job.verb,
                        timeout,
                        lambda facts: self._results.put(Notice(job.cell, facts)),
                        cell=job.cell.axes(),
                        **payload,
                    )
                )
            except WorkerFailure as failure:
                if failure.status == "out_of_memory":
                    worker.kill()  # what is left of its heap would decide over the cells behind this one
                if failure.status == "timeout" and cut:
                    raise WorkerFailure("skipped", "the budget ended while it ran", dead=True) from None
                raise
        except WorkerFailure as failure:
            seconds = time.monotonic() - start
            return Ended(job.cell, failure.status, failure.reason, failure.stderr, started, seconds)
        seconds = time.monotonic() - start
        with self._changed:
            self._spent.setdefault(job.queue, []).append(seconds)
        status, reason = facts.pop("status", "ok"), facts.pop("reason", None)
        return Ended(job.cell, status, reason, worker.stderr(), started, seconds, facts)

    def _start(self, key: tuple[str, Setting], cpus: Sequence[int]) -> Worker:
        backend, setting = key
        with self._changed:
            refused = self._refused.setdefault(key, [])
            if len(refused) >= IMPORT_ATTEMPTS or any(failure.status == "unsupported" for failure in refused):
                raise refused[-1]
        worker = Worker(backend, setting, cpus, self._logs)
        with self._changed:
            self._workers.add(worker)
            stopping = self._stopping
        if stopping:
            worker.stop()
        if backend == REFERENCE:
            return worker
        try:
            worker.configure(IMPORT_TIMEOUT, lean=True)
        except WorkerFailure as failure:
            self._close(worker)
            with self._changed:
                refused.append(failure)
            raise
        except BaseException:
            self._close(worker)
            raise
        return worker

    def _close(self, worker: Worker) -> None:
        worker.close()
        with self._changed:
            self._workers.discard(worker)


def core_pools(jobs: int | None, threads: int, *, exclusive: bool = False) -> list[list[int]]:
    """The cores of each lane: as many lanes as whole groups of ``threads`` cores, unless ``jobs`` says otherwise.

    ``exclusive``: one lane by default, for devices that can not be shared.
    """
    from bench.machine import cores
    from bench.process import distinct_cores

    available = distinct_cores()
    lanes = jobs or (1 if exclusive else max(cores() // threads, 1))
    width = min(threads, len(available))
    return [[available[(lane * width + i) % len(available)] for i in range(width)] for lane in range(lanes)]
