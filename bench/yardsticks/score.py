"""Yardsticks scored: the quality of every image, and how many images a second."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import quality
from bench.yardsticks.base import Images, Method, YardstickError, check_pairs
from bench.yardsticks.calibrate import calibrate
from bench.yardsticks.classical import METHODS, PLAIN, method
from bench.yardsticks.linear import LinearOptimum
from results.yardsticks import LINEAR, MEAN_IMAGE

NAMES = (*METHODS, MEAN_IMAGE, LINEAR)

SHOWN = 8
"""Denoised images that come along."""
BLOCKS = 20
"""Parts of the test set that are timed one by one: enough for an interval of their mean."""


@dataclass(frozen=True)
class Rate:
    """Images a second, measured over ``blocks`` parts of the test set one after the other, in this one process, on
    the ``cores`` that it may use.  ``low`` and ``high``: 95 % interval over the blocks; what another process or
    another moment would give is not in it.  The identity and the mean training image do nothing and have no rate."""

    images_per_second: float
    low: float
    high: float
    blocks: int
    cores: int


@dataclass(frozen=True)
class Result:
    """A yardstick and what it reached.

    ``scores``: float64 (n,) each, one figure per test image.  ``numbers``: how many numbers the linear optimum is made
    of; None for the others, which have ``calibration["parameters"]``.  ``shown``: denoised images, float32
    (m, h, w, c).  ``calibration``: JSON-able, how it came to its parameters.  ``seconds``: what that took.
    """

    method: str
    rank: int | None
    scores: quality.Scores
    rate: Rate | None
    numbers: int | None
    calibration: dict[str, Any]
    seconds: float
    shown: Images

    @property
    def name(self) -> str:
        return self.method if self.rank is None else f"{self.method} (rank {self.rank})"


def score_yardsticks(
    clean_train: Images,
    noisy_train: Images,
    clean_test: Images,
    noisy_test: Images,
    methods: Iterable[str] = tuple(PLAIN),
    ranks: Iterable[int] = (),
    *,
    ridge: float | None = None,
    shown: Sequence[int] = range(SHOWN),
) -> list[Result]:
    """Calibrate on the training pairs, score on the test pairs; float32 (n, h, w, c) in [0, 1] where clean.

    ``methods``: names of :data:`METHODS`, or "mean-image"; ``ranks``: those of the linear optimum, all from one
    decomposition.  The results stand in that order.  YardstickError for unknown names, ranks that can not be, a method
    whose library is not installed, and images of other types and shapes.
    """
    chosen = [None if name == MEAN_IMAGE else method(name) for name in methods]
    check_pairs(noisy_train, clean_train, "training")
    check_pairs(noisy_test, clean_test, "test")
    if clean_train.shape[1:] != clean_test.shape[1:]:
        raise YardstickError(f"training images {clean_train.shape[1:]} and test images {clean_test.shape[1:]} differ")
    results = [
        score_mean_image(clean_train, clean_test, shown=shown)
        if one is None
        else score_method(one, clean_train, noisy_train, clean_test, noisy_test, shown=shown)
        for one in chosen
    ]
    wanted = list(ranks)
    if wanted:
        optimum = LinearOptimum(noisy_train, clean_train, ridge)
        results += [score_linear(optimum, rank, clean_test, noisy_test, shown=shown) for rank in wanted]
    return results


def score_method(
    chosen: Method,
    clean_train: Images,
    noisy_train: Images,
    clean_test: Images,
    noisy_test: Images,
    *,
    noisy_scores: quality.Scores | None = None,
    shown: Sequence[int] = range(SHOWN),
) -> Result:
    """One of :data:`METHODS`, see :func:`score_yardsticks`.  ``noisy_scores``: of the noisy test images where they are
    known, which a method that leaves them as they are need not find again."""
    found = calibrate(chosen, noisy_train, clean_train)
    rate = None
    if chosen.untouched:
        denoised = chosen.denoise(noisy_test, found.parameters)
    else:
        denoised, rate = timed(lambda images: chosen.denoise(images, found.parameters), noisy_test)
    known = noisy_scores if chosen.untouched else None
    return Result(
        method=chosen.name,
        rank=None,
        scores=known or quality.score(denoised, clean_test),
        rate=rate,
        numbers=None,
        calibration=found.to_json(),
        seconds=found.seconds,
        shown=_some(denoised, shown),
    )


def score_mean_image(clean_train: Images, clean_test: Images, *, shown: Sequence[int] = range(SHOWN)) -> Result:
    """The mean of the training images, whatever the noisy image is: what a network gives that has learned to ignore
    its input."""
    begin = time.perf_counter()
    mean = clean_train.mean(axis=0, dtype=np.float64).astype(np.float32)
    seconds = time.perf_counter() - begin
    denoised = np.broadcast_to(mean, clean_test.shape)
    return Result(
        method=MEAN_IMAGE,
        rank=None,
        scores=quality.score(denoised, clean_test),
        rate=None,
        numbers=None,
        calibration={
            "method": MEAN_IMAGE,
            "parameters": {},
            "images": len(clean_train),
            "subset": "all training images",
            "seconds": seconds,
        },
        seconds=seconds,
        shown=_some(denoised, shown),
    )


def score_linear(
    optimum: LinearOptimum,
    rank: int,
    clean_test: Images,
    noisy_test: Images,
    *,
    shown: Sequence[int] = range(SHOWN),
) -> Result:
    """The linear optimum of ``rank``; its seconds are those of all ranks so far, which share most of the work."""
    ready = optimum.at(rank)
    denoised, rate = timed(ready.denoise, noisy_test)
    return Result(
        method=LINEAR,
        rank=rank,
        scores=quality.score(denoised, clean_test),
        rate=rate,
        numbers=ready.numbers,
        calibration=optimum.facts(rank),
        seconds=optimum.seconds,
        shown=_some(denoised, shown),
    )


def timed(denoise: Callable[[Images], Images], images: Images) -> tuple[Images, Rate]:
    """``images`` denoised in blocks, and the rate.  The first block is done once before, not timed: imports and the
    memory's first use are no part of a rate."""
    step = max(1, math.ceil(len(images) / BLOCKS))
    denoise(images[:step])
    denoised = np.empty_like(images)
    rates = []
    for start in range(0, len(images), step):
        part = images[start : start + step]
        begin = time.perf_counter()
        denoised[start : start + step] = denoise(part)
        rates.append(len(part) / max(time.perf_counter() - begin, 1e-9))
    middle, low, high = _interval(np.log(rates))
    return denoised, Rate(middle, low, high, len(rates), _cores())


def _interval(logs: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float]:
    """Geometric mean and its 95 % interval (Student's t)."""
    from scipy.special import stdtrit

    mean = float(logs.mean())
    if len(logs) < 2:
        return math.exp(mean), math.exp(mean), math.exp(mean)
    spread = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    half = float(stdtrit(len(logs) - 1, (1 + quality.CONFIDENCE) / 2)) * spread
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _some(images: Images, shown: Sequence[int]) -> Images:
    return images[[index for index in shown if index < len(images)]]
