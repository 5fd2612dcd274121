"""What the networks of a run have learned, and what that leaves of "A denoises better than B".

The words are those of :mod:`results.convergence`, here of a configuration: of all its trials under one condition, or
of several conditions.  One that is no better than the mean training image with any of its seeds is shown, and takes no
part in any ranking.  Of others that have not finished learning a lead is a lead so far, and :func:`outlook` says for
how long.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from report import text
from report.groups import epoch_images, mean, over_seeds
from results.convergence import REMEDIES, RISING, State, is_trained, rising_of, state
from results.schema import Record
from results.statistics import Interval, mean_interval

MOST_TIMES = 100.0
"""Nobody trains a network so many times as long to see whether it catches up, and no slope holds for that."""
LEAST_TIMES = 1.1
"""More training than this is told as a number."""
NAMED = 3
"""Of networks that have not learned, so many are named in a sentence."""
TOPICS = ("Quality", "Worth", "Robustness", "Codes", "Defaults", "Time to PSNR", "Agreement")
"""Of findings that compare how well networks denoise: of networks that have all learned nothing they say nothing."""
DOUBLING = "per doubling of its training"


@dataclass(frozen=True)
class Learned:
    """What the trials of one configuration came to.  ``rising``: dB of validation PSNR per doubling of the training,
    mean over backends and seeds (``by_seed``), with its interval: over seeds where there are several, else that of the
    curve.  ``unlearned``: trials that are no better than the mean training image, of ``trials``."""

    word: State | None = None
    rising: Interval | None = None
    by_seed: Mapping[int, float] = field(default_factory=dict)
    seeds: frozenset[int] = frozenset()
    unlearned_seeds: frozenset[int] = frozenset()
    unlearned: tuple[Record, ...] = ()
    trials: int = 0
    conditions: int = 1
    unlearned_conditions: int = 0
    tested: bool = False
    """The curve was taken on the test images, or some of it: so it is in older records."""

    @property
    def trained(self) -> bool:
        """Whether its quality may be ranked."""
        return not self.unlearned

    @property
    def unfinished(self) -> bool:
        return self.word == "unfinished"

    @property
    def some(self) -> str:
        """ "1 of 3 seeds, under 2 of 4 conditions": where it has not learned, unless that is everywhere."""
        parts = []
        if 0 < len(self.unlearned_seeds) < len(self.seeds):
            parts.append(f"{len(self.unlearned_seeds)} of {len(self.seeds)} seeds")
        if 0 < self.unlearned_conditions < self.conditions:
            parts.append(f"under {self.unlearned_conditions} of {self.conditions} conditions")
        return ", ".join(parts)

    @property
    def slope(self) -> str:
        """ "+0.83 dB per doubling"; "" where none is known."""
        return f"{text.signed(self.rising.value)} dB per doubling" if self.rising else ""


UNKNOWN = Learned()


def learned(trials: Sequence[Record]) -> Learned:
    """Of ok trials of one configuration under one condition, which differ in backend and seed."""
    by_seed: dict[int, list[dict[str, float]]] = defaultdict(list)
    for record in trials:
        if (slope := rising_of(record)) is not None:
            ends = {"rising": slope.value, "rising_low": slope.low, "rising_high": slope.high}
            by_seed[record["cell"]["seed"]].append(ends)
    without = tuple(record for record in trials if not is_trained(record))
    return _worded(
        Learned(
            rising=over_seeds(by_seed, "rising") if by_seed else None,
            by_seed={seed: mean([one["rising"] for one in found]) for seed, found in sorted(by_seed.items())},
            seeds=frozenset(record["cell"]["seed"] for record in trials),
            unlearned_seeds=frozenset(record["cell"]["seed"] for record in without),
            unlearned=without,
            trials=len(trials),
            unlearned_conditions=int(bool(without)),
            tested=any(record["cell"].get("val", "test") == "test" for record in trials),
        )
    )


def together(parts: Sequence[Learned]) -> Learned:
    """Of one configuration under several conditions: as its gain, its rise is the mean over them."""
    if len(parts) == 1:
        return parts[0]
    rising, by_seed = None, {}
    known = [part.rising for part in parts if part.rising]
    if known and len(known) == len(parts):
        common = set.intersection(*(set(part.by_seed) for part in parts))
        by_seed = {seed: mean([part.by_seed[seed] for part in parts]) for seed in sorted(common)}
        value = mean([one.value for one in known])
        # The conditions share their clean images, so their curves err together: the mean of their ends.
        rising = Interval(value, mean([one.low for one in known]), mean([one.high for one in known]))
        if len(by_seed) > 1:
            rising = mean_interval(list(by_seed.values()))
    return _worded(
        Learned(
            rising=rising,
            by_seed=by_seed,
            seeds=frozenset().union(*(part.seeds for part in parts)),
            unlearned_seeds=frozenset().union(*(part.unlearned_seeds for part in parts)),
            unlearned=tuple(record for part in parts for record in part.unlearned),
            trials=sum(part.trials for part in parts),
            conditions=sum(part.conditions for part in parts),
            unlearned_conditions=sum(part.unlearned_conditions for part in parts),
            tested=any(part.tested for part in parts),
        )
    )


def _worded(found: Learned) -> Learned:
    word: State | None = None
    if found.unlearned:
        # Those that still learn need longer; only where none of them does has it collapsed.
        word = "collapsed" if all(state(record) == "collapsed" for record in found.unlearned) else "untrained"
    elif found.rising:
        word = "unfinished" if found.rising.value > RISING else "converged"
    return replace(found, word=word)


# -- leads, as far as curves allow ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rival:
    """Somebody behind the leader: by ``gap`` dB, positive where the leader has more."""

    label: str
    learned: Learned
    gap: Interval

    @property
    def behind(self) -> bool:
        """Whether there is a gap to close: otherwise the two are not told apart."""
        return self.gap.low > 0 if self.gap.known else self.gap.value > 0


def times_needed(gap: float, rising: Interval) -> Interval:
    """How many times the training so far (at the same time all that it has seen) closes ``gap`` dB at ``rising`` dB per
    doubling.  Infinite for a slope that never closes it; the ends are those of the slope, NaN where it has none."""

    def times(slope: float) -> float:
        if math.isnan(slope):
            return math.nan
        doublings = gap / slope if slope > 0 else math.inf
        return math.inf if doublings > 1000 else 2.0 ** max(doublings, 0.0)

    return Interval(times(rising.value), times(rising.high), times(rising.low))


def times_text(times: Interval) -> str:
    """ "about 4.0 times", "about 4.0 times (2.9 to more than 100 times)", "more than 100 times"."""
    if not times.value <= MOST_TIMES:
        return f"more than {MOST_TIMES:g} times"
    if times.value < LEAST_TIMES:  # "1.0 times" says nothing
        return f"less than {LEAST_TIMES:g} times"
    said = f"about {text.significant(times.value, 2)} times"
    if math.isnan(times.low) or math.isnan(times.high):
        return said
    low, high = text.significant(times.low, 2), text.significant(times.high, 2)
    return f"{said} ({low} to {high if times.high <= MOST_TIMES else f'more than {MOST_TIMES:g}'} times)"


def catching_up(rival: Rival) -> str:
    """ "about 4.0 times": how much more training would close its gap; "" for one that is finished, or has none."""
    if not (rival.behind and rival.learned.unfinished and rival.learned.rising):
        return ""
    return times_text(times_needed(rival.gap.value, rival.learned.rising))


def outlook(label: str, leader: Learned, rivals: Iterable[Rival]) -> str:
    """What the curves leave of "``label`` denoises better than ``rivals``, so far"; "" where all are finished and the
    words stand as they are.

    Of several unfinished rivals that one is named which would catch up first.
    """
    parts = []
    late = [(one, one.learned.rising) for one in rivals if one.learned.unfinished and one.learned.rising]
    chasing = [(times_needed(one.gap.value, slope), one) for one, slope in late if one.behind]
    if chasing:
        times, first = min(chasing, key=lambda pair: pair[0].value)
        parts.append(
            f"{first.label} would need {times_text(times)} the training to close the gap at its present slope "
            f"({first.learned.slope})"
        )
    rising = [(one.label, slope.value) for one, slope in late if not one.behind]
    if leader.unfinished and leader.rising:
        rising.insert(0, (f"{label} itself", leader.rising.value))
    if rising:
        who, most = rising[0] if leader.unfinished else max(rising, key=lambda pair: pair[1])
        parts.append(f"{who} is still rising by {text.fixed(most)} dB {DOUBLING}")
    if parts and (leader.tested or any(one.learned.tested for one, _ in late)):
        parts[-1] += " (from the curve on test images)"
    return "; ".join(parts)


# -- the first finding ---------------------------------------------------------------------------------------------


def none_of(found: Sequence[tuple[str, Learned]]) -> bool:
    """Whether there are networks, and all of them have learned nothing."""
    return bool(found) and not any(one.trained for _, one in found)


def said(found: Sequence[tuple[str, Learned]], timed: bool) -> tuple[str, str] | None:
    """(headline, detail) where networks have learned nothing: how many, what that is, what to do.  None without any.

    ``found``: every network with its configuration's name, once for each condition that it was trained for; ``timed``:
    whether there are speeds to read.
    """
    without = [(label, one) for label, one in found if not one.trained]
    if not without:
        return None
    records = [record for _, one in without for record in one.unlearned]
    trials, every = len(records), sum(one.trials for _, one in found)
    n, of, one_ = len(without), len(found), len(without) == 1
    if n == of and trials == every:
        told = "" if every == of else f" ({text.count(every, 'trial')})"
        headline = f"None of the {of} networks{told} has learned to denoise"
        if of == 1:
            headline = f"The only network{told} has not learned to denoise"
    else:
        told = "" if every == of and trials == n else f" ({trials} of {every} trials)"
        headline = f"{n} of {text.count(of, 'network')}{told} {'has' if one_ else 'have'} not learned to denoise"
    they = "it is" if one_ else "they are"
    levels = _mean_image(records)
    sentences = [f"{they} no better than the mean training image{f' ({levels})' if levels else ''}"]
    partly = [one for _, one in without if one.unlearned_seeds < one.seeds]
    if partly:
        which = partly[0].some if one_ else f"{len(partly)} of them with some seeds only"
        sentences[0] += f", {which}"
    names = list(dict.fromkeys(label for label, _ in without))
    if n < of:
        named = names[:NAMED] + ([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])
        sentences.append(f"{they.capitalize()} {text.listing(named)}")
    advised = remedy([one for _, one in without])
    sentences.append(advised[0].upper() + advised[1:])
    if timed:
        sentences.append("Read only the speeds" if n == of else "Of these, read only the speeds")
    return headline, ". ".join(sentences)


def remedy(without: Sequence[Learned]) -> str:
    """What to do for networks that have not learned: more epochs, or for those that no longer learn what ends that."""
    records = [record for one in without for record in one.unlearned]
    stuck = [one for one in without if one.word == "collapsed"]
    seen = _updates(records)
    they, have = ("it", "has") if len(without) == 1 else ("they", "have")
    so_far = f"{they} {have} seen {seen}" if seen else ""
    if stuck and len(stuck) == len(without):
        said = f"{they} no longer learn{'s' if len(without) == 1 else ''} (collapsed): {_remedies(records)}"
        return "; ".join(filter(None, [said, so_far]))
    said = "train longer, for more epochs" + (f": {so_far}" if so_far else "")
    if not stuck:
        return said
    those = f"{len(stuck)} of them no longer {'learns' if len(stuck) == 1 else 'learn'} (collapsed)"
    return f"{said}; {those}, there {_remedies([record for one in stuck for record in one.unlearned])}"


def _remedies(records: Sequence[Record]) -> str:
    """What to try that was not tried: no other loss where all have that one."""
    lossless = REMEDIES.replace("loss = bce, ", "")
    return lossless if all(record["cell"]["loss"] == "bce" for record in records) else REMEDIES


def _mean_image(records: Sequence[Record]) -> str:
    levels = [record["metrics"]["psnr_mean_image"] for record in records if "psnr_mean_image" in record["metrics"]]
    ends = dict.fromkeys(text.fixed(level, 1) for level in (min(levels), max(levels))) if levels else {}
    return f"{' to '.join(ends)} dB" if ends else ""


def _updates(records: Sequence[Record]) -> str:
    """ "64 updates", "64 to 128 updates": of the weights, a smaller last batch of an epoch counted."""
    counts = []
    for record in records:
        images = epoch_images(record)
        if images is None:
            return ""
        epochs = len(record.get("curve", ())) or record["cell"]["epochs"]
        counts.append(epochs * math.ceil(images / record["cell"]["batch_size"]))
    ends = list(dict.fromkeys((min(counts), max(counts))))
    return f"{f'{ends[0]:,} to ' if ends[1:] else ''}{text.count(ends[-1], 'update')}"
