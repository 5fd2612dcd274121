"""The data sets by name."""

from __future__ import annotations

from bench.datasets import folder, glyphs, photos, published, whole_folder
from bench.datasets.base import DataError, Dataset, DatasetInfo, Shape, Whole, check_counts
from bench.words import did_you_mean

EMBEDDED = ("glyphs", "photos")
NAMES = (*EMBEDDED, *published.PUBLICATIONS, "folder:PATH")


def load(
    name: str, *, train: int | None = None, test: int | None = None, size: int | None = None, channels: int = 1
) -> Dataset:
    """The data set ``name``: glyphs, photos, mnist, fashion-mnist or folder:PATH.

    ``train`` and ``test`` take a random part of the splits that is always the same; None takes all.  ``size`` is the
    side of the images in pixels, 28 by default; ``channels`` is 1 (gray) or 3 (RGB) where the data set has colours.
    DataError if the data set does not exist, is not here, is damaged, or can not give what is asked for.
    """
    check_counts(train=train, test=test)
    side = image_shape(name, size, channels)[0]
    if name == "glyphs":
        return glyphs.load(train, test, side)
    if name == "photos":
        return photos.load(train, test, side, channels)
    if name in published.PUBLICATIONS:
        return published.load(name, train, test)
    return folder.load(name, train, test, side, channels)


def image_shape(name: str, size: int | None = None, channels: int = 1) -> Shape:
    """(h, w, c) of the images that ``load`` would give, without loading any; DataError if that is impossible."""
    _check_name(name)
    if name == "glyphs":
        return glyphs.shape(size, channels)
    if name == "photos":
        return photos.shape(size, channels)
    if name in published.PUBLICATIONS:
        return published.shape(name, size, channels)
    return folder.shape(name, size, channels)


def check(name: str, *, train: int | None = None, test: int | None = None) -> tuple[str, ...]:
    """DataError, with the way out, if the data set, or so many images of it, could not be loaded here.

    Else the notes that it would have: of a folder, all files are decoded for that, but only once in a process.
    """
    _check_name(name)
    check_counts(train=train, test=test)
    if name == "glyphs":
        glyphs.check(train, test)
    elif name == "photos":
        photos.check(train, test)
    elif name in published.PUBLICATIONS:
        return published.check(name, train, test)
    else:
        return folder.check(name, train, test)
    return ()


def load_patches(
    name: str, *, train: int | None = None, test: int | None = None, size: int | None = None, channels: int = 1
) -> Dataset:
    """Patches of ``size`` x ``size`` pixels, cut at full resolution from the images of :func:`load_whole`: what a
    network is trained on that is to denoise whole images.  ``train`` and ``test`` count patches; None takes
    10,000 and 2,000.  DataError as for :func:`load`.
    """
    _check_whole_name(name)
    check_counts(train=train, test=test)
    side = image_shape(name, size, channels)[0]
    if name == "photos":
        return photos.load(train, test, side, channels)
    return whole_folder.patches(name, train, test, side, channels)


def load_whole(name: str, *, channels: int = 1) -> Whole:
    """The test images of ``name`` in their own sizes.  DataError where it has none."""
    _check_whole_name(name)
    return photos.whole(channels) if name == "photos" else whole_folder.whole(name, channels)


def check_whole(
    name: str, *, train: int | None = None, test: int | None = None, size: int | None = None
) -> tuple[str, ...]:
    """DataError unless ``load_patches`` and ``load_whole`` will do; else the notes, as :func:`check` gives them."""
    _check_whole_name(name)
    check_counts(train=train, test=test)
    if name == "photos":
        photos.check(train, test)
        return ()
    return whole_folder.check(name, train, test, size)


def _check_whole_name(name: str) -> None:
    _check_name(name)
    if name != "photos" and not name.startswith(folder.PREFIX):
        raise DataError(
            f"evaluate = 'whole' is not possible with {name}, whose images have one size; allowed are photos and "
            "folder:PATH"
        )


def describe() -> list[DatasetInfo]:
    """All data sets, for a list; cheap."""
    listed = [
        DatasetInfo(
            "glyphs",
            "digits and letters in 21 typefaces, varied at random; any size, gray",
            glyphs.TRAIN,
            glyphs.TEST,
            True,
            "embedded",
        ),
        DatasetInfo(
            "photos",
            "patches of photographs; any size, gray or colour",
            photos.TRAIN,
            photos.TEST,
            True,
            "embedded",
        ),
    ]
    for name, about in published.PUBLICATIONS.items():
        where = published.find(name)
        listed.append(
            DatasetInfo(
                name,
                f"{about.summary}, 28x28, gray ({about.source})",
                about.train,
                about.test,
                where is not None,
                str(where) if where else f"daebench data get {name}",
            )
        )
    summary = "your own images in a folder and those below it; any size, gray or colour"
    return [*listed, DatasetInfo("folder:PATH", summary, None, None, True, "PATH")]


def _check_name(name: str) -> None:
    if name in EMBEDDED or name in published.PUBLICATIONS or name.startswith(folder.PREFIX):
        return
    raise DataError(f"dataset {name!r} is unknown{did_you_mean(name, NAMES)}; known are {', '.join(NAMES)}")
