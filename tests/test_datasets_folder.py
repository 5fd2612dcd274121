"""``folder:PATH``: formats, orientation, cropping, the split, and files that are no images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import datasets
from bench.datasets import DataError, folder
from bench.datasets.folder import read


def picture(number: int, width: int = 40, height: int = 32) -> Image.Image:
    """A colourful image, another one for every number."""
    values = np.random.default_rng(number).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def fill(folder: Path, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        picture(number).save(folder / f"{number:03}.png")


def names_and_splits(folder: Path) -> dict[bytes, str]:
    data = datasets.load(f"folder:{folder}")
    return {image.tobytes(): split for split in ("train", "test") for image in getattr(data, split)}


def test_folders_of_classes_are_labels(tmp_path: Path) -> None:
    for number, name in enumerate(("owls", "cats")):
        fill(tmp_path / name, range(10 * number, 10 * number + 8))
    data = datasets.load(f"folder:{tmp_path}")
    assert data.train_labels is not None
    assert data.test_labels is not None
    labels = {image.tobytes(): label for image, label in zip(data.train, data.train_labels, strict=True)}
    labels |= {image.tobytes(): label for image, label in zip(data.test, data.test_labels, strict=True)}
    for number in (0, 7, 10, 17):
        path = tmp_path / ("owls" if number < 10 else "cats") / f"{number:03}.png"
        assert labels[read(path.read_bytes(), 28, 1).tobytes()] == (number < 10), "cats are 0, owls are 1"
    chosen = datasets.load(f"folder:{tmp_path}", train=3)
    assert chosen.train_labels is not None
    assert [labels[image.tobytes()] for image in chosen.train] == list(chosen.train_labels)


def test_splits_may_hold_folders_of_classes_and_other_folders_are_no_labels(tmp_path: Path) -> None:
    for number, place in enumerate(("train/a", "train/b", "test/b")):
        fill(tmp_path / "given" / place, range(4 * number, 4 * number + 4))
    data = datasets.load(f"folder:{tmp_path / 'given'}")
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert list(data.train_labels) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert list(data.test_labels) == [1, 1, 1, 1], "the same class as in the other split"
    fill(tmp_path / "mixed" / "a", range(4))
    fill(tmp_path / "mixed" / "b", range(4, 8))
    fill(tmp_path / "mixed", range(8, 9))
    fill(tmp_path / "single" / "a", range(4))
    for name in ("mixed", "single"):
        assert datasets.load(f"folder:{tmp_path / name}").train_labels is None


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "bmp", "gif", "tif", "tiff", "webp", "pgm", "ppm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_common_formats_are_read(tmp_path: Path, suffix: str, channels: int) -> None:
    for number in range(4):
        image = picture(number)
        (image.convert("L") if suffix in ("pgm", "gif") else image).save(tmp_path / f"{number}.{suffix}")
    data = datasets.load(f"folder:{tmp_path}", channels=channels)
    assert data.shape == (28, 28, channels) == datasets.image_shape(f"folder:{tmp_path}", channels=channels)
    assert len(data.train) + len(data.test) == 4
    expected = [read((tmp_path / f"{number}.{suffix}").read_bytes(), 28, channels) for number in range(4)]
    reference = np.asarray(picture(0).convert("L").resize((28, 28), Image.Resampling.BICUBIC, (4, 0, 36, 32)))
    assert (
        np.abs(expected[0].mean(axis=2) - reference).mean() < 25
    )  # the right picture, be it lossy or weighed otherwise
    assert {image.tobytes() for image in (*data.train, *data.test)} == {image.tobytes() for image in expected}


def test_folders_below_are_searched_and_hidden_files_are_not(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "b", range(3))
    fill(tmp_path / "c", range(3, 5))
    fill(tmp_path / ".hidden", range(5, 9))
    (tmp_path / "._000.png").write_bytes(b"resource fork")
    (tmp_path / "readme.txt").write_text("no image")
    data = datasets.load(f"folder:{tmp_path}")
    assert len(data.train) + len(data.test) == 5
    assert not any("._000" in note or "readme" in note for note in data.notes)


def test_a_home_folder_may_be_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "pictures", range(4))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert len(datasets.load("folder:~/pictures").train)


def test_the_central_square_is_resized_with_antialiasing(tmp_path: Path) -> None:
    # Red bars at both ends are cropped away; the fine stripes between become an even gray.
    stripes = np.zeros((112, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    stripes[:, :144] = stripes[:, 256:] = (255, 0, 0)
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    image = read((tmp_path / "wide.png").read_bytes(), 14, 3)
    assert np.abs(image.astype(int) - 127).max() <= 6  # half a stripe weighs more at the borders


def test_orientation_in_the_exif_is_followed(tmp_path: Path) -> None:
    upright = Image.new("L", (32, 32))
    upright.paste(255, (0, 0, 32, 16))  # white above black
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me a quarter clockwise"
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    image = read((tmp_path / "turned.png").read_bytes(), 16, 1)
    assert image[:7].min() > 250
    assert image[9:].max() < 5


@pytest.mark.parametrize(("suffix", "mode"), [("png", "I;16"), ("tif", "I;16"), ("pgm", "I;16")])
def test_16_bits_become_8(tmp_path: Path, suffix: str, mode: str) -> None:
    values = np.repeat(np.arange(0, 65536, 2048, dtype=np.uint16)[:, None], 32, axis=1)
    path = tmp_path / f"deep.{suffix}"
    if suffix == "pgm":
        path.write_bytes(b"P5 32 32 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path)
    with Image.open(path) as file:
        assert file.mode in (mode, "I")
    np.testing.assert_array_equal(read(path.read_bytes(), 32, 1)[..., 0], np.rint(values / 257))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK"])
def test_every_mode_is_read_and_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 32, 16))
    suffix = "tif" if mode == "CMYK" else "png"
    if mode in ("1", "CMYK"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image.convert(mode).save(tmp_path / f"image.{suffix}")
    for channels in (1, 3):
        pixels = read((tmp_path / f"image.{suffix}").read_bytes(), 32, channels)
        assert pixels[:15].max() == 0
        assert pixels[17:].min() == 255


def test_adding_files_moves_no_other_file_to_the_other_split(tmp_path: Path) -> None:
    fill(tmp_path, range(40))
    before = names_and_splits(tmp_path)
    assert set(before.values()) == {"train", "test"}
    fill(tmp_path / "more", range(40, 60))
    shutil.move(tmp_path / "007.png", tmp_path / "renamed.png")
    after = names_and_splits(tmp_path)
    assert len(after) == 60
    assert {image: after[image] for image in before} == before


def test_a_fifth_goes_to_the_test_split_and_copies_stay_on_one_side(tmp_path: Path) -> None:
    fill(tmp_path, range(200))
    fill(tmp_path / "copies", range(200))
    data = datasets.load(f"folder:{tmp_path}", size=11)
    assert 40 <= len(data.test) <= 120  # 80 expected; 200 pictures decide, standard error 2 * 5.7
    assert not {image.tobytes() for image in data.train} & {image.tobytes() for image in data.test}


def test_subsets_are_random_nested_and_always_the_same(tmp_path: Path) -> None:
    fill(tmp_path, range(60))
    name = f"folder:{tmp_path}"
    everything = datasets.load(name)
    few, more = (datasets.load(name, train=count) for count in (5, 20))
    sets = [{image.tobytes() for image in data.train} for data in (few, more, everything)]
    assert sets[0] < sets[1] < sets[2]
    assert [image.tobytes() for image in few.train] != [image.tobytes() for image in everything.train[:5]]
    np.testing.assert_array_equal(few.train, datasets.load(name, train=5).train)
    np.testing.assert_array_equal(few.test, everything.test)
    there = len(everything.train)
    with pytest.raises(DataError, match=rf"train={there + 1} is more than there is: .* has {there} train images"):
        datasets.load(name, train=there + 1)
    with pytest.raises(DataError, match=rf"has {there} train images"):
        datasets.check(name, train=there + 1)
    datasets.check(name, train=there)


def test_files_that_can_not_be_read_are_listed_by_name(tmp_path: Path) -> None:
    fill(tmp_path, range(10))
    whole = (tmp_path / "000.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "text.webp").write_text("<html>not found</html>")
    Image.fromarray(np.ones((20, 20), np.float32)).save(tmp_path / "float.tif")
    data = datasets.load(f"folder:{tmp_path}")
    assert len(data.train) + len(data.test) == 10
    assert [note.split(" ")[0] for note in data.notes] == ["empty.jpg", "float.tif", "sub/text.webp", "torn.png"]
    assert all("could not be read" in note for note in data.notes)
    assert data.notes[0] == "empty.jpg could not be read: it is no image"
    assert "8 or 16 bits" in data.notes[1]
    assert datasets.check(f"folder:{tmp_path}") == data.notes


def test_a_check_decodes_a_file_once_unless_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, range(6))
    decoded = []
    opened = folder.opened
    monkeypatch.setattr(folder, "opened", lambda content, **how: decoded.append(content) or opened(content, **how))
    name = f"folder:{tmp_path}"
    for _ in range(2):
        datasets.check(name, train=2)
    assert sum(folder.counts(name)) == len(decoded) == 6
    picture(7, 60, 60).save(tmp_path / "003.png")
    datasets.check(name)
    assert len(decoded) == 7


def test_a_sketch_of_a_photograph_is_smaller_and_as_complete(tmp_path: Path) -> None:
    picture(0, 640, 480).save(tmp_path / "photo.jpg")
    content = (tmp_path / "photo.jpg").read_bytes()
    assert folder.opened(content, sketch=True).size == (80, 60)
    with pytest.raises(OSError, match="truncated"):
        folder.opened(content[:-50], sketch=True)


def test_an_enormous_image_is_listed_and_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000)  # Pillow's own limit is 90 million; twice that is refused
    fill(tmp_path, range(4))
    Image.new("1", (64, 64)).save(tmp_path / "bomb.png")
    data = datasets.load(f"folder:{tmp_path}")
    assert "exceeds limit" in data.notes[0]
    assert data.notes[0].startswith("bomb.png could not be read")


def test_four_images_are_enough(tmp_path: Path) -> None:
    """Whatever their hashes are, each split has two, and the person is told."""
    moved = 0
    for number in range(0, 40, 4):
        folder = tmp_path / str(number)
        fill(folder, range(number, number + 4))
        data = datasets.load(f"folder:{folder}")
        assert (len(data.train), len(data.test)) == (2, 2)
        moved += any("was moved to the" in note for note in data.notes)
        assert datasets.check(f"folder:{folder}", train=2, test=2) == data.notes
    assert moved


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_are_not(tmp_path: Path, count: int) -> None:
    fill(tmp_path, range(count))
    (tmp_path / "bad.png").write_bytes(b"bad")
    for verb in (datasets.load, datasets.check):
        words = (
            rf"at least 4 readable images in .*, there (is|are) {count}: add images; read are \.png .*; bad\.png could"
        )
        with pytest.raises(DataError, match=words):
            verb(f"folder:{tmp_path}")


def test_a_test_folder_with_one_image_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path / "train", range(5))
    fill(tmp_path / "test", range(5, 6))
    for verb in (datasets.load, datasets.check):
        with pytest.raises(DataError, match=r"needs at least 2 test images in .*test, there is 1: add images"):
            verb(f"folder:{tmp_path}")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(DataError, match="is a file"):
        datasets.check(f"folder:{tmp_path / 'file.png'}")


def test_a_home_folder_of_nobody_is_refused() -> None:
    for verb in (datasets.load, datasets.check, datasets.image_shape):
        with pytest.raises(DataError, match="the home folder of ~nosuchuser is not known here"):
            verb("folder:~nosuchuser/x")


def test_the_contents_of_a_folder_have_a_hash(tmp_path: Path) -> None:
    fill(tmp_path / "a", range(4))
    seen = [folder.contents(f"folder:{tmp_path / 'a'}")]
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    assert folder.contents(f"folder:{tmp_path / 'b'}") == seen[0], "places and times do not matter"

    def change(act: Callable[[], object]) -> None:
        act()
        seen.append(folder.contents(f"folder:{tmp_path / 'a'}"))

    change(lambda: shutil.move(tmp_path / "a" / "000.png", tmp_path / "a" / "renamed.png"))
    change(lambda: picture(9).save(tmp_path / "a" / "001.png"))
    change(lambda: fill(tmp_path / "a", range(5, 6)))
    change((tmp_path / "a" / "002.png").unlink)
    assert len(set(seen)) == len(seen)
    (tmp_path / "a" / "readme.txt").write_text("no image")
    assert folder.contents(f"folder:{tmp_path / 'a'}") == seen[-1]
    assert folder.contents("folder:/no/such/folder") not in seen
