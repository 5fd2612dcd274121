"""One trial inside one worker: the same bytes for every backend in, a scored network out.

The harness makes everything random (noise, batch order, initial weights) from counter-based generators and does all
scoring; the adapter trains and reconstructs.  Only :meth:`Adapter.train_epoch` counts as training time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import afterwards, corruption, datasets, quality, transfer, whole
from bench.cells import Noised, TrialCell
from bench.kept import save_strip
from bench.learning import Tell, learn
from bench.lru import Lru
from bench.networks import Networks, compiling_length
from bench.parts import Parts
from implementations import aligned, counter, parameters
from implementations.adapter import Adapter, source_digest
from implementations.training import Training
from results import convergence

Images = NDArray[np.float32]

PICTURES = 8
"""Test images shown: enough to see what a network does to different images, few enough for one strip."""
DATA_KEPT = 2
"""Clean and noisy sets kept in a worker ..."""
KEPT_BYTES = 2**26
"""... but beside the one in use none beyond this: a full MNIST in float32 is 220 MB."""


@dataclass(frozen=True)
class Clean:
    """A data set as the networks see it: float32 (n, h, w, c) in [0, 1]."""

    train: Images
    test: Images
    digest: str
    train_labels: datasets.Labels | None = None
    test_labels: datasets.Labels | None = None
    """Classes by image, (n,), where the data set has them."""
    val: Images | None = None
    """Images that choose: when to stop, which epoch was best.  None where the test images do."""

    @property
    def checked(self) -> Images:
        """The images that learning curves are taken on."""
        return self.test if self.val is None else self.val

    @property
    def counts(self) -> dict[str, int]:
        """How many images there are of each split; those of validation are the test images where none are held out."""
        return {"train": len(self.train), "validation": len(self.checked), "test": len(self.test)}

    @cached_property
    def mean_image(self) -> Images:
        """The mean training image, (1, h, w, c): what a network gives that looks at nothing."""
        mean: NDArray[np.float64] = self.train.mean(axis=0, dtype=np.float64, keepdims=True)
        return mean.astype(np.float32)

    @cached_property
    def mean_image_scores(self) -> quality.Basic:
        """Of the mean training image in place of every test image."""
        return quality.score_basic(np.broadcast_to(self.mean_image, self.test.shape), self.test)


@dataclass
class Noisy:
    """The corrupted sets, and what does not depend on any network: the noisy input's own scores and pictures.

    ``train`` has the noise of ``epoch``: noise that is drawn afresh goes into the same memory.
    """

    train: Images
    test: Images
    digest: str
    test_digest: str
    """Of the test images alone: equal where a training set stands several times, each copy with noise of its own."""
    scores: quality.Scores
    pictures: dict[str, str] = field(default_factory=dict)
    epoch: int | None = 0
    val: Images | None = None

    @property
    def checked(self) -> Images:
        """The images that learning curves are taken on."""
        return self.test if self.val is None else self.val

    def draw(self, cell: Noised, clean: Clean, epoch: int) -> None:
        """Let ``train`` have the noise of ``epoch``."""
        if self.epoch != epoch:
            self.epoch = None  # should it be interrupted, this is no noise at all
            _corrupt_train(cell, clean.train, epoch, self.train)
            self.epoch = epoch


class TrialBench:
    """Runs trials with one configured adapter, or with the networks that it has built so far.  What trials have in
    common (data, noise, built networks) is kept."""

    def __init__(self, given: Adapter | Networks) -> None:
        self.networks = given if isinstance(given, Networks) else Networks(given)
        self.adapter = self.networks.adapter
        """That of the last trial."""
        self._clean: Lru[Clean] = Lru(DATA_KEPT, _bytes, KEPT_BYTES)
        self._noisy: Lru[Noisy] = Lru(DATA_KEPT, _bytes, KEPT_BYTES)
        self._parts = Parts()
        self._shared = afterwards.Shared()
        self._flat: Lru[quality.Basic] = Lru(DATA_KEPT)
        self._staged = False

    def run(self, cell: TrialCell, folder: Path, tell: Tell | None = None) -> dict[str, Any]:
        """Train and score ``cell``; pictures go to ``folder``/pictures.  A long training tells ``tell`` how far it is:
        ``epoch``, ``epochs``, ``psnr`` in dB, ``seconds_left``.

        Returns ``status`` ("ok" or "diverged"), ``reason``, ``metrics``, ``curve``, ``pictures``, ``hashes``, ``parts``
        (seconds by what was done, see results/README.md); of native cells also ``constants`` and ``matched``.
        Exceptions of the adapter or the data pass through.
        """
        self._parts = parts = Parts()
        architecture, training = cell.make_architecture(), cell.make_training()
        clean, noisy = self._data(cell)
        # Every copy of an image has the same target.
        targets = _repeated(clean.train, cell.repeats)
        with parts("build_seconds"):
            self._obtain(cell, noisy, targets)
        with parts("weights_seconds"):
            weights = self._initial_weights(cell, training)
            self.adapter.load_weights(weights)

        self._stage(noisy.train, targets, cell)
        learned = learn(self.adapter, cell, clean, noisy, parts, lambda: self._stage(noisy.train, targets, cell), tell)
        curve, failure, scored, denoised = learned.curve, learned.failure, None, noisy.test
        if failure is None and cell.evaluate == "patches":
            denoised = self._denoise(cell, noisy)
            failure = None if np.isfinite(denoised).all() else "the output is not finite on a test image"
        elif failure is None:
            with parts("score_seconds"):
                scored = whole.evaluate(cell, whole.trained(self.adapter, cell))
            failure = None if scored.finite else "the output is not finite on a whole image"
        hashes = {
            "data": clean.digest,
            "noisy": noisy.digest,
            "noisy_test": noisy.test_digest,
            "weights": parameters.digest(weights),
            "order": learned.orders,
            "architecture": architecture.digest(),
            "adapter": source_digest(type(self.adapter)),
        }
        result: dict[str, Any] = {
            "curve": curve, "hashes": hashes, "metrics": {}, "pictures": {}, "parts": parts.seconds,
            "stopped": learned.stopped, "images": clean.counts,
        }  # fmt: skip
        if training.native:
            result |= {"constants": self.adapter.constants(), "matched": cell.matched().key()}
        if failure is not None:
            return {**result, "status": "diverged", "reason": failure}
        values = math.prod(architecture.input_shape)
        if scored is None:
            with parts("score_seconds"):
                scores, before = quality.score(denoised, clean.test), noisy.scores
            with parts("keep_seconds"):
                result["pictures"] = _pictures(folder, clean, noisy, denoised)
        else:
            scores, before = scored.scores, scored.noisy
            result["pictures"] = {name: save_strip(images, folder) for name, images in scored.pictures.items()}
            hashes |= scored.hashes(clean.digest, noisy.digest)
        with parts("score_seconds"):
            summary = quality.summarise(scores, before)
            summary |= self._mean_image(cell, clean, scores, before)
        result["metrics"] = {
            **summary,
            **convergence.rising_metrics(curve),
            "train_loss": learned.scored["train_loss"],
            "validation_loss": learned.scored["validation_loss"],
            "train_seconds": curve[-1]["seconds"],
            "parameters": architecture.parameter_count(),
            "trainable_parameters": architecture.parameter_count(trainable_only=True),
        }
        if architecture.latent_size is not None:
            code = architecture.latent_size
            result["metrics"] |= {"latent_size": code, "compression": values / code}
        if cell.codes:  # probes are fitted to the noise of the first epoch
            with parts("noise_seconds"):
                noisy.draw(cell, clean, 0)
        with parts("keep_seconds"):
            result |= afterwards.judge(self.adapter, cell, clean, noisy, scores, before, folder, self._shared, parts)
        return {**result, "status": "ok", "reason": None}

    def _obtain(self, cell: TrialCell, noisy: Noisy, targets: Images) -> None:
        """Let :attr:`adapter` be one that has built the network of ``cell`` and has compiled all that it needs."""
        network = self.networks.find(cell)
        if network is None:
            with self.networks.building(cell) as network:
                self._use(network.adapter, cell)
                self.adapter.build(cell.make_architecture(), cell.make_training(), cell.track)
        else:
            self._use(network.adapter, cell)
        # Compilation is not training, and later cells of this network do without it.
        length = compiling_length(self.adapter.compiles, len(noisy.train), cell.batch_size)
        if length and length not in network.epochs:
            self.adapter.load_weights(parameters.initialise(cell.make_architecture(), cell.seed))
            self._stage(noisy.train, targets, cell)
            self.adapter.train_epoch(np.arange(length, dtype=np.int64))
            self.adapter.synchronize()
            network.epochs.add(length)

    def _use(self, adapter: Adapter, cell: TrialCell) -> None:
        """Go on with ``adapter``; the data of a trial are held by one adapter at a time."""
        if adapter is not self.adapter:
            self._unstage(cell)
        self.adapter = adapter

    def _unstage(self, cell: TrialCell) -> None:
        if self._staged:
            one = np.zeros((2, cell.height, cell.width, cell.channels), cell.setting.dtype)
            self.adapter.stage(one, one)
            self._staged = False

    def _data(self, cell: TrialCell) -> tuple[Clean, Noisy]:
        """What ``cell`` is trained and scored on, kept or made, with the noise of the first epoch."""
        noise_key = (data_key(cell), cell.corruption, cell.clip, cell.seed, cell.repeats)
        if noise_key not in self._noisy and self._noisy.weight() > KEPT_BYTES:
            # A large set that goes is let go of by everybody before the next is made.
            self._unstage(cell)
        with self._parts("data_seconds"):
            clean = self._clean.get(data_key(cell), lambda: load_clean(cell))
        with self._parts("noise_seconds"):
            noisy = self._noisy.get(noise_key, lambda: corrupted(cell, clean, self._parts))
            noisy.draw(cell, clean, 0)
        return clean, noisy

    def _initial_weights(self, cell: TrialCell, training: Training) -> parameters.Weights:
        """Drawn once for all backends, or by the framework itself."""
        if training.native:
            return self.adapter.initial_weights(cell.seed)
        return parameters.initialise(cell.make_architecture(), cell.seed)

    def _stage(self, noisy: Images, clean: Images, cell: TrialCell) -> None:
        dtype = np.dtype(cell.setting.dtype)
        self._staged = True
        with self._parts("staging_seconds"):
            self.adapter.stage(noisy.astype(dtype, copy=False), clean.astype(dtype, copy=False))

    def _denoise(self, cell: TrialCell, noisy: Noisy) -> Images:
        """The noisy test images, denoised."""
        with self._parts("reconstruct_seconds"):
            denoised = np.asarray(self.adapter.reconstruct(noisy.test.astype(cell.setting.dtype, copy=False)))
        return denoised.astype(np.float32, copy=False)

    def _mean_image(
        self, cell: TrialCell, clean: Clean, scores: quality.Scores, before: quality.Scores
    ) -> dict[str, float]:
        """Metrics of the mean training image on the same test images, and the lead of ``scores`` over it."""
        if cell.evaluate == "whole":
            flat = clean.train.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
            scored = self._flat.get(data_key(cell), lambda: whole.score_flat(cell, flat))
        else:
            scored = clean.mean_image_scores
        return quality.over_mean_image(scores, before, scored)


def data_key(cell: Noised) -> Hashable:
    """Equal for cells with the same clean images."""
    return (cell.dataset, cell.train, cell.test, cell.val, cell.height, cell.width, cell.channels, cell.evaluate)


def load_clean(cell: Noised) -> Clean:
    """The images of ``cell``, or the patches that are cut where whole images are to be scored.  DataError where they
    can not be had."""
    load = datasets.load_patches if cell.evaluate == "whole" else datasets.load
    data = load(cell.dataset, train=cell.train, test=cell.test, size=cell.height, channels=cell.channels, val=cell.val)
    if data.shape != (cell.height, cell.width, cell.channels):
        raise datasets.DataError(
            f"{cell.dataset}: images of shape {data.shape}, not {(cell.height, cell.width, cell.channels)}"
        )
    train, test = datasets.as_float(data.train), datasets.as_float(data.test)
    val = None if data.val is None or cell.val == "test" else datasets.as_float(data.val)
    return Clean(train, test, data.digest, data.train_labels, data.test_labels, val)


def _corrupt_train(cell: Noised, images: Images, epoch: int, out: Images | None = None) -> Images:
    """All copies of the training images, (repeats * n, h, w, c), in ``out`` if it is given: copy k of image i has the
    noise of image k * n + i."""
    noise, count = corruption.parse(cell.corruption), len(images)
    if out is None:
        out = aligned.empty((cell.repeats * count, *images.shape[1:]), np.float32)
    for first in range(0, len(out), max(count, 1)):
        part = out[first : first + count]
        corruption.corrupt(
            images, noise, seed=cell.seed, split="train", epoch=epoch, clip=cell.clip, first=first, out=part
        )
    return out


def _repeated(images: Images, repeats: int) -> Images:
    if repeats == 1:
        return images
    copies: Images = aligned.empty((repeats * len(images), *images.shape[1:]), images.dtype)
    copies.reshape(repeats, *images.shape)[:] = images
    return copies


def corrupted(cell: Noised, clean: Clean, parts: Parts | None = None) -> Noisy:
    """The images of ``cell`` with the noise of its first epoch, and the noisy test images' scores."""
    train = _corrupt_train(cell, clean.train, 0)
    test = transfer.corrupt_test(cell, clean.test, cell.corruption)
    with (parts or Parts())("score_seconds"):
        scores = quality.score(test, clean.test)
    val = None
    if clean.val is not None:
        noise = corruption.parse(cell.corruption)
        val = corruption.corrupt(clean.val, noise, seed=cell.seed, split="validation", clip=cell.clip)
    return Noisy(train, test, _digest(train, test), _digest(test), scores, val=val)


def _bytes(data: Clean | Noisy) -> int:
    return data.train.nbytes + data.test.nbytes + (0 if data.val is None else data.val.nbytes)


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
