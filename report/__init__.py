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
RESULTS = Path("results")
MOST_NAMES = 4
"""Runs that the folder of a joint report is named after."""
LONGEST = 120
"""Characters of these names."""


@dataclass(frozen=True)
class Published:
    """A report that was written, and what it says.

    ``findings``: sentences with intervals, the most important first; plain text, never empty.  ``commands``: (what for,
    command line) to use what the run recommends; empty for a run that was not made to recommend.  ``departures``: who
    does not compute the specification, why, and what that means for who trains so.  ``unfinished``: how much of what
    was planned is not done, and why, which is to be said before any finding; "" where all is.
    """

    path: Path
    findings: list[str]
    commands: list[tuple[str, str]]
    departures: list[str] = field(default_factory=list)
    unfinished: str = ""


def publish(runs: Sequence[Path | str], output: Path | str | None = None, *, everything: bool = False) -> Published:
    """Write the report of the run folders ``runs``, read as one.

    ``output`` is by default report.html in the folder, of several in a folder of their own (:func:`joint_folder`).
    The report is about what the last command of each folder asked for, or about ``everything`` that it holds.  The same
    records give the same bytes.  RunError (a ValueError) if a folder holds no readable run, or if the report of several
    would take the place of that of one.
    """
    # Late: the command line imports this package, and pandas and altair take a second.
    from report.page import make_page, render
    from report.sentences import analyse
    from results.departures import sentence
    from results.loading import RunError, load_run, merge
    from results.writing import write_text

    folders = list({Path(folder).resolve(): Path(folder) for folder in runs}.values())
    path = Path(output) if output is not None else (folders[0] if len(folders) == 1 else joint_folder(folders)) / REPORT
    if len(folders) > 1 and path.resolve() in [folder.resolve() / REPORT for folder in folders]:
        raise RunError(f"--output {path}: this is the report of one of these runs alone; name another file")
    loaded = [load_run(folder) for folder in folders]
    run = merge(loaded if everything else [one.asked for one in loaded])
    analysis = analyse(run)
    page = render(make_page(run, analysis))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    commands = [
        (one.data.told(what), line)
        for one in analysis.sets
        if one.advice is not None and one.advice.prominent
        for what, line in one.advice.commands
    ]
    departures = list(dict.fromkeys(sentence(found.record) for found in analysis.proof.departures()))
    return Published(path, _sentences(analysis), commands, departures, analysis.done.sentence)


def joint_folder(runs: Sequence[Path]) -> Path:
    """Where the report of several runs goes that are read as one: results/joint-A+B, never a folder of one of them.
    With many runs, or such that lie elsewhere than in results/, a hash tells apart what the names do not."""
    import hashlib

    places = [Path(run).resolve() for run in runs]
    names = [place.name for place in places]
    plain = len(names) <= MOST_NAMES and all(place.parent == RESULTS.resolve() for place in places)
    joined = "+".join(names[:MOST_NAMES])
    if not plain:
        joined = f"{joined[:LONGEST]}-{hashlib.sha256(repr(list(map(str, places))).encode()).hexdigest()[:6]}"
    return RESULTS / f"joint-{joined}"


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
