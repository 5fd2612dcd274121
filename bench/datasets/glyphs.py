"""``glyphs``: digits and letters in the typefaces that matplotlib ships, each image a random variation.

Every image draws a typeface, a character, and then rotation, shear, aspect, size, place and stroke weight.  It is
rendered from a master: the character as FreeType draws it, large and slightly softened.  Where the softened edge is
cut decides how heavy the strokes are, and the cut itself is a ramp as wide as a sample, which smooths the outline.
"""

from __future__ import annotations

import hashlib
import math
import string
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets import cache
from bench.datasets.base import Bytes, DataError, Dataset, Labels, check_available, check_shape
from implementations import counter

CLASSES = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""The characters; an image's label is an index into them."""

TYPEFACES = (
    *(
        f"DejaVu{family}{style}"
        for family in ("Sans", "SansMono")
        for style in ("", "-Bold", "-Oblique", "-BoldOblique")
    ),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)

TRAIN, TEST, LARGEST = 10_000, 2_000, 256
MOST = 100_000

POINTS = 48  # size of a master's type in pixels
SIDE = 72  # side of a master: room for the widest character and its softened edge
SOFTNESS = 1.0  # standard deviation of a master's edge, in its pixels
EDGE = 1 / (SOFTNESS * math.sqrt(2 * math.pi))  # the steepest slope of such an edge
SAMPLES = 2  # samples per pixel and direction
AT_ONCE = 2**18
"""Pixels that are rendered at once, some 50 MB of samples."""

# What an image draws, uniformly: lengths are shares of the image's side.
ROTATION = math.radians(15)
SHEAR = 0.25
ASPECT = 0.15
EXTENT = (0.68, 0.92)  # of the longer side of the character's box
SHIFT = 0.07
CUT = (0.15, 0.5)  # heavy to light; above, hairlines of the light typefaces would break


def shape(size: int | None, channels: int) -> tuple[int, int, int]:
    """(size, size, 1), or DataError."""
    return check_shape("glyphs", size, channels, LARGEST, (1,))


def load(train: int | None, test: int | None, size: int) -> Dataset:
    """The first so many images of either split; drawn from one source, so any number is a random choice."""
    check(train, test)
    counts = {"train": TRAIN if train is None else train, "test": TEST if test is None else test}
    key = f"{counts['train']}-{counts['test']}-{size}-{_version()}"
    arrays = cache.arrays("glyphs", key, lambda: _draw_splits(counts, size))
    return Dataset("glyphs", arrays["train"], arrays["test"], arrays["train_labels"], arrays["test_labels"])


def check(train: int | None, test: int | None) -> None:
    """DataError if there are not so many images."""
    check_available("glyphs", MOST, MOST, train, test)


def draw(count: int, split: str, size: int) -> tuple[Bytes, Labels]:
    """Images (count, size, size, 1) and labels (count,); image i is the same for every count."""
    masters, halves, labels = _masters()
    drawn = counter.uniform((count, 8), "glyphs", split)
    which = (drawn[:, 0] * len(masters)).astype(np.int64)
    images = np.empty((count, size, size, 1), np.uint8)
    block = max(1, AT_ONCE // size**2)
    for start in range(0, count, block):
        part = slice(start, start + block)
        images[part, :, :, 0] = _render(masters, halves, which[part], drawn[part, 1:], size)
    return images, labels[which]


def _draw_splits(counts: dict[str, int], size: int) -> cache.Arrays:
    arrays: cache.Arrays = {}
    for split, count in counts.items():
        arrays[split], arrays[f"{split}_labels"] = draw(count, split, size)
    return arrays


def _render(
    masters: NDArray[np.float32],
    halves: NDArray[np.float64],
    which: NDArray[np.int64],
    drawn: NDArray[np.float64],
    size: int,
) -> Bytes:
    """Images (n, size, size) of the masters ``which`` (n,) under the drawn numbers (n, 7)."""
    centred = 2 * drawn - 1
    angle, shear, aspect = ROTATION * centred[:, 0], SHEAR * centred[:, 1], np.exp(ASPECT * centred[:, 2])
    cos, sin = np.cos(angle), np.sin(angle)
    # rotation @ shear @ aspect: from the master's (x, y) around its centre to the image's.
    a, b = cos * aspect, (cos * shear - sin) / aspect
    c, d = sin * aspect, (sin * shear + cos) / aspect
    half_x, half_y = halves[which].T
    reach = np.stack([np.abs(a) * half_x + np.abs(b) * half_y, np.abs(c) * half_x + np.abs(d) * half_y])
    extent = size * (EXTENT[0] + (EXTENT[1] - EXTENT[0]) * drawn[:, 3])
    scale = extent / (2 * reach.max(axis=0))  # image pixels per master pixel
    room = np.maximum(size / 2 - scale * reach, 0)
    shift_x, shift_y = np.clip(SHIFT * size * centred[:, 4:6].T, -room, room)

    samples = (np.arange(size * SAMPLES) + 0.5) / SAMPLES - size / 2
    x = samples[None, None, :] - shift_x[:, None, None]
    y = samples[None, :, None] - shift_y[:, None, None]
    inverse = (1 / ((a * d - b * c) * scale))[:, None, None]
    a, b, c, d = a[:, None, None], b[:, None, None], c[:, None, None], d[:, None, None]
    values = _interpolate(masters, which, (d * x - b * y) * inverse, (a * y - c * x) * inverse)

    cut = CUT[0] + (CUT[1] - CUT[0]) * drawn[:, 6]
    # As steep as to rise within one sample, and at least so steep that no ink is 0 and full ink is 1.
    gain = np.maximum(scale * SAMPLES / EDGE, 0.5 / cut)
    ink = np.clip((values - cut[:, None, None]) * gain[:, None, None] + 0.5, 0, 1)
    pixels = ink.reshape(len(which), size, SAMPLES, size, SAMPLES).mean(axis=(2, 4))
    return np.asarray(np.rint(255 * pixels), np.uint8)


def _interpolate(
    masters: NDArray[np.float32], which: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Bilinear values (n, s, s) of the masters at (x, y) around their centres; 0 outside."""
    # The outermost rows and columns of every master are empty: clipping there reads the 0 of the outside.
    x = np.clip(x + (SIDE - 1) / 2, 0, SIDE - 1.001).astype(np.float32)
    y = np.clip(y + (SIDE - 1) / 2, 0, SIDE - 1.001).astype(np.float32)
    left, top = x.astype(np.int32), y.astype(np.int32)
    x -= left
    y -= top
    flat = masters.reshape(-1)
    place = left + SIDE * top + (SIDE * SIDE * which)[:, None, None]
    upper = flat[place] * (1 - x) + flat[place + 1] * x
    lower = flat[place + SIDE] * (1 - x) + flat[place + SIDE + 1] * x
    return np.asarray(upper * (1 - y) + lower * y, np.float32)


@lru_cache(maxsize=1)
def _masters() -> tuple[NDArray[np.float32], NDArray[np.float64], Labels]:
    """Every character of every typeface: (m, SIDE, SIDE) in [0, 1], half widths and heights (m, 2), labels (m,)."""
    from matplotlib import ft2font, get_data_path
    from scipy.ndimage import gaussian_filter

    # Hinting moves outlines to a pixel grid that is not the image's.  (matplotlib before 3.10 has no LoadFlags.)
    flags: Any = getattr(ft2font, "LoadFlags", None)
    unhinted = flags.NO_HINTING if flags else getattr(ft2font, "LOAD_NO_HINTING")  # noqa: B009 (unknown to newer stubs)
    folder = Path(get_data_path()) / "fonts" / "ttf"
    masters, halves, labels = [], [], []
    for typeface in TYPEFACES:
        path = folder / f"{typeface}.ttf"
        if not path.is_file():  # another version of matplotlib may ship fewer
            continue
        font = ft2font.FT2Font(str(path))
        font.set_size(POINTS, 72)
        for label, character in enumerate(CLASSES):
            if not font.get_char_index(ord(character)):
                continue
            font.set_text(character, 0.0, flags=unhinted)
            font.draw_glyphs_to_bitmap(antialiased=True)
            ink = _trimmed(np.array(font.get_image(), np.uint8))
            height, width = ink.shape
            top, left = (SIDE - height) // 2, (SIDE - width) // 2
            master = np.zeros((SIDE, SIDE), np.float32)
            master[top : top + height, left : left + width] = ink / np.float32(255)
            masters.append(master)
            halves.append((width / 2, height / 2))
            labels.append(label)
    if not masters:
        raise DataError(f"glyphs can not be drawn: none of its typefaces is in {folder}; reinstall matplotlib")
    softened = gaussian_filter(np.stack(masters), (0, SOFTNESS, SOFTNESS), mode="constant")
    return softened, np.array(halves), np.array(labels, np.int64)


def _trimmed(ink: Bytes) -> Bytes:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _version() -> str:
    """A hash of what decides the pixels: this file, and whose typefaces and FreeType it uses."""
    from importlib.metadata import version

    text = Path(__file__).read_bytes() + version("matplotlib").encode()
    return hashlib.sha256(text).hexdigest()[:16]
