"""Who trains a network fastest on this machine: by the estimate, corrected by what the run has measured so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from statistics import median

from bench.cells import Cell, TimingCell, TrialCell
from bench.confirm import Product
from bench.estimate import compiling_seconds, learning_seconds, training_seconds
from results.roles import contestant
from results.schema import Record

Key = Hashable


class Pace:
    """What a cell costs by contestant, core-seconds: its training, and its share of compiling the network.

    The measured times of ``records`` of this ``environment`` are taken as multiples of the estimate: of the same
    network where there are any, else of the same architecture, and where this contestant has none of all that were
    measured, so that measured and estimated contestants stand on one scale.  Timing sessions, in which nothing else
    runs, count before trials.
    """

    def __init__(self, product: Product, records: Iterable[Record] = (), environment: str = "") -> None:
        self._product = product
        found: dict[str, dict[Key, list[float]]] = {kind: defaultdict(list) for kind in ("timing", "trial")}
        self._builds: dict[Key, float] = {}
        for record in records:
            if record["status"] != "ok" or record["environment"] != environment or record["kind"] not in found:
                continue
            cell = (TimingCell if record["kind"] == "timing" else TrialCell).from_axes(record["cell"])
            if build := record.get("parts", {}).get("build_seconds"):
                for key in _keys(cell)[:2]:
                    self._builds[key] = max(build, self._builds.get(key, 0.0))
            seconds = _seconds_a_sample(record)
            if seconds:
                ratio = seconds / (training_seconds(cell, cell.batch_size) / cell.batch_size)
                for key in _keys(cell):
                    found[record["kind"]][key].append(ratio)
        self._ratios = {kind: {key: median(values) for key, values in by.items()} for kind, by in found.items()}

    @property
    def measured(self) -> bool:
        """Whether anything was."""
        return any(self._ratios.values())

    def __call__(self, cell: TrialCell) -> float:
        keys = _keys(cell)
        build = next((self._builds[key] for key in keys[:2] if key in self._builds), compiling_seconds(cell.backend))
        training = learning_seconds(cell) * self._ratio(keys)
        return (training + build / self._product.share(cell)) * cell.threads

    def _ratio(self, keys: list[Key]) -> float:
        for key in keys:
            for kind in ("timing", "trial"):
                if key in self._ratios[kind]:
                    return self._ratios[kind][key]
        return 1.0


def _keys(cell: Cell) -> list[Key]:
    """What a measurement speaks for, from the nearest to the farthest."""
    who = contestant(vars(cell))
    shape = (cell.architecture, cell.height, cell.width, cell.channels)
    return [(who, shape, cell.latent, cell.loss, cell.optimizer, cell.batch_size), (who, shape), cell.device]


def _seconds_a_sample(record: Record) -> float | None:
    metrics = record.get("metrics", {})
    if record["kind"] == "timing":
        rate = metrics.get("train_samples_per_second")
        return 1 / rate if rate else None
    images = record.get("images", {}).get("train", 0) * record["cell"].get("repeats", 1) * len(record.get("curve", ()))
    return metrics["train_seconds"] / images if images and metrics.get("train_seconds") else None
