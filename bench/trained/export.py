"""Trained networks in the forms that frameworks load natively; each is loaded back and compared before it is handed
over."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from bench.trained import as_keras, as_npz, as_onnx, as_torch
from bench.words import one_of
from implementations import counter
from results.writing import drafts, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.trained.found import Trained
    from implementations.parameters import Array

Form = Literal["keras", "torch", "onnx", "npz"]
FORMS: tuple[Form, ...] = get_args(Form)
SUFFIX: dict[Form, str] = {"keras": ".keras", "torch": ".py", "onnx": ".onnx", "npz": ".npz"}
TOLERANCE = 1e-5
"""Of a pixel, white being 1: what float32 may lose on the way through a network, and no 8-bit image shows."""
CHECKED = 4
"""Images that an export is compared on."""


class FormError(ValueError):
    """A form that is not known or can not be written here, or one that came back as another network."""


def parse_form(option: str, name: str) -> Form:
    """The form called ``name``; FormError names those there are."""
    return one_of(option, name, FORMS, FormError)


def default_path(trained: Trained, form: Form) -> Path:
    """In the current folder, named after the network."""
    name = as_torch.name_of(trained) if form == "torch" else trained.name
    return Path(name + SUFFIX[form])


def export(trained: Trained, form: Form, path: Path) -> tuple[list[Path], float | None]:
    """Write ``trained`` to ``path``.  Returns the files, and the largest deviation of what they compute from the
    NumPy reference (None where nothing here can load them).

    FormError where they can not be written or compute something else: what stood there before then stays.
    """
    if path.suffix != SUFFIX[form]:
        raise FormError(f"--output {path}: a file for {form} ends in {SUFFIX[form]}")
    if form == "torch":
        as_torch.check_name(trained, path)
    with drafts(path) as folder:
        # Under its own name: the parts of a module know each other by it.
        written = _write(trained, form, folder / path.name)
        deviation = _deviation(trained, form, folder / path.name)
        if deviation is not None and not deviation <= TOLERANCE:
            raise FormError(
                f"{path} is not written: what came of it computes something else, up to {deviation:.2g} from the "
                f"trained network (allowed is {TOLERANCE:g})"
            )
        files = [path.with_name(draft.name) for draft in written]
        for draft, file in reversed(list(zip(written, files, strict=True))):  # a module after its weights
            put(draft, file)
    return files, deviation


def _deviation(trained: Trained, form: Form, path: Path) -> float | None:
    """Of what the file computes from the NumPy reference, the largest; None where nothing here can load it."""
    if form == "onnx" and not _installed("onnxruntime"):
        return None
    noisy = _images(trained)
    return float(np.abs(_runs()[form](path, noisy) - _expected(trained, noisy)).max())


def _write(trained: Trained, form: Form, path: Path) -> list[Path]:
    if form == "keras":
        engine = as_keras.engine(trained)
        if engine is None:
            raise FormError("--to keras needs Keras and one of its engines: pip install keras torch")
        return as_keras.write(trained, path, engine)
    needed = {"torch": "torch", "onnx": "onnx"}.get(form)
    if needed and not _installed(needed):
        how = "pip install 'daebench[onnx]'" if form == "onnx" else "pip install torch"
        raise FormError(f"--to {form} needs {needed}, which is not installed: {how}")
    writers: dict[Form, Callable[[Trained, Path], list[Path]]] = {
        "torch": as_torch.write,
        "onnx": as_onnx.write,
        "npz": as_npz.write,
    }
    return writers[form](trained, path)


def _runs() -> dict[Form, Callable[[Path, Array], Array]]:
    return {"keras": as_keras.run, "torch": as_torch.run, "onnx": as_onnx.run, "npz": as_npz.run}


def _images(trained: Trained) -> Array:
    shape = (CHECKED, *trained.architecture.input_shape)
    return counter.uniform(shape, "export").astype(np.float32)


def _expected(trained: Trained, noisy: Array) -> Array:
    from implementations.reference import Reference

    network = Reference(trained.architecture, trained.cell.make_training(), trained.weights)
    return network.reconstruct(noisy)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
