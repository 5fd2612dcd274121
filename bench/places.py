"""Where a run may go: to a folder of its own, which holds one set of images, and never among somebody's files.

Whatever would be written to a place that daebench did not make is refused before anything is: files of a run among
photographs are a nuisance, in the very folder that the images come from they become training images, and ``--fresh``
would move all of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.datasets import folder as image_folder
from bench.datasets.base import DataError
from report import REPORT
from results.journal import RECORDS, RUN_FILE, TORN, JournalError, move_aside, named, read_run_file

CONTENT = (RECORDS, RUN_FILE, TORN, REPORT, "logs", "pictures", "reproduction.json", "scores", "sessions", "weights")
"""All that a run folder holds.  One that was killed before it had a run.json is known by that."""
HASHED = 6
"""Characters of the hash of a path in the name of a run folder: enough to tell two folders of one name apart."""
LONGEST = 40
"""Characters of a folder's name that go into that of a run folder."""
ADD_DATA = "--add-data"


class PlaceError(ValueError):
    """A folder that nothing may be written to; the message says why, and what to do."""


def default_name(name: str, data: Sequence[str] = ()) -> str:
    """Of the run folder of the sweep NAME: NAME, or with data sets that were asked for NAME-mnist, NAME-A-1a2b3c: two
    folders of images do not share a run folder."""
    return "-".join([name, *(["+".join(map(_short, data))] if data else [])])


def _short(data: str) -> str:
    """A data set as part of the name of a folder."""
    if not data.startswith(image_folder.PREFIX):
        return data
    path = _resolved(image_folder.root_of(data))
    plain = re.sub(r"[^\w.]+", "-", path.name).strip("-.")[:LONGEST] or "folder"
    return f"{plain}-{hashlib.sha256(str(path).encode()).hexdigest()[:HASHED]}"


def run_folder(out: Path | None, name: str) -> Path:
    """Where the run goes: ``out``, or results/NAME.  PlaceError if a file is in the way."""
    folder = named(out) if out is not None else Path("results") / name
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise PlaceError(f"--out {folder}: {part} is a file, not a folder: name another one")
    return folder


def is_run(folder: Path) -> bool:
    """Whether ``folder`` was made by a run: it says so itself, or holds records and nothing but what a run leaves."""
    try:
        about = read_run_file(folder)
        return isinstance(about.get("environments"), dict)
    except JournalError:  # missing, damaged, or of another version, or of another program
        names = {path.name.lstrip(".") for path in folder.iterdir()}
        return RECORDS in names and all(name.startswith(CONTENT) for name in names)


def check_own(option: str, folder: Path, *, beside: Iterable[str] = ()) -> None:
    """PlaceError unless ``folder`` is missing, empty, or a run's own; a folder that holds only ``beside`` is fine."""
    if not folder.is_dir():
        return
    there = sorted(path.name for path in folder.iterdir())
    if not there or set(there) <= set(beside) or is_run(folder):
        return
    some = ", ".join(there[:3]) + (", ..." if there[3:] else "")
    raise PlaceError(
        f"{option} {folder}: this folder is not empty and was not made by daebench (it has {some}, and no {RUN_FILE}): "
        "name one that does not exist yet, an empty one, or that of a run"
    )


def check_apart(option: str, folder: Path, data: Iterable[str]) -> None:
    """PlaceError where ``folder`` and a folder of images among ``data`` are one, or one is inside the other: what is
    written there would be read as images.  Folders that are not here are nobody's concern."""
    place = _resolved(folder)
    for name in data:
        if not name.startswith(image_folder.PREFIX):
            continue
        try:
            images = _resolved(image_folder.root_of(name))
        except DataError:
            continue
        how = ""
        if place == images:
            how = f"is the folder of the images ({name})"
        elif images in place.parents:
            how = f"lies inside the folder of the images ({name})"
        elif place in images.parents and is_run(folder):
            how = f"has the folder of the images ({name}) inside"
        if how:
            raise PlaceError(
                f"{option} {folder}: {how}, so that pictures written there would become images of the data set: name "
                "a folder elsewhere"
            )


def check(folder: Path, data: Sequence[str], *, fresh: bool = False, add_data: bool = False) -> dict[str, str | None]:
    """Make sure that a run of the data sets ``data`` may go to ``folder``; :func:`identities` of them.

    With ``fresh`` what is there will be moved aside, and with ``add_data`` it may be of other images.  PlaceError says
    what is in the way.
    """
    check_own("--out", folder)
    check_apart("--out", folder, data)
    found = identities(data)
    if not (fresh or add_data):
        _check_same(folder, found)
    return found


def taken(folder: Path, data: Sequence[str], *, fresh: bool, add_data: bool) -> tuple[dict[str, str | None], list[str]]:
    """:func:`check`, and what the run has to know: (identities of its data sets, notes).  With ``fresh`` the run that
    is there is moved aside; JournalError if somebody is writing there."""
    found = check(folder, data, fresh=fresh, add_data=add_data)
    if fresh:
        moved = move_aside(folder)
        return found, [f"the previous run was kept as {moved}"] if moved else []
    known = known_data(folder)
    return found, [
        f"the images of {name} changed between two calls: what was made of the former ones is kept, counts as stale, "
        "and is used nowhere"
        for name, identity in found.items()
        if identity is not None and known.get(name) not in (None, identity)
    ]


# -- one set of images in a run folder -------------------------------------------------------------------------------


def identities(data: Iterable[str]) -> dict[str, str | None]:
    """Data sets by name with what tells their images apart: of a folder the hash of its contents, of others nothing,
    since those of one name are the same images everywhere."""
    return {
        name: image_folder.contents(name) if name.startswith(image_folder.PREFIX) else None
        for name in dict.fromkeys(data)
    }


def known_data(folder: Path) -> dict[str, str | None]:
    """What the run in ``folder`` is of, as :func:`identities`; empty where there is none, or it can not be read."""
    try:
        about = read_run_file(folder)
    except JournalError:
        return {}
    told = about.get("data")
    if isinstance(told, dict):
        return told
    grids = about.get("sweep", {}).get("grids", [])  # as runs did it before they had ``data``
    names = dict.fromkeys(str(name) for grid in grids for name in grid.get("dataset", ()))
    contents = about.get("contents", {})
    # A run without records of a folder knows no contents of it: nothing is there that could be mixed up.
    return {name: contents.get(name) for name in names}


def _check_same(folder: Path, data: Mapping[str, str | None]) -> None:
    """PlaceError where the run in ``folder`` is of other images than ``data``, by name or by hash."""
    known = known_data(folder)
    if not known:
        return
    images = {identity for identity in known.values() if identity is not None}
    for name, identity in data.items():
        if name in known:
            if identity is None or known[name] in (None, identity):
                continue
            what = f"{name} as it was before: its images have changed since"
        elif identity is not None and identity in images:
            continue  # the same images by another path
        else:
            what = f"{_listed(known)}, and this is of {name}"
        raise PlaceError(
            f"{folder} holds the run of {what}. Name another folder with --out; or use --fresh to begin it anew (what "
            f"is there is kept under another name), or {ADD_DATA} to have both in it: the answer is then of the new "
            "images alone"
        )


def _listed(known: Iterable[str]) -> str:
    names = list(known)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")


def _resolved(path: Path) -> Path:
    """As it is found on the disk, whatever leads there."""
    return named(path.expanduser()).resolve()
