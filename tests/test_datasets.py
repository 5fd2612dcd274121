"""Data sets by name: what is embedded, subsets, caching, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import datasets
from bench.datasets import DataError, cache, glyphs, patches, photos


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a cache of its own, and no data sets of the person."""
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DAEBENCH_DATA", raising=False)
    return tmp_path / "cache"


# --- glyphs -----------------------------------------------------------------------------------------------------------


def test_glyphs_are_labelled_characters_of_the_asked_size() -> None:
    data = datasets.load("glyphs", train=300, test=100)
    assert data.shape == (28, 28, 1) == datasets.image_shape("glyphs")
    assert data.train.shape == (300, 28, 28, 1)
    assert data.test.shape == (100, 28, 28, 1)
    assert data.train.dtype == np.uint8
    assert data.train_labels is not None
    assert data.train_labels.dtype == np.int64
    assert 0 <= data.train_labels.min() < data.train_labels.max() < len(glyphs.CLASSES) == 62
    assert data.notes == ()
    assert datasets.load("glyphs", train=5, test=5, size=64).shape == (64, 64, 1)


def test_glyphs_are_white_on_black_and_fill_the_frame() -> None:
    images, _ = glyphs.draw(500, "train", 28)
    assert (images.max(axis=(1, 2, 3)) > 200).mean() > 0.99
    # The frame's border stays nearly black; the background of a character is exactly 0.
    assert np.median(images) == 0
    assert images[:, [0, -1]].mean() < 3  # of 255
    rows = (images > 64).any(axis=(2, 3)).sum(axis=1)
    columns = (images > 64).any(axis=(1, 3)).sum(axis=1)
    longer = np.maximum(rows, columns)
    assert 17 <= np.median(longer) <= 25
    assert longer.min() >= 14
    # Antialiased: of the ink, a part is gray.
    inked = images[images > 0]
    assert 0.2 < np.mean(inked < 255) < 0.8


def test_glyphs_of_one_character_look_alike_and_of_two_do_not() -> None:
    """The labels are right: the mean of a class's training images is nearer to its test images than other means."""
    images, labels = glyphs.draw(6000, "train", 28)
    others, expected = glyphs.draw(500, "test", 28)
    means = np.stack([images[labels == label].mean(axis=0).ravel() for label in range(62)])
    distances = (means**2).sum(axis=1) - 2 * others.reshape(500, -1).astype(
        float
    ) @ means.T  # up to the image's own square
    assert (distances.argmin(axis=1) == expected).mean() > 0.3  # 1 in 62 by chance


def test_glyphs_differ_between_the_splits_and_all_typefaces_and_characters_are_used() -> None:
    train, labels = glyphs.draw(2000, "train", 28)
    test, _ = glyphs.draw(500, "test", 28)
    assert len(np.unique(labels)) == 62
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}
    masters, halves, _ = glyphs._masters()
    assert len(masters) == len(glyphs.TYPEFACES) * 62
    assert 2 * halves.max() < glyphs.SIDE - 8  # nothing is cut off, softened edges included
    assert not masters[:, [0, -1]].any()
    assert not masters[:, :, [0, -1]].any()


def test_a_glyph_does_not_depend_on_how_many_are_drawn() -> None:
    few, few_labels = glyphs.draw(10, "train", 28)
    many, many_labels = glyphs.draw(600, "train", 28)
    np.testing.assert_array_equal(few, many[:10])
    np.testing.assert_array_equal(few_labels, many_labels[:10])


def test_glyphs_come_from_the_cache_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = datasets.load("glyphs", train=20, test=10)
    monkeypatch.setattr(glyphs, "draw", lambda *_: pytest.fail("drawn again"))
    second = datasets.load("glyphs", train=20, test=10)
    assert second.digest == first.digest
    np.testing.assert_array_equal(second.test_labels, first.test_labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["torn", "bytes", "empty", "text", "flipped"])
def test_a_damaged_cache_is_made_again(cache_folder: Path, damage: str) -> None:
    first = datasets.load("glyphs", train=20, test=10)
    (path,) = cache_folder.glob("glyphs/*.npz")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    damaged = {
        "torn": whole[:5000],
        "bytes": b"\x80\x04" * 99,
        "empty": b"",
        "text": b"x" * 999,
        "flipped": bytes(flipped),
    }
    path.write_bytes(damaged[damage])
    assert datasets.load("glyphs", train=20, test=10).digest == first.digest
    assert len(path.read_bytes()) == len(whole)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]  # no .part is left


def test_a_cache_that_can_not_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "file"))
    assert len(datasets.load("glyphs", train=5, test=5).train) == 5


def test_a_cache_keeps_nothing_of_a_writer_that_fails(cache_folder: Path) -> None:
    class Unwritable:
        def __array__(self, *_: object, **__: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.arrays("folder", "key", lambda: {"a": Unwritable()})  # type: ignore[dict-item]
    assert list((cache_folder / "folder").iterdir()) == []


# --- photos -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 28), (1, 96), (3, 256)])
def test_photos_are_patches_of_any_size_gray_or_in_colour(channels: int, size: int) -> None:
    data = datasets.load("photos", train=30, test=10, size=size, channels=channels)
    assert data.train.shape == (30, size, size, channels)
    assert data.shape == datasets.image_shape("photos", size, channels)
    assert data.train_labels is None
    if channels == 3:
        spread = data.train.astype(int).max(axis=3) - data.train.astype(int).min(axis=3)
        assert spread.mean() > 10  # really coloured


def test_photos_of_train_and_test_are_different_and_scikit_image_has_them() -> None:
    datasets.check("photos")
    train, test = photos.PHOTOGRAPHS["train"], photos.PHOTOGRAPHS["test"]
    assert not set(train) & set(test)
    for split in (train, test):  # colour needs colour photographs on both sides
        assert 3 in split.values()


def test_every_patch_is_a_part_of_a_photograph() -> None:
    planes = photos._planes("test", 28, 1)
    for patch in photos.draw(5, "test", 28, 1):
        windows = (np.lib.stride_tricks.sliding_window_view(plane[..., 0], (28, 28)) for plane in planes)
        corners = [w[(w[..., 0, 0] == patch[0, 0, 0]) & (w[..., 27, 27] == patch[27, 27, 0])] for w in windows]
        assert any((near == patch[..., 0]).all(axis=(1, 2)).any() for near in corners)


def test_flat_patches_are_rare() -> None:
    spread = photos.draw(1000, "test", 28, 1).std(axis=(1, 2, 3))
    assert (spread < patches.FLAT).mean() < 0.1


def test_a_patch_does_not_depend_on_how_many_are_drawn() -> None:
    np.testing.assert_array_equal(photos.draw(10, "train", 28, 3), photos.draw(300, "train", 28, 3)[:10])


def test_a_scikit_image_without_the_photographs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(photos.PHOTOGRAPHS, "test", {"no_such.png": 1})
    with pytest.raises(DataError, match=r"no_such\.png, which this version of scikit-image does not have"):
        datasets.check("photos")


# --- what all have ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["glyphs", "photos"])
def test_the_same_request_gives_the_same_bytes(name: str) -> None:
    first, second = (datasets.load(name, train=50, test=20) for _ in range(2))
    np.testing.assert_array_equal(first.train, second.train)
    assert first.digest == second.digest
    assert len(first.digest) == 64
    assert datasets.load(name, train=50, test=21).digest != first.digest
    assert datasets.load(name, train=50, test=20, size=29).digest != first.digest


def test_8_bit_images_become_floats_between_0_and_1() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    floats = datasets.as_float(images)
    assert floats.dtype == np.float32
    assert floats.min() == 0
    assert floats.max() == 1
    np.testing.assert_array_equal(np.rint(floats * 255).astype(np.uint8), images)


def test_the_list_says_what_is_here_and_how_to_get_the_rest() -> None:
    listed = {info.name: info for info in datasets.describe()}
    assert list(listed) == ["glyphs", "photos", "mnist", "fashion-mnist", "folder:PATH"]
    assert listed["glyphs"].present
    assert (listed["glyphs"].train, listed["glyphs"].test) == (10_000, 2_000)
    assert not listed["mnist"].present
    assert listed["mnist"].where == "daebench data get mnist"
    assert listed["folder:PATH"].train is None


def test_the_cache_folder_is_the_users_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert datasets.cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("DAEBENCH_CACHE")
    assert datasets.cache_dir().name == "daebench"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"name": "glyps"}, ["'glyps' is unknown", "fashion-mnist", "folder:PATH", "did you mean 'glyphs'?"]),
        ({"name": ""}, ["'' is unknown", "glyphs"]),
        ({"name": "glyphs", "train": 0}, ["train=0 is too few", "1 and more"]),
        ({"name": "photos", "test": 1}, ["test=1 is too few", "2 and more"]),
        ({"name": "glyphs", "train": 100_001}, ["train=100001 is more than there is", "100,000 train images"]),
        ({"name": "photos", "test": 100_001}, ["test=100001 is more than there is", "100,000 test images"]),
        ({"name": "glyphs", "channels": 3}, ["channels=3", "glyphs", "allowed are 1"]),
        ({"name": "photos", "channels": 2}, ["channels=2", "1 or 3"]),
        ({"name": "photos", "size": 10}, ["size=10", "11 to 256"]),
        ({"name": "glyphs", "size": 1000}, ["size=1000", "11 to 256"]),
        ({"name": "mnist", "size": 32}, ["size=32", "28x28", "leave size out"]),
        ({"name": "fashion-mnist", "channels": 3}, ["channels=3", "allowed are 1"]),
        ({"name": "mnist"}, ["'mnist' is not here", "daebench data get mnist", "DAEBENCH_DATA"]),
        ({"name": "folder:"}, ["names no folder", "folder:PATH"]),
        ({"name": "folder:/no/such/folder"}, ["/no/such/folder does not exist", "folder:PATH"]),
    ],
)
def test_what_can_not_be_loaded_is_said(request_: dict[str, object], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        datasets.load(**request_)  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value)


def test_check_agrees_with_load() -> None:
    datasets.check("glyphs")
    datasets.check("photos")
    for name in ("glyps", "mnist", "folder:", "folder:/no/such/folder"):
        with pytest.raises(DataError):
            datasets.check(name)


@pytest.mark.parametrize("name", ["glyphs", "photos"])
def test_check_knows_how_many_images_there_are(name: str) -> None:
    datasets.check(name, train=100_000, test=2)
    with pytest.raises(DataError, match="train=100001 is more than there is"):
        datasets.check(name, train=100_001)
    with pytest.raises(DataError, match="test=1 is too few"):
        datasets.check(name, test=1)
