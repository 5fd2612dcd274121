"""``daebench compare`` and ``daebench export``: their options, what they refuse, and where the answers go.

Nothing heavy is imported at the top: bench/cli.py imports this module for its help.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli_options import BackendFiles

if TYPE_CHECKING:
    from bench.compare.export import Format
    from results.comparison import Comparison, Metric

MARGIN = 0.03
"""The slowdown that is worth an answer: the issue of every regression gate is what lies below this."""
PSNR_MARGIN = 0.1
"""dB; a difference of two pictures that nobody sees."""
ALPHA = 0.01
"""How often a suite without any regression may be called regressed."""
MAX_MINUTES = 10.0
QUALITY_SEEDS = 5
LIVE_SWEEP = "regress"
LIVE_METRICS: tuple[Metric, ...] = ("train", "inference", "psnr")
STDOUT = "-"

_Python = Annotated[str | None, typer.Option(help="--live: interpreter of this side.", metavar="PYTHON")]
_Revision = Annotated[
    str | None, typer.Option(help="--live: revision of this side, checked out beside it.", metavar="REV")
]
_Backend = Annotated[str | None, typer.Option(help="--live: backend of this side.", metavar="NAME")]


def compare(
    sides: Annotated[
        list[str] | None,
        typer.Argument(help="Two run folders; with --live a sweep (default: regress).", metavar="BASE HEAD | [SWEEP]"),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Measure both sides now, in turn, in one session.")] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="--live: replace an axis: --set latent=8,16 (repeatable).", metavar="AXIS=A,B"),
    ] = None,
    base_python: _Python = None,
    head_python: _Python = None,
    base_rev: _Revision = None,
    head_rev: _Revision = None,
    base_backend: _Backend = None,
    head_backend: _Backend = None,
    backend_file: BackendFiles = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(help=f"--live: time for so long at most; default {MAX_MINUTES:g}.", metavar="MINUTES"),
    ] = None,
    quality_seeds: Annotated[
        int | None, typer.Option(help=f"--live: seeds that PSNR is judged on; default {QUALITY_SEEDS}.", metavar="N")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="--live: keep the logs of the processes there.", metavar="DIR")
    ] = None,
    margin: Annotated[str, typer.Option(help="The slowdown that counts.", metavar="PERCENT")] = f"{MARGIN:.0%}",
    psnr_margin: Annotated[float, typer.Option(help="The loss of PSNR that counts.", metavar="DB")] = PSNR_MARGIN,
    alpha: Annotated[float, typer.Option(help="Share of false alarms of the whole suite.", metavar="SHARE")] = ALPHA,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="What is judged, of: train, inference, latency, psnr. Default: all; --live: all but latency.",
            metavar="A,B",
        ),
    ] = None,
    drift: Annotated[
        str | None,
        typer.Option(help="Two runs: how far sessions of the same code drift apart.", metavar="PERCENT"),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Cells that only the base has are no regression.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all of it as JSON; - prints it.", metavar="FILE")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write it for a pull request; - prints it.", metavar="FILE")
    ] = None,
    exports: Annotated[
        list[str] | None,
        typer.Option("--export", help="Write the head's figures for another tool (repeatable).", metavar="FORMAT=FILE"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="--live: no lines about what is being done.")] = False,
) -> None:
    """Judge a head against a base: pass, improved (exit code 0), regressed (1) or inconclusive (3)."""
    from bench.cli_facts import OptionError

    targets = _targets(json_file, markdown, exports)
    limits = {
        "margin": share("--margin", margin),
        "psnr_margin": _positive("--psnr-margin", psnr_margin, "dB"),
        "alpha": _probability("--alpha", alpha),
    }
    wanted = _metrics(metrics)
    given = list(sides or ())
    if live:
        if len(given) > 1:
            raise OptionError(f"compare --live takes one sweep, not {len(given)}: {' '.join(given)}")
        if drift is not None:
            raise OptionError("--drift is for two recorded runs: with --live both sides share one session")
        from bench import places
        from bench.compare.live import LiveOptions, run_live
        from bench.compare.sides import SideSpec

        if out is not None:
            places.check_own("--out", out, beside=["logs"])
        comparison = run_live(
            LiveOptions(
                sweep=given[0] if given else LIVE_SWEEP,
                overrides=tuple(overrides or ()),
                base=SideSpec(python=base_python, rev=base_rev, backend=base_backend),
                head=SideSpec(python=head_python, rev=head_rev, backend=head_backend),
                max_minutes=_positive("--max-minutes", MAX_MINUTES if max_minutes is None else max_minutes, "minutes"),
                metrics=wanted or LIVE_METRICS,
                quality_seeds=_seeds(QUALITY_SEEDS if quality_seeds is None else quality_seeds),
                out=out,
                progress=not quiet,
                allow_missing=allow_missing,
                **limits,
            )
        )
    else:
        only_live = {
            "--set": overrides,
            "--base-python": base_python,
            "--head-python": head_python,
            "--base-rev": base_rev,
            "--head-rev": head_rev,
            "--base-backend": base_backend,
            "--head-backend": head_backend,
            "--backend-file": backend_file or None,
            "--max-minutes": max_minutes,
            "--quality-seeds": quality_seeds,
            "--out": out,
            "--quiet": quiet or None,
        }
        for name, value in only_live.items():
            if value is not None:
                raise OptionError(f"{name} is for compare --live: two recorded runs are read as they are")
        if len(given) != 2:
            raise OptionError(
                f"compare takes two run folders, BASE and HEAD, not {len(given)}; "
                "to measure both sides now: daebench compare --live [SWEEP]"
            )
        from bench.compare import recorded
        from results.comparison import METRICS

        comparison = recorded.compare_runs(
            Path(given[0]),
            Path(given[1]),
            metrics=wanted or METRICS,
            drift=recorded.BETWEEN_SESSIONS if drift is None else share("--drift", drift, least=0.0),
            allow_missing=allow_missing,
            **limits,
        )
    deliver(comparison, targets)
    raise typer.Exit(comparison.exit_code)


def export(
    what: Annotated[
        str, typer.Argument(help="With --format a run folder; with --to the id of a trial's record.", metavar="RUN|ID")
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Figures of a run: pytest-benchmark, github-smaller-is-better, github-bigger-is-better or bencher.",
            metavar="FORMAT",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="A trained network: keras, torch, onnx or npz.", metavar="FORM")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where to write it; figures are printed by default (or -).", metavar="FILE"
        ),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="--to: where the record is (repeatable). Default: results/*.", metavar="DIR"),
    ] = None,
) -> None:
    """Write a run's figures for a tool that tracks them, or a trained network for its framework.

    daebench export RUN --format bencher writes figures. daebench export ID --to keras writes the network that the
    trial of that id trained (the beginning of the id will do; it needs keep_weights = true): keras a .keras file for
    keras.saving.load_model, torch a Python module with a nn.Module and its weights as safetensors, onnx and npz a file
    each. What is written is loaded back and compared with the network.
    """
    from bench.cli_facts import OptionError

    if format_ is None and to is None:
        raise OptionError(
            "export: say what: --format FORMAT for the figures of a run folder, or --to FORM for a trained network"
        )
    if format_ is not None and to is not None:
        raise OptionError("export takes --format (figures of a run) or --to (a trained network), not both")
    if to is not None:
        from bench import cli_trained

        cli_trained.export(what, to, output, runs or [])
        return
    if runs:
        raise OptionError("--run is for --to: with --format the run is the argument itself")
    from bench.compare.export import export_figures, figures_of_run, origin_of_run, parse_format
    from results.loading import load_run

    place = output if output is not None else Path(STDOUT)
    wanted = parse_format("--format", str(format_))
    check_place("--output", place)
    loaded = load_run(what)
    origin = origin_of_run(loaded)
    write(place, _pretty(export_figures(wanted, figures_of_run(loaded), origin)))
    if origin.unfinished:  # not every format has a place for it
        typer.echo(f"{what}: unfinished: {origin.unfinished}", err=True)


def deliver(comparison: Comparison, targets: Sequence[tuple[Path, str | Format]]) -> None:
    """Print the table, unless something else is to be printed, and write all files that were asked for."""
    from bench.compare import export, markdown, terminal
    from results.comparison import to_json

    if not any(str(path) == STDOUT for path, _ in targets):
        terminal.show(comparison)
    for path, kind in targets:
        if kind == "json":
            write(path, _pretty(to_json(comparison)))
        elif kind == "markdown":
            write(path, markdown.render(comparison))
        else:
            figures, origin = export.figures_of_comparison(comparison), export.origin_of_comparison(comparison)
            write(path, _pretty(export.export_figures(export.parse_format("--export", kind), figures, origin)))


def write(path: Path, text: str) -> None:
    """``text`` to stdout for ``-``, else to the file."""
    from results.writing import write_text

    if str(path) == STDOUT:
        print(text)
    else:
        write_text(path, text + "\n")


def share(option: str, text: str, least: float | None = None) -> float:
    """ "3%" or "0.03" -> 0.03.  OptionError for what is no share, and for a "3" that may mean either.

    Must lie between 0 and 1, and not at 0 unless ``least`` is 0.
    """
    from bench.cli_facts import OptionError

    number = text.strip().removesuffix("%")
    try:
        value = float(number) / (100.0 if "%" in text else 1.0)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1.0 or (value == 0.0 and least is None):
        raise OptionError(f"{option} {text!r} is not allowed: write a share like 3% or 0.03, below 100%")
    return value


def _positive(option: str, value: float, unit: str) -> float:
    from bench.cli_facts import OptionError

    if not 0.0 < value < math.inf:
        raise OptionError(f"{option} {value:g} is not allowed: use a number of {unit} above 0")
    return value


def _probability(option: str, value: float) -> float:
    from bench.cli_facts import OptionError

    if not 0.0 < value < 0.5:
        raise OptionError(f"{option} {value:g} is not allowed: use a share between 0 and 0.5, such as {ALPHA:g}")
    return value


def _seeds(count: int) -> int:
    from bench.cli_facts import OptionError

    if count < 1:
        raise OptionError(f"--quality-seeds {count} is not allowed: use a whole number from 1")
    return count


def _metrics(text: str | None) -> tuple[Metric, ...]:
    """In the order of METRICS; empty for None: the caller's own."""
    if text is None:
        return ()
    from bench.cli_facts import chosen
    from results.comparison import METRICS

    names = chosen("--metrics", [text], METRICS, ())
    return tuple(name for name in METRICS if name in names)


def _targets(json_file: Path | None, markdown: Path | None, exports: Sequence[str] | None) -> list[tuple[Path, Any]]:
    """Files and what goes into them; OptionError before anything is measured that could then not be written."""
    from bench.cli_facts import OptionError

    targets: list[tuple[Path, Any]] = []
    if json_file is not None:
        targets.append((json_file, "json"))
    if markdown is not None:
        targets.append((markdown, "markdown"))
    for text in exports or ():
        from bench.compare.export import parse_format

        name, separator, file = text.partition("=")
        kind = parse_format("--export", name)
        if not separator or not file:
            raise OptionError(f"--export {text!r} names no file: write --export {kind}=FILE")
        targets.append((Path(file), kind))
    options = {"json": "--json", "markdown": "--markdown"}
    for path, kind in targets:
        check_place(options.get(kind, "--export"), path)
    names = [str(path) for path, _ in targets]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"{name} is asked for twice: give each output a file of its own")
    return targets


def check_place(option: str, path: Path, *, makes_folders: bool = False) -> None:
    """OptionError where no file can be written, or where one would take the place of what a run has measured.
    ``makes_folders``: those that it is to stand in may be missing."""
    from bench.cli_facts import OptionError
    from results.journal import RECORDS, RUN_FILE
    from results.writing import is_special

    if str(path) == STDOUT:
        return
    if path.is_dir():
        raise OptionError(f"{option} {path}: that is a folder; name a file in it")
    if path.name in (RECORDS, RUN_FILE) and path.exists():
        raise OptionError(f"{option} {path}: this holds what a run has measured; name another file")
    folder = path.parent
    if makes_folders:
        folder = next(part for part in path.parents if part.exists())
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{option} {path}: {folder} is a file, not a folder: name another one")
    if not folder.is_dir():
        raise OptionError(f"{option} {path}: there is no folder {folder}; make it first")
    if is_special(path):
        if path.exists() and not os.access(path, os.W_OK):
            raise OptionError(f"{option} {path} can not be written to; name another file")
    elif not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"{option} {path}: nothing can be written to folder {folder}; name a file elsewhere")


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
