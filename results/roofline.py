"""A speed as a share of what the machine can do: the specification's operations a second over the measured peak.

``environments.<id>.peaks`` of run.json (results/README.md) holds what the fastest matrix product of the installed
libraries reached, on the same device, in the same precision and with the same threads as a contestant, and how fast
memory is copied.  The roofline model is Williams, Waterman and Patterson, "Roofline: an insightful visual performance
model for multicore architectures", CACM 52 (4), 2009.

A share is of the *matrix product's* peak: it says how far from ideal a training step is, whatever the reason.  Small
networks and batches can not come near, on any framework.  Old runs measured no peak: then there is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from results.schema import Record

WORK = {"train": "train_flops", "inference": "inference_flops"}
"""The metric with the operations for one image, by the first word of the metric that is a rate."""
RATE = "_samples_per_second"


@dataclass(frozen=True)
class Peak:
    """What a device reached.  ``flops``: operations a second of a large matrix product, in the fastest library
    (``library``).  ``bandwidth``: bytes a second copied, read and written counted, or None if it was not measured."""

    device: str
    precision: str
    threads: int
    flops: float
    library: str
    bandwidth: float | None = None

    @property
    def balance(self) -> float | None:
        """Operations for each byte from which on arithmetic, not memory, is the limit."""
        return self.flops / self.bandwidth if self.bandwidth else None


def peaks(environment: Mapping[str, Any]) -> list[Peak]:
    """All that were measured, of an entry of ``environments``; those without a matrix product are left out."""
    return [
        Peak(
            entry["device"],
            entry["precision"],
            entry["threads"],
            float(entry["gemm_flops_per_second"]),
            entry["gemm_library"],
            entry.get("copy_bytes_per_second"),
        )
        for entry in environment.get("peaks") or ()
        if entry.get("gemm_flops_per_second")
    ]


def measured(about: Mapping[str, Any]) -> bool:
    """Whether there is any peak in a run's ``about`` (its run.json)."""
    return any(peaks(environment) for environment in about.get("environments", {}).values())


def peak(about: Mapping[str, Any], record: Record) -> Peak | None:
    """The peak that ``record`` is to be compared with: of its environment, device, precision and threads.

    Threads are the processor's; a GPU's peak does not depend on them.
    """
    cell = record["cell"]
    for found in peaks(about.get("environments", {}).get(record["environment"], {})):
        if (found.device, found.precision) == (cell["device"], cell["precision"]) and (
            found.threads == cell["threads"] or found.device != "cpu"
        ):
            return found
    return None


def peak_flops(about: Mapping[str, Any], record: Record) -> float | None:
    """Floating-point operations a second; None where they were not measured."""
    found = peak(about, record)
    return found.flops if found else None


def flops_per_image(record: Record, kind: str = "train") -> float | None:
    """The specification's operations for training or reconstructing ("inference") one image."""
    metrics = record.get("metrics", {})
    if kind not in WORK:
        raise ValueError(f"kind {kind!r} has no operations; allowed are {', '.join(WORK)}")
    if (work := metrics.get(WORK[kind])) is not None:
        return float(work)
    rate = metrics.get("train_samples_per_second")
    if kind == "train" and rate and metrics.get("train_gflops"):  # records that are older than the metric
        return float(metrics["train_gflops"] * 1e9 / rate)
    return None


def share(about: Mapping[str, Any], record: Record, metric: str = "train") -> float | None:
    """What part of the peak ``metric`` is, 0.25 for a quarter; None where rate, work or peak are not known.

    ``metric``: "train" or "inference", or the name of any rate, such as ``inference_samples_per_second_b32`` or
    ``train_samples_per_second_low``.
    """
    name = f"{metric}{RATE}" if metric in WORK else metric
    kind = name.partition("_")[0]
    if kind not in WORK or RATE not in name:
        raise ValueError(f"metric {metric!r} is no rate; use {', '.join(WORK)} or a metric with {RATE}")
    rate, work, limit = record.get("metrics", {}).get(name), flops_per_image(record, kind), peak_flops(about, record)
    return rate * work / limit if rate is not None and work and limit else None
