"""Sessions that did not take place: recorded noise, drawn again, with a known change added, judged as live ones are.

Twenty sessions can show that something goes wrong in a tenth of all cases, not that it goes wrong in a hundredth.
So the rounds of the recorded A/A sessions are drawn again a thousand times and more.  Runs of neighbouring rounds are
drawn together (moving blocks: Künsch 1989, "The jackknife and the bootstrap for general stationary observations"),
so that what one round has in common with the next stays; and since base and head were the same, each session may be
drawn with the sides exchanged.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bench.compare.live import FIRST_LOOK
from results.comparison import Outcome
from results.verdicts import ALPHA_PASS, SequentialJudge

Noise = NDArray[np.float64]
"""Log cost ratios of A/A rounds, shape (rounds, rows), in the order in which they were measured."""
RUN = 8
"""Neighbouring rounds that are drawn together: about as many as a session has."""


def draw(noise: Noise, rounds: int, generator: np.random.Generator) -> Noise:
    """``rounds`` rounds of ``noise``, in runs; shape (rounds, rows)."""
    count = len(noise)
    starts = generator.integers(0, count, -(-rounds // RUN))
    places = np.concatenate([(start + np.arange(RUN)) % count for start in starts])[:rounds]
    drawn: Noise = noise[places] * generator.choice([-1.0, 1.0])
    return drawn


def session(changes: Noise, margin: float, alpha: float) -> tuple[Outcome, int]:
    """The verdict on a whole suite that may see ``changes``, shape (rounds at most, rows), and after how many."""
    most, width = changes.shape
    judge = SequentialJudge([math.log1p(margin)] * width, alpha, ALPHA_PASS)
    for count in range(FIRST_LOOK, most + 1):
        judge.look([list(changes[:count, row]) for row in range(width)], count / most)
        if judge.done:
            break
    found = [judge.verdict(row) for row in range(width)]
    outcomes = {verdict.outcome if verdict else "inconclusive" for verdict in found}
    for outcome in ("regressed", "inconclusive", "improved"):
        if outcome in outcomes:
            return outcome, count
    return "pass", count


def replays(
    noise: Noise,
    change: float,
    *,
    scale: float = 1.0,
    rounds: int,
    margin: float,
    alpha: float,
    count: int,
    seed: int = 0,
) -> tuple[Counter[Outcome], float]:
    """Outcomes of ``count`` sessions of at most ``rounds`` rounds whose head costs ``change`` (0.03: 3 %) more in all
    rows, under ``scale`` times the recorded noise; and the mean number of rounds that they took."""
    centred = scale * (noise - noise.mean(axis=0))
    generator = np.random.default_rng(seed)
    outcomes: Counter[Outcome] = Counter()
    taken = 0
    for _ in range(count):
        outcome, used = session(draw(centred, rounds, generator) + math.log1p(change), margin, alpha)
        outcomes[outcome] += 1
        taken += used
    return outcomes, taken / count
