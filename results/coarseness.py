"""Whether a certificate in mixed precision or TF32 shows products that are coarser than those of float32."""

from __future__ import annotations

from collections.abc import Iterable

from results.schema import Record

REDUCED = ("bfloat16", "tf32")
"""Precisions whose products are coarser than the numbers that are kept; their certificates judge less."""
MEASURES = ("coarseness_inference", "coarseness_training")
"""Deviation of the outputs from the reference, in units of what float32 is allowed."""


def is_reduced(record: Record) -> bool:
    """Whether it is about one of these precisions."""
    return record["cell"].get("precision") in REDUCED


def as_exact(records: Iterable[Record]) -> dict[str, list[str]]:
    """Precision -> contestants and networks ("keras[jax] tuned dense") of certificates that hold, although their
    outputs are as near to the reference as float32's: there the precision changes nothing that could be seen."""
    found: dict[str, list[str]] = {}
    for record in records:
        if not is_reduced(record) or record["status"] != "ok":
            continue
        measured = [record.get("metrics", {}).get(name) for name in MEASURES]
        known = [float(value) for value in measured if value is not None]
        if known and min(known) <= 1:
            cell = record["cell"]
            names = found.setdefault(str(cell["precision"]), [])
            name = f"{cell['backend']} {cell['track']} {cell['architecture']}"
            if name not in names:
                names.append(name)
    return found
