"""A history in words: figures with their units, changes as "5.3 % slower", steps as sentences."""

from __future__ import annotations

from report import text
from results.history import Tracked
from results.trend import MachineTrend, Series, Step

_WORDS = {"psnr": ("worse", "better"), "peak_memory_bytes": ("more", "less")}
"""For what is worse and what is better, where that is not slower and faster."""
_SPEED_WORDS = ("slower", "faster")


def figure_text(tracked: Tracked, value: float) -> str:
    """ "61,200 images/s", "4.10 ms", "210 MB", "21.35 dB"."""
    if tracked.unit == "s":
        return text.seconds(value)
    if tracked.unit == "bytes":
        return text.bytes_(value)
    return f"{text.fixed(value)} dB" if tracked.unit == "dB" else f"{text.significant(value)} {tracked.unit}"


def size_text(series: Series, change: float) -> str:
    """ "5.3 %", "0.12 dB"; without a sign."""
    return f"{text.fixed(abs(change))} dB" if series.tracked.scale == "dB" else f"{text.fixed(100 * abs(change), 1)} %"


def change_text(series: Series, change: float) -> str:
    """ "5.3 % slower", "0.12 dB better", "as before" for what rounds to nothing; ``change``: positive is worse."""
    size = size_text(series, change)
    if not any(digit in size for digit in "123456789"):
        return "as before"
    worse, better = _WORDS.get(series.metric, _SPEED_WORDS)
    return f"{size} {worse if change > 0 else better}"


def step_sentence(series: Series, step: Step) -> str:
    """ "torch tuned, dense ...: training 5.3 % slower since 1a2b3c4d5e of 2026-03-01 (from ... to ...), together with
    torch 2.12.1 → 2.13.0"."""
    before, after = (figure_text(series.tracked, value) for value in (step.before, step.after))
    meanwhile = "; ".join(event.sentence for event in step.events)
    return (
        f"{series.label}: {series.tracked.title} {change_text(series, step.change)} since {step.point.entry.name} of "
        f"{step.point.entry.committed[:10]} (from {before} to {after})"
        + (f", together with {meanwhile}" if meanwhile else "")
    )


def machine_name(trend: MachineTrend) -> str:
    """ "Intel Xeon, 2 cores, Linux, Python 3.11"."""
    facts = trend.entries[-1].facts
    cores = facts.get("cores")
    parts = [
        str(facts.get("processor") or "unknown processor"),
        text.count(cores, "core") if isinstance(cores, int) else "",
        *map(str, facts.get("gpus") or []),
        str(facts.get("system") or ""),
        f"Python {facts['python']}" if facts.get("python") else "",
    ]
    return ", ".join(filter(None, parts))
