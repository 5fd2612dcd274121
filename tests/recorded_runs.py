"""Small recorded runs with figures that a test chooses: what two sides of a comparison are read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from results.journal import Journal, write_run_file
from tests import fake_run

ENVIRONMENT = "e" * 16
FACTS: dict[str, Any] = {
    "time": "2026-03-01T10:00:00+00:00",
    "python": "3.11.7",
    "system": "Linux",
    "release": "6.1.0",
    "machine": "x86_64",
    "cpu": "Imaginary CPU E5",
    "cores_logical": 2,
    "cores": 2,
    "gpus": [],
    "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "variables": {},
}
IMAGES = 1000


def axes(backend: str = "torch", track: str = "tuned", architecture: str = "dense", **rest: Any) -> dict[str, Any]:
    """The axes of a timing cell."""
    latent = rest.pop("latent", 64)
    loss = rest.pop("loss", "mse")
    return fake_run.cell(backend, track, architecture, latent, loss, **rest)


def timing(
    cell: dict[str, Any],
    train: Sequence[float],
    *,
    inference: Sequence[float] = (),
    latency: Sequence[float] = (),
    status: str = "ok",
    **rest: Any,
) -> dict[str, Any]:
    """A timing record of processes with these rates (images/s) and latencies (seconds)."""
    rounds = []
    for number, rate in enumerate(train):
        entry: dict[str, Any] = {"round": number, "train": [[IMAGES, IMAGES / rate]] * 3}
        if inference:
            entry["inference"] = [[IMAGES, IMAGES / inference[number]]] * 3
        if latency:
            entry["latency"] = [latency[number]] * 20
        rounds.append(entry)
    rate = float(np.median(train)) if train else 1.0
    return fake_run.record(
        "timing",
        cell,
        status,
        None if status == "ok" else rest.pop("reason", "it broke"),
        environment=ENVIRONMENT,
        session="s-1",
        metrics={"train_samples_per_second": rate, "train_gflops": 1.0} if status == "ok" else {},
        samples={"rounds": rounds},
        **rest,
    )


def trial(
    cell: dict[str, Any],
    psnr: float,
    *,
    seed: int = 0,
    half: float = 0.05,
    hashes: Mapping[str, str] | None = None,
    status: str = "ok",
    **rest: Any,
) -> dict[str, Any]:
    """A trial record; ``half``: half of the 95 % interval of PSNR over images."""
    whole = {**cell, "dataset": "glyphs", "train": 512, "test": 128, "corruption": "gaussian(0.4)"}
    whole |= {"clip": True, "refresh": False, "epochs": 3, "seed": seed}
    metrics: dict[str, float] = {}
    for name, value in (("psnr", psnr), ("ssim", psnr / 30), ("ssim_wang", psnr / 31), ("mse", 10 ** (-psnr / 10))):
        metrics |= fake_run._summary(name, value, 10.9, half, 1.0)
    metrics |= dict.fromkeys(
        ("train_loss", "validation_loss", "train_seconds", "parameters", "trainable_parameters"), 1.0
    )
    metrics |= {"latent_size": 64.0, "compression": 12.25, "psnr_capped": 0.0}
    curve = [{"epoch": 1, "train_loss": 0.1, "validation_loss": 0.1, "psnr": psnr, "seconds": 1.0}]
    return fake_run.record(
        "trial",
        whole,
        status,
        None if status == "ok" else rest.pop("reason", "it broke"),
        environment=ENVIRONMENT,
        **({"metrics": metrics, "curve": curve} if status == "ok" else {}),
        hashes={"data": "d" * 16, "noisy": "n" * 16, "architecture": "a" * 16, **(hashes or {})},
        **rest,
    )


def write(folder: Path, records: Sequence[dict[str, Any]], **facts: Any) -> Path:
    """A run of ``records`` on the machine of :data:`FACTS`, but for ``facts``."""
    folder.mkdir(parents=True)
    about = fake_run.about(fake_run.QUICK, records) | {
        "name": folder.name,
        "environments": {ENVIRONMENT: {**FACTS, **facts}},
        "notes": [],
    }
    write_run_file(folder, about)
    with Journal(folder) as journal:
        for record in records:
            journal.append(record)
    return folder


def rates(level: float, count: int = 6, scatter: float = 0.002) -> list[float]:
    """Rates of processes about ``level``: fixed, symmetric, with a standard deviation of about ``scatter``."""
    return [level * (1 + scatter * position) for position in np.linspace(-1.5, 1.5, count)]
