"""From what a live comparison measured to rows, and to the words in which it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.cells import TrialCell
from bench.compare import wording
from bench.compare.differences import REVISION, SHORT_COMMIT, changed, dirty
from bench.compare.pairs import NAMES, Duel, Key
from bench.compare.sides import Runner, SideSpec
from bench.progress import duration
from results.comparison import Row, Side
from results.statistics import Interval
from results.verdicts import ALPHA_PASS, SequentialJudge, Verdict, judge


def log_margin(margin: float) -> float:
    """A share by which costs may rise, on the scale on which they are judged."""
    return math.log1p(margin)


def speed_row(duel: Duel, key: Key, verdict: Verdict | None, margin: float, round_seconds: float, label: str) -> Row:
    """The row of one cell and kind; ``round_seconds``: how long a round of the whole session took."""
    place, kind = key
    measured = duel.measured[key]
    found = verdict or _unjudged(measured.changes)
    more = None
    if found.outcome == "inconclusive" and found.more_rounds is not None:
        more = found.more_rounds * round_seconds
    row = Row(
        label=f"{label}, {kind}",
        cell=duel.pairing.head[place].axes(),
        metric=kind,
        unit="ratio",
        outcome=found.outcome,
        base=measured.level("base", kind),
        head=measured.level("head", kind),
        change=_as_share(found.change) if measured.changes else None,
        margin=margin,
        detectable=_finite(math.expm1(min(found.detectable, 700.0))) if math.isfinite(found.detectable) else None,
        more_seconds=more,
        rounds=len(measured.changes),
        samples={"rounds": measured.rounds},
    )
    return replace(row, reason=_why(row))


def quality_row(
    cell: TrialCell, result: dict[str, Any], margin: float, alpha: float, label: str, alpha_shown: float = ALPHA_PASS
) -> Row:
    """The row of one trial; the test is made once, after all seeds.  ``alpha``: its share of the suite's false alarms;
    ``alpha_shown``: the level of either end of its interval."""
    changes = result["changes"]
    found = judge(changes, margin, alpha, ALPHA_PASS, alpha_shown)
    row = Row(
        label=f"{label}, psnr",
        cell=cell.axes(),
        metric="psnr",
        unit="dB",
        outcome="inconclusive" if result["refusal"] else found.outcome,
        base=float(np.mean(result["base"])),
        head=float(np.mean(result["head"])),
        change=None if result["refusal"] else _known(found.change),
        margin=margin,
        detectable=None if result["refusal"] else _finite(found.detectable),
        rounds=len(changes),
        samples={"base": result["base"], "head": result["head"]},
    )
    reason = "equal to the last digit at the first seed" if result["identical"] else _why(row)
    return replace(row, reason=result["refusal"] or "; ".join(filter(None, [reason, result["remark"]])))


def _unjudged(changes: Sequence[float]) -> Verdict:
    mean = float(np.mean(changes)) if changes else math.nan
    return Verdict("inconclusive", Interval(mean, math.nan, math.nan), math.inf, None, 1.0)


def _as_share(change: Interval) -> Interval:
    return _known(Interval(*(math.expm1(min(x, 700.0)) for x in (change.value, change.low, change.high))))


def _known(change: Interval) -> Interval:
    """An end that lies at infinity is not known."""
    if math.isfinite(change.low) and math.isfinite(change.high):
        return change
    return Interval(change.value, math.nan, math.nan)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _why(row: Row) -> str:
    if row.outcome == "inconclusive":
        return (
            wording.undecided(row) or f"rounds scatter too much to tell {wording.margin(row)} from nothing in this time"
        )
    return wording.mild(row)


def sentence(row: Row) -> str:
    """One line about a row that has been judged."""
    change = "" if row.change is None else f": {wording.direction(row.change.value, row.unit)}"
    return f"{row.label}{change}  {row.outcome}" + (f" ({row.reason})" if row.reason else "")


def round_line(
    number: int, keys: Sequence[tuple[Duel, Key]], judge_: SequentialJudge, spent: float, limit: float
) -> str:
    """What a round has brought: how many are decided, and the widest of what is not."""
    counts = f"{len(judge_.decided)} of {len(keys)} decided"
    parts = []
    for index, (duel, key) in enumerate(keys):
        changes = duel.measured[key].changes
        if index not in judge_.decided and changes:
            parts.append(wording.direction(math.expm1(float(np.mean(changes))), "ratio"))
    waiting = f"; in the others the head takes, so far: {', '.join(parts)}" if parts else ""
    return f"round {number}: {counts}{waiting}; {duration(spent)} of at most {duration(limit)}"


def side_labels(base: SideSpec, head: SideSpec, sides: Sequence[Runner]) -> tuple[str, str]:
    """What people call the sides: by what was said of them."""
    return _side_label(base, sides[0]), _side_label(head, sides[1])


def _side_label(spec: SideSpec, side: Runner) -> str:
    words = []
    if spec.rev is not None:
        words.append(f"{spec.rev} ({(side.revision or '')[:SHORT_COMMIT]})" if spec.rev != side.revision else spec.rev)
    if spec.backend is not None:
        words.append(spec.backend)
    if spec.python is not None:
        words.append(spec.python)
    return ", ".join(words) or "the working tree"


def differences(base: Side, head: Side) -> list[str]:
    """One sentence each: other versions, another revision, a dirty tree."""
    found: list[str] = []
    for name in ("python", "interpreter", "backend"):
        found += changed(name, *(_listed(side.facts.get(name)) for side in (base, head)))
    versions = [side.facts.get("versions", {}) for side in (base, head)]
    for package in sorted({*versions[0], *versions[1]}):
        found += changed(package, *(_listed(side.get(package)) for side in versions))
    found += changed(REVISION, *(_listed(side.facts.get("revision"), SHORT_COMMIT) for side in (base, head)))
    return found + [dirty(name) for name, side in zip(NAMES, (base, head), strict=True) if side.facts.get("dirty")]


def _listed(value: str | None, length: int | None = None) -> list[str]:
    return [] if value is None else [value[:length]]
