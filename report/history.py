"""A history -> one HTML page: charts of every followed metric, steps marked, and all of it as tables.

One offline file like the report, readable without JavaScript; the same history gives the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import text
from report.changes import change_text, figure_text, machine_name, size_text, step_sentence
from report.charts import CONFIG, GREY, INK, Chart, backend_colour, spec_of
from report.page import embedded_json, filled
from report.tables import Cell, Table, printable
from results.history import History
from results.steps import SHORTEST
from results.trend import MachineTrend, Series, Step, trends
from results.writing import write_text

CHARTED = ("train_samples_per_second", "inference_samples_per_second", "latency_seconds", "psnr")
"""Metrics with charts of their own; the others stand in the tables."""
NARROWEST = {"ratio": 3.0, "dB": 0.1}
"""Percent, or dB: a chart shows at least this much on either side, so that noise does not look like news."""
NOISES = 4.0
"""... and as many standard deviations of the noise.  What lies further out is drawn at the edge, as a triangle."""
MOST_TICKS = 8
DASH = {"idiomatic": [5, 3], "tuned": [1, 0]}


@dataclass(frozen=True)
class Section:
    """One machine."""

    name: str
    span: str
    charts: list[Chart]
    steps: Table
    levels: Table
    events: Table
    runs: Table
    failures: list[str]


def write_history(history: History, output: Path | str) -> Path:
    """Write the page of ``history`` (at least one entry) to ``output`` and return its path."""
    machines = trends(history)
    sections = [_section(trend, index) for index, trend in enumerate(machines)]
    charts = [chart for section in sections for chart in section.charts]
    page = filled(
        "history.html.j2",
        charts,
        sections=sections,
        lead=_lead(machines),
        notes=[printable(note) for note in history.notes],
        replaced=history.replaced,
        needed=2 * SHORTEST,
    )
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def _lead(machines: list[MachineTrend]) -> str:
    runs = sum(len(trend.entries) for trend in machines)
    series = sum(len(trend.series) for trend in machines)
    steps = [step for trend in machines for _, step in trend.steps]
    worse = sum(step.worse for step in steps)
    found = f"{text.count(len(steps), 'step')} found, {worse} of them for the worse" if steps else "no step was found"
    machine = text.count(len(machines), "machine")
    return f"{text.count(runs, 'run')} on {machine}, {series:,} series; {found}."


def _section(trend: MachineTrend, number: int) -> Section:
    first, last = trend.entries[0], trend.entries[-1]
    return Section(
        name=printable(machine_name(trend)),
        span=f"{text.count(len(trend.entries), 'run')}, {first.committed[:10]} to {last.committed[:10]}",
        charts=[
            _chart(trend, group, f"history-{number}-{index}") for index, group in enumerate(_groups(trend).values())
        ],
        steps=_step_table(trend),
        levels=_level_table(trend),
        events=_event_table(trend),
        runs=_run_table(trend),
        failures=[
            *([f"The newest run is unfinished: {printable(last.unfinished)}"] if last.unfinished else []),
            *(printable(f"{label}: {status} in the newest run") for label, status in trend.failures),
        ],
    )


def _groups(trend: MachineTrend) -> dict[tuple[str, str], list[Series]]:
    """Series that share a chart: one metric of one workload, a line for each contestant."""
    found: dict[tuple[str, str], list[Series]] = {}
    for metric in CHARTED:
        for series in trend.series:
            if series.metric == metric and len(series.points) > 1:
                found.setdefault((_workload(series), metric), []).append(series)
    return found


def _who(series: Series) -> str:
    return printable(series.label.partition(", ")[0])


def _workload(series: Series) -> str:
    return printable(series.label.partition(", ")[2])


# -- charts --------------------------------------------------------------------------------------------------------


def _chart(trend: MachineTrend, group: list[Series], name: str) -> Chart:
    """How much worse than its first level each contestant is, run by run: %, or dB."""
    import altair as alt

    tracked = group[0].tracked
    unit = "%" if tracked.scale == "ratio" else "dB"
    points: list[dict[str, Any]] = []
    levels: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    reach = NARROWEST[tracked.scale]
    for series in group:
        base = series.levels.pieces[0].value
        spread = _shown(series, series.levels.noise * NOISES)
        ends = [_shown(series, series.change(piece.value, base)) for piece in series.levels.pieces]
        reach = max(reach, *(abs(end) + spread for end in ends))
        for piece, end in zip(series.levels.pieces, ends, strict=True):
            start, stop = series.points[piece.start].position + 1, series.points[piece.end - 1].position + 1
            levels.append({"who": _who(series), "x": start - 0.4, "x2": stop + 0.4, "y": end, "y2": end})
        for step, end in zip(series.steps, ends[1:], strict=True):
            labels.append({"x": step.point.position + 1, "y": end, "text": change_text(series, step.change)})
        points += _points(series, base)
    for row in points:
        row["stray"] = abs(row["y"]) > reach
        row["y"] = max(-reach, min(reach, row["y"]))
    names = [_who(series) for series in group]
    backends, tracks = zip(*(_contestant(series) for series in group), strict=True)
    colour = alt.Color(
        "who:N",
        scale=alt.Scale(domain=names, range=[backend_colour(backend) for backend in backends]),
        legend=alt.Legend(symbolType="stroke", symbolSize=400),
    )
    dash = alt.StrokeDash("who:N", scale=alt.Scale(domain=names, range=[DASH.get(track, [2, 2]) for track in tracks]))
    count = len(trend.entries)
    y = alt.Y(
        "y:Q",
        title=f"worse than at first, {unit}",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(tickCount=5),
    )
    x = alt.X("x:Q", title=None, scale=alt.Scale(domain=[0.4, count + 0.6], nice=False), axis=_commits(alt, trend))
    tips = [alt.Tooltip("who:N", title="contestant"), alt.Tooltip("commit:N"), alt.Tooltip("text:N", title="figure")]
    events = [{"x": event.position + 1, "text": printable(event.sentence)} for event in trend.events]
    rules = (
        alt.Chart(alt.Data(values=events))
        .mark_rule(color=GREY, strokeDash=[3, 3])
        .encode(x=x, tooltip=alt.Tooltip("text:N", title="installed"))
    )
    lines = alt.Chart(alt.Data(values=levels)).mark_rule(strokeWidth=2.5).encode(
        x=x, x2="x2:Q", y=y, color=colour, strokeDash=dash
    )  # fmt: skip
    dots = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=22, opacity=0.75).encode(
        x=x, y=y, color=colour, tooltip=tips,
        shape=alt.Shape("stray:N", scale=alt.Scale(domain=[False, True], range=["circle", "triangle-up"]), legend=None),
    )  # fmt: skip
    marks = (
        alt.Chart(alt.Data(values=labels))
        .mark_text(align="left", dx=-4, dy=-9, fontSize=11, fontWeight=600, color=INK)
        .encode(x=x, y=y, text="text:N")
    )
    spec = spec_of(alt.layer(*([rules] if events else []), lines, dots, *([marks] if labels else [])), 210)
    # Names of contestants are long: two stand side by side in half a page, three do not.
    spec["config"] = {**CONFIG, "legend": {**CONFIG["legend"], "columns": 2}}
    said = "; ".join(printable(step_sentence(series, step)) for series in group for step in series.steps)
    return Chart(name, f"{tracked.title}: {_workload(group[0])}", said or "No step.", spec)


def _points(series: Series, base: float) -> list[dict[str, Any]]:
    return [
        {
            "who": _who(series),
            "x": point.position + 1,
            "y": round(_shown(series, series.change(float(cost), base)), 4),
            "commit": printable(f"{point.entry.name} {point.entry.committed[:10]}"),
            "text": figure_text(series.tracked, point.figure.value),
        }
        for point, cost in zip(series.points, series.costs, strict=True)
    ]


def _shown(series: Series, change: float) -> float:
    return 100 * change if series.tracked.scale == "ratio" else change


def _contestant(series: Series) -> tuple[str, str]:
    axes = series.points[-1].entry.cells[series.label]["cell"]
    return str(axes.get("backend", "")), str(axes.get("track", ""))


def _commits(alt: Any, trend: MachineTrend) -> Any:
    """The axis of runs: some of them by the first digits of their commit."""
    count = len(trend.entries)
    shown = list(range(1, count + 1, -(-count // MOST_TICKS)))
    names = embedded_json([printable(entry.commit[:7]) for entry in trend.entries])
    return alt.Axis(values=shown, labelExpr=f"{names}[datum.value - 1]", grid=False)


# -- tables --------------------------------------------------------------------------------------------------------


def _step_table(trend: MachineTrend) -> Table:
    rows = [_step_row(series, step) for series, step in trend.steps]
    columns = ["since", "contestant and workload", "metric", "change", "from", "to", "installed otherwise there"]
    return Table("Steps, the newest first", columns, rows)


def _step_row(series: Series, step: Step) -> list[Cell]:
    entry = step.point.entry
    return [
        Cell(printable(entry.name), entry.committed[:10], "code"),
        Cell(_who(series), _workload(series), "name"),
        Cell(series.tracked.title),
        Cell(change_text(series, step.change), kind="bad" if step.worse else "good"),
        Cell(figure_text(series.tracked, step.before)),
        Cell(figure_text(series.tracked, step.after)),
        Cell(printable("; ".join(event.sentence for event in step.events)) or "nothing", kind="reason"),
    ]


def _level_table(trend: MachineTrend) -> Table:
    rows = []
    for series in trend.series:
        newest, last = series.points[-1].figure, series.levels.pieces[-1]
        ends = [figure_text(series.tracked, end) for end in (newest.low, newest.high) if math.isfinite(end)]
        rows.append(
            [
                Cell(_who(series), _workload(series), "name"),
                Cell(series.tracked.title),
                Cell(figure_text(series.tracked, series.level), f"over {text.count(last.end - last.start, 'run')}"),
                Cell(figure_text(series.tracked, newest.value), " to ".join(ends)),
                Cell(size_text(series, _noise(series))),
                Cell(str(len(series.points))),
            ]
        )
    columns = ["contestant and workload", "metric", "level now", "newest run", "scatter of runs", "runs"]
    return Table("Levels", columns, rows, frozenset({2, 3, 4, 5}))


def _noise(series: Series) -> float:
    return series.change(series.levels.noise, 0.0)


def _event_table(trend: MachineTrend) -> Table:
    rows = [
        [
            Cell(printable(event.entry.name), event.entry.committed[:10], "code"),
            Cell(printable(event.sentence), kind="reason"),
        ]
        for event in reversed(trend.events)
    ]
    return Table("Installed otherwise than in the run before", ["since", "what"], rows)


def _run_table(trend: MachineTrend) -> Table:
    rows = []
    for entry in reversed(trend.entries):
        good = sum(cell["status"] == "ok" for cell in entry.cells.values())
        notes = ["changes that no commit holds: left out of the series"] if entry.dirty else []
        notes += [f"unfinished: {entry.unfinished}"] if entry.unfinished else []
        rows.append(
            [
                Cell(printable(entry.name), printable("; ".join(notes)), "code"),
                Cell(entry.committed[:16].replace("T", " ")),
                Cell(entry.started[:16].replace("T", " ")),
                Cell(printable(entry.run)),
                Cell(f"{good} of {len(entry.cells)} ok"),
            ]
        )
    return Table("Every run", ["commit", "committed, UTC", "measured, UTC", "sweep", "cells"], rows)
