"""Trained networks for tests, without training: generic weights, and run folders whose records have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_run

from bench import kept
from bench.cells import TrialCell
from bench.trained.found import Trained
from implementations import parameters
from results.journal import Journal, write_run_file
from results.schema import LATER_AXES

METRICS = {"psnr": 20.0, "psnr_noisy": 12.0, "psnr_gain": 8.0}


def cell(architecture: str = "conv", size: int = 12, channels: int = 1, **axes: Any) -> TrialCell:
    given = {"backend": "torch", "track": "tuned", "latent": None, "batch_size": 8, "keep_weights": True, **axes}
    return TrialCell(architecture=architecture, height=size, width=size, channels=channels, **given)


def trained(point: TrialCell, seed: int = 3) -> Trained:
    """With weights of which none is 0 or 1."""
    network = point.make_architecture()
    return Trained(record(point), Path("."), point, network, parameters.generic(network, seed))


def record(point: TrialCell, **rest: Any) -> dict[str, Any]:
    axes = {**LATER_AXES["trial"], **point.axes()}
    made = fake_run.record("trial", axes, **{"metrics": METRICS, **rest})
    made["id"] = f"{point.key()}-{made['fingerprint']}"
    return made


def make_run(folder: Path, *points: TrialCell, **rest: Any) -> list[dict[str, Any]]:
    """A run folder with an ok trial of each of ``points``, whose weights are kept; their records."""
    records = []
    with Journal(folder) as journal:
        write_run_file(folder, {"schema": 1, "name": folder.name, "environments": {}, "planned": {}, "notes": []})
        for point in points:
            one = trained(point)
            path = kept.save_weights(one.weights, kept.about_weights(point, one.architecture), folder)
            records.append(record(point, weights=path, **rest))
            journal.append(records[-1])
    return records
