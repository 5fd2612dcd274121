"""Which parameters of a method are best?  Training images decide, never those that it is scored on.

A method's stages are searched one after the other: each is a small grid over some parameters, while the others keep
what the stages before have found (or their start), and a number that an earlier stage has chosen is tried near it
only.  The best has the highest mean PSNR over a few training images.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.yardsticks.base import (
    GAIN,
    OFFSET,
    Images,
    Method,
    Parameters,
    Shape,
    Value,
    YardstickError,
    check_pairs,
    finish,
    psnr,
)
from implementations import counter

CALIBRATION_VALUES = 2**15
"""Values (pixels times channels) of the images that calibrate: 41 of MNIST.  All candidates see the same images, so
the differences between them are known to some hundredths of a dB; more would cost minutes for non-local means ..."""
FEWEST, MOST = 16, 128
"""... but never fewer or more images than these: a single image may want what no other does."""

NEAR = 3.0
"""A later stage tries numbers within this factor of what an earlier one has chosen."""


@dataclass(frozen=True)
class Candidate:
    """One candidate and its mean PSNR in dB over the calibration images."""

    parameters: dict[str, Value]
    psnr: float


@dataclass(frozen=True)
class Calibration:
    """How a method came to its parameters.  ``edges``: numbers that stand at the "low" or "high" end of what was
    tried, so that better ones may lie beyond (at the low end a method mostly does nothing, and should)."""

    method: str
    parameters: dict[str, Value]
    psnr: float | None
    """Mean over the calibration images, dB; None where there was nothing to choose."""
    images: int
    subset: str
    """Which training images, in words."""
    seconds: float
    edges: dict[str, str]
    tried: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for a record."""
        return {**asdict(self), "tried": [asdict(candidate) for candidate in self.tried]}


def calibration_images(count: int, shape: Shape) -> NDArray[np.int64]:
    """Indices of the training images that calibrate, ascending; they depend on ``count`` and ``shape`` alone."""
    wanted = min(max(CALIBRATION_VALUES // int(np.prod(shape)), FEWEST), MOST, count)
    return np.sort(counter.permutation(count, "yardstick calibration")[:wanted])


def calibrate(method: Method, noisy: Images, clean: Images) -> Calibration:
    """The best parameters of ``method`` for training pairs, each float32 (n, h, w, c).  YardstickError if it can not
    run here, or if no combination suits images of this shape."""
    check_pairs(noisy, clean, "training")
    missing = method.missing()
    if missing:
        raise YardstickError(missing)
    if not method.stages:
        return Calibration(method.name, {}, None, 0, "none: there is nothing to choose", 0.0, {}, ())
    begin = time.perf_counter()
    height, width, channels = clean.shape[1:]
    chosen = calibration_images(len(clean), (height, width, channels))
    noisy, clean = noisy[chosen], clean[chosen]
    tried: list[Candidate] = []
    known: list[Parameters] = []
    best = Candidate(dict(method.start), -np.inf)
    for place, stage in enumerate(method.stages):
        chosen_before = {name for before in method.stages[:place] for name in before}
        near = {name: _near(stage[name], best.parameters[name]) for name in chosen_before & set(stage)}
        for values in itertools.product(*{**stage, **near}.values()):
            parameters = {**best.parameters, **dict(zip(stage, values, strict=True))}
            parameters = {name: value for name, value in parameters.items() if name not in (GAIN, OFFSET)}
            if parameters not in known and method.allowed(parameters, (height, width, channels)):
                known.append(parameters)
                tried.append(_try(method, parameters, noisy, clean))
        if not tried:
            raise YardstickError(f"yardstick {method.name} has no setting for images of {height}x{width} pixels")
        best = max(tried, key=lambda one: one.psnr)  # the first of equals: grids begin with the cheapest
    subset = f"{len(chosen)} training images, drawn at random, the same for every method"
    seconds = time.perf_counter() - begin
    edges = _edges(method, best.parameters)
    return Calibration(method.name, best.parameters, best.psnr, len(chosen), subset, seconds, edges, tuple(tried))


def _try(method: Method, parameters: Parameters, noisy: Images, clean: Images) -> Candidate:
    denoised = method.apply(noisy, parameters)
    fitted = _tone(denoised, clean) if method.toned else {}
    complete = {**parameters, **fitted}
    return Candidate(complete, float(psnr(finish(denoised, complete), clean).mean()))


def _tone(denoised: Images, clean: Images) -> dict[str, float]:
    """The gain and offset with the least squared error; of a constant image only the offset."""
    x, y = denoised.astype(np.float64), clean.astype(np.float64)
    variance = float(x.var())
    gain = float(((x - x.mean()) * (y - y.mean())).mean()) / variance if variance else 1.0
    return {GAIN: gain, OFFSET: float(y.mean()) - gain * float(x.mean())}


def _near(values: Sequence[Value], chosen: Value) -> Sequence[Value]:
    """Those numbers that are close to the chosen one."""
    if isinstance(chosen, str | bool):
        return values
    return [value for value in values if chosen / NEAR <= float(value) <= chosen * NEAR]


def _edges(method: Method, parameters: Parameters) -> dict[str, str]:
    """Which open-ended parameters stand at an end of all that was tried for them."""
    found = {}
    for name in method.open_ended:
        tried = sorted({float(value) for stage in method.stages for value in stage.get(name, ())})
        if tried and parameters[name] in (tried[0], tried[-1]):
            found[name] = "low" if parameters[name] == tried[0] else "high"
    return found
