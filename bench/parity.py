"""The certificate: does this backend, on this track, compute the specification?

Weights, batches and noise are made once; output, loss, every gradient and the weights after 1, 10 and 100 optimizer
steps are compared with :mod:`implementations.reference`.  The steps go through ``train_epoch``, so what is certified
is the very code that is timed: calls of 1, 2, 7 and 90 batches, the tenth batch smaller than the others.  Whether the
clock sees all of it is :mod:`bench.audit`'s to say, and part of the certificate.

This module runs in a worker, beside one configured adapter.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import inspect
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.audit import Audit, audit
from bench.cells import CertificateCell
from bench.datasets import cache_dir
from bench.tolerances import BY_PRECISION, Tolerances
from implementations import architecture as architecture_module
from implementations import counter, parameters, reference
from implementations import training as training_module
from implementations.adapter import REDUCED, Adapter, Track
from implementations.architecture import (
    Architecture,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Dense,
    FrozenBatchNorm,
    Layer,
    Shape,
    is_trainable,
)
from implementations.parameters import Weights, digest, generic
from implementations.training import SGD

Arrays = dict[str, NDArray[np.floating]]
Pairs = dict[str, tuple[Any, Any]]
"""Name -> (what the backend has, what the reference has), in the order of the network."""

SYNCHRONISATION = "synchronisation"
"""The quantity of the audit's check: its deviation is the worst of the audit's figures, its tolerance 1."""
SEED = 7
MARKS = (1, 3, 10, 100)
"""Optimizer steps after which weights are compared."""
IMAGES = 320
"""Distinct images; 100 batches of 16 go round five times."""
INFERENCE_IMAGES = 36
"""Two batches and a ragged one: the path of many images."""
FEW_IMAGES = 4
"""Less than a batch: the path of one call."""
KEEP_BYTES = 1 << 30
"""References are kept until the cache folder holds this much, the oldest go first ..."""
KEEP_SECONDS = 24 * 3600
""" ... but none younger than this, which a run may still need."""


@dataclass(frozen=True)
class Segment:
    """Batches that are trained in one call of ``train_epoch``; ``last_step`` counts from 1."""

    order: NDArray[np.int64]
    last_step: int


def segments(batch_size: int) -> list[Segment]:
    """Step 1, steps 2 and 3, 4 to 10 (with a smaller tenth batch), 11 to 100."""
    endless = np.concatenate(
        [counter.permutation(IMAGES, "certificate", "order", n) for n in range(100 * batch_size // IMAGES + 2)]
    )
    ragged = batch_size - batch_size // 2 + 1 if batch_size > 2 else batch_size
    ends = np.cumsum([batch_size, 2 * batch_size, 6 * batch_size + ragged, 90 * batch_size])
    return [Segment(endless[start:end], step) for start, end, step in zip([0, *ends[:-1]], ends, MARKS, strict=True)]


def make_images(shape: Shape) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(noisy, clean), each (IMAGES, h, w, c), float32 in [0, 1]: blobs on black, clipped, so that there are exact
    zeros, exact ones, ties for the pooling and dead pixels, as in MNIST."""
    from scipy.ndimage import gaussian_filter

    height, width, _ = shape
    field = counter.uniform((IMAGES, *shape), "certificate", "clean", SEED) - 0.5
    smooth = gaussian_filter(field, (0, max(height / 10, 0.7), max(width / 10, 0.7), 0))
    clean = np.clip(0.3 + smooth / smooth.std(), 0.0, 1.0)
    noise = counter.uniform((IMAGES, *shape), "certificate", "noise", SEED) * 2.0 - 1.0
    return np.clip(clean + 0.7 * noise, 0.0, 1.0).astype(np.float32), clean.astype(np.float32)


def reference_path(cell: CertificateCell) -> Path:
    """Where the reference of this specification is, or will be: the cache folder, keyed by all that it follows from."""
    modules = (reference, architecture_module, training_module, counter, parameters)
    sources = b"".join(Path(inspect.getfile(module)).read_bytes() for module in modules)
    sha = hashlib.sha256(sources + Path(__file__).read_bytes())
    # SciPy makes the images; its version is asked without the quarter of a second that importing it takes.
    versions = (np.__version__, importlib.metadata.version("scipy"))
    parts = (cell.make_architecture().digest(), cell.make_training().digest(), *versions)
    sha.update("|".join(parts).encode())
    return cache_dir() / "references" / f"{sha.hexdigest()[:24]}.npz"


def compute_reference(cell: CertificateCell) -> Path:
    """Compute what :func:`certify` compares with, unless it is there.  NumPy alone; seconds.  Returns the file."""
    path = reference_path(cell)
    if path.exists():
        return path
    architecture, training = cell.make_architecture(), cell.make_training()
    noisy, clean = make_images(architecture.input_shape)
    net = reference.Reference(architecture, training, generic(architecture, SEED))
    size = training.batch_size
    parts = segments(size)
    first = parts[0].order
    output, loss, gradients, _ = net.gradients(noisy[first], clean[first])
    arrays: Arrays = {
        "images/noisy": noisy,
        "images/clean": clean,
        "output": net.reconstruct(noisy[:INFERENCE_IMAGES]),
        "training_output": output,
        "loss": np.array(loss),
    }
    if architecture.encoder:
        arrays["code"] = net.encode(noisy[:INFERENCE_IMAGES])
    arrays |= {f"gradient/{name}": value for name, value in gradients.items()}
    for part in parts:
        total = 0.0
        for start in range(0, len(part.order), size):
            rows = part.order[start : start + size]
            total += net.train_step(noisy[rows], clean[rows]) * len(rows)
        arrays[f"losses/{part.last_step}"] = np.array(total / len(part.order))
        arrays |= {f"weights/{part.last_step}/{name}": value for name, value in net.weights.items()}
    _write(path, arrays)
    _prune(path.parent)
    return path


def _read(path: Path) -> Arrays:
    """All of a reference at once: an archive that is asked for one array reads and checks it anew every time."""
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{path.name}")
    with part.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    part.replace(path)


def _prune(folder: Path) -> None:
    """Remove the oldest references beyond :data:`KEEP_BYTES`.  Other workers write and prune at the same time: their
    unfinished files begin with a dot, which ``*`` of :mod:`pathlib` matches too, and any file may be gone already."""
    found = []
    for file in folder.glob("*.npz"):
        with contextlib.suppress(FileNotFoundError):
            if not file.name.startswith("."):
                found.append((file.stat(), file))
    total = sum(stat.st_size for stat, _ in found)
    for stat, file in sorted(found, key=lambda entry: entry[0].st_mtime):
        if total <= KEEP_BYTES or time.time() - stat.st_mtime < KEEP_SECONDS:
            return
        total -= stat.st_size
        file.unlink(missing_ok=True)


def certify(adapter: Adapter, cell: CertificateCell, audits: dict[Track, Audit] | None = None) -> dict[str, Any]:
    """Compare ``adapter``, which is configured but has no model yet, with the reference of ``cell``.

    Returns status ("ok" or "parity_failed"), reason, checks, metrics and hashes as in a record.  ``audits``: those of
    this process by track; one that is missing is made here and kept there for the certificates to come, since
    synchronisation does not depend on the network.  None: what is computed is compared, and nothing is timed.
    """
    architecture, training = cell.make_architecture(), cell.make_training()
    weights = generic(architecture, SEED)
    expected = _read(compute_reference(cell))
    noisy, clean = (expected[f"images/{name}"].astype(cell.setting.dtype, copy=False) for name in ("noisy", "clean"))
    adapter.build(architecture, training, cell.track)
    drift: dict[str, float] = {}
    checks = [
        *_compare_network(adapter, cell, architecture, weights, noisy, clean, expected),
        *_compare_steps(adapter, cell, architecture, weights, noisy, clean, expected, drift),
    ]
    failed = [check for check in checks if not check.ok]
    reason = failed[0].sentence() if failed else None
    # Of what is computed alone: the audit is a measurement, and another one every time.
    metrics = {"worst_ratio": max(check.ratio for check in checks), **drift}
    if cell.precision in REDUCED:
        metrics |= _coarseness(checks, architecture)
    if audits is not None:
        found = audits.get(cell.track)
        if found is None:
            found = audits[cell.track] = audit(adapter, noisy, cell.batch_size, device=cell.device)
        checks.append(Check(SYNCHRONISATION, found.severity, 1.0))
        metrics |= found.figures
        # Numbers that are read too early are wrong for that reason.
        reason = found.reason or reason
    return {
        "status": "parity_failed" if reason else "ok",
        "reason": reason,
        "checks": [check.as_json() for check in checks],
        "metrics": metrics,
        "hashes": {"architecture": architecture.digest(), "training": training.digest(), "weights": digest(weights)},
    }


def _coarseness(checks: list[Check], architecture: Architecture) -> dict[str, float]:
    """How far outputs are from the reference, in units of what float32 is allowed: up to 1, nothing shows that products
    were any coarser than float32's, as where a compiler has taken the conversions out again."""
    exact = BY_PRECISION["float32"]
    found = {check.quantity: check.deviation for check in checks if np.isfinite(check.deviation)}
    limits = {"inference": exact.output, "training": _training_output(architecture, exact)}
    return {
        f"coarseness_{verb}": found[f"output ({verb})"] / limit
        for verb, limit in limits.items()
        if f"output ({verb})" in found
    }


@dataclass(frozen=True)
class Check:
    """One compared quantity.  ``tensor`` is the first (in the order of the network) that departs, or else the one that
    deviates most."""

    quantity: str
    deviation: float
    tolerance: float
    tensor: str | None = None

    @property
    def ok(self) -> bool:
        return bool(self.deviation <= self.tolerance)  # False for NaN

    @property
    def ratio(self) -> float:
        # What is not a number is as wrong as can be; JSON has no infinity.
        return min(self.deviation / self.tolerance, 1e30) if np.isfinite(self.deviation) else 1e30

    def as_json(self) -> dict[str, Any]:
        deviation = float(self.deviation) if np.isfinite(self.deviation) else None
        return {
            "quantity": self.quantity,
            "deviation": deviation,
            "tolerance": self.tolerance,
            "tensor": self.tensor,
            "ok": self.ok,
        }

    def sentence(self) -> str:
        where = f" at {self.tensor}" if self.tensor else ""
        size = f"departs by {self.deviation:.1e}" if np.isfinite(self.deviation) else "is not a finite number"
        return f"{self.quantity} {size}{where} (tolerance {self.tolerance:.0e})"


def _compare_network(
    adapter: Adapter,
    cell: CertificateCell,
    architecture: Architecture,
    weights: Weights,
    noisy: Any,
    clean: Any,
    expected: Arrays,
) -> Iterator[Check]:
    """Counts, weights, inference, codes, and one differentiation."""
    tolerances = BY_PRECISION[cell.precision]
    adapter.load_weights(weights)
    yield Check("parameter count", abs(adapter.parameter_counts()[0] - architecture.parameter_count()), 0.5)
    yield Check(
        "trainable parameter count",
        abs(adapter.parameter_counts()[1] - architecture.parameter_count(trainable_only=True)),
        0.5,
    )
    loaded = adapter.weights()
    yield _check_all("weights as loaded", {name: (loaded.get(name), value) for name, value in weights.items()}, 1e-30)

    output = adapter.reconstruct(noisy[:INFERENCE_IMAGES])
    yield Check("output (inference)", _distance(output, expected["output"]), tolerances.output)
    few = adapter.reconstruct(noisy[:FEW_IMAGES])
    yield Check("output (inference, few images)", _distance(few, expected["output"][:FEW_IMAGES]), tolerances.output)
    if architecture.encoder:
        # Codes are not bounded by 1 as the outputs are.
        scale = max(1.0, float(np.abs(expected["code"]).max()))
        limit = scale * (tolerances.code or tolerances.output)
        yield Check("code", _distance(adapter.encode(noisy[:INFERENCE_IMAGES]), expected["code"]), limit)

    rows = segments(cell.batch_size)[0].order
    gradients = adapter.gradients(noisy[rows], clean[rows])
    limit = _training_output(architecture, tolerances)
    yield Check("output (training)", _distance(gradients.output, expected["training_output"]), limit)
    yield Check("loss", _distance(gradients.loss, expected["loss"]), tolerances.loss)
    wanted = _under("gradient/", expected)
    pairs = {name: (gradients.gradients.get(name), value) for name, value in wanted.items()}
    if tolerances.gradients_norm is not None:
        yield _check_norm("gradient (norm)", pairs, tolerances.gradients_norm)
    if tolerances.gradients is not None:
        largest = max(float(np.abs(value).max()) for value in wanted.values())
        limit = tolerances.gradients * (largest if tolerances.gradients_relative else 1.0)
        yield _check_all("gradient", pairs, limit)
    after = adapter.weights()
    yield _check_all(
        "weights after differentiating", {name: (after.get(name), weights[name]) for name in weights}, 1e-30
    )


def _compare_steps(
    adapter: Adapter,
    cell: CertificateCell,
    architecture: Architecture,
    weights: Weights,
    noisy: Any,
    clean: Any,
    expected: Arrays,
    drift: dict[str, float],
) -> Iterator[Check]:
    """Training; ``drift`` is given the median deviation of the weights after each mark, whether it is judged or not."""
    adapter.load_weights(weights)
    adapter.stage(noisy, clean)
    idle = _idle(architecture) if not isinstance(cell.make_training().optimizer, SGD) else set()
    for part in segments(cell.batch_size):
        loss = adapter.train_epoch(part.order)
        adapter.synchronize()
        trained = adapter.weights()
        wanted = _under(f"weights/{part.last_step}/", expected)
        pairs: Pairs = {name: (trained.get(name), value) for name, value in wanted.items()}
        apart = _median_distance(pairs)
        if np.isfinite(apart):
            drift[f"median_deviation_step_{part.last_step}"] = apart
        yield from _check_step(part, loss, pairs, apart, expected, BY_PRECISION[cell.precision], idle)


def _check_step(
    part: Segment, loss: float, pairs: Pairs, apart: float, expected: Arrays, tolerances: Tolerances, idle: set[str]
) -> Iterator[Check]:
    """``apart``: the median deviation of ``pairs``."""
    step = part.last_step
    if limit := tolerances.mean_losses.get(step):
        yield Check(f"mean loss up to step {step}", _distance(loss, expected[f"losses/{step}"]), limit)
    active = {name: pair for name, pair in pairs.items() if name not in idle}
    if limit := tolerances.weights.get(step):
        yield _check_all(f"weights after step {step}", active, limit)
    if limit := tolerances.median_weights.get(step):
        yield Check(f"weights after step {step} (median)", _median_distance(active) if idle else apart, limit)
    moving = {name: pair for name, pair in pairs.items() if not is_trainable(name)}
    if moving and (share := tolerances.statistics.get(step)):
        largest = max(float(np.abs(value).max()) for _, value in moving.values())
        yield _check_all(f"moving statistics after step {step}", moving, share * largest)
    if idle and (limit := tolerances.idle_weights.get(step)):
        resting = {name: pairs[name] for name in pairs if name in idle}
        yield _check_all(f"weights without gradient after step {step}", resting, limit)


def _under(prefix: str, expected: Arrays) -> Arrays:
    """What stands in a reference under names that begin so, without that, in the order of the network."""
    return {name.removeprefix(prefix): value for name, value in expected.items() if name.startswith(prefix)}


def _median_distance(pairs: Pairs) -> float:
    return float(np.median(np.concatenate([_apart(got, want) for got, want in pairs.values()])))


def _idle(architecture: Architecture) -> set[str]:
    """Biases right before batch normalisation: it takes them out again, so their true gradient is 0."""
    nodes = architecture.nodes()
    return {
        f"{node.name}.bias"
        for node, following in itertools.pairwise(nodes)
        if _takes_statistics(following.layer)
        and isinstance(node.layer, Conv2D | Conv2DTranspose | Dense)
        and not node.layer.activation
    }


def _training_output(architecture: Architecture, tolerances: Tolerances) -> float:
    """What the output in training mode may be away by."""
    normalised = any(_takes_statistics(node.layer) for node in architecture.nodes())
    return tolerances.output_batch_statistics if normalised else tolerances.output


def _takes_statistics(layer: Layer) -> bool:
    """Whether it normalises by the batch that is trained on."""
    return isinstance(layer, BatchNorm) and not isinstance(layer, FrozenBatchNorm)


def _apart(got: Any, want: Any) -> NDArray[np.float64]:
    """Absolute differences, flat; infinite where a tensor is missing or has another shape."""
    if got is None or np.shape(got) != np.shape(want):
        return np.full(np.size(want), np.inf)
    return np.abs(np.asarray(got, np.float64) - np.asarray(want, np.float64)).ravel()


def _distance(got: Any, want: Any) -> float:
    return float(_apart(got, want).max(initial=0.0))


def _check_norm(quantity: str, pairs: Pairs, tolerance: float) -> Check:
    """Of all tensors as one vector: the Euclidean norm of the difference over that of what it should be; with the
    tensor that has most of it."""
    squares = {name: float(np.square(_apart(got, want)).sum()) for name, (got, want) in pairs.items()}
    length = sum(float(np.square(want).sum()) for _, want in pairs.values())
    return Check(
        quantity,
        float(np.sqrt(sum(squares.values()) / length)),
        tolerance,
        max(squares, key=lambda name: squares[name]),
    )


def _check_all(quantity: str, pairs: Pairs, tolerance: float) -> Check:
    """One check over named tensors, which come in the order of the network."""
    distances = {name: _distance(got, want) for name, (got, want) in pairs.items()}
    departing = [name for name, distance in distances.items() if not distance <= tolerance]
    tensor = departing[0] if departing else max(distances, key=lambda name: distances[name])
    return Check(quantity, distances[tensor], tolerance, tensor)
