"""Speeds of one process, from what it measured in one round of a timing session.

A call of ``train_epoch`` or ``reconstruct`` costs something whatever it is given: ``fit`` and ``predict`` of Keras
set up their loops for 50 to 100 ms, where a plain loop has next to nothing.  An epoch of a benchmark is short, one
of MNIST is long, and someone who trains for 50 epochs calls ``fit`` once.  So a short call of a few batches is
measured beside the blocks, and a rate is what the *further* samples of a long call cost:

    (samples of the long call - samples of the short one) / (its seconds - seconds of the short one)

What is left of the short call is the overhead, a figure of its own.

Blocks of warm-up never count.  Disturbed ones (``conditions``, see :mod:`bench.disturbance`) do not as long as at
least :data:`NEEDED_SHARE` of the others remain; where fewer would, all count and the round is :func:`too_disturbed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from results.statistics import process_rate

RateKind = Literal["train", "inference"]
_WARMUP = {"train": "warmup_blocks", "inference": "inference_warmup_blocks"}

NEEDED_SHARE = 0.5
"""With less than this share of its blocks a process would be judged by the luck of when it was left alone."""
SHORT_SHARE = 0.9
"""A short call that took more than this share of a long one was disturbed: long calls are made to be several times as
long.  Believed, it would leave next to no time for the further samples, and a rate out of all proportion."""
STEP_OVERHEAD = 2.0
"""Steps of a block are told from what its call costs only if the call's seconds are at least this many overheads."""


def settled_blocks(entry: Mapping[str, Any], kind: RateKind) -> list[list[float]]:
    """The blocks ``[samples, seconds]`` of a round that count: none of warm-up, and none that was disturbed if enough
    others are there; empty if there are none."""
    blocks, disturbed = _after_warmup(entry, kind)
    if _is_too_disturbed(disturbed):
        return blocks
    return [block for block, bad in zip(blocks, disturbed, strict=True) if not bad]


def too_disturbed(entry: Mapping[str, Any], kind: RateKind) -> bool:
    """Whether most of the blocks of a round were disturbed, so that all of them count after all."""
    return _is_too_disturbed(_after_warmup(entry, kind)[1])


def undisturbed_latencies(entry: Mapping[str, Any]) -> list[float]:
    """Seconds of the single images of a round, without those of disturbed blocks if enough others are there."""
    calls: list[float] = entry.get("latency") or []
    conditions: Sequence[Mapping[str, Any]] = (entry.get("conditions") or {}).get("latency") or []
    bad = [bool(found.get("disturbed")) for found in conditions for _ in range(found.get("calls", 0))]
    if len(bad) != len(calls) or _is_too_disturbed(bad):
        return calls
    return [seconds for seconds, was in zip(calls, bad, strict=True) if not was]


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
    further, long = samples - short[0], samples / gross
    # Where the short call was disturbed the gross rate is what there is.
    return further / (long - short[1]) if further > 0 and short[1] <= SHORT_SHARE * long else gross


def call_overhead(entry: Mapping[str, Any], kind: RateKind) -> float | None:
    """Seconds that a call costs beside its samples, at least 0; None if no short call was measured."""
    short, speed = (entry.get("short_calls") or {}).get(kind), rate(entry, kind)
    if not short or not speed:
        return None
    return max(0.0, float(short[1]) - float(short[0]) / speed)


def step_seconds(entry: Mapping[str, Any], batch_size: int) -> list[float]:
    """Seconds of a training step, one figure a short block of the settle series: what the block took without what a
    call costs, by its number of steps.  Warm-up and disturbed blocks are left out; empty where the steps are lost in
    the cost of the call, or where no series was measured."""
    blocks: list[list[float]] = (entry.get("settle") or {}).get("train") or []
    start = ((entry.get("steady") or {}).get("train") or {}).get("start", 0)
    if start >= len(blocks):  # it never settled: all of it is what there is
        start = 0
    kept = [blocks[index] for index in undisturbed_settle(entry) if index >= start]
    overhead = call_overhead(entry, "train") or 0.0
    if not kept or float(np.median([seconds for _, seconds in kept])) < STEP_OVERHEAD * overhead:
        return []
    found = [(seconds - overhead) * batch_size / samples for samples, seconds in kept]
    return found if min(found) > 0 else []


def undisturbed_settle(entry: Mapping[str, Any]) -> list[int]:
    """Indices of the blocks of the settle series that were not disturbed; of all where too few were not: a load that
    comes and goes would look like a process that never settles."""
    blocks: list[list[float]] = (entry.get("settle") or {}).get("train") or []
    conditions: Sequence[Mapping[str, Any]] = (entry.get("conditions") or {}).get("settle") or []
    disturbed = [bool(found.get("disturbed")) for found in conditions]
    if len(disturbed) != len(blocks) or _is_too_disturbed(disturbed):
        return list(range(len(blocks)))
    return [index for index, bad in enumerate(disturbed) if not bad]


def _after_warmup(entry: Mapping[str, Any], kind: RateKind) -> tuple[list[list[float]], list[bool]]:
    """Blocks that are no warm-up, and which of them were disturbed."""
    blocks: list[list[float]] = entry.get(kind) or []
    conditions: Sequence[Mapping[str, Any]] = (entry.get("conditions") or {}).get(kind) or []
    disturbed = [bool(found.get("disturbed")) for found in conditions]
    if len(disturbed) != len(blocks):  # records from before there were conditions
        disturbed = [False] * len(blocks)
    warmup = entry.get(_WARMUP[kind], 0)
    if warmup >= len(blocks):
        warmup = max(len(blocks) - 1, 0)
    return blocks[warmup:], disturbed[warmup:]


def _is_too_disturbed(disturbed: Sequence[bool]) -> bool:
    return bool(disturbed) and sum(not bad for bad in disturbed) < NEEDED_SHARE * len(disturbed)
