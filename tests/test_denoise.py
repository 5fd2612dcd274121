"""A person's own pictures through a trained network: any size, any colours, no seams, and mistakes in one message."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trained_networks
from PIL import Image

from bench import cli, whole
from bench.trained import compute, pictures, tiles
from bench.trained.compute import Computer
from implementations.architecture import Architecture


def picture(height: int, width: int, channels: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((height, width, channels), np.float32)


def applied(point: Any) -> tiles.Applied:
    one = trained_networks.trained(point)
    return tiles.Applied(one.architecture, Computer(one, "reference", 1).denoiser)


def copying(network: Architecture) -> tiles.Applied:
    """A network that gives back what it is given, and refuses what it is not made for."""

    def make(form: Architecture) -> tiles.Denoiser:
        def same(images: Any) -> Any:
            assert images.shape[1:] == form.input_shape
            return images

        return same

    return tiles.Applied(network, make)


# -- sizes and colours ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dense", "strided", "conv-residual(3,4)"])
@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (12, 12), (13, 12), (31, 50)])
@pytest.mark.parametrize(("channels", "own"), [(1, 1), (3, 1), (1, 3), (3, 3)])
def test_what_goes_in_comes_out(name: str, size: int, height: int, width: int, channels: int, own: int) -> None:
    size = 4 * (size // 4) if name == "strided" else size
    network = trained_networks.cell(name, size, own).make_architecture()
    given = picture(height, width, channels)
    found = copying(network)(given)
    assert found.dtype == np.float32
    assert np.allclose(found, given, atol=1e-6)


def test_a_network_of_one_size_leaves_no_seams() -> None:
    """A flat picture comes back flat, were tiles to differ in themselves or not."""
    found = applied(trained_networks.cell("dense", 12))(np.full((40, 33, 1), 0.5, np.float32))
    network = applied(trained_networks.cell("dense", 12))
    tile = network(np.full((12, 12, 1), 0.5, np.float32))
    assert found.shape == (40, 33, 1)
    # Blended tiles repeat with half a tile's period, and never leave what a tile can be.
    assert np.allclose(found[6:12, 6:12], found[12:18, 18:24], atol=1e-6)
    assert found.min() >= 0
    assert found.max() <= 1
    assert tile.shape == (12, 12, 1)


def test_windows_that_overlap_by_half_add_up_to_one() -> None:
    window = tiles._window(28)
    assert (window > 0).all()
    assert np.allclose(window[:14] + window[14:], 1)


@pytest.mark.parametrize(("name", "size"), [("strided", 16), ("conv-latif", 16), ("conv-residual(4,6)", 12)])
def test_whole_pictures_are_cut_where_the_network_can_not_see_it(
    monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    given = picture(75, 90, 1)
    found = []
    for core in (96, 32):
        monkeypatch.setattr(whole, "CORE", core)
        found.append(applied(trained_networks.cell(name, size))(given))
    assert np.abs(found[0] - found[1]).max() < 1e-6


def test_colours_of_a_gray_network_are_denoised_one_by_one() -> None:
    network = applied(trained_networks.cell("conv", 12))
    given = picture(20, 17, 3)
    found = network(given)
    for channel in range(3):
        assert np.allclose(found[..., channel : channel + 1], network(given[..., channel : channel + 1]), atol=1e-6)


def test_backends_agree_on_a_picture() -> None:
    one = trained_networks.trained(trained_networks.cell("conv-residual(3,4)", 12, 3))
    given = picture(30, 19, 3)
    found = [tiles.Applied(one.architecture, Computer(one, who, 1).denoiser)(given) for who in ("reference", "torch")]
    assert np.abs(found[0] - found[1]).max() < 1e-5


def test_who_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trained_networks.trained(trained_networks.cell("dense"))
    assert compute.choose(one, None) == ("torch", "")
    assert compute.choose(one, "reference") == ("reference", "")
    gone = replace(one, cell=replace(one.cell, backend="gone"))
    who, why = compute.choose(gone, None)
    assert who == "torch"
    assert "gone" in why
    with pytest.raises(compute.BackendError, match=r"'tourch' is unknown; allowed are .*torch.*reference"):
        compute.choose(one, "tourch")
    monkeypatch.setattr(compute, "_missing", lambda name: None if name == "reference" else "not installed")
    assert compute.choose(one, None)[0] == "reference"
    with pytest.raises(compute.BackendError, match="--backend torch: not installed"):
        compute.choose(one, "torch")


# -- pictures ------------------------------------------------------------------------------------------------------


def test_pictures_are_read_whole_and_written_back(tmp_path: Path) -> None:
    values = (picture(20, 30, 3) * 255).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "colour.png")
    Image.fromarray(values[..., 0]).save(tmp_path / "gray.png")
    Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    colour, gray = pictures.read(tmp_path / "colour.png"), pictures.read(tmp_path / "gray.png")
    assert np.array_equal(colour, values.astype(np.float32) / 255)
    assert gray.shape == (20, 30, 1)
    assert np.array_equal(pictures.read(tmp_path / "deep.png"), gray)
    denoised, strip = pictures.save(tmp_path, "gray", gray, 1 - gray)
    assert np.allclose(pictures.read(denoised), 1 - gray, atol=1 / 255)
    assert pictures.read(strip).shape == (20, 30 + pictures.GAP + 30, 1)
    assert pictures.names([Path("a/x.png"), Path("b/x.jpg"), Path("y.png")]) == ["x", "x-2", "y"]


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """In a folder with a run and a picture in it; the id of its record."""
    monkeypatch.chdir(tmp_path)
    (record,) = trained_networks.make_run(Path("results/mine"), trained_networks.cell("conv", 12))
    Image.fromarray((picture(20, 30, 3) * 255).astype(np.uint8)).save("mine.jpg")
    Path("text.png").write_text("no picture")
    identity: str = record["id"]
    return identity


@pytest.mark.parametrize("backend", [None, "reference"])
def test_denoise(here: str, capsys: pytest.CaptureFixture[str], backend: str | None) -> None:
    extra = [] if backend is None else ["--backend", backend]
    assert cli.main(["denoise", "mine.jpg", "--record", here[:8], "-o", "out", *extra]) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in Path("out").iterdir()) == ["mine-before-after.png", "mine-denoised.png"]
    with Image.open("out/mine-denoised.png") as image:
        assert (image.size, image.mode) == ((30, 20), "RGB")
    with Image.open("out/mine-before-after.png") as image:
        assert image.size == (30 + pictures.GAP + 30, 20)
    for word in ("mine.jpg: 30x20 pixels, colour, noise ", "mine-denoised.png", f"computed by {backend or 'torch'}"):
        assert word in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["denoise", "mine.jpg", "--record", "ffffffff", "-o", "out"], ["'ffffffff'", "trials with weights"]),
        (["denoise", "none.png", "--record", "ID", "-o", "out"], ["none.png", "no such file"]),
        (["denoise", "results", "--record", "ID", "-o", "out"], ["results", "is a folder"]),
        (["denoise", "text.png", "none.png", "--record", "ID", "-o", "out"], ["text.png: cannot be read", "none.png"]),
        (["denoise", "mine.jpg", "--record", "ID", "-o", "text.png/out"], ["text.png", "not a folder"]),
        (["denoise", "mine.jpg", "--record", "ID", "-o", "out", "--backend", "x"], ["--backend 'x'", "reference"]),
        (["denoise", "mine.jpg", "--record", "ID", "-o", "out", "--run", "no"], ["--run no", "no run"]),
        (["denoise", "mine.jpg", "-o", "out"], ["one of --record, --method, --noise", "not none of them"]),
        (
            ["denoise", "mine.jpg", "-o", "out", "--record", "ID", "--method", "median-3x3"],
            ["one of --record, --method, --noise", "not --record and --method"],
        ),
        (
            ["denoise", "mine.jpg", "-o", "out", "--record", "ID", "--noise", "auto", "--method", "median-3x3"],
            ["not --record and --method and --noise"],
        ),
        (["denoise", "mine.jpg", "-o", "out", "--method", "nml(h=1)"], ["'nml'", "did you mean 'nlm'"]),
        (["denoise", "mine.jpg", "-o", "out", "--method", "nlm(h=-1,sigma_over_h=1)"], ["h = -1", "above 0"]),
        (["denoise", "mine.jpg", "-o", "out", "--method", "median-3x3", "--backend", "torch"], ["--backend"]),
        (["denoise", "mine.jpg", "-o", "out", "--method", "median-3x3", "--run", "results/mine"], ["--run"]),
        (["denoise", "mine.jpg", "-o", "out", "--noise", "25"], ["--noise '25'", "from 0 to 1"]),
        (["denoise", "mine.jpg", "-o", "out", "--noise", "much"], ["--noise 'much'", "auto"]),
        (["denoise", "mine.jpg", "-o", "out", "--noise", "nan"], ["--noise 'nan'", "auto"]),
        (["denoise", "mine.jpg", "-o", "out", "--noise", "auto", "--run", "no"], ["--run no", "no run"]),
        (["denoise", "mine.jpg", "-o", "out", "--noise", "auto", "--backend", "x"], ["--backend 'x'", "reference"]),
    ],
)
def test_mistakes(here: str, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]) -> None:
    assert cli.main([here if word == "ID" else word for word in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert [word for word in words if word not in line] == [], line
    assert not Path("out").exists()


def test_weights_that_are_gone(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path("results/mine/weights").iterdir():
        path.unlink()
    assert cli.main(["denoise", "mine.jpg", "--record", here, "-o", "out"]) == 2
    assert "is missing" in capsys.readouterr().err


def test_one_unreadable_picture_does_not_keep_the_others(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("second.png").write_bytes(Path("mine.jpg").read_bytes())
    assert cli.main(["denoise", "text.png", "mine.jpg", "none.png", "second.png", "--record", here, "-o", "out"]) == 1
    said = capsys.readouterr()
    assert {path.name for path in Path("out").glob("*-denoised.png")} == {"mine-denoised.png", "second-denoised.png"}
    assert said.out.count("network:") == 1
    lines = said.err.splitlines()
    assert lines[0] == "daebench: 2 of 4 pictures were not denoised:"
    assert "text.png: cannot be read" in lines[1]
    assert "none.png" in lines[2]
    assert len(lines) == 3
