"""The sweep file: which axes are crossed, which of it is timed.  TOML in, a validated :class:`Sweep` out.

::

    description = "Does the size of the code matter?"

    [axes]                         # every value with every other
    architecture = ["dense", "conv"]
    latent = [8, 16, 32, 64]
    corruption = "gaussian(0.4)"   # a single value needs no list

    [[grid]]                       # the sweep is the union of its grids; each overrides axes of [axes]
    [[grid]]
    architecture = ["bn"]
    latent = "default"             # the network's own code

    [timing]
    rounds = 5
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench.cells import EVALUATE, QUALITIES, VALIDATIONS, Evaluate, Quality
from bench.sweep_values import (
    ALL,
    batches,
    channel_counts,
    corruptions,
    networks,
    numbers,
    one_of,
    optimizers,
    single,
    texts,
    truths,
)
from bench.words import did_you_mean, split_outside
from implementations import adapter, training

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Value = str | int | float | bool
DEFAULT = "default"
"""For ``latent``: the network's own size, or 64; for ``learning_rate``: the optimizer's own; for ``val``: a tenth of
the training images, at most 1,000."""
TEST: Literal["test"] = "test"
"""For ``val``: none are held out, the test images are looked at."""
CONVERGED = "converged"
"""For ``epochs``: until the validation PSNR has stopped rising, at most ``max_epochs``."""
NONE = "none"
"""For ``max_seconds``: no limit."""
FIRST = "first"
"""For ``latent`` and ``loss`` in [timing]: only the first value of the sweep."""


class SweepError(ValueError):
    """What is wrong with a sweep: which file, field and value, what is allowed, what to do."""


class Axes(BaseModel):
    """Values by axis; None where nothing is said.  Every list has at least one value, none twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Annotated[list[str] | None, BeforeValidator(one_of(adapter.backends, ALL))] = None
    device: Annotated[list[str] | None, BeforeValidator(one_of(lambda: adapter.DEVICES))] = None
    precision: Annotated[list[str] | None, BeforeValidator(one_of(lambda: adapter.PRECISIONS))] = None
    threads: Annotated[list[int] | None, BeforeValidator(numbers(int, 1))] = None
    defaults: Annotated[list[str] | None, BeforeValidator(one_of(lambda: training.DEFAULTS))] = None
    architecture: Annotated[list[str] | None, BeforeValidator(networks)] = None
    latent: Annotated[list[int | str] | None, BeforeValidator(numbers(int, 1, DEFAULT))] = None
    dataset: Annotated[list[str] | None, BeforeValidator(texts)] = None
    train: Annotated[list[int | str] | None, BeforeValidator(numbers(int, 1, ALL))] = None
    test: Annotated[list[int | str] | None, BeforeValidator(numbers(int, 2, ALL))] = None
    size: Annotated[list[int | str] | None, BeforeValidator(numbers(int, 1, ALL))] = None
    channels: Annotated[list[int] | None, BeforeValidator(channel_counts)] = None
    corruption: Annotated[list[str] | None, BeforeValidator(corruptions)] = None
    clip: Annotated[list[bool] | None, BeforeValidator(truths)] = None
    refresh: Annotated[list[bool] | None, BeforeValidator(truths)] = None
    repeats: Annotated[list[int] | None, BeforeValidator(numbers(int, 1))] = None
    validation: Annotated[list[str] | None, BeforeValidator(one_of(lambda: VALIDATIONS))] = None
    val: Annotated[list[int | str] | None, BeforeValidator(numbers(int, 1, DEFAULT, TEST))] = None
    loss: Annotated[list[str] | None, BeforeValidator(one_of(lambda: training.LOSSES))] = None
    optimizer: Annotated[list[str] | None, BeforeValidator(optimizers)] = None
    learning_rate: Annotated[list[float | str] | None, BeforeValidator(numbers(float, 0, DEFAULT, above=True))] = None
    batch_size: Annotated[list[int] | None, BeforeValidator(numbers(int, 1))] = None
    epochs: Annotated[list[int | str] | None, BeforeValidator(numbers(int, 1, CONVERGED))] = None
    max_epochs: Annotated[list[int] | None, BeforeValidator(numbers(int, 1))] = None
    max_seconds: Annotated[list[float | str] | None, BeforeValidator(numbers(float, 0, NONE, above=True))] = None
    seed: Annotated[list[int] | None, BeforeValidator(numbers(int, 0))] = None

    def given(self) -> dict[str, list[Value]]:
        """The axes that were given."""
        return {name: values for name, values in self if values is not None}


DEFAULTS: dict[str, list[Value]] = {
    "backend": [ALL],
    "device": ["cpu"],
    "precision": ["float32"],
    "threads": [1],
    "defaults": ["matched"],
    "architecture": ["dense", "conv"],
    "latent": [DEFAULT],
    "dataset": ["glyphs"],
    "train": [ALL],
    "test": [ALL],
    "size": [ALL],
    "channels": [1],
    "corruption": ["gaussian(0.4)"],
    "clip": [True],
    "refresh": [False],
    "repeats": [1],
    "validation": ["noisy"],
    "val": [DEFAULT],
    "loss": ["mse"],
    "optimizer": ["adam"],
    "learning_rate": [DEFAULT],
    "batch_size": [128],
    "epochs": [5],
    "max_epochs": [200],
    "max_seconds": [NONE],
    "seed": [0],
}
"""What an axis holds that nobody mentions."""

Timed = Annotated[Literal["first", "all"] | list[Any], Field(union_mode="left_to_right")]


def _timed(check: Callable[[Any], list[Any]]) -> Callable[[Any], Any]:
    return lambda value: value if value in (FIRST, ALL) else check(value)


class Timing(BaseModel):
    """What is timed, and how long.  Speed does not depend on corruption, data or seed, so those are no axes here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rounds: int = Field(5, ge=0, le=1000, strict=True)
    """Fresh processes per contestant: the statistical unit.  0 times nothing."""
    blocks: int = Field(6, ge=2, le=10_000, strict=True)
    """Measured blocks per contestant, workload and round."""
    block_seconds: float = Field(0.25, gt=0, le=3600)
    """What a block is meant to last."""
    backend: Annotated[list[str], BeforeValidator(one_of(adapter.backends, ALL))] = [ALL]
    """Only these are timed."""
    tracks: Annotated[list[adapter.Track], BeforeValidator(one_of(lambda: adapter.TRACKS))] = list(adapter.TRACKS)
    latent: Annotated[Timed, BeforeValidator(_timed(numbers(int, 1)))] = "first"
    loss: Annotated[Timed, BeforeValidator(_timed(one_of(lambda: training.LOSSES)))] = "first"
    threads: Annotated[list[int] | None, BeforeValidator(numbers(int, 1))] = None
    """Threads of every contestant; those of [axes] if nothing is said."""
    settle_blocks: int = Field(24, ge=0, le=400, strict=True)
    """Short blocks before those that count, in which the steady state is looked for: with fewer than 12 nothing can be
    said of it, and 0 saves the time.  A slow backend gets fewer."""
    inference: bool = Field(True, strict=True)
    inference_batches: Annotated[list[int], BeforeValidator(batches)] = []
    """Batch sizes at which inference is measured besides; each makes every network anew."""
    latency: bool = Field(True, strict=True)
    energy: bool = Field(False, strict=True)
    """Joules of training, in a window of its own of 2 s for every process, where the machine counts them."""
    audit: bool = Field(True, strict=True)
    """The first process of every contestant repeats the synchronisation audit of its certificate."""
    share_process: bool = Field(False, strict=True)
    """All networks one after the other in the same processes: fewer imports, but not as clean, and cold costs and
    memory only of those that happened to be first."""
    starts_together: bool = Field(False, strict=True)
    """As many processes as there are cores for import and build at the same time: quicker, but cold costs are not timed
    alone."""


class Scoring(BaseModel):
    """What is asked of a trained network besides the quality of its test images: fields of a sweep file, at the top."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    evaluate: Annotated[Evaluate, BeforeValidator(single(one_of(lambda: EVALUATE)))] = "patches"
    """Score test images of the size trained on, or whole images of any size."""
    cross_noise: bool = Field(False, strict=True)
    """Score every network under all corruptions of the sweep, not its own alone."""
    codes: bool = Field(False, strict=True)
    """Judge the codes by a linear probe and a clustering, where the data have labels."""
    keep_weights: bool = Field(False, strict=True)
    """Keep the trained weights in the run folder."""
    yardsticks: bool = Field(False, strict=True)
    """Score classical denoisers and the best linear denoiser of each code's size too, beside what costs nothing."""
    quality: Annotated[Quality, BeforeValidator(single(one_of(lambda: QUALITIES)))] = "all"
    """Let every backend train all its cells, or each cell one of them, while the others confirm a sample."""


class _File(Scoring):
    """What may stand in a sweep file."""

    name: str | None = Field(None, strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    description: str = Field("", strict=True)
    trial_track: adapter.Track = "tuned"
    only_fitting: bool = Field(False, strict=True)
    """Leave out networks that there are not for images of this size, and take all images of a folder that has fewer
    than are asked for, instead of refusing the sweep."""
    axes: Axes = Axes()
    grid: list[Axes] = Field([], max_length=1000)
    timing: Timing = Timing()


class Sweep(BaseModel):
    """A sweep in full: every grid names every axis."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    trial_track: adapter.Track
    only_fitting: bool = False
    grids: list[dict[str, list[Any]]]
    timing: Timing
    scoring: Scoring = Scoring()

    def resolved(self) -> dict[str, Any]:
        """JSON-able: what stands under "sweep" in run.json."""
        return self.model_dump(mode="json")


def shipped() -> list[str]:
    """Names of the sweeps that come with the suite, the quickest first."""
    names = [
        item.name[:-5] for item in resources.files("bench").joinpath("sweeps").iterdir() if item.name[-5:] == ".toml"
    ]
    known = ["quick", "standard", "full"]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def load_sweep(name_or_path: str | Path, overrides: Sequence[str] = (), device: str | None = None) -> Sweep:
    """The sweep of this name (one of :func:`shipped`) or in this TOML file.

    ``overrides``: texts "axis=value,value", which replace the axis in every grid.  One exception: ``latent`` leaves
    alone a grid that says ``latent = "default"``, since its networks have codes of their own.  "timing.rounds=7"
    replaces a field of [timing].
    ``device`` is short for the override "device=...".  SweepError says what is wrong.
    """
    where = str(name_or_path)
    try:
        file = _File.model_validate(_read(name_or_path))
    except ValidationError as error:
        raise SweepError(f"sweep {where}: {_explain(error)}") from None
    given = {name: getattr(file, name) for name in Scoring.model_fields}
    changes, timing, scoring = parse_overrides(overrides, file.timing, Scoring(**given))
    if device is not None:
        changes |= _axes({"device": device}, "--")
    grids = []
    for grid in file.grid or [Axes()]:
        pinned = grid.given()
        own_codes = pinned.get("latent") == [DEFAULT]
        applied = {name: values for name, values in changes.items() if not (name == "latent" and own_codes)}
        grids.append({**DEFAULTS, **file.axes.given(), **pinned, **applied})
    return Sweep(
        name=file.name or Path(where).stem,
        description=file.description,
        trial_track=file.trial_track,
        only_fitting=file.only_fitting,
        grids=grids,
        timing=timing,
        scoring=scoring,
    )


def overridden(axis: str, overrides: Sequence[str]) -> bool:
    """Whether ``overrides`` replace ``axis``, as :func:`load_sweep` reads them."""
    return any(_name(text.partition("=")[0]) == axis for text in overrides)


def _name(text: str) -> str:
    return text.strip().replace("-", "_")


def parse_overrides(
    texts: Sequence[str], timing: Timing, scoring: Scoring
) -> tuple[dict[str, list[Value]], Timing, Scoring]:
    """["latent=8,16", "timing.rounds=7", "codes=true"] -> {"latent": [8, 16]}, ``timing`` with 7 rounds, and
    ``scoring`` with codes."""
    axes: dict[str, list[Value]] = {}
    fields: dict[str, list[Value]] = {}
    asked: dict[str, list[Value]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = _name(name)
        if not equals or not values.strip():
            raise SweepError(f"--set {text}: must be axis=value or axis=value,value; for example --set latent=8,16")
        target = fields if name.startswith("timing.") else asked if name in Scoring.model_fields else axes
        target.setdefault(name.removeprefix("timing."), []).extend(_value(part) for part in split_outside(values))
    # A single value may be what a field wants, and is as good as a list where it wants a list.
    given = _unlisted(fields)
    try:
        timed = Timing.model_validate({**timing.model_dump(exclude_none=True), **given})
    except ValidationError as error:
        raise SweepError(_explain(error, Timing, "--set timing.")) from None
    try:
        return _axes(axes, "--set "), timed, Scoring.model_validate({**scoring.model_dump(), **_unlisted(asked)})
    except ValidationError as error:
        raise SweepError(_explain(error, Scoring, "--set ")) from None


def _unlisted(values: Mapping[str, list[Value]]) -> dict[str, Value | list[Value]]:
    return {name: items[0] if len(items) == 1 else items for name, items in values.items()}


def _axes(values: Mapping[str, Any], prefix: str) -> dict[str, list[Value]]:
    try:
        return Axes.model_validate(values).given()
    except ValidationError as error:
        raise SweepError(_explain(error, Axes, prefix)) from None


def _value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _read(name_or_path: str | Path) -> Mapping[str, Any]:
    text = str(name_or_path)
    path = Path(text)
    if text in shipped():
        data = resources.files("bench").joinpath("sweeps", f"{text}.toml").read_bytes()
    elif path.is_dir():
        raise SweepError(f"sweep {text}: is a folder; name a TOML file, or one of {', '.join(shipped())}")
    else:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            names = ", ".join(shipped())
            raise SweepError(
                f"sweep {text!r}: there is neither such a file nor a shipped sweep of this name; "
                f"shipped are {names} (see `daebench list sweeps`)"
            ) from None
        except (OSError, ValueError) as error:
            raise SweepError(f"sweep {text!r}: can not be read: {error}") from None
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SweepError(f"sweep {text}: is not text (byte {error.start} is no UTF-8): a TOML file is needed") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SweepError(f"sweep {text}: is not valid TOML: {error}") from None


def _explain(error: ValidationError, kind: type[BaseModel] = _File, prefix: str = "") -> str:
    """Every mistake in a ``kind`` as "field: what is wrong, what is allowed", joined by semicolons."""
    found = (prefix + _explain_one(dict(mistake), kind) for mistake in error.errors(include_url=False))
    return "; ".join(dict.fromkeys(found))


def _explain_one(mistake: dict[str, Any], kind: type[BaseModel]) -> str:
    place = [str(part) for part in mistake["loc"]]
    if len(place) > 1:
        kind = Timing if place[0] == "timing" else Axes
    if place[0] == "grid" and len(place) > 1:
        place[:2] = [f"grid {int(place[1]) + 1}"]
    field = ".".join(place)
    if mistake["type"] == "extra_forbidden":
        if kind is _File and field in Axes.model_fields:
            return f"{field}: is an axis: write it under [axes] (or under a [[grid]])"
        hint = did_you_mean(place[-1], kind.model_fields)
        what = "axis" if kind is Axes else "field"
        return f"{field}: unknown {what}{hint}; allowed are {', '.join(kind.model_fields)}"
    if mistake["type"] == "value_error":
        return f"{field}: {mistake['ctx']['error']}"
    return f"{field} = {mistake['input']!r}: {mistake['msg'][:1].lower()}{mistake['msg'][1:]}"
