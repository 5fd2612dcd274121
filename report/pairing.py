"""One rule for how far two networks are apart in quality, for all of a page: findings, tables and the recommendation.

1. *By seed*, where both were trained with several seeds in common: noise and images of a seed are the same for both.
2. *By image*, where they have one seed in common, kept the scores of every test image, and saw the same images (by
   their hashes).
3. Else as if their images were others, which is wider than it need be.

Images that are exact on either side, or noisy, count for neither (:mod:`results.scores`).  Files of
scores are read only where a difference hangs on them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from report.groups import mean
from results.loading import Run
from results.schema import Record
from results.scores import EXACT, combined, differences, read_scores
from results.statistics import Interval, mean_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Configuration = tuple[Any, ...]
Condition = tuple[Any, ...]
Trials = Mapping[tuple[Condition, Configuration], Sequence[Record]]

FILES_KEPT = 512
"""Files of scores in memory at a time: 40 MB of 10,000 images each."""


class Pairing:
    """Differences in gain between configurations.  Backends compute the same: their trials of one seed are averaged."""

    def __init__(self, run: Run, trials: Trials) -> None:
        folders = run.folders or (run.folder,)
        self._read = lru_cache(FILES_KEPT)(lambda path: read_scores(folders, path))
        self._trials: dict[tuple[Condition, Configuration], dict[int, list[Record]]] = {}
        for key, records in trials.items():
            seeds: dict[int, list[Record]] = defaultdict(list)
            for record in records:
                seeds[record["cell"]["seed"]].append(record)
            self._trials[key] = dict(seeds)
        self._found: dict[tuple[Any, ...], Interval] = {}

    def gap(self, conditions: Sequence[Condition], a: Configuration, b: Configuration) -> Interval:
        """Gain of ``a`` minus that of ``b``, dB, mean over ``conditions``, under all of which both were trained."""
        key = (tuple(conditions), a, b)
        if key not in self._found:
            found = self._gap(conditions, a, b)
            self._found[key] = found
            self._found[key[0], b, a] = Interval(-found.value, -found.high, -found.low)
        return self._found[key]

    def sign(self, conditions: Sequence[Condition], a: Configuration, b: Configuration) -> int:
        """1 where ``a`` gains measurably more than ``b``, -1 where it gains less, else 0: as :meth:`gap` says, without
        reading a file where no pairs could change it."""
        shared = self._shared(conditions, a, b)
        if len(shared) == 1 and not self._exact(conditions, a, b, shared):
            value, halves = self._apart(conditions, a, b, shared)
            if math.isfinite(sum(halves)) and abs(value) > sum(halves):  # no correlation makes an interval wider
                return 1 if value > 0 else -1
        found = self.gap(conditions, a, b)
        return 0 if found.includes(0.0) else 1 if found.low > 0 else -1

    def leader(self, conditions: Sequence[Condition], ordered: Sequence[Configuration]) -> Configuration:
        """The first of ``ordered``, by mean gain, unless another is measurably ahead of it: means may be over other
        seeds, or leave out other images, than the pairs of two have in common."""
        first, *others = ordered
        for one in others:
            if self.sign(conditions, one, first) > 0:
                first = one
        return first

    # -- the rule ----------------------------------------------------------------------------------------------------

    def _gap(self, conditions: Sequence[Condition], a: Configuration, b: Configuration) -> Interval:
        shared = self._shared(conditions, a, b)
        if len(shared) > 1:
            return mean_interval([mean([self._of_seed(c, a, b, seed) for c in conditions]) for seed in shared])
        if shared and (found := self._over_images(conditions, a, b, shared[0])) is not None:
            return found
        value, halves = self._apart(conditions, a, b, None)
        half = math.hypot(*halves)
        return Interval(value, value - half, value + half)

    def _shared(self, conditions: Sequence[Condition], a: Configuration, b: Configuration) -> list[int]:
        """The seeds that both have under all ``conditions``."""
        return sorted(set.intersection(*(set(self._trials[c, one]) for c in conditions for one in (a, b))))

    def _of_seed(self, condition: Condition, a: Configuration, b: Configuration, seed: int) -> float:
        """Exact images are not the same for both, so means that leave them out are of different images: then images
        are paired, as far as they were kept."""
        if self._exact([condition], a, b, [seed]):
            part = self._by_image(condition, a, b, seed)
            if part is not None:
                return float(combined([part]).mean())
        sides = [[r["metrics"]["psnr_gain"] for r in self._trials[condition, one][seed]] for one in (a, b)]
        return mean(sides[0]) - mean(sides[1])

    def _apart(
        self, conditions: Sequence[Condition], a: Configuration, b: Configuration, seeds: Sequence[int] | None
    ) -> tuple[float, tuple[float, float]]:
        """The difference of means over ``seeds`` (None: all of each), and half the interval of each mean."""
        means, halves = [], []
        for one in (a, b):
            of_conditions = []
            for condition in conditions:
                trials = self._trials[condition, one]
                chosen = [trials[seed] for seed in (trials if seeds is None else seeds)]
                gains = [mean([record["metrics"]["psnr_gain"] for record in records]) for records in chosen]
                of_conditions.append((mean(gains), mean([half_width(r, "psnr_gain") for rs in chosen for r in rs])))
            means.append(mean([gain for gain, _ in of_conditions]))
            # The conditions have the same test images, so their errors go together: the mean, not one over n.
            halves.append(mean([half for _, half in of_conditions]))
        return means[0] - means[1], (halves[0], halves[1])

    def _over_images(
        self, conditions: Sequence[Condition], a: Configuration, b: Configuration, seed: int
    ) -> Interval | None:
        """Over test images; None where scores of one are missing.  Conditions with the same images (not those of two
        data sets) are averaged image by image."""
        sets: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for condition in conditions:
            part = self._by_image(condition, a, b, seed)
            if part is None:
                return None
            (record, *_) = self._trials[condition, a][seed]
            sets[record["hashes"]["data"]].append(part)
        if any(len({len(part) for part in parts}) > 1 for parts in sets.values()):
            return None
        found = [mean_interval(combined(parts)) for parts in sets.values()]
        weights = [len(parts) / len(conditions) for parts in sets.values()]
        value = math.fsum(weight * one.value for weight, one in zip(weights, found, strict=True))
        half = math.hypot(*(weight * (one.high - one.low) / 2 for weight, one in zip(weights, found, strict=True)))
        return Interval(value, value - half, value + half)

    def _by_image(
        self, condition: Condition, a: Configuration, b: Configuration, seed: int
    ) -> NDArray[np.float64] | None:
        """PSNR of ``a`` minus that of ``b`` by test image; None where they saw others, or a file is missing."""
        sides = [self._trials[condition, one][seed] for one in (a, b)]
        if not same_images([*sides[0], *sides[1]]):
            return None
        scores = [self._scores(side) for side in sides]
        return None if scores[0] is None or scores[1] is None else differences(scores[0], scores[1])

    def _scores(self, records: Sequence[Record]) -> NDArray[np.float64] | None:
        """Means over ``records`` (n, 2 or 3), exact where one of them is."""
        import numpy as np

        found = [self._read(record["scores"]) if "scores" in record else None for record in records]
        known = [one for one in found if one is not None]
        if len(known) < len(found) or len({len(one) for one in known}) > 1:
            return None
        if len(known) == 1:
            return known[0]
        psnr = np.stack([one[:, 0] for one in known])
        columns = [np.where((psnr > EXACT).any(axis=0), psnr.max(axis=0), psnr.mean(axis=0)), known[0][:, 1]]
        noisy = [one[:, 2] for one in known if one.shape[1] > 2]
        return np.stack(columns + noisy[:1], axis=1)

    def _exact(self, conditions: Sequence[Condition], a: Configuration, b: Configuration, seeds: Sequence[int]) -> bool:
        """Whether an image of theirs came out exact."""
        return any(
            record["metrics"].get("exact", record["metrics"].get("psnr_capped", 0)) > 0
            for condition in conditions
            for one in (a, b)
            for seed in seeds
            for record in self._trials[condition, one][seed]
        )


def same_images(records: Sequence[Record]) -> bool:
    """Whether all saw the same clean and, as far as that was kept, the same noisy test images, by their hashes."""
    hashes = [record.get("hashes", {}) for record in records]
    noisy = {one["noisy_test"] for one in hashes if one.get("noisy_test")}
    return len({one.get("data") for one in hashes}) == 1 and "data" in hashes[0] and len(noisy) < 2


def half_width(record: Record, name: str) -> float:
    """Half the interval of a metric over test images; NaN where there is none."""
    metrics = record["metrics"]
    if f"{name}_low" not in metrics or f"{name}_high" not in metrics:
        return math.nan
    return float(metrics[f"{name}_high"] - metrics[f"{name}_low"]) / 2
