"""Running certificates: references first, then every backend against them, with what is cached taken from there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import certificates, machine
from bench.cells import Cell, CertificateCell, Point
from bench.lanes import Job, Lanes, Waiting, core_pools
from bench.plan import not_offered
from bench.process import REFERENCE
from bench.records import Ended, make_record, now
from implementations.adapter import TRACKS, adapter_class
from results.schema import Record

CERTIFICATE_TIMEOUT = 900.0
"""Seconds: the slowest certificate known, a large network compiled in float64 for the first time, took 70."""
KEPT = ("ok", "parity_failed")
"""Statuses that follow from the specification, the adapter and the versions alone, and so may be cached.  A failed
audit is a measurement, though, and made again."""


def run_certificates(
    cells: Sequence[CertificateCell],
    *,
    jobs: int | None = None,
    use_cache: bool = True,
    on_result: Callable[[Record], None] | None = None,
    logs: Path | None = None,
    environment: str | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    cut: float | None = None,
    waiting: Waiting | None = None,
) -> list[Record]:
    """Certificate records of ``cells``, in their order; ``on_result`` hears of each as it is made, in this thread.

    ``logs``: the folder for what workers write to stderr (default: one that is removed).  ``environment``: the id for
    the records (default: that of this machine).  ``timeout``: seconds for each.  ``deadline`` and ``cut`` are those
    of :class:`bench.lanes.Lanes`, as is ``waiting``; cells that were not reached have no record, and those that come
    first are proved first.  What a backend says that it can not compute is unsupported, and nothing is started for it.
    """
    if logs is None:
        with tempfile.TemporaryDirectory(prefix="daebench-") as folder:
            return run_certificates(
                cells,
                jobs=jobs,
                use_cache=use_cache,
                on_result=on_result,
                logs=Path(folder),
                environment=environment,
                timeout=timeout,
                deadline=deadline,
                cut=cut,
                waiting=waiting,
            )
    place = environment or machine.environment_id(machine.environment())
    records: dict[Cell, Record] = {}

    def keep(ended: Ended, *, store: bool = True) -> None:
        assert isinstance(ended.cell, CertificateCell)
        fingerprint = machine.fingerprint(ended.cell.backend, ended.cell.device)
        if store and ended.status in KEPT and not _audit_failed(ended):
            result = {"status": ended.status, "reason": ended.reason, **ended.facts}
            certificates.store(ended.cell, fingerprint, result)
        records[ended.cell] = make_record(ended, fingerprint, place)
        if on_result:
            on_result(records[ended.cell])

    missing: list[CertificateCell] = []
    for cell in dict.fromkeys(cells):
        if reason := not_offered(adapter_class(cell.backend), cell):
            keep(Ended(cell, "unsupported", reason), store=False)
            continue
        found = certificates.lookup(cell, machine.fingerprint(cell.backend, cell.device)) if use_cache else None
        if found is None:
            missing.append(cell)
            continue
        facts: dict[str, Any] = {name: found[name] for name in ("checks", "metrics", "hashes") if name in found}
        keep(Ended(cell, found["status"], found.get("reason"), "", now(), 0.0, facts), store=False)

    limit = timeout or CERTIFICATE_TIMEOUT
    exclusive = any(cell.device != "cpu" for cell in missing)
    threads = max((cell.threads for cell in missing), default=1)
    pools = core_pools(jobs, threads, exclusive=exclusive)
    broken = _references(missing, limit, pools, logs, deadline, cut)
    for cell in [cell for cell in missing if cell in broken]:
        keep(broken[cell])
    ordered = [cell for cell in missing if cell not in broken]
    if deadline is None:
        # With one, the given order decides what is proved before it: else trials would wait for what comes later.
        ordered.sort(key=_order)
    ready = [Job(cell, "certify", limit, near=cell.build_key()) for cell in ordered]
    Lanes(ready, pools=pools, logs=logs, deadline=deadline, cut=cut, waiting=waiting).run(keep)
    return [records[cell] for cell in dict.fromkeys(cells) if cell in records]


def _order(cell: CertificateCell) -> tuple[int, int]:
    """The idiomatic track first, whose calls cost most, so that what is left at the end is short; and small networks
    first, for every process audits each track once, with the first network that it meets."""
    return TRACKS.index(cell.track), cell.make_architecture().forward_flops()


def _audit_failed(ended: Ended) -> bool:
    from bench.parity import SYNCHRONISATION

    return any(check["quantity"] == SYNCHRONISATION and not check["ok"] for check in ended.facts.get("checks", ()))


def _references(
    cells: Sequence[CertificateCell],
    timeout: float,
    pools: Sequence[Sequence[int]],
    logs: Path,
    deadline: float | None,
    cut: float | None,
) -> dict[Cell, Ended]:
    """Compute the references that are not there; returns the cells whose reference failed, and how."""
    from bench.parity import reference_path

    paths: dict[Path, list[CertificateCell]] = {}
    for cell in cells:
        path = reference_path(cell)
        if not path.exists():
            paths.setdefault(path, []).append(cell)
    sharing: dict[Point, list[CertificateCell]] = {group[0]: group for group in paths.values()}
    broken: dict[Cell, Ended] = {}

    def note(ended: Ended) -> None:
        if ended.status != "ok":
            reason = f"the reference could not be computed: {ended.reason}"
            for cell in sharing[ended.cell]:
                broken[cell] = Ended(cell, ended.status, reason, ended.stderr, ended.started, ended.seconds)

    jobs = [Job(group[0], "reference", timeout, backend=REFERENCE) for group in paths.values()]
    Lanes(jobs, pools=pools, logs=logs, deadline=deadline, cut=cut).run(note)
    return broken
