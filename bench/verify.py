"""`daebench verify`: certificates for their own sake, outside a run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cells import CertificateCell, Point
from bench.certifying import run_certificates
from bench.estimate import certificate_seconds
from bench.progress import Expected, Progress
from results.schema import Record


def verify(
    cells: Sequence[CertificateCell], *, jobs: int | None = None, use_cache: bool = True, progress: bool = True
) -> list[Record]:
    """Certificate records of ``cells``, in their order; ``jobs`` of them side by side (default: as many as there are
    cores).  With ``progress``, a line a certificate goes to stderr."""
    seconds: dict[Point, float] = {cell: certificate_seconds(cell) for cell in cells}
    with Progress({"certificates": Expected(sum(seconds.values()), seconds)}, enabled=progress) as shown:
        shown.begin("certificates")
        return run_certificates(
            cells, jobs=jobs, use_cache=use_cache, on_result=lambda record: shown.cell("certificates", record)
        )
