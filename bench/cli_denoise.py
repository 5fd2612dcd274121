"""``daebench denoise``: its options, what it refuses, what it prints.

Nothing heavy is imported at the top: bench/cli.py imports this module for its help.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli_options import BackendFiles

if TYPE_CHECKING:
    from bench.trained.level import Level
    from bench.trained.pictures import Picture
    from bench.trained.ways import Way

AUTO = "auto"
LOUDEST = 1.0
"""A standard deviation that is all of the range from black to white."""
FAILED = 1


def denoise(
    images: Annotated[list[Path], typer.Argument(help="Pictures: PNG, JPEG, ...", metavar="IMAGE...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.", metavar="DIR")],
    record: Annotated[
        str | None, typer.Option("--record", help="Id of the trial whose network is to do it; its beginning will do.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="A classical denoiser with its settings: nlm(h=0.08, sigma_over_h=1).", metavar="TEXT"),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help="Take what fits the noise, of all kept networks and classical denoisers: auto estimates the noise, "
            "0.1 tells it (standard deviation, white is 1).",
            metavar="auto|LEVEL",
        ),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Where networks are looked for (repeatable). Default: results/*.", metavar="DIR"),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Who computes networks: a backend, or reference (NumPy). Default: with --record who trained it.",
            metavar="NAME",
        ),
    ] = None,
    backend_file: BackendFiles = None,
) -> None:
    """Denoise your own pictures, of any size: with a trained network (--record), a classical denoiser (--method), or
    what fits the noise of each picture (--noise).

    Writes NAME-denoised.png and NAME-before-after.png for every picture, and says how much noise there was, how much
    was taken away, and where that is not what it should be.  A picture that had better be left alone is (--noise).
    """
    from bench.cli_facts import OptionError
    from bench.trained import level, pictures
    from bench.yardsticks.base import YardstickError

    for part in (output, *output.parents):
        if part.exists() and not part.is_dir():
            raise OptionError(f"--output {output}: {part} is a file, not a folder: name another one")
    told = None if noise is None or noise == AUTO else _level(noise)
    way, about = _way(record, method, noise, runs or [], backend, output)
    names = pictures.names(images)
    failed: list[str] = []
    for path, name in zip(images, names, strict=True):
        try:
            picture = pictures.read(path)
            for line in about:
                print(line)
            about = []
            _one(path, output, name, picture, way, told if told is not None else level.estimate(picture))
        except pictures.PictureError as error:
            failed.append(str(error))
        except YardstickError as error:
            failed.append(f"{path}: {error}")
    if len(failed) == len(images):
        raise pictures.PictureError("; ".join(failed))
    print("noise: standard deviation, where white is 1 (gaussian(0.1) has 0.1); taken away: root mean square")
    if failed:
        print(f"daebench: {len(failed)} of {len(images)} pictures were not denoised:", file=sys.stderr)
        for line in failed:
            print(f"  {line}", file=sys.stderr)
        raise typer.Exit(FAILED)


def _way(
    record: str | None,
    method: str | None,
    noise: str | None,
    runs: Sequence[Path],
    backend: str | None,
    output: Path,
) -> tuple[Way, list[str]]:
    """How it is to be done, and what is to be said of it before."""
    from bench import machine, places
    from bench.cli_facts import OptionError
    from bench.trained import candidates, compute, found, tiles, ways
    from bench.yardsticks.text import parse_method

    given = {"--record": record, "--method": method, "--noise": noise}
    wanted = [name for name, value in given.items() if value is not None]
    if len(wanted) != 1:
        raise OptionError(
            f"denoise takes one of {', '.join(given)}, not {' and '.join(wanted) or 'none of them'}: a network by the "
            "id of its record, a classical denoiser, or what fits the noise (--noise auto)"
        )
    if method is not None:
        if backend is not None or runs:
            name = "--backend" if backend is not None else "--run"
            raise OptionError(f"{name} is for networks; --method {method!r} needs none")
        chosen = parse_method(method)
        if missing := chosen.method.missing():
            raise OptionError(missing)
        return ways.ByMethod(chosen), [f"method: {chosen}: {chosen.method.summary} ({chosen.method.source})"]
    if record is not None:
        trained = found.find(record, runs)
        places.check_apart("--output", output, [trained.cell.dataset])
        who, why = compute.choose(trained, backend)
        computer = compute.Computer(trained, who, machine.cores())
        how = f"computed by {who}; {tiles.how(trained.architecture)}" + (f" ({why})" if why else "")
        applied = tiles.Applied(trained.architecture, computer.denoiser)
        return ways.ByNetwork(trained, applied), [f"network: {trained.sentence}", how]
    networks = candidates.Networks(runs, backend, machine.cores())
    where = f"{', '.join(map(str, runs))}" if runs else f"{found.HOME}/"
    some = f"{len(networks)} kept in {where} (computed by {networks.backend})" if len(networks) else f"none in {where}"
    return ways.ByFit(networks), [f"networks: {some}; classical denoisers: {', '.join(candidates.NAMES)}"]


def _level(text: str) -> Level:
    from bench.cli_facts import OptionError
    from bench.trained.level import Level

    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= LOUDEST:
        raise OptionError(
            f"--noise {text!r} is not allowed: write auto, or the standard deviation of the noise from 0 to 1, where "
            "white is 1 (25 of 255 is 0.098)"
        )
    return Level(value, told=True)


def _one(path: Path, output: Path, name: str, picture: Picture, way: Way, found: Level) -> None:
    from bench.trained import pictures

    height, width, channels = picture.shape
    colour = "gray" if channels == 1 else "colour"
    amount = "cannot be estimated" if found.sigma is None else f"{'' if found.told else 'about '}{found.sigma:.3f}"
    print(f"{path}: {width}x{height} pixels, {colour}, noise {amount}", flush=True)
    done = way(picture, found)
    for line in done.facts:
        print(f"  {line}")
    if done.denoised is not None:
        output.mkdir(parents=True, exist_ok=True)
        files = pictures.save(output, name, picture, done.denoised)
        print(f"  {files[0]}\n  {files[1]} (before | after)")
    for line in done.warnings:
        print(f"  warning: {line}")
