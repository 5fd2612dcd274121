"""``daebench reproduce`` and ``daebench data images``: their options, and what is done with them.

Nothing heavy is imported at the top: bench/cli.py imports this module for its help.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bench.cli_options import BackendFiles

if TYPE_CHECKING:
    from implementations.adapter import Track

FAILED = 1
INTERRUPTED = 130


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Recipes (see --list), or all.", metavar="NAME...|all", show_default=False),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Repeatable; `all` for all. Default: what the source used.", metavar="NAME"),
    ] = None,
    backend_file: BackendFiles = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="cpu, cuda or mps, repeatable. Default: cpu, and cuda where a published ratio asks for it.",
            metavar="DEVICE",
        ),
    ] = None,
    track: Annotated[str, typer.Option(help="tuned or idiomatic.")] = "tuned",
    epochs: Annotated[int | None, typer.Option(help="Fewer (or more) than published.", metavar="N")] = None,
    fraction: Annotated[float, typer.Option(help="Only this share of the images.", metavar="F")] = 1.0,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each variant; default 1 to 3.", metavar="N")] = None,
    threads: Annotated[int, typer.Option(help="Of every training.", metavar="N")] = 1,
    rounds: Annotated[
        int, typer.Option(help="Measure the rate of training besides, in so many fresh processes.", metavar="N")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder; default results/reproduce-NAME, of several results/reproduce.", metavar="DIR"),
    ] = None,
    jobs: Annotated[str | None, typer.Option(help="Trainings side by side. Default: cores.", metavar="N")] = None,
    timeout: Annotated[str | None, typer.Option(help="Give up on a single training after this time.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start the run folder anew instead of finishing it.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed before.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compute certificates anew.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its time, run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="The recipes that there are.")] = False,
) -> None:
    """Train published denoising autoencoders as published, and compare their figures with what comes out."""
    from bench import cli_facts, cli_show
    from bench.reproduce import recipe, run, show

    if list_:
        show.listed(recipe.chosen(names or ["all"]))
        return
    if not names:
        raise recipe.RecipeError(f"reproduce what?  Name a recipe: {', '.join(recipe.names())}, or all")
    recipes = recipe.chosen(names)
    wishes = run.Wishes(
        backends=tuple(backend or ()),
        devices=tuple(device or ()),
        track=_track(track),
        epochs=epochs,
        fraction=fraction,
        seeds=seeds,
        threads=threads,
        rounds=rounds,
    )
    limit, workers = cli_facts.seconds("--timeout", timeout), cli_facts.count("--jobs", jobs)
    plan, parts = run.prepare(recipes, wishes, write=not dry_run)
    folder = run.folder(out, plan)
    if dry_run:
        cli_show.plan(plan, folder, workers)
        return

    from bench import runner
    from bench.reproduce import compare, stress
    from results.loading import RunError, load_run
    from results.reproduction import REPRODUCTION, dumps
    from results.writing import write_text

    if not fresh:
        with contextlib.suppress(RunError):  # nothing there yet, or for the runner to complain about
            plan, parts = run.settled(plan, parts, load_run(folder).of("trial"))
    outcome = runner.run(
        plan,
        folder,
        runner.Options(
            jobs=workers,
            timeout=limit,
            fresh=fresh,
            retry_failed=retry_failed,
            use_cache=not no_cache,
            add_data=True,  # each recipe is compared with its own source alone, whatever else the folder holds
        ),
    )
    if outcome.interrupted and not outcome.counts:
        raise _interrupted()  # before the first record: there is nothing to compare
    done = load_run(folder)
    found = stress.assessed(compare.compare(parts, done), parts, done)
    text = dumps(compare.document(recipes, found))
    write_text(folder / REPRODUCTION, text + "\n")
    if as_json:
        print(text)
    else:
        cli_show.outcome(outcome)
        show.comparisons(recipes, found, compare.MARGIN)
        from report import write_report

        print(f"report: {write_report([folder], None)}")
    if outcome.interrupted:
        raise _interrupted()
    if any(comparison.troubles for comparison in found):
        raise typer.Exit(FAILED)


def data_images(
    name: Annotated[str, typer.Argument(help="A data set (`daebench data list`)")],
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet, or is empty.", metavar="DIR")],
    train: Annotated[int | None, typer.Option(help="Only so many training images.", metavar="N")] = None,
    test: Annotated[int | None, typer.Option(help="Only so many test images.", metavar="N")] = None,
) -> None:
    """Write a data set as PNG files, in the folders train and test: dataset = "folder:DIR" reads them back."""
    from bench import datasets
    from bench.datasets import images

    count = images.write(datasets.load(name, train=train, test=test), folder)
    print(f"{name}: {count:,} images in {folder}; use them as dataset = {images.folder_name(folder)}")


def _interrupted() -> typer.Exit:
    print("Interrupted. The same command goes on where this stopped.", file=sys.stderr)
    return typer.Exit(INTERRUPTED)


def _track(text: str) -> Track:
    from bench.cli_facts import OptionError, chosen
    from implementations.adapter import TRACKS

    names = chosen("--track", [text], TRACKS, ())
    if len(names) != 1:
        raise OptionError(
            f"--track {text!r} is not allowed: a reproduction is trained in one way; name {' or '.join(TRACKS)}"
        )
    return cast("Track", names[0])
