"""Speed: contestants of a session side by side, ranked where they are certified and can be told apart."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from report.certification import Certification
from report.naming import backend_key, configuration_label, describe, natural_key, varying
from results.breakeven import Cost, costs
from results.cold import COLD_COSTS
from results.loading import Run
from results.rates import rate
from results.schema import Record
from results.statistics import Interval, compare_ratio, mean_interval, paired_ratio, shared_ranks

RATE = "train_samples_per_second"
UNSTEADY = 1.5
"""An interval whose ends are this factor apart says that rounds were few or the machine was busy with other things."""
MARGIN = 0.03
"""Rates that are within 3 % of each other, and measurably so, make no difference to anybody: the same margin by which
``daebench compare`` judges by default."""
NEVER_STEADY = {
    "no_steady_state": "no steady state",
    "inconsistent": "its processes do not settle alike",
}
"""Kinds of a contestant's series after which its rate is no property of the contestant; shown, not ranked (Barrett et
al. 2017, "Virtual machine warmup blows hot and cold")."""
_SETTING = ("optimizer", "learning_rate", "batch_size", "device", "precision", "threads", "height", "width", "channels")


@dataclass(frozen=True)
class Contestant:
    """One backend and track in a workload.  ``rounds``: its training rate (images/s) by round; ``costs``: what its
    processes paid, by round as well."""

    backend: str
    track: str
    record: Record
    rounds: dict[int, float]
    costs: dict[int, Cost]
    doubt: str | None
    """Why it is not ranked although it ran; None if it is."""

    @property
    def name(self) -> str:
        return f"{self.backend} {self.track}"

    def metric(self, name: str) -> Interval:
        """A figure of the record with its interval; NaN where it is missing."""
        metrics = self.record.get("metrics", {})
        ends = (metrics.get(name + end, math.nan) for end in ("_low", "_high"))
        return Interval(metrics.get(name, math.nan), *ends)

    @property
    def steady(self) -> str | None:
        """What its training series is ("flat", "warmup", ...); None where nobody looked."""
        kind = (self.record.get("steady") or {}).get("train")
        return str(kind) if kind else None

    @property
    def cold_seconds(self) -> float:
        """Import, build, staging and first step together, s; NaN where no fresh process has had this network."""
        found = [value for name in COLD_COSTS if math.isfinite(value := self.metric(name).value)]
        return math.fsum(found) if found else math.nan


@dataclass(frozen=True)
class Standing:
    """A contestant's place.  ``rank`` is None where it is not ranked; ``share``: its rate relative to the fastest's.

    ``same``: it makes no measurable difference from the fastest, whose rate it has within :data:`MARGIN` for certain.
    Another one that shares a rank is merely not told apart: more rounds might."""

    contestant: Contestant
    rank: int | None
    share: Interval
    same: bool = False


@dataclass(frozen=True)
class Workload:
    """What one session measured of one network.  ``standings``: ranked ones first, fastest first."""

    label: str
    setting: str
    axes: dict[str, Any]
    environment: str
    standings: tuple[Standing, ...]
    failed: tuple[Record, ...]

    @property
    def ranked(self) -> list[Standing]:
        return [standing for standing in self.standings if standing.rank is not None]

    @property
    def leaders(self) -> list[Standing]:
        return [standing for standing in self.standings if standing.rank == 1]

    @property
    def has_cold_costs(self) -> bool:
        return any(math.isfinite(standing.contestant.cold_seconds) for standing in self.standings)

    @property
    def started_together(self) -> bool:
        """Whether any of its processes imported, or was given its network, while another one was."""
        records = [standing.contestant.record for standing in self.standings]
        return any(
            entry.get(what)
            for record in records
            for entry in record["samples"]["rounds"]
            for what in ("imported_with", "prepared_with")
        )

    @property
    def warnings(self) -> list[tuple[str, list[str]]]:
        """(what, whose): what the records of this session warn of, with the contestants that do."""
        found: dict[str, list[str]] = {}
        for standing in self.standings:
            for said in standing.contestant.record.get("warnings", []):
                found.setdefault(str(said), []).append(standing.contestant.name)
        return sorted(found.items())

    @property
    def rounds(self) -> int:
        """Rounds that the fastest contestant took part in."""
        return len(self.standings[0].contestant.rounds) if self.standings else 0

    @property
    def unsteady(self) -> float | None:
        """Upper over lower end of the widest interval of a rate, where that is more than can be trusted; else None."""
        rates = [standing.contestant.metric(RATE) for standing in self.standings]
        widest = max((rate.high / rate.low for rate in rates if rate.known and rate.low > 0), default=1.0)
        return widest if widest > UNSTEADY else None

    def find(self, backend: str, track: str) -> Contestant | None:
        for standing in self.standings:
            if (standing.contestant.backend, standing.contestant.track) == (backend, track):
                return standing.contestant
        return None


def workloads(run: Run, proof: Certification) -> list[Workload]:
    """All timed workloads, in a fixed order.  Contestants are compared within their own session only."""
    records = run.of("timing")
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        common = {name: value for name, value in record["cell"].items() if name not in ("backend", "track")}
        groups[(record["environment"], record.get("session") or "", *sorted(common.items()))].append(record)
    _adopt_failures(groups)
    axes = [group[0]["cell"] for group in groups.values()]
    differing = varying(axes, ("latent", "loss", *_SETTING))
    machines = {record["environment"]: str(run.environment(record).get("cpu") or "") for record in records}
    several = len(set(machines.values())) > 1
    found = []
    for key, group in groups.items():
        cell = group[0]["cell"]
        # Speeds of two machines are never compared; where a report has both, their names say which is which.
        machine = (machines[key[0]] or key[0]) if several else ""
        label = ", ".join(filter(None, [cell["architecture"], describe(cell, differing), machine]))
        setting = [configuration_label(cell), describe(cell, ("batch_size", "precision", "device")), machine]
        standings = _standings([_contestant(record, proof) for record in group if record["status"] == "ok"])
        failed = tuple(record for record in group if record["status"] != "ok")
        found.append(Workload(label, ", ".join(filter(None, setting)), cell, key[0], standings, failed))
    return sorted(found, key=lambda workload: (natural_key(workload.label), workload.environment, workload.setting))


def ratio_of(a: Contestant, b: Contestant) -> Interval:
    """How many times as fast as ``b`` ``a`` is, over the rounds that both took part in; NaN without any."""
    common = sorted(a.rounds.keys() & b.rounds.keys())
    if not common:
        return Interval(a.metric(RATE).value / b.metric(RATE).value, math.nan, math.nan)
    return paired_ratio([a.rounds[number] for number in common], [b.rounds[number] for number in common])


def _same(a: Contestant, b: Contestant) -> bool:
    common = sorted(a.rounds.keys() & b.rounds.keys())
    logs = [math.log(a.rounds[number] / b.rounds[number]) for number in common]
    return len(logs) > 1 and compare_ratio(logs, MARGIN) == "equivalent"


def _adopt_failures(groups: dict[tuple[Any, ...], list[Record]]) -> None:
    """A contestant that never started has no session: it belongs to the one that measured the same workload."""
    for key in [key for key in groups if not key[1]]:
        home = next((other for other in groups if other[1] and (other[0], *other[2:]) == (key[0], *key[2:])), None)
        if home is not None:
            groups[home] += groups.pop(key)


def _contestant(record: Record, proof: Certification) -> Contestant:
    rounds = {}
    for entry in record["samples"]["rounds"]:
        if found := rate(entry, "train"):
            rounds[int(entry["round"])] = found
    cell = record["cell"]
    unsteady = NEVER_STEADY.get(str((record.get("steady") or {}).get("train")))
    doubts = [doubt for doubt in (proof.doubt(record), unsteady) if doubt]
    paid = costs(record["samples"]["rounds"])
    return Contestant(cell["backend"], cell["track"], record, rounds, paid, "; ".join(doubts) or None)


def _standings(contestants: list[Contestant]) -> tuple[Standing, ...]:
    ranked = [one for one in contestants if one.doubt is None and one.rounds]
    rounds = sorted({number for one in ranked for number in one.rounds})
    table = {one.name: [math.log(one.rounds[n]) if n in one.rounds else math.nan for n in rounds] for one in ranked}
    ranks = shared_ranks(list(table), table)
    leader = min(ranked, key=lambda one: (ranks[one.name], -_level(one), one.name), default=None)
    standings = []
    for one in contestants:
        share = Interval(math.nan, math.nan, math.nan)
        if leader is not None:
            share = Interval(1.0, 1.0, 1.0) if one is leader else ratio_of(one, leader)
        same = leader is not None and one is not leader and one.name in ranks and _same(one, leader)
        standings.append(Standing(one, ranks.get(one.name), share, same))

    def order(standing: Standing) -> tuple[Any, ...]:
        one = standing.contestant
        return (standing.rank is None, standing.rank or 0, -_level(one), backend_key(one.backend), one.track)

    return tuple(sorted(standings, key=order))


def _level(one: Contestant) -> float:
    if not one.rounds:
        return math.log(max(one.metric(RATE).value, 1e-12))
    return mean_interval([math.log(rate) for rate in one.rounds.values()]).value
