"""The epochs of one trial: train, look at the validation images, decide whether to go on."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench import quality
from bench.cells import TrialCell
from bench.parts import Parts
from implementations import counter, parameters
from implementations.adapter import Adapter
from implementations.parameters import Array
from implementations.training import Loss
from results import convergence
from results.scores import EXACT

if TYPE_CHECKING:
    from bench.trial import Clean, Noisy

PROBABILITY_FLOOR = 1e-7
"""Outputs are kept this far from 0 and 1 in the validation BCE: in float32 a confident sigmoid rounds to exactly 1."""
TELL_SECONDS = 30.0
"""Seconds between progress reports of a running training."""

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Learned:
    """A training that came to an end.  ``orders``: hash of the orders of its batches; ``failure``: why it diverged, or
    None; ``scored``: of the curve, the epoch whose weights the network has now."""

    curve: list[dict[str, float]]
    orders: str
    stopped: convergence.Stopped
    failure: str | None = None
    scored: dict[str, float] = field(default_factory=dict)


class Progress:
    """Tells now and then how far a long training is."""

    def __init__(self, cell: TrialCell, tell: Tell | None) -> None:
        self._cell, self._tell = cell, tell
        self._begun = self._told = time.monotonic()

    def tell(self, entry: dict[str, float]) -> None:
        """``entry``: of the curve, after the epoch that has ended."""
        moment, epoch, epochs = time.monotonic(), int(entry["epoch"]), self._cell.epochs
        if self._tell is None or moment - self._told < TELL_SECONDS or epoch >= epochs:
            return
        self._told = moment
        left = (moment - self._begun) / epoch * (epochs - epoch)
        if self._cell.max_seconds is not None:
            left = min(left, self._cell.max_seconds - entry["seconds"])
        self._tell({"epoch": epoch, "epochs": epochs, "psnr": entry["psnr"], "seconds_left": left})


def learn(
    adapter: Adapter,
    cell: TrialCell,
    clean: Clean,
    noisy: Noisy,
    parts: Parts,
    stage: Callable[[], None],
    tell: Tell | None = None,
) -> Learned:
    """Train ``adapter``, which has the initial weights and staged data, until the epochs, the seconds or the rise of
    the validation PSNR have come to an end.  Where that last was asked for, the network has the weights of its best
    epoch afterwards.  ``stage`` puts noise that was drawn afresh where the adapter wants it.

    Only :meth:`Adapter.train_epoch` counts as training time.
    """
    checked = noisy.checked.astype(cell.setting.dtype, copy=False)
    # What a network sits on that has learned nothing yet.
    exact = quality.psnr(noisy.checked, clean.checked) > EXACT
    plateau = quality.mean_psnr(np.broadcast_to(clean.mean_image, clean.checked.shape), clean.checked, exact)
    progress = Progress(cell, tell)
    sha = hashlib.sha256()
    curve: list[dict[str, float]] = []
    best: tuple[dict[str, float], parameters.Weights] | None = None
    stopped: convergence.Stopped = "epochs"
    seconds = 0.0
    for epoch in range(cell.epochs):
        if cell.refresh and epoch:
            with parts("noise_seconds"):
                noisy.draw(cell, clean, epoch)
            stage()
        order = counter.permutation(cell.repeats * len(clean.train), "order", cell.seed, epoch)
        # Two that stop at epochs of their own were still given the same: of those only the first counts.
        if cell.until == "epochs" or not epoch:
            sha.update(order.astype("<i8").tobytes())
        with parts("train_seconds"):
            start = time.perf_counter()
            train_loss = float(adapter.train_epoch(order))
            adapter.synchronize()
            seconds += time.perf_counter() - start
        orders = sha.hexdigest()[:16]
        if not math.isfinite(train_loss):
            return Learned(curve, orders, stopped, f"training loss is {train_loss} in epoch {epoch + 1}")
        with parts("reconstruct_seconds"):
            denoised = np.asarray(adapter.reconstruct(checked))
        if not np.isfinite(denoised).all():
            return Learned(curve, orders, stopped, f"the output is not finite after epoch {epoch + 1}")
        with parts("score_seconds"):
            scores = {
                "validation_loss": _validation_loss(adapter, cell, clean, denoised, parts),
                "psnr": quality.mean_psnr(denoised, clean.checked, exact),
            }
        curve.append({"epoch": epoch + 1, "train_loss": train_loss, **scores, "seconds": seconds})
        if cell.until == "converged":
            if best is None or curve[-1]["psnr"] > best[0]["psnr"]:
                best = curve[-1], adapter.weights()
            if convergence.has_converged(curve, plateau):
                stopped = "converged"
                break
        if cell.max_seconds is not None and seconds >= cell.max_seconds and epoch + 1 < cell.epochs:
            stopped = "budget"
            break
        progress.tell(curve[-1])
    if best is not None and best[0] is not curve[-1]:
        adapter.load_weights(best[1])
    return Learned(curve, orders, stopped, scored=curve[-1] if best is None else best[0])


def _validation_loss(adapter: Adapter, cell: TrialCell, clean: Clean, denoised: Array, parts: Parts) -> float:
    """``denoised``: what became of the noisy validation images."""
    output = denoised
    if cell.validation == "clean":
        with parts("reconstruct_seconds"):
            output = adapter.reconstruct(clean.checked.astype(cell.setting.dtype, copy=False))
    return image_loss(cell.loss, output, clean.checked)


def image_loss(loss: Loss, output: Array, clean: Array) -> float:
    """The mean loss over all values of images (n, h, w, c), in float64, from outputs behind the sigmoid."""
    p, y = output.reshape(-1), clean.reshape(-1)

    def squares(part: slice) -> NDArray[np.float64]:
        return np.square(p[part].astype(np.float64) - y[part])

    def entropies(part: slice) -> NDArray[np.float64]:
        q, t = np.clip(p[part].astype(np.float64), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR), y[part].astype(np.float64)
        return -(t * np.log(q) + (1 - t) * np.log1p(-q))

    return quality.mean_of(clean.size, squares if loss == "mse" else entropies)
