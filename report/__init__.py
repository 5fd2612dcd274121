"""Records -> one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from report.sentences import Analysis
    from results.loading import Run

__all__ = ["Published", "findings", "publish", "write_report"]

REPORT = "report.html"


@dataclass(frozen=True)
class Published:
    """A report that was written, and what it says.

    ``findings``: sentences with intervals, the most important first; plain text, never empty.  ``commands``: (what for,
    command line) to use what the run recommends; empty for a run that was not made to recommend.  ``departures``: who
    does not compute the specification, why, and what that means for who trains so.
    """

    path: Path
    findings: list[str]
    commands: list[tuple[str, str]]
    departures: list[str] = field(default_factory=list)


def publish(runs: Sequence[Path | str], output: Path | str | None = None) -> Published:
    """Write the report of the run folders ``runs``, read as one.

    ``output`` is by default report.html in the first folder.  The same records give the same bytes.  RunError (a
    ValueError) if a folder holds no readable run.
    """
    # Late: the command line imports this package, and pandas and altair take a second.
    from report.page import make_page, render
    from report.sentences import analyse
    from results.departures import sentence
    from results.loading import load_run, merge
    from results.writing import write_text

    run = merge([load_run(folder) for folder in runs])
    analysis = analyse(run)
    path = Path(output) if output is not None else Path(runs[0]) / REPORT
    page = render(make_page(run, analysis))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    advice = analysis.advice
    commands = list(advice.commands) if advice is not None and advice.prominent else []
    departures = list(dict.fromkeys(sentence(found.record) for found in analysis.proof.departures()))
    return Published(path, _sentences(analysis), commands, departures)


def write_report(runs: Sequence[Path | str], output: Path | str | None = None) -> Path:
    """The same, for its path alone."""
    return publish(runs, output).path


def findings(run: Run) -> list[str]:
    """What the report of ``run`` would say."""
    from report.sentences import analyse

    return _sentences(analyse(run))


def _sentences(analysis: Analysis) -> list[str]:
    from report.sentences import findings

    return [finding.sentence for finding in findings(analysis)]
