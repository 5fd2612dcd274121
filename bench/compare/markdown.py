"""A comparison as Markdown for a pull request: the verdict first, what matters in a table, all else folded away.

Written for GitHub: tables and ``<details>``.  Whatever came from a run (labels, reasons) is text, and never markup.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.compare import wording
from report.text import count
from results.comparison import Comparison, Outcome, Row, Unit

MARKER = "<!-- daebench compare -->"
"""First line: who posts the comment finds by it the one to replace."""
LIMIT = 60_000
"""Characters; GitHub refuses comments of more than 65,536."""
TELLING = 15
"""Rows that are no plain pass, unfolded; who reads a pull request scrolls past more."""
SHORT_LIST = 5
"""Longer lists are folded."""
SYMBOLS: dict[Outcome, str] = {"pass": "✅", "improved": "🚀", "regressed": "❌", "inconclusive": "❔"}
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~$&])")
_COLUMNS = "| verdict | figure | base | head | {change} | finds | needs |"
_RULE = "| --- | --- | ---: | ---: | ---: | ---: | ---: |"


def render(comparison: Comparison) -> str:
    """The whole comment.  Rows that do not fit into :data:`LIMIT` are left out, the least important first."""
    rows = wording.by_weight(comparison.rows)
    kept = len(rows)
    while True:
        text = _render(comparison, rows, kept)
        if len(text) <= LIMIT or kept == 0:
            return text
        kept = int(kept * min(0.9, LIMIT / len(text)))


def _render(comparison: Comparison, rows: Sequence[Row], kept: int) -> str:
    telling = [row for row in rows if row.outcome != "pass"]
    outcome = comparison.outcome
    parts = [
        MARKER,
        f"### {SYMBOLS[outcome]} daebench: {outcome}",
        escape(wording.headline(comparison)),
        f"Base: {escape(comparison.base.label)} · Head: {escape(comparison.head.label)}",
    ]
    if telling:
        parts += _tables(telling[: min(kept, TELLING)])
        if len(telling) > TELLING:
            parts.append(f"{len(telling) - TELLING} more that are not simply pass stand below.")
    elif rows:
        parts.append(f"Nothing is worse by its margin. The largest change in {escape(wording.largest(rows))}.")
    for title, items in (
        ("Failed: the base could, the head can not", comparison.failed),
        ("Missing, which is allowed" if comparison.allow_missing else "Missing", comparison.missing),
    ):
        listed = _list(title, items)
        parts += _folded(f"{title}: {count(len(items), 'cell')}", listed) if len(items) > SHORT_LIST else listed
    parts += _list("Not judged", wording.notes(rows))
    if rows:
        left_out = len(rows) - kept
        rest = [f"{count(left_out, 'row')} left out: the JSON has all."] if left_out else []
        parts += _folded(
            f"All {count(len(rows), 'figure')}", [*_tables(rows[:kept]), *rest, escape(wording.legend(comparison))]
        )
    renamed = [f"{old} → {new}" for old, new in comparison.renamed]
    sides = [*_list("New", comparison.new), *_list("Renamed", renamed)]
    sides += _list("Different between the sides", comparison.differences)
    if sides:
        parts += _folded(_summary(comparison), sides)
    if comparison.warnings:
        parts += _folded(count(len(comparison.warnings), "note"), _list("", comparison.warnings))
    return "\n\n".join(parts)


def escape(text: str) -> str:
    """``text`` as Markdown that shows it: no markup, no mentions, no line breaks (which would end a table)."""
    plain = _MARKUP.sub(r"\\\1", " ".join(text.split()))
    # An @ would call a person; with nothing visible behind it, it is only an @.
    return plain.replace("@", "@\u200b")


def _tables(rows: Sequence[Row]) -> list[str]:
    """One of speeds and one of quality, as far as there are any."""
    return [_table(some, unit) for unit, some in wording.apart(rows).items()]


def _table(rows: Sequence[Row], unit: Unit) -> str:
    return "\n".join([_COLUMNS.format(change=wording.CHANGES[unit]), _RULE, *map(_line, rows)])


def _line(row: Row) -> str:
    cells = (
        f"{SYMBOLS[row.outcome]} {row.outcome}",
        escape(row.label),
        wording.level(row.base, row.metric),
        wording.level(row.head, row.metric),
        escape(wording.interval(row.change, row.unit)),
        wording.detectable(row),
        wording.more_time(row),
    )
    return f"| {' | '.join(cells)} |"


def _list(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    lines = "\n".join(f"- {escape(item)}" for item in wording.cut(items))
    return [f"**{title}**", lines] if title else [lines]


def _summary(comparison: Comparison) -> str:
    parts = [
        (len(comparison.new), "new cell"),
        (len(comparison.renamed), "renamed cell"),
        (len(comparison.differences), "difference"),
    ]
    return ", ".join(count(number, noun) for number, noun in parts if number) + " between the sides"


def _folded(summary: str, parts: Sequence[str]) -> list[str]:
    # The empty lines around what is inside make GitHub read it as Markdown.
    return [f"<details>\n<summary>{summary}</summary>", *parts, "</details>"]
