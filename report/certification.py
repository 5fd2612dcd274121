"""Which contestants are proven to compute the specification, and where the others depart from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from report.naming import backend_key
from results.loading import Run
from results.schema import CONTENTS_SEPARATOR, Record

# A certificate speaks for cells that agree in these; its batch size and threads are its own.
PROVEN_AXES = (
    "backend", "track", "device", "precision", "defaults", "architecture", "latent", "height", "width", "channels",
    "loss", "optimizer", "learning_rate",
)  # fmt: skip


@dataclass(frozen=True)
class Departure:
    """A certificate that failed: the first check that did, and by how many times its tolerance."""

    record: Record
    quantity: str
    tensor: str | None
    deviation: float | None
    tolerance: float | None

    @property
    def times(self) -> float | None:
        """Deviation / tolerance; None where the deviation is not finite or was not recorded."""
        return self.deviation / self.tolerance if self.deviation is not None and self.tolerance else None


@dataclass(frozen=True)
class Certification:
    """All certificates of a run."""

    records: tuple[Record, ...]

    @property
    def held(self) -> list[Record]:
        return [record for record in self.records if record["status"] == "ok"]

    @property
    def tried(self) -> list[Record]:
        """Those that were computed at all: a backend that is not installed has neither passed nor failed."""
        return [record for record in self.records if record["status"] not in ("unsupported", "skipped")]

    def departures(self) -> list[Departure]:
        """Certificates with status parity_failed, in order."""
        found = []
        for record in self.records:
            if record["status"] != "parity_failed":
                continue
            checks = [check for check in record.get("checks", []) if not check["ok"]]
            first = checks[0] if checks else {}
            found.append(
                Departure(
                    record,
                    first.get("quantity", "unknown"),
                    first.get("tensor"),
                    first.get("deviation"),
                    first.get("tolerance"),
                )
            )
        return found

    def doubt(self, record: Record) -> str | None:
        """Why a timing or trial record can not be ranked, or None: its certificate holds."""
        status = self._statuses().get(_key(record))
        if status == "ok":
            return None
        return "no certificate" if status is None else f"certificate: {status.replace('_', ' ')}"

    def _statuses(self) -> dict[tuple[object, ...], str]:
        return {_key(record): record["status"] for record in self.records}


def worst_ratio(record: Record) -> float | None:
    """Largest deviation / tolerance of a certificate; None if something in it was not finite, or is not there."""
    if "worst_ratio" in record.get("metrics", {}):
        return float(record["metrics"]["worst_ratio"])
    checks = record.get("checks", [])
    if not checks or any(check["deviation"] is None for check in checks):
        return None
    return max(float(check["deviation"]) / float(check["tolerance"]) for check in checks)


def certification(run: Run) -> Certification:
    """The certificates of ``run``, backends in the usual order."""

    def order(record: Record) -> tuple[object, ...]:
        cell = record["cell"]
        return (*backend_key(cell["backend"]), cell["track"], cell["architecture"], cell["precision"], cell["loss"])

    records: Sequence[Record] = sorted(run.of("certificate"), key=order)
    return Certification(tuple(records))


def _key(record: Record) -> tuple[object, ...]:
    return (record["fingerprint"].partition(CONTENTS_SEPARATOR)[0], *(record["cell"].get(name) for name in PROVEN_AXES))
