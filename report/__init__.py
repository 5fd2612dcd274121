"""Records -> one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results.loading import Run

__all__ = ["commands", "findings", "write_report"]

REPORT = "report.html"


def write_report(runs: Sequence[Path | str], output: Path | str | None = None) -> Path:
    """Write the report of the run folders ``runs``, read as one, and return its path.

    ``output`` is by default report.html in the first folder.  The same records give the same bytes.  RunError (a
    ValueError) if a folder holds no readable run.
    """
    # Late: the command line imports this package, and pandas and altair take a second.
    from report.page import make_page, render
    from results.loading import load_run, merge

    run = merge([load_run(folder) for folder in runs])
    path = Path(output) if output is not None else Path(runs[0]) / REPORT
    page = render(make_page(run))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(page, encoding="utf-8", newline="\n")
    part.replace(path)
    return path


def findings(run: Run) -> list[str]:
    """What the run says, in sentences with intervals, the most important first; plain text, never empty."""
    from report import sentences

    return [finding.sentence for finding in sentences.findings(sentences.analyse(run))]


def commands(run: Run) -> list[tuple[str, str]]:
    """(what for, command line) to use what the run recommends; empty for a run that was not made to recommend."""
    from report import sentences

    advice = sentences.analyse(run).advice
    return list(advice.commands) if advice is not None and advice.prominent else []
