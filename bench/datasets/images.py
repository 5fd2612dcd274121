"""A data set as image files: one PNG an image, in the folders ``train`` and ``test``, as ``folder:PATH`` reads them.

Names count the images, so that they come back in the order that they had, and PNG keeps every pixel: the data set
``folder:PATH`` has the same digest as the one it was written from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bench.datasets.base import Bytes, DataError, Dataset, cache_dir
from results.journal import named

SPLITS = ("train", "test")
COMPRESSION = 1
"""Of zlib: files are to be read soon and often; 6 would save a tenth of the space and take twice the time."""


def write(data: Dataset, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Write all images of ``data``; returns how many.  ``progress(done, total)`` is called after each.

    A new folder appears in one step when everything is written.  One that is there stays the one that it is, for
    somebody may stand in it, and gets its two folders then.  DataError if it is not empty.
    """
    folder = named(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is there already and not empty; name a folder that is not, or remove it")
    there = folder.exists()
    part = folder / f".{os.getpid()}.part" if there else folder.with_name(f".{folder.name}.{os.getpid()}.part")
    splits: dict[str, Bytes] = {split: getattr(data, split) for split in SPLITS}
    total, done = sum(map(len, splits.values())), 0
    try:
        for split, images in splits.items():
            target = part / split
            target.mkdir(parents=True)
            digits = len(str(len(images) - 1))
            for number, image in enumerate(images):
                _save(image, target / f"{number:0{digits}}.png")
                done += 1
                progress(done, total)
        if there:
            for split in SPLITS:
                (part / split).rename(folder / split)
        else:
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return total


def _save(image: Bytes, path: Path) -> None:
    from PIL import Image

    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(path, "PNG", compress_level=COMPRESSION)


def cached(name: str) -> Path:
    """The image files of the data set ``name`` in the cache folder; written when they are not there yet."""
    from bench.datasets import load

    folder = cache_dir() / "images" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        write(load(name), folder)
    return folder


def folder_name(path: Path) -> str:
    """``path`` as the data set that reads it, ``~`` standing for the user's own folder: the name goes into records."""
    absolute = path.expanduser().absolute()
    try:
        return f"folder:~/{absolute.relative_to(Path.home()).as_posix()}"
    except ValueError:
        return f"folder:{absolute.as_posix()}"
