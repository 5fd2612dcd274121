"""Whether backends come to the same quality, in words: confirmed, refuted, or not shown."""

from __future__ import annotations

from collections.abc import Sequence

from report import text
from report.naming import backend_key
from results.agreement import MARGIN, Agreement
from results.roles import Contestant


def said(found: Sequence[Agreement]) -> tuple[str, str] | None:
    """(headline, detail) of all contestants that have trials in common with those that stand for them."""
    if not found:
        return None
    found = sorted(found, key=lambda one: (backend_key(one.who.backend), one.who))
    apart = _differing(found)
    groups = {
        "differ": [one for one in found if one.found.refuted],
        "open": [one for one in found if not (one.found.shown or one.found.refuted)],
        "confirm": [one for one in found if one.found.shown and one.repeats],
        "agree": [one for one in found if one.found.shown and not one.repeats],
    }
    parts = [_verdict(those, verdict, apart) for verdict, those in groups.items() if those]
    headline = "; ".join(parts)
    headline = f"W{headline[1:]}" if headline.startswith("whether ") else headline
    if len(found) == 1:
        return headline, _figures(found[0])
    told = [one for those in groups.values() for one in those]
    return headline, "; ".join(f"{_name(one.who, apart)} {_figures(one)}" for one in told)


def _verdict(those: Sequence[Agreement], verdict: str, apart: Sequence[str]) -> str:
    """Of those that have one in common; whose cells they are is named where it is the same for all."""
    references = {one.references for one in those}
    whom = _names(those[0].references, apart) if len(references) == 1 else "those that trained the same cells"
    names, s = text.listing([_name(one.who, apart) for one in those]), "" if len(those) > 1 else "s"
    return {
        "differ": f"{names} differ{s} from {whom} by more than {MARGIN:g} dB",
        "open": f"whether {names} agree{s} with {whom} within {MARGIN:g} dB is not settled",
        "confirm": f"{names} confirm{s} {whom}",
        "agree": f"{names} agree{s} with {whom}",
    }[verdict]


def _figures(one: Agreement) -> str:
    """ "mean difference +0.01 dB (−0.02 to +0.04, 8 cells), within 0.1 dB"."""
    cells = text.count(one.found.cells, "cell")
    left_out = f" ({text.count(one.left_out, 'pair')} left out: untrained, or ended by a limit of time)"
    if not one.found.cells:
        return f"nothing to judge by{left_out if one.left_out else ''}"
    difference = one.found.difference
    ends = ""
    if difference.known:
        ends = f"{_decibels(difference.low)} to {_decibels(difference.high)}, "
    said = f"mean difference {_decibels(difference.value)} dB ({ends}{cells})"
    said += left_out if one.left_out else ""
    return f"{said}, within {MARGIN:g} dB" if one.found.shown else said


def _decibels(value: float) -> str:
    """Two decimals, and three where that would be nothing."""
    return text.signed(value, 2 if abs(value) >= 0.005 else 3)


def _differing(found: Sequence[Agreement]) -> list[str]:
    """The parts of a contestant's name that are not the same for all, or that tell it from who it is held against."""
    every = {who for one in found for who in (one.who, *one.references)}
    names = [name for name in ("device", "precision", "threads") if len({getattr(who, name) for who in every}) > 1]
    tracks = {(who.backend, who.track) for who in every}
    return [*names, *(["track"] if len(tracks) > len({backend for backend, _ in tracks}) else [])]


def _names(who: Sequence[Contestant], apart: Sequence[str]) -> str:
    return text.listing([_name(one, apart) for one in sorted(who, key=lambda one: (backend_key(one.backend), one))])


def _name(who: Contestant, apart: Sequence[str]) -> str:
    extra = [f"{who.threads} threads" if name == "threads" else str(getattr(who, name)) for name in apart]
    return f"{who.backend} ({', '.join(extra)})" if extra else who.backend
