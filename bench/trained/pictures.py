"""A person's own pictures: read as a network sees them, and written back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import folder

Picture = NDArray[np.float32]
"""(height, width, 1 or 3) in [0, 1]."""

GAP = 8
"""Pixels between before and after."""


class PictureError(ValueError):
    """A file that holds no picture that can be read."""


def read(path: Path) -> Picture:
    """The whole picture, turned as its EXIF says, transparent parts white; gray stays gray.  PictureError."""
    if not path.is_file():
        raise PictureError(f"{path}: {'is a folder' if path.is_dir() else 'there is no such file'}; name image files")
    try:
        picture = folder.opened(path.read_bytes())
        gray = picture.mode in ("L", "1")
        values = np.asarray(picture.convert("L" if gray else "RGB"), np.float32)
    # Damaged files make Pillow's decoders raise nearly anything, up to SyntaxError.
    except Exception as error:
        raise PictureError(f"{path}: cannot be read as an image: {str(error) or type(error).__name__}") from None
    return values.reshape(*values.shape[:2], 1 if gray else 3) / np.float32(255)


def names(paths: Sequence[Path]) -> list[str]:
    """A name for the results of each; those of equal name in different folders are numbered."""
    found: list[str] = []
    for path in paths:
        name, number = path.stem, 1
        while name in found:
            number += 1
            name = f"{path.stem}-{number}"
        found.append(name)
    return found


def save(target: Path, name: str, noisy: Picture, denoised: Picture) -> list[Path]:
    """NAME-denoised.png and NAME-before-after.png in the folder ``target``; values beyond [0, 1] are clipped."""
    white = np.ones((noisy.shape[0], GAP, noisy.shape[2]), np.float32)
    strip = np.concatenate([noisy, white, denoised], axis=1)
    pairs = ((f"{name}-denoised.png", denoised), (f"{name}-before-after.png", strip))
    return [_write(target / file, picture) for file, picture in pairs]


def _write(path: Path, picture: Picture) -> Path:
    from PIL import Image

    pixels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(part, "PNG")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
