"""Has a network learned, and has it finished learning?  The words in which every figure of quality is told.

- **untrained**: on the test images it is not measurably better than the mean training image, which is what a network
  answers that looks at nothing.  **collapsed**: untrained, and no longer learning.
- **unfinished**: its validation PSNR still rises by more than :data:`RISING` for every doubling of its training.
- **converged**: neither.

Training seen is counted in doublings since learning curves are close to power laws of it (Hestness et al. 2017, "Deep
learning scaling is predictable, empirically"): over the last doubling they are nearly straight, however long that is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from results.statistics import CONFIDENCE, Interval

RISING = 0.1
"""dB per doubling of the training seen, beyond which a network is unfinished: what the eye can just notice."""
LEAST_EPOCHS = 6
"""Before this many epochs there is too little of a curve to call it flat."""
PLATEAU = 0.5
"""dB above the mean training image up to which a network may be sitting on a constant picture.  Networks with
convolutions do so for many steps before they learn anything: a flat curve there is no reason to stop."""
MOST_VALIDATION = 1000
VALIDATION_SHARE = 10
"""One in so many training images is held out for validation if nothing is said, up to :data:`MOST_VALIDATION`."""

Curve = Sequence[Mapping[str, Any]]
"""An entry per epoch with ``epoch`` (from 1) and ``psnr``, dB."""
HeldOut = int | None | Literal["test"]
"""Training images to hold out for validation; None: as many as :func:`validation_count` says; "test": none, the test
images are looked at."""
State = Literal["untrained", "collapsed", "unfinished", "converged"]
Stopped = Literal["converged", "epochs", "budget"]

REMEDIES = "try loss = bce, smaller batches or another learning rate"
"""What ends a collapse: with binary cross-entropy the gradient of a saturated output does not vanish."""


def validation_count(train: int) -> int:
    """How many of ``train`` training images are held out if nothing is said; 0 where there is only one."""
    return min(MOST_VALIDATION, max(train // VALIDATION_SHARE, 1)) if train > 1 else 0


def trained_on(cell: Mapping[str, Any]) -> int | None:
    """Images of the training set that a trial with these axes is trained on, each counted once; None where that is all
    there are.  Records say it in ``images``."""
    train, held_out = cell["train"], cell.get("val", "test")
    if train is None:
        return None
    if held_out == "test":
        return int(train)
    return int(train) - (validation_count(int(train)) if held_out is None else int(held_out))


def still_rising(curve: Curve) -> Interval | None:
    """dB of validation PSNR per doubling of the training seen, over the last doubling, with its 95 % interval.

    Least squares of the PSNR on the logarithm of the epoch; the ends are NaN with two epochs, None with fewer.
    """
    points = _points(curve)
    if not points:
        return None
    last = points[-1][0]
    pairs = [(math.log2(epoch), psnr) for epoch, psnr in points if 2 * epoch >= last]
    n = len(pairs)
    if n < 2:
        return None
    x_mean, y_mean = (math.fsum(values) / n for values in zip(*pairs, strict=True))
    squares = math.fsum((x - x_mean) ** 2 for x, _ in pairs)
    slope = math.fsum((x - x_mean) * (y - y_mean) for x, y in pairs) / squares
    if n == 2:
        return Interval(slope, math.nan, math.nan)
    from scipy.special import stdtrit  # without the second that scipy.stats takes

    rest = math.fsum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in pairs)
    half = float(stdtrit(n - 2, (1 + CONFIDENCE) / 2)) * math.sqrt(rest / (n - 2) / squares)
    return Interval(slope, slope - half, slope + half)


def best_epoch(curve: Curve) -> int | None:
    """The first epoch with the highest validation PSNR."""
    points = _points(curve)
    return max(points, key=lambda point: (point[1], -point[0]))[0] if points else None


def has_converged(curve: Curve, mean_image: float) -> bool:
    """Whether training may stop: the validation PSNR no longer rises by :data:`RISING` in a doubling, neither by its
    slope nor by its best value before and after half of the training, and the network has left the plateau of the mean
    training image, which scores ``mean_image`` dB on the validation images."""
    points = _points(curve)
    if len(points) < LEAST_EPOCHS:
        return False
    half = points[-1][0] / 2
    before, after = (
        max(psnr for epoch, psnr in points if (epoch <= half) == early) for early in (True, False)
    )  # both halves have epochs: there are at least six
    slope = still_rising(curve)
    flat = after - before < RISING and slope is not None and slope.value <= RISING
    return flat and max(before, after) > mean_image + PLATEAU


def rising_metrics(curve: Curve) -> dict[str, float]:
    """``still_rising`` with ``_low`` and ``_high`` as far as they are known, and ``best_epoch``: metrics of a trial."""
    found: dict[str, float] = {}
    slope, best = still_rising(curve), best_epoch(curve)
    if slope is not None:
        ends = {"": slope.value, "_low": slope.low, "_high": slope.high}
        found |= {f"still_rising{end}": value for end, value in ends.items() if math.isfinite(value)}
    return found if best is None else {**found, "best_epoch": float(best)}


def rising_of(record: Mapping[str, Any]) -> Interval | None:
    """:func:`still_rising` of a trial's record: from its metrics or, where it is older than they are, its curve."""
    metrics = record.get("metrics", {})
    if "still_rising" not in metrics:
        return still_rising(record.get("curve", ()))
    ends = (metrics.get(f"still_rising_{end}", math.nan) for end in ("low", "high"))
    return Interval(metrics["still_rising"], *ends)


def state(record: Mapping[str, Any]) -> State | None:
    """What the network of an ok trial is.  None where its record is older than that question, or where it was trained
    for one epoch only and so has no slope."""
    slope = rising_of(record)
    rises = slope is not None and slope.value > RISING
    lead = record.get("metrics", {}).get("psnr_over_mean_low")
    if lead is not None and lead <= 0:
        return "untrained" if rises or slope is None else "collapsed"
    if slope is None:
        return None
    return "unfinished" if rises else "converged"


def is_trained(record: Mapping[str, Any]) -> bool:
    """Whether its quality may be ranked: not so of a network that is no better than the mean training image."""
    return state(record) not in ("untrained", "collapsed")


def _points(curve: Curve) -> list[tuple[int, float]]:
    found = [(int(entry["epoch"]), entry.get("psnr")) for entry in curve]
    return [(epoch, float(psnr)) for epoch, psnr in found if psnr is not None and epoch > 0 and math.isfinite(psnr)]
