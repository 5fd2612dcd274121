"""Files beside the journal: the scores of every test image, and trained weights.  Named by their content.

Scores are what paired intervals over images are made of (network against yardstick, network against network).
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quality import Scores
from implementations.parameters import Array

SCORES, WEIGHTS = "scores", "weights"


def save_scores(scores: Scores, folder: Path) -> str:
    """PSNR in dB and SSIM of every test image, float32 (n, 2), as .npy; the path below the run ``folder``."""
    data = io.BytesIO()
    np.save(data, np.stack([scores.psnr, scores.ssim], axis=1).astype("<f4"), allow_pickle=False)
    return _save(folder, SCORES, data.getvalue(), "npy")


def load_scores(folder: Path, path: str) -> NDArray[np.float32]:
    """Float32 (n, 2): PSNR in dB, SSIM.  ValueError or OSError where the file is not there or broken."""
    found: NDArray[np.float32] = np.load(folder / path, allow_pickle=False)
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(f"{path}: an array (n, 2) is needed, not {found.shape}")
    return found


def save_weights(weights: Mapping[str, Array], about: Mapping[str, str], folder: Path) -> str:
    """Weights by canonical name (:mod:`implementations.parameters`), with ``about`` as the file's metadata; the path
    below the run ``folder``."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    return _save(folder, WEIGHTS, save(plain, metadata=dict(about)), "safetensors")


def load_weights(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """(weights by canonical name, what the file says about them).  ValueError or OSError where it can not be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            weights: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return weights, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path}: is no safetensors file: {error}") from None


def _save(folder: Path, kind: str, data: bytes, suffix: str) -> str:
    name = f"{kind}/{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
    path = folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(data)
        part.replace(path)  # workers side by side may save the same; readers never see half of it
    return name
