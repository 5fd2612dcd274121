"""Two recorded runs compared: each cell of the base with the same cell of the head.

What a recorded comparison can not do is to tell a change of the code from a change of the machine between the two
sessions.  Three things keep it honest: every speed is given an error that no number of processes shrinks
(:data:`BETWEEN_SESSIONS`); if the figures of all backends moved together, they are given at least that much
(:func:`common_shift`); and speeds from two machines are not judged at all.  Quality does not depend on the machine
to any margin that matters, and is judged anyway.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare import differences, lessons, scores, wording
from bench.compare.estimates import Estimate, Judged, judge_family, paired, welch
from bench.compare.matching import Matching, Pair, match
from bench.compare.nothing import why_nothing
from report.text import count, listing
from results.agreement import MARGIN as AGREED
from results.comparison import METRICS, Comparison, Metric, Row, Unit
from results.completeness import completeness
from results.loading import Run, is_native, load_run
from results.rates import rate, undisturbed_latencies
from results.roles import CONFIRMED, computation, role
from results.schema import Kind, Record
from results.statistics import NORMAL_95, Interval

BETWEEN_SESSIONS = 0.005
"""Standard deviation of the level of a whole session about what it would be on average, as a share of it.  Of the
order of what processes of one session differ by (0.7 % were recorded), and a floor: sessions of the same code, an
hour apart on a shared machine of two cores, moved by 2 to 4 %, all contestants together.  :func:`common_shift` sees
that; who knows better for his machine says so (``--drift``)."""
LEAST_SEEDS = 3
"""With two, a bound at 99 % is 32 standard errors away (Student's t, one degree of freedom): it says nothing, and the
interval over images says more."""
UNSTEADY = ("no_steady_state", "inconsistent")
"""Verdicts on the settling of a contestant after which its figures are no level that could be compared."""
LARGEST_LOG = 50.0
"""Bounds from two processes can lie anywhere; beyond this the ratio would not fit into a float."""
_IDENTICAL = ("psnr", "ssim", "ssim_wang", "mse")


class CompareRunsError(ValueError):
    """Runs that can not be compared: which, and what to do."""


@dataclass(frozen=True)
class _Draft:
    """A row that waits for its verdict; without an estimate it is inconclusive, for ``reason``."""

    row: Row
    estimate: Estimate | None
    seconds: float = 0.0
    """What both sides took to measure it; 0 where more time would not help."""
    notes: tuple[str, ...] = field(default=())
    remarks: tuple[str, ...] = field(default=())
    """What a reader has to know of the row, whatever its verdict."""


def compare_runs(
    base: Path,
    head: Path,
    *,
    margin: float = 0.03,
    psnr_margin: float = 0.1,
    alpha: float = 0.01,
    metrics: Sequence[Metric] = METRICS,
    drift: float = BETWEEN_SESSIONS,
    allow_missing: bool = False,
) -> Comparison:
    """The run in folder ``head`` judged against that in ``base``.

    ``margin``: slowdown that counts, as a share; ``psnr_margin``: loss that counts, dB; ``alpha``: chance that
    anything is called regressed where nothing is (and, for each row, that a change of the margin passes);
    ``metrics``: what is judged; ``drift``: see :data:`BETWEEN_SESSIONS`.

    Raises RunError for folders that hold no run, CompareRunsError for one that is compared with itself or has nothing
    in common with the other.
    """
    if base.resolve() == head.resolve():
        raise CompareRunsError(f"HEAD {head} is the same run folder as BASE: nothing can differ; name two runs")
    began, clock = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
    runs = load_run(base), load_run(head)
    kinds: list[Kind] = []
    kinds += ["timing"] if set(metrics) - {"psnr"} else []
    kinds += ["trial"] if "psnr" in metrics else []
    matching = match(*runs, kinds)
    timed = [pair for pair in matching.pairs if pair.head["kind"] == "timing"]
    drafts = [_speed(pair, metric, runs, margin) for pair in timed for metric in metrics if metric != "psnr"]
    speeds = [draft for draft in drafts if draft is not None]
    shift = common_shift(
        (draft.row.cell["backend"], draft.estimate.change) for draft in speeds if draft.estimate is not None
    )
    fixed = max(math.sqrt(2.0) * drift, abs(shift))
    speeds = [replace(d, estimate=replace(d.estimate, fixed=fixed)) if d.estimate else d for d in speeds]
    scored = _seeds([pair for pair in matching.pairs if pair.head["kind"] == "trial"])
    quality = [_quality(pairs, runs, psnr_margin) for pairs in scored]
    rows = _judged([*speeds, *quality], alpha)
    if not rows and not matching.failed:
        raise CompareRunsError(_nothing(matching, runs, kinds, metrics))
    return Comparison(
        kind="recorded",
        base=differences.side(runs[0], str(base)),
        head=differences.side(runs[1], str(head)),
        rows=tuple(rows),
        missing=matching.missing,
        new=matching.new,
        renamed=matching.renamed,
        failed=matching.failed,
        differences=differences.differences(*runs),
        warnings=tuple(_warnings(runs, [*speeds, *quality], matching.pairs, drift, shift)),
        allow_missing=allow_missing,
        started=began,
        seconds=time.monotonic() - clock,
        confidence=1.0 - 2.0 * alpha,
    )


def _nothing(matching: Matching, runs: tuple[Run, Run], kinds: Sequence[Kind], metrics: Sequence[Metric]) -> str:
    """That nothing can be compared, and why."""
    if matching.pairs:
        return f"nothing was compared: neither run measured {' or '.join(metrics)} of a cell that stands in both"
    return (
        f"no cell stands in both runs, so nothing was compared: {why_nothing(*runs, kinds)}; name two runs of one sweep"
    )


def common_shift(changes: Iterable[tuple[str, float]]) -> float:
    """What the figures of *every* backend moved by at least; ``changes``: (backend, log ratio of costs).

    Frameworks share no code that computes, so what moves all of them is the machine, or the suite.  For each backend
    the median over its figures; if all medians have one sign, the smallest.  0 with a single backend: nothing can be
    told apart then.
    """
    found: dict[str, list[float]] = {}
    for backend, change in changes:
        found.setdefault(backend, []).append(change)
    medians = [statistics.median(values) for values in found.values()]
    if len(medians) < 2 or not (min(medians) > 0 or max(medians) < 0):
        return 0.0
    return min(medians, key=abs)


# -- speed ---------------------------------------------------------------------------------------------------------


def _speed(pair: Pair, metric: Metric, runs: tuple[Run, Run], margin: float) -> _Draft | None:
    """The row of one speed; None where neither side measured it."""
    figures = [_figures(record, metric) for record in (pair.base, pair.head)]
    if not any(figures):
        return None
    levels = [float(np.exp(np.mean(np.log(side)))) if side else None for side in figures]
    row = Row(
        label=f"{pair.label}, {metric}",
        cell=dict(pair.head["cell"]),
        metric=metric,
        unit="ratio",
        outcome="inconclusive",
        base=levels[0],
        head=levels[1],
        change=None,
        margin=margin,
        rounds=min(map(len, figures)),
        samples={"base": figures[0], "head": figures[1]},
    )
    reason = _why_not(pair, metric, runs, figures)
    if reason:
        return _Draft(replace(row, reason=reason), None)
    sign = 1.0 if metric == "latency" else -1.0  # costs: seconds, or the inverse of images/s
    estimate = welch(*([sign * math.log(value) for value in side] for side in figures))
    return _Draft(row, estimate, float(pair.base["seconds"] + pair.head["seconds"]))


def _why_not(pair: Pair, metric: Metric, runs: tuple[Run, Run], figures: Sequence[Sequence[float]]) -> str:
    records = {"base": pair.base, "head": pair.head}
    for name, side in zip(records, figures, strict=True):
        if not side:
            return f"the {name} did not measure it"
    environments = [run.environment(record) for run, record in zip(runs, records.values(), strict=True)]
    other = differences.other_machine(environments[0], environments[1], pair.head["cell"]["device"])
    if other:
        return other
    for name, record in records.items():
        kind = (record.get("steady") or {}).get(metric)
        if kind in UNSTEADY:
            return f"the {name} reached no steady state ({str(kind).replace('_', ' ')})"
    for name, side in zip(records, figures, strict=True):
        if len(side) < 2:
            return f"the {name} was measured in a single process: no interval can be given"
    return ""


def _figures(record: Record, metric: Metric) -> list[float]:
    """One for each process: images/s, or for latency the median of its seconds."""
    rounds = record.get("samples", {}).get("rounds", [])
    if metric == "latency":
        calls = [undisturbed_latencies(entry) for entry in rounds]
        return [float(np.median(seconds)) for seconds in calls if seconds]
    assert metric != "psnr"
    return [found for entry in rounds if (found := rate(entry, metric))]


# -- quality -------------------------------------------------------------------------------------------------------


def _seeds(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """Trials that differ in their seed alone, together.  Where the sides had other trainers, each seed is there once,
    whoever trained it."""
    groups: dict[Hashable, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(computation(pair.head["cell"], ("seed",)), []).append(pair)
    return [rows for group in groups.values() for rows in _once_a_seed(group)]


def _once_a_seed(group: Sequence[Pair]) -> Iterable[list[Pair]]:
    """The rows that the trials of one network, noise and loss make."""
    first: dict[int, Pair] = {}
    if any(pair.crossed for pair in group):
        # What another trainer made first, for nothing else is there of its seed; else who stands for it.
        for pair in sorted(group, key=lambda pair: (not pair.crossed, role(pair.base) == CONFIRMED)):
            first.setdefault(pair.head["cell"]["seed"], pair)
        yield [first[seed] for seed in sorted(first)]
    by_trainer: dict[str, list[Pair]] = {}
    for pair in group:
        if not any(pair is one for one in first.values()):
            by_trainer.setdefault(repr(sorted(_unseeded(pair.head).items())), []).append(pair)
    yield from by_trainer.values()


def _named(pairs: Sequence[Pair]) -> str:
    """The label of a row of trials: who trained them, one for both sides or each side's own."""
    sides = [list(dict.fromkeys(names)) for names in zip(*(pair.trainers for pair in pairs), strict=True)]
    if sides[0] == sides[1] and len(sides[0]) == 1:
        return pairs[0].label
    who = (f"{name}: {listing(trainers)}" for name, trainers in zip(("base", "head"), sides, strict=True))
    return f"{pairs[0].network} ({', '.join(who)})"


def _unseeded(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record["cell"].items() if name != "seed"}


def _quality(pairs: Sequence[Pair], runs: tuple[Run, Run], margin: float) -> _Draft:
    """PSNR over the seeds that both sides have, in pairs; where seeds are too few over the test images, in pairs too if
    the scores of each were kept."""
    folders = scores.folders_of(runs)
    levels = [scores.levels(pair.base, pair.head) for pair in pairs]
    seeds = [pair.head["cell"]["seed"] for pair in pairs]
    unit: Unit = "dB"
    row = Row(
        label=f"{_named(pairs)}, psnr",
        cell=_unseeded(pairs[0].head),
        metric="psnr",
        unit=unit,
        outcome="inconclusive",
        base=statistics.fmean(base for base, _ in levels),
        head=statistics.fmean(head for _, head in levels),
        change=None,
        margin=margin,
        rounds=len(pairs),
        samples={
            "seeds": seeds,
            "base": [base for base, _ in levels],
            "head": [head for _, head in levels],
            "trained_by": {"base": [pair.trainers[0] for pair in pairs], "head": [pair.trainers[1] for pair in pairs]},
        },
    )
    other = next(
        (reason for pair in pairs if (reason := _other_data(pair) or scores.other_rule(pair.base, pair.head))), ""
    )
    sides = {"base": [pair.base for pair in pairs], "head": [pair.head for pair in pairs]}
    other = other or lessons.refusal(sides, seeds)
    if other:
        return _Draft(replace(row, reason=other), None)
    remark = lessons.remark(sides)
    remarks = (remark,) if remark else ()
    lost = [scores.lost(pair.base, pair.head, folders) for pair in pairs]
    if all(_same(pair.base["metrics"], pair.head["metrics"]) for pair in pairs):
        return _Draft(row, Estimate(0.0, 0.0, math.inf), remarks=remarks)
    if len(pairs) >= LEAST_SEEDS:
        seconds = sum(float(pair.base["seconds"] + pair.head["seconds"]) for pair in pairs)
        return _Draft(row, paired(lost), seconds, remarks=remarks)
    images = scores.by_image(pairs, folders)
    if images is not None:
        found = paired(images.tolist())
        estimate = Estimate(found.change, 0.0, math.inf, found.error)
        return _Draft(row, estimate, notes=("images",), remarks=remarks)
    errors = [math.hypot(_image_error(p.base["metrics"]), _image_error(p.head["metrics"])) for p in pairs]
    # The seeds share their test images: errors of the same sign do not average out.
    estimate = Estimate(statistics.fmean(lost), 0.0, math.inf, statistics.fmean(errors))
    return _Draft(row, estimate, notes=("images",), remarks=remarks)


def _other_data(pair: Pair) -> str:
    for name, what in (("data", "images"), ("noisy", "noisy images")):
        hashes = [record.get("hashes", {}).get(name) for record in (pair.base, pair.head)]
        if None not in hashes and hashes[0] != hashes[1]:
            return f"other {what} went in ({hashes[0][:8]}, {hashes[1][:8]}): PSNR does not compare"
    return ""


def _same(base: Mapping[str, float], head: Mapping[str, float]) -> bool:
    """Whether the same images came out, to the last digit."""
    return all(base.get(name) == head.get(name) for name in _IDENTICAL)


def _image_error(metrics: Mapping[str, float]) -> float:
    """Standard error of PSNR over the test images.  That of the gain is smaller, for it knows how hard each image was
    made by its noise, which is the same for both sides."""
    ends = [(metrics[f"{name}_low"], metrics[f"{name}_high"]) for name in ("psnr", "psnr_gain")]
    return min(high - low for low, high in ends) / 2 / NORMAL_95


# -- verdicts ------------------------------------------------------------------------------------------------------


def _judged(drafts: Sequence[_Draft], alpha: float) -> list[Row]:
    """All rows, as one family: what has no estimate stays inconclusive, and does not weigh on the others."""
    found = [(draft, draft.estimate) for draft in drafts if draft.estimate is not None]
    margins = [math.log1p(d.row.margin) if d.row.unit == "ratio" else d.row.margin for d, _ in found]
    verdicts = judge_family([estimate for _, estimate in found], margins, alpha, alpha)
    by_draft = {id(draft): verdict for (draft, _), verdict in zip(found, verdicts, strict=True)}
    return [_row(draft, by_draft[id(draft)]) if id(draft) in by_draft else draft.row for draft in drafts]


def _row(draft: _Draft, verdict: Judged) -> Row:
    row = draft.row
    plain = _ratio if row.unit == "ratio" else float
    ends = verdict.change
    row = replace(
        row,
        outcome=verdict.outcome,
        change=Interval(plain(ends.value), plain(ends.low), plain(ends.high)),
        detectable=plain(verdict.detectable),
        more_seconds=(verdict.longer - 1.0) * draft.seconds if verdict.longer and draft.seconds else None,
    )
    reason = wording.default_reason(row)
    if row.outcome == "inconclusive" and row.more_seconds is None:
        reason += (
            "; more seeds would say more"
            if row.unit == "dB"
            else "; no longer session would find the margin either, for sessions drift apart: measure side by side, "
            "compare --live"
        )
    if reason and "images" in draft.notes:
        reason += f" (over the test images of {count(row.rounds, 'seed')})"
    return replace(row, reason="; ".join(filter(None, [reason, *draft.remarks])))


def _ratio(logarithm: float) -> float:
    return math.expm1(min(logarithm, LARGEST_LOG))


def _warnings(
    runs: tuple[Run, Run], drafts: Sequence[_Draft], pairs: Sequence[Pair], drift: float, shift: float
) -> list[str]:
    texts = []
    crossed = sum(pair.crossed and pair.head["kind"] == "trial" for pair in pairs)
    if crossed:
        texts.append(
            f"{count(crossed, 'trial')} had another trainer in the head than in the base. Certificates prove that both "
            f"compute the same, and agreement of trained networks is shown to within {AGREED:g} dB (the reports say "
            "for which): smaller differences may be the trainers'."
        )
    if any(draft.row.unit == "ratio" and draft.estimate for draft in drafts):
        texts.append(
            "Two recorded sessions can not tell a change of the code from a drift of the machine between them: every "
            f"speed is judged as if sessions drifted by {100 * drift:g} % (standard deviation); compare --live "
            "measures both sides in one session."
        )
    if abs(shift) > math.sqrt(2.0) * drift:
        texts.append(
            f"All backends moved by {wording.change(math.expm1(shift), 'ratio')} or more together, which looks like "
            "the machine rather than the code: speeds are judged with that much further uncertainty."
        )
    few = sum("images" in draft.notes for draft in drafts)
    if few:
        texts.append(
            f"PSNR of {count(few, 'row')} is judged over test images, for fewer than {LEAST_SEEDS} seeds are "
            "common to both runs: that says nothing of how much training with another seed would differ."
        )
    left_out = sum(is_native(record) for run in runs for record in run.current)
    if left_out:
        texts.append(
            f"{count(left_out, 'native cell')} took no part: a framework's own defaults prove nothing about this code."
        )
    for name, run in zip(("base", "head"), runs, strict=True):
        found = [text for record in run.of("timing", "ok") for text in record.get("warnings", [])]
        for text in dict.fromkeys(found):
            texts.append(f"{name}, {count(found.count(text), 'timing record')}: {text}")
        texts += [f"{name}: {note}" for note in run.notes]
        done = completeness(run)
        if done.unfinished:
            texts.append(f"{name}: the run is unfinished: {done.sentence}")
        elif not run.about.get("finished"):
            texts.append(f"{name}: the run was not finished")
    return texts
