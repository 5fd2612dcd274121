"""Names for what records are about: short where a run has only one of something, complete where it matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Axes = Mapping[str, Any]

BACKEND_ORDER = ("keras[tensorflow]", "keras[jax]", "keras[torch]", "torch", "jax")
LOSS_NAMES = {"mse": "MSE", "bce": "BCE"}

# What makes two trials trials of the same condition: everything but who computes it, the network and the seed.
# (Native cells never stand among matched ones: see Run.matched.)
WHO = ("backend", "track", "device", "precision", "threads", "defaults")
CONFIGURATION = ("architecture", "latent", "loss")
# How a network is trained belongs to its configuration too, not to the condition: a large one may be given fewer
# epochs and is compared all the same.  So does the precision: no mean is taken over float32 and mixed precision.
# Named only where a run has several.
TRAINING = ("optimizer", "learning_rate", "batch_size", "epochs", "until", "max_seconds", "precision")
ASKED = ("cross_noise", "codes", "keep_weights")
"""What was asked of a network after it was trained: no part of any condition."""
_UNITS = {
    "height": "{} px high",
    "width": "{} px wide",
    "channels": "{} channels",
    "threads": "{} threads",
    "batch_size": "batch {}",
    "learning_rate": "rate {}",
    "epochs": "{} epochs",
    "train": "{} training images",
    "test": "{} test images",
    "latent": "latent {}",
    "seed": "seed {}",
    "val": "{} validation images",
    "max_seconds": "at most {:g} s",
    "defaults": "{} defaults",
}
_SWITCHES = {"clip": ("clipped", "not clipped"), "refresh": ("fresh noise every epoch", "noise drawn once")}


def varying(cells: Iterable[Axes], names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` which do not have the same value in all of ``cells``."""
    rows = list(cells)
    return tuple(name for name in names if len({row.get(name) for row in rows}) > 1)


def describe(axes: Axes, names: Sequence[str]) -> str:
    """``names`` with their values, as a person would say it: "latent 64, MSE, batch 128"."""
    return ", ".join(filter(None, (_said(name, axes) for name in names)))


def _said(name: str, axes: Axes) -> str:
    converging = axes.get("until") == "converged"
    if name == "until":
        return "until converged" if converging else "for a number of epochs"
    if name == "max_seconds" and axes.get(name) is None:
        return "no limit of time"
    return f"at most {_one(name, axes.get(name))}" if name == "epochs" and converging else _one(name, axes.get(name))


def _one(name: str, value: Any) -> str:
    if name in _SWITCHES:
        return _SWITCHES[name][0 if value else 1]
    if name == "loss":
        return LOSS_NAMES.get(value, str(value))
    if value is None:
        words = {
            "train": "all training images",
            "test": "all test images",
            "latent": "no code",
            "val": "a tenth for validation",
        }
        return words.get(name, f"default {name}")
    if name == "evaluate":
        return {"whole": "whole images", "patches": "images of the size trained on"}.get(value, str(value))
    if name == "max_seconds":
        return _UNITS[name].format(value)
    if name == "val" and value == "test":
        return "validated on the test images"
    text = f"{value:,}" if isinstance(value, int) and name in ("train", "test", "val") else str(value)
    said = _UNITS.get(name, "{}").format(text)
    return said.removesuffix("s") if value == 1 and said.startswith("1 ") else said


def configuration_label(axes: Axes, further: Sequence[str] = ()) -> str:
    """ "conv (latent 64, MSE)", or with ``further`` axes "conv (latent 64, MSE, 5 epochs)": one name in a list."""
    return f"{axes['architecture']} ({describe(axes, (*CONFIGURATION[1:], *further))})"


def backend_key(name: str) -> tuple[int, str]:
    """Backends in a fixed order; unknown ones after those known, by name."""
    first = name.split(" ")[0]
    return (BACKEND_ORDER.index(first) if first in BACKEND_ORDER else len(BACKEND_ORDER), name)


def natural_key(value: Any) -> tuple[Any, ...]:
    """A sort key for mixed values: numbers by size, text by its words and the numbers inside it."""
    import re

    if value is None:
        return ((0, 0.0, ""),)
    if isinstance(value, bool | int | float):
        return ((1, float(value), ""),)
    parts = re.split(r"(\d+(?:\.\d+)?)", str(value))
    return tuple((1, float(part), "") if index % 2 else (2, 0.0, part) for index, part in enumerate(parts))
