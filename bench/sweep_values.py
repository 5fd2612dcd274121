"""What values an axis of a sweep takes: each check answers a mistake with what is allowed, and gives a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bench import corruption
from bench.words import did_you_mean
from implementations import catalog, training
from implementations.architecture import SpecificationError

ALL = "all"
"""For ``backend`` and ``architecture``: every one; for ``train``, ``test`` and ``size``: what the data set has."""


def one_of(names: Callable[[], Iterable[str]], *words: str) -> Callable[[Any], list[str]]:
    def check(value: Any) -> list[str]:
        allowed = [*words, *names()]
        for item in listed(value):
            if item not in allowed:
                hint = did_you_mean(str(item), allowed)
                raise ValueError(f"{item!r} is unknown{hint}; allowed are {', '.join(allowed)}")
        return listed(value)

    return check


def networks(value: Any) -> list[str]:
    """In their one spelling, so that a network that is named twice is seen."""
    names = []
    for item in listed(value):
        try:
            names.append(item if item == ALL else catalog.canonical(item))
        except SpecificationError as error:
            raise ValueError(f"{error}; or {ALL}") from None
    return listed(names)


def single(check: Callable[[Any], list[Any]]) -> Callable[[Any], Any]:
    return lambda value: check([value])[0]


def numbers(kind: type, low: float, *words: str, above: bool = False) -> Callable[[Any], list[Any]]:
    name = "a whole number" if kind is int else "a number"
    allowed = " or ".join([f"{name} {'above' if above else 'from'} {low}", *map(repr, words)])

    def check(value: Any) -> list[Any]:
        for item in listed(value):
            number = isinstance(item, kind) or (kind is float and isinstance(item, int))
            fits = number and not isinstance(item, bool) and (low < item if above else low <= item) and item < 2**63
            if not fits and item not in words:
                hint = did_you_mean(item, words) if isinstance(item, str) and words else ""
                raise ValueError(f"{item!r} is not allowed here{hint}: use {allowed}")
        return listed(value)

    return check


def truths(value: Any) -> list[Any]:
    for item in listed(value):
        if not isinstance(item, bool):
            raise ValueError(f"{item!r} is not allowed here: use true or false, or both in a list")
    return listed(value)


def corruptions(value: Any) -> list[str]:
    """Canonical texts, so that "gaussian(0.40)" and "gaussian(0.4)" are one cell."""
    return [str(corruption.parse(text(item))) for item in listed(value)]


def optimizers(value: Any) -> list[str]:
    """With all that is named: natively it counts, whatever its value.  Matched cells have a shorter spelling."""
    listed([training.canonical_optimizer(text(item)) for item in listed(value)])
    return [training.canonical_optimizer(item, defaults="native") for item in listed(value)]


def texts(value: Any) -> list[str]:
    return [text(item) for item in listed(value)]


def text(item: Any) -> str:
    if not isinstance(item, str) or not item:
        raise ValueError(f"{item!r} is not allowed here: use text in quotes")
    return item


def listed(value: Any) -> list[Any]:
    """A single value stands for a list of one.  No value twice."""
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items:
        raise ValueError("an empty list leaves nothing to run: name a value, or leave the axis out")
    for index, item in enumerate(items):
        if item in items[:index]:
            raise ValueError(f"{item!r} stands there twice: name every value once")
    return items


def batches(value: Any) -> list[int]:
    """Unlike an axis it may be empty: then none is measured."""
    return numbers(int, 1)(value) if value != [] else []


def channel_counts(value: Any) -> list[int]:
    for item in listed(value):
        if isinstance(item, bool) or item not in (1, 3):
            raise ValueError(f"{item!r} is not allowed here: use 1 (gray) or 3 (colour)")
    return listed(value)
