"""``folder:PATH`` at full resolution: patches to train on, and whole images to be scored.

Files belong to the splits that :mod:`bench.datasets.folder` gives them.  They are read one at a time and not kept: a
folder of photographs would not fit into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.datasets import folder
from bench.datasets.base import MIN_SIZE, Bytes, DataError, Dataset, Whole, check_available
from bench.datasets.patches import ATTEMPTS, NUMBERS, cut
from implementations import counter

TRAIN, TEST, MOST = 10_000, 2_000, 100_000
"""Patches that are cut if nothing is said, and at most."""
LEAST_TEST = 2
"""Whole images without which there is no interval."""


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
    names = splits["test"]
    _check_test(name, names)

    def read(index: int) -> Bytes:
        pixels = _read(root / names[index], channels)
        if min(pixels.shape[:2]) < MIN_SIZE:
            raise DataError(
                f"{names[index]} has {pixels.shape[1]}x{pixels.shape[0]} pixels; to be scored whole it needs "
                f"{MIN_SIZE}x{MIN_SIZE}: remove it from the folder"
            )
        return pixels

    return Whole(name, tuple(names), read)


def check(name: str, train: int | None, test: int | None) -> None:
    """DataError unless there are two test files and one to train on; that they hold images is seen later."""
    check_available(name, MOST, MOST, train, test)
    _check_test(name, _files(name)[1]["test"])


def _check_test(name: str, names: Sequence[str]) -> None:
    if len(names) < LEAST_TEST:
        raise DataError(
            f"dataset {name!r}: evaluate = 'whole' needs at least {LEAST_TEST} test images, there are {len(names)}; "
            "add images, or put them into the folders train and test"
        )


def _files(name: str) -> tuple[Path, dict[str, list[str]], list[str]]:
    """(folder, names by split, notes); files that no decoder opens are left out and noted."""
    from PIL import Image

    root = folder.root_of(name)
    notes: list[str] = []

    def number(path: Path) -> int:
        with Image.open(path):
            return _hash(path, path.stat().st_mtime_ns)

    found = [folder.File(relative, hash) for relative, hash in folder.readable(root, number, notes)]
    if len(found) < 2:
        raise DataError(f"dataset {name!r} needs at least two readable images in {root}, there are {len(found)}")
    splits = folder.split_files(found, notes)
    return root, {split: [picture.name for picture in pictures] for split, pictures in splits.items()}, notes


@lru_cache(maxsize=100_000)
def _hash(path: Path, _modified: int) -> int:
    return folder.hash_of(path.read_bytes())


def _read(path: Path, channels: int) -> Bytes:
    """(h, w, channels).  DataError naming the file."""
    try:
        pixels = np.asarray(folder.opened(path.read_bytes()).convert("RGB" if channels == 3 else "L"), np.uint8)
    except Exception as error:
        raise DataError(
            f"{path.name} could not be read: {str(error) or type(error).__name__}; remove it from the folder"
        ) from None
    return pixels.reshape(*pixels.shape[:2], channels)


def _draw(
    root: Path, names: Sequence[str], split: str, count: int, size: int, channels: int, notes: list[str]
) -> Bytes:
    from PIL import Image

    drawn = counter.uniform((count, ATTEMPTS, NUMBERS), "folder patches", split, channels)
    large = []
    for name in names:
        with Image.open(root / name) as picture:
            sides = picture.size
        if min(sides) >= size:
            large.append(name)
        else:
            notes.append(f"{name} is smaller than {size}x{size} pixels: no patches are cut from it")
    if not large:
        raise DataError(f"{root.name}: no {split} image has {size}x{size} pixels; choose a smaller size")
    images = np.empty((count, size, size, channels), np.uint8)
    for index, name in enumerate(large[:count]):
        images[index :: len(large)] = cut([_read(root / name, channels)], drawn[index :: len(large)], size)
    return images
