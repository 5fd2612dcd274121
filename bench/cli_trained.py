"""``daebench export ID --to ...`` and ``daebench denoise``: their options, what they refuse, what they print.

Nothing heavy is imported at the top: bench/cli.py imports this module for its help.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.cli_options import BackendFiles

LOADED_BY = {
    "keras": "model = keras.saving.load_model({path!r}); denoised = model.predict(noisy)",
    "torch": "from {stem} import load; network = load(); denoised = network(noisy)",
    "onnx": "session = onnxruntime.InferenceSession({path!r}); denoised, = session.run(None, {{'noisy': noisy}})",
    "npz": "arrays = numpy.load({path!r}, allow_pickle=False); arrays['architecture'] has the layers",
}
DESCRIBED_IN = {
    "keras": "daebench.json in that archive (python -m zipfile -e {path} DIR)",
    "torch": "the docstring of {path}",
    "onnx": "the model's doc_string and metadata_props",
    "npz": "arrays['about']",
}


def export(identity: str, form: str, output: Path | None, runs: Sequence[Path]) -> None:
    """Write the trained network of record ``identity`` as ``form``, and print what was written."""
    from bench import cli_compare
    from bench.cli_facts import OptionError
    from bench.trained import described, found
    from bench.trained import export as exports
    from results.journal import RECORDS

    wanted = exports.parse_form("--to", form)
    if str(output) == cli_compare.STDOUT:
        raise OptionError("--output -: a trained network is no text to print; name a file")
    if output is not None:
        cli_compare.check_place("--output", output)
    if (Path(identity) / RECORDS).is_file():
        raise OptionError(
            f"export --to takes the id of a record, and {identity} is a run folder: its figures are had by --format; "
            f"for a network of it: daebench export ID --to {form} --run {identity}"
        )
    trained = found.find(identity, runs)
    path = output if output is not None else exports.default_path(trained, wanted)
    files, deviation = exports.export(trained, wanted, path)
    print(trained.sentence)
    print(f"written: {', '.join(map(str, files))}")
    if deviation is None:
        print("not loaded back: onnxruntime is not installed (pip install 'daebench[onnx]')")
    else:
        print(f"loaded back, it computes the same: largest deviation of a pixel {deviation:.1e} (white is 1)")
    print(f"load it: {LOADED_BY[wanted].format(path=str(path), stem=path.stem)}")
    for line in described.lines(trained, described.LAYOUTS[wanted]):
        print(line)
    print(f"the file says so too: {DESCRIBED_IN[wanted].format(path=path)}")


def denoise(
    images: Annotated[list[Path], typer.Argument(help="Pictures: PNG, JPEG, ...", metavar="IMAGE...")],
    record: Annotated[
        str, typer.Option("--record", help="Id of the trial whose network is to do it; its beginning will do.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.", metavar="DIR")],
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Where the record is (repeatable). Default: results/*.", metavar="DIR"),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="Who computes: a backend, or reference (NumPy). Default: who trained it.", metavar="NAME"),
    ] = None,
    backend_file: BackendFiles = None,
) -> None:
    """Denoise your own pictures, of any size, with a trained network.

    Writes NAME-denoised.png and NAME-before-after.png for every picture and prints an estimate of the noise in both.
    A network made for one size works on overlapping tiles, a gray one on each colour by itself.
    """
    from bench import machine, places
    from bench.cli_facts import OptionError
    from bench.trained import compute, found, pictures, tiles

    for part in (output, *output.parents):
        if part.exists() and not part.is_dir():
            raise OptionError(f"--output {output}: {part} is a file, not a folder: name another one")
    trained = found.find(record, runs or [])
    places.check_apart("--output", output, [trained.cell.dataset])
    who, why = compute.choose(trained, backend)
    for path in images:
        pictures.read(path)  # every one must be readable before the first is denoised
    names = pictures.names(images)
    print(f"network: {trained.sentence}")
    print(f"computed by {who}; {tiles.how(trained.architecture)}" + (f" ({why})" if why else ""))
    computer = compute.Computer(trained, who, machine.cores())
    applied = tiles.Applied(trained.architecture, computer.denoiser)
    output.mkdir(parents=True, exist_ok=True)
    for path, name in zip(images, names, strict=True):
        noisy = pictures.read(path)
        denoised = applied(noisy)
        before, after = pictures.noise(noisy), pictures.noise(denoised)
        files = pictures.save(output, name, noisy, denoised)
        print(f"{path}: {noisy.shape[1]}x{noisy.shape[0]} pixels, noise {_noise(before)} -> {_noise(after)}")
        print(f"  {files[0]}\n  {files[1]} (before | after)")
        if (change := pictures.departs(noisy, denoised)) is not None:
            print(
                f"  changed by {255 * change:.0f} of 255, far more than its noise: the network knows only pictures "
                f"like those that it was trained on ({trained.cell.dataset}); train one on pictures like this"
            )
    print("noise: estimated standard deviation of Gaussian noise, of 255 (scikit-image, estimate_sigma)")


def _noise(sigma: float | None) -> str:
    return "unknown (too small)" if sigma is None else f"{255 * sigma:.1f}"
