"""Files beside the journal: the scores of every test image, trained weights, pictures.  Named by their content.

Scores are what paired intervals over images are made of (network against yardstick, network against network).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.cells import TrialCell
from bench.quality import Basic, Scores
from implementations.architecture import Architecture
from implementations.parameters import Array

SCORES, WEIGHTS, PICTURES = "scores", "weights", "pictures"
FORMAT = "daebench weights 1"
"""What a file of weights calls itself; another number would be read otherwise."""
ABOUT = "daebench"
"""The entry of a file's metadata under which the rest stands, as JSON."""
COLOURS = {1: "gray", 3: "rgb"}


class WeightsError(ValueError):
    """Trained weights that are not there, can not be read, or belong to another network; the message says which."""


def save_scores(scores: Scores, folder: Path, noisy: Basic | None = None) -> str:
    """PSNR in dB and SSIM of every test image, and with ``noisy`` the PSNR of what it was made from, float32 (n, 2) or
    (n, 3), as .npy; the path below the run ``folder``."""
    data = io.BytesIO()
    columns = [scores.psnr, scores.ssim] + ([] if noisy is None else [noisy.psnr])
    np.save(data, np.stack(columns, axis=1).astype("<f4"), allow_pickle=False)
    return _save(folder, SCORES, data.getvalue(), "npy")


def save_strip(images: Array, folder: Path) -> str:
    """Images (n, h, w, c) side by side as an 8-bit PNG, named by its pixels; the path below the run ``folder``."""
    pixels = np.round(np.clip(np.concatenate(list(images), axis=1), 0, 1) * 255).astype(np.uint8)
    sha = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes())

    def png() -> bytes:
        from PIL import Image

        data = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(data, "PNG", optimize=True)
        return data.getvalue()

    return _write_once(folder, f"{PICTURES}/{sha.hexdigest()[:16]}.png", png)


def about_weights(cell: TrialCell, architecture: Architecture) -> dict[str, str]:
    """What stands in a file of weights beside them: all that a program needs which has the file alone."""
    return {
        "format": FORMAT,
        "cell": json.dumps(cell.axes(), sort_keys=True),
        "architecture": architecture.digest(),
        "values": "0 is black, 1 is white",
        "colour": COLOURS[architecture.input_shape[2]],
        "layout": "channels last; kernels (h, w, in, out), of transposed convolutions (h, w, out, in)",
    }


def save_weights(weights: Mapping[str, Array], about: Mapping[str, str], folder: Path) -> str:
    """Weights by canonical name (:mod:`implementations.parameters`), with ``about`` as the file's metadata; the path
    below the run ``folder``."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    # One entry alone: safetensors writes several in no fixed order, and equal weights are to be equal files.
    return _save(folder, WEIGHTS, save(plain, metadata={ABOUT: json.dumps(about, sort_keys=True)}), "safetensors")


def load_weights(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """(weights by canonical name, what the file says about them).  WeightsError where it can not be read."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(f"{path}: the file of trained weights is missing; bring it back, or train again")
    try:
        with safe_open(path, framework="numpy") as file:
            weights: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
            return weights, {str(name): str(value) for name, value in about.items()}
    except (SafetensorError, OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: is no safetensors file, or a damaged one: {error}") from None


def check_weights(path: Path, weights: Mapping[str, Array], about: Mapping[str, str], network: Architecture) -> None:
    """WeightsError unless what was read from ``path`` are weights of ``network``."""
    if about.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: format = {about.get('format')!r}, and this version of daebench reads {FORMAT!r}: use the version "
            "that wrote the file, or train again"
        )
    if about.get("architecture") != network.digest():
        raise WeightsError(
            f"{path}: these are weights of another network than today's {network.name} (hash "
            f"{about.get('architecture')}, not {network.digest()}): use the version of daebench that trained it, or "
            "train again"
        )
    wanted = network.parameter_shapes()
    for name in sorted(wanted.keys() | weights.keys()):
        there = tuple(weights[name].shape) if name in weights else None
        if there != wanted.get(name):
            said = "is missing" if there is None else f"has shape {there}"
            raise WeightsError(f"{path}: {name} {said}, and {network.name} needs {wanted.get(name, 'no such weights')}")
        if not np.isfinite(weights[name]).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite: nothing can be computed with them")


def _save(folder: Path, kind: str, data: bytes, suffix: str) -> str:
    return _write_once(folder, f"{kind}/{hashlib.sha256(data).hexdigest()[:16]}.{suffix}", lambda: data)


def _write_once(folder: Path, name: str, content: Callable[[], bytes]) -> str:
    path = folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(content())
        part.replace(path)  # workers side by side may save the same; readers never see half of it
    return name
