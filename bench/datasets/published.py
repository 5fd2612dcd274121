"""``mnist`` and ``fashion-mnist``: which files they are, where they lie, and reading them.

They are no part of this project: ``daebench data get NAME`` fetches them (bench/datasets/download.py), or the
environment variable DAEBENCH_DATA names a folder with ``mnist/*.gz`` and ``fashion-mnist/*.gz``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets import idx
from bench.datasets.base import Bytes, DataError, Dataset, cache_dir, check_available, check_shape, subset

SIDE = 28


@dataclass(frozen=True)
class File:
    """One published file."""

    sha256: str
    size: int  # bytes


@dataclass(frozen=True)
class Publication:
    """A data set as it was published: files by name, and folders on the web that have them."""

    summary: str
    source: str
    files: Mapping[str, File]
    mirrors: tuple[str, ...]
    train: int = 60_000
    test: int = 10_000


PUBLICATIONS: dict[str, Publication] = {
    "mnist": Publication(
        "handwritten digits",
        "LeCun, Cortes and Burges, The MNIST database of handwritten digits (1998)",
        {
            "train-images-idx3-ubyte.gz": File(
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422
            ),
            "train-labels-idx1-ubyte.gz": File(
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881
            ),
            "t10k-images-idx3-ubyte.gz": File(
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877
            ),
            "t10k-labels-idx1-ubyte.gz": File(
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542
            ),
        },
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    "fashion-mnist": Publication(
        "articles of clothing",
        "Xiao, Rasul and Vollgraf, Fashion-MNIST (2017)",
        {
            "train-images-idx3-ubyte.gz": File(
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26_421_880
            ),
            "train-labels-idx1-ubyte.gz": File(
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515
            ),
            "t10k-images-idx3-ubyte.gz": File(
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102
            ),
            "t10k-labels-idx1-ubyte.gz": File(
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148
            ),
        },
        (
            # Zalando's bucket has no certificate for this name; the SHA-256 sums are what the bytes are held to.
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
    ),
}


def download_folder(name: str) -> Path:
    """Where ``daebench data get`` puts the files."""
    return cache_dir() / "datasets" / name


def folders(name: str) -> list[Path]:
    """Where the files may lie, in the order of looking."""
    named = os.environ.get("DAEBENCH_DATA")
    return [*([Path(named).expanduser() / name] if named else []), download_folder(name)]


def find(name: str) -> Path | None:
    """The first folder that has all files, or None."""
    files = PUBLICATIONS[name].files
    return next((folder for folder in folders(name) if all((folder / file).is_file() for file in files)), None)


def shape(name: str, size: int | None, channels: int) -> tuple[int, int, int]:
    """(28, 28, 1), or DataError."""
    if size is not None and size != SIDE:
        raise DataError(f"size={size} is not possible with {name}; its images are {SIDE}x{SIDE}, leave size out")
    return check_shape(name, size, channels, SIDE, (1,))


def load(name: str, train: int | None, test: int | None) -> Dataset:
    """The data set, or random subsets of its splits; a note for every file that is not the published one."""
    folder = _present(name)
    notes = tuple(
        f"{folder / file} is not the published file (its SHA-256 differs)"
        for file, published in PUBLICATIONS[name].files.items()
        if sha256(folder / file) != published.sha256
    )
    train_images, train_labels = _split(folder, "train")
    test_images, test_labels = _split(folder, "t10k")
    check_available(name, len(train_images), len(test_images), train, test)
    left = subset(len(train_images), train, name, "train")
    right = subset(len(test_images), test, name, "test")
    return Dataset(
        name,
        train_images[left, :, :, None],
        test_images[right, :, :, None],
        train_labels[left].astype(np.int64),
        test_labels[right].astype(np.int64),
        notes,
    )


def check(name: str, train: int | None, test: int | None) -> tuple[str, ...]:
    """DataError unless the files are here, are the published ones or can at least be read, and hold so many images;
    else the notes of the data set."""
    folder, about = _present(name), PUBLICATIONS[name]
    if all(sha256(folder / file) == published.sha256 for file, published in about.files.items()):
        check_available(name, about.train, about.test, train, test)
        return ()
    return load(name, train, test).notes


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal; DataError if it can not be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{path} can not be read: {error.strerror}") from None
    return digest.hexdigest()


def _present(name: str) -> Path:
    folder = find(name)
    if folder is None:
        looked = " and ".join(map(str, folders(name)))
        raise DataError(
            f"dataset {name!r} is not here (looked in {looked}); run: daebench data get {name}, or set "
            f"DAEBENCH_DATA to a folder that holds {name}/*.gz"
        )
    return folder


def _split(folder: Path, stem: str) -> tuple[Bytes, Bytes]:
    """Images (n, 28, 28) and labels (n,) of the two files whose names begin with ``stem``."""
    path = folder / f"{stem}-images-idx3-ubyte.gz"
    images = idx.read(path, idx.IMAGES)
    labels = idx.read(folder / f"{stem}-labels-idx1-ubyte.gz", idx.LABELS)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{path} holds images of {images.shape[1]}x{images.shape[2]} instead of {SIDE}x{SIDE} pixels")
    if len(labels) != len(images):
        raise DataError(f"{path} holds {len(images):,} images, but there are {len(labels):,} labels beside it")
    return images, labels
