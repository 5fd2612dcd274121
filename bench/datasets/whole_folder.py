"""``folder:PATH`` at full resolution: patches to train on, and whole images to be scored.

Files belong to the splits that :mod:`bench.datasets.folder` gives them.  They are read one at a time and not kept: a
folder of photographs would not fit into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.datasets import folder
from bench.datasets.base import (
    DEFAULT_SIZE,
    MIN_SIZE,
    Bytes,
    DataError,
    Dataset,
    Whole,
    check_available,
    held_out,
)
from bench.datasets.patches import ATTEMPTS, NUMBERS, cut
from implementations import counter
from results.convergence import HeldOut

TRAIN, TEST, MOST = 10_000, 2_000, 100_000
"""Patches that are cut if nothing is said, and at most."""
VALIDATION_FILES = 5
"""One in so many training files is for validation."""


def patches(name: str, train: int | None, test: int | None, size: int, channels: int, val: HeldOut = "test") -> Dataset:
    """Patches (n, size, size, channels) in turn from every file of a split that is large enough; patch i is the same
    for every n.  ``val`` of the training patches are cut from files of their own.  DataError where no file is."""
    check_available(name, MOST, MOST, train, test)
    root, splits, notes = _files(name)
    counts = {"train": TRAIN if train is None else train, "test": TEST if test is None else test}
    number = held_out(name, counts["train"], val)
    if number:
        counts |= {"train": counts["train"] - number, "validation": number}
        splits |= _with_validation(splits, size, notes)
    images = {split: _draw(root, splits[split], split, count, size, channels, notes) for split, count in counts.items()}
    return Dataset(name, images["train"], images["test"], notes=tuple(notes), val=images.get("validation"))


def _with_validation(
    splits: dict[str, list[folder.Scanned]], size: int, notes: list[str]
) -> dict[str, list[folder.Scanned]]:
    """The splits train and validation: of the training files that patches can be cut from, a fifth by their hash and
    at least one, for what has been seen in part is no test of what has not.  A single file serves both, which is
    noted.  Files of a folder ``val`` are its own."""
    if splits.get("validation"):
        return {}
    large = sorted((one for one in splits["train"] if min(one.sides) >= size), key=lambda one: (one.hash, one.name))
    if len(large) < 2:
        notes.append(
            "validation patches are cut from the only training image that is large enough, so they overlap with what "
            "is trained on; more images avoid that"
        )
        return {"validation": large}
    chosen = large[: max(len(large) // VALIDATION_FILES, 1)]
    return {"train": [one for one in splits["train"] if one not in chosen], "validation": chosen}


def whole(name: str, channels: int) -> Whole:
    """The test files.  DataError where there are fewer than two."""
    root, splits, _ = _files(name)
    names = tuple(picture.name for picture in splits["test"])
    return Whole(name, names, lambda index: _read(root / names[index], channels))


def check(
    name: str, train: int | None, test: int | None, size: int | None = None, val: HeldOut = "test"
) -> tuple[str, ...]:
    """DataError unless there are two test files, and in both splits one that patches of ``size`` can be cut from; else
    what a person should know."""
    check_available(name, MOST, MOST, train, test)
    root, splits, notes = _files(name)
    if held_out(name, TRAIN if train is None else train, val):
        splits |= _with_validation(splits, size or DEFAULT_SIZE, notes)
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
