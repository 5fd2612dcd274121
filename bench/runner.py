"""A run: plan -> certificates -> trials -> yardsticks -> timing sessions -> records.

It is resumable, keeps to a budget, and can be interrupted.

The journal alone says what is done.  A cell is pending unless a record with its id (cell and fingerprint) stands
there: so a run that was killed goes on where it stopped, and a cell whose versions have changed is run again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from bench import machine, places, roofline, run_file
from bench.cells import Cell, Point, TimingCell, TrialCell
from bench.certifying import run_certificates
from bench.confirm import saved
from bench.estimate import by_cell, estimate, side_by_side, workload_seconds
from bench.judging import run_yardsticks, share_of
from bench.lanes import Job, Lanes, Waiting, core_pools
from bench.once import Once
from bench.plan import Plan, Session, certificate_for, planned
from bench.process import distinct_cores
from bench.progress import Expected, Progress, duration
from bench.records import Ended, Fingerprints, identity, make_record, now
from bench.rounds import Rounds
from bench.sessions import SessionRun
from bench.trial_jobs import build_order, trial_timeout
from results.journal import Journal, named, write_run_file
from results.schema import STATUSES, Record

AnyPoint = TypeVar("AnyPoint", bound=Point)
AnyCell = TypeVar("AnyCell", bound=Cell)

CERTIFICATE_SHARE, TRIAL_SHARE, YARDSTICK_SHARE = 0.35, 0.6, 0.3
"""Of a budget: at most this for certificates, of the rest this for trials, and of what is then left this for
yardsticks; what a phase leaves, the next has.  Without timing, trials get all but what yardsticks are expected to
take, YARDSTICK_SHARE at most, and yardsticks all."""
DONE = {status for status in STATUSES if status != "skipped"}
"""Statuses of cells that need not be run: a failure is a result too."""
PEAKS_BUDGET = 120.0
"""Seconds that must be left of a budget for the machine's peaks to be measured, which takes a tenth of that."""


@dataclass(frozen=True)
class Options:
    """``budget`` and ``timeout`` (of one cell) in seconds; ``jobs``: workers side by side, None: as cores allow."""

    jobs: int | None = None
    budget: float | None = None
    fresh: bool = False
    retry_failed: bool = False
    timeout: float | None = None
    use_cache: bool = True
    progress: bool = True
    add_data: bool = False
    """Whether the folder may hold cells of other images already."""


@dataclass(frozen=True)
class Outcome:
    """``counts``: cells of the plan by status, those done before included, of ``planned`` in all.  ``skipped``: why,
    and how many.  ``ran``: cells that this call has run.  ``notes``: what a person should know."""

    counts: dict[str, int]
    seconds: float
    skipped: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    ran: int = 0
    notes: tuple[str, ...] = ()
    planned: int = 0


def run(plan: Plan, folder: Path, options: Options | None = None) -> Outcome:
    """Run what is pending of ``plan`` in ``folder``.  Ctrl-C ends it cleanly (``interrupted``).

    PlaceError if ``folder`` is no place for it (:mod:`bench.places`).  JournalError if another run is writing there, or
    if the journal is broken (no hindrance to a ``fresh`` one).
    """
    options = options or Options()
    folder = named(Path(folder))
    data, notes = places.taken(folder, run_file.data_of(plan), fresh=options.fresh, add_data=options.add_data)
    with Journal(folder) as journal:
        if journal.recovered:
            notes.append(journal.recovered)
        return _Run(plan, folder, journal, options, notes, data).run()


class _Run:
    """One call of :func:`run`."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        journal: Journal,
        options: Options,
        notes: list[str],
        data: Mapping[str, str | None] | None = None,
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.journal = journal
        self.options = options
        self.notes = [*notes, *plan.notes]
        self.logs = folder / "logs"
        self.start = time.monotonic()
        self.end = None if options.budget is None else self.start + options.budget
        facts = machine.environment()
        self.fingerprint_of = Fingerprints()
        self.environment = machine.environment_id(facts)
        self.latest: dict[str, Record] = {record["id"]: record for record in journal.records}
        self.written: set[str] = set()
        """Ids of the records of this call."""
        self.ran = 0
        self.waiting = Waiting()
        self.once = None
        if plan.quality == "once":
            self.once = Once(plan.trials, self._is_pending, self._record, self.latest.values, self.environment)
        # Before what is written about the run, which has the hashes of the folders that are looked at here.
        self.certificates = self._pending(plan.certificates)
        self.trials = self.once.left() if self.once else self._pending(plan.trials)
        self.yardsticks = self._pending(plan.yardsticks)
        self.sessions = [(s, cells) for s in plan.sessions if (cells := self._pending(s.cells))]
        self.about = run_file.contents(
            plan,
            self._chosen(),
            run_file.before(folder),
            environment=self.environment,
            facts=facts,
            data=data or {},
            hashes=self.fingerprint_of.contents,
            notes=self.notes,
        )
        write_run_file(folder, self.about)
        self.seconds = by_cell(plan)
        self.progress = self._progress()

    # -- the run -------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        interrupted = False
        with self.progress:
            for note in self.notes:
                self.progress.line(note)
            try:
                self._unsupported()
                self._certify()
                self._try()
                self._judge()
                self._time()
            except KeyboardInterrupt:
                interrupted = True
            finally:
                self.waiting.close()
        counts = Counter(self._status(cell) for cell in self._planned())
        counts.pop("", None)
        records = filter(None, map(self._record, self._planned()))
        skipped = Counter(str(record["reason"]) for record in records if record["status"] == "skipped")
        if set(counts) <= DONE and sum(counts.values()) == len(self._planned()):
            self.about["finished"] = now()
        write_run_file(self.folder, self.about)
        return Outcome(
            counts=dict(counts),
            seconds=time.monotonic() - self.start,
            skipped=dict(skipped),
            interrupted=interrupted,
            ran=self.ran,
            notes=tuple(self.notes),
            planned=len(self._planned()),
        )

    def _unsupported(self) -> None:
        for cell, reason in self.plan.unsupported:
            if self._is_pending(cell):
                self._keep(Ended(cell, "unsupported", reason))

    def _certify(self) -> None:
        if not self.certificates:
            return
        self.progress.begin("certificates")
        # In the order in which trials will want them: a budget that ends here has then proved what comes first.
        wanted = [certificate_for(cell) for cell in self.plan.trials if cell.claims_parity]
        rank = {cell: place for place, cell in reversed(list(enumerate(wanted)))}
        ordered = sorted(self.certificates, key=lambda cell: rank.get(cell, len(wanted)))
        if self.end is None:  # without a budget the workers decide: one backend after another
            ordered = sorted(ordered, key=lambda cell: (cell.backend, str(cell.setting)))
        later = bool(self.trials or self.sessions)
        run_certificates(
            ordered,
            jobs=self.options.jobs,
            use_cache=self.options.use_cache,
            on_result=lambda record: self._append(record, "certificates"),
            logs=self.logs,
            environment=self.environment,
            timeout=self.options.timeout,
            deadline=self._share(CERTIFICATE_SHARE if later else 1.0),
            cut=self.end,
            waiting=self.waiting,
        )
        self._skip(self.certificates, "certificates", "the budget ended before its certificate")

    def _try(self) -> None:
        if not (self.trials or self.once):
            return
        deadline = self._share(TRIAL_SHARE if self.sessions else 1 - self._yardstick_share())
        if self.once is None:
            self.progress.begin("trials")
            return self._train(self.trials, deadline)
        for number, wave in enumerate(self.once.waves(limited=self.end is not None)):
            if not number:
                self.progress.begin("trials")
                self.progress.line(
                    saved(self.once.product, self.once.assignment) or "no trial could be given to several"
                )
            if self.once.missing:
                self._note(self.once.said(len(wave)))
            self.about["planned"] = planned(self.plan, self._chosen())
            write_run_file(self.folder, self.about)
            self.progress.revise("trials", self._expected("trials", {*wave, *self.once.left()}))
            self._train(wave, deadline)

    def _train(self, cells: Sequence[TrialCell], deadline: float | None) -> None:
        trials = self._certified(cells, "trials")
        unlimited = self.end is None
        if unlimited:
            trials = sorted(trials, key=build_order)
        jobs = [
            Job(
                cell,
                "trial",
                self.options.timeout or trial_timeout(cell),
                str(self.folder),
                near=cell.build_key() if unlimited else None,
            )
            for cell in trials
        ]
        threads = max((cell.threads for cell in trials), default=1)
        pools = core_pools(self.options.jobs, threads, exclusive=any(cell.device != "cpu" for cell in trials))
        Lanes(jobs, pools=pools, logs=self.logs, deadline=deadline, cut=self.end, waiting=self.waiting).run(
            lambda ended: self._keep(ended, "trials"),
            lambda notice: self.progress.notice("trials", notice.cell, notice.facts),
        )
        self._skip(trials, "trials", f"the budget of {duration(self.options.budget or 0)} ended before it")

    def _judge(self) -> None:
        """Score the yardsticks, those of the same images one after the other in one process."""
        if not self.yardsticks:
            return
        self.progress.begin("yardsticks")
        run_yardsticks(
            self.yardsticks,
            self.folder,
            jobs=self.options.jobs,
            on_end=lambda ended: self._keep(ended, "yardsticks"),
            logs=self.logs,
            timeout=self.options.timeout,
            deadline=self._share(YARDSTICK_SHARE if self.sessions else 1.0),
            cut=self.end,
            waiting=self.waiting,
        )
        reason = f"the budget of {duration(self.options.budget or 0)} ended before it"
        self._skip(self.yardsticks, "yardsticks", reason)

    def _yardstick_share(self) -> float:
        left = 0.0 if self.end is None else self.end - time.monotonic()
        return share_of(self.yardsticks, left, most=YARDSTICK_SHARE)

    def _time(self) -> None:
        if not self.sessions:
            return
        self._measure_peaks()
        self.progress.begin("sessions")
        self.waiting.close()  # from here on nothing else is alive
        left = len(self.sessions)
        pace: list[float] = []
        for session, pending in self.sessions:
            cells = self._certified(pending, "sessions")
            stop_at = None
            if self.end is not None:
                remaining = self.end - time.monotonic()
                stop_at = time.monotonic() + remaining / left
                # A first round can not be cut short: it is begun only if one like those before would end in time.
                if remaining <= (max(pace) if pace else 0.0):
                    self._skip(cells, "sessions", f"the budget of {duration(self.options.budget or 0)} ended before it")
                    cells = []
            left -= 1
            if any(cell.device == "cuda" for cell in cells) and (others := machine.gpu_processes()):
                self._note(f"a timing session began while others used the GPU: {', '.join(others)}")
            if cells:
                pace.append(self._session(session, cells, stop_at))

    def _measure_peaks(self) -> None:
        """What the machine can do at the settings that are about to be timed, into run.json."""
        cells = [cell for _, pending in self.sessions for cell in pending]
        cells = [cell for cell in cells if self._status(certificate_for(cell)) == "ok"]
        if not cells:
            return
        if self.end is not None and self.end - time.monotonic() < PEAKS_BUDGET:
            self.about["notes"].append("the budget left no time to measure the machine's peaks")
            return
        self.progress.step("measuring the machine's peaks")
        found, troubles = roofline.measure_peaks(
            [cell.setting for cell in cells],
            list(dict.fromkeys(cell.backend for cell in cells)),
            logs=self.logs,
            waiting=self.waiting,
        )
        facts = self.about["environments"][self.environment]
        facts["peaks"] = roofline.merged(facts.get("peaks", ()), found)
        self.about["notes"] += troubles
        write_run_file(self.folder, self.about)

    def _note(self, text: str) -> None:
        """Say it now, and in run.json."""
        self.progress.line(text)
        self.about["notes"].append(text)
        write_run_file(self.folder, self.about)

    def _session(self, session: Session, cells: Sequence[TimingCell], stop_at: float | None) -> float:
        """Returns the seconds of one round."""
        start = time.monotonic()
        part = replace(session, cells=tuple(cells))
        owners = [self.environment, *map(self._id, cells)]
        kept = Rounds(self.folder / "sessions" / f"{part.key()}.json", owners)
        run = SessionRun(
            part,
            logs=self.logs,
            cpus=distinct_cores()[: cells[0].threads],
            timeout=self.options.timeout,
            stop_at=stop_at,
            on_step=lambda text: self.progress.step(f"timing, {text}"),
            on_share=lambda share: self.progress.ahead("sessions", cells, share),
            weight=lambda workload: workload_seconds(part, workload),
            kept=kept,
        )
        for ended in run.run():
            self._keep(roofline.with_work(ended), "sessions")
        kept.clear()
        return (time.monotonic() - start) / max(run.measured, 1)

    # -- what is done and what is not ----------------------------------------------------------------------------

    def _id(self, cell: Point) -> str:
        return identity(cell, self.fingerprint_of(cell))

    def _record(self, cell: Point) -> Record | None:
        return self.latest.get(self._id(cell))

    def _status(self, cell: Point) -> str:
        record = self._record(cell)
        return record["status"] if record else ""

    def _is_pending(self, cell: Point) -> bool:
        status = self._status(cell)
        return status in ("", "skipped") or (self.options.retry_failed and status != "ok")

    def _pending(self, cells: Iterable[AnyPoint]) -> list[AnyPoint]:
        return [cell for cell in dict.fromkeys(cells) if self._is_pending(cell)]

    def _planned(self) -> list[Point]:
        return run_file.cells_of(replace(self.plan, trials=tuple(self._chosen())))

    def _chosen(self) -> list[TrialCell]:
        """The trials that are to be done here, and those that have been done before."""
        if self.once is None:
            return list(self.plan.trials)
        chosen = set(self.once.chosen())
        return [cell for cell in self.plan.trials if cell in chosen or self._status(cell) not in ("", "skipped")]

    def _certified(self, cells: Sequence[AnyCell], phase: str) -> list[AnyCell]:
        """The cells whose certificate is ok, and those that claim no parity; the others get their record here: nothing
        unproved is run."""
        good = []
        skipped: dict[str, list[Point]] = {}
        for cell in cells:
            if not cell.claims_parity:
                good.append(cell)
                continue
            certificate = self._record(certificate_for(cell))
            status = certificate["status"] if certificate else "skipped"
            if status == "ok":
                good.append(cell)
            elif status == "unsupported":
                self._keep(Ended(cell, "unsupported", certificate["reason"] if certificate else None), phase)
            elif status == "skipped":
                reason = certificate["reason"] if certificate else "no certificate was planned for it"
                skipped.setdefault(str(reason), []).append(cell)
            else:
                reason = str(certificate["reason"]) if certificate else ""
                reason = reason if status == "parity_failed" else f"its certificate ended as {status}: {reason}"
                self._keep(Ended(cell, "parity_failed", reason), phase)
        for reason, those in skipped.items():
            self._skip(those, phase, reason)
        return good

    def _skip(self, cells: Sequence[Point], phase: str, reason: str) -> None:
        """Say so for those of ``cells`` that have not been run: in a record each, and in one line for all."""
        left = [cell for cell in cells if self._status(cell) in ("", "skipped") and self._id(cell) not in self.written]
        for cell in left:
            # Once is enough, unless another call has left it out for another reason.
            if (known := self._record(cell)) is None or known["reason"] != reason:
                self._keep(Ended(cell, "skipped", reason))
        self.progress.skipped(phase, left, reason)

    def _share(self, part: float) -> float | None:
        """When a phase must end that may have this part of the time that is left."""
        moment = time.monotonic()
        return None if self.end is None else moment + part * (self.end - moment)

    # -- what is kept --------------------------------------------------------------------------------------------

    def _keep(self, ended: Ended, phase: str | None = None) -> None:
        if self.once and isinstance(ended.cell, TrialCell) and (role := self.once.roles.get(ended.cell)):
            ended = replace(ended, facts={**ended.facts, "role": role})
        self._append(make_record(ended, self.fingerprint_of(ended.cell), self.environment), phase)

    def _append(self, record: Record, phase: str | None) -> None:
        self.journal.append(record, supersede=True)
        self.latest[record["id"]] = record
        self.written.add(record["id"])
        self.ran += record["status"] not in ("skipped", "unsupported")
        if phase:
            self.progress.cell(phase, record)

    def _progress(self) -> Progress:
        pending: dict[str, Sequence[Point]] = {
            "certificates": self.certificates,
            "trials": self.trials,
            "yardsticks": self.yardsticks,
            "sessions": [cell for _, cells in self.sessions for cell in cells],
        }
        phases = {phase: self._expected(phase, cells) for phase, cells in pending.items()}
        return Progress(phases, enabled=self.options.progress)

    def _expected(self, phase: str, cells: Iterable[Point]) -> Expected:
        """What is expected of ``cells`` of ``phase``, which need not be all that were planned."""
        left = {cell: self.seconds[phase][cell] for cell in cells}
        jobs = self.options.jobs or machine.cores()
        if phase == "trials":
            return Expected(side_by_side(sum(left.values()), jobs), left)
        whole = sum(self.seconds[phase].values()) or 1.0
        return Expected(getattr(estimate(self.plan, jobs), phase) * sum(left.values()) / whole, left)
