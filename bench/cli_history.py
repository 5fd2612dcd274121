"""``daebench history``: its commands, what they print, and what they print for programs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from results.trend import MachineTrend, Series

history = typer.Typer(help="Figures commit by commit, with the steps in them.", no_args_is_help=True)

File = Annotated[Path, typer.Option("--file", help="The history: JSON lines, append-only.", metavar="FILE")]
DEFAULT = Path("history.jsonl")
_BARS = "▁▂▃▄▅▆▇█"
RECENT = 24
"""As many runs are drawn in a line of blocks."""


@history.command("add")
def add(
    run: Annotated[Path, typer.Argument(help="Folder of a recorded run.", metavar="RUN")],
    file: File = DEFAULT,
    commit: Annotated[
        str | None, typer.Option(help="What was measured, where the run does not say so.", metavar="HASH")
    ] = None,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Add a run with changes that no commit holds.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let it count instead of the one of the same commit, machine and run.")
    ] = False,
) -> None:
    """Add a run to the history: one line a commit and machine."""
    from bench.history import add_run

    added, replaced = add_run(run, file, commit=commit, allow_dirty=allow_dirty, replace_old=replace)
    for entry in added:
        figures = sum(len(cell["metrics"]) for cell in entry.cells.values())
        instead = " instead of the one before" if any(entry.identity == old.identity for old in replaced) else ""
        print(f"{file}: {entry.name} of {entry.committed[:10]}, {len(entry.cells)} cells, {figures} figures{instead}")
        if entry.unfinished:
            print(f"unfinished: {entry.unfinished}")


@history.command("show")
def show(
    file: File = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with charts.", metavar="FILE")] = None,
) -> None:
    """Series by machine and cell: latest level, steps, and what else changed."""
    from bench import cli_compare
    from results.history import HistoryError, read_history
    from results.trend import trends

    if html is not None:
        cli_compare.check_place("--html", html, makes_folders=True)
    found = read_history(file)
    if not found.entries:
        raise HistoryError(f"{file}: holds no history yet; `daebench history add RUN --file {file}` begins one")
    machines = trends(found)
    if html is not None:
        from report.history import write_history

        write_history(found, html)
    if as_json:
        print(json.dumps(facts(machines, found.notes), indent=2, allow_nan=False))
    else:
        _print(machines, found.notes)
        if html is not None:
            print(f"history: {html}")


def facts(machines: list[MachineTrend], notes: tuple[str, ...]) -> dict[str, Any]:
    """`daebench history show --json`."""
    return {
        "notes": list(notes),
        "machines": [
            {
                "machine": one.machine,
                "facts": one.entries[-1].facts,
                "versions": one.entries[-1].versions,
                "entries": [
                    {
                        "commit": e.commit,
                        "committed": e.committed,
                        "dirty": e.dirty,
                        "run": e.run,
                        "started": e.started,
                        "unfinished": e.unfinished,
                    }
                    for e in one.entries
                ],
                "events": [{"commit": e.entry.commit, "changes": list(e.changes)} for e in one.events],
                "failures": [{"cell": label, "status": status} for label, status in one.failures],
                "series": [_series(series) for series in one.series],
            }
            for one in machines
        ],
    }


def _series(series: Series) -> dict[str, Any]:
    return {
        "cell": series.label,
        "metric": series.metric,
        "unit": series.tracked.unit,
        "level": series.level,
        "noise": series.levels.noise,
        "points": [
            {
                "commit": point.entry.commit,
                "value": point.figure.value,
                "low": point.figure.low if math.isfinite(point.figure.low) else None,
                "high": point.figure.high if math.isfinite(point.figure.high) else None,
            }
            for point in series.points
        ],
        "steps": [
            {
                "commit": step.point.entry.commit,
                "change": step.change,
                "before": step.before,
                "after": step.after,
                "with": [event.sentence for event in step.events],
            }
            for step in series.steps
        ],
    }


def _print(machines: list[MachineTrend], notes: tuple[str, ...]) -> None:
    from rich.markup import escape

    from bench import cli_show
    from report.changes import change_text, figure_text, machine_name, step_sentence
    from results.steps import SHORTEST

    console = cli_show._console()
    for note in notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")
    for one in machines:
        dates = f"{one.entries[0].committed[:10]} to {one.entries[-1].committed[:10]}"
        console.print(f"\n[bold]{escape(machine_name(one))}[/bold]: {len(one.entries)} runs, {dates}")
        table = cli_show._table("", "cell", "metric", "runs", "level now", "newest", f"last {RECENT}, more is better")
        for series in one.series:
            newest = series.points[-1]
            change = change_text(series, series.change(series.costs[-1], series.levels.pieces[-1].value))
            table.add_row(
                escape(series.label),
                series.tracked.title,
                str(len(series.points)),
                figure_text(series.tracked, series.level),
                f"{newest.entry.name} {change}",
                sparkline(series),
            )
        console.print(table)
        for series, step in one.steps:
            colour = "red" if step.worse else "green"
            console.print(f"[{colour}]step[/{colour}] {escape(step_sentence(series, step))}")
        for event in one.events:
            console.print(f"[dim]{escape(event.entry.name)}: {escape(event.sentence)}[/dim]")
        for entry in one.entries:
            if entry.unfinished:
                console.print(f"[yellow]unfinished[/yellow] {escape(f'{entry.name}, {entry.run}: {entry.unfinished}')}")
        for label, status in one.failures:
            console.print(f"[red]{status}[/red] {escape(label)}")
        if len(one.entries) < 2 * SHORTEST:
            console.print(f"[dim]steps can be told from {2 * SHORTEST} runs on[/dim]")


def sparkline(series: Series) -> str:
    """The last runs as blocks, from worst to best.  Noise alone does not fill the height: a tenth of the value does."""
    goodness = -series.costs[-RECENT:]
    middle = float(sorted(goodness)[len(goodness) // 2])
    half = max(float(abs(goodness - middle).max()), 0.05 if series.tracked.scale == "ratio" else 0.5)
    return "".join(_BARS[min(int((value - middle + half) / (2 * half) * len(_BARS)), 7)] for value in goodness)
