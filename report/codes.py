"""What codes are good for: linear probes and clusterings, beside raw pixels and principal components of the same size.

Means over backends and seeds.  Intervals are over training seeds where there are several, else over test images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from report import text
from report.charts import GREY, Chart, architecture_colour, spec_of
from report.groups import Metrics, alike, counted, mean, over_seeds
from report.learned import UNKNOWN, Learned, learned
from report.naming import CONFIGURATION, LOSS_NAMES, TRAINING, configuration_label, describe, natural_key, varying
from report.quality import condition_axes
from report.tables import Cell, Table
from results.loading import Run
from results.schema import Record
from results.statistics import Interval

Noise = Literal["noisy", "clean"]
NOISES: tuple[Noise, ...] = ("noisy", "clean")
CODE, PCA, PIXELS = "", "pca_", "pixels_"
KINDS = {CODE: "code", PCA: "PCA of that size", PIXELS: "pixels"}
PROBE, ARI = "probe_accuracy", "cluster_ari"


@dataclass(frozen=True)
class Judged:
    """One network under one condition.  ``figures``: by name of the record's ``codes``, such as
    ``pca_probe_accuracy_noisy``."""

    label: str
    condition: str
    series: str
    """The network without the size of its code."""
    cell: dict[str, Any]
    size: int
    psnr: float
    figures: dict[str, Interval]
    chance: float
    learned: Learned = UNKNOWN


def judged(run: Run, distrusted: frozenset[str] = frozenset()) -> list[Judged]:
    """Every network and condition whose codes were judged, but trials in ``distrusted``."""
    trials = [one for one in run.of("trial", "ok") if one.get("codes") and one["id"] not in distrusted]
    if not trials:
        return []
    cells = [record["cell"] for record in trials]
    trained = varying(cells, TRAINING)
    axes = [name for name in condition_axes(cells[0]) if name not in trained]
    shown = varying(cells, [name for name in axes if name != "corruption"])
    found = []
    for group in alike(trials, (*CONFIGURATION, *trained, *axes)):
        cell = group[0]["cell"]
        condition = ", ".join(filter(None, [cell["corruption"], describe(cell, shown)]))
        series = ", ".join(
            filter(
                None,
                [f"{cell['architecture']} ({LOSS_NAMES.get(cell['loss'], cell['loss'])})", describe(cell, trained)],
            )
        )
        found.append(
            Judged(
                label=configuration_label(cell, trained),
                condition=condition,
                series=series,
                cell=cell,
                size=int(group[0]["metrics"]["latent_size"]),
                psnr=mean([record["metrics"]["psnr"] for record in group]),
                figures=_figures(group),
                chance=1 / group[0]["codes"]["classes"],
                learned=learned(group),
            )
        )
    return sorted(found, key=lambda one: (natural_key(one.condition), natural_key(one.label)))


def _figures(group: Sequence[Record]) -> dict[str, Interval]:
    found = {}
    names = [f"{kind}{what}_{noise}" for kind in KINDS for what in (PROBE, ARI) for noise in NOISES]
    for name in names:
        seeds: dict[int, list[Metrics]] = defaultdict(list)
        for record in group:
            if record["codes"].get(name) is not None:
                seeds[record["cell"]["seed"]].append(record["codes"])
        if seeds:
            found[name] = over_seeds(seeds, name)
    return found


def said(found: Sequence[Judged]) -> tuple[str, str] | None:
    """(headline, detail): whose codes a probe reads best on noisy images, and how often they beat the yardsticks."""
    name = f"{PROBE}_noisy"
    # Codes of networks that have learned nothing are random projections: shown, and the best of nothing.
    there = [one for one in found if name in one.figures and one.learned.trained]
    if not there:
        return None
    best = max(there, key=lambda one: (one.figures[name].value, one.label))
    headline = (
        f"A linear probe reads the class of noisy images best from the codes of {best.label}, "
        f"{percent(best.figures[name])} ({best.condition})"
    )
    parts = []
    beside = [
        f"{percent(best.figures[kind + name])} from {KINDS[kind]}"
        for kind in (PCA, PIXELS)
        if kind + name in best.figures
    ]
    if beside:
        parts.append(f"beside {text.listing(beside)}")
    for kind in (PCA, PIXELS):
        pairs = [(one.figures[name], one.figures[kind + name]) for one in there if kind + name in one.figures]
        if len(pairs) > 1:
            won = sum(_above(ours, theirs) for ours, theirs in pairs)
            lost = sum(_above(theirs, ours) for ours, theirs in pairs)
            parts.append(f"codes are read better than {KINDS[kind]} in {won} of {len(pairs)} cases, worse in {lost}")
    return headline, "; ".join(parts)


def _above(a: Interval, b: Interval) -> bool:
    """Measurably: the intervals do not meet."""
    return a.low > b.high if a.known and b.known else a.value > b.value


def percent(share: Interval) -> str:
    """ "93.1 % [92.6, 93.6]"."""
    if not share.known:
        return f"{100 * share.value:.1f} %"
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


# -- views ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """What the page shows."""

    charts: list[Chart]
    tables: list[Table]
    chance: str


def view(found: Sequence[Judged], sets: Sequence[tuple[str, Sequence[Judged]]] = ()) -> View | None:
    """None where there is nothing to show.  ``sets``: the same by data set, with its name where there are several: the
    charts show means, which are of one alone."""
    if not found:
        return None
    drawn = [
        replace(chart, name=f"{chart.name}-of-{number}", title=f"{label}: {chart.title}") if label else chart
        for number, (label, own) in enumerate(sets or [("", found)])
        for chart in latent_charts(own)
    ]
    chances = sorted({f"{100 * one.chance:.1f} %" for one in found})
    return View(drawn, [table(found, noise) for noise in NOISES], text.listing(chances))


def table(found: Sequence[Judged], noise: Noise) -> Table:
    """A row for each network and condition: probe accuracy and adjusted Rand index, with the yardsticks."""
    rows = []
    for one in found:
        lesson = one.learned.word or "" if not one.learned.trained else ""
        row = [Cell(one.label, lesson, kind="name"), Cell(one.condition)]
        for what in (PROBE, ARI):
            figures = [one.figures.get(f"{kind}{what}_{noise}") for kind in KINDS]
            row += [_cell(figure, what == PROBE) for figure in figures]
        rows.append(row)
    columns = ["network", "trained on"]
    columns += [f"{name}: {kind}" for name in ("probe", "Rand") for kind in ("code", "PCA", "pixels")]
    caption = f"What a probe and a clustering (adjusted Rand index) make of {noise} images"
    return Table(caption, columns, rows, frozenset(range(2, len(columns))))


def _cell(figure: Interval | None, share: bool) -> Cell:
    if figure is None:
        return Cell("–")
    if share:
        note = f"[{100 * figure.low:.1f}, {100 * figure.high:.1f}]" if figure.known else ""
        return Cell(f"{100 * figure.value:.1f} %", note)
    return Cell(
        text.fixed(figure.value), f"[{text.fixed(figure.low)}, {text.fixed(figure.high)}]" if figure.known else ""
    )


def latent_charts(found: Sequence[Judged]) -> list[Chart]:
    """PSNR, and beside it the probe's accuracy on noisy images, by the size of the code: means over the conditions that
    all sizes and networks shown share.  Empty where no network has two sizes."""
    name = f"{PROBE}_noisy"
    by_series: dict[str, dict[int, dict[str, Judged]]] = defaultdict(lambda: defaultdict(dict))
    for one in found:
        if name in one.figures:
            by_series[one.series][one.size][one.condition] = one
    several = {series: sizes for series, sizes in by_series.items() if len(sizes) > 1}
    if not several:
        return []
    shared = set.intersection(*(set(at) for sizes in several.values() for at in sizes.values()))
    if not shared:
        return []
    rows: list[dict[str, Any]] = []
    for series, sizes in sorted(several.items()):
        for size, at in sorted(sizes.items()):
            ones = [at[condition] for condition in sorted(shared)]
            architecture = str(ones[0].cell["architecture"])
            rows.append(
                _point(series, architecture, size, [one.psnr for one in ones], [one.figures[name] for one in ones])
            )
    # Principal components are those of the images, whatever the network: a line of their own.
    beside: dict[int, list[Interval]] = {}
    for sizes in several.values():
        for size, at in sizes.items():
            figures = [at[condition].figures.get(PCA + name) for condition in sorted(shared)]
            beside[size] = [figure for figure in figures if figure is not None]
    yardstick = [_point("PCA", "PCA", size, [], figures) for size, figures in sorted(beside.items()) if figures]
    noises = {one.condition: str(one.cell["corruption"]) for one in found}
    over = counted([(noises[condition], condition) for condition in sorted(shared)])
    return [
        _chart("codes-psnr", f"PSNR by size of the code, mean over {over}", "psnr", "PSNR, dB", rows),
        _chart("codes-probe", "Probe accuracy on noisy images, the same codes", "accuracy",
               "probe accuracy, %", [*rows, *yardstick]),
    ]  # fmt: skip


def _point(series: str, architecture: str, size: int, psnr: list[float], figures: Sequence[Interval]) -> dict[str, Any]:
    return {
        "series": series,
        "architecture": architecture,
        "size": size,
        "psnr": round(mean(psnr), 4) if psnr else None,
        "accuracy": round(100 * mean([figure.value for figure in figures]), 3),
    }


def _chart(name: str, title: str, field: str, axis: str, rows: Sequence[dict[str, Any]]) -> Chart:
    import altair as alt

    sizes = sorted({row["size"] for row in rows})
    series = list(dict.fromkeys(row["series"] for row in rows))
    colours = {
        row["series"]: GREY if row["series"] == "PCA" else architecture_colour(row["architecture"]) for row in rows
    }
    several = len({one.rpartition("(")[2] for one in series if one != "PCA"}) > 1
    dashes = [[2, 3] if one == "PCA" else [5, 4] if several and "BCE" in one else [1, 0] for one in series]
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X("size:Q", title="numbers in the code",
                scale=alt.Scale(type="log", base=2, domain=[sizes[0] / 1.15, sizes[-1] * 1.15], nice=False),
                axis=alt.Axis(values=sizes, grid=False, format="d")),
        y=alt.Y(f"{field}:Q", title=axis, scale=alt.Scale(zero=False)),
        color=alt.Color("series:N", scale=alt.Scale(domain=series, range=[colours[one] for one in series])),
    )  # fmt: skip
    lines = base.mark_line(strokeWidth=2).encode(
        strokeDash=alt.StrokeDash("series:N", scale=alt.Scale(domain=series, range=dashes))
    )
    tips = ["series:N", "size:Q", alt.Tooltip(f"{field}:Q", title=axis, format=".2f")]
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(tooltip=tips)
    summary = "; ".join(f"{row['series']}, {row['size']}: {row[field]:.2f}" for row in rows)
    return Chart(name, title, f"{axis}: {summary}.", spec_of(lines + dots, 260))
