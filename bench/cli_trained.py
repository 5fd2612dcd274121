"""``daebench export ID --to ...``: what it refuses and what it prints.

Nothing heavy is imported at the top: bench/cli.py imports this module for its help.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
