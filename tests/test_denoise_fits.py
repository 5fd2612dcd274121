"""``denoise`` compares a picture's noise with what a network was trained for, and says what it did to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trained_networks
from PIL import Image

from bench import cli, corruption, datasets
from bench.trained import candidates, fitting, pictures, risk
from bench.trained.level import Level
from bench.yardsticks import parse_method

Picture = pictures.Picture


def photograph(channels: int = 1, side: int = 128) -> Picture:
    """A part of a photograph with structure in it."""
    whole = datasets.load_whole("photos", channels=channels)
    pixels = datasets.as_float(whole.read(0)[None])[0]
    return np.ascontiguousarray(pixels[40 : 40 + side, 120 : 120 + side])


def noisy(clean: Picture, level: float, seed: int = 0) -> Picture:
    return corruption.corrupt(clean[None], f"gaussian({level})", seed=seed, split="test")[0]


def save(path: str, picture: Picture) -> None:
    pixels = np.round(picture * 255).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)


def psnr(picture: Picture, clean: Picture) -> float:
    return float(-10 * np.log10(np.square(picture.astype(np.float64) - clean).mean()))


# -- what a network was trained for ------------------------------------------------------------------------------------

GRAY = np.full((8, 8, 1), 0.25, np.float32)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("gaussian(0.2)", 0.2, 0.2),
        ("gaussian(0..0.3)", 0.0, 0.3),
        ("uniform(0.3)", 0.3 / 3**0.5, 0.3 / 3**0.5),
        ("gaussian(0.3) + gaussian(0.4)", 0.5, 0.5),
        ("blur(0..2) + gaussian(0.1)", 0.1, 0.1),
        ("poisson(0.2)", 0.1, 0.1),
        ("speckle(0.2)", 0.05, 0.05),
    ],
)
def test_noise_that_a_corruption_comes_to(text: str, low: float, high: float) -> None:
    found = fitting.trained_for(text, GRAY)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_noise_that_a_corruption_comes_to_is_what_it_makes() -> None:
    """Measured on images that no noise clips."""
    images = np.random.default_rng(0).uniform(0.3, 0.7, (64, 32, 32, 1)).astype(np.float32)
    for text in ("gaussian(0.05)", "uniform(0.1)", "poisson(0.1)", "speckle(0.1)", "gaussian(0.03) + uniform(0.05)"):
        made = np.std(corruption.corrupt(images, text, seed=0, clip=False) - images)
        found = fitting.trained_for(text, images[0])
        assert found is not None
        assert found.low == pytest.approx(made, rel=0.02), text


@pytest.mark.parametrize(
    "text", ["salt_pepper(0.2)", "masking(0.5)", "downsample(2)", "gaussian(0.1) + blur(1)", "blur(1)"]
)
def test_noise_of_other_kinds_is_not_compared(text: str) -> None:
    assert fitting.trained_for(text, GRAY) is None
    warning = fitting.before(Level(0.1), trained_networks.cell(corruption=text), GRAY)
    assert warning is not None
    assert text in warning
    assert "not known" in warning


@pytest.mark.parametrize(
    ("text", "sigma", "words"),
    [
        ("gaussian(0.2)", 0.054, ["less noise (0.054)", "gaussian(0.2)", "--set 'corruption=gaussian(0.054)'"]),
        ("gaussian(0.05)", 0.2, ["more noise (0.200)", "gaussian(0.05)", "leave much of it"]),
        ("gaussian(0.2)", 0.004, ["no more noise (0.004) than photographs", "leave the picture as it is"]),
        ("gaussian(0.1..0.3)", 0.05, ["less noise"]),
        ("gaussian(0.2)", None, ["cannot be estimated (too dark)", "not known"]),
    ],
)
def test_noise_that_a_network_was_not_trained_for(text: str, sigma: float | None, words: list[str]) -> None:
    cell = trained_networks.cell(corruption=text, dataset="folder:my pictures")
    warning = fitting.before(Level(sigma, "too dark"), cell, GRAY)
    assert warning is not None
    assert [word for word in words if word not in warning] == [], warning
    if "daebench run" in warning:
        assert "--set 'dataset=folder:my pictures'" in warning


@pytest.mark.parametrize(
    ("text", "sigma"),
    [("gaussian(0.2)", 0.2), ("gaussian(0.2)", 0.15), ("gaussian(0.2)", 0.29), ("gaussian(0..0.3)", 0.05)],
)
def test_noise_that_a_network_was_trained_for(text: str, sigma: float) -> None:
    assert fitting.before(Level(sigma), trained_networks.cell(corruption=text), GRAY) is None


def test_a_range_that_begins_at_none_may_have_a_clean_picture() -> None:
    assert fitting.before(Level(0.002), trained_networks.cell(corruption="gaussian(0..0.3)"), GRAY) is None


@pytest.mark.parametrize(
    ("sigma", "removed", "words"),
    [
        (0.05, 0.05, None),
        (0.05, 0.04, None),
        (0.05, 0.066, "some of it was the picture's own"),
        (0.05, 0.08, "farther from the clean picture"),
        (0.0, 0.05, "farther from the clean picture"),
        (0.0, 0.001, None),
        (0.1, 0.03, "some of it is left"),
        (None, 0.5, None),
    ],
)
def test_what_was_taken_away_is_held_against_the_noise(sigma: float | None, removed: float, words: str | None) -> None:
    said = fitting.after(Level(sigma), removed)
    assert said is None if words is None else said is not None and words in said


WIDTHS = (0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)


# -- how far from the clean picture? -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", ["gaussian(sigma=0.6)", "gaussian(sigma=1.2)", "tv(weight=0.1)", "identity"])
def test_the_error_is_estimated_without_the_clean_picture(method: str, channels: int, level: float) -> None:
    clean = photograph(channels)
    given = noisy(clean, level)
    candidate = candidates.of_method(parse_method(method))
    found = risk.estimate(candidate.denoise, [given], level)
    inside = risk.counts(given, level)
    assert found is not None
    assert inside is not None
    true = np.square((candidate.denoise(given) - clean).astype(np.float64))[inside].mean()
    assert found.spread < 0.1 * level**2
    assert found.error == pytest.approx(true, abs=3 * found.spread + 0.02 * level**2)


def test_of_two_denoisers_the_better_one_is_found() -> None:
    """Both have the noise in common: the difference is known far better than either error."""
    clean = photograph()
    for seed in range(5):
        given = noisy(clean, 0.1, seed)
        tried = candidates.best_first(
            [candidates.of_method(parse_method(f"gaussian(sigma={one})")) for one in WIDTHS], given, 0.1
        )
        assert tried is not None
        true = {one.candidate.name: psnr(one.candidate.denoise(given), clean) for one in tried}
        assert true[tried[0].candidate.name] > max(true.values()) - 0.1


def test_nothing_is_estimated_where_all_is_black_or_white() -> None:
    given = noisy(np.zeros((40, 40, 1), np.float32), 0.1)
    assert risk.estimate(lambda picture: picture, [given], 0.1) is None


def test_large_pictures_are_tried_in_parts() -> None:
    assert len(candidates.parts(np.zeros((200, 300, 1), np.float32))) == 1
    assert len(candidates.parts(np.zeros((100, 5000, 1), np.float32))) == 1
    some = candidates.parts(np.zeros((1000, 800, 3), np.float32))
    assert [part.shape for part in some] == [(candidates.PART, candidates.PART, 3)] * 4


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["denoise", *arguments, "-o", "out"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("channels", [1, 3])
def test_a_classical_method_denoises_pictures(here: Path, capsys: Any, channels: int) -> None:
    clean = photograph(channels)
    save("mine.png", noisy(clean, 0.1))
    text = "nlm(h=0.08, sigma_over_h=1.25, patch_size=5, patch_distance=5)"
    said = run(capsys, "mine.png", "--method", text)
    given, denoised = pictures.read(Path("mine.png")), pictures.read(Path("out/mine-denoised.png"))
    assert denoised.shape == clean.shape
    expected = parse_method(text).denoise(given[None])[0]
    assert np.abs(denoised - expected).max() <= 0.5 / 255 + 1e-6
    assert psnr(denoised, clean) > psnr(given, clean) + 3
    assert f"method: {text}" in said
    assert "warning" not in said


def test_a_clean_picture_is_warned_about(here: Path, capsys: Any) -> None:
    save("clean.png", np.full((64, 64, 1), 0.5, np.float32))
    said = run(capsys, "clean.png", "--method", "gaussian(sigma=1)")
    assert "warning: it has no more noise (0.000) than photographs without any seem to have: leave" in said


def test_a_network_that_takes_too_much_is_found_out(here: Path, capsys: Any) -> None:
    """Little noise, a network for much: both figures were known, and success was reported."""
    (record,) = trained_networks.make_run(Path("results/mine"), trained_networks.cell("conv", 12))
    save("mine.png", noisy(photograph(), 0.05))
    said = run(capsys, "mine.png", "--record", record["id"])
    assert "warning: it has less noise (0.05" in said
    assert "trained for (gaussian(0.4))" in said
    assert "daebench run advise --set dataset=glyphs --set 'corruption=gaussian(0.05" in said
    assert "warning: more was taken away" in said
    assert "farther from the clean picture than the noisy one was" in said


def test_auto_leaves_a_clean_picture_alone(here: Path, capsys: Any) -> None:
    save("clean.png", photograph(3))
    said = run(capsys, "clean.png", "--noise", "auto")
    assert "left as it is: it has no more noise" in said
    assert not Path("out").exists()


def test_auto_leaves_alone_what_it_cannot_judge(here: Path, capsys: Any) -> None:
    save("black.png", np.zeros((40, 40, 1), np.float32))
    said = run(capsys, "black.png", "--noise", "auto")
    assert "left as it is: its noise cannot be estimated" in said
    assert "--noise LEVEL tells it" in said


@pytest.mark.parametrize("told", ["auto", "0.1"])
def test_auto_takes_what_is_best_on_this_picture(here: Path, capsys: Any, told: str) -> None:
    clean = photograph()
    trained_networks.make_run(Path("results/mine"), trained_networks.cell("conv", 12, corruption="gaussian(0.1)"))
    save("mine.png", noisy(clean, 0.1))
    said = run(capsys, "mine.png", "--noise", told)
    assert "networks: 1 kept in results/" in said
    assert "\n  by nlm" in said, "the network was never trained"
    denoised = pictures.read(Path("out/mine-denoised.png"))
    assert psnr(denoised, clean) > psnr(pictures.read(Path("mine.png")), clean) + 3
    expected = float(said.partition("estimated PSNR: ")[2].partition(") ")[2].split(" dB")[0])
    assert expected == pytest.approx(psnr(denoised, clean), abs=0.7)


def test_auto_asks_networks_trained_for_this_noise(here: Path) -> None:
    cells = [
        trained_networks.cell("dense", 12, corruption=text)
        for text in ("gaussian(0.4)", "gaussian(0.1)", "gaussian(0..0.3)", "salt_pepper(0.1)", "gaussian(0.13)")
    ]
    trained_networks.make_run(Path("results/mine"), *cells)
    networks = candidates.Networks([], None, 1)
    assert len(networks) == 5
    found, lacking = networks.for_noise(0.12, photograph())
    assert lacking == []
    assert [one.name.rpartition("for ")[2] for one in found] == [
        "gaussian(0..0.3))",
        "gaussian(0.13))",
        "gaussian(0.1))",
    ]
    assert networks.for_noise(0.9, photograph())[0] == []


def test_auto_names_networks_that_it_cannot_load(here: Path, capsys: Any) -> None:
    (record,) = trained_networks.make_run(
        Path("results/mine"), trained_networks.cell("conv", 12, corruption="gaussian(0.1)")
    )
    (weights,) = Path("results/mine/weights").iterdir()
    weights.write_bytes(b"damaged")
    save("mine.png", noisy(photograph(), 0.1))
    said = run(capsys, "mine.png", "--noise", "auto")
    assert f"warning: network {record['id']} in results/mine is left out: " in said
    assert Path("out/mine-denoised.png").is_file()


def test_a_picture_too_small_for_a_method_fails_alone(here: Path, capsys: Any) -> None:
    save("small.png", photograph(side=4))
    save("mine.png", noisy(photograph(), 0.1))
    text = "wavelet(wavelet=db1, levels=3, threshold=BayesShrink, sigma=0.1, ycbcr=false, shifts=0)"
    assert cli.main(["denoise", "small.png", "mine.png", "--method", text, "-o", "out"]) == 1
    said = capsys.readouterr().err
    assert "1 of 2 pictures were not denoised" in said
    assert "small.png: method wavelet" in said
    assert [path.name for path in Path("out").glob("*-denoised.png")] == ["mine-denoised.png"]
