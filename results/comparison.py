"""What a comparison of two sides came to, base and head: rows with verdicts, and one verdict for all of them.

Data only; who measured it and who prints it import this, and it imports neither.  Changes are signed so that
*positive is worse*, whatever the metric: for speeds the cost of the head over that of the base, minus 1 (0.03: 3 %
slower); for quality the decibels that the head loses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from results.statistics import Interval

Outcome = Literal["pass", "regressed", "improved", "inconclusive"]
OUTCOMES: tuple[Outcome, ...] = ("pass", "regressed", "improved", "inconclusive")
Unit = Literal["ratio", "dB"]
Metric = Literal["train", "inference", "latency", "psnr"]
METRICS: tuple[Metric, ...] = ("train", "inference", "latency", "psnr")

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("comparison.schema.json")

EXIT_CODES: Mapping[Outcome, int] = {"pass": 0, "improved": 0, "regressed": 1, "inconclusive": 3}
"""2 is a mistake in what was asked for, or sides of which nothing can be compared: then there is no comparison."""
INTERRUPTED = 130
"""Exit code of a comparison that was not measured to its end, whatever was found until then."""


class ComparisonError(ValueError):
    """What is read is no comparison; the message names the field and what is allowed."""


@dataclass(frozen=True)
class Side:
    """One of the two.  ``label`` is what people see; ``facts``: JSON-able, what may differ between the sides:
    ``revision``, ``dirty``, ``python``, ``versions`` (package to version), ``machine`` (processor or GPU),
    ``backend``, ``run`` (folder) as far as they apply."""

    label: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One judged quantity of one cell."""

    label: str
    """What people see: "torch tuned, dense latent=64, train"."""
    cell: dict[str, Any]
    """The axes of the head's cell."""
    metric: Metric
    unit: Unit
    outcome: Outcome
    base: float | None
    head: float | None
    """Levels: images/s for train and inference, seconds for latency, dB for psnr; None where there is none."""
    change: Interval | None
    """Positive is worse (see the module), with its interval, whose level is that of all rows
    (:attr:`Comparison.confidence`); None without any."""
    margin: float
    """What would count as a regression, in the unit of ``change``."""
    detectable: float | None = None
    """The smallest worsening that this measurement would have found in 95 of 100 cases, in the unit of ``change``."""
    more_seconds: float | None = None
    """For an inconclusive row: how much longer a session like this would have to be to find ``margin``."""
    rounds: int = 0
    """Process pairs (recorded runs: processes of the side with fewer; psnr: seeds) behind it."""
    reason: str = ""
    """One sentence for people: why it is not simply pass, or what stood in the way."""
    samples: dict[str, Any] = field(default_factory=dict)
    """Raw figures, JSON-able, from which ``change`` can be computed again."""


@dataclass(frozen=True)
class Comparison:
    """Two sides, row by row."""

    kind: Literal["recorded", "live"]
    base: Side
    head: Side
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    """Labels of cells that only the base has: fails unless ``allow_missing``."""
    new: tuple[str, ...] = ()
    """Labels of cells that only the head has."""
    renamed: tuple[tuple[str, str], ...] = ()
    """(base's label, head's label) of cells that are the same but for a name."""
    failed: tuple[str, ...] = ()
    """Cells that the base could compute and the head could not, each with its status and reason: regressions."""
    differences: tuple[str, ...] = ()
    """Sentences: other machine, other versions, a dirty tree."""
    warnings: tuple[str, ...] = ()
    allow_missing: bool = False
    started: str = ""
    seconds: float = 0.0
    interrupted: bool = False
    """Ended by hand before all was measured: what is not there might have been worse."""
    confidence: float | None = None
    """Of every interval by itself, 0 to 1; None in documents of before, whose ends had two levels."""

    @property
    def outcome(self) -> Outcome:
        """Of the whole suite: regressed if anything is, else inconclusive if anything is, if nothing was compared, or
        not all that was to be."""
        found = {row.outcome for row in self.rows}
        if "regressed" in found or self.failed or (self.missing and not self.allow_missing):
            return "regressed"
        if "inconclusive" in found or not found or self.interrupted:
            return "inconclusive"
        return "improved" if "improved" in found else "pass"

    @property
    def exit_code(self) -> int:
        return INTERRUPTED if self.interrupted else EXIT_CODES[self.outcome]


def to_json(comparison: Comparison) -> dict[str, Any]:
    """All of it as strict JSON, as comparison.schema.json describes it: an end of an interval that is not known is
    null.  ``outcome`` and ``exit_code`` are there for readers and follow from the rest."""
    rest = {
        item.name: getattr(comparison, item.name)
        for item in fields(Comparison)
        if item.name not in ("base", "head", "rows")
    }
    found = {
        "schema": SCHEMA_VERSION,
        "outcome": comparison.outcome,
        "exit_code": comparison.exit_code,
        "base": _side(comparison.base),
        "head": _side(comparison.head),
        **rest,
        "rows": [_row(row) for row in comparison.rows],
    }
    plain: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))  # tuples as the lists they are read back as
    return plain


def from_json(document: object) -> Comparison:
    """The inverse of :func:`to_json`.  ComparisonError, naming the field, for anything else."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(load_schema()).iter_errors(document))
    if error is not None or not isinstance(document, dict):
        place = error.json_path.removeprefix("$").removeprefix(".") if error else ""
        raise ComparisonError(f"{place or 'comparison'}: {error.message if error else 'is no JSON object'}")
    # What later versions have added is not in older documents.
    values = {item.name: document[item.name] for item in fields(Comparison) if item.name in document}
    for name in ("missing", "new", "failed", "differences", "warnings"):
        values[name] = tuple(values[name])
    values["renamed"] = tuple((old, new) for old, new in values["renamed"])
    values["base"], values["head"] = Side(**values["base"]), Side(**values["head"])
    values["rows"] = tuple(Row(**(row | {"change": _interval(row["change"])})) for row in values["rows"])
    return Comparison(**values)


def load_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what :func:`to_json` returns."""
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


def _side(side: Side) -> dict[str, Any]:
    return {"label": side.label, "facts": side.facts}


def _row(row: Row) -> dict[str, Any]:
    change = None
    if row.change is not None:
        ends = {name: getattr(row.change, name) for name in ("value", "low", "high")}
        change = {name: end if math.isfinite(end) else None for name, end in ends.items()}
    return {item.name: getattr(row, item.name) for item in fields(Row)} | {"change": change}


def _interval(change: dict[str, float | None] | None) -> Interval | None:
    if change is None:
        return None
    value, low, high = (math.nan if end is None else end for end in (change["value"], change["low"], change["high"]))
    return Interval(value, low, high)
