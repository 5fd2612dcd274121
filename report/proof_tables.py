"""Tables of what was proven: certificates, the synchronisation audit, where a certificate fails."""

from __future__ import annotations

from collections.abc import Sequence

from report import text
from report.certification import Certification, worst_ratio
from report.naming import CONFIGURATION, backend_key, describe, varying
from report.tables import Cell, Table
from results.coarseness import as_exact, is_reduced
from results.departures import meaning
from results.schema import Record

AUDIT = "synchronisation"
"""The check of a certificate that is no comparison of numbers."""


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
                Cell(meaning(departure.record) or "–"),
            ]
        )
    columns = ["contestant", "specification", "first departs at", "tensor", "deviation", "tolerance", "ratio"]
    columns.append("what it means for who trains so")
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


def _scientific(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"
