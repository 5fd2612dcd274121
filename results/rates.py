"""Speeds of one process, from what it measured in one round of a timing session.

A call of ``train_epoch`` or ``reconstruct`` costs something whatever it is given: ``fit`` and ``predict`` of Keras
set up their loops for 50 to 100 ms, where a plain loop has next to nothing.  An epoch of a benchmark is short, one
of MNIST is long, and someone who trains for 50 epochs calls ``fit`` once.  So a short call of a few batches is
measured beside the blocks, and a rate is what the *further* samples of a long call cost:

    (samples of the long call - samples of the short one) / (its seconds - seconds of the short one)

What is left of the short call is the overhead, a figure of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from results.statistics import process_rate

RateKind = Literal["train", "inference"]
_WARMUP = {"train": "warmup_blocks", "inference": "inference_warmup_blocks"}


def settled_blocks(entry: Mapping[str, Any], kind: RateKind) -> list[list[float]]:
    """The blocks ``[samples, seconds]`` of a round without those found to be warm-up; empty if there are none."""
    blocks: list[list[float]] = entry.get(kind) or []
    return blocks[entry.get(_WARMUP[kind], 0) :] or blocks[-1:]


def rate(entry: Mapping[str, Any], kind: RateKind) -> float | None:
    """Samples per second of the process behind a round; None if it measured none."""
    blocks = settled_blocks(entry, kind)
    if not blocks:
        return None
    gross = process_rate(blocks)
    calls, short = (entry.get("calls") or {}).get(kind, 1), (entry.get("short_calls") or {}).get(kind)
    if not short:
        return gross
    samples = float(np.median([samples for samples, _ in blocks])) / calls
    further, seconds = samples - short[0], samples / gross - short[1]
    # A short call that took as long as a long one was disturbed; the gross rate is then what there is.
    return further / seconds if further > 0 and seconds > 0 else gross


def call_overhead(entry: Mapping[str, Any], kind: RateKind) -> float | None:
    """Seconds that a call costs beside its samples, at least 0; None if no short call was measured."""
    short, speed = (entry.get("short_calls") or {}).get(kind), rate(entry, kind)
    if not short or not speed:
        return None
    return max(0.0, float(short[1]) - float(short[0]) / speed)
