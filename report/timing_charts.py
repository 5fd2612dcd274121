"""Charts of what training takes from nothing, and of inference by batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from report import text
from report.charts import INK, Chart, backend_colour, spec_of
from report.naming import backend_key
from report.speed import Contestant, Workload
from report.start import Epoch, Start
from report.timing_tables import INFERENCE, batch_sizes
from results.breakeven import typical

LINE_POINTS = 48
FEWEST_IMAGES = 1_000
LONGEST_EPOCHS = 100
"""Fifty epochs is what the published recipes train for; twice that is to the right of what anybody asks."""
DASHES = {"tuned": [1, 0], "idiomatic": [5, 3]}
AXIS_BELOW = 0.97
"""Where the scale of multiples begins: so that the line of the first, at 1, does not lie on the axis."""
BEYOND_LAST = 4.0
"""The chart goes on to this many times the images of the last change of the lead."""
MOST_TIMES = 10
"""... but to no more than this many times what is asked for; the sentence below it names changes beyond."""


def start_chart(start: Start, number: int, epoch: Epoch | None) -> Chart:
    """Time from nothing to N images, as a multiple of the first one's: who leads lies on the line at 1."""
    import altair as alt

    ones = sorted({one.name: one for meeting in start.meetings for one in (meeting.a, meeting.b)}.values(), key=_order)
    costs = {one.name: typical(one.costs) for one in ones}
    usual = LONGEST_EPOCHS * (epoch.size if epoch else 10_000)
    last = min(BEYOND_LAST * start.ahead[-1][1], MOST_TIMES * usual)
    most = max(last, usual, 10 * FEWEST_IMAGES)
    numbers = np.geomspace(FEWEST_IMAGES, most, LINE_POINTS)
    rows: list[dict[str, Any]] = []
    for images in map(float, numbers):
        first = min(cost.seconds(images) for cost in costs.values())
        for one in ones:
            seconds = costs[one.name].seconds(images)
            tip = f"{text.significant(images)} images in {text.seconds(seconds)}"
            # Rounded: digits that no chart shows would make it three times as large.
            row = {"who": one.name, "images": round(images), "times": round(seconds / first, 4), "text": tip}
            rows.append(row)
    epochs = f" ({text.significant(float(most) / epoch.size, 2)} epochs of {epoch.dataset})" if epoch else ""
    x = alt.X(
        "images:Q",
        scale=alt.Scale(type="log", domain=[FEWEST_IMAGES, float(most)], nice=False),
        title=f"images trained, to {text.significant(float(most), 2)}{epochs}",
        axis=alt.Axis(format="~s", tickCount=5, labelFlush=False, grid=False),
    )
    y = alt.Y(
        "times:Q",
        scale=alt.Scale(type="log", domainMin=AXIS_BELOW, nice=False),
        title="time, × first",
        axis=alt.Axis(format="~g", tickCount=5),
    )
    lines = _lines(alt, rows, ones, x, y, ["who:N", alt.Tooltip("text:N", title="time")])
    said = "; ".join(f"from {text.significant(images)} images {one.name}" for one, images in start.ahead)
    return Chart(f"start-{number}", start.load.label, f"First are: {said}", _spec(lines))


def batch_chart(load: Workload, number: int) -> Chart | None:
    """Inference rate by batch size; None where fewer than two sizes were measured."""
    import altair as alt

    sizes = batch_sizes(load)
    if len(sizes) < 2:
        return None
    rows: list[dict[str, Any]] = []
    ones = sorted((standing.contestant for standing in load.standings), key=_order)
    for one in ones:
        for size in sizes:
            rate = one.metric(f"{INFERENCE}_b{size}")
            if math.isfinite(rate.value):
                rows.append({"who": one.name, "batch": size, "rate": rate.value, "text": text.quantity(rate)})
    x = alt.X(
        "batch:Q",
        scale=alt.Scale(type="log", base=2, domain=[sizes[0], sizes[-1]]),
        title="images in a batch",
        axis=alt.Axis(values=sizes, format="d", grid=False),
    )
    y = alt.Y(
        "rate:Q",
        scale=alt.Scale(type="log", nice=False),
        title="images/s (logarithmic)",
        axis=alt.Axis(format="~s", tickCount=5, grid=False),
    )
    tips = ["who:N", alt.Tooltip("batch:Q", title="batch"), alt.Tooltip("text:N", title="images/s")]
    lines = _lines(alt, rows, ones, x, y, tips)
    best = max(rows, key=lambda row: row["rate"])
    summary = f"The highest rate is {best['text']} images/s, {best['who']} in batches of {best['batch']}."
    return Chart(f"batch-{number}", load.label, summary, _spec(lines))


def _spec(chart: Any) -> dict[str, Any]:
    """Names of contestants are long: two beside each other where there is room, on a phone one."""
    spec = spec_of(chart, 250)
    spec["config"] = {**spec["config"], "legend": {**spec["config"]["legend"], "columns": 2}}
    spec["usermeta"] = {"narrowColumns": 1}
    return spec


def _order(one: Contestant) -> tuple[Any, ...]:
    return (*backend_key(one.backend), one.track != "tuned")


def _lines(alt: Any, rows: list[dict[str, Any]], ones: Sequence[Contestant], x: Any, y: Any, tips: list[Any]) -> Any:
    """A line for each contestant in its backend's colour, idiomatic tracks dashed; dots to point at."""
    names = [one.name for one in ones]
    colours = alt.Scale(domain=names, range=[backend_colour(one.backend) for one in ones])
    dashes = alt.Scale(domain=names, range=[DASHES.get(one.track, [2, 2]) for one in ones])
    legend = alt.Legend(symbolType="stroke", symbolSize=400, labelLimit=240)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y, color=alt.Color("who:N", scale=colours, legend=legend))
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=alt.StrokeDash("who:N", scale=dashes, legend=legend))
    dots = base.mark_point(filled=True, size=40, opacity=0, stroke=INK).encode(tooltip=tips)
    return lines + dots
