"""A classical denoiser with its settings as text: ``nlm(h=0.08, sigma_over_h=1, patch_size=5, patch_distance=5)``.

What calibration has chosen goes from a record to the command line and back as this text: the same settings, the same
denoiser.  Names are those of :data:`bench.yardsticks.classical.METHODS` and of the parameters in their records.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.words import did_you_mean
from bench.yardsticks.base import GAIN, OFFSET, Images, Method, Parameters, Value, YardstickError
from bench.yardsticks.classical import METHODS, method

_TEXT = re.compile(r"\s*(?P<name>[^\s()]+)\s*(?:\((?P<settings>[^()]*)\)\s*)?")
LARGEST = 100.0
"""No width, strength or tone beyond it makes sense for pixel values from 0 to 1."""
BEYOND = 4
"""Whole numbers (windows, patches) may be this many times the largest that calibration tries: the time that a method
takes grows with their square."""


@dataclass(frozen=True)
class Chosen:
    """A classical denoiser and its settings; ``str()`` is the text that :func:`parse_method` reads."""

    method: Method
    parameters: Parameters

    def __str__(self) -> str:
        return method_text(self.method.name, self.parameters)

    def denoise(self, images: Images) -> Images:
        """float32 (n, h, w, c) denoised, the same shape and type, clipped to [0, 1] (but for the identity).
        YardstickError where images of this shape are too small for it, or have no colours to work on."""
        height, width, channels = images.shape[1:]
        if not self.method.allowed(self.parameters, (height, width, channels)):
            colour = "gray" if channels == 1 else "colour"
            raise YardstickError(f"method {self} is not made for images of {height}x{width} pixels in {colour}")
        return self.method.denoise(images, self.parameters)


def method_text(name: str, settings: Mapping[str, Value]) -> str:
    """The text of the method ``name`` with ``settings``, as a record's ``calibration`` has both: settings in the
    method's own order.  YardstickError for unknown methods and for settings that it cannot have."""
    chosen = method(name)
    _check(f"method {name}", chosen, settings)
    parts = [f"{one}={_value(settings[one])}" for one in _tried(chosen) if one in settings]
    return f"{name}({', '.join(parts)})" if parts else name


def parse_method(text: str) -> Chosen:
    """The denoiser that ``text`` names; YardstickError says what is wrong with it and what is allowed."""
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise YardstickError(
            f"method {text!r} cannot be read; it is NAME or NAME(SETTING=VALUE, ...), for example {_example('nlm')}"
        )
    if match["name"] not in METHODS:
        hint = did_you_mean(match["name"], METHODS)
        raise YardstickError(f"method {match['name']!r} is unknown{hint}; known are {', '.join(METHODS)}")
    chosen = METHODS[match["name"]]
    tried = _tried(chosen)
    found: dict[str, Value] = {}
    for part in filter(None, map(str.strip, (match["settings"] or "").split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in tried or not equals:
            known = f"it takes {', '.join(tried)}" if tried else "it takes none"
            raise YardstickError(
                f"method {text!r}: {part!r} is not one of its settings{did_you_mean(name, tried)}; {known}"
            )
        if name in found:
            raise YardstickError(f"method {text!r}: {name} is given twice; give it once")
        found[name] = _read(value, tried[name])
    complete = {**{name: value for name, value in chosen.start.items() if name in tried}, **found}
    _check(f"method {text!r}", chosen, complete)
    return Chosen(chosen, {name: complete[name] for name in tried})


def _tried(chosen: Method) -> dict[str, tuple[Value, ...]]:
    """Its parameters, in order, with the values that calibration tries; those of a gain and an offset are examples."""
    found: dict[str, tuple[Value, ...]] = {}
    for stage in chosen.stages:
        for name, values in stage.items():
            found[name] = tuple(dict.fromkeys((*found.get(name, ()), *values)))
    return {**found, GAIN: (1.0,), OFFSET: (0.0,)} if chosen.toned else found


def _read(text: str, tried: tuple[Value, ...]) -> Value:
    """The value that ``text`` means for a parameter with values such as ``tried``; the text itself if it means none,
    which :func:`_check` then refuses."""
    kind = type(tried[0])
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is str:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if kind is int and number.is_integer() else number


def _check(what: str, chosen: Method, settings: Mapping[str, Value]) -> None:
    """YardstickError unless ``settings`` are all that the method has, each with a value that it can have."""
    tried = _tried(chosen)
    for name in settings:
        if name not in tried:
            known = f"it takes {', '.join(tried)}" if tried else "it takes none"
            raise YardstickError(f"{what}: {name!r} is not one of its settings; {known}")
    lacking = [name for name in tried if name not in settings]
    if lacking:
        raise YardstickError(f"{what}: it needs {' and '.join(lacking)} too, for example {_example(chosen.name)}")
    for name, value in settings.items():
        _check_value(f"{what}: {name} = {_value(value)}", value, tried[name])


def _check_value(what: str, value: Value, tried: tuple[Value, ...]) -> None:
    numbers = [one for one in tried if not isinstance(one, bool | str)]
    if not numbers:
        if value not in tried or type(value) is not type(tried[0]):
            raise YardstickError(f"{what} is not allowed; allowed are {', '.join(map(_value, tried))}")
        return
    number = value if not isinstance(value, bool | str) and math.isfinite(value) else None
    if tried in ((1.0,), (0.0,)):
        if number is None or abs(number) > LARGEST:
            raise YardstickError(f"{what} is not allowed; allowed are numbers from {-LARGEST:g} to {LARGEST:g}")
    elif isinstance(numbers[0], int):
        least, most = min(numbers), BEYOND * max(*numbers, 1)
        if not isinstance(number, int) or not least <= number <= most:
            raise YardstickError(f"{what} is not allowed; allowed are whole numbers from {least} to {most}")
    else:
        from_zero = 0.0 in numbers
        if number is None or number > LARGEST or number < 0 or (number == 0 and not from_zero):
            raise YardstickError(
                f"{what} is not allowed; allowed are numbers {'from 0' if from_zero else 'above 0'} to {LARGEST:g}"
            )


def _example(name: str) -> str:
    """The method with the values in the middle of those that are tried."""
    chosen = METHODS[name]
    tried = _tried(chosen)
    start = {one: value for one, value in chosen.start.items() if one in tried}
    middle = {one: sorted(values)[len(values) // 2] for one, values in tried.items()}
    return method_text(name, {**middle, **start})


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))
    return str(value)
