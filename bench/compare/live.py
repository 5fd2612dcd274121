"""`daebench compare --live`: two sides in one session, in turn, until the verdict is safe or the time is over.

Only what runs side by side can be told apart to a few per cent on a machine that drifts by as much.  So both sides'
fresh processes alternate (:mod:`bench.compare.pairs`), and after every round each row is looked at with the error
that is left to spend (:mod:`results.sequential`): most comparisons end long before their time.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from bench.cells import Cell, TimingCell, TrialCell
from bench.compare import certified, quality, rows
from bench.compare.matching import Labels
from bench.compare.pairs import KINDS, NAMES, Duel, PairFailure, Pairing
from bench.compare.sides import CompareError, Runner, SideSpec, opened
from bench.plan import Plan, make_plan
from bench.process import distinct_cores
from bench.progress import duration
from bench.records import now
from bench.sweep import Sweep, load_sweep
from bench.timing import BlockKind
from results.comparison import Comparison, Metric, Row
from results.verdicts import ALPHA_PASS, SequentialJudge

AnyCell = TypeVar("AnyCell", bound=Cell)

FIRST_LOOK = 4
"""Rounds before the first verdict: with fewer, Student's t asks for effects that nobody needs a test to see."""
LEAST_SECONDS = 1.0
"""Of what is left of the time, for another round to be begun at all."""


@dataclass(frozen=True)
class LiveOptions:
    """``margin``: the slowdown to be found (0.03: 3 %); ``psnr_margin`` in dB; ``alpha``: how often any row of the
    suite may be called regressed where nothing changed; ``out``: where logs are kept."""

    sweep: str = "regress"
    overrides: tuple[str, ...] = ()
    base: SideSpec = field(default_factory=SideSpec)
    head: SideSpec = field(default_factory=SideSpec)
    margin: float = 0.03
    psnr_margin: float = 0.1
    alpha: float = 0.01
    max_minutes: float = 10.0
    metrics: tuple[Metric, ...] = ("train", "inference", "psnr")
    quality_seeds: int = 5
    out: Path | None = None
    progress: bool = True
    allow_missing: bool = False


def run_live(options: LiveOptions) -> Comparison:
    """Measure and judge.  CompareError for sides that can not be had, SweepError for what can not be run.

    Ctrl-C ends the measuring; what was measured until then is judged, and says so: it never passes.
    """
    plan = make_plan(_sweep(options))
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="daebench-")))
        timed = [cell for session in plan.sessions for cell in session.cells]
        pairings = _pairings(_sided(timed, options))
        matched = [cell for cell in plan.trials if cell.claims_parity]
        trials = _trials(_sided(matched, options)) if "psnr" in options.metrics else []
        pairs: list[tuple[Cell, Cell]] = [pair for pairing in pairings for pair in pairing.pairs()]
        pairs += trials
        cells = [cell for pair in pairs for cell in pair]
        if not cells:
            reasons = "; ".join(dict.fromkeys(f"{cell.backend}: {reason}" for cell, reason in plan.unsupported))
            raise CompareError(f"sweep {options.sweep}: nothing of it can be compared here ({reasons or 'no cells'})")
        settings = list(dict.fromkeys(cell.setting for cell in cells))
        backends = [list(dict.fromkeys(pair[place].backend for pair in pairs)) for place in (0, 1)]
        sides = [
            stack.enter_context(opened(name, spec, names, settings, scratch))
            for name, spec, names in zip(NAMES, (options.base, options.head), backends, strict=True)
        ]
        logs = options.out / "logs" if options.out else scratch / "logs"
        return _Session(options, plan, sides, pairings, trials, logs).run()


def _sweep(options: LiveOptions) -> Sweep:
    """The sweep, with the backends of the sides where they are named: it need not mention them itself."""
    named = [spec.contestant()[0] for spec in (options.base, options.head)]
    if any(named) and not all(named):
        raise CompareError("--base-backend and --head-backend come together: name both")
    overrides = list(options.overrides)
    if all(named):
        names = ",".join(dict.fromkeys(filter(None, named)))
        overrides += [f"backend={names}", f"timing.backend={names}"]
    return load_sweep(options.sweep, overrides)


def _sided(cells: Sequence[AnyCell], options: LiveOptions) -> list[tuple[AnyCell, AnyCell]]:
    """(base's cell, head's cell): the same, unless the sides are two contestants."""
    base, head = options.base.contestant(), options.head.contestant()
    if base[0] is None or head[0] is None:
        return [(cell, cell) for cell in cells]
    pairs: list[tuple[AnyCell, AnyCell]] = []
    for cell in cells:
        if cell.backend != head[0] or (head[1] and cell.track != head[1] and isinstance(cell, TimingCell)):
            continue
        track = base[1] if base[1] and isinstance(cell, TimingCell) else cell.track
        pairs.append((replace(cell, backend=base[0], track=track), cell))
    return pairs


def _pairings(pairs: Sequence[tuple[TimingCell, TimingCell]]) -> list[Pairing]:
    """Cells of the same contestants and setting share their processes."""
    groups: dict[Any, list[tuple[TimingCell, TimingCell]]] = {}
    for base, head in dict.fromkeys(pairs):
        key = (base.backend, base.track, head.backend, head.track, head.setting)
        groups.setdefault(key, []).append((base, head))
    return [Pairing(tuple(b for b, _ in group), tuple(h for _, h in group)) for group in groups.values()]


def _trials(pairs: Sequence[tuple[TrialCell, TrialCell]]) -> list[tuple[TrialCell, TrialCell]]:
    """One trial for each contestant and network, the first of the sweep: what a change of code breaks shows there."""
    chosen: dict[Any, tuple[TrialCell, TrialCell]] = {}
    for base, head in pairs:
        chosen.setdefault((base.backend, head.backend, head.architecture, head.setting), (base, head))
    return list(chosen.values())


class _Session:
    """One call of :func:`run_live`."""

    def __init__(
        self,
        options: LiveOptions,
        plan: Plan,
        sides: Sequence[Runner],
        pairings: Sequence[Pairing],
        trials: Sequence[tuple[TrialCell, TrialCell]],
        logs: Path,
    ) -> None:
        self.options = options
        self.plan = plan
        self.sides = sides
        self.pairings = list(pairings)
        self.trials = list(trials)
        self.logs = logs
        # Trials are told apart by their network alone: what else they have is one and the same.
        self.labels = Labels(cell.axes() for pairing in pairings for cell in pairing.head)
        self.rows: list[Row] = []
        self.failed: list[str] = []
        self.warnings: list[str] = []
        self.interrupted = False
        self.started = now()
        self.start = time.monotonic()
        self.round_seconds = 0.0

    def run(self) -> Comparison:
        timed: list[Row] = []
        try:
            self._certify()
            self._quality()
            timed = list(self._speed())
        except KeyboardInterrupt:
            self._interrupt()
        labels = rows.side_labels(self.options.base, self.options.head, self.sides)
        base, head = (side.side(label) for side, label in zip(self.sides, labels, strict=True))
        if not (timed or self.rows or self.failed or self.interrupted):
            raise CompareError(
                f"nothing was compared: {'; '.join(dict.fromkeys(self.warnings)) or 'no figure was asked for'}"
            )
        return Comparison(
            kind="live",
            base=base,
            head=head,
            rows=(*timed, *self.rows),
            failed=tuple(self.failed),
            differences=tuple(rows.differences(base, head)),
            warnings=tuple(dict.fromkeys(self.warnings)),
            allow_missing=self.options.allow_missing,
            started=self.started,
            seconds=time.monotonic() - self.start,
            interrupted=self.interrupted,
            confidence=1.0 - 2.0 * self._alpha_shown,
        )

    def _interrupt(self) -> None:
        self.interrupted = True
        self.warnings.append("interrupted: what was measured until then is judged")

    # -- nothing unproved is compared ----------------------------------------------------------------------------

    def _certify(self) -> None:
        """Leave out what a side does not compute as specified: the head's failure is a regression, the base's not."""
        cells = [pair for pairing in self.pairings for pair in pairing.pairs()]
        wrong = certified.failures([*cells, *self.trials], self.sides, self.logs, self._say)
        for pair, (name, reason) in wrong.items():
            self._fail(name, self.labels(pair[1].axes()), reason)
        self.trials = [pair for pair in self.trials if pair not in wrong]
        kept = [
            [p for p in zip(pairing.base, pairing.head, strict=True) if p not in wrong] for pairing in self.pairings
        ]
        self.pairings = [Pairing(tuple(b for b, _ in part), tuple(h for _, h in part)) for part in kept if part]

    def _fail(self, name: str, label: str, reason: str) -> None:
        if name == "head":
            self.failed.append(f"{label}: {reason}")
        else:
            self.warnings.append(f"{label} is not compared, for the base can not run it: {reason}")
        self.failed = list(dict.fromkeys(self.failed))

    def _alpha_of_a_row(self) -> float:
        """What is allowed for the whole suite is shared out evenly over its rows, of quality and of speed."""
        return self.options.alpha / (len(self.trials) + len(self._kinds()) * sum(len(p.head) for p in self.pairings))

    @property
    def _alpha_shown(self) -> float:
        """Of either end of all intervals."""
        return max(self.options.alpha, ALPHA_PASS)

    def _kinds(self) -> list[BlockKind]:
        return [kind for kind in KINDS if kind in self.options.metrics]

    # -- quality -------------------------------------------------------------------------------------------------

    def _quality(self) -> None:
        groups: dict[Any, list[tuple[TrialCell, TrialCell]]] = {}
        for base, head in self.trials:
            groups.setdefault((base.backend, head.backend, head.setting), []).append((base, head))
        for cells in groups.values():
            cpus = distinct_cores()[: cells[0][1].threads]
            found = quality.measure(cells, self.options.quality_seeds, self.sides, cpus, self.logs, self._say)
            for (_, head), result in zip(cells, found, strict=True):
                if isinstance(result, PairFailure):
                    self._fail(result.name, f"{self.labels(head.axes())}, psnr", _why(result))
                    continue
                label = self.labels(head.axes())
                row = rows.quality_row(
                    head, result, self.options.psnr_margin, self._alpha_of_a_row(), label, self._alpha_shown
                )
                self._say(rows.sentence(row))
                self.rows.append(row)

    # -- speed ---------------------------------------------------------------------------------------------------

    def _speed(self) -> Iterator[Row]:
        kinds = self._kinds()
        if not kinds or not self.pairings:
            return
        duels = [
            Duel(pairing, self.sides, kinds, distinct_cores()[: pairing.head[0].threads], self.logs)
            for pairing in self.pairings
        ]
        keys = [(duel, key) for duel in duels for key in duel.measured]
        alpha = len(keys) * self._alpha_of_a_row()
        margins = [rows.log_margin(self.options.margin)] * len(keys)
        judge = SequentialJudge(margins, alpha, ALPHA_PASS, self._alpha_shown)
        lost: set[int] = set()
        begun = time.monotonic()
        limit = self.options.max_minutes * 60.0
        number = 0
        try:
            while number == 0 or self._may_go_on(begun, limit, number):
                self._round(number, duels, keys, judge, lost)
                number += 1
                self.round_seconds = (time.monotonic() - begun) / number
                last = not self._may_go_on(begun, limit, number)
                if number >= FIRST_LOOK or last:
                    fraction = 1.0 if last else (time.monotonic() - begun) / limit
                    judge.look([duel.measured[key].changes for duel, key in keys], fraction)
                self._say(rows.round_line(number, keys, judge, time.monotonic() - begun, limit))
                if all(index in judge.decided or index in lost for index in range(len(keys))):
                    break
        except KeyboardInterrupt:
            self._interrupt()
        for index, (duel, key) in enumerate(keys):
            if index not in lost:
                label = self.labels(duel.pairing.head[key[0]].axes())
                yield rows.speed_row(duel, key, judge.verdict(index), self.options.margin, self.round_seconds, label)

    def _may_go_on(self, begun: float, limit: float, number: int) -> bool:
        """Whether another round, as long as those before, would end in time."""
        spent = time.monotonic() - begun
        return spent + max(spent / number, LEAST_SECONDS) <= limit

    def _round(
        self, number: int, duels: Sequence[Duel], keys: Sequence[Any], judge: SequentialJudge, lost: set[int]
    ) -> None:
        for duel in duels:
            wanted = [
                key for i, (owner, key) in enumerate(keys) if owner is duel and i not in judge.decided and i not in lost
            ]
            if not wanted:
                continue
            try:
                duel.round(number, wanted)
            except PairFailure as failure:
                self._fail(failure.name, duel.pairing.label, _why(failure))
                lost |= {i for i, (owner, _) in enumerate(keys) if owner is duel}

    def _say(self, text: str) -> None:
        if self.options.progress:
            import sys

            print(f"[{duration(time.monotonic() - self.start):>6}] {text}", file=sys.stderr, flush=True)


def _why(failure: PairFailure) -> str:
    return f"{failure.failure.status}: {failure.failure.reason}"
