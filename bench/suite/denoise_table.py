"""What ``daebench denoise --noise auto`` comes to on photographs that nothing was trained or calibrated on.

    python -m bench.suite.denoise_table FOLDER [--train] [--epochs 8] [--patches 4000]

Twelve of scikit-image's photographs, each without noise and with Gaussian noise of 0.05, 0.1 and 0.2 (clipped and
rounded to 8 bits, as files are), go through the command.  Beside it stands what non-local means comes to with the
settings that are best, at the same level, on patches of the other photographs: it is told the noise, the command is
not.  ``--train`` first trains networks on those other photographs, for each level and for a range of them; without,
the command has classical denoisers alone, or what networks FOLDER/run keeps from before.

A row each: estimated noise, PSNR in dB of the noisy picture, of calibrated non-local means (the better of its two
modes) and of what the command wrote (of the picture itself where it was left alone), and what the command took.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench import cli, corruption
from bench.trained import pictures
from bench.trained.pictures import Picture
from bench.yardsticks import METHODS, Chosen, calibrate
from implementations import counter

TRAINING = ("astronaut.png", "brick.png", "coffee.png", "coins.png", "gravel.png", "motorcycle_left.png")
SCORED = ("motorcycle_right.png", "color.png")
"""A run must score some; what that says is not looked at."""
HELD_OUT = (
    *("camera.png", "cell.png", "chelsea.png", "clock_motion.png", "grass.png", "hubble_deep_field.jpg", "ihc.png"),
    *("microaneurysms.png", "moon.png", "page.png", "retina.jpg", "rocket.jpg"),
)
LEVELS = (0.0, 0.05, 0.1, 0.2)
RANGE = "gaussian(0..0.3)"
NON_LOCAL = ("nlm", "nlm-slow")
PATCH, PATCHES = 48, 200
"""Pixels of a side, and number, of the patches that calibrate."""
EXACT = 100.0
"""PSNR of a picture that is exact."""


@dataclass(frozen=True)
class Row:
    """A picture at a level; PSNR in dB."""

    name: str
    level: float
    noisy: float
    non_local: float
    auto: float
    said: tuple[str, ...]

    def __str__(self) -> str:
        figures = f"{self.noisy:7.2f} {self.non_local:7.2f} {self.auto:7.2f} {self.auto - self.non_local:+6.2f}"
        return f"{self.name:18} {self.level:5.2f} {figures}  {'; '.join(self.said)}"


def photograph(name: str) -> Picture:
    """One of scikit-image's own, gray or colour as it is."""
    import skimage

    return pictures.read(Path(skimage.__file__).parent / "data" / name)


def with_noise(clean: Picture, name: str, level: float) -> Picture:
    """Clipped and rounded, as a file holds it; the noise of every picture and level is its own."""
    if not level:
        return clean
    seed = int(counter.uniform((1,), "denoise table", name, str(level))[0] * 2**24)
    noisy = corruption.corrupt(clean[None], f"gaussian({level})", seed=seed, split="test")[0]
    rounded: Picture = np.round(noisy * 255).astype(np.float32) / np.float32(255)
    return rounded


def psnr(picture: Picture, clean: Picture) -> float:
    """In dB, of all values together."""
    error = float(np.square(picture.astype(np.float64) - clean).mean())
    return EXACT if error == 0 else -10 * np.log10(error)


def calibrated(level: float, channels: int) -> list[Chosen]:
    """Both modes of non-local means, with settings chosen on patches of the training photographs."""
    patches = []
    for name in TRAINING:
        clean = photograph(name)
        if clean.shape[2] < channels:
            continue
        clean = clean if channels == clean.shape[2] else clean.mean(axis=2, keepdims=True)
        places = counter.uniform((PATCHES // len(TRAINING), 2), "denoise table", name)
        for top, left in places * (np.array(clean.shape[:2]) - PATCH):
            patches.append(clean[int(top) : int(top) + PATCH, int(left) : int(left) + PATCH])
    clean = np.stack(patches)
    noisy = corruption.corrupt(clean, f"gaussian({level})", seed=1)
    return [Chosen(METHODS[name], calibrate(METHODS[name], noisy, clean).parameters) for name in NON_LOCAL]


def train(folder: Path, epochs: int, patches: int) -> None:
    """Networks for each level and for a range, on the training photographs, kept in FOLDER/run."""
    for split, names in (("train", TRAINING), ("test", SCORED)):
        (folder / "photographs" / split).mkdir(parents=True, exist_ok=True)
        for name in names:
            pixels = np.round(photograph(name) * 255).astype(np.uint8)
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            image.save(folder / "photographs" / split / f"{Path(name).stem}.png")
    corruptions = ",".join([*(f"gaussian({level})" for level in LEVELS if level), RANGE])
    settings: dict[str, Any] = {
        "backend": "torch",
        "dataset": f"folder:{folder / 'photographs'}",
        "corruption": corruptions,
        "clip": "true",
        "train": patches,
        "epochs": epochs,
        "refresh": "true",
        "yardsticks": "false",
    }
    given = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    if code := cli.main(["run", "whole", "--out", str(folder / "run"), *given]):
        sys.exit(code)


def row(folder: Path, name: str, level: float, methods: Sequence[Chosen]) -> Row:
    """One picture at one level, through the command."""
    clean = photograph(name)
    noisy = with_noise(clean, name, level)
    source = folder / f"{Path(name).stem}-{level}.png"
    pixels = np.round(noisy * 255).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(source)
    result = folder / "out" / f"{source.stem}-denoised.png"
    result.unlink(missing_ok=True)
    printed = io.StringIO()
    run = ["--run", str(folder / "run")] if (folder / "run").is_dir() else []
    with contextlib.redirect_stdout(printed):
        code = cli.main(["denoise", str(source), "--noise", "auto", "-o", str(folder / "out"), *run])
    if code:
        sys.exit(code)
    said = [line.strip() for line in printed.getvalue().splitlines() if not line.startswith(("networks:", "noise:"))]
    denoised = pictures.read(result) if result.is_file() else noisy
    best = max((psnr(one.denoise(noisy[None])[0], clean) for one in methods), default=psnr(noisy, clean))
    told = tuple(line for line in said if not line.endswith((".png", "(before | after)")))
    return Row(Path(name).stem, level, psnr(noisy, clean), best, psnr(denoised, clean), told)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="denoise --noise auto on photographs that nothing was trained on")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--patches", type=int, default=4000)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.train:
        train(given.folder, given.epochs, given.patches)
    if not (given.folder / "run").is_dir():
        # Nothing from elsewhere is to have a part in it.
        os.chdir(given.folder)
        given.folder = Path(".")
    channels = {name: photograph(name).shape[2] for name in HELD_OUT}
    rows = []
    for level in LEVELS:
        methods = {count: calibrated(level, count) if level else [] for count in sorted(set(channels.values()))}
        for count, chosen in methods.items():
            print(f"non-local means at {level}, {count} channel{'s' * (count > 1)}: {', '.join(map(str, chosen))}")
        for name in HELD_OUT:
            rows.append(row(given.folder, name, level, methods[channels[name]]))
            print(rows[-1], flush=True)
    harmed = [one for one in rows if one.auto < one.noisy]
    behind = [one for one in rows if one.auto < one.non_local - 0.3]
    print(f"below the noisy picture: {len(harmed)} of {len(rows)}", *(f"{one.name} {one.level}" for one in harmed))
    print(f"more than 0.3 dB behind: {len(behind)} of {len(rows)}", *(f"{one.name} {one.level}" for one in behind))


if __name__ == "__main__":
    main()
