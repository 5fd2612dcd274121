"""A comparison on the terminal: a table, what stands beside it, and the verdict last, where the eye is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.compare import wording
from results.comparison import Comparison, Outcome, Row

PIPED_WIDTH = 160
"""Characters a line where nobody says how many there are: no row should break in a log."""
NARROW = 110
"""Below this the levels of the two sides are left out, so that the change and its name fit on one line."""
COLOURS: dict[Outcome, str] = {"pass": "green", "improved": "cyan", "regressed": "red", "inconclusive": "yellow"}


def show(comparison: Comparison, stream: TextIO | None = None) -> None:
    """Print it: coloured on a terminal, plain in a pipe."""
    console = Console(file=stream, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    console.print(f"base  {escape(comparison.base.label)}", soft_wrap=True)
    console.print(f"head  {escape(comparison.head.label)}", soft_wrap=True)
    for unit, rows in wording.apart(comparison.rows).items():
        console.print()
        console.print(f"[bold]{wording.TITLES[unit]}[/]")
        console.print(_table(rows, wording.CHANGES[unit], levels=console.width >= NARROW))
    if comparison.rows:
        console.print(escape(wording.legend(comparison)), style="dim")
    for title, items in (
        ("failed", comparison.failed),
        ("missing, allowed" if comparison.allow_missing else "missing", comparison.missing),
        ("new", comparison.new),
        ("renamed", tuple(f"{old} → {new}" for old, new in comparison.renamed)),
        ("not judged", tuple(wording.notes(comparison.rows))),
        ("different", comparison.differences),
        ("note", comparison.warnings),
    ):
        _list(console, title, items)
    colour = COLOURS[comparison.outcome]
    console.print()
    console.print(f"[bold {colour}]{comparison.outcome}[/]  {escape(wording.headline(comparison))}", soft_wrap=True)


def _table(rows: Sequence[Row], change: str, *, levels: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Rich shortens what does not fit; the verdict and the figures must not be what it shortens.
    table.add_column("verdict", no_wrap=True)
    table.add_column("figure", overflow="fold")
    for name in (*(("base", "head") if levels else ()), change, "finds", "needs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"[{COLOURS[row.outcome]}]{row.outcome}[/]",
            escape(row.label),
            *([wording.level(side, row.metric) for side in (row.base, row.head)] if levels else []),
            escape(wording.interval(row.change, row.unit)),
            wording.detectable(row),
            wording.more_time(row),
        )
    return table


def _list(console: Console, title: str, items: Sequence[str]) -> None:
    if not items:
        return
    console.print()
    console.print(f"[bold]{title}[/]")
    for item in wording.cut(items):
        console.print(f"  {escape(item)}", soft_wrap=True)
