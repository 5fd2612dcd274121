"""What each framework's own defaults change: native trials beside the matched ones, backend by backend.

A native trial stands beside the matched one that its record names, which had the same images, noise and order of
batches and differs in its defaults alone; differences are paired by seed and by test image.  Nothing here is compared
across backends but how far apart they are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from report import text
from report.charts import MOST_EPOCH_TICKS, Chart, backend_colour, spec_of
from report.groups import mean
from report.learned import UNKNOWN, Learned, learned
from report.naming import CONFIGURATION, TRAINING, backend_key, configuration_label, describe, natural_key, varying
from report.quality import condition_axes, label_axes, who, who_axes
from report.tables import Cell, Table, printable, split
from results.loading import Run, is_native
from results.schema import Record
from results.scores import combined, differences, read_scores
from results.statistics import Interval, mean_interval

MOST_CHARTS = 6
"""Charts drawn: of the networks that most backends were trained on."""
WENT_IN = ("data", "noisy", "order")
"""Hashes that a pair has in common: else it was not the defaults alone that changed."""
KINDS = {"native": "own defaults", "matched": "matched"}

Curve = list[tuple[float, float]]
"""(epoch, mean PSNR over seeds, dB)."""


@dataclass(frozen=True)
class Effect:
    """One backend on one network: PSNR in dB by seed, natively and matched (of the seeds that have both where there are
    any); ``by_seed`` and ``by_image``: native minus matched, where there is such an interval."""

    backend: str
    who: str
    network: str
    condition: str
    native: Mapping[int, float]
    matched: Mapping[int, float]
    by_seed: Interval | None
    by_image: Interval | None
    curves: Mapping[str, Curve]
    """By "native" and "matched"."""
    learned: Learned = UNKNOWN
    """By its native trials."""
    failed: tuple[str, ...] = ()
    """How native trials ended that came to no figure."""

    @property
    def change(self) -> Interval | None:
        """Native minus matched: over seeds where there are several, else over test images."""
        if not self.matched:
            return None
        if self.by_seed or self.by_image:
            return self.by_seed or self.by_image
        return Interval(mean(self.native.values()) - mean(self.matched.values()), math.nan, math.nan)

    @property
    def verdict(self) -> str:
        """ "better", "worse", "no measurable difference"; "" where nothing can be said."""
        change = self.change
        if change is None or not change.known:
            return ""
        if change.includes(0.0):
            return "no measurable difference"
        return "better" if change.value > 0 else "worse"


def effects(run: Run, distrusted: frozenset[str] = frozenset()) -> list[Effect]:
    """Of every backend and network with native trials; matched ones in ``distrusted`` (ids) count for nothing."""
    every = [record for record in run.of("trial") if is_native(record) and record["status"] != "unsupported"]
    if not every:
        return []
    cells = [record["cell"] for record in every]
    differing, trained = who_axes(every), varying(cells, TRAINING)
    axes = [name for name in condition_axes(cells[0]) if name not in trained]
    named = label_axes(every, axes)
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in every:
        cell = record["cell"]
        own = tuple(cell.get(name) for name in (*CONFIGURATION, *trained, *axes))
        groups[(who(cell, differing), *own)].append(record)
    matched: dict[str, list[Record]] = defaultdict(list)
    for record in run.matched.of("trial", "ok"):
        if record["id"] not in distrusted:
            matched[record["id"].partition("-")[0]].append(record)
    found = []
    for (name, *_), group in groups.items():
        cell = group[0]["cell"]
        label = configuration_label(cell, trained)
        condition = ", ".join(filter(None, [cell["corruption"], describe(cell, named)]))
        pairs = [(record, _counterpart(record, matched)) for record in group if record["status"] == "ok"]
        found.append(_effect(run, name, label, condition, group, [(one, two) for one, two in pairs if two]))
    return sorted(found, key=lambda one: (natural_key(one.network), natural_key(one.condition), backend_key(one.who)))


def _effect(
    run: Run, name: str, network: str, condition: str, group: Sequence[Record], pairs: Sequence[tuple[Record, Record]]
) -> Effect:
    natives = [record for record, _ in pairs] or [record for record in group if record["status"] == "ok"]
    changes = [record["metrics"]["psnr"] - other["metrics"]["psnr"] for record, other in pairs]
    curves = {"native": _curve(natives), "matched": _curve([other for _, other in pairs])}
    return Effect(
        backend=group[0]["cell"]["backend"],
        who=name,
        network=network,
        condition=condition,
        native={record["cell"]["seed"]: record["metrics"]["psnr"] for record in natives},
        matched={record["cell"]["seed"]: other["metrics"]["psnr"] for record, other in pairs},
        by_seed=mean_interval(changes) if len(changes) > 1 else None,
        by_image=_by_image(run, pairs),
        curves={kind: curve for kind, curve in curves.items() if curve},
        learned=learned(natives),
        failed=tuple(record["status"] for record in group if record["status"] != "ok"),
    )


def _counterpart(record: Record, matched: Mapping[str, Sequence[Record]]) -> Record | None:
    """The matched trial that a native one names, made from the same bytes; on the same machine if there is one."""
    known = [
        other
        for other in matched.get(record.get("matched", ""), ())
        if all(other.get("hashes", {}).get(name) == record.get("hashes", {}).get(name) for name in WENT_IN)
    ]
    return next((one for one in known if one["environment"] == record["environment"]), known[0] if known else None)


def _by_image(run: Run, pairs: Sequence[tuple[Record, Record]]) -> Interval | None:
    """Over test images, of the mean over seeds of each; None where scores of one are missing."""
    parts = []
    for pair in pairs:
        found = [read_scores(run.folders or (run.folder,), one["scores"]) for one in pair if "scores" in one]
        if len(found) < 2 or found[0] is None or found[1] is None or (part := differences(found[0], found[1])) is None:
            return None
        parts.append(part)
    if not parts or len({len(part) for part in parts}) > 1:
        return None
    return mean_interval(combined(parts))


def _curve(records: Sequence[Record]) -> Curve:
    """As far as all go."""
    curves = [[entry for entry in one.get("curve", ()) if entry.get("psnr") is not None] for one in records]
    length = min(map(len, curves), default=0)
    return [
        (float(curves[0][index]["epoch"]), mean([curve[index]["psnr"] for curve in curves])) for index in range(length)
    ]


def lessons(found: Sequence[Effect]) -> list[tuple[str, Learned]]:
    """What every native network has learned, with its name."""
    return [(f"{one.network} with {one.who}'s own defaults", one.learned) for one in found if one.learned.trials]


# -- in words ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """How far apart the backends are on one network, dB: the best less the worst, of the means over the seeds that all
    of them have."""

    network: str
    condition: str
    native: float
    matched: float | None
    backends: int


def spreads(found: Sequence[Effect]) -> list[Spread]:
    """Of every network that several backends were trained on natively, the widest first."""
    groups: dict[tuple[str, str], list[Effect]] = defaultdict(list)
    for one in found:
        if one.native:
            groups[one.network, one.condition].append(one)
    wide = []
    for (network, condition), group in groups.items():
        seeds = set.intersection(*(set(one.native) for one in group))
        both = seeds.intersection(*(set(one.matched) for one in group))
        if len(group) > 1 and seeds:
            matched = _range([one.matched for one in group], both) if both else None
            native = _range([one.native for one in group], both or seeds)
            wide.append(Spread(network, condition, native, matched, len(group)))
    return sorted(wide, key=lambda one: (-one.native, one.network, one.condition))


def _range(by_backend: Sequence[Mapping[int, float]], seeds: Collection[int]) -> float:
    means = [mean(values[seed] for seed in sorted(seeds)) for values in by_backend]
    return max(means) - min(means)


def said(found: Sequence[Effect]) -> tuple[str, str] | None:
    """(headline, detail); None without native trials that came to a figure."""
    known = [one for one in found if one.native]
    if not known:
        return None
    wide = spreads(known)
    apart = ""
    if wide:
        most = wide[0]
        apart = f"natively backends are up to {text.fixed(most.native)} dB apart ({most.network})"
        apart += f", matched {text.fixed(most.matched)} dB" if most.matched is not None else ""
    pairs = [(one, one.change) for one in known if one.change is not None]
    if not pairs:
        return "Trained with each framework's own defaults, and no matched cells to compare them with", apart
    moved = [(one, change) for one, change in pairs if one.verdict in ("better", "worse")]
    one, change = max(moved or pairs, key=lambda pair: abs(pair[1].value))
    seeds = sorted({len(effect.matched) for effect, _ in pairs})
    basis = text.count(seeds[-1], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    basis += ", so intervals cover the test images only" if seeds[-1] == 1 else ""
    headline = f"Each framework's own defaults change the PSNR measurably in {len(moved)} of {len(pairs)} cases"
    detail = f"most with {one.who} on {one.network}, {text.decibels(change)}"
    if not moved:
        headline = "Each framework's own defaults change the PSNR nowhere measurably"
        detail = f"largest with {one.who} on {one.network}, {text.decibels(change)}"
    return headline, "; ".join(filter(None, [detail, apart, f"n = {basis}; none of it is certified or ranked"]))


# -- views ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """What the page shows.  ``paired``: whether any matched cell stands beside."""

    charts: list[Chart]
    effects: Table
    differences: Table | None
    paired: bool


def view(run: Run, found: Sequence[Effect]) -> View | None:
    """None where there is nothing to show."""
    if not found:
        return None
    groups: dict[tuple[str, str], list[Effect]] = defaultdict(list)
    for one in found:
        if one.curves.get("native"):
            groups[one.network, one.condition].append(one)
    shown = sorted(groups.values(), key=lambda group: -len(group))[:MOST_CHARTS]
    charts = [_chart(group, number) for number, group in enumerate(shown)]
    return View(charts, effect_table(found), differences_table(run), any(one.matched for one in found))


def effect_table(found: Sequence[Effect]) -> Table:
    """A row for each network, noise and backend."""
    kinds = {"better": "good", "worse": "bad"}
    rows = []
    for one in found:
        seeds = text.count(len(one.native), "seed")
        failed = f"{text.count(len(one.failed), 'trial')} {', '.join(sorted(set(one.failed)))}".replace("_", " ")
        change = one.by_seed or (None if one.by_image else one.change)
        rows.append(
            [
                Cell(one.network, one.condition, kind="name"),
                Cell(one.who),
                Cell(text.fixed(mean(one.matched.values()))) if one.matched else Cell("–"),
                Cell(text.fixed(mean(one.native.values())), seeds) if one.native else Cell("–"),
                Cell(*split(text.decibels(change))) if change else Cell("–"),
                Cell(*split(text.decibels(one.by_image))) if one.by_image else Cell("–"),
                Cell(one.verdict, failed if one.failed else "", kind=kinds.get(one.verdict, "")),
            ]
        )
    columns = ["network", "backend", "matched, dB", "native, dB", "change, over seeds", "over images", "verdict"]
    return Table(
        "PSNR with each framework's own defaults, and what they change", columns, rows, frozenset((2, 3, 4, 5))
    )


def differences_table(run: Run) -> Table | None:
    """The frameworks' defaults as the run noted them (``native_defaults`` of run.json)."""
    known = run.about.get("native_defaults")
    lines = [line for line in known if isinstance(line, dict) and line] if isinstance(known, list) else []
    if not lines:
        return None
    columns = list(lines[0])
    rows = [
        [Cell(printable(line.get(name, "–")), kind="" if index else "name") for index, name in enumerate(columns)]
        for line in lines
    ]
    return Table("What differs where a port says nothing", [printable(name) for name in columns], rows)


def _chart(group: Sequence[Effect], number: int) -> Chart:
    """Learning curves of one network: a colour for each backend, dashed where it is matched."""
    import altair as alt

    rows = [
        {"who": one.who, "defaults": KINDS[kind], "epoch": epoch, "psnr": round(psnr, 4)}
        for one in group
        for kind, curve in one.curves.items()
        for epoch, psnr in curve
    ]
    whole = sorted({epoch for one in group for curve in one.curves.values() for epoch, _ in curve})
    ticks = whole[:: max(-(-len(whole) // MOST_EPOCH_TICKS), 1)]
    names = [one.who for one in group]
    colours = alt.Scale(domain=names, range=[backend_colour(one.backend) for one in group])
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(values=ticks, format="d", grid=False),
                scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y("psnr:Q", title="PSNR, dB", scale=alt.Scale(zero=False)),
        color=alt.Color("who:N", scale=colours, legend=alt.Legend(symbolType="stroke", symbolSize=400)),
        detail="defaults:N",
        tooltip=[alt.Tooltip("who:N", title="backend"), "defaults:N", alt.Tooltip("epoch:Q"),
                 alt.Tooltip("psnr:Q", title="PSNR, dB", format=".2f")],
    )  # fmt: skip
    dashes = alt.Scale(domain=list(KINDS.values()), range=[[1, 0], [4, 3]])
    legend = alt.Legend(symbolType="stroke", symbolSize=400)
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=alt.StrokeDash("defaults:N", scale=dashes, legend=legend))
    dots = base.mark_point(filled=True, size=22)
    ends = "; ".join(
        f"{one.who} {', '.join(f'{KINDS[kind]} {curve[-1][1]:.2f} dB' for kind, curve in one.curves.items())}"
        for one in group
    )
    title = f"{group[0].network}; {group[0].condition}"
    return Chart(f"native-{number}", title, f"At the end: {ends}.", spec_of(lines + dots, 230))
