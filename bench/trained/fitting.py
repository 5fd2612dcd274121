"""Does a network fit a picture's noise, and was what it took away noise?

What it was trained for is in its record; what is in the picture is estimated (:mod:`bench.trained.level`).  A network
that meets much less noise than it has learned takes the picture's own detail for noise, one that meets more leaves it.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

from bench import corruption
from bench.cells import TrialCell
from bench.trained.level import Level
from bench.trained.pictures import Picture
from bench.words import visible

CLEAN = 0.02
"""Photographs as cameras give them are estimated as having up to this (5 of 255): their own finest structure, which is
not to be taken away."""
FACTOR = 1.5
"""A network is meant for noise of up to so many times more, or fewer, than it was trained for."""
LOST = 1.2
"""If more than so many times the noise was taken away, it was not noise alone ..."""
HARMED = math.sqrt(2)
"""... and from here on the result is farther from the clean picture than the noisy one was: of what was taken away,
``removed**2 - noise**2`` at least is the picture's own, and that is as much as the noise."""
LEFT = 0.6
"""If less than so many times the noise was taken away, much of it is left."""
ROUNDING = 0.003
"""Neither estimate nor 8 bits tell less than this from nothing."""


@dataclass(frozen=True)
class Range:
    """Standard deviations of the noise that a network was trained for, from ``low`` to ``high``."""

    low: float
    high: float

    def fits(self, sigma: float) -> bool:
        """Whether noise of ``sigma`` is among it, or near it."""
        return self.low / FACTOR <= sigma <= self.high * FACTOR

    def distance(self, sigma: float) -> float:
        """0 inside; outside by what factor it is missed, as a logarithm."""
        if self.low <= sigma <= self.high:
            return 0.0
        end = self.low if sigma < self.low else self.high
        return abs(math.log(max(sigma, ROUNDING) / max(end, ROUNDING)))


def trained_for(text: str, picture: Picture) -> Range | None:
    """What the corruption ``text`` comes to on ``picture`` as a standard deviation: noise that grows with brightness
    has its mean over the picture.  None for what has none: single pixels turned black or white, blocks, and noise that
    is blurred afterwards."""
    first, second = float(picture.mean()), float((picture.astype("f8") ** 2).mean())
    low = high = 0.0
    noisy = False
    for step in corruption.parse(text).steps:
        share = {"gaussian": 1.0, "uniform": 1 / 3, "speckle": second, "poisson": first}.get(step.kind)
        if share is None:
            if noisy or step.kind != "blur":
                return None
            continue
        noisy = True
        low += share * step.low**2
        high += share * step.high**2
    return Range(math.sqrt(low), math.sqrt(high)) if noisy else None


def is_clean(level: Level) -> bool:
    """Whether a picture with noise of this (known) ``level`` had better be left as it is."""
    return level.sigma is not None and level.sigma <= (ROUNDING if level.told else CLEAN)


def before(level: Level, cell: TrialCell, picture: Picture) -> str | None:
    """What must be said of this network on this picture, or None where they fit."""
    if level.sigma is None:
        return f"its noise cannot be estimated ({level.why}): whether this network fits it is not known"
    wanted = trained_for(cell.corruption, picture)
    if wanted is None:
        return (
            f"the network was trained for {cell.corruption}, whose noise is of another kind than what can be estimated "
            "here: whether it fits is not known"
        )
    if is_clean(level) and not wanted.low <= level.sigma <= wanted.high:
        return (
            f"it has no more noise ({level.sigma:.3f}) than photographs without any seem to have, and the network was "
            f"trained for {cell.corruption}: it will take detail for noise; leave the picture as it is"
        )
    if wanted.fits(level.sigma):
        return None
    less = level.sigma < wanted.low
    will = "take detail for noise" if less else "leave much of it"
    more = "less" if less else "more"
    return (
        f"it has {more} noise ({level.sigma:.3f}) than the network was trained for ({cell.corruption}), which will "
        f"{will}; --noise auto looks for one that fits, and this trains one: {training_line(cell, level.sigma)}"
    )


def training_line(cell: TrialCell, sigma: float) -> str:
    """The command that trains a network for noise of ``sigma`` on the images of ``cell``."""
    sweep = "whole" if cell.evaluate == "whole" else "advise"
    axes = (f"dataset={visible(cell.dataset)}", f"corruption=gaussian({sigma:.2g})", "keep_weights=true")
    return f"daebench run {sweep} " + " ".join(f"--set {shlex.quote(axis)}" for axis in axes)


def after(level: Level, removed: float) -> str | None:
    """What must be said of ``removed``, the root mean square of what was taken away, or None where it is as much as
    there was noise."""
    if level.sigma is None:
        return None
    least = max(level.sigma, ROUNDING)
    if removed > max(HARMED * least, least + ROUNDING):
        return (
            f"more was taken away ({removed:.3f}) than there was noise ({level.sigma:.3f}), so much of it the "
            "picture's own that the result is farther from the clean picture than the noisy one was"
        )
    if removed > LOST * least + ROUNDING:
        return (
            f"more was taken away ({removed:.3f}) than there was noise ({level.sigma:.3f}): some of it was the "
            "picture's own"
        )
    if level.sigma > CLEAN and removed < LEFT * level.sigma:
        return f"less was taken away ({removed:.3f}) than there was noise ({level.sigma:.3f}): some of it is left"
    return None
