"""Networks under noise that they were not trained on: train-noise x test-noise, and the worst case of each.

Gains are PSNR over the noisy input, dB, means over backends; intervals are over training seeds where there are several,
else over test images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from report import text
from report.charts import INK, Chart, spec_of
from report.groups import Metrics, alike, mean, over_seeds
from report.learned import UNKNOWN, Learned, learned, together
from report.naming import CONFIGURATION, TRAINING, configuration_label, describe, natural_key, varying
from report.quality import condition_axes
from report.tables import Cell, Table, shade, split
from results.loading import Run
from results.schema import Record
from results.statistics import Interval

MOST_CHARTS = 8
"""Heat maps drawn; every matrix has a table."""
WIDE = 10
"""With more kinds of noise than this a heat map takes the whole width."""
COLOURS = ("#B35806", "#F7F7F7", "#08519C")
"""Worse than the noisy input, no change, better: told apart with every common kind of colour vision."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Matrix:
    """One network: its gain by (train noise, test noise)."""

    label: str
    gains: dict[Pair, Interval]
    learned: Learned = UNKNOWN
    """Under the noise that it was trained on, whichever that was."""

    @property
    def trained(self) -> list[str]:
        return sorted({train for train, _ in self.gains}, key=natural_key)

    @property
    def tested(self) -> list[str]:
        return sorted({test for _, test in self.gains}, key=natural_key)

    @property
    def foreign(self) -> dict[Pair, Interval]:
        """Gains under noise that is not the one trained on."""
        return {pair: gain for pair, gain in self.gains.items() if pair[0] != pair[1]}

    @property
    def worst(self) -> Pair | None:
        """The pair with the least gain, of those that are foreign."""
        return min(self.foreign, key=lambda pair: (self.foreign[pair].value, pair), default=None)


def matrices(run: Run, distrusted: frozenset[str] = frozenset()) -> list[Matrix]:
    """A matrix for each network whose trials have cross scores, but trials in ``distrusted``; most noises first."""
    trials = [one for one in run.of("trial", "ok") if one.get("cross") and one["id"] not in distrusted]
    if not trials:
        return []
    cells = [record["cell"] for record in trials]
    trained = varying(cells, TRAINING)
    rest = varying(cells, [n for n in condition_axes(cells[0]) if n not in (*trained, "corruption")])
    found = []
    for group in alike(trials, (*CONFIGURATION, *trained, *rest)):
        cell = group[0]["cell"]
        label = ", ".join(filter(None, [configuration_label(cell, trained), describe(cell, rest)]))
        lessons = [learned(trials) for trials in alike(group, ("corruption",))]
        found.append(Matrix(label, _gains(group), together(lessons)))
    return sorted(found, key=lambda one: (-len(one.trained), natural_key(one.label)))


def _gains(group: Iterable[Record]) -> dict[Pair, Interval]:
    seeds: dict[Pair, dict[int, list[Metrics]]] = defaultdict(lambda: defaultdict(list))
    for record in group:
        for entry in record["cross"]:
            pair = record["cell"]["corruption"], entry["corruption"]
            seeds[pair][record["cell"]["seed"]].append(entry["metrics"])
    return {pair: over_seeds(by_seed, "psnr_gain") for pair, by_seed in seeds.items()}


def said(found: Sequence[Matrix]) -> tuple[str, str] | None:
    """(headline, detail) of the worst case of all networks; None where no network met other noise."""
    found = [one for one in found if one.learned.trained]  # what has learned nothing says nothing of other noise
    cases = [(one, one.worst) for one in found if one.worst]
    if not cases:
        return None
    # What is surely harmful counts before what merely looks worse.
    harmful = [(one, pair) for one in found for pair, gain in one.foreign.items() if _harmful(gain)]
    # And what may be harmful before what surely is not: the least mean need not have the widest interval.
    doubtful = [(one, pair) for one in found for pair, gain in one.foreign.items() if gain.known and gain.low <= 0]
    worst, pair = min(harmful or doubtful or cases, key=lambda case: (case[0].gains[case[1]].value, case[1]))
    gain, (train, test) = worst.gains[pair], pair
    who = f"{worst.label} trained on {train}"
    if harmful:
        headline = f"Noise that it was not trained on can make a network harmful: {who} takes {test} images"
        headline += f" {text.decibels(gain)} from what they were"
    elif doubtful:
        headline = f"It is open whether noise that it was not trained on can make a network harmful: {who} changes"
        headline += f" {test} images by {text.decibels(gain)}"
    else:
        headline = f"Every network gains under every noise that it was not trained on, least {who} under {test}: "
        headline += text.decibels(gain)
    parts = []
    own = worst.gains.get((test, test))
    if own:
        parts.append(f"trained on {test} itself it gains {text.decibels(own)}")
    foreign = [gain for one in found for gain in one.foreign.values()]
    parts.append(f"worse than the noisy input in {len(harmful)} of {len(foreign)} pairs of noise trained on and met")
    fair = [case for case in cases if case[0].gains.keys() == worst.gains.keys()]
    if len(fair) > 1:
        best, mild = max(fair, key=lambda case: case[0].gains[case[1]].value)
        parts.append(
            f"the mildest worst case is that of {best.label}, {text.decibels(best.gains[mild])} "
            f"({mild[0]} met {mild[1]})"
        )
    return headline, "; ".join(parts)


def _harmful(gain: Interval) -> bool:
    return gain.high < 0 if gain.known else gain.value < 0


# -- views ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """What the page shows; ``charts`` are of the first matrices."""

    charts: list[Chart]
    worst: Table
    tables: list[Table]


def view(found: Sequence[Matrix]) -> View | None:
    """None where there is nothing to show."""
    if not found:
        return None
    drawn = [one for one in found if len(one.trained) > 1][:MOST_CHARTS]
    charts = [heat_map(one, index) for index, one in enumerate(drawn)]
    return View(charts, worst_table(found), [matrix_table(one) for one in found])


def worst_table(found: Sequence[Matrix]) -> Table:
    """The worst case of every network, the mildest first."""
    rows = []
    cases = [(one, one.worst) for one in found if one.worst]

    def order(case: tuple[Matrix, Pair]) -> tuple[bool, float, str]:
        return not case[0].learned.trained, -case[0].gains[case[1]].value, case[0].label

    for one, (train, test) in sorted(cases, key=order):
        gain, own = one.gains[train, test], one.gains.get((test, test))
        foreign = list(one.foreign.values())
        rows.append(
            [
                Cell(one.label, one.learned.word or "" if not one.learned.trained else "", kind="name"),
                Cell(train),
                Cell(test),
                Cell(*split(text.decibels(gain)), kind="bad" if _harmful(gain) else ""),
                Cell(*split(text.decibels(own))) if own else Cell("–"),
                Cell(f"{text.signed(mean([each.value for each in foreign]))} dB"),
                Cell(f"{sum(map(_harmful, foreign))} of {len(foreign)}"),
            ]
        )
    columns = ["network", "trained on", "met", "gain", "trained on what it met", "mean gain, other noise", "harmed"]
    return Table("The worst case of every network", columns, rows, frozenset((3, 4, 5, 6)))


def matrix_table(one: Matrix) -> Table:
    """A row for each noise trained on, a column for each noise met."""
    top = max(gain.value for gain in one.gains.values())
    rows = []
    for train in one.trained:
        row = [Cell(train, kind="name")]
        for test in one.tested:
            gain = one.gains.get((train, test))
            if gain is None:
                row.append(Cell("", kind="absent"))
                continue
            note = f"±{text.fixed((gain.high - gain.low) / 2)}" if gain.known else ""
            kind = "heat best" if train == test else "heat"
            row.append(Cell(text.signed(gain.value), note, kind, shade(gain.value, top)))
        rows.append(row)
    columns = ["trained on", *one.tested]
    caption = f"{one.label}: gain in PSNR by noise trained on (rows) and met (columns), dB; outlined: the same noise"
    return Table(caption, columns, rows, frozenset(range(1, len(columns))))


def _is_dark(share: float) -> bool:
    """Whether white is read better than black on the colour of a gain that is this share of the largest."""
    ends = [[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in COLOURS]
    end, middle = ends[2 if share > 0 else 0], ends[1]
    mixed = [m + abs(share) * (e - m) for e, m in zip(end, middle, strict=True)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in mixed)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (1.05 / (luminance + 0.05)) > ((luminance + 0.05) / 0.05)  # contrast ratios of WCAG 2.1


def heat_map(one: Matrix, number: int) -> Chart:
    """The matrix in colours, with its numbers."""
    import altair as alt

    most = max(abs(gain.value) for gain in one.gains.values()) or 1.0
    rows = [
        {
            "train": train,
            "test": test,
            "gain": round(gain.value, 3),
            "label": text.signed(gain.value, 1),
            "interval": text.decibels(gain),
            "dark": _is_dark(gain.value / most),
            "own": train == test,
        }
        for (train, test), gain in sorted(one.gains.items())
    ]
    wide = len(one.tested) > WIDE
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("test:N", sort=one.tested, title="noise met",
                axis=alt.Axis(labelAngle=-40, orient="bottom", domain=False, ticks=False, labelPadding=6)),
        y=alt.Y("train:N", sort=one.trained, title="noise trained on",
                axis=alt.Axis(domain=False, ticks=False, labelPadding=6)),
        tooltip=[alt.Tooltip("train:N", title="trained on"), alt.Tooltip("test:N", title="met"),
                 alt.Tooltip("interval:N", title="gain")],
    )  # fmt: skip
    scale = alt.Scale(domain=[-most, 0, most], range=list(COLOURS), interpolate="rgb")
    cells = base.mark_rect(stroke="#ffffff", strokeWidth=1).encode(color=alt.Color("gain:Q", scale=scale, legend=None))
    own = (
        base.transform_filter("datum.own")
        .mark_rect(fillOpacity=0, stroke="#D98C00", strokeWidth=2)
        .encode(color=alt.value("transparent"))
    )
    numbers = base.mark_text(fontSize=10 if wide else 12).encode(
        text="label:N", color=alt.condition("datum.dark", alt.value("#ffffff"), alt.value(INK))
    )
    summary = "Gain in PSNR, dB. " + "; ".join(
        f"trained on {row['train']}, met {row['test']}: {row['interval']}" for row in rows if not wide or row["own"]
    )
    height = (26 if wide else 38) * len(one.trained)
    return Chart(f"robustness-{number}", one.label, summary, spec_of(cells + own + numbers, height), wide=wide)
