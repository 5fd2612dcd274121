"""From nothing to N images: who is ahead when, and where one contestant overtakes another."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from report.groups import epoch_images
from report.speed import Contestant, Workload
from results.breakeven import BreakEven, breakeven, leads, typical
from results.loading import Run


@dataclass(frozen=True)
class Epoch:
    """What an epoch is in this run: ``size`` images of ``dataset``, copies of them counted."""

    dataset: str
    size: int


@dataclass(frozen=True)
class Meeting:
    """Where ``a`` stands against ``b``."""

    a: Contestant
    b: Contestant
    found: BreakEven

    @property
    def tracks(self) -> bool:
        """Whether these are the two tracks of one backend."""
        return self.a.backend == self.b.backend


@dataclass(frozen=True)
class Start:
    """One workload.  ``ahead``: (contestant, images from which on it has finished first), by median costs;
    ``meetings``: the tuned track of each backend against its idiomatic one, then the first in rate against all else."""

    load: Workload
    ahead: tuple[tuple[Contestant, float], ...]
    meetings: tuple[Meeting, ...]

    @property
    def of_tracks(self) -> list[Meeting]:
        return [meeting for meeting in self.meetings if meeting.tracks]


def epoch_of(run: Run) -> Epoch | None:
    """The data set and number of training images of most trials; None without trials, or if they name no number."""
    found = Counter((record["cell"]["dataset"], epoch_images(record)) for record in run.of("trial", "ok"))
    known = [(count, dataset, size) for (dataset, size), count in found.items() if size]
    return Epoch(*max(known)[1:]) if known else None


def start(load: Workload) -> Start | None:
    """Who overtakes whom among the ranked; None where fewer than two have cold costs."""
    # Two environments or sessions may have contestants of one name, one workload has not.
    able = {standing.contestant.name: standing.contestant for standing in load.ranked if standing.contestant.costs}
    if len(able) < 2:
        return None
    ahead = leads({name: typical(one.costs) for name, one in able.items()})
    first = next(iter(able.values()))
    pairs = [
        (one, able[f"{one.backend} idiomatic"])
        for one in able.values()
        if one.track == "tuned" and f"{one.backend} idiomatic" in able
    ]
    others = [(first, one) for one in able.values() if one is not first]
    pairs += [(a, b) for a, b in others if (a, b) not in pairs and (b, a) not in pairs]
    meetings = tuple(Meeting(a, b, breakeven(a.costs, b.costs)) for a, b in pairs)
    return Start(load, tuple((able[name], images) for name, images in ahead), meetings)
