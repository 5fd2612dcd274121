"""``daebench``: the command line.  Reads arguments, calls what does the work, prints what comes back.

Whatever a user gets wrong ends in one message and exit code 2 (:func:`main`).  Nothing heavy is imported at the top:
``daebench --help`` must not wait for pandas, let alone for a framework.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import cli_compare, cli_denoise, cli_history, cli_process, cli_reproduce
from bench.cli_options import BackendFiles

FAILED = ("parity_failed", "diverged", "out_of_memory", "timeout", "crashed")
"""Statuses that make `daebench run` end with exit code 1."""
INTERRUPTED = 130
USAGE = 2
PACKAGES = ("bench", "implementations", "results", "report")

# typer 0.29 carries its own copy of click: this is the one way to its class that holds before and after.
UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    help="Denoising autoencoders in Keras and PyTorch: proven identical, then compared in quality and speed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="Data sets: what is here, and getting those that are not.", no_args_is_help=True)
app.add_typer(data, name="data")
app.add_typer(cli_history.history, name="history")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the sweep's own if left out.", metavar="DEVICE")]
Jobs = Annotated[
    str | None, typer.Option(help="Cells side by side (timing always runs alone). Default: cores.", metavar="N")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Compute certificates anew instead of taking cached ones.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"daebench {version('daebench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    sweep: Annotated[
        str, typer.Argument(help="A shipped sweep (`daebench list sweeps`) or a TOML file.", metavar="SWEEP|FILE")
    ] = "quick",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; default results/<sweep name>, of --set dataset=... with the data set behind it.",
            metavar="DIR",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Replace an axis: --set latent=8,16 (repeatable).", metavar="AXIS=A,B"),
    ] = None,
    device: Device = None,
    backend_file: BackendFiles = None,
    jobs: Jobs = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Stop in time, and cover all axes evenly with what fits: 90s, 30m, 1h30m.", metavar="TIME"),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(help="Give up on a single cell after this time.", metavar="TIME")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start the run folder anew instead of finishing it.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run cells again that failed before.")] = False,
    add_data: Annotated[
        bool,
        typer.Option(
            "--add-data", help="Let the run folder hold other images too; answers are about those asked for now."
        ),
    ] = False,
    no_cache: NoCache = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its time, run nothing.")] = False,
) -> None:
    """Run a sweep, finish one that was interrupted, and write its report."""
    from bench import cli_facts, cli_show, places, run_file
    from bench.plan import make_plan
    from bench.sweep import load_sweep, overridden

    limits = cli_facts.seconds("--budget", budget), cli_facts.seconds("--timeout", timeout)
    workers = cli_facts.count("--jobs", jobs)
    plan = make_plan(load_sweep(sweep, overrides or (), device))
    data = run_file.data_of(plan)
    named = data if overridden("dataset", overrides or ()) else []
    folder = places.run_folder(out, places.default_name(plan.name, named))
    places.check(folder, data, fresh=fresh, add_data=add_data)
    if dry_run:
        cli_show.plan(plan, folder, workers)
        return

    from bench.runner import Options, run

    options = Options(
        jobs=workers,
        budget=limits[0],
        timeout=limits[1],
        fresh=fresh,
        retry_failed=retry_failed,
        use_cache=not no_cache,
        add_data=add_data,
    )
    outcome = run(plan, folder, options)
    cli_show.outcome(outcome)
    if outcome.counts:
        _report([folder], None, told=True)
    if outcome.interrupted:
        command = f"daebench run {sweep}" + (f" --out {folder}" if out else "")
        print(f"Interrupted. `{command}`, with the same options, goes on where this stopped.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if any(outcome.counts.get(status, 0) for status in FAILED):
        raise typer.Exit(1)


@app.command()
def verify(
    backend: Annotated[list[str] | None, typer.Option(help="Default: all that are installed.")] = None,
    architecture: Annotated[list[str] | None, typer.Option(help="Default: all.")] = None,
    loss: Annotated[list[str] | None, typer.Option(help="Default: mse and bce.")] = None,
    optimizer: Annotated[list[str] | None, typer.Option(help="Default: adam; `all` for all.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Default: float64 and float32.")] = None,
    track: Annotated[list[str] | None, typer.Option(help="Default: idiomatic and tuned.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.", metavar="DEVICE")] = "cpu",
    backend_file: BackendFiles = None,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """Prove that every backend computes the same: output, loss, gradients, weights after training steps."""
    from bench import cli_facts, cli_show
    from bench.verify import verify

    workers = cli_facts.count("--jobs", jobs)
    cells = cli_facts.certificate_cells(
        backend=backend,
        architecture=architecture,
        loss=loss,
        optimizer=optimizer,
        precision=precision,
        track=track,
        device=device,
    )
    records = verify(cells, jobs=workers, use_cache=not no_cache)
    _print_json(records) if as_json else cli_show.certificates(records)
    if any(record["status"] in FAILED for record in records):
        raise typer.Exit(1)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="backends, architectures, corruptions, datasets or sweeps")],
    as_json: AsJson = False,
    backend_file: BackendFiles = None,
) -> None:
    """What there is to choose from."""
    from bench import cli_facts, cli_show

    rows = cli_facts.catalogue(what)
    _print_json(rows) if as_json else cli_show.catalogue(what, rows)


@app.command()
def doctor(
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Measure too what the machine can do: matrix products and copies, half a minute or so."
        ),
    ] = False,
    as_json: AsJson = False,
    backend_file: BackendFiles = None,
) -> None:
    """What is installed, what is missing and how to get it; cores, GPUs, data; what the machine can do."""
    from bench import cli_facts, cli_show

    facts = cli_facts.doctor()
    if not as_json:
        cli_show.doctor(facts)
    if measure:
        # What is installed has been said by then: the frameworks take long to import, and stdout may be for JSON.
        peaks, troubles = cli_facts.peaks(facts, lambda text: typer.echo(text, err=True))
        facts = {**facts, "peaks": peaks, "warnings": [*facts["warnings"], *troubles]}
        if not as_json:
            cli_show.peaks(peaks, troubles)
    if as_json:
        _print_json(facts)
    if not any(backend["installed"] for backend in facts["backends"]):
        raise typer.Exit(1)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several become one report.", metavar="DIR...")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write it. Default: report.html in the run folder, of several results/joint-A+B/report.html.",
            metavar="FILE",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that the folders hold, not only what their last command asked for.")
    ] = False,
) -> None:
    """Write the report of one run, or of several together."""
    if output is not None:
        cli_compare.check_place("--output", output, makes_folders=True)
    _report(runs, output, everything=everything)


app.command()(cli_compare.compare)
app.command()(cli_compare.export)
app.command()(cli_denoise.denoise)
app.command()(cli_reproduce.reproduce)


@data.command("get")
def data_get(name: Annotated[str, typer.Argument(help="mnist or fashion-mnist")]) -> None:
    """Download a data set into the cache and verify it."""
    from bench import cli_show

    cli_show.download(name)


data.command("images")(cli_reproduce.data_images)


@data.command("list")
def data_list(as_json: AsJson = False) -> None:
    """The data sets, and whether they are here."""
    list_("datasets", as_json)


def _report(runs: Sequence[Path], output: Path | None, *, everything: bool = False, told: bool = False) -> None:
    """``told``: whether it has been said how much of the plan is done."""
    from bench import cli_show
    from report import publish

    published = publish(list(runs), output, everything=everything)
    unfinished = "" if told else published.unfinished
    cli_show.report(published.path, published.findings, published.commands, published.departures, unfinished)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` if there are no arguments) and return its exit code.

    0 all well, 1 a cell failed, 2 the user's mistake (one message on stderr), 130 interrupted.  Whether anybody still
    reads what is printed makes no difference.
    """
    with cli_process.prepared():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=arguments, prog_name="daebench", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk still gets its message
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except UsageError as error:
        message = _usage_message(error)
        return _refuse(message) if message else USAGE
    except OSError as error:
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        return _refuse(f"{where}{error.strerror or error}")
    except ValueError as error:
        if type(error).__module__.partition(".")[0] not in PACKAGES:
            raise  # a mistake of ours
        return _refuse(str(error))


def _usage_message(error: Any) -> str:
    text = error.format_message().rstrip(".?")
    context = getattr(error, "ctx", None)
    # A group that was called without a command has shown its help already, and has nothing to add.
    return f"{text}. See `{context.command_path if context else 'daebench'} --help`." if text else ""


def _refuse(message: str) -> int:
    print(f"daebench: {message}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
