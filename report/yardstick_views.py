"""The yardsticks' tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from report import text
from report.charts import GREY, INK, Chart, network_channels, spec_of
from report.free import short
from report.naming import LOSS_NAMES, describe
from report.tables import Cell, Table, split
from report.yardsticks import BETTER, WORSE, Rival, Worth
from results.yardsticks import FREE

MOST_CHARTS = 6
"""Charts shown: one for each kind of images, those with most sizes of code first."""
_KINDS = {BETTER: "good", WORSE: "bad"}
LINE, NETWORKS = "best linear denoiser of this rank", "network"


def free_table(worths: Sequence[Worth]) -> Table:
    """A row for each kind of images: what is reached by what costs nothing, and by the best of the networks."""
    groups: dict[tuple[str, str], list[Worth]] = {}
    for one in worths:
        if one.scored:
            groups.setdefault((one.data, one.corruption), []).append(one)
    names = [name for name in FREE if any(rival.name == name for one in worths for rival in one.free)]
    rows = []
    for (data, corruption), group in groups.items():
        best = max(group, key=lambda one: one.psnr)
        reached = {rival.name: rival for rival in best.free}
        row = [Cell(data, corruption, kind="name")]
        row += [
            Cell(text.fixed(reached[name].psnr), "best of these" if name == best.best_free.name else "")
            if name in reached
            else Cell("–")
            for name in names
        ]
        row += [Cell(text.fixed(best.psnr), best.network), *_lead(best.best_free)]
        behind = sum(not one.best_free.beaten for one in group)
        rows.append([*row, Cell(f"{behind} of {len(group)}", kind="bad" if behind else "good")])
    columns = ["data", *(f"{short(name)}, dB" for name in names), "best network, dB", "over the best of these",
               "verdict", "networks that do not beat it"]  # fmt: skip
    caption = "What costs nothing: PSNR, and the lead of the best network, paired by image"
    return Table(caption, columns, rows, frozenset(range(1, len(names) + 3)) | {len(names) + 4})


def worth_table(worths: Sequence[Worth]) -> Table:
    """A row for each network and corruption: what it reaches, what the yardsticks reach, and who is better; of those
    that a sweep has to ask for only where it did."""
    shown = [one for one in worths if one.scored]
    asked = any(one.classical or one.linear for one in shown)
    rows = []
    for one in shown:
        row = [
            Cell(one.data, one.corruption, kind="name"),
            Cell(str(one.cell["architecture"]), one.trained),
            Cell("none" if one.cell["latent"] is None else str(one.cell["latent"])),
            Cell(LOSS_NAMES.get(one.cell["loss"], str(one.cell["loss"]))),
            Cell(text.fixed(one.noisy)),
            _figure(one.best_free, short(one.best_free.name)),
        ]
        if asked:
            row += [
                _figure(one.classical, one.classical.name if one.classical else ""),
                _figure(one.linear, f"rank {one.rank}"),
            ]
        row.append(Cell(text.fixed(one.psnr), text.count(one.seeds, "seed") if one.seeds > 1 else ""))
        for rival in (one.best_free, *((one.classical, one.linear) if asked else ())):
            row += _lead(rival)
        rows.append(row)
    columns = ["data", "network", "latent", "loss", "noisy, dB", "best that costs nothing, dB"]
    columns += ["best classical, dB", "linear optimum, dB"] if asked else []
    columns += ["network, dB", "over what costs nothing", "verdict"]
    columns += ["over classical", "verdict", "over linear", "verdict"] if asked else []
    figures = (2, 4, 5, 6, 7, 8, 9, 11, 13) if asked else (2, 4, 5, 6, 7)
    caption = "What the networks are worth: PSNR, and the network's lead over each yardstick, paired by image"
    return Table(caption, columns, rows, frozenset(figures))


def _lead(rival: Rival | None) -> list[Cell]:
    """The network's lead over ``rival``, and what is to be thought of it."""
    if rival is None:
        return [Cell("–"), Cell("not scored")]
    return [Cell(*split(text.decibels(rival.gain))), Cell(rival.verdict, kind=_KINDS.get(rival.verdict, ""))]


def _figure(rival: Rival | None, note: str) -> Cell:
    return Cell("–", note) if rival is None else Cell(text.fixed(rival.psnr), note)


def worth_charts(worths: Sequence[Worth]) -> list[Chart]:
    """PSNR against the size of the code, a chart for each kind of images that a sweep asked for yardsticks of."""
    groups: dict[str, list[Worth]] = {}
    for one in worths:
        if one.cell["latent"] is not None and (one.linear or one.classical):
            groups.setdefault(one.images, []).append(one)
    wide = sorted(groups.items(), key=lambda item: -len({one.cell["latent"] for one in item[1]}))
    return [_chart(name, group, index) for index, (name, group) in enumerate(wide[:MOST_CHARTS])]


def _chart(images: str, group: Sequence[Worth], number: int) -> Chart:
    """The linear optimum as a line, networks as points, the noisy input and the best classical denoiser as rules."""
    import altair as alt

    points = [
        {
            "latent": one.cell["latent"],
            "psnr": round(one.psnr, 4),
            "architecture": one.cell["architecture"],
            "loss": LOSS_NAMES.get(one.cell["loss"], str(one.cell["loss"])),
            "network": describe(one.cell, ("architecture", "latent", "loss")),
            "linear": text.decibels(one.linear.gain) if one.linear else "–",
            "classical": text.decibels(one.classical.gain) if one.classical else "–",
        }
        for one in group
    ]
    line = sorted({one.rank: one.linear.psnr for one in group if one.linear}.items())
    best = max((one.classical for one in group if one.classical), key=lambda rival: rival.psnr, default=None)
    rules = [{"psnr": group[0].noisy, "label": "noisy input"}]
    rules += [{"psnr": best.psnr, "label": f"best classical: {best.name}"}] if best else []
    sizes = sorted({row["latent"] for row in points})
    architectures = sorted({row["architecture"] for row in points})
    x = alt.X("latent:Q", title="numbers in the code, rank of the linear denoiser",
              scale=alt.Scale(type="log", base=2, domain=[sizes[0] / 1.15, sizes[-1] * 1.15], nice=False),
              axis=alt.Axis(values=sizes, grid=False, format="d"))  # fmt: skip
    y = alt.Y("psnr:Q", title="PSNR, dB", scale=alt.Scale(zero=False))
    floor = alt.Chart(alt.Data(values=rules)).mark_rule(color=GREY, strokeDash=[5, 4], strokeWidth=1.5).encode(y=y)
    names = (
        alt.Chart(alt.Data(values=rules))
        .mark_text(align="left", baseline="bottom", dx=4, dy=-3, fontSize=12, color=INK)
        .encode(y=y, x=alt.value(0), text="label:N")
    )
    linear = (
        alt.Chart(alt.Data(values=[{"latent": rank, "psnr": psnr, "name": LINE} for rank, psnr in line]))
        .mark_line(color=INK, strokeWidth=2, point=alt.OverlayMarkDef(color=INK, size=22))
        .encode(x=x, y=y, tooltip=["name:N", alt.Tooltip("latent:Q", title="rank"),
                                   alt.Tooltip("psnr:Q", title="PSNR, dB", format=".2f")])
    )  # fmt: skip
    dots = (
        alt.Chart(alt.Data(values=points))
        .mark_point(filled=True, size=80, opacity=0.9)
        .encode(
            x=x,
            y=y,
            **network_channels(architectures),
            tooltip=["network:N", alt.Tooltip("psnr:Q", title="PSNR, dB", format=".2f"),
                     alt.Tooltip("linear:N", title="over the linear optimum"),
                     alt.Tooltip("classical:N", title="over the best classical")],
        )
    )  # fmt: skip
    said = "; ".join(f"{row['network']} {row['psnr']:.2f} dB" for row in points)
    summary = (
        f"Black line: the {LINE}, {', '.join(f'{psnr:.2f} dB at {rank}' for rank, psnr in line)}. Networks: {said}."
    )
    summary += "".join(f" {rule['label']} {rule['psnr']:.2f} dB." for rule in rules)
    shown: Any = floor + linear + dots + names if line else floor + dots + names
    return Chart(f"worth-{number}", images, summary, spec_of(shown, 280))
