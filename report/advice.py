"""Which network and framework to take: one answer out of a run, by a rule that is written down here.

1. *Quality first.*  Of the configurations that were trained under all conditions, the one with the highest mean gain
   over the noisy input leads.  As good as it are those whose gap to it can not be told from nothing, and those that
   are surely within :data:`NOTICEABLE`.  The gap is paired (:mod:`report.pairing`).
2. *Then speed.*  Of those as good, the one that trains fastest, whoever trains it.  Those whose rates can not be told
   apart from the fastest's are ordered by quality again.
3. *The framework* is the backend and track that trains this network fastest, certified and in a steady state; of
   several that share the first rank the one that also infers fastest.

Nothing is recommended that does not measurably gain over the noisy input, or that is no better than the mean training
image.  Where networks are still learning, the facts say what is so far only.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import learned, ranking, text
from report.naming import backend_key, describe, varying
from report.pairing import Condition, Configuration, Trials
from report.quality import Quality, Standing
from report.ranking import basis, disagree, gain_said, harm_said
from report.speed import RATE, Contestant, Workload, ratio_of
from report.tradeoff import SHARED
from results.loading import Run
from results.schema import Record
from results.statistics import Interval

NOTICEABLE = 0.1
"""dB of PSNR below which nobody sees a difference; that by which ``daebench compare`` judges too."""
PROMINENT = "advise"
"""The sweep whose report opens with the recommendation; those of others have it behind the findings."""
INFERENCE = "inference_samples_per_second"
ID_CHARACTERS = 16
"""Of a record's id: its cell, whatever the versions were."""
RESULTS = (Path("results"), Path("results", "published"))
"""Folders whose runs `daebench export` and `denoise` find by themselves."""
LISTED = 4
_FORM = {"keras": "keras", "torch": "torch"}


@dataclass(frozen=True)
class Candidate:
    """A configuration, how far it is behind the best in quality (``gap``, dB, paired), and the fastest contestant that
    was timed on its network."""

    standing: Standing
    gap: Interval
    load: Workload | None
    fastest: Contestant | None

    @property
    def as_good(self) -> bool:
        """As the best: not told apart from it, or surely within what nobody sees."""
        return not self.gap.known or self.gap.low <= 0 or self.gap.high < NOTICEABLE


@dataclass(frozen=True)
class Advice:
    """``headline`` is what to do, ``facts`` (name, text) are why and how sure, ``commands`` (what for, line) how."""

    headline: str
    facts: tuple[tuple[str, str], ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    prominent: bool = False

    @property
    def detail(self) -> str:
        """All facts in one line."""
        return "; ".join(f"{name.lower()}: {said}" for name, said in self.facts)


def advise(
    run: Run, found: Quality, loads: Sequence[Workload], distrusted: frozenset[str] = frozenset()
) -> Advice | None:
    """The recommendation of ``run``.  None where there is nothing to recommend from, unless it was made for that.
    Trials in ``distrusted`` (ids), which ``found`` is without, count for nothing."""
    prominent = run.about.get("name") == PROMINENT
    left_out = _left_out(run, found)
    every, shared = found.standings()
    standings = [one for one in every if one.learned.trained]
    left_out += _unlearned(every)
    gaining = [one for one in standings if one.gain.known and one.gain.low > 0]
    timed = any(load.ranked for load in loads)
    if not prominent and not (timed and (gaining or (every and not standings))):
        return None
    if not gaining:
        said = "Nothing can be recommended: "
        if not every:
            said += "no network was trained under all conditions; a larger --budget gives each its turn"
        elif not standings:
            said += "no network has learned to denoise under all conditions"
        else:
            best = standings[0]
            said += f"no network gains measurably over the noisy input; nearest comes {best.label}, "
            said += f"{text.decibels(best.gain)} (more images or epochs may help)"
        return Advice(said, left_out, prominent=prominent)
    trials = found.trials_of
    candidates = [_candidate(gaining[0], one, found, shared, _load(one, found, loads, trials)) for one in gaining]
    chosen = choose(candidates)
    facts = [
        ("Quality", _quality(chosen, candidates, found, shared, _alone(standings, every))),
        *_so_far(candidates, standings, found, shared),
        ("Speed", _speed(chosen, candidates, loads)),
    ]
    one = chosen.fastest
    who = f" with {one.backend}, {one.track} track" if one else ""
    records = _records(trials, chosen.standing.configuration, shared, one)
    commands = _commands(run, records, found, one)
    if not commands:
        facts.append(("To use it", "no trained network was kept; keep_weights = true in the sweep keeps them"))
    return Advice(f"Take {chosen.standing.label}{who}", (*facts, *left_out), commands, prominent)


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """By the rule above; the first of ``candidates`` is the best in quality."""
    good = [one for one in candidates if one.as_good]
    timed = [one for one in good if one.fastest]
    if not timed:
        return good[0]
    first = max(timed, key=lambda one: _rate(one.fastest))
    for one in timed:  # the best in quality first
        if one is first or (one.fastest and first.fastest and _ratio(first.fastest, one.fastest).includes(1.0)):
            return one
    return first


def _ratio(a: Contestant, b: Contestant) -> Interval:
    """How many times as fast as ``b`` ``a`` is; that is not known of two machines."""
    if a.record["environment"] != b.record["environment"]:
        return Interval(math.nan, math.nan, math.nan)
    return ratio_of(a, b)


def _rate(one: Contestant | None) -> float:
    return one.metric(RATE).value if one else 0.0


def _candidate(
    best: Standing, one: Standing, found: Quality, shared: Sequence[Condition], load: Workload | None
) -> Candidate:
    gap = (
        found.pairing.gap(shared, best.configuration, one.configuration) if one is not best else Interval(0.0, 0.0, 0.0)
    )
    return Candidate(one, gap, load, _first(load) if load else None)


# -- what belongs together -----------------------------------------------------------------------------------------


def _load(one: Standing, found: Quality, loads: Sequence[Workload], trials: Trials) -> Workload | None:
    """The timed workload of the same network, trained the same way.  Of several that which has most in common with its
    trials (device, threads, machine ...), and of several code sizes the nearest, on which speed hardly depends."""
    own = dict(zip(found.configuration_axes, one.configuration, strict=True))
    latent = own.pop("latent")
    fitting = [
        load
        for load in loads
        if load.ranked and all(load.axes[name] == value for name, value in own.items() if name in load.axes)
    ]
    records = [record for (_, configuration), group in trials.items() for record in group
               if configuration == one.configuration]  # fmt: skip
    met = {name: {record["cell"].get(name) for record in records} for name in SHARED}
    machines = {record["environment"] for record in records}

    def apart(load: Workload) -> tuple[int, int]:
        others = sum(load.axes.get(name) not in values for name, values in met.items())
        return others + (load.environment not in machines), abs((load.axes["latent"] or 0) - (latent or 0))

    return min(fitting, key=apart, default=None)


def _first(load: Workload) -> Contestant:
    """Of the leaders, which may be several, the fastest in inference, or where that was not timed in training."""
    leaders = [standing.contestant for standing in load.leaders]
    able = [one for one in leaders if math.isfinite(one.metric(INFERENCE).value)]
    return max(able, key=lambda one: (one.metric(INFERENCE).value, one.name), default=leaders[0])


def _records(
    trials: Trials, configuration: Configuration, shared: Sequence[Condition], one: Contestant | None
) -> list[tuple[Condition, Record]]:
    """For each condition a trained network of ``configuration`` that was kept, by ``one``'s backend if there is one."""
    found = []
    for condition in shared:
        kept = [record for record in trials[condition, configuration] if "weights" in record]
        kept.sort(key=lambda record: (one is None or record["cell"]["backend"] != one.backend, *_order(record["cell"])))
        found += [(condition, kept[0])] if kept else []
    return found


def _order(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*backend_key(cell["backend"]), cell["seed"])


# -- in words ------------------------------------------------------------------------------------------------------


def _quality(
    chosen: Candidate, candidates: Sequence[Candidate], found: Quality, shared: Sequence[Condition], alone: str
) -> str:
    own = chosen.standing
    over = (
        found.over(shared)
        if len(shared) == 1 or disagree(found, shared, own.configuration)
        else (f"mean over {found.over(shared)}")
    )
    said = f"{gain_said(found, shared, own)} ({over}; {basis(found, own)})"
    if harm := harm_said(found, shared, own.configuration):
        said += f"; {harm}"
    best = candidates[0]
    alike = [one for one in candidates if one.as_good and one is not chosen]
    worse = [one for one in candidates if not one.as_good]
    if chosen is not best:
        slower = _slower(chosen.fastest, best.fastest)
        if chosen.gap.known and chosen.gap.low > 0:
            said += f"; {text.behind(chosen.gap)} {best.standing.label}{slower}: surely below {NOTICEABLE:g} dB, which "
            said += "nobody sees"
        else:
            said += f"; no measurable difference from {best.standing.label}{slower}"
        alike = [one for one in alike if one is not best]
    if alike:
        said += f"; as good: {_names(alike)}"
    if worse:
        # The gap of the chosen one is nothing that counts, so the best one's lead over the next is its own.
        whom = "" if chosen is best else f" {best.standing.label}"
        said += f"; next: {worse[0].standing.label}, {text.behind(worse[0].gap)}{whom}"
    if len(candidates) == 1:
        said += f"; {alone}"
    return said


def _alone(standings: Sequence[Standing], every: Sequence[Standing]) -> str:
    """Why there is but one candidate."""
    if len(standings) > 1:
        return "no other network gains"
    return "no other network " + ("has learned to denoise" if len(every) > 1 else "was trained under all of it")


def _so_far(
    candidates: Sequence[Candidate], standings: Sequence[Standing], found: Quality, shared: Sequence[Condition]
) -> tuple[tuple[str, str], ...]:
    """That the best in quality need not stay so."""
    best = candidates[0].standing
    said = ranking.outlook(found, shared, best, [one for one in standings if one is not best])
    return (("So far", said),) if said else ()


def _unlearned(standings: Sequence[Standing]) -> tuple[tuple[str, str], ...]:
    """Who was not considered, for want of training."""
    without = [one for one in standings if not one.learned.trained]
    if not without:
        return ()
    some = f" ({without[0].learned.some})" if len(without) == 1 and without[0].learned.some else ""
    names = _listed([one.label for one in without])
    verb = "is" if len(without) == 1 else "are"
    remedy = learned.remedy([one.learned for one in without])
    return (("Not considered", f"{names}{some} {verb} no better than the mean training image; {remedy}"),)


def _slower(chosen: Contestant | None, best: Contestant | None) -> str:
    """That the best in quality was not chosen for its speed.  Chosen was the fastest, or one not told apart from it."""
    if chosen is None or best is None:
        return ", which was not timed"
    return ", which trains more slowly" + ("" if _ratio(chosen, best).low > 1 else " than the fastest")


def _speed(chosen: Candidate, candidates: Sequence[Candidate], loads: Sequence[Workload]) -> str:
    one, load = chosen.fastest, chosen.load
    if one is None or load is None:
        return "not measured for this network: any certified framework gives this quality"
    said = f"trains {text.quantity(one.metric(RATE))} images/s"
    differing = varying([other.axes for other in loads if other.ranked], SHARED)
    if differing:
        said += f" ({describe(load.axes, differing)})"
    if (inference := one.metric(INFERENCE)).value > 0:
        said += f" and denoises {text.quantity(inference)}"
    others = [standing.contestant for standing in load.ranked if standing.contestant is not one]
    if others:
        after = min(others, key=lambda other: next(s.rank or 0 for s in load.ranked if s.contestant is other))
        ratio = ratio_of(one, after)
        said += f"; {text.ratio(ratio)} times the rate of {after.name}"
        # Of those that are not told apart it need not be the first: it denoises fastest.
        said += " (not told apart)" if ratio.includes(1.0) else ", the next"
    latent = chosen.standing.configuration[1]
    if load.axes["latent"] != latent:
        said += f"; timed with a code of {load.axes['latent']}"
    # Of two that were timed as one (by other epochs, or codes of another size) no ratio is known, nor of two machines.
    rivals = [
        other
        for other in candidates
        if other.as_good
        and other.load not in (None, load)
        and other.load
        and other.load.environment == load.environment
    ]
    if rivals:
        slower = max(rivals, key=lambda other: _rate(other.fastest))
        assert slower.fastest is not None
        said += f"; {text.ratio(ratio_of(one, slower.fastest))} times that of {slower.standing.label}, which is as good"
    return said


def _names(candidates: Sequence[Candidate]) -> str:
    return _listed([one.standing.label for one in candidates])


def _listed(names: list[str]) -> str:
    return text.listing(names[:LISTED] + ([f"{len(names) - LISTED} more"] if len(names) > LISTED else []))


def _left_out(run: Run, found: Quality) -> tuple[tuple[str, str], ...]:
    """What was not tried for want of budget, and what there is not for images of this size."""
    said = []
    skipped = [record for record in run.current if record["status"] == "skipped" and "budget" in str(record["reason"])]
    if skipped:
        kinds = {"trial": "trial", "timing": "timed contestant", "yardstick": "yardstick"}
        counts = [
            text.count(sum(record["kind"] == kind for record in skipped), noun)
            for kind, noun in kinds.items()
            if any(record["kind"] == kind for record in skipped)
        ]
        standings, _ = found.standings()
        full = {standing.configuration[:2] for standing in standings}
        networks = dict.fromkeys(
            (str(record["cell"]["architecture"]), record["cell"]["latent"])
            for record in skipped
            if record["kind"] == "trial"
        )
        partly = [
            f"{name}{f' ({latent})' if latent else ''}" for name, latent in networks if (name, latent) not in full
        ]
        who = f" (so {text.listing(partly)} did not take part)" if partly else ""
        if counts:
            said.append(("Not tried", f"{text.listing(counts)} for want of budget{who}; the same command goes on"))
    unfit = dict.fromkeys(
        str(record["reason"]) for record in run.of("trial", "unsupported") if "images" in str(record["reason"])
    )
    if unfit:
        said.append(("Not possible", "; ".join(list(unfit)[:LISTED])))
    return tuple(said)


def _commands(
    run: Run, records: Sequence[tuple[Condition, Record]], found: Quality, one: Contestant | None
) -> tuple[tuple[str, str], ...]:
    lines = []
    for condition, record in records:
        where = _place(run, record)
        identity = record["id"][:ID_CHARACTERS]
        backend = one.backend if one else record["cell"]["backend"]
        form = _FORM.get(backend.partition("[")[0], "onnx")
        noise = found.conditions[condition]
        lines.append(
            (
                f"denoise pictures with noise like {noise}",
                f"daebench denoise IMAGE... --record {identity} -o DIR{where}",
            )
        )
        lines.append((f"take the network trained on {noise}", f"daebench export {identity} --to {form}{where}"))
    return tuple(lines)


def _place(run: Run, record: Record) -> str:
    """What says where ``record`` is; nothing where it is found without."""
    folders = run.folders or (run.folder,)
    folder = next((one for one in folders if (one / record["weights"]).is_file()), folders[0])
    found = folder.absolute().parent in [home.absolute() for home in RESULTS]
    return "" if found else f" --run {shlex.quote(str(folder))}"
