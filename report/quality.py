"""Quality: what a network gains over the noisy input, by corruption and configuration, and whether backends agree.

Certified backends compute the same thing, so their trials of one cell are averaged and not counted as independent.
What is independent are training seeds; with a single one, an interval can only speak of the test images.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from report.groups import counted, mean
from report.learned import UNKNOWN, Learned, learned, together
from report.naming import (
    ASKED,
    CONFIGURATION,
    TRAINING,
    WHO,
    backend_key,
    configuration_label,
    describe,
    natural_key,
    varying,
)
from report.pairing import Condition, Configuration, Pairing, Trials, half_width
from results.agreement import Agreement as Judged
from results.agreement import agreements
from results.loading import Run
from results.roles import WHO as EXCHANGEABLE
from results.roles import figures, role
from results.schema import Record
from results.statistics import Interval, mean_interval

FULL_SHARE = 0.9
"""A backend with at least this share of the most trials of any backend has the whole grid."""


@dataclass(frozen=True)
class Score:
    """Mean over backends and seeds of one configuration under one condition; dB.  ``half``: of the image interval."""

    psnr: float
    noisy: float
    gain: float
    half: float
    ssim: float | None
    by_seed: dict[int, float]
    backends: int

    @property
    def interval(self) -> Interval:
        """Of the gain: over seeds where there are several, else over test images."""
        if len(self.by_seed) > 1:
            return mean_interval(list(self.by_seed.values()))
        return Interval(self.gain, self.gain - self.half, self.gain + self.half)


@dataclass(frozen=True)
class Standing:
    """A configuration over all conditions that it shares with the others."""

    configuration: Configuration
    label: str
    gain: Interval
    by_seed: dict[int, float]
    half: float
    learned: Learned = UNKNOWN
    """Under all of these conditions.  Who has not learned under one of them is shown, and takes no rank."""


@dataclass(frozen=True)
class Agreement:
    """PSNR of backend ``a`` minus that of ``b``, over trials that are equal in everything else; dB."""

    a: str
    b: str
    difference: Interval
    largest: float
    count: int
    one_precision: bool = True
    """Or else this is one backend in two of them, which are not meant to agree to the last digit."""


@dataclass(frozen=True)
class Quality:
    """All scored trials of a run, aggregated."""

    scores: dict[tuple[Condition, Configuration], Score]
    conditions: dict[Condition, str]
    """Label by condition, in order."""
    corruptions: dict[Condition, str]
    configurations: dict[Configuration, str]
    configuration_axes: tuple[str, ...]
    """What the parts of a configuration are: network, loss, and how it was trained if that differs."""
    backends: tuple[str, ...]
    trials: int
    seeds: tuple[int, ...]
    seed_noise: float | None
    """Pooled standard deviation of PSNR between seeds of one cell, dB; None with one seed."""
    seeded: tuple[int, int]
    """Of how many cells that is, and of how many there are: others may scatter otherwise."""
    image_noise: float
    """Mean half-width of the interval of a trial's mean PSNR over test images, dB."""
    agreements: tuple[Agreement, ...]
    images: tuple[int, ...]
    """Numbers of test images that the trials name; of none where whole images are scored: ``test`` then counts patches
    of the validation loss."""
    uncertain: int
    """Trials by backends without certificate, left out of all averages."""
    trials_of: Trials = field(repr=False)
    """The records that each of ``scores`` is made from."""
    pairing: Pairing = field(repr=False, compare=False)
    """How far configurations are apart."""
    learned: dict[tuple[Condition, Configuration], Learned] = field(default_factory=dict)
    agreed: tuple[Judged, ...] = ()
    """By contestant, whether it comes to the same PSNR as those that stand for the same cells."""

    def over(self, shared: Sequence[Condition]) -> str:
        """What a mean over the conditions ``shared`` is over, in words."""
        return counted([(self.corruptions[one], self.conditions[one]) for one in shared])

    def standings(self) -> tuple[list[Standing], list[Condition]]:
        """Configurations by mean gain, best first, and the conditions they were compared on (those all have).  Those
        that have not learned to denoise come last, and are no part of any ranking."""
        present = {
            configuration: {c for c, k in self.scores if k == configuration} for configuration in self.configurations
        }
        most = max((len(found) for found in present.values()), default=0)
        rivals = {key: found for key, found in present.items() if len(found) >= FULL_SHARE * most}
        shared = [c for c in self.conditions if all(c in found for found in rivals.values())]
        if not shared:
            return [], []
        found = [self._standing(key, shared) for key in rivals]
        found.sort(key=lambda standing: (not standing.learned.trained, -standing.gain.value, standing.label))
        able = [standing.configuration for standing in found if standing.learned.trained]
        if able:
            first = self.pairing.leader(shared, able)
            found.sort(key=lambda standing: standing.configuration != first)
        return found, shared

    def trained(self, condition: Condition, configuration: Configuration) -> bool:
        """Whether its networks have learned to denoise under ``condition``: others are never ranked."""
        return self.learned.get((condition, configuration), UNKNOWN).trained

    def best(self, condition: Condition) -> list[Configuration]:
        """Of those that have learned to denoise, who gains most under ``condition``, first, and all who are not
        measurably behind."""
        present = [key for key in self.configurations if (condition, key) in self.scores]
        present = [key for key in present if self.trained(condition, key)]
        if not present:
            return []
        present.sort(key=lambda key: -self.scores[condition, key].gain)
        first = self.pairing.leader([condition], present)
        return [first, *(key for key in present if key != first and not self.pairing.sign([condition], first, key))]

    def _standing(self, key: Configuration, shared: Sequence[Condition]) -> Standing:
        scores = [self.scores[condition, key] for condition in shared]
        seeds = set.intersection(*(set(score.by_seed) for score in scores))
        by_seed = {seed: mean([score.by_seed[seed] for score in scores]) for seed in sorted(seeds)}
        # The conditions have the same test images, so their errors go together: the mean half-width, not one over n.
        half = mean([score.half for score in scores])
        if len(by_seed) > 1:
            gain = mean_interval(list(by_seed.values()))
        else:
            value = mean([score.gain for score in scores])
            gain = Interval(value, value - half, value + half)
        what = together([self.learned.get((condition, key), UNKNOWN) for condition in shared])
        return Standing(key, self.configurations[key], gain, by_seed, half, what)

    def lessons(self) -> list[tuple[str, Learned]]:
        """What every network has learned, with the name of its configuration: one for each condition."""
        return [
            (label, one)
            for configuration, label in self.configurations.items()
            for (_, own), one in self.learned.items()
            if own == configuration
        ]


def who(cell: dict[str, Any], differing: Sequence[str]) -> str:
    """ "torch", or "torch (cuda)" where a run has several devices."""
    extra = describe(cell, [name for name in differing if name != "backend"])
    return f"{cell['backend']} ({extra})" if extra else str(cell["backend"])


def condition_axes(cell: dict[str, Any]) -> list[str]:
    """All axes of a trial that are neither who computes it, nor the network, nor the seed, nor what came after."""
    return sorted(name for name in cell if name not in (*WHO, *CONFIGURATION, *ASKED, "seed"))


def label_axes(trials: Sequence[Record], axes: Sequence[str]) -> tuple[str, ...]:
    """Those of ``axes`` by which conditions are named besides the corruption: that differ in this run; and that whole
    images are scored, which figures of other runs do not do."""
    cells = [record["cell"] for record in trials]
    names = varying(cells, [name for name in axes if name != "corruption"])
    whole = any(cell.get("evaluate") == "whole" for cell in cells)
    return (*names, "evaluate") if whole and "evaluate" not in names else names


def who_axes(trials: Sequence[Record]) -> tuple[str, ...]:
    """The axes by which backends have to be told apart in this run; the track of a backend is one of them only if
    one backend has two."""
    cells = [record["cell"] for record in trials]
    names = [name for name in varying(cells, WHO) if name != "track"]
    tracks: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        tracks[cell["backend"]].add(cell["track"])
    return (*names, "track") if any(len(found) > 1 for found in tracks.values()) else tuple(names)


def _image_counts(cells: Iterable[Mapping[str, Any]]) -> tuple[int, ...]:
    counts = {cell["test"] for cell in cells if cell.get("evaluate", "patches") == "patches"}
    return tuple(sorted(count for count in counts if count))


def quality(run: Run, distrusted: frozenset[str] = frozenset()) -> Quality:
    """Aggregate the ok trials of ``run``, but those whose id is in ``distrusted``."""
    every = run.of("trial", "ok")
    trusted = [record for record in every if record["id"] not in distrusted]
    # Without those that repeat what another backend has trained: they are there for agreement alone.
    trials = [record for record in figures(run, distrusted).of("trial", "ok") if record["id"] not in distrusted]
    differing = who_axes(trials)
    trained = varying([record["cell"] for record in trials], TRAINING)
    configuration_axes = (*CONFIGURATION, *trained)
    axes = [name for name in condition_axes(trials[0]["cell"]) if name not in trained] if trials else []
    named = label_axes(trials, axes)

    groups: dict[tuple[Condition, Configuration], list[Record]] = defaultdict(list)
    labels: dict[Condition, str] = {}
    corruptions: dict[Condition, str] = {}
    for record in trials:
        cell = record["cell"]
        condition = tuple(cell.get(name) for name in axes)
        configuration = tuple(cell[name] for name in configuration_axes)
        groups[condition, configuration].append(record)
        labels[condition] = ", ".join(filter(None, [cell["corruption"], describe(cell, named)]))
        corruptions[condition] = cell["corruption"]
    conditions = dict(sorted(labels.items(), key=lambda item: natural_key(item[1])))
    configurations = {
        key: configuration_label(dict(zip(configuration_axes, key, strict=True)), trained)
        for key in sorted({key for _, key in groups}, key=lambda key: tuple(natural_key(part) for part in key))
    }
    seed_noise, seeded = _seed_noise(groups.values(), differing)
    return Quality(
        scores={key: _score(group) for key, group in groups.items()},
        conditions=conditions,
        corruptions=corruptions,
        configurations=configurations,
        configuration_axes=configuration_axes,
        backends=tuple(sorted({who(record["cell"], who_axes(trusted)) for record in trusted}, key=backend_key)),
        trials=len(trials),
        seeds=tuple(sorted({record["cell"]["seed"] for record in trials})),
        seed_noise=seed_noise,
        seeded=seeded,
        image_noise=mean([half_width(record, "psnr") for record in trials]) if trials else math.nan,
        agreements=_agreements(trusted, who_axes(trusted)),
        images=_image_counts(record["cell"] for record in trials),
        uncertain=len(every) - len(trusted),
        trials_of=groups,
        pairing=Pairing(run, groups),
        learned={key: learned(group) for key, group in groups.items()},
        agreed=tuple(agreements(trusted)),
    )


def _score(group: Sequence[Record]) -> Score:
    seeds: dict[int, list[float]] = defaultdict(list)
    for record in group:
        seeds[record["cell"]["seed"]].append(record["metrics"]["psnr_gain"])
    by_seed = {seed: mean(values) for seed, values in sorted(seeds.items())}
    ssim = [record["metrics"]["ssim"] for record in group if "ssim" in record["metrics"]]
    return Score(
        psnr=mean([record["metrics"]["psnr"] for record in group]),
        noisy=mean([record["metrics"]["psnr_noisy"] for record in group]),
        gain=mean(list(by_seed.values())),
        half=mean([half_width(record, "psnr_gain") for record in group]),
        ssim=mean(ssim) if ssim else None,
        by_seed=by_seed,
        backends=len({record["cell"]["backend"] for record in group}),
    )


def _seed_noise(groups: Any, differing: Sequence[str]) -> tuple[float | None, tuple[int, int]]:
    squares, degrees, several, every = 0.0, 0, 0, 0
    computed = [axis for axis in differing if axis not in EXCHANGEABLE]
    for group in groups:
        cells: dict[str, list[float]] = defaultdict(list)
        for record in group:
            # Trained once, each seed may be another backend's.
            name = describe(record["cell"], computed) if role(record) else who(record["cell"], differing)
            cells[name].append(record["metrics"]["psnr"])
        for values in cells.values():
            middle = mean(values)
            squares += sum((value - middle) ** 2 for value in values)
            degrees += len(values) - 1
            several += len(values) > 1
        every += len(cells)
    return math.sqrt(squares / degrees) if degrees else None, (several, every)


def _agreements(trials: Sequence[Record], differing: Sequence[str]) -> tuple[Agreement, ...]:
    table: dict[str, dict[tuple[Any, ...], float]] = defaultdict(dict)
    kinds: dict[str, tuple[str, str]] = {}
    for record in trials:
        cell = record["cell"]
        point = tuple(sorted((name, str(value)) for name, value in cell.items() if name not in (*WHO, *ASKED)))
        name = who(cell, differing)
        table[name][point] = record["metrics"]["psnr"]
        kinds[name] = cell["precision"], who(cell, [axis for axis in differing if axis != "precision"])
    found = []
    for a, b in combinations(sorted(table, key=backend_key), 2):
        one_precision = kinds[a][0] == kinds[b][0]
        if not one_precision and kinds[a][1] != kinds[b][1]:
            continue  # two backends in two precisions: nobody could tell which of both a difference is of
        common = sorted(table[a].keys() & table[b].keys())
        if common:
            values = [table[a][point] - table[b][point] for point in common]
            found.append(Agreement(a, b, mean_interval(values), max(values, key=abs), len(values), one_precision))
    return tuple(found)
