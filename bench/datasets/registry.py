"""The data sets by name."""

from __future__ import annotations

from bench.datasets import folder, glyphs, photos, published, whole_folder
from bench.datasets.base import DataError, Dataset, DatasetInfo, Shape, Whole, check_counts, held_out, hold_out
from bench.words import did_you_mean
from results.convergence import HeldOut

EMBEDDED = ("glyphs", "photos")
NAMES = (*EMBEDDED, *published.PUBLICATIONS, "folder:PATH")


def load(
    name: str,
    *,
    train: int | None = None,
    test: int | None = None,
    size: int | None = None,
    channels: int = 1,
    val: HeldOut = "test",
) -> Dataset:
    """The data set ``name``: glyphs, photos, mnist, fashion-mnist or folder:PATH.

    ``train`` and ``test`` take a random part of the splits that is always the same; None takes all.  ``size`` is the
    side of the images in pixels, 28 by default; ``channels`` is 1 (gray) or 3 (RGB) where the data set has colours.
    ``val`` of the training images are held out for validation (None: a tenth, at most 1,000); "test" holds out none.
    A folder with images in train, val and test has its own.
    DataError if the data set does not exist, is not here, is damaged, or can not give what is asked for.
    """
    check_counts(train=train, test=test)
    side = image_shape(name, size, channels)[0]
    if name == "glyphs":
        data = glyphs.load(train, test, side)
    elif name == "photos":
        return photos.load(train, test, side, channels, val)
    elif name in published.PUBLICATIONS:
        data = published.load(name, train, test)
    else:
        data = folder.load(name, train, test, side, channels, val)
    return data if data.val is not None else hold_out(data, val)


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


def check(name: str, *, train: int | None = None, test: int | None = None, val: HeldOut = "test") -> tuple[str, ...]:
    """DataError, with the way out, if the data set, or so many images of it, could not be loaded here.

    Else the notes that it would have: of a folder, all files are decoded for that, but only once in a process.
    """
    _check_name(name)
    check_counts(train=train, test=test)
    notes: tuple[str, ...] = ()
    if name == "glyphs":
        glyphs.check(train, test)
        held_out(name, glyphs.TRAIN if train is None else train, val)
    elif name == "photos":
        photos.check(train, test)
        held_out(name, photos.TRAIN if train is None else train, val)
    elif name in published.PUBLICATIONS:
        notes = published.check(name, train, test)
        held_out(name, published.PUBLICATIONS[name].train if train is None else train, val)
    else:
        notes = folder.check(name, train, test, val)
    return notes


def load_patches(
    name: str,
    *,
    train: int | None = None,
    test: int | None = None,
    size: int | None = None,
    channels: int = 1,
    val: HeldOut = "test",
) -> Dataset:
    """Patches of ``size`` x ``size`` pixels, cut at full resolution from the images of :func:`load_whole`: what a
    network is trained on that is to denoise whole images.  ``train`` and ``test`` count patches; None takes
    10,000 and 2,000.  Of the training patches ``val``, as for :func:`load`, are replaced by patches of other images.
    DataError as for :func:`load`.
    """
    _check_whole_name(name)
    check_counts(train=train, test=test)
    side = image_shape(name, size, channels)[0]
    if name == "photos":
        return photos.load(train, test, side, channels, val)
    return whole_folder.patches(name, train, test, side, channels, val)


def load_whole(name: str, *, channels: int = 1) -> Whole:
    """The test images of ``name`` in their own sizes.  DataError where it has none."""
    _check_whole_name(name)
    return photos.whole(channels) if name == "photos" else whole_folder.whole(name, channels)


def check_whole(
    name: str,
    *,
    train: int | None = None,
    test: int | None = None,
    size: int | None = None,
    val: HeldOut = "test",
) -> tuple[str, ...]:
    """DataError unless ``load_patches`` and ``load_whole`` will do; else the notes, as :func:`check` gives them."""
    _check_whole_name(name)
    check_counts(train=train, test=test)
    if name == "photos":
        photos.check(train, test)
        held_out(name, photos.TRAIN if train is None else train, val)
        return ()
    return whole_folder.check(name, train, test, size, val)


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
