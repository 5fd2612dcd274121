"""What `daebench reproduce` prints: a table a recipe, and what its time says."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.progress import duration
from bench.reproduce.recipe import Recipe
from results.reproduction import NAMES, WHOLE, Comparison, Row, Stress

PIPED_WIDTH = 120
"""Characters a line where nobody says how many there are."""
_COLOUR = {"reproduced": "green", "differs": "red"}


def listed(recipes: Sequence[Recipe]) -> None:
    """`daebench reproduce --list`."""
    table = _table("recipe", "variants", "epochs", "data", "source, and where it is")
    for recipe in recipes:
        variants = ", ".join(variant.name for variant in recipe.variants)
        epochs = recipe.axes(recipe.variants[0])["epochs"]
        source = f"{recipe.file.source}\n{recipe.file.address or '(no address known)'}"
        table.add_row(recipe.name, variants, str(epochs), escape(recipe.file.data), escape(source))
    _console().print(table)


def comparisons(recipes: Sequence[Recipe], found: Sequence[Comparison], margin: float) -> None:
    """All tables, and a line that counts the verdicts."""
    console = _console()
    for recipe in recipes:
        own = [comparison for comparison in found if comparison.recipe == recipe.name]
        console.print(f"\n[bold]{recipe.name}[/bold]  {escape(recipe.file.title)}. {escape(recipe.file.source)}")
        if recipe.file.address:
            console.print(f"  {escape(recipe.file.address)}", soft_wrap=True)
        for choice in recipe.file.choices:
            console.print(f"  choice: {escape(choice)}", style="dim")
        for comparison in own:
            _one(console, comparison)
    rows = [row for comparison in found for row in comparison.rows if row.published is not None]
    results = [row.verdict for row in rows if not row.is_setting]
    counts = ", ".join(f"{results.count(verdict)} {verdict}" for verdict in dict.fromkeys(results))
    console.print(f"\npublished results: {counts or 'none'}")
    settings = [row.verdict for row in rows if row.is_setting]
    if settings:
        console.print(f"settings of the network: {settings.count('reproduced')} of {len(settings)} as published")
    console.print(
        f"reproduced: within {margin:.0%} of what was published, or (from 3 seeds) within the range of one more run; "
        "interval: 95 % over seeds, of seconds over processes",
        style="dim",
    )


def _one(console: Console, found: Comparison) -> None:
    where = f"{found.backend}, {found.device}, {found.seeds} seed{'s' * (found.seeds != 1)}"
    console.print(f"\n[bold]{found.variant}[/bold]: {escape(found.about)} [dim]({escape(where)})[/dim]")
    for trouble in found.troubles:
        console.print(f"  [red]{escape(trouble)}[/red]")
    table = _table("figure", "published", "measured", "interval", "verdict")
    for column in table.columns[1:4]:
        column.justify = "right"
    for row in found.rows:
        if row.verdict != "not reached":
            table.add_row(*_cells(row))
    epochs, were = found.epochs, "epoch was" if found.epochs == 1 else "epochs were"
    for metric in dict.fromkeys(row.metric for row in found.rows if row.verdict == "not reached"):
        later = [row.epoch for row in found.rows if (row.metric, row.verdict) == (metric, "not reached")]
        what = f"{metric.replace('_', ' ')}, epoch{'s' * (len(later) > 1)} {', '.join(map(str, later))}"
        table.add_row(what, "", "", "", f"[dim]not reached: {epochs} {were} run[/dim]")
    console.print(table)
    for known in dict.fromkeys(row.known for row in found.rows if row.known):
        console.print(f"  known: {escape(known)}", style="dim")
    if found.stress:
        _stress(console, found.stress)
    if found.epoch_seconds and found.published_seconds:
        how = "timed alone" if found.timed else "as the trials ran, perhaps side by side"
        console.print(
            f"{_number(found.epoch_seconds)} s for an epoch of {found.samples:,} images ({how}); at this rate the "
            f"published {found.published_epochs} epochs take {duration(found.published_seconds)}",
            style="dim",
        )


def _stress(console: Console, found: Stress) -> None:
    for reason in found.missing:
        console.print(f"  stress sweep without {escape(reason)}", style="yellow")
    if not found.steps:
        return
    table = _table("under", "noisy, dB", "denoised, dB", "interval", "SSIM, noisy", "SSIM, denoised")
    for column in table.columns[1:]:
        column.justify = "right"
    for step in found.steps:
        exact = step.psnr_gain[0] is None
        _, low, high = step.psnr
        ends = f"{_number(low)} to {_number(high)}" if low is not None else ""
        numbers = ("exact" if exact else _number(step.psnr_noisy), _number(step.psnr[0]), ends)
        table.add_row(step.corruption, *numbers, _number(step.ssim_noisy), _number(step.ssim[0]))
    console.print(f"ever worse: {found.images} test images, interval over {found.over}", style="dim")
    console.print(table)


def _cells(row: Row) -> tuple[str, ...]:
    if row.is_setting and row.published is not None:
        equal = row.verdict == "reproduced"
        verdict = "as published (a setting)" if equal else "[red]not as published (a setting)[/]"
        return _figure(row), row.published, _number(row.measured), "", f"[dim]{verdict}[/]" if equal else verdict
    verdict = f"differs by {row.why}" if row.verdict == "differs" else row.verdict
    if row.why and row.verdict not in ("differs", "not comparable"):
        verdict += f" ({row.why})"
    if row.verdict == "not comparable":
        verdict += f": {row.why}"
    interval = f"{_number(row.low)} to {_number(row.high)}" if row.low is not None else ""
    colour = _COLOUR.get(row.verdict, "dim")
    return _figure(row), row.published or "-", _number(row.measured), interval, f"[{colour}]{escape(verdict)}[/]"


def _figure(row: Row) -> str:
    name = NAMES.get(row.metric, row.metric.replace("_", " "))
    return name if row.epoch is None else f"{name}, epoch {row.epoch}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= WHOLE else f"{value:.4g}"


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
