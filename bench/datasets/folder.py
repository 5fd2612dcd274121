"""``folder:PATH``: a person's own images, from a folder and those below it.

Every image is turned as its EXIF says, cropped to its central square and resized with antialiasing.  Transparent parts
become white, 16-bit pixels 8-bit ones; of an animation the first picture counts.  An image belongs to the test split
if the hash of its file says so: adding files moves no other file, and copies of one file never lie on both sides.
Where all images lie in the two folders ``train`` and ``test`` below PATH, these are the splits; a folder ``val``
beside them has the images for validation.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bench.datasets.base import (
    Bytes,
    DataError,
    Dataset,
    check_available,
    check_shape,
    held_out,
    subset,
)
from results.convergence import HeldOut, validation_count

if TYPE_CHECKING:
    from PIL import Image

PREFIX = "folder:"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm")
TEST_SHARE = 0.2
LEAST = 2
"""Images of a split: of one alone there is no interval."""
LARGEST = 1024


@dataclass(frozen=True)
class File:
    """One that can be read.  ``name``: its path below the folder; ``hash``: of its content, 64 bits."""

    name: str
    hash: int

    @property
    def folder(self) -> str:
        """Of its path below the folder of the data set, what may name its class: all but the file."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class Scanned(File):
    """``sides``: its pixels in each direction."""

    sides: tuple[int, int]


@dataclass(frozen=True)
class _Picture(File):
    pixels: Bytes


_File = TypeVar("_File", bound=File)
_Made = TypeVar("_Made")


def shape(name: str, size: int | None, channels: int) -> tuple[int, int, int]:
    """(size, size, channels), or DataError."""
    root_of(name)
    return check_shape("folder", size, channels, LARGEST, (1, 3))


def load(name: str, train: int | None, test: int | None, size: int, channels: int, val: HeldOut = "test") -> Dataset:
    """All readable images below the folder, in the order of their names; the others are named in the notes.  Of a
    folder ``val`` those that ``val`` asks for."""
    root = root_of(name)
    notes: list[str] = []

    def picture(path: Path) -> tuple[int, Bytes]:
        content = path.read_bytes()
        return hash_of(content), read(content, size, channels)

    pictures = [_Picture(relative, *found) for relative, found in readable(root, picture, notes)]
    splits = split_files(name, root, pictures, notes)
    check_available(name, len(splits["train"]), len(splits["test"]), train, test)
    classes = _classes(pictures)
    images, labels = {}, {}
    wanted = {"train": train, "test": test, **_own_validation(name, splits, train, val)}
    for split, count in wanted.items():
        chosen = [splits[split][index] for index in subset(len(splits[split]), count, name, split)]
        images[split] = np.stack([picture.pixels for picture in chosen])
        labels[split] = np.array([classes[picture.folder] for picture in chosen], np.int64) if classes else None
    own = images.get("validation")
    return Dataset(name, images["train"], images["test"], labels["train"], labels["test"], tuple(notes), own)


def _own_validation(
    name: str, splits: Mapping[str, Sequence[File]], train: int | None, val: HeldOut
) -> dict[str, int | None]:
    """{"validation": how many to take} of a folder that has such a split, {} else.  DataError where it has fewer than
    are asked for."""
    have = len(splits.get("validation", ()))
    if val == "test" or not have:
        return {}
    if val is not None and val > have:
        raise DataError(f"val={val} is more than there is: {name} has {have:,} images in its folder val")
    usual = max(validation_count(len(splits["train"]) if train is None else train), 1)
    return {"validation": min(usual, have) if val is None else val}


def readable(root: Path, use: Callable[[Path], _Made], notes: list[str]) -> Iterator[tuple[str, _Made]]:
    """(path below ``root``, what ``use`` makes of the file) by name; files that make it fail are named in ``notes``."""
    from PIL import UnidentifiedImageError

    for path in image_files(root):
        relative = path.relative_to(root).as_posix()
        try:
            made = use(path)
        except UnidentifiedImageError:  # whose message is about an address in memory
            notes.append(f"{relative} could not be read: it is no image")
            continue
        # Damaged files make Pillow's decoders raise nearly anything, up to SyntaxError.
        except Exception as error:
            notes.append(f"{relative} could not be read: {str(error) or type(error).__name__}")
            continue
        yield relative, made


def hash_of(content: bytes) -> int:
    """What decides on the split of a file: 64 bits of the hash of its content."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def check(name: str, train: int | None, test: int | None, val: HeldOut = "test") -> tuple[str, ...]:
    """DataError unless there are so many readable images; else what a person should know: the notes of the data set."""
    notes: list[str] = []
    splits = _splits(name, notes)
    check_available(name, len(splits["train"]), len(splits["test"]), train, test)
    if not _own_validation(name, splits, train, val):
        held_out(name, len(splits["train"]) if train is None else train, val)
    return tuple(notes)


def counts(name: str) -> tuple[int, int]:
    """Training and test images, none of which is kept."""
    splits = _splits(name, [])
    return len(splits["train"]), len(splits["test"])


def _splits(name: str, notes: list[str]) -> dict[str, list[Scanned]]:
    root = root_of(name)
    return split_files(name, root, scan(root, notes), notes)


def scan(root: Path, notes: list[str]) -> list[Scanned]:
    """The files that can be decoded, by name; the others are named in ``notes``.  A file is decoded once in a process,
    and in a sketch at that, for folders may be large."""

    def scanned(path: Path) -> tuple[int, tuple[int, int]]:
        about = path.stat()
        return _scanned(path, about.st_size, about.st_mtime_ns)

    return [Scanned(relative, *found) for relative, found in readable(root, scanned, notes)]


@lru_cache(maxsize=100_000)
def _scanned(path: Path, _size: int, _modified: int) -> tuple[int, tuple[int, int]]:
    from PIL import Image

    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as file:
        sides = file.size
    opened(content, sketch=True)
    return _hashed(path, _size, _modified), sides


@lru_cache(maxsize=100_000)
def _hashed(path: Path, _size: int, _modified: int) -> int:
    return hash_of(path.read_bytes())


def contents(name: str) -> str:
    """8 hexadecimal digits that change when image files of the folder are added, removed, renamed or changed."""

    def number(path: Path) -> int:
        about = path.stat()
        return _hashed(path, about.st_size, about.st_mtime_ns)

    try:
        files = [*readable(root_of(name), number, [])]
    except DataError:  # whoever loads them says so
        files = []
    return hashlib.sha256(repr(files).encode()).hexdigest()[:8]


def opened(content: bytes, *, sketch: bool = False) -> Image.Image:
    """The picture in the bytes of a file: turned as its EXIF says, transparent parts white, 8 bits.  Raises whatever
    Pillow does if there is none.  In a ``sketch`` it may be smaller, which is sooner made."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content)) as file:
        if sketch:
            file.draft("", (1, 1))  # of a JPEG all bytes are read, and an eighth of the pixels are computed
        file.load()
        picture = _eight_bit(ImageOps.exif_transpose(file), file.format)
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return picture


def read(content: bytes, size: int, channels: int) -> Bytes:
    """The image in the bytes of a file, (size, size, channels); raises whatever Pillow does if there is none."""
    from PIL import Image

    picture = opened(content)
    picture = picture.convert("RGB" if channels == 3 else "L")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    # Cropped first: resize(box=...) would let its filter reach beyond the box.
    square = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(square, np.uint8).reshape(size, size, channels)


def _eight_bit(picture: Image.Image, format: str | None) -> Image.Image:
    from PIL import Image

    # Pillow gives the 16-bit pixels of these formats 32 bits, in some of its versions.
    sixteen = picture.mode.startswith("I;16") or (picture.mode == "I" and format in ("PNG", "PPM"))
    if not sixteen and picture.mode not in ("I", "F"):
        return picture
    if not sixteen:
        raise ValueError(f"pixels of mode {picture.mode} have no known white; save it with 8 or 16 bits")
    values = np.asarray(picture).astype(np.float64)
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def _classes(pictures: list[_Picture]) -> dict[str, int] | None:
    """A label by folder, if every image lies in a folder of its class: DATA/cats/1.png, or DATA/train/cats/1.png where
    there are train and test.  Else None."""
    folders = sorted({picture.folder for picture in pictures})
    depth = 2 if _given(pictures) else 1
    names = sorted({folder.split("/")[-1] for folder in folders})
    if len(names) < 2 or not all(folder and folder.count("/") == depth - 1 for folder in folders):
        return None
    return {folder: names.index(folder.split("/")[-1]) for folder in folders}


def _given(pictures: Sequence[File]) -> bool:
    """Whether the splits are folders of their own."""
    return {picture.name.partition("/")[0] for picture in pictures} - {"val"} == {"train", "test"}


def split_files(name: str, root: Path, pictures: Sequence[_File], notes: list[str]) -> dict[str, list[_File]]:
    """The files of each split; one with fewer than LEAST gets some of the other, which is noted.  DataError where there
    are too few: the folders train and test are left as they are."""
    given = _given(pictures)

    def split_of(picture: File) -> str:
        if given:
            return {"val": "validation"}.get(top := picture.name.partition("/")[0], top)
        return "test" if picture.hash < TEST_SHARE * 2**64 else "train"

    splits: dict[str, list[_File]] = {"train": [], "test": []}
    for picture in pictures:
        splits.setdefault(split_of(picture), []).append(picture)
    _check_enough(name, root, len(splits["test"]) if given else len(pictures), given, notes)
    for short, long in () if given else (("train", "test"), ("test", "train")):
        while (count := len(splits[short])) < LEAST:
            moved = min(splits[long], key=lambda picture: (picture.hash, picture.name))
            splits[long].remove(moved)
            splits[short].append(moved)
            notes.append(
                f"{moved.name} was moved to the {short} split, which had {count}; more images would avoid that"
            )
    return splits


def _check_enough(name: str, root: Path, count: int, given: bool, notes: Sequence[str]) -> None:
    least = LEAST if given else 2 * LEAST
    if count >= least:
        return
    wanted, place = ("test images", root / "test") if given else ("readable images", root)
    listed = "".join(f"; {note}" for note in notes[:5])
    raise DataError(
        f"dataset {name!r} needs at least {least} {wanted} in {place}, there {'is' if count == 1 else 'are'} {count}: "
        f"add images; read are {' '.join(SUFFIXES)}{listed}"
    )


def root_of(name: str) -> Path:
    """The folder that the data set ``name`` is read from; DataError if there is none."""
    text = name.removeprefix(PREFIX)
    if not text.strip():
        raise DataError(f"dataset {name!r} names no folder; write folder:PATH, for example folder:~/pictures")
    try:
        root = Path(text).expanduser()
    except RuntimeError:
        user = Path(text).parts[0]
        raise DataError(
            f"dataset {name!r}: the home folder of {user} is not known here; write folder:PATH with the path in full"
        ) from None
    if not root.is_dir():
        reason = "is a file" if root.exists() else "does not exist"
        raise DataError(f"dataset {name!r}: {root.absolute()} {reason}; write folder:PATH with a folder of images")
    return root


def image_files(root: Path) -> list[Path]:
    """All files with an image's suffix, by name; hidden ones (such as the ._NAME files of macOS) are none."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())
