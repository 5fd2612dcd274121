"""Changes, levels and verdicts as text, the same on the terminal, in Markdown and in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from report.text import MINUS, count, fixed, seconds, significant
from results.comparison import Comparison, Metric, Outcome, Row, Unit
from results.statistics import Interval

ORDER: tuple[Outcome, ...] = ("regressed", "inconclusive", "improved", "pass")
"""What matters most comes first."""
LISTED = 20
"""Longer lists are cut in what people read; the JSON has all."""
MOST = 9.99
"""Larger ratios are given as this: their digits mean nothing."""
WORSE = {"ratio": "slower", "dB": "worse"}
BETTER = {"ratio": "faster", "dB": "better"}


def change(value: float, unit: Unit) -> str:
    """ "+3.1 %", "−0.04 dB": positive is worse, as in :class:`results.comparison.Row`."""
    if not math.isfinite(value):
        return "–"
    if unit == "ratio" and value > MOST:
        return f"over +{MOST:.0%}".replace("%", " %")
    digits, suffix = (1, " %") if unit == "ratio" else (2, " dB")
    text = f"{100 * value if unit == 'ratio' else value:+.{digits}f}"
    if float(text) == 0:
        text = text[1:]
    return text.replace("-", MINUS) + suffix


def size(value: float, unit: Unit) -> str:
    """ "3.1 %", "0.04 dB": how much, whatever the sign."""
    return change(abs(value), unit).lstrip("+")


def margin(row: Row) -> str:
    """ "3 %", "0.1 dB": as few digits as say it."""
    return f"{100 * row.margin:g} %" if row.unit == "ratio" else f"{row.margin:g} dB"


def interval(found: Interval | None, unit: Unit) -> str:
    """ "+3.1 % [+2.7, +3.5]"; an end that is not known is left open."""
    if found is None:
        return "–"
    text = change(found.value, unit)
    if not (math.isfinite(found.low) or math.isfinite(found.high)):
        return text
    ends = [change(end, unit).removesuffix(" %").removesuffix(" dB") for end in (found.low, found.high)]
    return f"{text} [{ends[0]}, {ends[1]}]"


def level(value: float | None, metric: Metric) -> str:
    """ "24,100 images/s", "1.31 ms", "19.35 dB"."""
    if value is None or not math.isfinite(value):
        return "–"
    if metric == "psnr":
        return f"{fixed(value)} dB"
    return seconds(value) if metric == "latency" else f"{significant(value)} images/s"


def detectable(row: Row) -> str:
    """ "+2.1 %", or a dash where nothing would have been found."""
    return "–" if row.detectable is None else change(row.detectable, row.unit)


def waiting(more: float) -> str:
    """ "40 s", "12 min", "3 h": rounded, for it is a forecast."""
    if more < 90:
        return f"{max(more, 1):.0f} s"
    return f"{more / 60:.0f} min" if more < 90 * 60 else f"{more / 3600:.0f} h"


def sorted_rows(rows: Sequence[Row]) -> list[Row]:
    """Worst first: by verdict, then by change; rows without any come first of their kind."""
    return sorted(
        rows, key=lambda row: (ORDER.index(row.outcome), -(row.change.value if row.change else math.inf), row.label)
    )


def headline(comparison: Comparison) -> str:
    """What came of it, in one sentence."""
    rows = comparison.rows
    found = {outcome: sum(row.outcome == outcome for row in rows) for outcome in ORDER}
    parts = []
    if rows:
        verdicts = ", ".join(f"{found[outcome]} {outcome}" for outcome in ORDER if found[outcome])
        parts.append(f"{count(len(rows), 'figure')}: {verdicts}")
    if comparison.failed:
        parts.append(f"{count(len(comparison.failed), 'cell')} failed")
    if comparison.missing:
        allowed = " (allowed)" if comparison.allow_missing else ""
        parts.append(f"{count(len(comparison.missing), 'cell')} missing{allowed}")
    worst = next((row for row in sorted_rows(rows) if row.outcome == "regressed" and row.change), None)
    if worst is not None and worst.change is not None:
        parts.append(f"worst is {worst.label}, {size(worst.change.value, worst.unit)} {WORSE[worst.unit]}")
    if comparison.interrupted:
        parts.append("interrupted before all was measured")
    return ("; ".join(parts) or "nothing was compared") + "."


def more_time(row: Row) -> str:
    """How much longer it would take to find the margin; nothing for a row that is decided."""
    if row.outcome != "inconclusive":
        return ""
    return waiting(row.more_seconds) if row.more_seconds is not None else "–"


def notes(rows: Sequence[Row]) -> list[str]:
    """Reasons that no figure shows, each once: those of rows without a change."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.reason and row.change is None:
            found.setdefault(row.reason, []).append(row.label)
    return [f"{labels[0] if len(labels) == 1 else f'{len(labels)} figures'}: {why}" for why, labels in found.items()]


def default_reason(row: Row) -> str:
    """What the figures of a row with a change say."""
    found = row.change
    if found is None or row.outcome == "pass":
        return ""
    if row.outcome == "regressed":
        return f"{WORSE[row.unit]} by {size(found.low, row.unit)} at least"
    if row.outcome == "improved":
        return f"{BETTER[row.unit]} by {size(found.value, row.unit)}"
    text = f"neither surely {WORSE[row.unit]} nor surely within {margin(row)}"
    if row.detectable is not None:
        text += f"; what would have been found is {change(row.detectable, row.unit)}"
    if row.more_seconds is not None:
        text += f", {waiting(row.more_seconds)} more would find {margin(row)}"
    return text


def legend(rows: Sequence[Row]) -> str:
    """What the columns say."""
    margins = " and ".join(dict.fromkeys(margin(row) for row in rows))
    return (
        f"Judged against a margin of {margins}. Change: how much worse the head is, with the bounds that its verdict "
        "was taken from. Finds: what would have been found in 95 of 100 such measurements. Needs: how much longer a "
        "measurement would have to be to find the margin (–: no such measurement would)."
    )


def cut(items: Sequence[str]) -> list[str]:
    """At most LISTED of them, and how many are left out."""
    rest = len(items) - LISTED
    return [*items[:LISTED], *([f"and {rest} more (the JSON has all)"] if rest > 0 else [])]
