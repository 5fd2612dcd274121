"""What a run says, in sentences with intervals; also where it says nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from report import (
    agreement,
    codes,
    free,
    inputs,
    learned,
    native,
    ranking,
    reproduction,
    robustness,
    scoring,
    text,
    yardsticks,
)
from report.advice import Advice
from report.analysis import Analysis as Analysis
from report.analysis import Scored
from report.analysis import analyse as analyse
from report.certification import Certification, worst_ratio
from report.naming import backend_key
from report.quality import Quality
from report.reach import Race
from report.speed import MARGIN, NEVER_STEADY, RATE, Standing, Workload, ratio_of
from report.start import Epoch, Meeting, Start
from report.tracks import Gain
from results.breakeven import breakeven
from results.coarseness import as_exact, is_reduced
from results.departures import meaning

ADVICE = "Recommendation"
"""Topic of the finding that the report shows apart."""
MOST_SENTENCES = 2
"""With more timed networks than this, the winners share one sentence."""
MOST_COMPARISONS = 10
"""More comparisons than this are counted in a sentence, and named in a table only."""


@dataclass(frozen=True)
class Finding:
    """``topic`` is one or two words; ``headline`` what was found and how large it is; ``detail`` how sure it is."""

    topic: str
    headline: str
    detail: str = ""

    @property
    def sentence(self) -> str:
        """Headline and detail in one."""
        return f"{self.headline}: {self.detail}." if self.detail else f"{self.headline}."


def findings(analysis: Analysis) -> list[Finding]:
    """The sentences, the most important first.  Never empty.  What is about images stands for each set of them."""
    parts = [(one, _of_set(one, analysis)) for one in analysis.sets]
    none = learned.none_of([lesson for one in analysis.sets for lesson in one.lessons])
    found = [
        *_if_said("Inputs", inputs.said(analysis.given)),  # before what rests on it
        *(finding for _, (first, _) in parts for finding in first),
        *reproduction_findings(analysis.reproduced),
        *speed_findings(analysis.loads),
        *(finding for _, (_, then) in parts for finding in then),
        *(agreement_findings(analysis.agreed) if not none else ()),
        *track_findings(analysis.gains),
        *breakeven_findings(analysis.starts, analysis.epoch),
        *steady_findings(analysis.loads),
        *certificate_findings(analysis.proof),
    ]
    return found or [Finding("Nothing", "No cell of this run has come to a figure; its records say why")]


def _of_set(one: Scored, analysis: Analysis) -> tuple[list[Finding], list[Finding]]:
    """What is said of one set of images, before and after the speeds."""
    first = [
        *_if_said("Learning", learned.said(one.lessons, any(load.standings for load in analysis.loads))),
        *_if_said("Worth", free.said(one.worths)),  # before anybody is said to be best
        *advice_findings(one.advice),
    ]
    then = [
        *_if_said("Quality", ranking.said(one.quality)),
        *_if_said("Exact images", scoring.exact_said(one.quality)),
        *_if_said("Scores", scoring.mixed_said(one.quality)),
        *_if_said("Yardsticks", yardsticks.said(one.worths)),
        *_if_said("Robustness", robustness.said(one.matrices)),
        *_if_said("Codes", codes.said(one.judged)),
        *_if_said("Defaults", native.said(one.native)),
        *reach_findings(one.race),
    ]
    if learned.none_of(one.lessons):
        first, then = ([f for f in those if f.topic not in learned.TOPICS] for those in (first, then))

    def told(finding: Finding) -> Finding:
        said = one.data.told(finding.headline)
        return replace(finding, headline=said[:1].upper() + said[1:] if one.data.label else said)

    return [told(finding) for finding in first], [told(finding) for finding in then]


def _if_said(topic: str, said: tuple[str, str] | None) -> list[Finding]:
    return [Finding(topic, *said)] if said else []


def advice_findings(found: Advice | None) -> list[Finding]:
    """The recommendation, of a run that was made for one."""
    return [Finding(ADVICE, found.headline, found.detail)] if found and found.prominent else []


def reproduction_findings(found: reproduction.Found) -> list[Finding]:
    """How much of what was published came out."""
    said = reproduction.finding(found)
    return [Finding("Reproduction", *said)] if said else []


# -- speed ---------------------------------------------------------------------------------------------------------


def speed_findings(loads: Sequence[Workload]) -> list[Finding]:
    """The fastest of each network, and by how much."""
    ranked = [load for load in loads if load.ranked]
    found: list[Finding] = []
    if len(ranked) <= MOST_SENTENCES:
        found = [_fastest(load) for load in ranked]
    else:
        rounds = sorted({load.rounds for load in ranked})
        n = text.count(rounds[0], "round") if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]} rounds"
        detail = f"{'; '.join(_fastest_short(load) for load in ranked)} (n = {n})"
        alone = len({(load.axes["architecture"], load.axes["latent"]) for load in ranked}) == len(ranked)
        what = "network" if alone else "workload"
        found = [Finding("Speed", f"Who trains fastest depends on the {what} ({len(ranked)} timed)", detail)]
        if len({tuple(sorted(one.contestant.name for one in load.leaders)) for load in ranked}) == 1:
            leaders = [one.contestant.name for one in ranked[0].leaders]
            names = f"{text.listing(leaders)} {'trains' if len(leaders) == 1 else 'train'}"
            found = [Finding("Speed", f"{names} fastest on all {len(ranked)} timed {what}s", detail)]
    bare = [load.label for load in loads if load.standings and not load.ranked]
    if bare:
        headline = f"{text.listing(bare)}: speeds were measured, but none is ranked"
        found.append(Finding("Speed", headline, "no contestant has both a certificate that holds and a steady state"))
    return found


def _fastest(load: Workload) -> Finding:
    leaders, n = load.leaders, f"n = {text.count(load.rounds, 'round')}"
    first = leaders[0].contestant
    rate = f"{text.significant(first.metric(RATE).value)} images/s"
    rest = [standing for standing in load.ranked if standing.rank != 1]
    follower = f"{_ratio(leaders[0], rest[0])} times the rate of {rest[0].contestant.name}" if rest else ""
    if len(load.ranked) == 1:
        return Finding("Speed", f"{load.label}: {first.name} trains {rate}", f"nothing else is ranked beside it ({n})")
    if len(leaders) > 1:
        names = text.listing([standing.contestant.name for standing in leaders])
        detail = f"{rate}, first over last of them {_ratio(leaders[0], leaders[-1])}"
        detail += f"; {follower}, the next ({n})" if follower else f" ({n})"
        if all(standing.same for standing in leaders if standing is not leaders[0]):
            said = f"{names} train fastest without a measurable difference (within {100 * MARGIN:g} %)"
        else:  # of each other some may well be told apart: all that is known is how they stand to the first
            others = text.listing([standing.contestant.name for standing in leaders[1:]])
            said = f"{first.name} trains fastest, but can not be told apart from {others}"
        return Finding("Speed", f"{load.label}: {said}", detail)
    return Finding("Speed", f"{load.label}: {first.name} trains fastest, {follower}", f"{rate} ({n})")


def _ratio(a: Standing, b: Standing) -> str:
    return text.ratio(ratio_of(a.contestant, b.contestant))


def _fastest_short(load: Workload) -> str:
    leaders = load.leaders
    names = text.listing([standing.contestant.name for standing in leaders])
    if len(leaders) > 1:
        alike = all(standing.same for standing in leaders if standing is not leaders[0])
        return f"{load.label} {names} ({'no measurable difference' if alike else 'not told apart'})"
    rest = [standing for standing in load.ranked if standing.rank != 1]
    ratio = f"{_ratio(leaders[0], rest[0])} times the next" if rest else "alone"
    return f"{load.label} {names}, {ratio}"


def track_findings(found: Sequence[Gain]) -> list[Finding]:
    """What the tuned path brings over the idiomatic one: by backend, or of many the largest and the smallest."""
    if not found:
        return []
    ratios = [gain.ratio for gain in found]
    counts = {
        "faster": sum(ratio.known and ratio.low > 1 for ratio in ratios),
        "slower": sum(ratio.known and ratio.high < 1 for ratio in ratios),
        "not measurably different": sum(ratio.includes(1.0) for ratio in ratios),
    }
    said = text.listing([f"{word} in {count}" for word, count in counts.items() if count])
    headline = f"Of {text.count(len(ratios), 'comparison')}, the tuned track is {said}"
    if counts["faster"] == len(ratios):
        headline = "Every tuned track trains faster than the idiomatic one of its backend"
    rounds = text.listing([str(number) for number in sorted({gain.n for gain in found})])
    if len(found) > MOST_COMPARISONS:
        least, *_, most = sorted(found, key=lambda gain: gain.ratio.value)
        return [Finding("Tuning", headline, f"ratio of rates from {least.said} to {most.said} (n = {rounds} rounds)")]
    parts: dict[str, list[str]] = {}
    for gain in found:
        parts.setdefault(gain.backend, []).append(f"{text.ratio(gain.ratio)} for {gain.load.label}")
    detail = "; ".join(f"{name} {', '.join(parts[name])}" for name in sorted(parts, key=backend_key))
    return [Finding("Tuning", headline, f"ratio of rates {detail} (n = {rounds} rounds)")]


def breakeven_findings(starts: Sequence[Start], epoch: Epoch | None) -> list[Finding]:
    """When the tuned track, which starts dearly, has paid off."""
    # One fresh process of each says nothing.
    several = [(start.load.label, [one for one in start.of_tracks if one.found.rounds > 1]) for start in starts]
    meetings = [(label, meeting) for label, those in several for meeting in those]
    if not meetings:
        return []
    kinds = [meeting.found.kind for _, meeting in meetings]
    counts = {
        "from the start": kinds.count("always"),
        "after some time": kinds.count("overtakes"),
        "only at first": kinds.count("overtaken"),
        "never": kinds.count("never"),
    }
    undecided = len(kinds) - sum(counts.values())
    open_ = "Counted from a cold start, it is open whether"
    if len(meetings) == 1:
        ((label, only),) = meetings
        if undecided:
            return [Finding("Break-even", f"{label}: {open_} {only.a.name} is ever ahead of {only.b.track}")]
        said = f"Counted from a cold start, {only.a.name} is ahead of {only.b.track} {_meets(only, epoch)}"
        return [Finding("Break-even", f"{label}: {said}")]
    found = text.listing([f"{word} in {count}" for word, count in counts.items() if count])
    headline = f"Counted from a cold start, tuned is ahead of idiomatic {found} of {len(meetings)} comparisons"
    headline += f", undecided in {undecided}" if undecided else ""
    if undecided == len(meetings):
        headline = f"{open_} tuned is ever ahead of idiomatic, in all {undecided} comparisons"
    if len(meetings) > MOST_COMPARISONS:
        return [Finding("Break-even", headline)]  # each stands with its chart
    parts = []
    for label, those in several:
        met = [f"{meeting.a.backend} {_meets(meeting, epoch)}" for meeting in those]
        parts += [f"{label}: {', '.join(met)}"] if met else []
    return [Finding("Break-even", headline, "" if undecided == len(meetings) else "; ".join(parts))]


def lead_sentence(start: Start, epoch: Epoch | None) -> str:
    """Who is first from how many images on, by medians; what is not known for certain is said."""
    first, *rest = start.ahead
    parts = [f"{start.load.label}: {first[0].name} is first {'from the start' if rest else 'whatever their number'}"]
    before = first[0]
    for one, images in rest:
        epochs = f" ({text.significant(images / epoch.size, 2)} epochs of {epoch.dataset})" if epoch else ""
        against = breakeven(one.costs, before.costs)
        why = "their rates are not told apart" if against.rounds > 1 else "by one fresh process of each"
        doubt = f", if at all: {why}" if against.kind == "undecided" else ""
        parts.append(f"{one.name} from {text.significant(images)} images on{epochs}{doubt}")
        before = one
    return "; ".join(parts) + "."


def _meets(meeting: Meeting, epoch: Epoch | None) -> str:
    found = meeting.found
    if found.kind in ("always", "never", "undecided"):
        return {"always": "from the start", "never": "never", "undecided": "undecided"}[found.kind]
    images, epochs = found.images, ""
    if images.low == 0 and (found.kind == "overtakes" or images.value == 0):
        if epoch:
            epochs = f" ({text.significant(images.high / epoch.size, 2)} epochs of {epoch.dataset})"
        word = "within" if found.kind == "overtakes" else "for no more than"
        return f"{word} {text.significant(images.high)} images{epochs}"
    if epoch:
        epochs = f" ({text.significant(images.value / epoch.size, 2)} epochs of {epoch.dataset})"
    word = "after" if found.kind == "overtakes" else "only until"
    return f"{word} {text.quantity(images)} images{epochs}"


def steady_findings(loads: Sequence[Workload]) -> list[Finding]:
    """Who came to no steady state, and so to no rank."""
    parts = []
    for load in loads:
        names = [s.contestant.name for s in load.standings if s.contestant.steady in NEVER_STEADY]
        parts += [f"{load.label}: {text.listing(names)}"] if names else []
    if not parts:
        return []
    headline = "Not every contestant came to a steady state: those that did not are shown, not ranked"
    return [Finding("Steadiness", headline, "; ".join(parts))]


# -- quality -------------------------------------------------------------------------------------------------------


def reach_findings(found: Race | None) -> list[Finding]:
    """Who is first at the last target, counted from nothing."""
    first = found.winner if found else None
    if found is None or first is None or len(found.attempts) < 2:
        return []
    target, time = found.targets[-1], first.expected[-1]
    assert time is not None  # of a winner
    epochs = text.count(round(first.reaches[-1].typical_epochs or 0), "epoch")
    ends = f" [{text.seconds(time.low)}, {text.seconds(time.high)}]" if time.known else ""
    headline = (
        f"From a cold start, {first.contestant.name} with {first.network} is first at {target} dB, "
        f"after {text.seconds(time.value)}{ends}"
    )
    if found.tied:
        names = [f"{one.contestant.name} with {one.network}" for one in found.tied[:2]]
        names += [f"{len(found.tied) - 2} more"] if found.tied[2:] else []
        headline += f", but can not be told apart from {text.listing(names)}"
    late = sum(attempt.expected[-1] is None for attempt in found.attempts)
    detail = f"{epochs}, {found.condition}"
    if late:
        detail += f"; {late} of {len(found.attempts)} timed contestants do not reach it in the epochs they were given"
    return [Finding("Time to PSNR", headline, detail)]


def agreement_findings(found: Quality) -> list[Finding]:
    """Whether the same trial gives the same PSNR in every backend."""
    said = agreement.said(found.agreed)
    if said is None:
        return []
    headline, detail = said
    scale = ""
    if found.seed_noise is not None:
        several, every = found.seeded
        of = f", of the {several} of {every} cells that have several" if several < every else ""
        scale = f"for scale, {text.fixed(found.seed_noise)} dB standard deviation between seeds{of}"
    elif math.isfinite(found.image_noise):
        scale = f"for scale, ±{text.fixed(found.image_noise)} dB from the choice of test images (1 seed)"
    singles = [abs(one.largest) for one in found.agreed if math.isfinite(one.largest)]
    single = f"single trials differ {text.at_most(max(singles))}" if singles else ""
    return [Finding("Agreement", headline, "; ".join(filter(None, [detail, single, scale])))]


def certificate_findings(proof: Certification) -> list[Finding]:
    """How many certificates hold, and what fails first where one does not."""
    tried = proof.tried
    if not tried:
        return []
    ratios = [ratio for record in proof.held if (ratio := worst_ratio(record)) is not None]
    reduced = dict.fromkeys(record["cell"]["precision"] for record in proof.held if is_reduced(record))
    parts = [f"the worst comes to {text.significant(max(ratios), 2)} of its tolerance"] if ratios else []
    departures = proof.departures()
    for departure in departures[:1]:
        cell = departure.record["cell"]
        times = f", {text.significant(departure.times)} times the tolerance" if departure.times is not None else ""
        tensor = f" in {departure.tensor}" if departure.tensor else ""
        more = f", and {len(departures) - 1} more" if len(departures) > 1 else ""
        parts.append(
            f"{cell['backend']} {cell['track']} departs on {cell['architecture']} at {departure.quantity}{tensor}"
            f"{times}{more}: shown, not ranked"
        )
        if means := meaning(departure.record):
            parts.append(f"for who trains so: {means}")
    for precision, names in as_exact(proof.records).items():
        parts.append(f"{precision} changes nothing in {text.listing(names)}: outputs are as exact as in float32")
    crashed = [record for record in tried if record["status"] not in ("ok", "parity_failed")]
    if crashed:
        parts.append(f"{len(crashed)} could not be computed")
    if reduced:
        parts.append(f"those of {text.listing(list(reduced))} judge one batch and three steps of training, no more")
    headline = f"{len(proof.held)} of {text.count(len(tried), 'certificate')} hold"
    return [Finding("Certificates", headline, "; ".join(parts))]
