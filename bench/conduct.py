"""What an adapter has to keep to besides computing the right numbers: rules that no certificate shows by name.

A certificate compares numbers of one order of calls with a reference.  Here nothing is compared with a reference but
an adapter with itself: what it is given stays what it is, what it gives out is the caller's, networks of one process
do not meddle with each other, and an epoch's loss is the mean over its samples.

This module runs in a worker, beside one configured adapter.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells import CertificateCell
from bench.parity import SEED, make_images
from bench.tolerances import BY_PRECISION
from implementations.adapter import Adapter
from implementations.architecture import Architecture, SpecificationError
from implementations.parameters import Weights, generic
from implementations.training import Training

SAMPLES = 40
"""Two batches of 16 and a ragged one."""
ALMOST_NOTHING = 1e-20
"""A learning rate by which no weight moves: then the loss of a batch is what it was before the epoch."""

Images = NDArray[Any]


class Stand:
    """An adapter with the network of ``cell`` built, and what the rules need."""

    def __init__(self, adapter: Adapter, cell: CertificateCell) -> None:
        self.adapter, self.cell = adapter, cell
        self.architecture, self.training = cell.make_architecture(), cell.make_training()
        self.tolerances = BY_PRECISION[cell.precision]
        adapter.build(self.architecture, self.training, cell.track)

    @cached_property
    def images(self) -> tuple[Images, Images]:
        """(noisy, clean); the second half is inverted, so that no two batches have the same loss."""
        noisy, clean = (images[:SAMPLES].astype(self.cell.setting.dtype) for images in make_images(self.shape))
        clean[SAMPLES // 2 :] = 1 - clean[SAMPLES // 2 :]
        return noisy, clean

    @property
    def shape(self) -> tuple[int, ...]:
        return self.architecture.input_shape

    @property
    def start(self) -> Weights:
        """The weights that training starts from, new arrays every time."""
        return generic(self.architecture, SEED)

    def begin(self, *, training: Training | None = None) -> None:
        """Weights loaded, data staged; ``training``: built anew with it."""
        if training is not None:
            self.adapter.build(self.architecture, training, self.cell.track)
        self.adapter.load_weights(self.start)
        self.adapter.stage(*self.images)

    def epoch(self, samples: int = SAMPLES) -> float:
        loss = self.adapter.train_epoch(np.arange(samples, dtype=np.int64))
        self.adapter.synchronize()
        return float(loss)


Problems = Iterator[str]


def weights_come_out_as_they_went_in(stand: Stand) -> Problems:
    """Bit for bit, before and after training; and the arrays are copies both ways."""
    given, wanted = stand.start, stand.start
    stand.begin()
    stand.adapter.load_weights(given)
    out = stand.adapter.weights()
    yield from _differences("weights() after load_weights()", out, wanted)
    for value in given.values():
        value += 1
    yield from _differences(
        "weights(), when what load_weights() was given is changed,", stand.adapter.weights(), wanted
    )
    for value in out.values():
        if value.flags.writeable:
            value[...] = 7
    yield from _differences("weights(), when the arrays it gave out are changed,", stand.adapter.weights(), wanted)
    stand.adapter.load_weights(wanted)
    stand.epoch()
    trained = {name: np.array(value) for name, value in stand.adapter.weights().items()}
    if all(np.array_equal(trained[name], wanted[name]) for name in wanted):
        yield "weights() after training are those from before: nothing was trained, or they are no longer the model's"
    before = stand.adapter.reconstruct(stand.images[0])
    stand.adapter.load_weights(trained)
    yield from _differences("weights() after loading trained weights", stand.adapter.weights(), trained)
    apart = float(np.abs(stand.adapter.reconstruct(stand.images[0]) - before).max())
    if not apart <= stand.tolerances.output:
        yield f"the network that is loaded with its own trained weights gives other images, by {apart:.1e}"


def loading_starts_the_optimizer_anew(stand: Stand) -> Problems:
    """Twice the same weights, data and order: twice the same training."""
    stand.begin()
    losses, ends = [], []
    for _ in range(2):
        stand.adapter.load_weights(stand.start)
        losses.append(stand.epoch())
        ends.append(stand.adapter.weights())
    apart = abs(losses[0] - losses[1])
    if not apart <= stand.tolerances.mean_losses[3]:
        yield f"two epochs from the same weights have losses that are {apart:.1e} apart"
    limit = (stand.tolerances.median_weights or stand.tolerances.weights)[3]
    moved = np.concatenate([np.abs(np.subtract(ends[0][name], ends[1][name], dtype=float)).ravel() for name in ends[0]])
    if not np.median(moved) <= limit:
        yield (
            f"two epochs from the same weights end {np.median(moved):.1e} apart (median over weights): does the "
            "optimizer keep its state when weights are loaded?"
        )


def what_is_given_stays_as_it_is(stand: Stand) -> Problems:
    """Staged data, the order, images for inference and differentiation; and inference leaves the weights alone."""
    given = [np.array(images) for images in stand.images]
    order = np.arange(SAMPLES, dtype=np.int64)[::-1].copy()
    kept = order.copy()
    stand.begin()
    stand.adapter.stage(*given)
    calls: dict[str, Callable[[], object]] = {
        "stage and train_epoch": lambda: (stand.adapter.train_epoch(order), stand.adapter.synchronize()),
        "reconstruct": lambda: stand.adapter.reconstruct(given[0]),
        "gradients": lambda: stand.adapter.gradients(given[0][:16], given[1][:16]),
    }
    if stand.architecture.encoder:
        calls["encode"] = lambda: stand.adapter.encode(given[0])
    for verb, call in calls.items():
        before = {name: np.array(value) for name, value in stand.adapter.weights().items()}
        call()
        for what, now, then in zip(("noisy", "clean"), given, stand.images, strict=True):
            if not np.array_equal(now, then):
                yield f"{verb} changes the {what} images that it is given"
        if not np.array_equal(order, kept):
            yield f"{verb} changes the order that it is given"
        if verb != "stage and train_epoch":
            yield from _differences(f"weights() after {verb}", stand.adapter.weights(), before)


def the_loss_of_an_epoch_is_the_mean_over_its_samples(stand: Stand) -> Problems:
    """Batches weighted by their size, the last one smaller, down to a single sample."""
    still = replace(stand.training, optimizer=replace(stand.training.optimizer, learning_rate=ALMOST_NOTHING))
    stand.begin(training=still)
    noisy, clean = stand.images
    size = still.batch_size
    limit = 10 * stand.tolerances.loss
    try:
        for samples in (SAMPLES, size + 1, size // 2):
            parts = [range(first, min(first + size, samples)) for first in range(0, samples, size)]
            losses = [stand.adapter.gradients(noisy[rows.start : rows.stop], clean[rows.start : rows.stop]).loss
                      for rows in parts]  # fmt: skip
            wanted = sum(loss * len(rows) for loss, rows in zip(losses, parts, strict=True)) / samples
            stand.adapter.load_weights(stand.start)
            found = stand.epoch(samples)
            if not abs(found - wanted) <= limit:
                hint = " (it is their plain mean)" if abs(found - sum(losses) / len(losses)) <= limit else ""
                yield (
                    f"train_epoch over {samples} samples in batches of {size} gives {found:.9g}, and the losses of the "
                    f"batches, weighted by their sizes, {wanted:.9g}{hint}"
                )
    finally:
        stand.adapter.build(stand.architecture, stand.training, stand.cell.track)


def images_and_codes_have_their_shapes(stand: Stand) -> Problems:
    """One image, a batch, two batches and a ragged one; in the precision of the setting, and each image by itself."""
    stand.begin()
    noisy, size = stand.images[0], stand.training.batch_size
    latent = stand.architecture.latent_size
    whole = stand.adapter.reconstruct(noisy[: 2 * size + 3])
    for count in (1, size, 2 * size + 3):
        output = stand.adapter.reconstruct(noisy[:count])
        yield from _form(f"reconstruct of {count} images", output, (count, *stand.shape), stand.cell.setting.dtype)
        if np.shape(output) == (count, *stand.shape):
            apart = float(np.abs(output - whole[:count]).max())
            if not apart <= 10 * stand.tolerances.output:
                yield f"reconstruct of {count} images departs by {apart:.1e} from the same images among others"
            if not stand.architecture.is_linear and not (output.min() >= 0 and output.max() <= 1):
                yield f"reconstruct gives values from {output.min():.3g} to {output.max():.3g}: is the sigmoid missing?"
        if latent is not None:
            yield from _form(f"encode of {count} images", stand.adapter.encode(noisy[:count]), (count, latent),
                             stand.cell.setting.dtype)  # fmt: skip
    if latent is None:
        try:
            stand.adapter.encode(noisy[:1])
        except SpecificationError:
            return
        yield "encode of a network without a bottleneck must be refused: call architecture.check_code()"


def a_sibling_leaves_this_network_as_it_is(stand: Stand) -> Problems:
    """It builds, loads, stages and trains another network meanwhile."""
    stand.begin()
    alone = stand.epoch()
    stand.adapter.load_weights(stand.start)
    images, weights = stand.adapter.reconstruct(stand.images[0]), stand.adapter.weights()
    other = stand.adapter.sibling()
    if other is stand.adapter:
        yield "sibling() gives the adapter itself"
        return
    network = _another(stand)
    other.build(network, stand.training, stand.cell.track)
    other.load_weights({name: value * 0.5 for name, value in generic(network, SEED + 1).items()})
    blank = np.zeros((16, *network.input_shape), stand.cell.setting.dtype)
    other.stage(blank, blank)
    other.train_epoch(np.arange(16, dtype=np.int64))
    other.synchronize()
    yield from _differences("weights() after a sibling was trained", stand.adapter.weights(), weights)
    apart = float(np.abs(stand.adapter.reconstruct(stand.images[0]) - images).max())
    if not apart <= stand.tolerances.output:
        yield f"reconstruct gives other images after a sibling was trained, by {apart:.1e}"
    apart = abs(stand.epoch() - alone)
    if not apart <= stand.tolerances.mean_losses[3]:
        yield f"an epoch after a sibling was trained has another loss than one before, by {apart:.1e}"


def facts_are_told(stand: Stand) -> Problems:
    """Versions, availability, memory, the number of parameters."""
    stand.begin()
    versions = stand.adapter.versions()
    if not versions or not all(isinstance(text, str) and text for pair in versions.items() for text in pair):
        yield f"versions() gives {versions!r}: names and versions are needed, as strings"
    for device in type(stand.adapter).devices:
        reason = stand.adapter.availability(device)
        if reason is not None and not (isinstance(reason, str) and reason):
            yield f"availability({device!r}) gives {reason!r}: a sentence is needed, or None"
    memory = stand.adapter.peak_device_memory()
    if memory is not None and not (isinstance(memory, int) and memory >= 0):
        yield f"peak_device_memory() gives {memory!r}: bytes are needed, or None"
    counts = tuple(stand.adapter.parameter_counts())
    network = stand.architecture
    wanted = (network.parameter_count(), network.parameter_count(trainable_only=True))
    if counts != wanted:
        yield f"parameter_counts() gives {counts}; this network has {wanted} (all, trainable)"


RULES: dict[str, Callable[[Stand], Problems]] = {
    rule.__name__: rule
    for rule in (
        facts_are_told,
        weights_come_out_as_they_went_in,
        what_is_given_stays_as_it_is,
        loading_starts_the_optimizer_anew,
        the_loss_of_an_epoch_is_the_mean_over_its_samples,
        images_and_codes_have_their_shapes,
        a_sibling_leaves_this_network_as_it_is,
    )
}
"""By name, as tests call them."""


def examine(adapter: Adapter, cell: CertificateCell) -> dict[str, str | None]:
    """Rule -> what ``adapter``, which is configured, does against it with the network of ``cell``, or None."""
    try:
        stand = Stand(adapter, cell)
    except Exception as error:
        return dict.fromkeys(RULES, f"build: {_told(error)}")
    return {name: "; ".join(dict.fromkeys(_problems(rule, stand))) or None for name, rule in RULES.items()}


def _problems(rule: Callable[[Stand], Problems], stand: Stand) -> Problems:
    """Those of ``rule``, and the error that ended it, if one did: somebody else's adapter may raise anything, and the
    other rules are still to be looked at."""
    try:
        yield from rule(stand)
    except Exception as error:
        yield _told(error)


def _told(error: Exception) -> str:
    """The error, and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    where = f" ({last.name}, line {last.lineno})" if last else ""
    return f"{type(error).__name__}: {error}{where}"


def _another(stand: Stand) -> Architecture:
    """A network of another size, if this backend takes it."""
    from implementations import catalog

    smaller = catalog.make("dense", (6, 5, 1), 2)
    refused = type(stand.adapter).refusal(smaller, stand.training)
    return stand.architecture if refused else smaller


def _differences(what: str, found: Weights, wanted: Weights) -> Problems:
    """The first tensor of ``found`` that is not that of ``wanted``."""
    if set(found) != set(wanted):
        names = ", ".join(sorted(set(found) ^ set(wanted))[:3])
        yield f"{what} has other names than the specification: {names}"
        return
    for name, value in wanted.items():
        if np.shape(found[name]) != np.shape(value):
            yield f"{what} differs at {name}: shape {np.shape(found[name])}, not {np.shape(value)}"
            return
        if not np.array_equal(found[name], value):
            apart = float(np.abs(np.subtract(found[name], value, dtype=float)).max())
            yield f"{what} differs at {name}, by {apart:.1e}"
            return


def _form(what: str, found: Any, shape: tuple[int, ...], dtype: str) -> Problems:
    if not isinstance(found, np.ndarray):
        yield f"{what} gives a {type(found).__name__}; a NumPy array is needed"
    elif found.shape != shape:
        yield f"{what} has shape {found.shape}, not {shape}"
    elif found.dtype != dtype:
        yield f"{what} is {found.dtype}, not {dtype}"
    elif not np.isfinite(found).all():
        yield f"{what} is not finite"
