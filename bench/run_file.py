"""run.json: what a run was asked for, on what, and how large its plan is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cells import Point, TrialCell
from bench.plan import Plan, planned
from bench.records import now
from implementations import native
from results.journal import JournalError, read_run_file
from results.schema import SCHEMA_VERSION


def before(folder: Path) -> dict[str, Any]:
    """What earlier calls have put into the run.json of ``folder``; empty where there is none that can be read."""
    try:
        return read_run_file(folder)
    except JournalError:
        return {}


def data_of(plan: Plan) -> list[str]:
    """The data sets that ``plan`` is about, by name."""
    names = [cell.dataset for cell in _trials(plan)] + [cell.dataset for cell in plan.yardsticks]
    return list(dict.fromkeys(names))


def cells_of(plan: Plan) -> list[Point]:
    """All that ``plan`` may do, each once: of trials that one of several backends does, those of all."""
    cells: list[Point] = [*plan.certificates, *plan.trials, *plan.yardsticks]
    cells += [cell for session in plan.sessions for cell in session.cells]
    return list(dict.fromkeys([*cells, *(cell for cell, _ in plan.unsupported)]))


def contents(
    plan: Plan,
    chosen: Sequence[TrialCell],
    known: Mapping[str, Any],
    *,
    environment: str,
    facts: Mapping[str, Any],
    data: Mapping[str, str | None],
    hashes: Mapping[str, str],
    notes: Iterable[str],
) -> dict[str, Any]:
    """run.json at the start of a call, with what earlier ones have put there (``known``).

    ``chosen``: the trials that are to be done, as far as that is known.  ``environment`` and ``facts``: of this
    machine.  ``data`` and ``hashes``: of the images, as :func:`bench.places.identities` and the fingerprints have them.
    """
    environments = known.get("environments", {})
    if peaks := environments.get(environment, {}).get("peaks"):
        facts = {**facts, "peaks": peaks}
    return {
        "schema": SCHEMA_VERSION,
        "name": plan.name,
        "description": plan.description,
        "created": known.get("created") or now(),
        "command": " ".join(["daebench", *sys.argv[1:]]),
        "sweep": plan.sweep,
        "environments": {**environments, environment: facts},
        "data": {**known.get("data", {}), **data},
        "planned": planned(plan, chosen),
        "cells": [cell.key() for cell in cells_of(plan)],
        "finished": None,
        "contents": dict(hashes),
        "notes": list(dict.fromkeys([*known.get("notes", []), *notes])),
        **({"native_defaults": native.differences()} if any(not one.claims_parity for one in _trials(plan)) else {}),
    }


def _trials(plan: Plan) -> list[TrialCell]:
    """All that were planned, those that can not run here included."""
    return [*plan.trials, *(cell for cell, _ in plan.unsupported if isinstance(cell, TrialCell))]
