"""Numbers as text: as many digits as are known, no more."""

from __future__ import annotations

import math

from results.statistics import Interval

MINUS = "−"
NEGLIGIBLE = 0.001
"""dB; differences below are rounding."""


def significant(value: float, digits: int = 3) -> str:
    """ "61,200", "0.0345", "1.20": ``digits`` significant digits, thousands separated, no exponent if it can be."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    decimals = max(digits - 1 - magnitude, 0)
    rounded = round(value, digits - 1 - magnitude)
    return f"{rounded:,.{decimals}f}".replace("-", MINUS)


def signed(value: float, decimals: int = 2) -> str:
    """ "+5.13", "−0.20"; a difference that rounds to nothing has no sign."""
    text = f"{value:+.{decimals}f}"
    return (text[1:] if float(text) == 0 else text).replace("-", MINUS)


def fixed(value: float, decimals: int = 2) -> str:
    return f"{value:.{decimals}f}".replace("-", MINUS)


def ratio(interval: Interval) -> str:
    """ "1.04 [1.02, 1.06]": enough decimals to show where the interval ends."""
    if not interval.known:
        return f"{_ratio_digits(interval.value, 2)}"
    decimals = 2
    while decimals < 4 and _blurred(interval, decimals):
        decimals += 1
    low, high = (_ratio_digits(end, decimals) for end in (interval.low, interval.high))
    return f"{_ratio_digits(interval.value, decimals)} [{low}, {high}]"


def _blurred(interval: Interval, decimals: int) -> bool:
    """Both ends look alike, or an end looks like 1 that is not."""
    low, high = (_ratio_digits(end, decimals) for end in (interval.low, interval.high))
    return low == high or (not interval.includes(1.0) and fixed(1.0, decimals) in (low, high))


def _ratio_digits(value: float, decimals: int) -> str:
    return significant(value, 3) if value >= 10 else fixed(value, decimals)


def decibels(interval: Interval, sign: bool = True) -> str:
    """ "+5.13 dB [+5.02, +5.24]"."""
    write = signed if sign else fixed
    if interval.known and max(abs(interval.low), abs(interval.high)) < NEGLIGIBLE:
        return f"below {NEGLIGIBLE} dB"
    if not interval.known:
        return f"{write(interval.value)} dB"
    decimals = 2 if interval.high - interval.low >= 0.015 else 3
    return f"{write(interval.value, decimals)} dB [{write(interval.low, decimals)}, {write(interval.high, decimals)}]"


def behind(gap: Interval) -> str:
    """ "0.08 dB (0.04 to 0.11) behind": of a lead that is certain, or of which no interval is known."""
    if not gap.known:
        return f"{fixed(gap.value)} dB behind"
    decimals = 2 if gap.high - gap.low >= 0.015 else 3
    value, low, high = (fixed(end, decimals) for end in (gap.value, gap.low, gap.high))
    return f"{value} dB ({low} to {high}) behind"


def at_most(value: float) -> str:
    """ "up to 0.07 dB", or "by less than 0.01 dB"."""
    return f"by up to {fixed(value)} dB" if value >= 0.01 else "by less than 0.01 dB"


def quantity(interval: Interval, digits: int = 3) -> str:
    """ "61,200 [60,100, 62,400]"."""
    if not interval.known:
        return significant(interval.value, digits)
    low, high = significant(interval.low, digits), significant(interval.high, digits)
    return f"{significant(interval.value, digits)} [{low}, {high}]"


def seconds(value: float) -> str:
    """ "4.10 s", "35 ms", "120 µs"."""
    if not math.isfinite(value):
        return "–"
    if value >= 120:
        return f"{value / 60:.1f} min"
    if value >= 1 or value == 0:
        return f"{significant(value)} s"
    return f"{significant(value * 1e3)} ms" if value >= 1e-3 else f"{significant(value * 1e6)} µs"


def bytes_(value: float) -> str:
    """ "210 MB", "1.30 GB" (powers of 1000)."""
    if not math.isfinite(value):
        return "–"
    return f"{significant(value / 1e9)} GB" if value >= 1e9 else f"{significant(value / 1e6)} MB"


def count(number: int, noun: str, plural: str = "") -> str:
    """ "1 seed", "3 seeds"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listing(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
