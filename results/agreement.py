"""Do backends come to the same quality?  An equivalence test, since "no difference was found" proves nothing.

Differences in PSNR between a repetition of a cell and the trial that stands for it, averaged over the seeds of a cell,
are the observations: one a cell.  Two one-sided t-tests (Schuirmann 1987, "A comparison of the two one-sided tests
procedure and the power approach"): the mean difference is shown to lie within :data:`MARGIN` if its 90 % interval does,
which is wrong in at most 5 % of the cases in which it does not.  A single cell shows nothing, and neither do networks
that have learned nothing: they agree whatever computes them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from results.convergence import is_trained
from results.roles import CONFIRMED, TRAINED, Contestant, computation, contestant, role
from results.schema import Record
from results.statistics import Interval, mean_interval

MARGIN = 0.1
"""dB of PSNR below which nobody sees a difference."""
ERROR = 0.05
"""Of each of the two tests: how often equivalence is claimed that is not there, at most."""


@dataclass(frozen=True)
class Equivalence:
    """Of so many ``cells`` the mean ``difference`` in PSNR, dB, with its 90 % interval."""

    difference: Interval
    cells: int

    @property
    def shown(self) -> bool:
        """Whether the mean difference is surely within the margin."""
        return self.difference.known and self.difference.low > -MARGIN and self.difference.high < MARGIN

    @property
    def refuted(self) -> bool:
        """Whether it is surely beyond."""
        return self.difference.known and (self.difference.low > MARGIN or self.difference.high < -MARGIN)


@dataclass(frozen=True)
class Agreement:
    """How the trials of ``who`` compare with those of ``references``, which stand for the same cells."""

    who: Contestant
    references: tuple[Contestant, ...]
    found: Equivalence
    largest: float
    """Difference of a single pair of trials, dB; NaN without any."""
    repeats: bool
    """Whether these are repetitions of what another backend trained, or everybody trained everything."""
    left_out: int
    """Pairs that show nothing: untrained networks, or trainings that a limit of time ended."""


def equivalence(differences: Sequence[float]) -> Equivalence:
    """The test of mean differences in PSNR, dB, one for each cell."""
    if not differences:
        return Equivalence(Interval(math.nan, math.nan, math.nan), 0)
    return Equivalence(mean_interval(differences, 1 - 2 * ERROR), len(differences))


def counts(record: Record) -> bool:
    """Whether a trial can show that backends agree: its network has learned, and no clock said when to stop, which
    differs between backends as their speed does."""
    return record["status"] == "ok" and is_trained(record) and record.get("stopped") != "budget"


def agreements(trials: Iterable[Record]) -> list[Agreement]:
    """Of every contestant that has trials (ok) in common with those that stand for the same cells, by name.

    What stands for a cell is the trial with the role ``trained``; where there are no roles, that of the contestant with
    most trials on this device and in this precision.
    """
    cells: dict[Hashable, dict[Contestant, Record]] = defaultdict(dict)
    standing: Counter[Contestant] = Counter()
    for record in trials:
        if record["status"] != "ok":
            continue
        who = contestant(record["cell"])
        cells[computation(record["cell"])][who] = record
        standing[who] += role(record) != CONFIRMED
    order = sorted(standing, key=lambda who: (-standing[who], who))
    differences: dict[Contestant, dict[Hashable, list[float]]] = defaultdict(lambda: defaultdict(list))
    references: dict[Contestant, set[Contestant]] = defaultdict(set)
    left_out: Counter[Contestant] = Counter()
    repeats: set[Contestant] = set()
    for found in cells.values():
        trained = [who for who in order if who in found and role(found[who]) == TRAINED]
        first = trained[0] if trained else next(who for who in order if who in found)
        for who, record in found.items():
            if who == first:
                continue
            references[who].add(first)
            if role(record) == CONFIRMED:
                repeats.add(who)
            if not (counts(record) and counts(found[first])):
                left_out[who] += 1
                continue
            difference = float(record["metrics"]["psnr"] - found[first]["metrics"]["psnr"])
            differences[who][computation(record["cell"], ("seed",))].append(difference)
    return [
        Agreement(
            who=who,
            references=tuple(sorted(references[who])),
            found=equivalence([math.fsum(one) / len(one) for one in differences[who].values()]),
            largest=max((d for one in differences[who].values() for d in one), key=abs, default=math.nan),
            repeats=who in repeats,
            left_out=left_out[who],
        )
        for who in sorted(references)
    ]
