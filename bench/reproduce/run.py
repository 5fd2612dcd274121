"""From recipes to a run: each variant, backend and seed is a trial like any other, in a normal run folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import datasets, machine
from bench.cells import TimingCell, TrialCell
from bench.datasets import images, published
from bench.plan import Plan, make_plan
from bench.reproduce.recipe import Recipe, RecipeError, Variant
from bench.sweep import DEFAULTS, Scoring, Sweep, Timing
from bench.sweep_values import ALL
from implementations import adapter
from results.schema import Record

TIMED_BLOCKS = 6


@dataclass(frozen=True)
class Wishes:
    """What a person may choose; None: the recipe's own.

    ``fraction`` of the training and of the test images.  ``rounds``: fresh processes in which the rate of training is
    measured besides, nothing else running; 0 takes seconds an epoch from the trials.
    """

    backends: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    track: adapter.Track = "tuned"
    epochs: int | None = None
    fraction: float = 1.0
    seeds: int | None = None
    threads: int = 1
    rounds: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise RecipeError(f"--fraction {self.fraction:g} is not allowed: use a share of the data above 0, up to 1")
        least = {"epochs": 1, "seeds": 1, "threads": 1, "rounds": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise RecipeError(f"--{name} {value} is not allowed: use a whole number from {low}")


@dataclass(frozen=True)
class Part:
    """One variant of one recipe, and the cells that it became."""

    recipe: Recipe
    variant: Variant
    trials: tuple[TrialCell, ...]
    timed: tuple[TimingCell, ...]
    samples: int
    """Training samples of an epoch, repetitions included."""
    fraction: float


def prepare(recipes: Sequence[Recipe], wishes: Wishes, *, write: bool = True) -> tuple[Plan, list[Part]]:
    """One plan for all of ``recipes``; DataError where data is missing.

    Writes image files where a recipe reads them and they are not there yet.  ``write=False`` leaves that out, and
    plans with the data set that they are written from.
    """
    for recipe in recipes:
        for name in {recipe.axes(variant)["dataset"] for variant in recipe.variants}:
            datasets.check(name)
    parts: list[Part] = []
    plans: list[Plan] = []
    for recipe in recipes:
        for variant in recipe.variants:
            sweep, samples = _sweep(recipe, variant, wishes, write)
            plan = make_plan(sweep, check_data=False)
            plans.append(plan)
            unsupported = [cell for cell, _ in plan.unsupported]
            trials = (*plan.trials, *(cell for cell in unsupported if isinstance(cell, TrialCell)))
            timed = tuple(cell for session in plan.sessions for cell in session.cells)
            parts.append(Part(recipe, variant, trials, timed, samples, wishes.fraction))
    return _united(recipes, plans), parts


def settled(plan: Plan, parts: Sequence[Part], done: Iterable[Record]) -> tuple[Plan, list[Part]]:
    """The same without what is there already: trainings among the records ``done`` that kept no weights, as all did
    once, are not repeated for their weights alone."""
    trained = (record for record in done if record["kind"] == "trial" and record["status"] == "ok")
    good = {TrialCell.from_axes(record["cell"]).key() for record in trained}

    def known(cell: TrialCell) -> TrialCell:
        bare = replace(cell, keep_weights=False)
        return bare if cell.key() not in good and bare.key() in good else cell

    trials = tuple(map(known, plan.trials))
    found = [replace(part, trials=tuple(map(known, part.trials))) for part in parts]
    return replace(plan, trials=trials), found


def _sweep(recipe: Recipe, variant: Variant, wishes: Wishes, write: bool) -> tuple[Sweep, int]:
    """The sweep of one variant, and the training samples of its epoch."""
    axes = recipe.axes(variant)
    sizes = published.PUBLICATIONS[axes["dataset"]]
    some = wishes.fraction < 1
    train, test = max(1, round(sizes.train * wishes.fraction)), max(2, round(sizes.test * wishes.fraction))
    if recipe.file.image_files and write:
        axes["dataset"] = images.folder_name(images.cached(axes["dataset"]))
    backends = wishes.backends or (recipe.file.backend,)
    grid: dict[str, list[Any]] = {
        **DEFAULTS,
        **{name: [value] for name, value in axes.items()},
        "backend": list(adapter.backends()) if ALL in backends else list(backends),
        "device": list(wishes.devices or _devices(recipe)),
        "threads": [wishes.threads],
        "seed": list(range(wishes.seeds or recipe.file.seeds)),
    }
    for name in grid["backend"]:
        adapter.adapter_class(name)
    if some:
        grid |= {"train": [train], "test": [test]}
    if wishes.epochs is not None:
        grid["epochs"] = [wishes.epochs]
    timing = Timing(rounds=wishes.rounds, blocks=TIMED_BLOCKS, tracks=[wishes.track], inference=False, latency=False)
    sweep = Sweep(
        name=recipe.name,
        description=recipe.file.title,
        trial_track=wishes.track,
        grids=[grid],
        timing=timing,
        # What is asked of a network after it was trained (ever worse noise, say) needs no second training.
        scoring=Scoring(keep_weights=True),
    )
    return sweep, (train if some else sizes.train) * axes.get("repeats", 1)


def _devices(recipe: Recipe) -> list[str]:
    """The processor, and the GPU where there is one to reproduce a published ratio with."""
    both = recipe.compares_devices and machine.missing_device("cuda") is None
    return ["cpu", "cuda"] if both else ["cpu"]


def _united(recipes: Sequence[Recipe], plans: Sequence[Plan]) -> Plan:
    name = recipes[0].name if len(recipes) == 1 else "reproduce"
    about = "Published denoising autoencoders, trained as published: " + "; ".join(
        f"{recipe.name} ({recipe.file.source})" for recipe in recipes
    )
    resolved = {**plans[0].sweep, "name": name, "description": about}
    resolved["grids"] = [grid for plan in plans for grid in plan.sweep["grids"]]
    return replace(
        plans[0],
        name=name,
        description=about,
        sweep=resolved,
        certificates=tuple(dict.fromkeys(cell for plan in plans for cell in plan.certificates)),
        trials=tuple(dict.fromkeys(cell for plan in plans for cell in plan.trials)),
        sessions=tuple(dict.fromkeys(session for plan in plans for session in plan.sessions)),
        unsupported=tuple(dict.fromkeys(item for plan in plans for item in plan.unsupported)),
    )


def folder(out: Path | None, plan: Plan) -> Path:
    """Where the run goes."""
    from bench.places import run_folder

    return run_folder(out, f"reproduce-{plan.name}" if plan.name != "reproduce" else plan.name)
