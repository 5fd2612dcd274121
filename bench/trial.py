"""One trial inside one worker: the same bytes for every backend in, a scored network out.

The harness makes everything random (noise, batch order, initial weights) from counter-based generators and does all
scoring; the adapter trains and reconstructs.  Only :meth:`Adapter.train_epoch` counts as training time.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import afterwards, corruption, datasets, quality, transfer, whole
from bench.cells import Noised, TrialCell
from bench.kept import save_strip
from bench.lru import Lru
from implementations import counter, parameters
from implementations.adapter import Adapter, source_digest
from implementations.parameters import Array
from implementations.training import Loss, Training

Images = NDArray[np.float32]

PICTURES = 8
"""Test images shown: enough to see what a network does to different images, few enough for one strip."""
DATA_KEPT = 2
"""Clean and noisy sets kept in a worker: a full MNIST in float32 is 220 MB."""
PROBABILITY_FLOOR = 1e-7
"""Outputs are kept this far from 0 and 1 in the validation BCE: in float32 a confident sigmoid rounds to exactly 1."""
TELL_SECONDS = 30.0
"""So long is nothing said of a training that goes on."""

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Clean:
    """A data set as the networks see it: float32 (n, h, w, c) in [0, 1]."""

    train: Images
    test: Images
    digest: str
    train_labels: datasets.Labels | None = None
    test_labels: datasets.Labels | None = None
    """Classes by image, (n,), where the data set has them."""


@dataclass
class Noisy:
    """The corrupted sets, and what does not depend on any network: the noisy input's own scores and pictures."""

    train: Images
    test: Images
    digest: str
    test_digest: str
    """Of the test images alone: equal where a training set stands several times, each copy with noise of its own."""
    scores: quality.Scores
    pictures: dict[str, str] = field(default_factory=dict)


class TrialBench:
    """Runs trials with one configured adapter.  What trials have in common (data, noise, built model) is kept."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._clean: Lru[Clean] = Lru(DATA_KEPT)
        self._noisy: Lru[Noisy] = Lru(DATA_KEPT)
        self._shared = afterwards.Shared()
        self._built: Hashable = None

    def run(self, cell: TrialCell, folder: Path, tell: Tell | None = None) -> dict[str, Any]:
        """Train and score ``cell``; pictures go to ``folder``/pictures.  A long training tells ``tell`` how far it is:
        ``epoch``, ``epochs``, ``psnr`` in dB, ``seconds_left``.

        Returns ``status`` ("ok" or "diverged"), ``reason``, ``metrics``, ``curve``, ``pictures``, ``hashes``; of native
        cells also ``constants`` and ``matched``.
        Exceptions of the adapter or the data pass through.
        """
        architecture, training = cell.make_architecture(), cell.make_training()
        clean = self._clean.get(data_key(cell), lambda: load_clean(cell))
        noisy = self._noisy.get(
            (data_key(cell), cell.corruption, cell.clip, cell.seed, cell.repeats), lambda: corrupted(cell, clean)
        )
        build_key = (architecture.digest(), training.digest(), cell.track)
        if build_key != self._built:
            self._built = None  # should build fail, nothing is built
            self.adapter.build(architecture, training, cell.track)
            self.adapter.load_weights(parameters.initialise(architecture, cell.seed))
            self._stage(noisy.train, _repeated(clean.train, cell.repeats), cell)
            # Compilation is not training, and later cells of this build do without it.  Only an epoch of the full
            # length compiles all that is needed: some backends compile whole epochs.
            self.adapter.train_epoch(np.arange(len(noisy.train), dtype=np.int64))
            self.adapter.synchronize()
            self._built = build_key
        weights = self._initial_weights(cell, training)
        self.adapter.load_weights(weights)

        curve, orders, denoised, failure = self._train(cell, clean, noisy, tell)
        scored = None
        if failure is None and cell.evaluate == "whole":
            scored = whole.evaluate(cell, whole.trained(self.adapter, cell))
            failure = None if scored.finite else "the output is not finite on a whole image"
        hashes = {
            "data": clean.digest,
            "noisy": noisy.digest,
            "noisy_test": noisy.test_digest,
            "weights": parameters.digest(weights),
            "order": orders,
            "architecture": architecture.digest(),
            "adapter": source_digest(type(self.adapter)),
        }
        result: dict[str, Any] = {"curve": curve, "hashes": hashes, "metrics": {}, "pictures": {}}
        if training.native:
            result |= {"constants": self.adapter.constants(), "matched": cell.matched().key()}
        if failure is not None:
            return {**result, "status": "diverged", "reason": failure}
        values = math.prod(architecture.input_shape)
        if scored is None:
            scores, before = quality.score(denoised, clean.test), noisy.scores
            result["pictures"] = _pictures(folder, clean, noisy, denoised)
        else:
            scores, before = scored.scores, scored.noisy
            result["pictures"] = {name: save_strip(images, folder) for name, images in scored.pictures.items()}
            hashes |= scored.hashes(clean.digest, noisy.digest)
        result["metrics"] = {
            **quality.summarise(scores, before),
            "train_loss": curve[-1]["train_loss"],
            "validation_loss": curve[-1]["validation_loss"],
            "train_seconds": curve[-1]["seconds"],
            "parameters": architecture.parameter_count(),
            "trainable_parameters": architecture.parameter_count(trainable_only=True),
        }
        if architecture.latent_size is not None:
            code = architecture.latent_size
            result["metrics"] |= {"latent_size": code, "compression": values / code}
        result |= afterwards.judge(self.adapter, cell, clean, noisy, scores, folder, self._shared)
        return {**result, "status": "ok", "reason": None}

    def _initial_weights(self, cell: TrialCell, training: Training) -> parameters.Weights:
        """Drawn once for all backends, or by the framework itself."""
        if training.native:
            return self.adapter.initial_weights(cell.seed)
        return parameters.initialise(cell.make_architecture(), cell.seed)

    def _stage(self, noisy: Images, clean: Images, cell: TrialCell) -> None:
        dtype = np.dtype(cell.setting.dtype)
        self.adapter.stage(noisy.astype(dtype, copy=False), clean.astype(dtype, copy=False))

    def _train(
        self, cell: TrialCell, clean: Clean, noisy: Noisy, tell: Tell | None
    ) -> tuple[list[dict[str, float]], str, Images, str | None]:
        """(curve, hash of all batch orders, denoised test images, why it diverged or None)."""
        targets = _repeated(clean.train, cell.repeats)
        self._stage(noisy.train, targets, cell)
        test = noisy.test.astype(cell.setting.dtype, copy=False)
        denoised = test
        sha = hashlib.sha256()
        curve: list[dict[str, float]] = []
        seconds = 0.0
        begun = told = time.monotonic()
        for epoch in range(cell.epochs):
            if cell.refresh and epoch:
                fresh = _corrupt_train(cell, clean.train, epoch)
                self._stage(fresh, targets, cell)
            order = counter.permutation(len(targets), "order", cell.seed, epoch)
            sha.update(order.astype("<i8").tobytes())
            start = time.perf_counter()
            train_loss = float(self.adapter.train_epoch(order))
            self.adapter.synchronize()
            seconds += time.perf_counter() - start
            if not math.isfinite(train_loss):
                return curve, sha.hexdigest()[:16], noisy.test, f"training loss is {train_loss} in epoch {epoch + 1}"
            denoised = np.asarray(self.adapter.reconstruct(test))
            if not np.isfinite(denoised).all():
                return curve, sha.hexdigest()[:16], noisy.test, f"the output is not finite after epoch {epoch + 1}"
            curve.append(
                {
                    "epoch": epoch + 1,
                    "train_loss": train_loss,
                    "validation_loss": self._validation_loss(cell, clean, denoised),
                    "psnr": mean_psnr(denoised, clean.test),
                    "seconds": seconds,
                }
            )
            moment = time.monotonic()
            if tell is not None and moment - told >= TELL_SECONDS and epoch + 1 < cell.epochs:
                told = moment
                left = (moment - begun) / (epoch + 1) * (cell.epochs - epoch - 1)
                tell({"epoch": epoch + 1, "epochs": cell.epochs, "psnr": curve[-1]["psnr"], "seconds_left": left})
        return curve, sha.hexdigest()[:16], denoised.astype(np.float32, copy=False), None

    def _validation_loss(self, cell: TrialCell, clean: Clean, denoised: Array) -> float:
        """``denoised``: what became of the noisy test images."""
        output = denoised
        if cell.validation == "clean":
            output = self.adapter.reconstruct(clean.test.astype(cell.setting.dtype, copy=False))
        return image_loss(cell.loss, output, clean.test)


def image_loss(loss: Loss, output: Array, clean: Array) -> float:
    """The mean loss over all values of images (n, h, w, c), in float64, from outputs behind the sigmoid."""
    p, y = output.astype(np.float64), clean.astype(np.float64)
    if loss == "mse":
        return float(np.square(p - y).mean())
    p = np.clip(p, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())


def mean_psnr(images: Array, clean: Array) -> float:
    """Mean over images (n, h, w, c) of the PSNR in dB, as :mod:`bench.quality` has it, without the cost of SSIM."""
    error = np.square(images.astype(np.float64) - clean).mean(axis=(1, 2, 3))
    return float(-10 * np.log10(np.maximum(error, quality.MSE_FLOOR)).mean())


def data_key(cell: Noised) -> Hashable:
    """Equal for cells with the same clean images."""
    return (cell.dataset, cell.train, cell.test, cell.height, cell.width, cell.channels, cell.evaluate)


def load_clean(cell: Noised) -> Clean:
    """The images of ``cell``, or the patches that are cut where whole images are to be scored.  DataError where they
    can not be had."""
    load = datasets.load_patches if cell.evaluate == "whole" else datasets.load
    data = load(cell.dataset, train=cell.train, test=cell.test, size=cell.height, channels=cell.channels)
    if data.shape != (cell.height, cell.width, cell.channels):
        raise datasets.DataError(
            f"{cell.dataset}: images of shape {data.shape}, not {(cell.height, cell.width, cell.channels)}"
        )
    train, test = datasets.as_float(data.train), datasets.as_float(data.test)
    return Clean(train, test, data.digest, data.train_labels, data.test_labels)


def _corrupt_train(cell: Noised, images: Images, epoch: int) -> Images:
    """All copies of the training images, (repeats * n, h, w, c): copy k of image i has the noise of image k * n + i."""
    noise = corruption.parse(cell.corruption)
    images = _repeated(images, cell.repeats)
    return corruption.corrupt(images, noise, seed=cell.seed, split="train", epoch=epoch, clip=cell.clip)


def _repeated(images: Images, repeats: int) -> Images:
    return images if repeats == 1 else np.tile(images, (repeats, 1, 1, 1))


def corrupted(cell: Noised, clean: Clean) -> Noisy:
    """The images of ``cell`` with the noise of its first epoch, and the noisy test images' scores."""
    train = _corrupt_train(cell, clean.train, 0)
    test = transfer.corrupt_test(cell, clean.test, cell.corruption)
    return Noisy(train, test, _digest(train, test), _digest(test), quality.score(test, clean.test))


def _digest(*sets: Images) -> str:
    sha = hashlib.sha256()
    for images in sets:
        sha.update(np.ascontiguousarray(images, "<f4").data)
    return sha.hexdigest()[:16]


def _pictures(folder: Path, clean: Clean, noisy: Noisy, denoised: Images) -> dict[str, str]:
    # The same images for every cell of a data set, whatever the seed: backends are to be compared by eye.
    chosen = np.sort(counter.permutation(len(clean.test), "pictures")[:PICTURES])
    if not noisy.pictures:
        noisy.pictures |= {
            "clean": save_strip(clean.test[chosen], folder),
            "noisy": save_strip(noisy.test[chosen], folder),
        }
    return {**noisy.pictures, "denoised": save_strip(denoised[chosen], folder)}
