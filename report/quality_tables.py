"""Tables of quality: gains by corruption, the standings, and whether backends agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from report import text
from report.learned import UNKNOWN, Rival, catching_up
from report.naming import CONFIGURATION, LOSS_NAMES, describe
from report.pairing import Condition
from report.quality import Quality, Standing
from report.tables import Cell, Table, lesson_cell, shade, split, without_empty
from results.statistics import Interval

GAPS_SHOWN = 24
"""Rows of the standings that say how far they are behind: each takes a file of scores for every trial to tell."""


def quality_table(found: Quality) -> Table:
    """Gain in PSNR: a row for each corruption, a column for each configuration, shaded by value."""
    top = max((score.gain for score in found.scores.values()), default=1.0)
    seeded = any(len(score.by_seed) > 1 for score in found.scores.values())
    rows = []
    for condition, label in found.conditions.items():
        scores = {key: found.scores.get((condition, key)) for key in found.configurations}
        present = [score for score in scores.values() if score is not None]
        best = found.best(condition)
        ranked = sum(score is not None and found.trained(condition, key) for key, score in scores.items())
        noisy = sum(score.noisy for score in present) / len(present)
        row = [Cell(label, kind="name"), Cell(text.fixed(noisy))]
        for key, score in scores.items():
            if score is None:
                row.append(Cell("", kind="absent"))
                continue
            interval = score.interval
            note = f"±{text.fixed((interval.high - interval.low) / 2)}" if interval.known else ""
            # An interval over images is another thing than one over seeds: it says so where both stand in a table.
            note += " (images)" if note and seeded and len(score.by_seed) == 1 else ""
            lesson = found.learned.get((condition, key), UNKNOWN)
            if not lesson.trained:
                said = ", ".join(filter(None, [str(lesson.word), lesson.some]))
                row.append(Cell(text.signed(score.gain), said, "heat unlearned"))
                continue
            if lesson.unfinished and lesson.rising:
                note = ", ".join(filter(None, [note, f"↗\u00a0{text.fixed(lesson.rising.value)}"]))
            kind = "heat best" if key in best and ranked > 1 else "heat"
            row.append(Cell(text.signed(score.gain), note, kind, shade(score.gain, top)))
        rows.append(row)
    columns = ["corruption", "noisy, dB", *(_header(found.configuration_axes, key) for key in found.configurations)]
    caption = "Gain in PSNR over the noisy input, dB; outlined: the best of a row and what is not measurably behind it"
    if any(one.unfinished for one in found.learned.values()):
        caption += "; ↗: unfinished, with the dB that its validation PSNR still rises per doubling of its training"
    if not all(one.trained for one in found.learned.values()):
        caption += "; hatched: no better than the mean training image (untrained, or collapsed: no longer learning)"
    return Table(caption, columns, rows, frozenset(range(1, len(columns))))


def _header(names: Sequence[str], configuration: tuple[Any, ...]) -> str:
    """Breaks between its parts alone."""
    axes = dict(zip(names, configuration, strict=True))
    return ", ".join(describe(axes, (name,)).replace(" ", "\u00a0") for name in names)


def standings_table(found: Quality) -> Table:
    """Configurations by mean gain, with SSIM; what seeds and what test images leave open, apart from each other."""
    standings, shared = found.standings()
    rows = []
    for place, standing in enumerate(standings):
        ssims = [found.scores[condition, standing.configuration].ssim for condition in shared]
        known = [value for value in ssims if value is not None]
        architecture, latent, loss = standing.configuration[: len(CONFIGURATION)]
        axes = dict(zip(found.configuration_axes, standing.configuration, strict=True))
        rows.append(
            [
                Cell(str(architecture), describe(axes, found.configuration_axes[len(CONFIGURATION) :]), kind="name"),
                Cell("none" if latent is None else f"{latent}"),
                Cell(LOSS_NAMES.get(loss, str(loss))),
                Cell(f"{text.signed(standing.gain.value)} dB"),
                Cell(_half(standing.gain), f"{len(standing.by_seed)} seeds")
                if len(standing.by_seed) > 1
                else Cell("one seed"),
                Cell(f"±{text.fixed(standing.half)}" if math.isfinite(standing.half) else "–"),
                Cell(text.fixed(sum(known) / len(known), 3) if known else "–"),
                _behind(found, shared, standings[0], standing) if place < GAPS_SHOWN else Cell("–"),
                lesson_cell(standing.learned, _to_close(found, shared, standings[0], standing, place)),
            ]
        )
    columns = [
        "architecture",
        "latent",
        "loss",
        "gain in PSNR",
        "over seeds",
        "over images",
        "SSIM",
        "behind the first",
        "learned",
    ]
    over = found.over(shared)
    caption = f"Mean over {over} that all of these were trained on" if len(shared) > 1 else f"All of these under {over}"
    if any(one.learned.tested and one.learned.word for one in standings):
        caption += "; what was learned is said from the curve on test images, as older records have it"
    kinds = [_place(found, shared, standings[0], one) for one in standings]
    return without_empty(Table(caption, columns, rows, frozenset((1, 3, 4, 5, 6, 7)), kinds), ("learned",))


def _place(found: Quality, shared: Sequence[Condition], first: Standing, one: Standing) -> str:
    """The CSS class of its row."""
    if not one.learned.trained:
        return "unranked"
    return "" if found.pairing.sign(shared, first.configuration, one.configuration) else "leader"


def _to_close(found: Quality, shared: Sequence[Condition], first: Standing, one: Standing, place: int) -> str:
    """How much more training would bring it to the first, where it might come there."""
    if one is first or not one.learned.trained or place >= GAPS_SHOWN:
        return ""
    gap = found.pairing.gap(shared, first.configuration, one.configuration)
    return catching_up(Rival(one.label, one.learned, gap))


def _behind(found: Quality, shared: Sequence[Condition], first: Standing, one: Standing) -> Cell:
    """By how much, with its interval: paired, so narrower than those of the two gains."""
    if one is first or not (one.learned.trained and first.learned.trained):
        return Cell("–")
    return Cell(*split(text.decibels(found.pairing.gap(shared, first.configuration, one.configuration), sign=False)))


def _half(interval: Interval) -> str:
    return f"±{text.fixed((interval.high - interval.low) / 2)}"


def agreement_table(found: Quality) -> Table:
    """PSNR of one backend minus that of another, over equal trials."""
    rows = [
        [
            Cell(f"{one.a}", f"minus {one.b}", kind="name"),
            Cell(*split(text.decibels(one.difference))),
            Cell(f"{text.signed(one.largest, 3)} dB"),
            Cell(str(one.count)),
        ]
        for one in found.agreements
    ]
    columns = ["backends", "mean", "largest single", "trials"]
    caption = "Difference in PSNR between equal trials of two backends"
    if not all(one.one_precision for one in found.agreements):
        caption += ", or of one in two precisions"
    return Table(caption, columns, rows, frozenset((1, 2, 3)))
