"""From the id of a record to the network that it trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import kept
from bench.cells import TrialCell
from bench.words import visible
from implementations.architecture import Architecture
from results.journal import RECORDS, JournalError, scan
from results.loading import RunError, is_native, load_run
from results.schema import LATER_AXES, Record

if TYPE_CHECKING:
    from implementations.parameters import Weights

HOME = Path("results")
"""Where `daebench run` puts its folders."""
PUBLISHED = "published"
"""The folder in it that holds folders of runs again."""
LEAST = 4
"""Characters of an id: with fewer a name would be no choice but a guess."""
LISTED = 5


class RecordNotFound(ValueError):
    """No record, or no trained network, of that id; the message says where was looked and what there is."""


@dataclass(frozen=True)
class Trained:
    """A network with its trained weights (canonical names and layout), and the record that tells of it."""

    record: Record
    folder: Path
    cell: TrialCell
    architecture: Architecture
    weights: Weights

    @property
    def name(self) -> str:
        """A name for files: "conv-64-1a2b3c4d"; letters, digits and "-" alone, whatever the record says."""
        latent = f"-{self.cell.latent}" if self.cell.latent is not None else ""
        return f"{_plain(self.cell.architecture)}{latent}-{_plain(self.record['id'][:8])}"

    @property
    def identity(self) -> str:
        """Its id, as text that any file can hold: the record may be somebody else's."""
        return visible(self.record["id"])

    @property
    def sentence(self) -> str:
        """What it is, in one line of text that any file can hold: the record may be somebody else's."""
        cell = self.cell
        code = f" with a code of {cell.latent}" if cell.latent is not None else ""
        colour = "gray" if cell.channels == 1 else "colour"
        return visible(
            f"{cell.architecture}{code} for {colour} images of {cell.height}x{cell.width} pixels, trained by "
            f"{cell.backend} on {cell.dataset} with {cell.corruption}"
        )


def run_folders(runs: Sequence[Path]) -> list[Path]:
    """``runs``, or if there are none all run folders below results/.  RecordNotFound for what is no run folder."""
    if runs:
        for folder in runs:
            if not (folder / RECORDS).is_file():
                raise RecordNotFound(f"--run {folder}: there is no run in it (no {RECORDS}); name a run folder")
        return list(runs)
    found = sorted(path.parent for pattern in ("*", f"{PUBLISHED}/*") for path in HOME.glob(f"{pattern}/{RECORDS}"))
    if not found:
        raise RecordNotFound(f"there is no run in {HOME.absolute()}; say with --run DIR where the record is")
    return found


def find(identity: str, runs: Sequence[Path] = ()) -> Trained:
    """The network of the trial whose id is, or begins with, ``identity``; in the folders ``runs``, by default in all
    below results/.

    RecordNotFound, or kept.WeightsError where its weights can not be had.
    """
    folders = run_folders(runs)
    known = [(record, folder) for folder in folders for record in _trials(folder, strict=bool(runs))]
    record, folder = _one(identity, known, folders)
    if record["status"] != "ok":
        raise RecordNotFound(f"record {record['id']}: its trial ended as {record['status']}: {record['reason']}")
    if is_native(record):
        raise RecordNotFound(
            f"record {record['id']}: was trained with {record['cell']['backend']}'s own defaults (defaults = native), "
            "which nothing but that framework computes; train it with defaults = matched"
        )
    if "weights" not in record:
        raise RecordNotFound(
            f"record {record['id']} kept no weights: train it again with `daebench run ... --set keep_weights=true`"
        )
    return load(record, folder)


def load(record: Record, folder: Path) -> Trained:
    """The network of an ok ``record`` that kept its weights; kept.WeightsError where they cannot be had."""
    cell = TrialCell.from_axes({**LATER_AXES["trial"], **record["cell"]})
    architecture = cell.make_architecture()
    path = folder / record["weights"]
    weights, about = kept.load_weights(path)
    kept.check_weights(path, weights, about, architecture)
    return Trained(record, folder, cell, architecture, weights)


def all_kept(runs: Sequence[Path] = ()) -> list[tuple[Record, Path]]:
    """The records of all networks that are kept in the folders ``runs``, by default in all below results/, and that
    denoise better than not at all, each with its folder; RecordNotFound for a folder of ``runs`` that holds no run."""
    try:
        folders = run_folders(runs)
    except RecordNotFound:
        if runs:
            raise
        return []
    found: dict[str, tuple[Record, Path]] = {}
    for folder in folders:
        for record in _trials(folder, strict=bool(runs)):
            if record["status"] == "ok" and "weights" in record and not is_native(record):
                better = record["metrics"].get("psnr_gain", 0) > 0
                if better and (folder / record["weights"]).is_file():
                    found[record["id"]] = (record, folder)
    return list(found.values())


def _trials(folder: Path, *, strict: bool) -> list[Record]:
    """Of every id the last record: a repeated attempt replaces the one before it.  A journal that can not be read is
    an error only if ``strict``: nobody may have meant that run."""
    try:
        last = {record["id"]: record for record in scan(folder / RECORDS).records}
    except JournalError:
        if strict:
            raise
        return []
    return [record for record in last.values() if record["kind"] == "trial"]


def _one(identity: str, known: Sequence[tuple[Record, Path]], folders: Sequence[Path]) -> tuple[Record, Path]:
    where = str(folders[0]) if len(folders) == 1 else f"{len(folders)} run folders"
    if len(identity) < LEAST:
        raise RecordNotFound(f"record {identity!r}: give at least {LEAST} characters of its id")
    found = [(record, folder) for record, folder in known if record["id"].startswith(identity)]
    found = [item for item in found if item[0]["id"] == identity] or found
    if not found:
        able = [record["id"] for record, _ in known if "weights" in record]
        some = ", ".join(name[:16] for name in able[:LISTED]) + (", ..." if len(able) > LISTED else "")
        there = f"trials with weights there: {some}" if able else "no trial there has kept its weights"
        raise RecordNotFound(f"record {identity!r} is not in {where}; {there}")
    able = [(record, folder) for record, folder in found if "weights" in record]
    cells = {record["id"].partition("-")[0] for record, _ in found}
    if len(cells) > 1:
        listed = ", ".join(sorted(cells)[:LISTED])
        raise RecordNotFound(f"record {identity!r} may be any of {listed}: give more of its id")
    # Of one id the newest: a run may have been copied, or begun anew.
    return max(_same(identity, able) or found, key=lambda item: str(item[0]["started"]))


def _same(identity: str, able: list[tuple[Record, Path]]) -> list[tuple[Record, Path]]:
    """Of records of one cell those of one id.  Others of it come from other versions or other images: those whose file
    is gone (published runs come without) or that their own run has replaced do not count, and if several are left,
    RecordNotFound names them."""
    able = [(record, folder) for record, folder in able if (folder / record["weights"]).is_file()] or able
    if len({record["id"] for record, _ in able}) > 1:
        able = [(record, folder) for record, folder in able if record["id"] in _current(folder, record)] or able
    if len({record["id"] for record, _ in able}) > 1:
        listed = ", ".join(f"{record['id']} (in {folder})" for record, folder in able[:LISTED])
        more = ", ..." if len(able) > LISTED else ""
        raise RecordNotFound(
            f"record {identity!r} may be any of {listed}{more}, made by other versions or from other images: give the "
            "whole id, or the run with --run DIR"
        )
    return able


def _current(folder: Path, record: Record) -> set[str]:
    """Ids of the records that the run in ``folder`` counts; that of ``record`` where it can not be read as a run."""
    try:
        return {one["id"] for one in load_run(folder).of("trial")}
    except RunError:
        return {record["id"]}


def _plain(text: str) -> str:
    """``text`` with "-" for all that a name of a file had better not hold."""
    return "".join(letter if letter.isalnum() else "-" for letter in text).strip("-")
