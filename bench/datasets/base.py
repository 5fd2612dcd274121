"""What all data sets share: the type, the error, where files lie, subsets and hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from implementations import aligned, counter
from results.convergence import HeldOut, validation_count

Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]
Shape = tuple[int, int, int]

DEFAULT_SIZE = 28
MIN_SIZE = 11
"""The Gaussian window of the SSIM is 11x11: smaller images could be learnt but not scored."""


class DataError(ValueError):
    """A data set that does not exist, is not here, or can not be read; the message says which and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Images of one shape in two splits: uint8 (n, h, w, c) and, where there are any, labels int64 (n,)."""

    name: str
    train: Bytes
    test: Bytes
    train_labels: Labels | None = None
    test_labels: Labels | None = None
    notes: tuple[str, ...] = ()
    """What a person should know about it, such as files that could not be read, by name."""
    val: Bytes | None = None
    """Images for validation, of neither of the two splits; None where none are held out."""

    @property
    def shape(self) -> Shape:
        """(h, w, c) of every image."""
        height, width, channels = self.train.shape[1:]
        return height, width, channels

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all images (shapes and bytes, train before test and validation), in hexadecimal."""
        digest = hashlib.sha256()
        for images in (self.train, self.test, *(() if self.val is None else (self.val,))):
            digest.update(repr(images.shape).encode())
            digest.update(np.ascontiguousarray(images).data)
        return digest.hexdigest()

    def __post_init__(self) -> None:
        for images in (self.train, self.test):
            assert images.dtype == np.uint8
            assert images.ndim == 4
            assert images.shape[1:] == self.train.shape[1:]


@dataclass(frozen=True)
class Whole:
    """Test images of any size, one at a time: ``read(index)`` gives uint8 (h, w, c)."""

    name: str
    names: tuple[str, ...]
    """Of the images, in order; never an absolute path."""
    read: Callable[[int], Bytes]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class DatasetInfo:
    """One line of ``daebench list datasets``; the counts are None where they depend on the folder."""

    name: str
    summary: str
    train: int | None
    test: int | None
    present: bool
    where: str
    """Where it lies, or how to get it."""


def as_float(images: Bytes) -> NDArray[np.float32]:
    """8-bit images as float32 in [0, 1], where 255 is 1: an array that frameworks can take as it is."""
    values: NDArray[np.float32] = aligned.empty(images.shape, np.float32)
    return np.divide(images, np.float32(255), out=values)  # a copy in float32 first would be a second one


def cache_dir() -> Path:
    """Where this suite keeps what it has downloaded or computed: DAEBENCH_CACHE, or the user's cache folder."""
    named = os.environ.get("DAEBENCH_CACHE")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("daebench", appauthor=False))


def subset(count: int, wanted: int | None, name: str, split: str) -> NDArray[np.int64]:
    """Which of ``count`` images to take: all if ``wanted`` is None, else a random choice in ascending order.

    (That there are enough is :func:`check_available`'s business.)

    The choice depends on the name and the split only, and a smaller one is part of every larger one.
    """
    if wanted is None or wanted == count:
        return np.arange(count)
    return np.sort(counter.permutation(count, "subset", name, split)[:wanted])


def held_out(name: str, count: int, wanted: HeldOut) -> int:
    """How many of ``count`` training images of ``name`` to hold out; DataError if that leaves nothing to train on."""
    if wanted == "test":
        return 0
    number = validation_count(count) if wanted is None else wanted
    if count < 2:
        raise DataError(
            f"{name}: {count} training image{'s' * (count != 1)} can not be split into training and validation, which "
            "need one each: use more images, or val = 'test' to validate on the test images"
        )
    if number >= count:
        raise DataError(
            f"val={number} is not possible with {name}: it is cut from the {count:,} training images and would leave "
            f"none to train on; allowed are 1 to {count - 1}, 'default', or 'test' to validate on the test images"
        )
    return number


def hold_out(data: Dataset, wanted: HeldOut) -> Dataset:
    """``data`` with validation images cut from its training images; as it is if ``wanted`` is "test".

    Which images depends on the name and the count alone, and a smaller choice is part of every larger one.
    """
    count = len(data.train)
    number = held_out(data.name, count, wanted)
    if not number:
        return data
    chosen = counter.permutation(count, "validation", data.name)[:number]
    rest = np.delete(np.arange(count), chosen)
    labels = None if data.train_labels is None else data.train_labels[rest]
    return replace(data, train=data.train[rest], train_labels=labels, val=data.train[np.sort(chosen)])


def check_counts(**wanted: int | None) -> None:
    """DataError for sizes of splits that can not be: fewer than one image to learn from, or two to score."""
    for split, least in (("train", 1), ("test", 2)):
        count = wanted.get(split)
        if count is not None and count < least:
            raise DataError(f"{split}={count} is too few; allowed are {least} and more, or leave it out to take all")


def check_available(name: str, train: int, test: int, wanted_train: int | None, wanted_test: int | None) -> None:
    """DataError if more is wanted of a split than there is."""
    for split, count, wanted in (("train", train, wanted_train), ("test", test, wanted_test)):
        if wanted is not None and wanted > count:
            raise DataError(f"{split}={wanted} is more than there is: {name} has {count:,} {split} images")


def check_shape(name: str, size: int | None, channels: int, largest: int, allowed_channels: tuple[int, ...]) -> Shape:
    """(size, size, channels) if the data set can give that, else DataError."""
    if channels not in allowed_channels:
        words = " or ".join(map(str, allowed_channels))
        raise DataError(f"channels={channels} is not possible with {name}; allowed are {words}")
    if size is None:
        size = DEFAULT_SIZE
    if not MIN_SIZE <= size <= largest:
        raise DataError(f"size={size} is not possible with {name}; allowed are {MIN_SIZE} to {largest}")
    return size, size, channels
