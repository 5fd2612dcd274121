"""Which cells of two runs are the same, and what became of those that have no counterpart.

A timing is of a contestant: it is the same cell if all axes are.  A trial is of a network, noise, loss and seed: with
``quality = "once"`` each run chooses who trains it, and certificates prove that it does not matter.  So what no cell of
equal axes stands for is paired with what another backend made of the same computation, and both are named.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.coarseness import REDUCED
from results.loading import Run
from results.roles import CONFIRMED, computation, role
from results.schema import Kind, Record

Axes = Mapping[str, Any]

_NAMED = ("backend", "track", "architecture", "latent")
"""Stand in every label; all other axes where they vary."""
_HIDDEN = ("height", "width", "channels", "seed")
_NETWORK = ("latent", "height", "width", "channels")
"""With the architecture's name these make a network: their hash tells a renamed architecture from another one."""


@dataclass(frozen=True)
class Pair:
    """The same cell on both sides, ok on both."""

    base: Record
    head: Record
    label: str
    network: str
    """The label without who computed it."""

    @property
    def trainers(self) -> tuple[str, str]:
        """Who computed it on either side: "torch tuned"."""
        return _who(self.base["cell"]), _who(self.head["cell"])

    @property
    def crossed(self) -> bool:
        """Whether another backend (or track) trained it on either side."""
        return self.trainers[0] != self.trainers[1]


@dataclass(frozen=True)
class Matching:
    """Labels of what is not in ``pairs``: see :class:`results.comparison.Comparison`."""

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    failed: tuple[str, ...]


class Labels:
    """Names for the cells of one kind: short where all have the same value of an axis, complete where they differ."""

    def __init__(self, cells: Iterable[Axes]) -> None:
        rows = list(cells)
        axes = dict.fromkeys(name for row in rows for name in row)
        kept = [name for name in axes if name not in (*_NAMED, *_HIDDEN)]
        self._further = [name for name in kept if len({_text(row.get(name)) for row in rows if name in row}) > 1]
        self._shape = len({_text([row.get(name) for name in _HIDDEN[:3]]) for row in rows}) > 1

    def __call__(self, cell: Axes) -> str:
        """ "torch tuned, dense latent=64, loss=mse"."""
        return f"{_who(cell)}, {self.network(cell)}"

    def network(self, cell: Axes) -> str:
        """ "dense latent=64, loss=mse": whoever computes it."""
        network = str(cell["architecture"]) + (f" latent={cell['latent']}" if cell.get("latent") is not None else "")
        parts = [network]
        if self._shape:
            parts.append(f"{cell['height']}x{cell['width']}x{cell['channels']}")
        return ", ".join([*parts, *(f"{name}={_value(cell[name])}" for name in self._further if name in cell)])


def labels_of(records: Iterable[Record]) -> dict[Kind, Labels]:
    """By kind: what varies among trials need not be said of timings."""
    cells: dict[Kind, list[Axes]] = {}
    for record in records:
        cells.setdefault(record["kind"], []).append(record["cell"])
    return {kind: Labels(found) for kind, found in cells.items()}


def match(base: Run, head: Run, kinds: Sequence[Kind]) -> Matching:
    """Cells of ``kinds`` of both runs, by their axes.

    A cell that only one side has is paired with one that differs in nothing but the name of its backend, or of its
    architecture if the hash of the network is the same; if that name stands on one side alone, and if there is one
    such cell only.  A trial is paired with the same computation of another trainer where no cell of equal axes stands
    for it.  A certificate is never paired: it has no figure that two sides could differ in, but it may fail.
    Cells with native defaults are left out: they say what frameworks do, and prove nothing about this code.
    """
    here, there = _by_cell(base, kinds), _by_cell(head, kinds)
    labels = labels_of((*here.values(), *there.values()))
    names = _renamed(base, head, here, there)
    pairs: list[Pair] = []
    missing, failed, renamed = [], [], []
    trainers = _Trainers(here, there, names)
    for key, old in here.items():
        if old["status"] != "ok":
            continue
        new = there.get(names.get(key, key))
        if new is None or new["status"] == "skipped":
            if trainers.covered(old):
                continue
            if (other := trainers.other(old)) is not None:
                pairs.append(_pair(old, other, labels))
                continue
            if old["kind"] != "certificate":
                why = f" (skipped: {new['reason']})" if new is not None else ""
                missing.append(_what(old, labels) + why)
            continue
        if key in names:
            renamed.append((_what(old, labels), _what(new, labels)))
        if new["status"] != "ok":
            failed.append(f"{_what(new, labels)}: {new['status']}: {new['reason']}")
        elif new["kind"] != "certificate":
            pairs.append(_pair(old, new, labels))
    taken = set(names.values())
    added = [
        _what(new, labels) + (f" ({new['status']}: {new['reason']})" if new["status"] != "ok" else "")
        for key, new in there.items()
        if new["kind"] != "certificate" and key not in taken and key not in here and not trainers.known(new)
    ]
    added += [
        f"{_what(new, labels)} (the base ended as {here[key]['status']})"
        for key, new in there.items()
        if new["kind"] != "certificate" and key in here and new["status"] == "ok" and here[key]["status"] != "ok"
        if not trainers.known(new)
    ]
    return Matching(tuple(pairs), tuple(missing), tuple(added), tuple(renamed), tuple(failed))


class _Trainers:
    """The trials of two runs by what they compute, whoever does: ``names`` are the renamed cells."""

    def __init__(self, here: Mapping[str, Record], there: Mapping[str, Record], names: Mapping[str, str]) -> None:
        self._sides = [_computations(side.values()) for side in (here, there)]
        done = {key for key, record in there.items() if record["status"] == "ok"}
        self._same: set[Hashable] = {
            computation(record["cell"])
            for key, record in here.items()
            if record["kind"] == "trial" and record["status"] == "ok" and names.get(key, key) in done
        }
        """Computations of which cells of equal axes stand on both sides."""
        self._crossed: set[str] = set()
        """Ids of records of the head that were paired with what another trainer made."""

    def covered(self, old: Record) -> bool:
        """Whether what ``old`` (of the base) computed is compared by another of its records: it was trained once, or
        only confirmed here."""
        if old["kind"] != "trial":
            return False
        key = computation(old["cell"])
        standing = self._standing(0, key)
        return self._chosen(key) and (key in self._same or (role(old) == CONFIRMED and standing is not old))

    def other(self, old: Record) -> Record | None:
        """What the head has of the same computation by another trainer: who stands for it; where a run says nothing of
        that, the only one there is."""
        if old["kind"] != "trial" or old["cell"].get("precision") in REDUCED:
            return None  # of reduced precisions a few steps are proved: trainings of two backends may part
        key = computation(old["cell"])
        if key in self._same or not (self._chosen(key) or all(len(side.get(key, [])) == 1 for side in self._sides)):
            return None
        found = self._standing(1, key)
        if found is not None:
            self._crossed.add(found["id"])
        return found

    def known(self, new: Record) -> bool:
        """Whether ``new`` (of the head) is no news: another record is compared of what it computed, or it is itself."""
        if new["kind"] != "trial" or new["status"] not in ("ok", "skipped"):
            return False
        key = computation(new["cell"])
        compared = key in self._same or any(one["id"] in self._crossed for one in self._sides[1].get(key, []))
        return new["id"] in self._crossed or (compared and self._chosen(key))

    def _chosen(self, key: Hashable) -> bool:
        """Whether a run chose who trains it."""
        return any(role(record) is not None for side in self._sides for record in side.get(key, []))

    def _standing(self, side: int, key: Hashable) -> Record | None:
        records = self._sides[side].get(key, [])
        return next((one for one in records if role(one) != CONFIRMED), records[0] if records else None)


def _computations(records: Iterable[Record]) -> dict[Hashable, list[Record]]:
    found: dict[Hashable, list[Record]] = {}
    for record in records:
        if record["kind"] == "trial" and record["status"] == "ok":
            found.setdefault(computation(record["cell"]), []).append(record)
    return found


def _pair(old: Record, new: Record, labels: Mapping[Kind, Labels]) -> Pair:
    names = labels[new["kind"]]
    return Pair(old, new, names(new["cell"]), names.network(new["cell"]))


def _who(cell: Axes) -> str:
    return f"{cell['backend']} {cell['track']}"


def _by_cell(run: Run, kinds: Sequence[Kind]) -> dict[str, Record]:
    records = (record for record in run.matched.current if record["kind"] in (*kinds, "certificate"))
    return {_key(record["kind"], record["cell"]): record for record in records}


def _key(kind: str, cell: Axes) -> str:
    return json.dumps([kind, cell], sort_keys=True)


def _what(record: Record, labels: Mapping[Kind, Labels]) -> str:
    seed = f", seed={record['cell']['seed']}" if record["kind"] == "trial" else ""
    return f"{labels[record['kind']](record['cell'])}{seed} ({record['kind']})"


def _renamed(base: Run, head: Run, here: Mapping[str, Record], there: Mapping[str, Record]) -> dict[str, str]:
    """Key of the base's cell -> key of the head's that is the same under another name."""
    hashes = [_networks(run) for run in (base, head)]
    names: dict[str, str] = {}
    for axis in ("backend", "architecture"):
        values = [{record["cell"][axis] for record in side.values()} for side in (here, there)]
        gone, came = values[0] - values[1], values[1] - values[0]
        candidates: dict[str, list[str]] = {}
        for key, record in there.items():
            if record["cell"][axis] in came and key not in here and not _chosen(record, axis):
                candidates.setdefault(_key(record["kind"], {**record["cell"], axis: ""}), []).append(key)
        for key, record in here.items():
            cell = record["cell"]
            if cell[axis] not in gone or key in there or key in names or _chosen(record, axis):
                continue
            found = candidates.get(_key(record["kind"], {**cell, axis: ""}), [])
            if len(found) == 1 and _same_network(hashes, cell, there[found[0]]["cell"]):
                names[key] = found[0]
    return _one_to_one(names)


def _chosen(record: Record, axis: str) -> bool:
    """Whether the run itself chose this backend for the cell: that says nothing of its name."""
    return axis == "backend" and role(record) is not None


def _one_to_one(names: Mapping[str, str]) -> dict[str, str]:
    targets = list(names.values())
    return {old: new for old, new in names.items() if targets.count(new) == 1}


def _networks(run: Run) -> dict[str, str]:
    """The hash of every network of a run; timing records have none of their own."""
    found = {}
    for record in run.current:
        digest = record.get("hashes", {}).get("architecture")
        if digest:
            found[_network(record["cell"])] = digest
    return found


def _network(cell: Axes) -> str:
    return _text([cell["architecture"], *(cell[name] for name in _NETWORK)])


def _same_network(hashes: Sequence[Mapping[str, str]], base: Axes, head: Axes) -> bool:
    digests = [known.get(_network(cell)) for known, cell in zip(hashes, (base, head), strict=True)]
    if None in digests:  # not known: then the name has to do
        return bool(base["architecture"] == head["architecture"])
    return digests[0] == digests[1]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _value(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else "default" if value is None else str(value)
