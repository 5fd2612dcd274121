"""The trials of a run in waves, where each cell is trained by one backend and others confirm it.

Who trains what is decided after the certificates, and again whenever a wave is done: by what it has measured, and with
the cells of a backend that crashed going to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from bench.cells import Cell, TrialCell
from bench.confirm import Assignment, Price, assign, cheapest, product
from bench.pace import Pace
from bench.plan import certificate_for
from results.agreement import MARGIN, Agreement, agreements, counts
from results.roles import CONFIRMED, TRAINED, Contestant, Role, contestant, role
from results.schema import Record

MOVED = ("crashed", "out_of_memory", "timeout", "unsupported", "parity_failed")
"""Statuses after which another backend may have more luck.  A training that diverges does so in all of them."""


class Once:
    """Who trains and who confirms the trials of one run.

    ``pending``: whether a cell has to be run, if it is chosen.  ``record``: the latest of a cell, or None.
    ``records``: all of the run, of which those of this ``environment`` say who is how fast.
    """

    def __init__(
        self,
        trials: tuple[TrialCell, ...],
        pending: Callable[[TrialCell], bool],
        record: Callable[[Cell], Record | None],
        records: Callable[[], Iterable[Record]],
        environment: str,
    ) -> None:
        self.product = product(trials)
        self._order = {cell: place for place, cell in enumerate(trials)}
        self._pending, self._record, self._records, self._environment = pending, record, records, environment
        self._tried: set[TrialCell] = set()
        self._judged = False
        """Whether all certificates that there will be are there."""
        self.missing: list[TrialCell] = []
        """Repeated because a sample did not show agreement."""
        self.roles: dict[TrialCell, Role] = {}
        """Of all cells that have been chosen and have one."""
        self.assignment = self._assign()
        """The latest."""

    def chosen(self) -> list[TrialCell]:
        """All cells that are to be done, as far as that is known, in the order of the sweep."""
        return sorted({*self.assignment.cells, *self.missing}, key=self._order.__getitem__)

    def left(self) -> list[TrialCell]:
        """Those of them that have not been run."""
        return [cell for cell in self.chosen() if cell not in self._tried and self._pending(cell)]

    def waves(self, *, limited: bool) -> Iterator[list[TrialCell]]:
        """What to run, one wave after the other; each is chosen when the one before is done.

        At first what is trained by several, which measures them all; then the rest, by who was found the fastest.  With
        ``limited`` time every cell is trained once before any is confirmed.
        """
        self._judged = True
        self.assignment = self._assign()
        if limited:
            yield from self._wave([*self.assignment.trained, *self.assignment.full])
        elif confirmed := set(self.assignment.confirmed):
            groups = [group for group in self.product.groups.values() if confirmed.intersection(group)]
            shared = {cell for group in groups for cell in group}
            yield from self._wave([cell for cell in self.assignment.cells if cell in shared])
        yield from self._rest()
        self.missing = self._missing()
        self.roles |= dict.fromkeys(self.missing, CONFIRMED)
        yield from self._wave(self.missing)

    def said(self, count: int) -> str:
        """That ``count`` cells are repeated, and for whom."""
        names = dict.fromkeys(one.who.backend for one in self.unshown())
        return (
            f"the sample does not show that {', '.join(names)} and the backend that trained the same cells agree "
            f"within {MARGIN:g} dB: {count} more {'is' if count == 1 else 'are'} trained there"
        )

    def unshown(self) -> list[Agreement]:
        """Contestants whose agreement has not been shown so far."""
        records = filter(None, (self._record(cell) for group in self.product.groups.values() for cell in group))
        return [one for one in agreements(records) if not one.found.shown]

    def _rest(self) -> Iterator[list[TrialCell]]:
        while True:
            self.assignment = self._assign()
            if not self.left():
                return
            yield from self._wave(self.assignment.cells)

    def _wave(self, cells: Iterable[TrialCell]) -> Iterator[list[TrialCell]]:
        wave = sorted(
            {cell for cell in cells if cell not in self._tried and self._pending(cell)}, key=self._order.__getitem__
        )
        if wave:
            self._tried.update(wave)
            yield wave

    def _assign(self) -> Assignment:
        price = Pace(self.product, self._records(), self._environment)
        found = assign(self.product, lambda group: self._trainer(group, price))
        self.roles |= found.roles()
        return found

    def _trainer(self, group: Sequence[TrialCell], price: Price) -> TrialCell:
        """Who stands for a cell: who has done so before or was promised it; else the fastest that can, unless another
        has it already."""
        known = {cell: found for cell in group if (found := self._record(cell)) is not None}
        stands = [c for c, found in known.items() if found["status"] in ("ok", "diverged") and not self._again(c)]
        stood = [cell for cell in stands if role(known[cell]) != CONFIRMED]
        if stood:
            return cheapest(stood, price)
        able = [cell for cell in group if self._proved(cell) and not self._failed(cell, known.get(cell))]
        promised = [c for c in able if c in known and known[c]["status"] == "skipped" and role(known[c]) == TRAINED]
        if promised:
            return cheapest(promised, price)
        if stands:  # others have repeated it; who will repeat it anyway can stand for it
            repeating = [cell for cell in able if cell in self.product.sample and cell not in stands]
            return cheapest(repeating or stands, price)
        return cheapest(able or group, price)

    def _proved(self, cell: TrialCell) -> bool:
        """Whether its certificate holds; before all have been judged, whether it may."""
        found = self._record(certificate_for(cell))
        status = found["status"] if found else "skipped"
        return status == "ok" or (status == "skipped" and not self._judged)

    def _again(self, cell: TrialCell) -> bool:
        return cell not in self._tried and self._pending(cell)

    def _failed(self, cell: TrialCell, found: Record | None) -> bool:
        return found is not None and found["status"] in MOVED and not self._again(cell)

    def _missing(self) -> list[TrialCell]:
        """Cells of contestants whose sample did not show agreement, where repeating them may yet show it."""
        wanted: set[Contestant] = {one.who for one in self.unshown()}
        found = []
        trained = dict(zip(self.product.groups, self.assignment.trained, strict=True))
        for key, group in self.product.groups.items():
            stands = self._record(trained[key])
            if stands is None or not counts(stands):
                continue
            found += [
                cell
                for cell in group
                if cell != trained[key] and contestant(vars(cell)) in wanted and self._proved(cell)
            ]
        return found
