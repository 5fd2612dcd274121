"""The three ways to denoise a picture: by one network, by one classical method, by whatever fits the picture's noise.

Each is asked with a picture and the level of its noise, and answers with the denoised picture, or none where the
picture had better stay as it is, and with what must be said of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bench.trained import candidates, fitting, risk
from bench.trained.found import Trained
from bench.trained.level import Level
from bench.trained.pictures import Picture
from bench.yardsticks.text import Chosen

LISTED = 3
"""Candidates that are named, the best first."""


@dataclass
class Done:
    """``denoised`` is None where the picture is left as it is.  ``facts`` are said in any case, ``warnings`` are what
    may make the result worse than the picture was."""

    denoised: Picture | None = None
    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Way(Protocol):
    """How pictures are denoised."""

    def __call__(self, picture: Picture, level: Level) -> Done: ...


@dataclass(frozen=True)
class ByNetwork:
    """One network, whatever the picture: it was asked for."""

    trained: Trained
    denoise: risk.Denoise

    def __call__(self, picture: Picture, level: Level) -> Done:
        warning = fitting.before(level, self.trained.cell, picture)
        return _applied(self.denoise, picture, level, [], [warning] if warning else [])


@dataclass(frozen=True)
class ByMethod:
    """One classical denoiser with its settings."""

    chosen: Chosen

    def __call__(self, picture: Picture, level: Level) -> Done:
        warnings = []
        if level.sigma is None:
            warnings.append(f"its noise cannot be estimated ({level.why}): whether these settings fit it is not known")
        elif fitting.is_clean(level):
            warnings.append(f"{_clean(level.sigma)}: leave the picture as it is")
        return _applied(candidates.of_method(self.chosen).denoise, picture, level, [], warnings)


@dataclass(frozen=True)
class ByFit:
    """Whatever leaves least of the noise and takes least of the picture, as far as can be estimated."""

    networks: candidates.Networks

    def __call__(self, picture: Picture, level: Level) -> Done:
        if level.sigma is None:
            return Done(facts=[f"left as it is: its noise cannot be estimated ({level.why}); --noise LEVEL tells it"])
        if fitting.is_clean(level):
            return Done(facts=[f"left as it is: {_clean(level.sigma)}"])
        able, lacking = self.networks.for_noise(level.sigma, picture)
        methods = candidates.classical(level.sigma, picture)
        tried = candidates.best_first([*able, *methods], picture, level.sigma)
        if tried is None:
            return self._unjudged(picture, level, [*able, *methods], lacking)
        best = tried[0].candidate
        if best.name == candidates.AS_IT_IS:
            return Done(facts=["left as it is: nothing that was tried makes it better", _ranking(tried)])
        facts = [f"by {best.name}", _ranking(tried)]
        return _applied(best.denoise, picture, level, facts, lacking)

    def _unjudged(
        self, picture: Picture, level: Level, able: Sequence[candidates.Candidate], lacking: Sequence[str]
    ) -> Done:
        """Where too much is black or white to estimate what a denoiser does to it: the network nearest to the noise, or
        without any the first classical method."""
        if not able:
            return Done(facts=["left as it is: no denoiser is made for a picture of this size"], warnings=[*lacking])
        facts = [
            f"by {able[0].name}",
            "most of it is black or white, where what a denoiser does cannot be estimated: taken is what is nearest to "
            "its noise",
        ]
        return _applied(able[0].denoise, picture, level, facts, lacking)


def _clean(sigma: float) -> str:
    return f"it has no more noise ({sigma:.3f}) than photographs without any seem to have"


def _applied(
    denoise: risk.Denoise, picture: Picture, level: Level, facts: Sequence[str], warnings: Sequence[str]
) -> Done:
    denoised = risk.clipped(denoise(picture))
    removed = float(np.sqrt(np.square((denoised - picture).astype(np.float64)).mean()))
    late = fitting.after(level, removed)
    return Done(denoised, [*facts, f"taken away: {removed:.3f}"], [*warnings, *([late] if late else [])])


def _ranking(tried: Sequence[candidates.Tried]) -> str:
    """Estimates of the first few, and of the picture as it is, whose place says whether anything is gained."""
    shown = list(tried[:LISTED])
    shown += [one for one in tried[LISTED:] if one.candidate.name == candidates.AS_IT_IS]
    listed = "; ".join(f"{one.candidate.name} {one.risk}" for one in shown)
    return f"estimated PSNR: {listed} ({len(tried)} were tried)"
