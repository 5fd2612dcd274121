"""Charts of reproductions: learning curves over the published points, PSNR by variant, and the stress sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from report import text
from report.charts import DASHES, GREY, MOST_EPOCH_TICKS, Chart, spec_of
from results.reproduction import Comparison, Span, Stress

LOSSES = {"train_loss": "training", "validation_loss": "validation"}
LOSS_COLOURS = {"training": "#0072B2", "validation": "#D55E00"}
VARIANT_COLOURS = ("#117733", "#882255", "#332288", "#AA7700", "#44AA99", "#CC6677", "#0072B2", "#D55E00")
DENOISED, NOISY = "denoised", "noisy input"
HEIGHT = 260
PHONE = 34
"""Characters of a legend that a phone has room for."""


def loss_chart(label: str, one: Comparison, number: int) -> Chart | None:
    """Training and validation loss by epoch: mean over seeds with its interval as a band, published points on top."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"what": name, "epoch": epoch, "loss": mean, "low": low, "high": high}
        for metric, name in LOSSES.items()
        for epoch, mean, low, high in one.curves.get(metric, ())
    ]
    if not rows:
        return None
    # As far as training went: ticks of a published future would squeeze what there is.
    points: list[dict[str, Any]] = [
        {"what": LOSSES[row.metric], "epoch": row.epoch, "loss": float(row.published), "said": row.verdict}
        for row in one.rows
        if row.metric in LOSSES and row.published is not None and row.epoch is not None and row.epoch <= one.epochs
    ]
    scale = alt.Scale(domain=list(LOSS_COLOURS), range=list(LOSS_COLOURS.values()))
    colour = alt.Color("what:N", scale=scale, legend=_legend())
    domain = _domain([*(row["loss"] for row in rows), *(point["loss"] for point in points)])
    x, y = _epoch_axis(rows), alt.Y("loss:Q", title="loss", scale=alt.Scale(domain=domain, zero=False, nice=False))
    curves = _curve(rows, x, y, colour, ("loss", ".4f", domain))
    marks = (
        alt.Chart(alt.Data(values=points))
        .mark_point(shape="diamond", size=70, filled=False, strokeWidth=1.8, opacity=1)
        .encode(
            x=x,
            y=y,
            color=colour,
            tooltip=[alt.Tooltip("what:N", title="published"), alt.Tooltip("epoch:Q"),
                     alt.Tooltip("loss:Q", format=".4~f"), alt.Tooltip("said:N", title="verdict")],
        )
    )  # fmt: skip
    last = [row for row in rows if row["epoch"] == max(row["epoch"] or 0 for row in rows)]
    ends = "; ".join(f"{row['what']} {text.significant(float(row['loss'] or 0))}" for row in last)
    summary = f"Loss at the end: {ends}; {text.count(len(points), 'published point')}."
    drawn = curves + marks if points else curves
    return Chart(f"repro-loss-{number}", f"{label}: loss by epoch", summary, spec_of(drawn, HEIGHT))


def psnr_chart(recipe: str, own: Sequence[tuple[str, Comparison]], number: int) -> Chart | None:
    """PSNR on the test images by epoch, a line for each variant; the dashed lines are their noisy inputs."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    inputs: list[dict[str, Any]] = []
    for label, one in own:
        curve = [
            {"what": label, "epoch": epoch, "psnr": mean, "low": low, "high": high}
            for epoch, mean, low, high in one.curves.get("psnr", ())
        ]
        rows += curve
        noisy = noisy_psnr(one)
        if curve and noisy is not None:
            inputs += [{"what": label, "epoch": curve[index]["epoch"], "psnr": noisy} for index in (0, -1)]
    if not rows:
        return None
    labels = list(dict.fromkeys(row["what"] for row in rows))
    colours = [VARIANT_COLOURS[index % len(VARIANT_COLOURS)] for index in range(len(labels))]
    scale = alt.Scale(domain=labels, range=colours)
    colour = alt.Color("what:N", scale=scale, legend=_legend(max(map(len, labels))) if len(labels) > 1 else None)
    domain = _domain([row["psnr"] for row in (*rows, *inputs)])
    x, y = _epoch_axis(rows), alt.Y("psnr:Q", title="PSNR, dB", scale=alt.Scale(domain=domain, zero=False, nice=False))
    curves = _curve(rows, x, y, colour, ("psnr", ".2f", domain))
    dashed = (
        alt.Chart(alt.Data(values=inputs))
        .mark_line(strokeDash=DASHES[1], strokeWidth=1.3, opacity=0.8)
        .encode(x=x, y=y, color=colour)
    )
    ends = []
    for label in labels:
        of_label = [row for row in rows if row["what"] == label]
        before = [f" (input {row['psnr']:.2f})" for row in inputs if row["what"] == label][:1]
        ends.append(f"{label} {of_label[-1]['psnr']:.2f} dB{''.join(before)}")
    title = f"{recipe}: PSNR by epoch"
    drawn = curves + dashed if inputs else curves
    return Chart(f"repro-psnr-{number}", title, f"At the end: {'; '.join(ends)}.", spec_of(drawn, HEIGHT))


def noisy_psnr(one: Comparison) -> float | None:
    """The noisy test images' mean PSNR, dB."""
    values = {row.metric: row.measured for row in one.rows if row.epoch is None}
    psnr, gain = values.get("psnr"), values.get("psnr_gain")
    return None if psnr is None or gain is None else psnr - gain


def stress_charts(label: str, one: Comparison, number: int) -> list[Chart]:
    """PSNR and SSIM over the steps of the stress sweep: what came in, and what became of it."""
    stress = one.stress
    if stress is None or not stress.steps:
        return []
    psnr = [
        # An exact image has no PSNR that could be drawn.
        (step.psnr, step.psnr_noisy if step.psnr_gain[0] is not None else None)
        for step in stress.steps
    ]
    ssim = [(step.ssim, step.ssim_noisy) for step in stress.steps]
    return [
        _stress_chart(f"repro-stress-psnr-{number}", f"{label}: PSNR under ever worse noise", "PSNR, dB", stress, psnr),
        _stress_chart(f"repro-stress-ssim-{number}", f"{label}: SSIM under ever worse noise", "SSIM", stress, ssim),
    ]


def _stress_chart(
    name: str, title: str, axis: str, stress: Stress, values: Sequence[tuple[Span, float | None]]
) -> Chart:
    import altair as alt

    steps = [step_name(step.levels) for step in stress.steps]
    rows: list[dict[str, Any]] = []
    for index, (step, (span, noisy)) in enumerate(zip(steps, values, strict=True)):
        mean, low, high = span
        rows.append({"step": step, "index": index, "what": DENOISED, "value": mean, "low": low, "high": high})
        if noisy is not None:
            rows.append({"step": step, "index": index, "what": NOISY, "value": noisy, "low": None, "high": None})
    x = alt.X(
        "step:O",
        sort=steps,
        title=None,
        axis=alt.Axis(labelExpr="split(datum.label, ', ')", labelAngle=0, labelFontSize=11),
    )
    y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False))
    names = [DENOISED, NOISY]
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=names, range=["#117733", GREY]),
        legend=alt.Legend(symbolType="stroke", symbolSize=400),
    )
    dash = alt.StrokeDash("what:N", scale=alt.Scale(domain=names, range=[list(DASHES[0]), list(DASHES[1])]))
    tips = [alt.Tooltip("what:N", title="images"), alt.Tooltip("step:N", title="noise"),
            alt.Tooltip("value:Q", title=axis, format=".3f")]  # fmt: skip
    base = alt.Chart(alt.Data(values=rows))
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash, order="index:Q")
    dots = base.mark_point(filled=True, size=36, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips)
    spans = [row for row in rows if row["low"] is not None]
    whiskers = (
        alt.Chart(alt.Data(values=spans))
        .mark_rule(strokeWidth=1.5)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    )
    ends = f"{rows[0]['value']:.2f} at {steps[0]}"
    last = next((row for row in reversed(rows) if row["what"] == DENOISED and row["value"] is not None), None)
    if last:
        ends += f", {last['value']:.2f} at {last['step']}"
    return Chart(name, title, f"Denoised: {ends}.", spec_of(lines + whiskers + dots, HEIGHT))


def step_name(levels: Any) -> str:
    """ "blur 0.5, noise 0.4"."""
    return ", ".join(f"{name} {level:g}" for name, level in levels.items())


def _domain(values: Sequence[float | None]) -> list[float]:
    """Where the curves are: two seeds make bands that would squeeze them, and are cut instead."""
    known = [value for value in values if value is not None]
    margin = 0.12 * (max(known) - min(known)) or 0.05 * abs(known[0]) or 1.0
    return [min(known) - margin, max(known) + margin]


def _legend(longest: int = 10) -> Any:
    """``longest``: characters of a label; long ones stand below each other on a phone."""
    import altair as alt

    # The bands would make the symbols as pale as they are.
    return alt.Legend(symbolType="stroke", symbolSize=400, symbolOpacity=1, columns=max(1, min(4, PHONE // longest)))


def _epoch_axis(rows: Sequence[dict[str, Any]]) -> Any:
    import altair as alt

    whole = sorted({row["epoch"] for row in rows})
    ticks = whole[:: max(-(-len(whole) // MOST_EPOCH_TICKS), 1)]
    axis = alt.Axis(values=ticks, format="d", grid=False)
    return alt.X("epoch:Q", title="epoch", axis=axis, scale=alt.Scale(zero=False, nice=False, padding=6))


def _curve(rows: Sequence[dict[str, Any]], x: Any, y: Any, colour: Any, field: tuple[str, str, list[float]]) -> Any:
    """Lines with dots over bands; ``field``: its name, format and domain."""
    import altair as alt

    name, digits, domain = field

    tips = [alt.Tooltip("what:N", title="curve"), alt.Tooltip("epoch:Q"), alt.Tooltip(f"{name}:Q", format=digits)]
    known = [row for row in rows if row["low"] is not None and row["high"] is not None]
    base = alt.Chart(alt.Data(values=list(rows)))
    band = alt.Chart(alt.Data(values=known)).mark_area(opacity=0.18, clip=True).encode(
        x=x, y=alt.Y("low:Q", scale=alt.Scale(domain=domain, zero=False)), y2="high:Q", color=colour
    )  # fmt: skip
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    dots = base.mark_point(filled=True, size=22).encode(x=x, y=y, color=colour, tooltip=tips)
    return band + lines + dots if known else lines + dots
