"""The tuned track of each backend against its idiomatic one, over all workloads of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from report import text
from report.naming import backend_key
from report.speed import RATE, Contestant, Workload, ratio_of
from report.tables import Cell, Table
from results.statistics import Interval


@dataclass(frozen=True)
class Gain:
    """What tuning brings one backend in one workload.  ``ratio``: of rates, process by process (tuned / idiomatic);
    ``n``: rounds that both took part in."""

    load: Workload
    tuned: Contestant
    plain: Contestant
    ratio: Interval
    n: int

    @property
    def backend(self) -> str:
        return self.tuned.backend

    @property
    def said(self) -> str:
        return f"{text.ratio(self.ratio)} for {self.backend} on {self.load.label}"


def gains(loads: Sequence[Workload]) -> list[Gain]:
    """One for each backend of which both tracks are ranked, in the order of the workloads."""
    found = []
    for load in loads:
        ranked = {standing.contestant.name: standing.contestant for standing in load.ranked}
        for tuned in ranked.values():
            plain = ranked.get(f"{tuned.backend} idiomatic")
            if tuned.track == "tuned" and plain is not None:
                n = len(tuned.rounds.keys() & plain.rounds.keys())
                found.append(Gain(load, tuned, plain, ratio_of(tuned, plain), n))
    return found


def gains_table(found: Sequence[Gain]) -> Table:
    """A row for each workload, a column for each backend: the ratio with its interval, below it both rates."""
    backends = sorted({gain.backend for gain in found}, key=backend_key)
    labels = list(dict.fromkeys(gain.load.label for gain in found))
    cells = {(gain.load.label, gain.backend): gain for gain in found}
    rows = [
        [Cell(label, kind="name"), *(_cell(cells.get((label, backend))) for backend in backends)] for label in labels
    ]
    return Table("Tuned against idiomatic: ratio of training rates", ["", *backends], rows)


def _cell(gain: Gain | None) -> Cell:
    if gain is None:
        return Cell("–")
    rates = [text.significant(one.metric(RATE).value) for one in (gain.plain, gain.tuned)]
    return Cell(text.ratio(gain.ratio), f"{rates[0]} → {rates[1]} images/s")
