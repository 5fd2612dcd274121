"""Charts as Vega-Lite specifications: built with altair, drawn once as still SVG, drawn again by the browser.

Every chart is a single view whose width is that of its box, so that it is laid out anew on a phone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from report import text
from report.naming import CONFIGURATION, LOSS_NAMES, describe
from report.quality import Quality
from report.speed import RATE, Contestant, Workload
from report.tradeoff import Point
from results.cold import COLD_COSTS

# Okabe & Ito 2008: told apart with every common kind of colour vision.
BACKEND_COLOURS = {
    "keras[tensorflow]": "#0072B2",
    "keras[jax]": "#009E73",
    "keras[torch]": "#CC79A7",
    "torch": "#D55E00",
    "jax": "#E69F00",
}
SPARE_COLOURS = ("#56B4E9", "#7A6C00", "#5D3A9B", "#4D4D4D")
# Paul Tol's "muted", for architectures: not to be mistaken for backends.
ARCHITECTURE_COLOURS = {
    "dense": "#AA7700",
    "conv": "#332288",
    "bn": "#882255",
    "conv-latif": "#117733",
    "conv-small": "#44AA99",
    "strided": "#CC6677",
}
GREY = "#8A8F98"
INK = "#1D2430"
DASHES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3], [4, 4], [1, 3])
COLD_COLOURS = ("#44546A", "#7F93AD", "#C3CFDD", "#DDA63A")
COLD_NAMES = ("import", "build", "staging", "first step")

CONFIG: dict[str, Any] = {
    "font": "Helvetica, Arial, sans-serif",
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "#3B4453", "titleColor": "#3B4453", "labelFontSize": 12, "titleFontSize": 12,
        "titleFontWeight": "normal", "gridColor": "#E6E9EE", "domainColor": "#AEB6C2", "tickColor": "#AEB6C2",
        "labelLimit": 220,
    },
    "legend": {
        "orient": "top", "direction": "horizontal", "title": None, "labelFontSize": 12, "labelColor": "#3B4453",
        "titleFontSize": 12, "titleFontWeight": "normal", "titleColor": "#3B4453", "columns": 3, "symbolStrokeWidth": 2,
    },
}  # fmt: skip
MOST_EPOCH_TICKS = 10
STILL_WIDTH = 520
"""Pixels of a still chart; the page scales it down to its box."""


@dataclass(frozen=True)
class Chart:
    """``spec`` has the width "container".  ``summary`` says for those who do not see it what it shows."""

    name: str
    title: str
    summary: str
    spec: dict[str, Any]
    wide: bool = False

    def still(self) -> str:
        """The chart as SVG."""
        import vl_convert

        width = 2 * STILL_WIDTH if self.wide else STILL_WIDTH
        svg: str = vl_convert.vegalite_to_svg({**self.spec, "width": width}, vl_version=vega_lite_version())
        # The converter numbers its ids through the life of the process; a page needs them unique and repeatable.
        ids = dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg))
        for index, name in enumerate(ids):
            own = f"still-{self.name}-{index}"
            svg = svg.replace(f'id="{name}"', f'id="{own}"').replace(f"url(#{name})", f"url(#{own})")
        return svg


def vega_lite_version() -> str | None:
    """The one of vl-convert's Vega-Lites that altair writes for; None (its newest) if it has another."""
    import altair
    import vl_convert

    wanted = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return wanted if wanted in vl_convert.get_vegalite_versions() else None


def backend_colour(backend: str) -> str:
    """The same colour everywhere; backends that came later get a spare one by their name."""
    return BACKEND_COLOURS.get(backend) or SPARE_COLOURS[sum(backend.encode()) % len(SPARE_COLOURS)]


def architecture_colour(name: str) -> str:
    return ARCHITECTURE_COLOURS.get(name) or SPARE_COLOURS[sum(name.encode()) % len(SPARE_COLOURS)]


def network_channels(architectures: Sequence[str]) -> dict[str, Any]:
    """How points of networks are told apart: their colour by ``architecture``, their shape by ``loss``."""
    import altair as alt

    colours = [architecture_colour(name) for name in architectures]
    return {
        "color": alt.Color("architecture:N", scale=alt.Scale(domain=list(architectures), range=colours)),
        "shape": alt.Shape("loss:N", scale=alt.Scale(domain=["MSE", "BCE"], range=["circle", "triangle-up"])),
    }


# -- speed ---------------------------------------------------------------------------------------------------------


def speed_chart(load: Workload, number: int) -> Chart:
    """A bar for each contestant, with its interval and its share of the fastest one's rate."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    for standing in load.standings:
        one, rate = standing.contestant, standing.contestant.metric(RATE)
        share = f" · {text.fixed(standing.share.value)}×" if math.isfinite(standing.share.value) else ""
        rows.append(
            {
                "who": one.name,
                "rate": rate.value,
                "low": _finite(rate.low),
                "high": _finite(rate.high),
                "end": max(filter(math.isfinite, (rate.value, rate.high))),
                "label": f"{text.significant(rate.value)}{share}" if standing.rank else "not ranked",
                "colour": backend_colour(one.backend) if standing.rank else "#C9CDD4",
                "opacity": 1.0 if one.track == "tuned" or not standing.rank else 0.5,
                "rank": f"rank {standing.rank}" if standing.rank else f"not ranked ({one.doubt})",
                "interval": text.quantity(rate) + " images/s",
            }
        )
    top = max(row["end"] for row in rows)
    base = alt.Chart(alt.Data(values=rows)).encode(y=_names([row["who"] for row in rows]))
    x = alt.X("rate:Q", title="training, images/s", scale=alt.Scale(domain=[0, top], nice=False), axis=_x_axis(alt))
    tips = [alt.Tooltip("who:N", title="contestant"), alt.Tooltip("interval:N"), alt.Tooltip("rank:N")]
    bars = base.mark_bar(height=17, cornerRadiusEnd=2).encode(
        x=x, color=alt.Color("colour:N", scale=None), opacity=alt.Opacity("opacity:Q", scale=None), tooltip=tips
    )
    whiskers = base.mark_rule(color=INK, strokeWidth=1.5).encode(x="low:Q", x2="high:Q")
    labels = base.mark_text(align="left", dx=6, fontSize=12, color=INK).encode(x="end:Q", text="label:N")
    summary = "; ".join(f"{row['who']} {row['interval']}, {row['rank']}" for row in rows)
    return Chart(f"speed-{number}", load.label, summary, spec_of(bars + whiskers + labels, 36 * len(rows)))


def cold_chart(load: Workload, number: int) -> Chart:
    """What a fresh process pays before it trains at its rate: stacked bars, s."""
    import altair as alt

    rows = []
    known = (one for standing in load.standings if math.isfinite((one := standing.contestant).cold_seconds))
    order = sorted(known, key=lambda one: one.cold_seconds)
    for one in order:
        for index, (name, title) in enumerate(zip(COLD_COSTS, COLD_NAMES, strict=True)):
            value = one.metric(name)
            if math.isfinite(value.value):
                rows.append(_cold_row(one, index, title, value.value))
    totals = [{"who": one.name, "total": one.cold_seconds, "label": text.seconds(one.cold_seconds)} for one in order]
    scale = alt.Scale(domain=list(COLD_NAMES), range=list(COLD_COLOURS))
    top = max((one.cold_seconds for one in order), default=1.0) or 1.0
    names = _names([one.name for one in order])
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(height=17)
        .encode(
            y=names,
            x=alt.X("seconds:Q", stack=True, title="seconds", scale=alt.Scale(domain=[0, top]), axis=_x_axis(alt)),
            color=alt.Color("part:N", scale=scale),
            order=alt.Order("index:Q"),
            tooltip=[alt.Tooltip("who:N", title="contestant"), "part:N", alt.Tooltip("text:N", title="time")],
        )
    )
    labels = (
        alt.Chart(alt.Data(values=totals))
        .mark_text(align="left", dx=6, fontSize=12, color=INK)
        .encode(y=names, x="total:Q", text="label:N")
    )
    summary = "; ".join(f"{row['who']} {row['label']}" for row in totals)
    return Chart(f"cold-{number}", load.label, summary, spec_of(bars + labels, 36 * len(order)))


def _cold_row(one: Contestant, index: int, title: str, seconds: float) -> dict[str, Any]:
    return {"who": one.name, "part": title, "index": index, "seconds": seconds, "text": text.seconds(seconds)}


# -- quality -------------------------------------------------------------------------------------------------------


def quality_chart(found: Quality) -> Chart:
    """From the noisy input to what each configuration makes of it, a line for each corruption; PSNR in dB."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    noisy: dict[str, float] = {}
    # How networks were trained, where a run has several ways: learning rates, precisions.
    further = found.configuration_axes[len(CONFIGURATION) :]
    for (condition, configuration), score in sorted(found.scores.items(), key=lambda item: str(item[0])):
        architecture, latent, loss = configuration[: len(CONFIGURATION)]
        trained = configuration[len(CONFIGURATION) :]
        rows.append(
            {
                "condition": found.conditions[condition],
                "architecture": architecture,
                "latent": "no code" if latent is None else str(latent),
                "loss": LOSS_NAMES.get(loss, loss),
                **({"trained": describe(dict(zip(further, trained, strict=True)), further)} if further else {}),
                "psnr": round(score.psnr, 4),
                "gain": text.decibels(score.interval),
                "learned": found.learned[condition, configuration].word or "–",
                "crossed": not found.learned[condition, configuration].trained,
            }
        )
        noisy.setdefault(found.conditions[condition], score.noisy)
    order = [label for label in found.conditions.values() if label in noisy]
    y = alt.Y(
        "condition:N",
        sort=order,
        title=None,
        axis=alt.Axis(labelExpr="split(replace(datum.label, ' + ', '|+ '), '|')", grid=True),
    )
    x = alt.X("psnr:Q", title="PSNR, dB (more is better)", scale=alt.Scale(zero=False), axis=_x_axis(alt))
    start = (
        alt.Chart(alt.Data(values=[{"condition": name, "psnr": noisy[name]} for name in order]))
        .mark_tick(color=INK, thickness=3, size=16)
        .encode(y=y, x=x, tooltip=[alt.Tooltip("psnr:Q", title="noisy input, dB", format=".2f")])
    )
    architectures = sorted({row["architecture"] for row in rows})
    pick = alt.selection_point(name="quality_pick", fields=["architecture"], bind="legend")
    dots = (
        alt.Chart(alt.Data(values=rows))
        .mark_point(size=58, filled=True)
        .encode(
            y=y,
            x=x,
            **network_channels(architectures),
            opacity=alt.condition(pick, alt.value(0.8), alt.value(0.08)),
            tooltip=[
                "architecture:N",
                "latent:N",
                "loss:N",
                *(["trained:N"] if further else []),
                "condition:N",
                alt.Tooltip("gain:N", title="gain"),
                "learned:N",
            ],
        )
        .add_params(pick)
    )
    layers = start + dots
    if any(row["crossed"] for row in rows):
        layers += _crosses(rows).encode(y=y, x=x)
    best = max(rows, key=lambda row: (not row["crossed"], row["psnr"]))
    summary = (
        "No network has learned to denoise."
        if best["crossed"]
        else (
            f"The highest PSNR is {best['psnr']:.2f} dB "
            f"({best['architecture']}, {'' if best['latent'] == 'no code' else 'latent '}{best['latent']}, "
            f"{best['loss']}, {best['trained'] + ', ' if further else ''}{best['condition']})."
        )
    )
    return Chart("quality", "From the noisy input to the denoised image", summary, spec_of(layers, 28 * len(order)))


def latent_chart(found: Quality) -> Chart | None:
    """Mean gain against the size of the code, or None where a run has but one size."""
    import altair as alt

    place = CONFIGURATION.index("latent")
    standings, shared = found.standings()
    standings = [standing for standing in standings if standing.configuration[place] is not None]
    if len({standing.configuration[place] for standing in standings}) < 2:
        return None
    rows = []
    for standing in standings:
        architecture, latent, loss = standing.configuration[: len(CONFIGURATION)]
        rows.append(
            {
                "architecture": architecture,
                "latent": latent,
                "loss": LOSS_NAMES.get(loss, loss),
                "gain": standing.gain.value,
                "low": _finite(standing.gain.low),
                "high": _finite(standing.gain.high),
                "text": text.decibels(standing.gain),
                "network": standing.label,
                "trained": str(standing.configuration[len(CONFIGURATION) :]),
                "learned": standing.learned.word or "–",
                "crossed": not standing.learned.trained,
            }
        )
    rows.sort(key=lambda row: (row["architecture"], row["loss"], row["latent"]))
    architectures = sorted({row["architecture"] for row in rows})
    sizes = sorted({row["latent"] for row in rows})
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("latent:Q", scale=alt.Scale(type="log", base=2, domain=[sizes[0] / 1.15, sizes[-1] * 1.15], nice=False),
                title="numbers in the code", axis=alt.Axis(values=sizes, grid=False, format="d")),
        color=alt.Color("architecture:N", scale=alt.Scale(domain=architectures,
                        range=[architecture_colour(name) for name in architectures])),
    )  # fmt: skip
    dash = alt.StrokeDash("loss:N", scale=alt.Scale(domain=["MSE", "BCE"], range=[[1, 0], [5, 4]]))
    y = alt.Y("gain:Q", title="gain in PSNR, dB", scale=alt.Scale(zero=False))
    lines = base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash, detail="trained:N")
    whiskers = base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q")
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(
        y=y, tooltip=["architecture:N", "latent:Q", "loss:N", alt.Tooltip("text:N", title="gain"), "learned:N"]
    )
    layers = lines + whiskers + dots
    if any(row["crossed"] for row in rows):
        layers += _crosses(rows).encode(x="latent:Q", y=y)
    best = standings[0]
    said = f"the best is {best.label} with {text.decibels(best.gain)}"
    summary = f"Mean over {found.over(shared)}; {said if best.learned.trained else 'none has learned to denoise'}."
    return Chart("latent", "Gain by size of the code", summary, spec_of(layers, 260))


def _crosses(rows: Sequence[dict[str, Any]]) -> Any:
    """Over the points of networks that have not learned to denoise."""
    import altair as alt

    crossed = [row for row in rows if row["crossed"]]
    return alt.Chart(alt.Data(values=crossed)).mark_text(text="✕", fontSize=13, color=INK, tooltip=None)


# -- both ----------------------------------------------------------------------------------------------------------


def frontier_chart(points: Sequence[Point]) -> Chart:
    """Training rate against gain; the frontier connects what nothing else beats in both."""
    import altair as alt

    rows = [
        {
            "who": point.who,
            "backend": point.backend,
            "track": point.track,
            "network": point.network,
            "rate": point.rate,
            "gain": point.gain,
            "opacity": 0.9 if point.track == "tuned" else 0.0,
            "text": f"{text.significant(point.rate)} images/s, {text.signed(point.gain)} dB",
            "learned": point.learned or "–",
            "crossed": not point.trained,
        }
        for point in points
    ]
    best = [row for row, point in zip(rows, points, strict=True) if point.best]
    rates = [point.rate for point in points]
    backends = sorted({point.backend for point in points}, key=list(BACKEND_COLOURS).index if _known(points) else None)
    networks = sorted({point.network for point in points})
    x = alt.X(
        "rate:Q",
        scale=alt.Scale(type="log", domain=[min(rates) / 1.3, max(rates) * 1.3], nice=False),
        title="training, images/s (logarithmic)",
        axis=alt.Axis(format="~s", tickCount=5, labelFlush=False, grid=False),
    )
    y = alt.Y("gain:Q", scale=alt.Scale(zero=False, padding=18), title="gain in PSNR, dB")
    colours = alt.Scale(domain=backends, range=[backend_colour(name) for name in backends])
    line = (
        alt.Chart(alt.Data(values=best))
        .mark_line(color=GREY, strokeDash=[4, 3], strokeWidth=1.5)
        .encode(x=x, y=y, order="rate:Q")
    )
    dots = (
        alt.Chart(alt.Data(values=rows))
        .mark_point(size=110, strokeWidth=2)
        .encode(
            x=x,
            y=y,
            fill=alt.Fill("backend:N", scale=colours),
            stroke=alt.Stroke("backend:N", scale=colours),
            shape=alt.Shape("network:N", scale=alt.Scale(domain=networks)),
            fillOpacity=alt.FillOpacity("opacity:Q", scale=None),
            tooltip=["who:N", "network:N", alt.Tooltip("text:N", title="speed, gain"), "learned:N"],
        )
    )
    layers = line + dots
    if any(row["crossed"] for row in rows):
        layers += _crosses(rows).encode(x=x, y=y)
    summary = "; ".join(f"{row['who']} on {row['network']}: {row['text']}" for row in best)
    summary = f"On the frontier: {summary}" if best else "No network has learned to denoise."
    return Chart("frontier", "Speed against quality", summary, spec_of(layers, 330), wide=True)


def _known(points: Sequence[Point]) -> bool:
    return all(point.backend in BACKEND_COLOURS for point in points)


def _names(order: list[str]) -> Any:
    """Contestants down the left side, the track on a line of its own so that phones have room for the bars."""
    import altair as alt

    return alt.Y("who:N", sort=order, title=None, axis=alt.Axis(labelExpr="split(datum.label, ' ')", ticks=False))


def _x_axis(alt: Any) -> Any:
    return alt.Axis(tickCount=4, labelFlush=False, format="~s")


def spec_of(chart: Any, height: int) -> dict[str, Any]:
    """The specification of an altair chart, as wide as its box."""
    # Not checked against the schema, which takes a quarter of the time of a report: what these charts are does not
    # depend on the run (tests/test_report.py checks them).
    spec: dict[str, Any] = chart.properties(width="container", height=height).to_dict(validate=False)
    spec["config"] = CONFIG
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
