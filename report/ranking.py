"""The ranking of networks in words: who gains most, how far the next is behind, and where it does harm."""

from __future__ import annotations

from collections.abc import Sequence

from report import learned, text
from report.pairing import Condition, Configuration
from report.quality import Quality, Standing

LISTED = 3
"""Conditions that a sentence names."""


def said(found: Quality) -> tuple[str, str] | None:
    """(headline, detail): the configuration that gains most over the noisy input, and whether the next is measurably
    worse; None where nothing was trained under conditions that all have."""
    every, shared = found.standings()
    standings = [one for one in every if one.learned.trained]
    if not standings:
        return None
    best, *others = standings
    so_far = outlook(found, shared, best, others)
    tied = [one for one in others if found.pairing.sign(shared, best.configuration, one.configuration) == 0]
    so = " so far" if so_far else ""
    gain, mixed = gain_said(found, shared, best), disagree(found, shared, best.configuration)
    if mixed and len(found.configurations) > 1:
        headline = f"{best.label} denoises best{so}, but does harm under some noise, {gain}"
    elif len(found.configurations) == 1:
        headline = f"Only one network was trained here, so there is no ranking: {best.label}, {gain}"
    elif best.gain.known and best.gain.high < 0:
        headline = f"No network gains over the noisy input; least is lost by {best.label}, {gain}"
    elif best.gain.known and best.gain.low <= 0:
        headline = f"No network gains measurably over the noisy input; nearest comes {best.label}, {gain}"
    else:
        headline = f"{best.label} denoises best{so}, {gain}"
    parts = []
    if tied:
        names = [one.label for one in tied[:2]] + ([f"{len(tied) - 2} more"] if len(tied) > 2 else [])
        parts.append(f"no measurable difference from {text.listing(names)}")
    elif others:
        gap = found.pairing.gap(shared, best.configuration, others[0].configuration)
        parts.append(f"second: {others[0].label}, {text.behind(gap)}")
    elif len(found.configurations) > 1:
        parts.append(
            "no other network has learned to denoise"
            if len(every) > 1
            else "no other network was trained under all of it"
        )
    harm = harm_said(found, shared, best.configuration)
    parts += [harm] if harm else []
    harmless = [one.label for one in others if harm and not harmed(found, shared, one.configuration)]
    parts += [f"best of those that are not: {harmless[0]}"] if harmless else []
    parts += [so_far] if so_far else []
    over = found.over(shared)
    if len(shared) > 1 and (others or not mixed):
        over = f"ranked by the mean over {over}" if mixed else f"mean over {over}"
    sample = f"{over}; {basis(found, best)}"
    return headline, f"{'; '.join(parts)} ({sample})" if parts else sample


def outlook(found: Quality, shared: Sequence[Condition], best: Standing, others: Sequence[Standing]) -> str:
    """What the curves leave of the lead of ``best``; empty where all have finished learning."""
    rivals = [
        learned.Rival(one.label, one.learned, found.pairing.gap(shared, best.configuration, one.configuration))
        for one in others
        if one.learned.unfinished
    ]
    return learned.outlook(best.label, best.learned, rivals)


def gain_said(found: Quality, shared: Sequence[Condition], one: Standing) -> str:
    """What a configuration gains, with its interval: the mean over the ``shared`` conditions, or where it gains under
    some and does harm under others, which no mean tells, the most and the least."""
    if not disagree(found, shared, one.configuration):
        return f"{text.decibels(one.gain)} PSNR over the noisy input"
    gains = {condition: found.scores[condition, one.configuration].interval for condition in shared}
    ends = (max(gains, key=lambda c: gains[c].value), min(gains, key=lambda c: gains[c].value))
    most, least = (text.decibels(gains[end]) for end in ends)
    where, elsewhere = (found.conditions[end] for end in ends)
    return f"from {most} PSNR over the noisy input under {where} to {least} under {elsewhere}"


def disagree(found: Quality, shared: Sequence[Condition], configuration: Configuration) -> bool:
    """Whether it measurably gains under some of the ``shared`` conditions and measurably loses under others."""
    gains = [found.scores[condition, configuration].interval for condition in shared]
    return any(gain.low > 0 for gain in gains) and any(gain.high < 0 for gain in gains)


def harmed(found: Quality, shared: Sequence[Condition], configuration: Configuration) -> list[str]:
    """The names of those conditions under which its images are measurably worse than its noisy input."""
    return [found.conditions[c] for c in shared if found.scores[c, configuration].interval.high < 0]


def harm_said(found: Quality, shared: Sequence[Condition], configuration: Configuration) -> str:
    """ "worse than the noisy input under gaussian(0.2) and gaussian(0.3)"; empty where it is under none, or where there
    is but one condition, whose gain says it."""
    names = harmed(found, shared, configuration)
    if not names or len(shared) < 2:
        return ""
    listed = names[:LISTED] + ([f"{len(names) - LISTED} more"] if names[LISTED:] else [])
    return f"worse than the noisy input under {text.listing(listed)}"


def basis(found: Quality, one: Standing) -> str:
    """The sample that the intervals of a standing are over."""
    if len(one.by_seed) > 1:
        return text.count(len(one.by_seed), "seed")
    images = f"the {found.images[0]:,} test images" if len(found.images) == 1 else "the test images"
    return f"1 seed, so intervals cover {images} only"
