"""A recipe: what a source published, as data.  TOML in (bench/recipes/*.toml), a validated :class:`Recipe` out.

::

    title = "..."
    source = "..."
    address = "https://..."         # where it can be read, if it has a place of its own
    data = "..."
    choices = ["what the source does not say, and what is done here"]

    [axes]                          # as in a sweep, one value each
    [[variant]]                     # where the source is doubtful, or proposes more: each a training of its own
    name = "clipped"
    about = "..."
    axes.clip = true

    [[published]]                   # figures as printed: their digits say how far they are rounded
    metric = "train_loss"
    at = { 1 = "0.0430", 20 = "0.0140" }
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench import corruption
from bench.sweep import Axes
from bench.words import did_you_mean
from results.reproduction import Setting

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CurveMetric = Literal["train_loss", "validation_loss"]
SpeedMetric = Literal["epoch_seconds", "cpu_over_gpu"]
Metric = CurveMetric | Setting | SpeedMetric
CURVE_METRICS: tuple[str, ...] = get_args(CurveMetric)
SPEED_METRICS: tuple[str, ...] = get_args(SpeedMetric)

_PRINTED = re.compile(r"\d+(?:\.\d+)?")
_NOT_OF_A_RECIPE = ("backend", "device", "threads", "precision", "seed")
"""Axes that a person chooses: a recipe runs in every backend."""


class RecipeError(ValueError):
    """A recipe that there is not, or a mistake in its file; the message says which field and what is allowed."""


def _printed(text: str) -> str:
    if not _PRINTED.fullmatch(text):
        raise ValueError(f"{text!r} is not a number as printed: write it in quotes, for example '0.0430'")
    return text


Printed = Annotated[str, AfterValidator(_printed)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(_Part):
    """One figure, or one at several epochs."""

    metric: Metric
    value: Printed | None = None
    at: dict[int, Printed] = {}
    """By epoch, from 1."""
    variant: list[str] = []
    """Only of these; empty: of all."""
    device: Literal["cpu", "cuda"] | None = None
    known: str = ""
    """What is known about it, for those who do not come to it."""

    @model_validator(mode="after")
    def _whole(self) -> Published:
        if self.metric in CURVE_METRICS and (self.value is not None or not self.at):
            raise ValueError(f"{self.metric} belongs to an epoch: write at = {{ 1 = '0.04' }}")
        if self.metric not in CURVE_METRICS and (self.value is None or self.at):
            raise ValueError(f"{self.metric} is one number: write value = '...'")
        if (self.device is None) == (self.metric in SPEED_METRICS):
            raise ValueError(f"{self.metric}: device = 'cpu' or 'cuda' belongs to {' and '.join(SPEED_METRICS)}")
        return self

    def figures(self) -> Iterator[tuple[int | None, str]]:
        """(epoch or None, the figure as printed)."""
        if self.value is not None:
            yield None, self.value
        yield from sorted(self.at.items())


class Variant(_Part):
    """One training of a recipe."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    about: str
    axes: Axes = Axes()


class Stress(_Part):
    """Corruptions of growing strength that the trained network is then shown on one image."""

    corruption: str
    """With {blur} and {noise} for the levels."""
    blur: list[float]
    noise: list[float]

    @property
    def corruptions(self) -> list[str]:
        pairs = zip(self.blur, self.noise, strict=True)
        return [str(corruption.parse(self.corruption.format(blur=blur, noise=noise))) for blur, noise in pairs]


class _File(_Part):
    title: str
    source: str
    address: str = ""
    """Where it can be read, as far as it has a place of its own that is known."""
    data: str
    says: list[str] = []
    """What the source says in words."""
    choices: list[str]
    """What it does not say, and what is done here."""
    image_files: bool = False
    """The data set is read from a folder of image files, which is written first."""
    backend: str = "keras[tensorflow]"
    """What runs it if nobody says otherwise: what the source used."""
    seeds: int = Field(3, ge=1)
    """How many trainings of each variant, if nobody says otherwise."""
    axes: Axes
    variant: list[Variant] = Field(min_length=1)
    published: list[Published] = []
    stress: Stress | None = None

    @model_validator(mode="after")
    def _fits(self) -> _File:
        names = [variant.name for variant in self.variant]
        if len(set(names)) < len(names):
            raise ValueError(f"variant: two have the same name among {', '.join(names)}")
        for axes in (self.axes, *(variant.axes for variant in self.variant)):
            for name, values in axes.given().items():
                if name in _NOT_OF_A_RECIPE or len(values) != 1:
                    raise ValueError(f"axes.{name} = {values}: one value is needed, of an axis that a source decides")
        for figure in self.published:
            for name in figure.variant:
                if name not in names:
                    raise ValueError(f"published {figure.metric}: variant {name!r} is unknown; there are {names}")
        return self


@dataclass(frozen=True)
class Recipe:
    """A file with its name."""

    name: str
    file: _File

    @property
    def variants(self) -> list[Variant]:
        return self.file.variant

    def axes(self, variant: Variant) -> dict[str, Any]:
        """The one value of every axis that the source, or a choice, decides."""
        given = {**self.file.axes.given(), **variant.axes.given()}
        return {name: values[0] for name, values in given.items()}

    def published(self, variant: Variant) -> list[Published]:
        return [figure for figure in self.file.published if not figure.variant or variant.name in figure.variant]

    @property
    def compares_devices(self) -> bool:
        """Whether its source gives a ratio of CPU and GPU."""
        return any(figure.metric == "cpu_over_gpu" for figure in self.file.published)


def names() -> list[str]:
    """Names of the shipped recipes."""
    folder = resources.files("bench").joinpath("recipes")
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def load(name: str) -> Recipe:
    """The shipped recipe ``name``; RecipeError if there is none."""
    if name not in names():
        raise RecipeError(
            f"recipe {name!r} is unknown{did_you_mean(name, names())}; there are {', '.join(names())} and all"
        )
    text = resources.files("bench").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")
    return parse(name, text)


def chosen(wanted: Sequence[str]) -> list[Recipe]:
    """The recipes of these names, each once; "all" stands for every one."""
    listed = [name for one in wanted for name in (names() if one == "all" else [one])]
    return [load(name) for name in dict.fromkeys(listed)]


def parse(name: str, text: str) -> Recipe:
    """A recipe from TOML; RecipeError names every mistake."""
    try:
        return Recipe(name, _File.model_validate(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {name}: is not valid TOML: {error}") from None
    except ValidationError as error:
        mistakes = (
            f"{'.'.join(map(str, mistake['loc'])) or 'file'}: {mistake['msg'].removeprefix('Value error, ')}"
            for mistake in error.errors(include_url=False)
        )
        raise RecipeError(f"recipe {name}: {'; '.join(mistakes)}") from None
