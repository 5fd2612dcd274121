"""Tables: what the charts show and more, readable without JavaScript.  Cells are plain text; the template escapes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from report import text
from report.certification import Certification, worst_ratio
from report.naming import CONFIGURATION, backend_key, describe, varying
from report.speed import RATE
from report.tradeoff import Point
from results.coarseness import as_exact, is_reduced
from results.loading import Run
from results.schema import Record

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
AUDIT = "synchronisation"
"""The check of a certificate that is no comparison of numbers."""
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


def frontier_table(points: Sequence[Point]) -> Table:
    rows = [
        [
            Cell(point.who, kind="name"),
            Cell(point.network),
            Cell(text.significant(point.rate)),
            Cell(f"{text.signed(point.gain)} dB"),
            Cell("yes" if point.best else ""),
        ]
        for point in points
    ]
    columns = ["contestant", "network", "training, images/s", "gain", "on the frontier"]
    kinds = ["leader" if point.best else "" for point in points]
    return Table("Speed against quality", columns, rows, frozenset((2, 3)), kinds)


def certificate_table(proof: Certification) -> Table:
    """A row for each backend and track, a column for each architecture: how many hold, and the worst ratio."""
    names = sorted({record["cell"]["architecture"] for record in proof.records})
    groups: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for record in proof.records:
        cell = record["cell"]
        # By themselves, for they prove less than the others.
        track = f"{cell['track']}, {cell['precision']}" if is_reduced(record) else cell["track"]
        groups.setdefault((cell["backend"], track), {}).setdefault(cell["architecture"], []).append(record)
    rows = []
    for (backend, track), by_name in sorted(groups.items(), key=lambda item: (backend_key(item[0][0]), item[0][1])):
        row = [Cell(backend, track, kind="name")]
        for name in names:
            row.append(_certificate_cell(by_name.get(name, [])))
        rows.append(row)
    return Table("Certificates that hold, and their largest deviation / tolerance", ["backend, track", *names], rows)


def _certificate_cell(records: Sequence[Record]) -> Cell:
    if not records:
        return Cell("", kind="absent")
    held = [record for record in records if record["status"] == "ok"]
    ratios = [ratio for record in records if (ratio := worst_ratio(record)) is not None]
    worst = f"worst {text.significant(max(ratios), 2)}×" if ratios else ""
    others = sorted({record["status"].replace("_", " ") for record in records} - {"ok"})
    mark = "✓" if len(held) == len(records) else "✗"
    note = ", ".join(filter(None, [worst, *others, *(["as exact as float32"] if as_exact(records) else [])]))
    return Cell(f"{mark} {len(held)} of {len(records)}", note, "good" if mark == "✓" else "bad")


def synchronisation_table(proof: Certification) -> Table:
    """The synchronisation audit: the worst figures of each backend, track and device; no rows where none was made."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in proof.records:
        cell = record["cell"]
        if any(name.startswith("sync_") for name in record.get("metrics", {})):
            groups.setdefault((cell["backend"], cell["track"], cell["device"]), []).append(record)
    rows = []
    for (backend, track, device), records in sorted(
        groups.items(), key=lambda item: (backend_key(item[0][0]), item[0])
    ):
        audited = [check for record in records for check in record.get("checks", []) if check["quantity"] == AUDIT]
        ok = all(check["ok"] for check in audited)
        row = [Cell(backend, f"{track}, {device}", kind="name")]
        row.append(Cell("✓ waits" if ok else "✗ does not wait", kind="good" if ok else "bad"))
        for verb in ("train", "inference"):
            ratio = _furthest(records, f"sync_{verb}_ratio", 2.0)
            residual = _furthest(records, f"sync_{verb}_residual", 0.0)
            returned = _furthest(records, f"sync_{verb}_returned", 1.0)
            row.append(Cell(text.fixed(ratio) if ratio is not None else "–"))
            row += [Cell(f"{100 * share:.1f} %" if share is not None else "–") for share in (residual, returned)]
        rows.append(row)
    columns = ["backend, track", "synchronize()"]
    columns += [
        f"{what}: {title}" for what in ("training", "inference") for title in ("2n / n", "left after", "done without")
    ]
    return Table("Synchronisation audit, the worst of all certificates", columns, rows, frozenset(range(2, 8)))


def _furthest(records: Sequence[Record], name: str, ideal: float) -> float | None:
    """Of a metric, the value that is furthest from what it should be."""
    values = [float(record["metrics"][name]) for record in records if name in record.get("metrics", {})]
    return max(values, key=lambda value: abs(value - ideal)) if values else None


def departure_table(proof: Certification) -> Table:
    """The failures: what departs first, where, and by how much."""
    rows = []
    for departure in proof.departures():
        cell = departure.record["cell"]
        times = departure.times
        rows.append(
            [
                Cell(f"{cell['backend']} {cell['track']}", kind="name"),
                Cell(describe(cell, (*CONFIGURATION, "optimizer", "precision"))),
                Cell(departure.quantity),
                Cell(departure.tensor or "–", kind="code"),
                Cell(_scientific(departure.deviation)),
                Cell(_scientific(departure.tolerance)),
                Cell(f"{text.significant(times)}×" if times is not None else "not finite"),
            ]
        )
    columns = ["contestant", "specification", "first departs at", "tensor", "deviation", "tolerance", "ratio"]
    return Table("Where a certificate fails", columns, rows, frozenset((4, 5, 6)))


def checks_table(proof: Certification) -> Table:
    """Every certificate with the deviation of every quantity."""
    quantities = list(
        dict.fromkeys(check["quantity"] for record in proof.records for check in record.get("checks", []))
    )
    differing = varying((record["cell"] for record in proof.records), ("optimizer", "precision", "device", "height"))
    rows = []
    for record in proof.records:
        cell = record["cell"]
        checks = {check["quantity"]: check for check in record.get("checks", [])}
        row = [
            Cell(f"{cell['backend']} {cell['track']}", kind="name"),
            Cell(describe(cell, (*CONFIGURATION, *differing))),
            Cell(record["status"].replace("_", " "), kind="good" if record["status"] == "ok" else "bad"),
        ]
        for name in quantities:
            check = checks.get(name)
            if check is None:
                row.append(Cell("–"))
            else:
                note = f"of {_scientific(check['tolerance'])}"
                row.append(Cell(_scientific(check["deviation"]), note, "" if check["ok"] else "bad"))
        rows.append(row)
    columns = ["contestant", "specification", "status", *quantities]
    return Table("Deviation and tolerance", columns, rows, frozenset(range(3, len(columns))))


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
                Cell(text.seconds(record["seconds"])),
            ]
        )
        kinds.append("" if status == "ok" else "unranked")
    columns = ["kind", "backend, track", "network", "setting", "status", "figure or reason", "took"]
    return Table("Every cell", columns, rows, frozenset((6,)), kinds)


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


def _scientific(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"


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
