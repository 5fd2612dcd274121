"""reproduction.json: what a source published and what came out of the same training, as it is kept and read.

``daebench reproduce`` writes the document beside the records of its run; README.md explains its fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from results.schema import loads

REPRODUCTION = "reproduction.json"
SCHEMA = 1
_PRINTED = re.compile(r"\d+(?:\.\d+)?")
POINT = 4
"""Numbers in a point of a curve: epoch, mean, low, high."""
NAMES: Mapping[str, str] = {
    "psnr": "PSNR, dB",
    "psnr_gain": "gain over the noisy input, dB",
    "ssim": "SSIM",
    "epoch_seconds": "seconds an epoch",
    "cpu_over_gpu": "CPU time / GPU time",
    "latent_size": "numbers in the code",
    "compression": "image / code",
}
"""Figures as they are shown; others by their field, without the underscores."""
Setting = Literal[
    "parameters", "trainable_parameters", "encoder_parameters", "encoder_trainable_parameters", "decoder_parameters",
    "decoder_trainable_parameters", "latent_size", "compression",
]  # fmt: skip
SETTINGS: tuple[str, ...] = get_args(Setting)
"""Figures that follow from the network as it was set up: that they agree shows that the same was trained, and not that
anything came out of the training."""
WHOLE = 1000
"""Numbers from here on are counts, or might as well be."""

Verdict = Literal["reproduced", "differs", "not published", "not reached", "not comparable", "not measured"]
Span = tuple[float | None, float | None, float | None]
"""A mean with the ends of its 95 % interval; null where there is none."""
SpanOver = Literal["seeds", "images"]


class ReproductionError(ValueError):
    """A file that is no such document, or one of another version; the message names the field."""


@dataclass(frozen=True)
class Row:
    """One figure.  ``low`` and ``high``: the 95 % interval over seeds (speed: over processes), None where one run
    gives none.  ``known``: what the recipe knows about a figure that is not reproduced."""

    metric: str
    epoch: int | None
    published: str | None
    measured: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    why: str = ""
    known: str = ""

    @property
    def is_setting(self) -> bool:
        """Whether it was set, and not measured."""
        return self.metric in SETTINGS


@dataclass(frozen=True)
class StressStep:
    """One strength of a stress sweep: means over images and trained networks.

    PSNR in dB, 100 for images that are exact; ``psnr_gain`` is None where the noisy images themselves are.
    """

    corruption: str
    levels: Mapping[str, float]
    psnr: Span
    psnr_noisy: float
    psnr_gain: Span
    ssim: Span
    ssim_noisy: float
    ssim_gain: Span


@dataclass(frozen=True)
class Stress:
    """Trained networks under ever worse noise.  ``over``: what the intervals are taken over; None: no networks.

    ``pictures``: ``clean``, ``noisy`` and ``denoised`` strips of one test image (``image``), a picture a step.
    """

    images: int
    networks: int
    over: SpanOver | None
    steps: tuple[StressStep, ...]
    image: int | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Why trained networks were left out."""


@dataclass(frozen=True)
class Comparison:
    """A variant on one backend and device.  ``curves``: by metric, [epoch, mean, low, high] over seeds."""

    recipe: str
    variant: str
    about: str
    backend: str
    device: str
    seeds: int
    epochs: int
    published_epochs: int
    samples: int
    fraction: float
    rows: tuple[Row, ...]
    curves: Mapping[str, Sequence[Sequence[float | None]]]
    pictures: Mapping[str, str]
    epoch_seconds: float | None
    """Median; ``timed`` says whether of a timing session or of the trials, which may have run side by side."""
    timed: bool
    published_seconds: float | None
    """What all published epochs on all of the data take at this rate."""
    troubles: tuple[str, ...] = ()
    stress: Stress | None = None


@dataclass(frozen=True)
class About:
    """What a recipe says of itself."""

    title: str
    source: str
    data: str
    says: tuple[str, ...]
    choices: tuple[str, ...]
    address: str = ""
    """Of the source; empty where none is known, or in documents of before."""

    @property
    def reference(self) -> str:
        """The source, with its address as far as it has one."""
        return f"{self.source}, {self.address}" if self.address else self.source


@dataclass(frozen=True)
class Reproduction:
    """The whole document.  ``margin``: by what share a mean may be off a published loss and be reproduced."""

    margin: float
    recipes: Mapping[str, About]
    comparisons: tuple[Comparison, ...]
    schema: int = SCHEMA


def dumps(document: Reproduction) -> str:
    """The text of the file: strict JSON."""
    plain = asdict(document)
    ordered = {"schema": plain.pop("schema"), **plain}
    return json.dumps(ordered, indent=1, allow_nan=False, ensure_ascii=False)


def parse(text: str) -> Reproduction:
    """The document in ``text``; ReproductionError unless it is one of this version, whole and of the right types."""
    from pydantic import TypeAdapter, ValidationError

    try:
        found = loads(text)
    except ValueError as error:
        raise ReproductionError(f"it is not JSON: {error}") from None
    version = found.get("schema") if isinstance(found, dict) else None
    if version != SCHEMA:
        raise ReproductionError(f"schema = {version!r}: this version of daebench reads schema {SCHEMA}")
    try:
        # As JSON once more: strict types, but a list for a tuple.
        document = TypeAdapter(Reproduction).validate_json(text, strict=True)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        raise ReproductionError(f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}") from None
    for one in document.comparisons:
        if one.recipe not in document.recipes:
            raise ReproductionError(f"comparisons: recipe {one.recipe!r} is not among its recipes")
        if any(len(point) != POINT for curve in one.curves.values() for point in curve):
            raise ReproductionError(f"comparisons: curves of {one.recipe}: a point is [epoch, mean, low, high]")
        for row in one.rows:
            if row.published is not None and not _PRINTED.fullmatch(row.published):
                raise ReproductionError(f"comparisons: {one.recipe}, {row.metric}: {row.published!r} is not a number")
    return document


def read(folder: Path | str) -> Reproduction | None:
    """The document of the run in ``folder``, or None where there is none; ReproductionError where it is broken."""
    path = Path(folder) / REPRODUCTION
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ReproductionError(f"{path} can not be read: {error}") from None
    try:
        return parse(text)
    except ReproductionError as error:
        raise ReproductionError(f"{path}: {error}") from None
