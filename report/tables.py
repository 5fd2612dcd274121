"""Tables: what the charts show and more, readable without JavaScript.  Cells are plain text; the template escapes."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from report import text
from report.certification import worst_ratio
from report.learned import UNKNOWN, Learned, Rival, catching_up, learned
from report.naming import CONFIGURATION, LOSS_NAMES, backend_key, describe
from report.quality import Quality, Standing, difference, gap
from report.speed import RATE
from report.tradeoff import Point
from results.loading import Run
from results.schema import Record
from results.statistics import Interval

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
NO_BACKEND = "–"
"""Who computes a yardstick: nobody that is compared."""
STDERR_KEPT = 1500
"""Characters of a stderr that the report repeats; the record has more."""
HEAT = ((247, 250, 253), (8, 81, 156))
"""From no gain to the largest one."""
LOSS_OF_QUALITY = (253, 224, 204)
"""Worse than the noisy input."""


@dataclass(frozen=True)
class Cell:
    """``note`` stands small below the text, ``kind`` is a CSS class, ``style`` only ever a colour made here."""

    text: str
    note: str = ""
    kind: str = ""
    style: str = ""


@dataclass(frozen=True)
class Table:
    """``numeric``: columns set flush right."""

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    numeric: frozenset[int] = frozenset()
    kinds: list[str] = field(default_factory=list)
    """A CSS class by row, if any."""


def without_empty(table: Table, optional: Collection[str]) -> Table:
    """``table`` less those of the ``optional`` columns that say nothing in any row."""
    kept = [
        index
        for index, title in enumerate(table.columns)
        if title not in optional or any(row[index].text != "–" for row in table.rows)
    ]
    return replace(
        table,
        columns=[table.columns[index] for index in kept],
        rows=[[row[index] for index in kept] for row in table.rows],
        numeric=frozenset(place for place, index in enumerate(kept) if index in table.numeric),
    )


def printable(value: object) -> str:
    """Text of a record without terminal colours and control characters."""
    return _CONTROL.sub("", _ANSI.sub("", str(value)))


def quality_table(found: Quality) -> Table:
    """Gain in PSNR: a row for each corruption, a column for each configuration, shaded by value."""
    top = max((score.gain for score in found.scores.values()), default=1.0)
    seeded = any(len(score.by_seed) > 1 for score in found.scores.values())
    rows = []
    for condition, label in found.conditions.items():
        scores = [found.scores.get((condition, configuration)) for configuration in found.configurations]
        present = [score for score in scores if score is not None]
        lessons = [found.learned.get((condition, configuration), UNKNOWN) for configuration in found.configurations]
        ranked = [score for score, one in zip(scores, lessons, strict=True) if score is not None and one.trained]
        best = max(ranked, key=lambda score: score.gain, default=None)
        noisy = sum(score.noisy for score in present) / len(present)
        row = [Cell(label, kind="name"), Cell(text.fixed(noisy))]
        for score, lesson in zip(scores, lessons, strict=True):
            if score is None:
                row.append(Cell("", kind="absent"))
                continue
            interval = score.interval
            note = f"±{text.fixed((interval.high - interval.low) / 2)}" if interval.known else ""
            # An interval over images is another thing than one over seeds: it says so where both stand in a table.
            note += " (images)" if note and seeded and len(score.by_seed) == 1 else ""
            if best is None or not lesson.trained:
                said = ", ".join(filter(None, [str(lesson.word), lesson.some]))
                row.append(Cell(text.signed(score.gain), said, "heat unlearned"))
                continue
            if lesson.unfinished and lesson.rising:
                note = ", ".join(filter(None, [note, f"↗\u00a0{text.fixed(lesson.rising.value)}"]))
            tied = score is best or gap(best, score).includes(0.0)
            kind = "heat best" if tied and len(ranked) > 1 else "heat"
            row.append(Cell(text.signed(score.gain), note, kind, shade(score.gain, top)))
        rows.append(row)
    columns = ["corruption", "noisy, dB", *(_header(found.configuration_axes, key) for key in found.configurations)]
    caption = (
        "Gain in PSNR over the noisy input, dB; outlined: the best of a row and what can not be told apart from it"
    )
    if any(one.unfinished for one in found.learned.values()):
        caption += "; ↗: unfinished, with the dB that its validation PSNR still rises per doubling of its training"
    if not all(one.trained for one in found.learned.values()):
        caption += "; hatched: no better than the mean training image (untrained, or collapsed: no longer learning)"
    return Table(
        caption,
        columns,
        rows,
        frozenset(range(1, len(columns))),
    )


def _header(names: Sequence[str], configuration: tuple[Any, ...]) -> str:
    """Breaks between its parts alone."""
    axes = dict(zip(names, configuration, strict=True))
    return ", ".join(describe(axes, (name,)).replace(" ", "\u00a0") for name in names)


def standings_table(found: Quality) -> Table:
    """Configurations by mean gain, with SSIM; what seeds and what test images leave open, apart from each other."""
    standings, shared = found.standings()
    rows = []
    for standing in standings:
        ssims = [found.scores[condition, standing.configuration].ssim for condition in shared]
        known = [value for value in ssims if value is not None]
        architecture, latent, loss = standing.configuration[: len(CONFIGURATION)]
        axes = dict(zip(found.configuration_axes, standing.configuration, strict=True))
        rows.append(
            [
                Cell(str(architecture), describe(axes, found.configuration_axes[len(CONFIGURATION) :]), kind="name"),
                Cell("none" if latent is None else f"{latent}"),
                Cell(LOSS_NAMES.get(loss, str(loss))),
                Cell(f"{text.signed(standing.gain.value)} dB"),
                Cell(_half(standing.gain), f"{len(standing.by_seed)} seeds")
                if len(standing.by_seed) > 1
                else Cell("one seed"),
                Cell(f"±{text.fixed(standing.half)}" if math.isfinite(standing.half) else "–"),
                Cell(text.fixed(sum(known) / len(known), 3) if known else "–"),
                _lesson(standing.learned, _to_close(standings[0], standing)),
            ]
        )
    columns = ["architecture", "latent", "loss", "gain in PSNR", "over seeds", "over images", "SSIM", "learned"]
    over = found.over(shared)
    caption = f"Mean over {over} that all of these were trained on" if len(shared) > 1 else f"All of these under {over}"
    if any(one.learned.tested and one.learned.word for one in standings):
        caption += "; what was learned is said from the curve on test images, as older records have it"
    kinds = [_place(standings[0], one) for one in standings]
    return without_empty(Table(caption, columns, rows, frozenset((1, 3, 4, 5, 6)), kinds), ("learned",))


def _place(first: Standing, one: Standing) -> str:
    """The CSS class of its row."""
    if not one.learned.trained:
        return "unranked"
    return "leader" if difference(first, one).includes(0.0) else ""


def _to_close(first: Standing, one: Standing) -> str:
    """How much more training would bring it to the first, where it might come there."""
    if one is first or not one.learned.trained:
        return ""
    return catching_up(Rival(one.label, one.learned, difference(first, one)))


def _lesson(found: Learned, closing: str = "") -> Cell:
    """The word, and below it the slope and how much more training would close the gap to the first."""
    if found.word is None:
        return Cell("–")
    note = ", ".join(filter(None, [found.some, found.slope]))
    if closing:
        note += f"; {closing} the training to close the gap"
    return Cell(found.word, note, "" if found.trained else "bad")


def _half(interval: Interval) -> str:
    return f"±{text.fixed((interval.high - interval.low) / 2)}"


def agreement_table(found: Quality) -> Table:
    """PSNR of one backend minus that of another, over equal trials."""
    rows = [
        [
            Cell(f"{one.a}", f"minus {one.b}", kind="name"),
            Cell(*split(text.decibels(one.difference))),
            Cell(f"{text.signed(one.largest, 3)} dB"),
            Cell(str(one.count)),
        ]
        for one in found.agreements
    ]
    columns = ["backends", "mean", "largest single", "trials"]
    caption = "Difference in PSNR between equal trials of two backends"
    if not all(one.one_precision for one in found.agreements):
        caption += ", or of one in two precisions"
    return Table(caption, columns, rows, frozenset((1, 2, 3)))


def frontier_table(points: Sequence[Point]) -> Table:
    rows = [
        [
            Cell(point.who, kind="name"),
            Cell(point.network),
            Cell(text.significant(point.rate)),
            Cell(f"{text.signed(point.gain)} dB"),
            Cell("yes" if point.best else ""),
            Cell(point.learned or "–", kind="" if point.trained else "bad"),
        ]
        for point in points
    ]
    columns = ["contestant", "network", "training, images/s", "gain", "on the frontier", "learned"]
    kinds = ["leader" if point.best else "" if point.trained else "unranked" for point in points]
    table = Table("Speed against quality", columns, rows, frozenset((2, 3)), kinds)
    return without_empty(table, ("learned",))


def status_table(records: Iterable[Record]) -> Table:
    """Every cell, those that are not ok first."""
    ordered = sorted(enumerate(records), key=lambda item: (item[1]["status"] == "ok", item[0]))
    rows, kinds = [], []
    for _, record in ordered:
        cell, status = record["cell"], record["status"]
        rows.append(
            [
                Cell(record["kind"]),
                Cell(_who(cell), kind="name"),
                Cell(_network(cell)),
                Cell(_point(cell)),
                Cell(status.replace("_", " "), kind="good" if status == "ok" else "bad"),
                Cell(_headline(record), kind="reason"),
                _lesson(learned([record])) if status == "ok" and record["kind"] == "trial" else Cell("–"),
                Cell(text.seconds(record["seconds"])),
            ]
        )
        kinds.append("" if status == "ok" else "unranked")
    columns = ["kind", "backend, track", "network", "setting", "status", "figure or reason", "learned", "took"]
    return without_empty(Table("Every cell", columns, rows, frozenset((7,)), kinds), ("learned",))


def missing_table(run: Run) -> Table:
    """What came to no figure, by kind, status and reason, with how many cells and whose."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in run.current:
        if record["status"] != "ok":
            key = (record["kind"], record["status"], printable(record["reason"]))
            groups.setdefault(key, []).append(record)
    rows = []
    for (kind, status, reason), records in sorted(groups.items()):
        names = sorted({record["cell"].get("backend", NO_BACKEND) for record in records}, key=backend_key)
        rows.append(
            [
                Cell(kind),
                Cell(status.replace("_", " "), kind="bad"),
                Cell(reason, kind="reason"),
                Cell(", ".join(names)),
                Cell(str(len(records))),
            ]
        )
    return Table("Cells without a figure", ["kind", "status", "reason", "backends", "cells"], rows, frozenset((4,)))


def stale_table(records: Iterable[Record]) -> Table:
    rows = [
        [
            Cell(record["kind"]),
            Cell(_who(record["cell"]), kind="name"),
            Cell(_network(record["cell"])),
            Cell(_point(record["cell"])),
            Cell(record["status"].replace("_", " ")),
            Cell(printable(record["started"])),
            Cell(record["fingerprint"], kind="code"),
        ]
        for record in records
    ]
    columns = ["kind", "backend, track", "network", "setting", "status", "started", "fingerprint"]
    return Table("Replaced by a later record; used nowhere above", columns, rows)


def errors(run: Run) -> list[tuple[str, str]]:
    """(who and what, the end of its stderr) of cells that left one; equal texts once."""
    found: dict[str, str] = {}
    for record in run.current:
        if record["status"] != "ok" and record.get("stderr"):
            cell = record["cell"]
            title = f"{record['kind']}: {_who(cell)}, {_network(cell)}"
            found.setdefault(printable(record["stderr"]).strip()[-STDERR_KEPT:], title)
    return [(title, body) for body, title in found.items() if body]


def _who(cell: dict[str, Any]) -> str:
    if "backend" not in cell:
        return NO_BACKEND
    own = "" if cell["defaults"] == "matched" else f", {cell['defaults']} defaults"
    return f"{cell['backend']} {cell['track']}{own}"


def _network(cell: dict[str, Any]) -> str:
    """What it is about: a network, or for yardsticks a method and its rank."""
    if "method" not in cell:
        return describe(cell, CONFIGURATION)
    return str(cell["method"]) if cell["rank"] is None else f"{cell['method']}, rank {cell['rank']}"


def _point(cell: dict[str, Any]) -> str:
    if "method" in cell:
        return f"{cell['dataset']}, {cell['corruption']}, {describe(cell, ('seed',))}"
    if "corruption" in cell:
        return f"{cell['dataset']}, {cell['corruption']}, {describe(cell, ('epochs', 'seed'))}"
    return describe(cell, ("optimizer", "batch_size", "precision"))


def _headline(record: Record) -> str:
    if record["status"] != "ok":
        return printable(record["reason"])
    metrics = record.get("metrics", {})
    if record["kind"] in ("trial", "yardstick"):
        return f"{text.fixed(metrics['psnr'])} dB, {text.signed(metrics['psnr_gain'])} over the noisy input"
    if record["kind"] == "timing":
        return f"{text.significant(metrics[RATE])} images/s"
    ratio = worst_ratio(record)
    return f"worst {text.significant(ratio, 2)} of its tolerance" if ratio is not None else ""


def split(value: str) -> tuple[str, str]:
    """The figure, and its interval to stand below it."""
    figure, bracket, rest = value.partition(" [")
    return figure, f"[{rest}" if bracket else ""


def shade(gain: float, top: float) -> str:
    """The colours of a cell with this gain, where ``top`` is the largest one."""
    if gain <= 0:
        red, green, blue = LOSS_OF_QUALITY
        return f"background:rgb({red},{green},{blue});color:#1d2430"
    share = min(gain / top, 1.0) if top > 0 else 0.0
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(*HEAT, strict=True))
    ink = max(("#ffffff", "#1d2430"), key=lambda ink: _contrast(ink, (red, green, blue)))
    return f"background:rgb({red},{green},{blue});color:{ink}"


def _contrast(ink: str, paper: Sequence[int]) -> float:
    """Contrast ratio of WCAG 2 between a colour "#rrggbb" and an (r, g, b)."""
    lights = sorted((_luminance([int(ink[i : i + 2], 16) for i in (1, 3, 5)]), _luminance(paper)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour: Sequence[int]) -> float:
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
