"""Where speed meets quality: the frontier, and learning curves on the clock of the timing sessions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from report import text
from report.groups import counted, epoch_images
from report.learned import Learned, learned, together
from report.naming import CONFIGURATION, backend_key, configuration_label, describe, varying
from report.quality import condition_axes, who, who_axes
from report.speed import RATE, Contestant, Workload
from results.loading import Run
from results.roles import figures, role
from results.schema import Record

SHARED = ("device", "precision", "threads", "height", "width", "channels", "optimizer", "learning_rate", "batch_size")
"""Axes that a trial and a timing must have in common (with backend, track and configuration) to be of one thing."""

SAME_GAIN = 0.05
"""dB.  Backends that compute the same differ by rounding alone, which is no step of a frontier."""


@dataclass(frozen=True)
class Point:
    """One backend and track: how fast it trains (images/s), and what the trained network gains (dB)."""

    who: str
    backend: str
    track: str
    network: str
    rate: float
    gain: float
    best: bool
    """On the frontier: nothing is faster and better."""
    own: bool
    """The trials were run by it; else the gain is that of the backend's other track, or of another backend that trained
    this network for all."""
    learned: str = ""
    """What the network is by its trials with all backends; "" where that is not known."""
    trained: bool = True
    """Or else it has not learned to denoise: shown, and beside the frontier."""


@dataclass(frozen=True)
class Curve:
    """One backend's learning curve, mean over ``seeds`` seeds."""

    who: str
    backend: str
    epochs: list[float]
    psnr: list[float]
    seconds: list[float]
    """Cold costs included, where ``measured``."""
    measured: bool
    """On the clock of a timing session; else the trial's own clock, which may have been disturbed."""
    seeds: int


@dataclass(frozen=True)
class Panel:
    """Curves of one network under one condition."""

    title: str
    curves: tuple[Curve, ...]
    noisy: float
    mean_image: float | None = None
    """What the mean training image scores, as ``noisy`` on the test images; None in older records."""
    images: str = "test images"
    """On which the curves were taken."""

    @property
    def measured(self) -> bool:
        """Whether the clock is that of a timing session."""
        return any(curve.measured for curve in self.curves)

    def on_one_clock(self) -> list[Curve]:
        """The curves whose seconds can be compared: those on the timing session's clock, or all on their own."""
        return [curve for curve in self.curves if curve.measured] or list(self.curves)


def frontier(run: Run, loads: Sequence[Workload], distrusted: frozenset[str] = frozenset()) -> tuple[list[Point], str]:
    """Ranked contestants with trials of the same network, but those in ``distrusted`` (ids), and what their gain is the
    mean over: the conditions and seeds that all of them were trained on, in words.  Speeds are compared on one machine
    only."""
    trials = [record for record in figures(run, distrusted).of("trial", "ok") if record["id"] not in distrusted]
    axes = condition_axes(trials[0]["cell"]) if trials else []
    # What was trained once stands for every backend that is certified to compute the same.
    begin = 1 if any(role(record) for record in trials) else 0

    def link(cell: dict[str, Any]) -> tuple[Any, ...]:
        return linked(cell)[begin:]

    gains: dict[tuple[Any, ...], dict[tuple[Any, ...], list[float]]] = defaultdict(lambda: defaultdict(list))
    lessons: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Record]]] = defaultdict(lambda: defaultdict(list))
    trained: dict[tuple[Any, ...], set[tuple[str, str]]] = defaultdict(set)
    for record in trials:
        cell = record["cell"]
        condition = (*(cell.get(name) for name in axes), cell["seed"])
        gains[link(cell)][condition].append(record["metrics"]["psnr_gain"])
        lessons[linked(cell)[1:]][condition].append(record)
        trained[link(cell)].add((cell["backend"], cell["track"]))
    timed = [
        (load, standing.contestant)
        for load in loads
        for standing in load.ranked
        if link(cell_of(standing.contestant)) in gains
    ]
    if not timed:
        return [], ""
    shared = set.intersection(*(set(gains[link(cell_of(one))]) for _, one in timed))
    if not shared:
        return [], ""
    differing = varying([cell_of(one) for _, one in timed], ("device", "precision", "threads"))
    rows = []
    for load, one in timed:
        found = gains[link(cell_of(one))]
        gain = math.fsum(math.fsum(found[key]) / len(found[key]) for key in shared) / len(shared)
        rows.append((load, one, one.metric(RATE).value, gain, _lesson(lessons[linked(cell_of(one))[1:]], shared)))
    ranks = {id(standing.contestant): standing.rank for load in loads for standing in load.ranked}
    points = []
    for load, one, rate, gain, lesson in rows:
        beaten = not lesson.trained or any(
            r > rate and g > gain - SAME_GAIN and not (other is load and ranks[id(o)] == ranks[id(one)])
            for other, o, r, g, what in rows
            if other.environment == load.environment and what.trained
        )
        name = f"{who(cell_of(one), ('backend', *differing))} {one.track}"
        own = (one.backend, one.track) in trained[link(cell_of(one))]
        word = (lesson.word or "", lesson.trained)
        points.append(Point(name, one.backend, one.track, load.label, rate, gain, not beaten, own, *word))
    return sorted(points, key=lambda point: (-point.gain, -point.rate)), _basis(shared, axes)


def _lesson(by_condition: dict[tuple[Any, ...], list[Record]], shared: set[tuple[Any, ...]]) -> Learned:
    """What a network has learned where its gain is taken, whoever trained it."""
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for key in shared:
        groups[key[:-1]] += by_condition[key]
    return together([learned(group) for group in groups.values() if group])


def _basis(shared: set[tuple[Any, ...]], axes: Sequence[str]) -> str:
    conditions = {key[:-1]: str(key[axes.index("corruption")]) for key in shared}
    over = counted([(noise, noise) for noise in conditions.values()])
    return f"{over}, {text.count(len({key[-1] for key in shared}), 'seed')}"


def panels(
    run: Run, loads: Sequence[Workload], distrusted: frozenset[str] = frozenset(), limit: int = 6
) -> list[Panel]:
    """One panel for each network: under the condition, and with the code and loss, that most backends were trained on
    (timed ones first), so that the panel compares as many as it can.  Trials in ``distrusted`` (ids) have none."""
    trials = [record for record in run.of("trial", "ok") if record.get("curve") and record["id"] not in distrusted]
    if not trials:
        return []
    axes = condition_axes(trials[0]["cell"])
    differing = who_axes(trials)
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in trials:
        cell = record["cell"]
        groups[
            (cell["architecture"], *(cell[name] for name in CONFIGURATION), *(cell.get(name) for name in axes))
        ].append(record)
    best: dict[str, list[Record]] = {}
    for key, group in groups.items():
        current = best.get(key[0])
        if current is None or _worth(group, differing, loads) > _worth(current, differing, loads):
            best[key[0]] = group
    label_axes = varying((record["cell"] for record in trials), [name for name in axes if name != "corruption"])
    found = []
    for _, group in sorted(best.items()):
        cell = group[0]["cell"]
        extra = describe(cell, label_axes)
        title = f"{configuration_label(cell)}; {cell['corruption']}{', ' + extra if extra else ''}"
        noisy = math.fsum(record["metrics"]["psnr_noisy"] for record in group) / len(group)
        flat = [value for record in group if (value := record["metrics"].get("psnr_mean_image")) is not None]
        level = math.fsum(flat) / len(flat) if flat else None
        seen = "test images" if cell.get("val", "test") == "test" else "validation images"
        found.append(Panel(title, tuple(_curves(group, differing, loads)), noisy, level, seen))
    return found[:limit]


def _curves(group: Sequence[Record], differing: Sequence[str], loads: Sequence[Workload]) -> list[Curve]:
    backends: dict[str, list[Record]] = defaultdict(list)
    for record in group:
        backends[who(record["cell"], differing)].append(record)
    if any(role(record) for record in group):
        # One backend has all seeds and another some: means are over those that all of them have.
        common = set.intersection(*({r["cell"]["seed"] for r in records} for records in backends.values()))
        if common:
            backends = {n: [r for r in those if r["cell"]["seed"] in common] for n, those in backends.items()}
    curves = []
    for name in sorted(backends, key=backend_key):
        records = backends[name]
        cell = records[0]["cell"]
        length = min(len(record["curve"]) for record in records)
        rows = [
            [record["curve"][index] for record in records]
            for index in range(length)
            if all(record["curve"][index].get("psnr") is not None for record in records)
        ]
        if not rows:
            continue
        epochs = [float(row[0]["epoch"]) for row in rows]
        psnr = [math.fsum(entry["psnr"] for entry in row) / len(row) for row in rows]
        timed, images = _timing_of(records[0], loads), epoch_images(records[0])
        measured = timed is not None and images is not None and math.isfinite(timed.cold_seconds)
        if timed is not None and images is not None and measured:
            rate, cold = timed.metric(RATE).value, timed.cold_seconds
            call = timed.record["metrics"].get("train_call_seconds", 0.0)
            seconds = [cold + epoch * (images / rate + call) for epoch in epochs]
        else:
            seconds = [math.fsum(entry.get("seconds") or 0.0 for entry in row) / len(row) for row in rows]
        curves.append(Curve(name, cell["backend"], epochs, psnr, seconds, measured, len(records)))
    return curves


def _worth(group: Sequence[Record], differing: Sequence[str], loads: Sequence[Workload]) -> tuple[int, int, int, float]:
    backends = {who(record["cell"], differing) for record in group}
    psnr = math.fsum(record["metrics"]["psnr"] for record in group) / len(group)
    return (len(backends), int(_timing_of(group[0], loads) is not None), len(group), psnr)


def _timing_of(record: Record, loads: Sequence[Workload]) -> Contestant | None:
    """The contestant of a timing session that trains as this trial did, on its machine if there is one, or None."""
    cell = record["cell"]
    for load in sorted(loads, key=lambda load: load.environment != record["environment"]):
        one = load.find(cell["backend"], cell["track"])
        if one is not None and one.rounds and linked(cell_of(one)) == linked(cell):
            return one
    return None


def linked(cell: dict[str, Any]) -> tuple[Any, ...]:
    """What a trial and a timing of one thing have in common; the backend comes first."""
    return (cell["backend"], *(cell[name] for name in CONFIGURATION), *(cell.get(name) for name in SHARED))


def cell_of(one: Contestant) -> dict[str, Any]:
    """Its axes."""
    cell: dict[str, Any] = one.record["cell"]
    return cell
