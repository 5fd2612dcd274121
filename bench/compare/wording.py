"""Changes, levels and verdicts as text, the same on the terminal, in Markdown and in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from report.text import MINUS, count, fixed, listing, seconds, significant
from results.comparison import Comparison, Metric, Outcome, Row, Unit
from results.statistics import Interval
from results.verdicts import LEAST_SHARE

ORDER: tuple[Outcome, ...] = ("regressed", "inconclusive", "improved", "pass")
"""What matters most comes first."""
LISTED = 20
"""Longer lists are cut in what people read; the JSON has all."""
MOST = 9.99
"""Larger ratios are given as this: their digits mean nothing."""
TITLES: dict[Unit, str] = {"ratio": "speed", "dB": "quality"}
"""What is judged, in the order in which it is told; seconds and decibels have no common scale, so that no list or
extreme is of both."""
CHANGES: dict[Unit, str] = {"ratio": "time (+: slower)", "dB": "PSNR lost (+: worse)"}
"""Headings of the column of changes."""
WORSE: dict[Unit, str] = {"ratio": "slower", "dB": "worse"}


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


def direction(value: float, unit: Unit) -> str:
    """ "3.1 % more time", "43.6 % less time", "0.04 dB lost", "0.04 dB gained"; "no change" of what rounds to nothing.

    A head that takes 43.6 % less time is not "43.6 % faster": its rate is 1.77 times that of the base.
    """
    text = size(value, unit)
    if not math.isfinite(value) or not any(digit in text for digit in "123456789"):
        return "no change"
    more, less = {"ratio": (" more time", " less time"), "dB": (" lost", " gained")}[unit]
    return text + (more if value > 0 else less)


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
    """ "+2.1 %", or a dash where nothing would have been found, or where it is known already which way it went."""
    if row.detectable is None or row.outcome in ("improved", "regressed"):
        return "–"
    return change(row.detectable, row.unit)


def waiting(more: float) -> str:
    """ "40 s", "12 min", "3 h": rounded, for it is a forecast."""
    if more < 90:
        return f"{max(more, 1):.0f} s"
    return f"{more / 60:.0f} min" if more < 90 * 60 else f"{more / 3600:.0f} h"


def by_weight(rows: Sequence[Row]) -> list[Row]:
    """Speeds and qualities together, what matters most first: by verdict, then by change in units of its margin, the
    one scale that both have; rows without any change come first of their kind."""

    def weight(row: Row) -> tuple[int, float, str]:
        share = row.change.value / (row.margin or 1.0) if row.change else math.inf
        return ORDER.index(row.outcome), -share, row.label

    return sorted(rows, key=weight)


def apart(rows: Sequence[Row]) -> dict[Unit, list[Row]]:
    """Speeds and qualities, as far as there are any, each worst first: by verdict, then by change; rows without any
    come first of their kind."""

    def worst(row: Row) -> tuple[int, float, str]:
        return ORDER.index(row.outcome), -(row.change.value if row.change else math.inf), row.label

    found = {unit: sorted((row for row in rows if row.unit == unit), key=worst) for unit in TITLES}
    return {unit: some for unit, some in found.items() if some}


def headline(comparison: Comparison) -> str:
    """What came of it, in one sentence: of speed and of quality apart."""
    parts = []
    units = apart(comparison.rows)
    for unit, rows in units.items():
        found = {outcome: sum(row.outcome == outcome for row in rows) for outcome in ORDER}
        verdicts = ", ".join(f"{found[outcome]} {outcome}" for outcome in ORDER if found[outcome])
        parts.append(f"{TITLES[unit]}, {count(len(rows), 'figure')}: {verdicts}{_extreme(rows)}")
    if comparison.failed:
        parts.append(f"{count(len(comparison.failed), 'cell')} failed")
    if comparison.missing:
        allowed = " (allowed)" if comparison.allow_missing else ""
        parts.append(f"{count(len(comparison.missing), 'cell')} missing{allowed}")
    if comparison.interrupted:
        parts.append("interrupted before all was measured")
    return ("; ".join(parts) or "nothing was compared") + "."


def _extreme(rows: Sequence[Row]) -> str:
    """Of rows of one unit, worst first: the worst that regressed and the best that improved."""
    regressed = [row for row in rows if row.outcome == "regressed" and row.change]
    improved = [row for row in rows if row.outcome == "improved" and row.change]
    told = [("worst", row) for row in regressed[:1]] + [("best", row) for row in improved[-1:]]
    said = [f"{word}: {row.label}, {direction(row.change.value, row.unit)}" for word, row in told if row.change]
    return f" ({'; '.join(said)})" if said else ""


def largest(rows: Sequence[Row]) -> str:
    """The largest change of each unit, whichever way it went: "speed: -1.2 % [...], torch ...; quality: ..."."""
    said = []
    for unit, some in apart(rows).items():
        known = [row for row in some if row.change is not None]
        if known:
            row = max(known, key=lambda row: abs(row.change.value) if row.change else 0.0)
            said.append(f"{TITLES[unit]}: {interval(row.change, unit)}, {row.label}")
    return "; ".join(said)


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
    if found is None:
        return ""
    if row.outcome == "pass":
        return mild(row)
    if row.outcome == "regressed":
        return f"{direction(found.low, row.unit)} at least"
    if row.outcome == "improved":
        return f"{direction(found.high, row.unit)} at least"
    text = undecided(row) or f"neither surely {WORSE[row.unit]} nor surely within {margin(row)}"
    if row.detectable is not None:
        text += f"; what would have been found is {change(row.detectable, row.unit)}"
    if row.more_seconds is not None:
        text += f", {waiting(row.more_seconds)} more would find {margin(row)}"
    return text


def mild(row: Row) -> str:
    """Of a figure that passes: that it is worse all the same, or seems to be better; "" where neither can be said."""
    found = row.change
    if found is None or row.outcome != "pass":
        return ""
    if found.low > 0:
        return f"measurably {WORSE[row.unit]}, but by less than {margin(row)}"
    if found.value <= -LEAST_SHARE * row.margin and found.high >= 0:
        return f"measured were {direction(found.value, row.unit)}, which may be chance: not {WORSE[row.unit]}, surely"
    return ""


def undecided(row: Row) -> str:
    """Why a figure whose interval lies above 0 is no regression yet; "" where it does not."""
    if row.outcome != "inconclusive" or row.change is None or not row.change.low > 0:
        return ""
    if row.change.value < LEAST_SHARE * row.margin:
        return f"{WORSE[row.unit]} by less than half of {margin(row)}, and perhaps by more than {margin(row)}"
    return (
        f"{WORSE[row.unit]} taken by itself, and not yet beyond doubt among all figures, which share the false alarms"
    )


def legend(comparison: Comparison) -> str:
    """What the columns say."""
    rows = comparison.rows
    units = apart(rows)
    margins = listing([f"{listing(list(dict.fromkeys(map(margin, some))))} of {word}" for word, some in
                       (("time", units.get("ratio", [])), ("PSNR", units.get("dB", []))) if some])  # fmt: skip
    level = f", with its {100 * comparison.confidence:g} % interval" if comparison.confidence else ""
    return (
        f"Judged against a margin of {margins}. Change: what more the head takes, or loses{level}. Improved: that lies "
        "below 0; pass: below the margin; regressed: above 0, by a stricter test, since all share the chance of "
        "a false alarm. Finds: what would have been found in 95 of 100 such measurements. Needs: how much longer a "
        "measurement would have to be to find the margin (–: no such measurement would)."
    )


def cut(items: Sequence[str]) -> list[str]:
    """At most LISTED of them, and how many are left out."""
    rest = len(items) - LISTED
    return [*items[:LISTED], *([f"and {rest} more (the JSON has all)"] if rest > 0 else [])]
