"""Tables: what the charts show and more, readable without JavaScript.  Cells are plain text; the template escapes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from report import text
from report.certification import worst_ratio
from report.learned import Learned, learned
from report.naming import CONFIGURATION, backend_key, describe
from report.speed import RATE
from report.tradeoff import Point
from results.loading import Run
from results.schema import Record

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


def lesson_cell(found: Learned, closing: str = "") -> Cell:
    """The word, and below it the slope and how much more training would close the gap to the first."""
    if found.word is None:
        return Cell("–")
    note = ", ".join(filter(None, [found.some, found.slope]))
    if closing:
        note += f"; {closing} the training to close the gap"
    return Cell(found.word, note, "" if found.trained else "bad")


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
                lesson_cell(learned([record])) if status == "ok" and record["kind"] == "trial" else Cell("–"),
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
