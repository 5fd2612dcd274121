"""The cache of certificates: what was proved once is not proved again, as long as nothing that it rests on changed.

Keyed by the specification (network, training, batch size), backend and track, device, precision, threads, the
fingerprint (library versions, adapter source, machine) and the sources of the proof itself.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from bench.cells import CertificateCell
from bench.datasets import cache_dir

_PROOF = (
    "bench/parity.py",
    "bench/tolerances.py",
    "bench/audit.py",
    "bench/cells.py",
    "implementations/reference.py",
    "implementations/architecture.py",
    "implementations/training.py",
    "implementations/counter.py",
    "implementations/parameters.py",
)


def path(cell: CertificateCell, fingerprint: str) -> Path:
    """The file of this certificate, which may not be there."""
    parts = {
        "architecture": cell.make_architecture().digest(),
        "training": cell.make_training().digest(),
        "cell": {
            name: cell.axes()[name] for name in ("backend", "track", "device", "precision", "threads", "defaults")
        },
        "fingerprint": fingerprint,
        "proof": _proof(),
    }
    name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    return cache_dir() / "certificates" / f"{name}.json"


@functools.cache
def _proof() -> str:
    root = Path(__file__).resolve().parent.parent
    return hashlib.sha256(b"".join((root / name).read_bytes() for name in _PROOF)).hexdigest()[:16]


def lookup(cell: CertificateCell, fingerprint: str) -> dict[str, Any] | None:
    """The result of :func:`bench.parity.certify` for this cell, if it is known.  What can not be read is not known."""
    try:
        found = json.loads(path(cell, fingerprint).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "status" in found and "checks" in found else None


def store(cell: CertificateCell, fingerprint: str, result: dict[str, Any]) -> None:
    """Keep a result; written beside and renamed, so that no reader sees half of it."""
    target = path(cell, fingerprint)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{os.getpid()}-{target.name}")
    part.write_text(json.dumps(result, allow_nan=False, sort_keys=True), encoding="utf-8")
    part.replace(target)
