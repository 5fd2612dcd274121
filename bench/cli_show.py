"""What the command line prints for people: tables and a few sentences, made with rich."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.progress import duration

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.runner import Outcome

Row = dict[str, Any]

PIPED_WIDTH = 120
"""Characters a line where nobody says how many there are."""
FINDINGS = 3
"""As many are printed; the report has all."""
_COLOUR = {"ok": "green", "skipped": "yellow", "unsupported": "yellow"}


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _bytes(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"


# -- runs ----------------------------------------------------------------------------------------------------------


def plan(plan: Plan, folder: Path, jobs: int | None) -> None:
    """`--dry-run`: what would be run, and how long it would take."""
    from bench import machine
    from bench.confirm import product, saved
    from bench.estimate import estimate, expected_trials

    console = _console()
    jobs = jobs or machine.cores()
    seconds = estimate(plan, jobs)
    timed = [cell for session in plan.sessions for cell in session.cells]
    trials = expected_trials(plan)
    console.print(f"[bold]{escape(plan.name)}[/bold]  {escape(plan.description)}")
    table = _table("", "backend", "certificates", "trials", "timed")
    columns = [Counter(cell.backend for cell in cells) for cells in (plan.certificates, trials.cells, timed)]
    for backend in sorted(set().union(*columns)):
        table.add_row(escape(backend), *(str(column[backend]) for column in columns))
    table.add_row("all", *(str(sum(column.values())) for column in columns), style="bold")
    console.print(table)
    _axes(console, [cell.axes() for cell in plan.trials])
    if plan.quality == "once":
        console.print(f"once: {saved(product(plan.trials), trials)} (by the estimate: measured rates decide)")
    _yardsticks(console, plan)
    sessions = Counter((len(s.cells), s.rounds, s.blocks, s.block_seconds) for s in plan.sessions)
    for (size, rounds, blocks, seconds_each), count in sessions.items():
        console.print(
            f"timing: {count} session{'s' * (count > 1)} of {size} contestants and workloads, {rounds} rounds of fresh "
            f"processes, {blocks} blocks of {seconds_each:g} s"
        )
    for backend, reason in dict.fromkeys((cell.backend, reason) for cell, reason in plan.unsupported):
        console.print(f"[yellow]not here:[/yellow] {escape(backend)}: {escape(reason)}")
    for note in plan.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")
    yardsticks = f"yardsticks {duration(seconds.yardsticks)}, " if plan.yardsticks else ""
    console.print(
        f"estimate with {jobs} at a time: certificates {duration(seconds.certificates)} (nothing if cached), "
        f"trials {duration(seconds.trials)}, {yardsticks}timing {duration(seconds.sessions)}; "
        f"[bold]about {duration(seconds.total)} in all[/bold]"
    )
    console.print(f"would be written to {escape(str(folder))}")


def _axes(console: Console, rows: Sequence[Row]) -> None:
    """The values that the trials take, for the axes that vary; the others in one line."""
    if not rows:
        return
    values = {name: list(dict.fromkeys(row[name] for row in rows)) for name in rows[0]}
    table = _table("", "axis", "values")
    for name, found in values.items():
        if len(found) > 1:
            table.add_row(name, escape(", ".join(map(str, found))))
    console.print(table)
    fixed = (f"{name} {found[0]}" for name, found in values.items() if len(found) == 1 and found[0] is not None)
    console.print(escape("all: " + ", ".join(fixed)), style="dim")


def _yardsticks(console: Console, plan: Plan) -> None:
    if not plan.yardsticks:
        return
    images = len({cell.noise for cell in plan.yardsticks})
    methods = dict.fromkeys(cell.method for cell in plan.yardsticks if cell.rank is None)
    ranks = sorted({cell.rank for cell in plan.yardsticks if cell.rank is not None})
    text = ", ".join(methods) + (f", linear optimum of rank {', '.join(map(str, ranks))}" if ranks else "")
    sets = f"{images} noisy set{'s' * (images > 1)} of images"
    console.print(f"yardsticks: {len(plan.yardsticks)} on {sets}: {text}")


def outcome(outcome: Outcome) -> None:
    """How a run ended: cells by status, of those that were planned, and the time; what was not run, by reason."""
    console = _console()
    counts = ", ".join(
        f"[{_COLOUR.get(status, 'red')}]{count} {status}[/]" for status, count in outcome.counts.items() if count
    )
    there = sum(outcome.counts.values())
    done = there - outcome.counts.get("skipped", 0)
    of = ""
    if done < outcome.planned:
        of = f"[yellow]unfinished:[/yellow] {done} of {outcome.planned} planned cells are done: "
        missing = outcome.planned - there
        counts = ", ".join(filter(None, [counts, f"[yellow]{missing} not begun[/]" if missing else ""]))
    console.print(f"{of}{counts or 'nothing to do'} in {duration(outcome.seconds)}")
    for reason, count in outcome.skipped.items():
        console.print(f"[yellow]left out:[/yellow] {count} cell{'s' * (count != 1)}: {escape(reason)}")


def report(
    path: Path,
    findings: Sequence[str],
    commands: Sequence[tuple[str, str]] = (),
    departures: Sequence[str] = (),
    unfinished: str = "",
) -> None:
    """Where the report is, what matters most in it, and the ``commands`` (what for, line) that it recommends; but
    first, where the run is ``unfinished``, how far, and ``departures``: who is not certified, and what that means."""
    console = _console()
    if unfinished:
        console.print(f"[yellow]unfinished:[/yellow] {escape(unfinished)}")
    for sentence in departures[:FINDINGS]:
        console.print(f"[red]not certified[/red], so not ranked: {escape(sentence)}")
    if len(departures) > FINDINGS:
        console.print(f"[red]not certified[/red]: {len(departures) - FINDINGS} more, which the report lists")
    for number, sentence in enumerate(findings[:FINDINGS], 1):
        console.print(f"{number}. {escape(sentence)}")
    # Not through rich, which would break long lines: commands and the path are there to be copied.
    for what, line in commands:
        print(f"to {what}:\n  {line}")
    print(f"report: {path}")


def certificates(records: Sequence[Row]) -> None:
    """`daebench verify`: a row per network, loss and precision; per backend the worst deviation / tolerance."""
    from results.departures import meaning

    console = _console()
    if not records:
        return
    columns = list(dict.fromkeys((record["cell"]["backend"], record["cell"]["track"]) for record in records))
    named = ("architecture", "loss", "optimizer", "precision")
    rows: dict[tuple[str, ...], dict[tuple[str, str], Row]] = {}
    for record in records:
        cell = record["cell"]
        place = tuple(str(cell[name]) for name in named)
        rows.setdefault(place, {})[cell["backend"], cell["track"]] = record
    table = _table("largest deviation / tolerance", *named, *(escape(f"{b}\n{t}") for b, t in columns))
    for place, found in rows.items():
        table.add_row(*place, *(_verdict(found.get(column)) for column in columns))
    console.print(table)
    bad = [record for record in records if record["status"] not in ("ok", "unsupported")]
    for record in bad:
        cell = record["cell"]
        where = " ".join(str(cell[name]) for name in ("backend", "track", *named))
        console.print(f"[red]{record['status']}[/red] {escape(where)}: {escape(record.get('reason') or '')}")
        if record["status"] == "parity_failed" and (means := meaning(record)):
            console.print(f"  for who trains so: {escape(means)}")
    # One and the same for many rows: a network that a backend refuses, it refuses with every loss.
    unsupported = [str(record.get("reason") or "") for record in records if record["status"] == "unsupported"]
    for reason, count in Counter(unsupported).items():
        console.print(f"[yellow]unsupported[/yellow] ({count}): {escape(reason)}")
    _coarseness(console, records)
    _audits(console, records)
    good = sum(record["status"] == "ok" for record in records)
    left = f", {len(unsupported)} unsupported" if unsupported else ""
    console.print(f"{good} of {len(records)} certified{left}")


def _coarseness(console: Console, records: Sequence[Row]) -> None:
    """Where nothing shows that products were any coarser than those of float32."""
    from results.coarseness import as_exact

    for precision, names in as_exact(records).items():
        console.print(f"[yellow]{precision} does nothing here[/yellow], outputs are as exact as in float32: "
                      f"{escape(', '.join(names))}")  # fmt: skip


def _audits(console: Console, records: Sequence[Row]) -> None:
    """A row for each backend, track, device and precision: what the synchronisation audit found."""
    found: dict[tuple[str, ...], Row] = {}
    for record in records:
        if any(name.startswith("sync_") for name in record.get("metrics", {})):
            named = ("backend", "track", "device", "precision")
            found.setdefault(tuple(str(record["cell"][name]) for name in named), record)
    if not found:
        return
    columns = [f"{verb}\n{what}" for verb in ("training", "inference") for what in ("2n/n", "left", "by itself")]
    title = "synchronisation: time of 2n batches over n; left after synchronize(); waited without it"
    table = _table(title, "backend", "track", "device", "precision", "", *columns)
    for place, record in found.items():
        ok = all(check["ok"] for check in record["checks"] if check["quantity"] == "synchronisation")
        cells = [_percent_or_ratio(record["metrics"], f"sync_{verb}_", what)
                 for verb in ("train", "inference") for what in ("ratio", "residual", "returned")]  # fmt: skip
        table.add_row(*map(escape, place), "[green]ok[/green]" if ok else "[red]failed[/red]", *cells)
    console.print(table)


def _percent_or_ratio(metrics: Row, prefix: str, name: str) -> str:
    value = metrics.get(prefix + name)
    if value is None:
        return "-"
    # As narrow as can be: on 80 columns the table must not cut its own words.
    return {"ratio": f"{value:.2f}", "residual": f"{value:.1%}"}.get(name, f"{value:.0%}")


def _verdict(record: Row | None) -> str:
    if record is None:
        return ""
    if record["status"] != "ok":
        colour = "yellow" if record["status"] == "unsupported" else "red"
        return f"[{colour}]{record['status']}[/{colour}]"
    ratio = record.get("metrics", {}).get("worst_ratio")
    return "[green]ok[/green]" if ratio is None else f"[green]ok[/green] {ratio:.2g}"


# -- lists ---------------------------------------------------------------------------------------------------------


def catalogue(what: str, rows: Sequence[Row]) -> None:
    """`daebench list`."""
    _console().print({
        "backends": _backends,
        "architectures": _architectures,
        "corruptions": _corruptions,
        "datasets": _datasets,
        "sweeps": _sweeps,
    }[what](rows))  # fmt: skip


def _backends(rows: Iterable[Row]) -> Table:
    table = _table("", "backend", "state", "tracks", "devices", "precisions")
    for row in rows:
        versions = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
        state = (
            f"[green]{escape(versions)}[/green]" if row["installed"] else f"[yellow]{escape(row['reason'])}[/yellow]"
        )
        offered = (", ".join(row[name]) for name in ("tracks", "devices", "precisions"))
        table.add_row(escape(row["name"]), state, *offered)
    return table


def _architectures(rows: Iterable[Row]) -> Table:
    table = _table("on images of 28x28", "network", "code", "parameters", "MFLOP trained", "what it is")
    for row in rows:
        code = "any size" if row["latent_is_free"] else str(row["latent"] or "none")
        flops = (row["forward_flops"] + row["backward_flops"]) / 1e6
        table.add_row(
            row["name"], code, f"{row['parameters']:,}", f"{flops:.1f}", escape(f"{row['summary']} {row['source']}.")
        )
    return table


def _corruptions(rows: Iterable[Row]) -> Table:
    table = _table("chains: blur(0..2) + uniform(0.01..1.5)", "example", "level", "allowed", "what it does")
    for row in rows:
        table.add_row(*(escape(row[name]) for name in ("example", "level", "allowed", "summary")))
    return table


def _datasets(rows: Iterable[Row]) -> Table:
    table = _table("", "data set", "train", "test", "where", "what it is")
    for row in rows:
        colour = "green" if row["present"] else "yellow"
        where = f"[{colour}]{escape(row['where'])}[/{colour}]"
        counts = ("" if row[split] is None else f"{row[split]:,}" for split in ("train", "test"))
        table.add_row(escape(row["name"]), *counts, where, escape(row["summary"]))
    return table


def _sweeps(rows: Iterable[Row]) -> Table:
    table = _table("", "sweep", "trials", "estimate here", "what it does")
    for row in rows:
        size, time = ("–", "not here") if row["reason"] else (str(row["trials"]), duration(row["estimated_seconds"]))
        table.add_row(row["name"], size, time, escape(row["description"]))
    return table


def doctor(facts: Row) -> None:
    """`daebench doctor`."""
    console = _console()
    table = _table("", "", "")
    table.add_row("Python", f"{facts['python']} ({escape(facts['executable'])})")
    table.add_row(
        "processor", f"{escape(facts['cpu'])}; {facts['cores']} to compute on, {facts['cores_logical']} logical"
    )
    table.add_row("memory", f"{_bytes(facts['memory'])}, {_bytes(facts['memory_available'])} free")
    gpus = [f"{gpu['name']}, {gpu['memory']}, driver {gpu['driver']}" for gpu in facts["gpus"]]
    table.add_row("GPU", escape("; ".join(gpus) or "none that nvidia-smi knows of"))
    usable = ", ".join(name for name, missing in facts["devices"].items() if missing is None)
    table.add_row("devices", usable)
    table.add_row("cache", escape(facts["cache"]))
    console.print(table)
    for part in (_backends(facts["backends"]), _datasets(facts["datasets"])):
        console.print()
        console.print(part)
    for warning in facts["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")


def peaks(rows: Sequence[Row], troubles: Iterable[str]) -> None:
    """What `daebench doctor --measure` has measured."""
    console = _console()
    if rows:
        console.print()
        console.print(_peaks(rows))
    for trouble in troubles:
        console.print(f"[yellow]warning:[/yellow] {escape(trouble)}")


def _peaks(rows: Iterable[Row]) -> Table:
    table = _table("what it can do", "device", "precision", "threads", "GFLOP/s", "of the libraries", "copy, GB/s")
    for row in rows:
        others = sorted(row["libraries"].items(), key=lambda item: -item[1])
        copied = row["copy_bytes_per_second"]
        table.add_row(
            row["device"],
            row["precision"],
            str(row["threads"]),
            f"{row['gemm_flops_per_second'] / 1e9:,.0f}" if row["gemm_flops_per_second"] else "-",
            escape(", ".join(f"{name} {flops / 1e9:,.0f}" for name, flops in others)),
            f"{copied / 1e9:,.1f}" if copied else "-",
        )
    return table


# -- data ----------------------------------------------------------------------------------------------------------


def download(name: str) -> None:
    """`daebench data get`, with a progress bar."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from bench.datasets import download as downloads

    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=_console()
    )
    tasks: dict[str, Any] = {}

    def advance(file: str, done: int, total: int) -> None:
        progress.start()  # only now: where nothing is fetched there is no bar
        if file not in tasks:
            tasks[file] = progress.add_task(escape(file), total=total)
        progress.update(tasks[file], completed=done)

    try:
        got = downloads.get(name, advance)
    finally:
        if tasks:
            progress.stop()
    print(f"{name}: {got}")
