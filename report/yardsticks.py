"""What the networks are worth: each against the best classical denoiser and the best linear one of its rank.

Trials and yardsticks belong together where they saw the same noisy images, which the hashes in their records say; what
they are called decides nothing.  Differences are taken image by image: all denoisers find the same images hard, so the
mean of the differences is known far better than the means are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from report import text
from report.groups import mean
from report.naming import CONFIGURATION, TRAINING, configuration_label, describe, natural_key, varying
from report.pairing import Condition, Configuration
from report.quality import condition_axes
from results.loading import Run
from results.schema import Record
from results.scores import combined, differences, read_scores
from results.statistics import Interval, mean_interval
from results.yardsticks import FREE, IDENTITY, LINEAR, MEAN_IMAGE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_NAMES = 2
"""Of best classical denoisers in a sentence."""
BETTER, WORSE, EQUAL, UNKNOWN = "better", "worse", "no measurable difference", "no interval"


@dataclass(frozen=True)
class Rival:
    """A yardstick beside a network.  ``gain``: PSNR of the network minus its own, paired by image, dB; ``images``: how
    many, where that is known."""

    name: str
    psnr: float
    gain: Interval
    images: int | None = None

    @property
    def verdict(self) -> str:
        if not self.gain.known:
            return UNKNOWN
        return BETTER if self.gain.low > 0 else WORSE if self.gain.high < 0 else EQUAL

    @property
    def beaten(self) -> bool:
        """Whether the network is measurably better, or without an interval at least better."""
        return self.gain.low > 0 if self.gain.known else self.gain.value > 0


@dataclass(frozen=True)
class Worth:
    """A network under one corruption, mean over backends and seeds; dB.  ``condition`` and ``configuration``: as
    :class:`report.quality.Quality` has them; ``images``: what its images are called, and ``rank``: the one that the
    linear optimum must have to be a fair rival."""

    condition: Condition
    configuration: Configuration
    network: str
    """ "dense (latent 64, MSE)"."""
    data: str
    corruption: str
    trained: str
    """What its training had that not all had: "5 epochs"."""
    cell: dict[str, Any]
    rank: int
    seeds: int
    noisy: float
    psnr: float
    free: tuple[Rival, ...]
    """What costs nothing, the best first; at least the noisy input, which every trial knows."""
    scored: bool
    """Whether there are yardsticks at all."""
    classical: Rival | None
    """The best of those that a sweep has to ask for."""
    linear: Rival | None

    @property
    def best_free(self) -> Rival:
        return self.free[0]

    @property
    def label(self) -> str:
        """ "dense (latent 64, MSE) on mnist, gaussian(0.4)"."""
        return f"{self.network} on {self.images}"

    @property
    def images(self) -> str:
        return f"{self.data}, {self.corruption}"


class Yardsticks:
    """The scored yardsticks of a run, to be found by the images of a trial."""

    def __init__(self, run: Run) -> None:
        self._found: dict[Hashable, dict[tuple[str, int | None], Record]] = defaultdict(dict)
        for record in run.of("yardstick", "ok"):
            for key in _keys(record):
                self._found[key].setdefault((record["cell"]["method"], record["cell"]["rank"]), record)

    def __bool__(self) -> bool:
        return bool(self._found)

    def of(self, trial: Record) -> dict[tuple[str, int | None], Record]:
        """By method and rank: those that were scored on the very images of ``trial``."""
        found: dict[tuple[str, int | None], Record] = {}
        for key in reversed(_keys(trial)):  # most are known by their test images alone, some by the training images too
            found |= self._found.get(key, {})
        return found


def _keys(record: Record) -> list[Hashable]:
    """Where two records have one of these in common, they are about the same images.  The second one is for training
    sets that stand several times: their noise is more, that of the test images the same."""
    cell, hashes = record["cell"], record.get("hashes", {})
    about = (cell["dataset"], cell["corruption"], cell.get("evaluate", "patches"))
    keys: list[Hashable] = []
    if "noisy" in hashes:
        keys.append((*about, hashes["noisy"]))
    if "noisy_test" in hashes and "data" in hashes:
        keys.append((*about, hashes["data"], hashes["noisy_test"]))
    return keys


def rank_of(cell: dict[str, Any]) -> int:
    """The rank of the linear optimum that has as many numbers as the network's code; all of them if it has none."""
    values = int(cell["height"] * cell["width"] * cell["channels"])
    return min(int(cell["latent"] or values), values)


def classical_of(found: Iterable[tuple[str, int | None]]) -> list[tuple[str, int | None]]:
    """Those that are denoisers of their own, and know nothing but a few parameters."""
    return [key for key in found if key[0] not in (LINEAR, IDENTITY, MEAN_IMAGE)]


def beside(yardsticks: Yardsticks, trial: Record) -> list[tuple[str, Record]]:
    """(label, record) of the best classical denoiser and the linear optimum of the rank of ``trial``'s network, as far
    as there are such."""
    found = yardsticks.of(trial)
    best = max(classical_of(found), key=lambda key: found[key]["metrics"]["psnr"], default=None)
    linear = (LINEAR, rank_of(trial["cell"]))
    shown = [(best[0], found[best])] if best else []
    return shown + ([(f"linear, rank {linear[1]}", found[linear])] if linear in found else [])


def worths(run: Run, distrusted: frozenset[str] = frozenset()) -> list[Worth]:
    """Every network under every corruption; trials whose id is in ``distrusted`` are left out."""
    yardsticks = Yardsticks(run)
    trials = [record for record in run.of("trial", "ok") if record["id"] not in distrusted]
    pairs = [(trial, yardsticks.of(trial)) for trial in trials]
    cells = [trial["cell"] for trial in trials]
    trained = varying(cells, TRAINING)
    axes = sorted({name for cell in cells for name in condition_axes(cell)} - set(trained))
    told = varying(cells, [name for name in axes if name not in ("dataset", "corruption")])
    groups: dict[tuple[Condition, Configuration], list[tuple[Record, dict[Any, Record]]]] = defaultdict(list)
    for trial, found in pairs:
        cell = trial["cell"]
        condition = tuple(cell.get(name) for name in axes)
        groups[condition, tuple(cell[name] for name in (*CONFIGURATION, *trained))].append((trial, found))
    scores = _Scores(run)
    made = []
    for (condition, configuration), every in groups.items():
        group = [pair for pair in every if pair[1]] or every
        cell = group[0][0]["cell"]
        corruption = ", ".join(filter(None, [cell["corruption"], describe(cell, told)]))
        rank = rank_of(cell)
        shared = [key for key in group[0][1] if all(key in found for _, found in group)]
        asked_for = any(name not in FREE for name, _ in shared)
        best = max(
            classical_of(shared) if asked_for else [],
            key=lambda key: mean([f[key]["metrics"]["psnr"] for _, f in group]),
            default=None,
        )
        linear = (LINEAR, rank) if (LINEAR, rank) in shared else None
        free = [scores.rival(group, key) for key in shared if key[0] in FREE] or [_noisy(group)]
        made.append(
            Worth(
                condition=condition,
                configuration=configuration,
                network=configuration_label(cell, trained),
                data=cell["dataset"],
                corruption=corruption,
                trained=describe(cell, trained),
                cell=cell,
                rank=rank,
                seeds=len({trial["cell"]["seed"] for trial, _ in group}),
                noisy=mean([trial["metrics"]["psnr_noisy"] for trial, _ in group]),
                psnr=mean([trial["metrics"]["psnr"] for trial, _ in group]),
                free=tuple(sorted(free, key=lambda rival: -rival.psnr)),
                scored=bool(shared),
                classical=scores.rival(group, best) if best else None,
                linear=scores.rival(group, linear) if linear else None,
            )
        )
    return sorted(made, key=_order)


def _noisy(group: Sequence[tuple[Record, dict[Any, Record]]]) -> Rival:
    """The noisy input, by what the trials say of it themselves."""
    metrics = [trial["metrics"] for trial, _ in group]
    ends = [mean([one.get(f"psnr_gain_{end}", math.nan) for one in metrics]) for end in ("low", "high")]
    gain = Interval(mean([one["psnr_gain"] for one in metrics]), *ends)
    cell = group[0][0]["cell"]
    images = cell["test"] if cell.get("evaluate", "patches") == "patches" else None
    return Rival(IDENTITY, mean([one["psnr_noisy"] for one in metrics]), gain, images)


def _order(worth: Worth) -> tuple[Any, ...]:
    names = (worth.data, worth.corruption, *(worth.cell[name] for name in CONFIGURATION), worth.trained)
    return tuple(natural_key(name) for name in names)


class _Scores:
    """Scores by image, read once for each file."""

    def __init__(self, run: Run) -> None:
        self._folders = run.folders or (run.folder,)
        self._read: dict[str, NDArray[np.float64] | None] = {}

    def of(self, record: Record) -> NDArray[np.float64] | None:
        """As :func:`results.scores.read_scores` has them; None where the record has none or the file is not there."""
        path = record.get("scores")
        if path is None:
            return None
        if path not in self._read:
            self._read[path] = read_scores(self._folders, path)
        return self._read[path]

    def rival(self, group: Sequence[tuple[Record, dict[Any, Record]]], key: tuple[str, int | None]) -> Rival:
        """The yardstick ``key`` beside the trials of ``group``: their mean difference, and its interval over images."""
        psnr = mean([found[key]["metrics"]["psnr"] for _, found in group])
        name = key[0] if key[1] is None else f"{key[0]}, rank {key[1]}"
        parts = []
        for trial, found in group:
            a, b = self.of(trial), self.of(found[key])
            if a is None or b is None or (part := differences(a, b)) is None:
                gain = mean([trial["metrics"]["psnr"] for trial, _ in group]) - psnr
                return Rival(name, psnr, Interval(gain, math.nan, math.nan))
            parts.append(part)
        if len({len(one) for one in parts}) > 1:
            gain = mean([float(combined([one]).mean()) for one in parts])
            return Rival(name, psnr, Interval(gain, math.nan, math.nan))
        every = combined(parts)
        return Rival(name, psnr, mean_interval(every), len(every))


# -- in words ------------------------------------------------------------------------------------------------------


def said(found: Sequence[Worth]) -> tuple[str, str] | None:
    """(headline, detail): whether networks beat the best linear denoiser of their rank, and the best classical one."""
    linear = [(one, one.linear) for one in found if one.linear]
    classical = [(one, one.classical) for one in found if one.classical]
    names = list(dict.fromkeys(rival.name for _, rival in classical))
    best = f"the best classical denoiser ({text.listing(names) if len(names) <= MOST_NAMES else 'of many'})"
    if not linear:  # whole images have none
        return _against(classical, best) if classical else None
    headline, detail = _against(linear, "the best linear denoiser of its rank")
    if classical:
        beaten = sum(rival.verdict == BETTER for _, rival in classical)
        further = f"{best} is beaten in {beaten} of {len(classical)}, leads of {_ends(classical)}"
        detail = f"{detail}; {further}" if detail else further
    return headline, detail


def _against(pairs: Sequence[tuple[Worth, Rival]], whom: str) -> tuple[str, str]:
    """Verdicts in words, and the leads between which they lie; a single lead stands with its verdict."""
    if len(pairs) == 1:
        ((one, rival),) = pairs
        verb = {
            BETTER: f"{one.label} beats {whom}, by",
            EQUAL: f"{one.label} shows no measurable difference from {whom}:",
            WORSE: f"{one.label} does not beat {whom}:",
            UNKNOWN: f"{one.label} beside {whom}:",
        }[rival.verdict]
        return f"{verb} {text.decibels(rival.gain)}", ""
    counts = {verdict: sum(rival.verdict == verdict for _, rival in pairs) for verdict in _SAID}
    headline = f"In {counts[BETTER]} of {len(pairs)} cases, a network beats {whom}"
    headline += "".join(
        f", in {counts[verdict]} {words}" for verdict, words in _SAID.items() if words and counts[verdict]
    )
    return headline, f"leads of {_ends(pairs)}"


_SAID = {BETTER: "", WORSE: "it is worse", EQUAL: "there is no measurable difference", UNKNOWN: "no interval is known"}
"""Of cases; the first goes without saying."""


def _ends(pairs: Sequence[tuple[Worth, Rival]]) -> str:
    """ "+0.51 dB [..] (which) to +3.20 dB [..] (which)"."""
    ordered = sorted(pairs, key=lambda pair: pair[1].gain.value)
    ends = [f"{text.decibels(rival.gain)} ({one.label})" for one, rival in (ordered[0], ordered[-1])]
    return " to ".join(dict.fromkeys(ends))
