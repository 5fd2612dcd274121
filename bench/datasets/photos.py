"""``photos``: square patches of the photographs inside scikit-image's own distribution, gray or in colour.

Only files that come with the package are read, never those which scikit-image would download.  Train and test come
from different photographs.  Patches are taken at full and at half resolution; most of the flat ones (sky, background)
are left out, since a denoiser learns and shows little on them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets.base import Bytes, DataError, Dataset, check_available, check_shape
from implementations import counter

PHOTOGRAPHS = {
    "train": {
        "astronaut.png": 3,
        "coffee.png": 3,
        "motorcycle_left.png": 3,
        "hubble_deep_field.jpg": 3,
        "brick.png": 1,
        "gravel.png": 1,
        "coins.png": 1,
        "moon.png": 1,
    },
    "test": {"chelsea.png": 3, "rocket.jpg": 3, "camera.png": 1, "grass.png": 1},
}
"""Files and their channels.  A gray photograph is no source of colour patches."""

TRAIN, TEST, LARGEST = 10_000, 2_000, 256
MOST = 100_000

REDUCTIONS = (1, 2)
FLAT = 12.0
"""A patch whose gray values have a smaller standard deviation (of 255) is flat ..."""
FLAT_KEPT = 0.1
"""... and this share of the flat ones is kept."""
AT_ONCE = 2**22
"""Values of patches that are drawn at once."""
ATTEMPTS = 24
"""Patches drawn for one image until one is accepted; the last is taken as it is."""


def shape(size: int | None, channels: int) -> tuple[int, int, int]:
    """(size, size, channels), or DataError."""
    return check_shape("photos", size, channels, LARGEST, (1, 3))


def load(train: int | None, test: int | None, size: int, channels: int) -> Dataset:
    """The first so many patches of either split; drawn at random, so any number is a random choice."""
    check_available("photos", MOST, MOST, train, test)
    counts = {"train": TRAIN if train is None else train, "test": TEST if test is None else test}
    images = {split: draw(count, split, size, channels) for split, count in counts.items()}
    return Dataset("photos", images["train"], images["test"])


def check(train: int | None, test: int | None) -> None:
    """DataError if a photograph is missing, or if there are not so many patches."""
    check_available("photos", MOST, MOST, train, test)
    for split in PHOTOGRAPHS:
        for name in PHOTOGRAPHS[split]:
            _path(name)


def draw(count: int, split: str, size: int, channels: int) -> Bytes:
    """Patches (count, size, size, channels); patch i is the same for every count."""
    planes = _planes(split, size, channels)
    drawn = counter.uniform((count, ATTEMPTS, 4), "photos", split, channels)
    block = max(1, AT_ONCE // (size * size * channels))
    return np.concatenate([_cut(planes, drawn[start : start + block], size) for start in range(0, count, block)])


def _cut(planes: list[Bytes], drawn: NDArray[np.float64], size: int) -> Bytes:
    """One patch for each row of drawn numbers (n, ATTEMPTS, 4)."""
    patches = np.empty((len(drawn), size, size, planes[0].shape[2]), np.uint8)
    open_ = np.arange(len(drawn))
    for attempt in range(ATTEMPTS):
        which, y, x, luck = drawn[open_, attempt].T
        which = (which * len(planes)).astype(np.int64)
        for index, plane in enumerate(planes):
            mine = which == index
            windows = np.lib.stride_tricks.sliding_window_view(plane, (size, size), axis=(0, 1))  # (y, x, c, h, w)
            top = (y[mine] * windows.shape[0]).astype(np.int64)
            left = (x[mine] * windows.shape[1]).astype(np.int64)
            patches[open_[mine]] = windows[top, left].transpose(0, 2, 3, 1)
        flat = patches[open_].mean(axis=3).std(axis=(1, 2)) < FLAT
        open_ = open_[flat & (luck >= FLAT_KEPT)]
        if not len(open_):
            break
    return patches


def _planes(split: str, size: int, channels: int) -> list[Bytes]:
    """The photographs (h, w, channels) of a split at every reduction that still holds a patch."""
    from PIL import Image

    planes = []
    for name, available in PHOTOGRAPHS[split].items():
        if available < channels:
            continue
        with Image.open(_path(name)) as file:
            photograph = file.convert("RGB" if channels == 3 else "L")
        for factor in REDUCTIONS:
            pixels = np.asarray(photograph.reduce(factor))
            if min(pixels.shape[:2]) >= size:
                planes.append(pixels.reshape(*pixels.shape[:2], channels))
    return planes


def _path(name: str) -> Path:
    # Importing scikit-image for its location would take half a second.
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise DataError("photos needs scikit-image, which is not installed; run: pip install scikit-image")
    path = Path(found.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise DataError(f"photos needs {path}, which this version of scikit-image does not have; install 0.25 or 0.26")
    return path
