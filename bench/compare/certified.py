"""Certificates for both sides of a live comparison: what is not proved to compute the same is not compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench import certificates
from bench.cells import Cell, CertificateCell
from bench.certifying import CERTIFICATE_TIMEOUT, run_certificates
from bench.compare.pairs import NAMES
from bench.compare.sides import Runner
from bench.plan import certificate_for
from bench.process import IMPORT_TIMEOUT, ROOT, Worker, WorkerFailure, distinct_cores
from implementations.adapter import Setting

Verdict = tuple[str, str | None]
"""Status and reason."""


def failures(
    pairs: Iterable[tuple[Cell, Cell]],
    sides: Sequence[Runner],
    logs: Path,
    on_step: Callable[[str], None] = lambda text: None,
) -> dict[tuple[Cell, Cell], tuple[str, str]]:
    """The pairs (base's cell, head's cell) of which a side has no certificate: which side, and why not.

    If neither has one the base is named: what was wrong before is no regression.
    """
    asked = list(dict.fromkeys(pairs))
    found: dict[tuple[Cell, Cell], tuple[str, str]] = {}
    known: dict[tuple[str, Path], dict[CertificateCell, Verdict]] = {}
    for place in (1, 0):  # the base last, so that it has the last word
        name, side = NAMES[place], sides[place]
        verdicts = known.setdefault((side.python, side.root), {})  # both sides may run the same program
        wanted = dict.fromkeys(certificate_for(pair[place]) for pair in asked)
        if missing := [cell for cell in wanted if cell not in verdicts]:
            verdicts |= _certify(side, missing, logs, on_step)
        for pair in asked:
            status, reason = verdicts[certificate_for(pair[place])]
            if status != "ok":
                found[pair] = name, f"{status}: {reason or 'no reason was given'}"
    return found


def _certify(
    side: Runner, cells: Sequence[CertificateCell], logs: Path, on_step: Callable[[str], None]
) -> dict[CertificateCell, Verdict]:
    verdicts: dict[CertificateCell, Verdict] = {}
    for cell in cells:
        missing = side.missing(cell.backend)
        if missing is not None:
            verdicts[cell] = "unsupported", missing
    rest = [cell for cell in cells if cell not in verdicts]
    if side.is_ours:
        on_step(f"{side.name}: {len(rest)} certificates (those that are cached take no time)")
        for record in run_certificates(rest, logs=logs):
            cell = CertificateCell.from_axes(record["cell"])
            verdicts[cell] = record["status"], record["reason"]
        return verdicts
    groups: dict[tuple[str, Setting], list[CertificateCell]] = {}
    for cell in rest:
        known = _cached(side, cell)
        if known is not None:
            verdicts[cell] = known["status"], known.get("reason")
            continue
        groups.setdefault((cell.backend, cell.setting), []).append(cell)
    for (backend, setting), group in groups.items():
        on_step(f"{side.name}: {len(group)} certificates of {backend}")
        verdicts |= _prove(side, group, setting, logs)
    return verdicts


def _prove(
    side: Runner, cells: Sequence[CertificateCell], setting: Setting, logs: Path
) -> dict[CertificateCell, Verdict]:
    """Certificates of one backend, in one process of the side's own."""
    backend = cells[0].backend
    verdicts: dict[CertificateCell, Verdict] = {}
    with Worker(backend, setting, distinct_cores()[: setting.threads], logs, side.program(backend, setting)) as worker:
        try:
            worker.configure(IMPORT_TIMEOUT)
            for cell in cells:
                result = worker.request("certify", CERTIFICATE_TIMEOUT, cell=cell.axes())
                verdicts[cell] = result["status"], result["reason"]
                if _may_cache(side):
                    certificates.store(cell, side.fingerprint(backend, setting), result)
        except WorkerFailure as failure:
            for cell in cells:
                verdicts.setdefault(cell, (failure.status, failure.reason))
    return verdicts


def _may_cache(side: Runner) -> bool:
    """The cache knows our own proof alone: another revision may prove in another way."""
    return side.root == ROOT


def _cached(side: Runner, cell: CertificateCell) -> dict[str, Any] | None:
    return certificates.lookup(cell, side.fingerprint(cell.backend, cell.setting)) if _may_cache(side) else None
