"""`daebench verify`: certificates for their own sake, outside a run."""

from __future__ import annotations

from collections.abc import Sequence

from bench import machine
from bench.cells import CertificateCell
from bench.certifying import run_certificates
from bench.estimate import certificates_by_cell, side_by_side
from bench.progress import Expected, Progress
from results.schema import Record


def verify(
    cells: Sequence[CertificateCell], *, jobs: int | None = None, use_cache: bool = True, progress: bool = True
) -> list[Record]:
    """Certificate records of ``cells``, in their order; ``jobs`` of them side by side (default: as many as there are
    cores).  With ``progress``, a line a certificate goes to stderr."""
    seconds = certificates_by_cell(cells)
    expected = side_by_side(sum(seconds.values()), jobs or machine.cores())
    with Progress({"certificates": Expected(expected, seconds)}, enabled=progress) as shown:
        shown.begin("certificates")
        return run_certificates(
            cells, jobs=jobs, use_cache=use_cache, on_result=lambda record: shown.cell("certificates", record)
        )
