"""A run folder as a sweep leaves it, without running anything: all kinds, all statuses, made-up but plausible figures.

``make_run(folder)`` is what the tests of results/ and report/ read.  ``python tests/fake_run.py FOLDER`` makes one to
look at.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from results import convergence
from results.journal import Journal, write_run_file

HOSTILE = "RuntimeError: <script>alert('x')</script> & \"quotes\" </script><!-- {{ 7*7 }} ]]> \x1b[31mred\x1b[0m \udc80"
ENVIRONMENT = "9c1f2ab37d5e8640"
OLD_ENVIRONMENT = "0ld00000deadbeef"
FINGERPRINT = "5e1f0c3b2a794d86"
OLD_FINGERPRINT = "00aa11bb22cc33dd"

Record = dict[str, Any]

# Training samples/s on one core, roughly as measured before the suite existed.
RATES = {
    ("keras[tensorflow]", "idiomatic"): {"dense": 19_000.0, "conv": 5_200.0},
    ("keras[tensorflow]", "tuned"): {"dense": 60_000.0, "conv": 7_900.0},
    ("torch", "idiomatic"): {"dense": 23_000.0, "conv": 4_700.0},
    ("torch", "tuned"): {"dense": 29_000.0, "conv": 7_850.0},
    ("keras[jax]", "idiomatic"): {"dense": 48_000.0, "conv": 3_100.0},
    ("keras[jax]", "tuned"): {"dense": 58_500.0, "conv": 3_300.0},
    ("keras[torch]", "idiomatic"): {"dense": 10_000.0, "conv": 2_900.0},
    ("keras[torch]", "tuned"): {"dense": 12_500.0, "conv": 3_600.0},
}
COLD = {"keras[tensorflow]": (4.1, 0.35), "torch": (1.3, 0.02), "keras[jax]": (2.2, 0.3), "keras[torch]": (2.9, 0.1)}
NOISY_PSNR = {
    "gaussian(0.2)": 15.4,
    "gaussian(0.4)": 10.9,
    "gaussian(0.6)": 8.7,
    "salt_pepper(0.1)": 13.1,
    "salt_pepper(0.3)": 8.4,
    "salt_pepper(0.5)": 6.1,
    "masking(0.3)": 16.0,
    "masking(0.6)": 13.0,
    "blur(1.0)": 21.5,
    "blur(2.0)": 16.8,
    "poisson(10)": 17.7,
    "blur(0..2) + uniform(0.01..1.5)": 7.2,
}
BATCHES = (1, 32, 128, 1024)
TEST = 512
"""Test images of every trial."""
FAILED_CERTIFICATE = ("keras[torch]", "tuned", "conv")
UNCERTIFIED = ("keras[torch]", "tuned", "dense")


@dataclass(frozen=True)
class Size:
    """How large a run to make up."""

    backends: tuple[str, ...] = ("keras[tensorflow]", "torch", "keras[jax]", "keras[torch]")
    architectures: tuple[str, ...] = ("dense", "conv")
    corruptions: tuple[str, ...] = ("gaussian(0.2)", "gaussian(0.4)", "salt_pepper(0.1)", "salt_pepper(0.3)")
    latents: tuple[int, ...] = (64, 16)
    losses: tuple[str, ...] = ("mse", "bce")
    seeds: tuple[int, ...] = (0,)
    epochs: int = 6
    rounds: int = 5
    full: tuple[str, ...] = ("keras[tensorflow]", "torch")
    """Backends with the whole grid; the others have its first corruption, latent and loss."""


QUICK = Size()
STANDARD = Size(corruptions=tuple(NOISY_PSNR), latents=(64, 32, 16, 8), seeds=(0, 1, 2), full=QUICK.backends)


ALL = ("certificate", "trial", "yardstick", "timing")


def make_run(folder: Path, size: Size = QUICK, kinds: Sequence[str] = ALL) -> Path:
    """Write a run of ``kinds`` to ``folder`` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    records: list[Record] = []
    if "certificate" in kinds:
        records += certificates(size)
    if "trial" in kinds:
        records += trials(size, folder)
    if "yardstick" in kinds:
        records += yardsticks(size, folder)
    if "timing" in kinds:
        records += timings(size)
    write_run_file(folder, about(size, records))
    with Journal(folder) as journal:
        if size is QUICK:
            for record in records:
                journal.append(record)
        else:  # thousands of fsyncs are of no use here
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (folder / "records.jsonl").write_text(lines)
    return folder


def about(size: Size, records: Sequence[Record]) -> dict[str, Any]:
    """What stands in run.json."""
    kinds = [record["kind"] for record in records]
    return {
        "schema": 1,
        "name": "fake",
        "description": "A made-up run for the tests.",
        "created": "2026-03-01T10:00:00Z",
        "command": "daebench run fake --out <results/fake>",
        "sweep": {"name": "fake", "axes": {"backend": list(size.backends), "latent": list(size.latents)}},
        "environments": {
            ENVIRONMENT: {
                "time": "2026-03-01T10:00:00+00:00",
                "python": "3.11.7",
                "implementation": "CPython",
                "system": "Linux",
                "release": "6.1.0",
                "machine": "x86_64",
                "cpu": "Imaginary CPU E5 @ 2.00GHz",
                "cpu_mhz": 2000.0,
                "cores_logical": 2,
                "cores": 2,
                "affinity": [0, 1],
                "memory": 25_000_000_000,
                "memory_available": 22_000_000_000,
                "gpus": [],
                "load": [0.4, 0.3, 0.2],
                "packages": {"tensorflow": "2.21.0", "torch": "2.13.0", "keras": "3.15.1", "jax": "0.10.2"},
                "git": {"commit": "0123456789abcdef", "dirty": False},
                "variables": {"OMP_NUM_THREADS": "1"},
                "peaks": [
                    {
                        "device": "cpu",
                        "precision": "float32",
                        "threads": 1,
                        "gemm_flops_per_second": 2e11,
                        "gemm_library": "torch",
                        "libraries": {"numpy": 1.8e11, "torch": 2e11},
                        "copy_bytes_per_second": 1.25e10,
                        "measured": "2026-03-01T10:00:02Z",
                    }
                ],
            }
        },
        "planned": {kind: kinds.count(kind) for kind in ("certificate", "trial", "timing")},
        "finished": "2026-03-01T10:02:51Z",
        "notes": ["The budget was used up: 1 cell was left out."],
    }


def record(kind: str, cell: dict[str, Any], status: str = "ok", reason: str | None = None, **rest: Any) -> Record:
    """A record with everything that all kinds share."""
    fingerprint = rest.pop("fingerprint", FINGERPRINT)
    key = hashlib.sha256(json.dumps([kind, cell], sort_keys=True).encode()).hexdigest()[:16]
    return {
        "schema": 1,
        "id": f"{key}-{fingerprint}",
        "kind": kind,
        "cell": cell,
        "fingerprint": fingerprint,
        "environment": rest.pop("environment", ENVIRONMENT),
        "status": status,
        "reason": reason,
        "stderr": rest.pop("stderr", None),
        "started": "2026-03-01T10:00:01Z",
        "seconds": 1.25,
        **rest,
    }


def cell(backend: str, track: str, architecture: str, latent: int | None, loss: str, **rest: Any) -> dict[str, Any]:
    """The axes that all cells have."""
    return {
        "backend": backend,
        "track": track,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "defaults": "matched",
        "architecture": architecture,
        "latent": latent,
        "height": 28,
        "width": 28,
        "channels": 1,
        "loss": loss,
        "optimizer": "adam",
        "learning_rate": None,
        "batch_size": 128,
        **rest,
    }


def certificates(size: Size) -> list[Record]:
    """All pass but one, which departs in one tensor; one crashed."""
    found = []
    for backend, track, architecture in itertools.product(size.backends, ("idiomatic", "tuned"), size.architectures):
        for loss in size.losses:
            axes = cell(backend, track, architecture, size.latents[0], loss, batch_size=16)
            if (backend, track, architecture) == UNCERTIFIED:
                found.append(record("certificate", axes, "crashed", HOSTILE, stderr=f"Traceback ...\n{HOSTILE}"))
                continue
            wrong = (backend, track, architecture) == FAILED_CERTIFICATE
            draw = _generator("certificate", backend, track, architecture, loss)
            checks = []
            for quantity, tolerance in (
                ("output (inference)", 2e-6),
                ("loss", 1e-6),
                ("gradients", 5e-6),
                ("weights after 10 steps", 2e-5),
                ("weights after 100 steps", 2e-4),
            ):
                off = wrong and quantity.startswith("weights")
                deviation = tolerance * (float(draw.uniform(30, 300)) if off else float(draw.uniform(0.02, 0.6)))
                tensor = "decoder.6.kernel" if off else None
                checks.append(
                    {
                        "quantity": quantity,
                        "deviation": deviation,
                        "tolerance": tolerance,
                        "tensor": tensor,
                        "ok": not off,
                    }
                )
            residual = float(draw.uniform(0, 0.01))
            checks.append(
                {
                    "quantity": "synchronisation",
                    "deviation": residual / 0.05,
                    "tolerance": 1.0,
                    "tensor": None,
                    "ok": True,
                }
            )
            audit = {}
            for verb in ("train", "inference"):
                audit[f"sync_{verb}_ratio"] = 2 + float(draw.normal(0, 0.03))
                audit[f"sync_{verb}_residual"] = residual
                audit[f"sync_{verb}_returned"] = 0.3 if backend == "keras[jax]" and track == "tuned" else 1.0
            worst = max(check["deviation"] / check["tolerance"] for check in checks)
            reason = "weights after 10 steps depart first in decoder.6.kernel" if wrong else None
            status = "parity_failed" if wrong else "ok"
            found.append(
                record(
                    "certificate",
                    axes,
                    status,
                    reason,
                    checks=checks,
                    metrics={"worst_ratio": worst, **audit},
                    hashes={},
                )
            )
    return found


def trials(size: Size, folder: Path) -> list[Record]:
    """Scores that depend on the axes in a plausible way; the last few cells meet every kind of mishap."""
    found = []
    for backend, *point in _grid(size):
        architecture, corruption, latent, loss, seed = point
        axes = _trial_cell(backend, architecture, corruption, latent, loss, seed, size.epochs)
        found.append(_scored(axes, folder))
    mishaps = [
        ("diverged", "the loss is not finite from step 14 of epoch 2 on", None),
        ("out_of_memory", "the worker needed more than 24.0 GB", "MemoryError"),
        ("timeout", "no answer for 120 s", "...\n" * 40),
        ("crashed", HOSTILE, f"Traceback (most recent call last):\n  File <stdin>\n{HOSTILE}"),
        ("skipped", "the budget of 3 min was used up", None),
        ("unsupported", "jax not installed (pip install jax)", None),
    ]
    for seed, (status, reason, stderr) in enumerate(mishaps, 100):
        axes = _trial_cell("torch", "conv", "gaussian(0.4)", 64, "mse", seed, size.epochs)
        if status == "unsupported":
            axes["backend"] = "jax"
        found.append(record("trial", axes, status, reason, stderr=stderr))
    stale = json.loads(json.dumps(found[0]))
    stale.update(fingerprint=OLD_FINGERPRINT, environment=OLD_ENVIRONMENT)
    stale["id"] = stale["id"].split("-")[0] + "-" + OLD_FINGERPRINT
    stale["metrics"]["psnr"] = 3.0
    return [stale, *found]


def yardsticks(size: Size, folder: Path) -> list[Record]:
    """Of the images of all trials: half a dB or less below the networks, or above those that are worst.  What costs
    nothing is further below."""
    found = []
    for corruption, seed in itertools.product(size.corruptions, size.seeds):
        noisy = NOISY_PSNR[corruption]
        reached = {("identity", None): noisy, ("mean-image", None): 10.2, ("median-3x3", None): noisy + 1.0}
        reached |= {("gaussian", None): noisy + 0.7, ("median", None): noisy + 1.5, ("nlm-tone", None): noisy + 3.0}
        for rank in sorted(size.latents):
            reached["linear", rank] = noisy + (20.5 - noisy) * 0.5 + 0.9 * float(np.log2(rank / 16))
        for (method, rank), psnr in reached.items():
            axes = {
                "method": method, "rank": rank, "dataset": "glyphs", "train": 4096, "test": TEST, "height": 28,
                "width": 28, "channels": 1, "corruption": corruption, "clip": True, "seed": seed,
            }  # fmt: skip
            metrics = _summary("psnr", psnr, noisy, 0.11, 2.1) | _summary("ssim", 0.035 * psnr, 0.02 * noisy, 0.01, 0.1)
            found.append(
                record(
                    "yardstick",
                    axes,
                    metrics=metrics | {"calibration_seconds": 0.5},
                    hashes=_noise_hashes(corruption, seed),
                    calibration={"method": method, "parameters": {} if rank is None else {"rank": rank}},
                    scores=_image_scores(folder, psnr, corruption, f"{method}{rank}{seed}"),
                    pictures=_strips(folder, corruption, psnr, f"{method}{rank}"),
                )
            )
    return found


def timings(size: Size) -> list[Record]:
    """One session for each architecture; two contestants are too close to call."""
    found = []
    for architecture in size.architectures:
        for (backend, track), rates in RATES.items():
            if backend not in size.backends:
                continue
            axes = cell(backend, track, architecture, size.latents[0], size.losses[0])
            if (backend, track) == ("keras[jax]", "tuned") and architecture == "conv":
                found.append(record("timing", axes, "timeout", "no answer for 120 s", session=f"{architecture}-1"))
                continue
            found.append(_timed(axes, rates[architecture], size.rounds))
    return found


def _grid(size: Size) -> Iterator[tuple[Any, ...]]:
    for backend in size.backends:
        whole = backend in size.full
        yield from itertools.product(
            [backend],
            size.architectures,
            size.corruptions if whole else size.corruptions[:1],
            size.latents if whole else size.latents[:1],
            size.losses if whole else size.losses[:1],
            size.seeds if whole else size.seeds[:1],
        )


def _trial_cell(
    backend: str, architecture: str, corruption: str, latent: int, loss: str, seed: int, epochs: int
) -> dict[str, Any]:
    return cell(
        backend,
        "tuned",
        architecture,
        latent,
        loss,
        dataset="glyphs",
        train=4096,
        test=TEST,
        corruption=corruption,
        clip=True,
        refresh=False,
        epochs=epochs,
        seed=seed,
    )


def _noise_hashes(corruption: str, seed: int) -> dict[str, str]:
    noisy = hashlib.sha256(f"{corruption}{seed}".encode()).hexdigest()
    return {"data": "d" * 16, "noisy": noisy[:16], "noisy_test": noisy[16:32]}


def _image_scores(folder: Path, psnr: float, corruption: str, who: str) -> str:
    """Of every test image: what makes it hard is common to all who denoise it, a little is their own."""
    common = _generator("images", corruption).normal(0, 1.4, TEST)
    own = _generator("image", corruption, who).normal(0, 0.3, TEST)
    values = psnr + (common - common.mean()) + (own - own.mean())
    data = np.stack([values, 0.035 * values], axis=1).astype("<f4")
    path = folder / "scores" / f"{hashlib.sha256(data.tobytes()).hexdigest()[:16]}.npy"
    path.parent.mkdir(exist_ok=True)
    np.save(path, data, allow_pickle=False)
    return f"scores/{path.name}"


def _scored(axes: dict[str, Any], folder: Path) -> Record:
    backend, architecture, corruption = axes["backend"], axes["architecture"], axes["corruption"]
    latent, loss, epochs, seed = axes["latent"], axes["loss"], axes["epochs"], axes["seed"]
    noisy = NOISY_PSNR[corruption]
    # The same figure for every backend, up to a little noise: that is what the certificates promise.
    best = noisy + (20.5 - noisy) * 0.62 + 0.5 * np.log2(latent / 16) + (0.35 if architecture == "conv" else 0.0)
    best -= 0.18 if loss == "bce" else 0.0
    best += float(_generator("seed", architecture, corruption, latent, loss, seed).normal(0, 0.06))
    best += float(_generator("backend", backend, architecture, corruption, latent, loss, seed).normal(0, 0.02))
    best = float(best)
    rate = RATES[backend, "tuned"][architecture]
    curve = []
    for epoch in range(1, epochs + 1):
        psnr = best - 5.5 * float(np.exp(-0.55 * epoch))
        mse = 10 ** (-psnr / 10)
        curve.append(
            {
                "epoch": epoch,
                "train_loss": mse * 0.96,
                "validation_loss": mse,
                "psnr": psnr,
                "seconds": epoch * 4096 / rate * 1.1,
            }
        )
    metrics = _summary("psnr", curve[-1]["psnr"], noisy, 0.11, 2.1)
    metrics |= _summary("ssim", 0.035 * curve[-1]["psnr"], 0.02 * noisy, 0.004, 0.08)
    metrics |= _summary("ssim_wang", 0.037 * curve[-1]["psnr"], 0.021 * noisy, 0.004, 0.08)
    metrics |= _summary("mse", curve[-1]["validation_loss"], 10 ** (-noisy / 10), 0.0005, 0.005)
    metrics |= {
        "train_loss": curve[-1]["train_loss"],
        "validation_loss": curve[-1]["validation_loss"],
        "train_seconds": curve[-1]["seconds"],
        "parameters": 468_000.0,
        "trainable_parameters": 468_000.0,
        "latent_size": float(latent),
        "compression": 784 / latent,
        "psnr_capped": 0.0,
    }
    pictures = {} if seed else _strips(folder, corruption, best, f"{backend}{architecture}{latent}{loss}")
    rest: dict[str, Any] = {"pictures": pictures} if pictures else {}
    rest["scores"] = _image_scores(folder, curve[-1]["psnr"], corruption, str(sorted(axes.items(), key=str)))
    network = hashlib.sha256(f"{architecture}{latent}{seed}".encode()).hexdigest()
    hashes = {**_noise_hashes(corruption, seed), "weights": network[:16], "order": network[16:32]}
    return record("trial", axes, metrics=metrics, curve=curve, hashes=hashes, **rest)


def lesson(trial: Record, word: str, slope: float = 0.5, mean_image: float = 9.9) -> Record:
    """A copy of a trial that has learned what ``word`` says: its curve rises by ``slope`` dB per doubling, or not at
    all, and it is two decibels better than the mean training image, or no better."""
    rises, better = word in ("untrained", "unfinished"), word in ("unfinished", "converged")
    psnr, epochs = trial["metrics"]["psnr"], trial["cell"]["epochs"]
    curve = [
        {
            "epoch": epoch,
            "train_loss": 0.1,
            "validation_loss": 0.1,
            "psnr": psnr + (slope * float(np.log2(epoch / epochs)) if rises else 0.0),
            "seconds": float(epoch),
        }
        for epoch in range(1, epochs + 1)
    ]
    lead = 2.0 if better else 0.01
    metrics = {
        **trial["metrics"],
        "psnr_mean_image": mean_image,
        "ssim_mean_image": 0.1,
        "psnr_over_mean": lead,
        "psnr_over_mean_low": lead - 0.05,
        "psnr_over_mean_high": lead + 0.05,
        **convergence.rising_metrics(curve),
    }
    cell = {**trial["cell"], "val": None, "until": "epochs", "max_seconds": None}
    images = {"train": 3687, "validation": 409, "test": TEST}
    return {**trial, "cell": cell, "metrics": metrics, "curve": curve, "images": images, "stopped": "epochs"}


def _summary(name: str, value: float, noisy: float, half: float, spread: float) -> dict[str, float]:
    return {
        name: value,
        f"{name}_low": value - half,
        f"{name}_high": value + half,
        f"{name}_q05": value - 1.6 * spread,
        f"{name}_q25": value - 0.7 * spread,
        f"{name}_median": value,
        f"{name}_q75": value + 0.7 * spread,
        f"{name}_q95": value + 1.6 * spread,
        f"{name}_noisy": noisy,
        f"{name}_gain": value - noisy,
        f"{name}_gain_low": value - noisy - 0.8 * half,
        f"{name}_gain_high": value - noisy + 0.8 * half,
    }


def _timed(axes: dict[str, Any], rate: float, rounds: int) -> Record:
    draw = _generator("timing", axes["backend"], axes["track"], axes["architecture"])
    cold = COLD[axes["backend"]]
    found = []
    for number in range(rounds):
        common = float(_generator("round", axes["architecture"], number).normal(1, 0.05))
        own = rate * common * float(draw.normal(1, 0.008))
        train = [
            [2048, 2048 / (own * float(draw.normal(1, 0.01)) * (0.4 if block == 0 else 1.0))] for block in range(5)
        ]
        found.append(
            {
                "round": number,
                "fresh": True,
                "train": train,
                "inference": [[2048, 2048 / (3 * own * float(draw.normal(1, 0.01)))] for _ in range(4)],
                "latency": [float(draw.lognormal(np.log(40 / own), 0.2)) for _ in range(50)],
                "warmup_blocks": 1,
                # The last block of the first round was disturbed: it counts nowhere.
                "conditions": {
                    "train": [{"disturbed": "waited" if (number, block) == (0, 4) else None} for block in range(5)]
                },
                "import_seconds": cold[0] * float(draw.normal(1, 0.03)),
                "build_seconds": cold[1] * float(draw.normal(1, 0.05)),
                "staging_seconds": 0.01,
                "first_step_seconds": (2.5 if axes["track"] == "tuned" else 0.4) * float(draw.normal(1, 0.05)),
                "peak_memory_bytes": 2.1e8 * float(draw.normal(1, 0.02)),
                "peak_device_bytes": None,
                "load": 0.4,
            }
        )
    metrics: dict[str, float] = {"train_gflops": rate * 2.9e-3, "train_flops": 2.9e6, "inference_flops": 1.1e6}
    rates = {
        kind: [float(np.median([samples / seconds for samples, seconds in item[kind][1:]])) for item in found]
        for kind in ("train", "inference")
    }
    for kind, values in rates.items():
        _put(metrics, f"{kind}_samples_per_second", values)
    _put(metrics, "latency_seconds", [float(np.median(item["latency"])) for item in found])
    calls = [value for item in found for value in item["latency"]]
    for percent in (50, 95, 99):
        metrics[f"latency_p{percent}_seconds"] = float(np.quantile(calls, percent / 100))
    step = axes["batch_size"] / metrics["train_samples_per_second"]
    metrics |= {"train_step_seconds": step}
    for percent, share in ((5, 0.94), (50, 0.99), (95, 1.21)):
        metrics[f"train_step_seconds_p{percent:02}"] = share * step
    for size in BATCHES:
        full = [3.2 * value / (1 + 30 / size) for value in rates["inference"]]
        _put(metrics, f"inference_samples_per_second_b{size}", full)
    for name in ("import_seconds", "build_seconds", "staging_seconds", "first_step_seconds", "peak_memory_bytes"):
        _put(metrics, name, [item[name] for item in found])
    return record(
        "timing",
        axes,
        session=f"{axes['architecture']}-1",
        metrics=metrics,
        samples={"rounds": found},
        steady={"train": "warmup" if axes["track"] == "tuned" else "flat"},
        energy="unavailable: this machine shows no energy counters",
    )


def _put(metrics: dict[str, float], name: str, values: Sequence[float]) -> None:
    middle, half = float(np.median(values)), 2.8 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    metrics |= {name: middle, f"{name}_low": middle - half, f"{name}_high": middle + half}


def _strips(folder: Path, corruption: str, psnr: float, name: str) -> dict[str, str]:
    font = ImageFont.load_default(22)
    clean = Image.new("L", (28 * 8, 28))
    for index, letter in enumerate("aR3kQ7gB"):
        ImageDraw.Draw(clean).text((28 * index + 7, -1), letter, fill=255, font=font)
    draw = _generator("picture", corruption)
    noise = draw.normal(0, 255 * 10 ** (-NOISY_PSNR[corruption] / 20), (28, 28 * 8))
    noisy = Image.fromarray(np.clip(np.asarray(clean) + noise, 0, 255).astype(np.uint8))
    denoised = clean.filter(ImageFilter.GaussianBlur(max(0.3, (22 - psnr) / 5)))
    return {
        "clean": _save(folder, clean, "clean"),
        "noisy": _save(folder, noisy, corruption),
        "denoised": _save(folder, denoised, f"{name}{corruption}"),
    }


def _save(folder: Path, image: Image.Image, name: str) -> str:
    path = folder / "pictures" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.png"
    path.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    path.write_bytes(buffer.getvalue())
    return f"pictures/{path.name}"


def _generator(*key: object) -> np.random.Generator:
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


if __name__ == "__main__":
    make_run(Path(sys.argv[1]), STANDARD if "--standard" in sys.argv else QUICK)
