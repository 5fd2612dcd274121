"""Scores that need a word: images that are exact, and trials that were scored by another rule than the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from report import text
from report.quality import Quality
from results.schema import Record

LISTED = 3
"""Conditions that a sentence names."""


@dataclass(frozen=True)
class Exact:
    """Test images of one condition that came out exact, or were exact when noisy: the most in any of its trials."""

    condition: str
    images: int | None
    """Test images; None where the records do not say."""
    denoised: int
    noisy: int
    counted: bool
    """Whether they count in means all the same."""


def exact(found: Quality) -> list[Exact]:
    """By condition, those under which any image is exact."""
    records: dict[str, list[Record]] = {}
    for (condition, _), trials in found.trials_of.items():
        records.setdefault(found.conditions[condition], []).extend(trials)
    every = [_exact(name, records[name]) for name in found.conditions.values() if name in records]
    return [one for one in every if one.denoised or one.noisy]


def _exact(condition: str, records: Sequence[Record]) -> Exact:
    def most(name: str) -> int:
        return int(max(record["metrics"].get(name, 0) for record in records))

    def denoised(metrics: Mapping[str, float]) -> float:
        return metrics.get("exact", metrics.get("psnr_capped", 0))

    some = [r["metrics"] for r in records if denoised(r["metrics"]) or r["metrics"].get("exact_noisy", 0)]
    # In older records, which do not say over how many images their means are, all of them count.
    counted = any(one.get("psnr_images") == one.get("images") for one in some)
    return Exact(
        condition,
        most("images") or None,
        int(max(denoised(r["metrics"]) for r in records)),
        most("exact_noisy"),
        counted,
    )


def exact_said(found: Quality) -> tuple[str, str] | None:
    """(headline, detail): how many pictures are exact, under what, and whether means leave them out."""
    every = exact(found)
    if not every:
        return None
    first = max(every, key=lambda one: (one.denoised, one.noisy))
    of = f" of {first.images:,}" if first.images else ""
    numbers = [f"{number:,}{of} test pictures {what}" for number, what in
               ((first.denoised, "come out exact"), (first.noisy, "are exact when noisy")) if number]  # fmt: skip
    headline = f"{text.listing(numbers)} under {first.condition}"
    others = [one.condition for one in every if one is not first]
    listed = others[:LISTED] + ([f"{len(others) - LISTED} more"] if others[LISTED:] else [])
    also = f"; some are under {text.listing(listed)} too" if listed else ""
    whole = [one.condition for one in every if one.counted]
    if not whole:
        return headline, f"they are left out of means and gains of PSNR, which they would carry away{also}"
    detail = "they are left out of means and gains of PSNR"
    named = whole[:LISTED] + (["others"] if whole[LISTED:] else [])
    detail += f", but count under {text.listing(named)}"
    return headline, f"{detail}, where fewer than two others remain or an older version made the records{also}"


def mixed_said(found: Quality) -> tuple[str, str] | None:
    """(headline, detail) where some trials were scored clipped to [0, 1], and others by a version that did not."""
    records = [record for trials in found.trials_of.values() for record in trials]
    older = [record for record in records if "psnr_raw" not in record["metrics"]]
    networks = sorted({record["cell"]["architecture"] for record in older})
    if not older or len(older) == len(records):
        return None
    return (
        f"{text.count(len(older), 'trial')} of {len(records):,} were scored by an older version",
        f"it did not clip outputs to [0, 1], and counted exact pictures in its means ({text.listing(networks)}); "
        "train anew what is to be compared",
    )
