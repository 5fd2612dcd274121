"""Learning curves, with the levels between which they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from report.charts import DASHES, GREY, MOST_EPOCH_TICKS, Chart, backend_colour, spec_of
from report.tradeoff import Panel


def curve_chart(panel: Panel, number: int, by: str) -> Chart:
    """Learning curves of one panel; ``by``: "epochs" or "seconds"."""
    import altair as alt

    curves = list(panel.curves) if by == "epochs" else panel.on_one_clock()
    rows = [
        {"who": curve.who, "x": x, "psnr": round(psnr, 4)}
        for curve in curves
        for x, psnr in zip(getattr(curve, by), curve.psnr, strict=True)
    ]
    # All names in both panels, so that a backend looks alike in both.
    names = [curve.who for curve in panel.curves]
    colours = [backend_colour(curve.backend) for curve in panel.curves]
    dashes = [list(DASHES[index % len(DASHES)]) for index in range(len(names))]
    title = "epoch" if by == "epochs" else "seconds" + (", cold costs included" if panel.measured else "")
    whole = sorted({row["x"] for row in rows})
    ticks = whole[:: max(-(-len(whole) // MOST_EPOCH_TICKS), 1)]
    axis = alt.Axis(values=ticks, format="d", grid=False) if by == "epochs" else alt.Axis(grid=False, tickCount=6)
    x = alt.X("x:Q", title=title, axis=axis, scale=alt.Scale(zero=by != "epochs", nice=by != "epochs"))
    y = alt.Y("psnr:Q", title="PSNR, dB", scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=x,
        y=y,
        color=alt.Color(
            "who:N",
            scale=alt.Scale(domain=names, range=colours),
            legend=alt.Legend(symbolType="stroke", symbolSize=400),
        ),
    )
    tips = [alt.Tooltip("who:N", title="backend"), alt.Tooltip("x:Q", title=by[:-1], format=".4~g"),
            alt.Tooltip("psnr:Q", title="PSNR, dB", format=".2f")]  # fmt: skip
    lines = base.mark_line(strokeWidth=2).encode(
        strokeDash=alt.StrokeDash("who:N", scale=alt.Scale(domain=names, range=dashes))
    )
    dots = base.mark_point(filled=True, size=26).encode(tooltip=tips)
    ends = "; ".join(f"{curve.who} {curve.psnr[-1]:.2f} dB after {curve.seconds[-1]:.3g} s" for curve in curves)
    levels = {"noisy input": panel.noisy, "mean training image": panel.mean_image}
    # Records have them of the test images, where the same network may score a little otherwise.
    where = "" if panel.images == "test images" else " (test images)"
    known = [{"what": f"{name}{where}", "psnr": round(level, 4)} for name, level in levels.items() if level is not None]
    said = ", ".join(f"{name} {level:.2f} dB" for name, level in levels.items() if level is not None)
    summary = f"At the end: {ends}; {said}."
    layers = _levels(known).encode(y=y) + lines + dots
    return Chart(f"curve-{by}-{number}", panel.title, summary, spec_of(layers, 230))


def _levels(known: Sequence[dict[str, Any]]) -> Any:
    """Lines across a panel of learning curves, with their names at its left end."""
    import altair as alt

    base = alt.Chart(alt.Data(values=list(known)))
    names = base.mark_text(align="left", baseline="bottom", dx=3, dy=-2, fontSize=11, color=GREY).encode(
        x=alt.value(0), text="what:N"
    )
    tips = [alt.Tooltip("what:N", title="level"), alt.Tooltip("psnr:Q", title="PSNR, dB", format=".2f")]
    rules = base.mark_rule(color=GREY, strokeDash=[2, 3], strokeWidth=1.5).encode(tooltip=tips)
    return alt.layer(rules, names)
