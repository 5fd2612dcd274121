"""``folder:PATH`` at full resolution: patches to train on, and whole images to be scored.

Files belong to the splits that :mod:`bench.datasets.folder` gives them.  They are read one at a time and not kept: a
folder of photographs would not fit into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.datasets import folder
from bench.datasets.base import DEFAULT_SIZE, MIN_SIZE, Bytes, DataError, Dataset, Whole, check_available
from bench.datasets.patches import ATTEMPTS, NUMBERS, cut
from implementations import counter

TRAIN, TEST, MOST = 10_000, 2_000, 100_000
"""Patches that are cut if nothing is said, and at most."""


def patches(name: str, train: int | None, test: int | None, size: int, channels: int) -> Dataset:
    """Patches (n, size, size, channels) in turn from every file of a split that is large enough; patch i is the same
    for every n.  DataError where no file is."""
    check_available(name, MOST, MOST, train, test)
    root, splits, notes = _files(name)
    counts = {"train": TRAIN if train is None else train, "test": TEST if test is None else test}
    images = {split: _draw(root, splits[split], split, count, size, channels, notes) for split, count in counts.items()}
    return Dataset(name, images["train"], images["test"], notes=tuple(notes))


def whole(name: str, channels: int) -> Whole:
    """The test files.  DataError where there are fewer than two."""
    root, splits, _ = _files(name)
    names = tuple(picture.name for picture in splits["test"])
    return Whole(name, names, lambda index: _read(root / names[index], channels))


def check(name: str, train: int | None, test: int | None, size: int | None = None) -> tuple[str, ...]:
    """DataError unless there are two test files, and in both splits one that patches of ``size`` can be cut from; else
    what a person should know."""
    check_available(name, MOST, MOST, train, test)
    root, splits, notes = _files(name)
    for split, pictures in splits.items():
        _large(root, pictures, split, size or DEFAULT_SIZE, notes)
    return tuple(notes)


def _files(name: str) -> tuple[Path, dict[str, list[folder.Scanned]], list[str]]:
    """(folder, files by split, notes); those that can not be decoded or scored are left out and noted."""
    root = folder.root_of(name)
    notes: list[str] = []
    found = []
    for picture in folder.scan(root, notes):
        if min(picture.sides) < MIN_SIZE:
            width, height = picture.sides
            least = f"{MIN_SIZE}x{MIN_SIZE}"
            notes.append(f"{picture.name} is left out: it has {width}x{height} pixels, scoring needs {least}")
        else:
            found.append(picture)
    return root, folder.split_files(name, root, found, notes), notes


def _read(path: Path, channels: int) -> Bytes:
    """(h, w, channels).  DataError naming the file."""
    try:
        pixels = np.asarray(folder.opened(path.read_bytes()).convert("RGB" if channels == 3 else "L"), np.uint8)
    except Exception as error:
        raise DataError(
            f"{path.name} could not be read: {str(error) or type(error).__name__}; remove it from the folder"
        ) from None
    return pixels.reshape(*pixels.shape[:2], channels)


def _large(
    root: Path, pictures: Sequence[folder.Scanned], split: str, size: int, notes: list[str]
) -> list[folder.Scanned]:
    """Those that patches of ``size`` can be cut from; the others are noted.  DataError where there are none."""
    large = [picture for picture in pictures if min(picture.sides) >= size]
    notes += [
        f"{picture.name} is smaller than {size}x{size} pixels: no patches are cut from it"
        for picture in pictures
        if min(picture.sides) < size
    ]
    if not large:
        raise DataError(f"{root.name}: no {split} image has {size}x{size} pixels; choose a smaller size")
    return large


def _draw(
    root: Path, pictures: Sequence[folder.Scanned], split: str, count: int, size: int, channels: int, notes: list[str]
) -> Bytes:
    drawn = counter.uniform((count, ATTEMPTS, NUMBERS), "folder patches", split, channels)
    large = _large(root, pictures, split, size, notes)
    images = np.empty((count, size, size, channels), np.uint8)
    for index, picture in enumerate(large[:count]):
        images[index :: len(large)] = cut([_read(root / picture.name, channels)], drawn[index :: len(large)], size)
    return images
