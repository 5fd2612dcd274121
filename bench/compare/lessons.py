"""What a comparison may say of PSNR, by what the networks of both sides have learned.

Of networks that are no better than the mean training image two sides differ in nothing that a change of the code could
have spoilt: there is no verdict.  Of those that have not finished learning there is one, for what they have learned in
this time, and it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from results.convergence import State, is_trained, state

Trial = Mapping[str, Any]
"""A record of a trial, or the result of one: with ``metrics`` and ``curve``."""


def words(trials: Sequence[Trial]) -> list[State | None]:
    """The word of each."""
    return [state(trial) for trial in trials]


def refusal(sides: Mapping[str, Sequence[Trial]], seeds: Sequence[int]) -> str:
    """Why the PSNR of these trials, by side one for each of ``seeds``, is judged by nobody; "" where it may be."""
    found = []
    for name, trials in sides.items():
        without = [(seed, state(trial)) for seed, trial in zip(seeds, trials, strict=True) if not is_trained(trial)]
        if without:
            word = "collapsed" if all(word == "collapsed" for _, word in without) else "untrained"
            which = "" if len(without) == len(trials) else f", seed {', '.join(str(seed) for seed, _ in without)}"
            found.append(f"the {name} ({word}{which})")
    if not found:
        return ""
    verb = "has" if len(found) == 1 else "have"
    return (
        f"{' and '.join(found)} {verb} not learned to denoise and {'is' if len(found) == 1 else 'are'} no better than "
        "the mean training image: no verdict on quality; train longer, for more epochs"
    )


def remark(sides: Mapping[str, Sequence[Trial]]) -> str:
    """That networks are compared before they have finished learning; "" where all have."""
    unfinished = [name for name, trials in sides.items() if "unfinished" in words(trials)]
    if not unfinished:
        return ""
    both = "both sides" if len(unfinished) == len(sides) else f"the {unfinished[0]}"
    return f"{both} unfinished: PSNR still rises with more training, so this holds for so much of it"
