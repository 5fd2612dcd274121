"""``photos``: square patches of the photographs inside scikit-image's own distribution, gray or in colour.

Only files that come with the package are read, never those which scikit-image would download.  Train, validation and
test come from different photographs.  Patches are taken at full and at half resolution; most of the flat ones (sky,
background) are left out, since a denoiser learns and shows little on them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from bench.datasets.base import Bytes, DataError, Dataset, Whole, check_available, check_shape, held_out
from bench.datasets.patches import ATTEMPTS, NUMBERS, cut
from implementations import counter
from results.convergence import HeldOut

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
    "validation": {"ihc.png": 3, "retina.jpg": 3, "clock_motion.png": 1},
}
"""Files and their channels.  A gray photograph is no source of colour patches."""

TRAIN, TEST, LARGEST = 10_000, 2_000, 256
MOST = 100_000

REDUCTIONS = (1, 2)
AT_ONCE = 2**22
"""Values of patches that are drawn at once."""


def shape(size: int | None, channels: int) -> tuple[int, int, int]:
    """(size, size, channels), or DataError."""
    return check_shape("photos", size, channels, LARGEST, (1, 3))


def load(train: int | None, test: int | None, size: int, channels: int, val: HeldOut = "test") -> Dataset:
    """The first so many patches of either split; drawn at random, so any number is a random choice.  ``val`` of the
    training patches are replaced by patches of the photographs for validation."""
    check_available("photos", MOST, MOST, train, test)
    counts = {"train": TRAIN if train is None else train, "test": TEST if test is None else test}
    number = held_out("photos", counts["train"], val)
    counts["train"] -= number
    images = {split: draw(count, split, size, channels) for split, count in counts.items()}
    validation = draw(number, "validation", size, channels) if number else None
    return Dataset("photos", images["train"], images["test"], val=validation)


def check(train: int | None, test: int | None) -> None:
    """DataError if a photograph is missing, or if there are not so many patches."""
    check_available("photos", MOST, MOST, train, test)
    for split in PHOTOGRAPHS:
        for name in PHOTOGRAPHS[split]:
            _path(name)


def whole(channels: int) -> Whole:
    """The photographs that test patches are cut from, at full resolution."""
    names = [name for name, available in PHOTOGRAPHS["test"].items() if available >= channels]
    return Whole("photos", tuple(names), lambda index: _photograph(names[index], channels))


def draw(count: int, split: str, size: int, channels: int) -> Bytes:
    """Patches (count, size, size, channels); patch i is the same for every count."""
    planes = _planes(split, size, channels)
    drawn = counter.uniform((count, ATTEMPTS, NUMBERS), "photos", split, channels)
    block = max(1, AT_ONCE // (size * size * channels))
    return np.concatenate([cut(planes, drawn[start : start + block], size) for start in range(0, count, block)])


def _planes(split: str, size: int, channels: int) -> list[Bytes]:
    """The photographs (h, w, channels) of a split at every reduction that still holds a patch."""
    planes = []
    for name, available in PHOTOGRAPHS[split].items():
        if available < channels:
            continue
        for factor in REDUCTIONS:
            pixels = _photograph(name, channels, factor)
            if min(pixels.shape[:2]) >= size:
                planes.append(pixels)
    return planes


def _photograph(name: str, channels: int, factor: int = 1) -> Bytes:
    """(h, w, channels), reduced by ``factor``."""
    from PIL import Image

    with Image.open(_path(name)) as file:
        pixels = np.asarray(file.convert("RGB" if channels == 3 else "L").reduce(factor))
    return pixels.reshape(*pixels.shape[:2], channels)


def _path(name: str) -> Path:
    # Importing scikit-image for its location would take half a second.
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise DataError("photos needs scikit-image, which is not installed; run: pip install scikit-image")
    path = Path(found.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise DataError(f"photos needs {path}, which this version of scikit-image does not have; install 0.25 or 0.26")
    return path
