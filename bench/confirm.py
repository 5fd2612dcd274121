"""Train once what is proven equal: which trials of a sweep several backends could do in place of each other, and which
of them are repeated all the same, to see that they agree.

Certificates prove that backends compute the same network.  With ``quality = "once"`` each cell of network, noise, loss
and seed is trained by one of the backends that the sweep gives it to, and every other one *confirms*: it repeats a
sample of its cells, at least one of each architecture, loss and kind of corruption, spread over code sizes, levels and
seeds.  The sample depends on the sweep alone, not on who trains what, so that a run can be resumed.

Never thinned are cells that nobody proves equal: native ones and the matched ones that they are held against, and
those in a precision whose certificates judge a few steps only.  Another device is another computation: on each that a
sweep names cells are trained once, and confirmed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench import corruption
from bench.cells import TrialCell
from results.coarseness import REDUCED
from results.roles import CONFIRMED, TRAINED, WHO, Contestant, Role, computation, contestant

LEAST_CONFIRMED = 4
"""Cells (whatever their seeds) that a backend confirms if it has as many: with one nothing is shown, and with two an
interval is six times as wide as with many."""

Price = Callable[[TrialCell], float]
"""What it costs to let this backend train this cell, in any unit."""


@dataclass(frozen=True)
class Product:
    """All trials of a sweep.  ``groups``: by computation the cells that could stand for each other, one a contestant.
    ``sample``: cells that are trained whoever else does.  ``full``: cells that only stand for themselves."""

    groups: dict[Hashable, tuple[TrialCell, ...]]
    sample: frozenset[TrialCell]
    full: tuple[TrialCell, ...]
    sharing: dict[Hashable, int]
    """By contestant and network, how many cells it has: what is compiled once is divided between them."""

    def share(self, cell: TrialCell) -> int:
        """How many cells the contestant of ``cell`` has with the same network."""
        return self.sharing[_built(cell)]


@dataclass(frozen=True)
class Assignment:
    """Who does what.  ``full``: cells in which every backend trains for itself."""

    trained: tuple[TrialCell, ...]
    confirmed: tuple[TrialCell, ...]
    full: tuple[TrialCell, ...] = ()

    @property
    def cells(self) -> tuple[TrialCell, ...]:
        """All that are to be done."""
        return (*self.trained, *self.confirmed, *self.full)

    def roles(self) -> dict[TrialCell, Role]:
        """Of those that have one."""
        return {**dict.fromkeys(self.trained, TRAINED), **dict.fromkeys(self.confirmed, CONFIRMED)}


@lru_cache(maxsize=8)
def product(trials: tuple[TrialCell, ...]) -> Product:
    """Sort the trials of a sweep, in their order."""
    twins = {computation(vars(cell.matched())) for cell in trials if not cell.claims_parity}
    groups: dict[Hashable, list[TrialCell]] = defaultdict(list)
    full = []
    for cell in trials:
        key = computation(vars(cell))
        if not cell.claims_parity or cell.precision in REDUCED or key in twins:
            full.append(cell)
        else:
            groups[key].append(cell)
    return Product(
        {key: tuple(group) for key, group in groups.items()},
        frozenset(_sample([group for group in groups.values() if len(group) > 1])),
        tuple(full),
        Counter(_built(cell) for group in groups.values() for cell in group),
    )


def assign(found: Product, choose: Callable[[Sequence[TrialCell]], TrialCell]) -> Assignment:
    """``choose`` says which cell of a group is trained; those of the sample confirm it."""
    trained = [choose(group) for group in found.groups.values()]
    stands = set(trained)
    confirmed = [
        cell for group in found.groups.values() for cell in group if cell in found.sample and cell not in stands
    ]
    return Assignment(tuple(trained), tuple(confirmed), found.full)


def cheapest(cells: Sequence[TrialCell], price: Price) -> TrialCell:
    """Of equal ones the first by name."""
    return min(cells, key=lambda cell: (price(cell), cell.backend, cell.track, cell.threads))


def network(cell: TrialCell) -> tuple[Any, ...]:
    """What a backend compiles, whoever it is."""
    shape = (cell.height, cell.width, cell.channels)
    training = (cell.loss, cell.optimizer, cell.learning_rate, cell.batch_size)
    return (cell.architecture, cell.latent, shape, training)


def saved(found: Product, assignment: Assignment) -> str:
    """What is saved, in words."""
    several = [group for group in found.groups.values() if len(group) > 1]
    if not several:
        return "no trial is one that several certified backends could train in place of each other"
    every = sum(map(len, several))
    confirm = len(assignment.confirmed)
    said = f"{len(several)} trials are trained once instead of {every} times"
    if len(several) == 1:
        said = f"1 trial is trained once instead of {every} times"
    return f"{said}; {confirm} {'confirms' if confirm == 1 else 'confirm'}"


def _built(cell: TrialCell) -> Hashable:
    return contestant(vars(cell)), network(cell)


def _sample(groups: Sequence[Sequence[TrialCell]]) -> Iterable[TrialCell]:
    """Of every contestant its share of the cells that it has in common with others."""
    crowd: dict[TrialCell, int] = {}
    by_contestant: dict[Contestant, list[TrialCell]] = defaultdict(list)
    for group in groups:
        for cell in group:
            crowd[cell] = len(group)
            by_contestant[contestant(vars(cell))].append(cell)
    for cells in by_contestant.values():
        yield from _spread(cells, crowd)


def _spread(cells: Sequence[TrialCell], crowd: dict[TrialCell, int]) -> list[TrialCell]:
    """One of each stratum, and further ones up to :data:`LEAST_CONFIRMED`.

    First come cells that most contestants have, so that all confirm the same ones; of these the one that has least in
    common with those chosen before, in the order of the sweep.
    """
    axes = {cell: {k: v for k, v in vars(cell).items() if k not in WHO} for cell in cells}
    varying = [name for name in axes[cells[0]] if len({repr(row[name]) for row in axes.values()}) > 1]
    strata: dict[Hashable, list[TrialCell]] = defaultdict(list)
    for cell in cells:
        strata[_stratum(cell)].append(cell)
    chosen: list[TrialCell] = []
    met: Counter[tuple[str, Any]] = Counter()

    def take(candidates: Sequence[TrialCell]) -> None:
        def rank(cell: TrialCell) -> tuple[int, int]:
            return -crowd[cell], sum(met[name, axes[cell][name]] for name in varying)

        chosen.append(min(candidates, key=rank))
        met.update((name, axes[chosen[-1]][name]) for name in varying)

    for candidates in strata.values():
        take(candidates)

    def seedless(cell: TrialCell) -> Hashable:
        return computation(axes[cell], ("seed",))

    while len(there := {seedless(cell) for cell in chosen}) < LEAST_CONFIRMED:
        further = [cell for cell in cells if seedless(cell) not in there]
        if not further:
            break
        take(further)
    return chosen


def _stratum(cell: TrialCell) -> Hashable:
    kinds = tuple(step.kind for step in corruption.parse(cell.corruption).steps)
    return cell.architecture, cell.loss, kinds
