"""How much of what was planned is done: a run that ended before its plan must not look like a whole one.

What was planned stands in run.json (``planned``), so that cells without any record count too.  Whatever became of a
cell, it is done unless it was skipped: a failure is a result.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from results.loading import Run
from results.schema import KINDS

SKIPPED = "skipped"
_BUDGET = re.compile(r"\bbudget of (\w+)\b")


@dataclass(frozen=True)
class Completeness:
    """Numbers of cells: ``done``, and ``planned``, by kind.  ``reasons``: why cells were skipped, and how many."""

    done: dict[str, int] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> tuple[int, int]:
        """(done, planned)."""
        return sum(self.done.values()), sum(self.planned.values())

    @property
    def unfinished(self) -> bool:
        done, planned = self.total
        return done < planned

    @property
    def without_record(self) -> int:
        """Cells that nothing is known of, not even why they were not run."""
        done, planned = self.total
        return planned - done - sum(self.reasons.values())

    @property
    def headline(self) -> str:
        """ "5 of 20 planned cells are done (1 of 16 trials)"; "" where all are."""
        if not self.unfinished:
            return ""
        done, planned = self.total
        trials = self.done.get("trial", 0), self.planned.get("trial", 0)
        of = f" ({trials[0]:,} of {trials[1]:,} trials)" if trials[1] and planned > trials[1] else ""
        return f"{done:,} of {planned:,} planned cells are done{of}"

    @property
    def reason(self) -> str:
        """Why the others are not: "the budget of 10s ended before the others"."""
        parts = []
        budgets = [reason for reason in self.reasons if "budget" in reason]
        if budgets:
            named = list(dict.fromkeys(match[1] for reason in budgets if (match := _BUDGET.search(reason))))
            others = sum(self.reasons[reason] for reason in budgets)
            rest = "the others" if others == self.total[1] - self.total[0] else f"{others:,} of the others"
            parts.append(f"the budget{f' of {named[0]}' if len(named) == 1 else ''} ended before {rest}")
        parts += [f"{count:,}: {why}" for why, count in self.reasons.items() if why not in budgets]
        if missing := self.without_record:
            parts.append(f"{missing:,} left no record: the run was interrupted, or is still going on")
        return "; ".join(parts)

    @property
    def sentence(self) -> str:
        """Headline and reason in one, without a full stop; "" where all are done."""
        return f"{self.headline}: {self.reason}" if self.unfinished else ""


def completeness(run: Run) -> Completeness:
    """Of what the last command asked for.  Of a run that does not say what it planned, what it left counts."""
    run = run.asked
    told = run.about.get("planned")
    told = told if isinstance(told, dict) else {}
    done: dict[str, int] = {}
    planned: dict[str, int] = {}
    for kind in KINDS:
        records = run.of(kind)
        wanted = told.get(kind)
        done[kind] = sum(record["status"] != SKIPPED for record in records)
        # Of a folder that several commands have filled, an older run.json knows the plan of the last alone.
        planned[kind] = max(wanted if isinstance(wanted, int) else 0, len(records))
    reasons = Counter(str(record["reason"]) for record in run.current if record["status"] == SKIPPED)
    return Completeness(done, planned, dict(reasons))
