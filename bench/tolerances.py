"""How far a backend may be from the specification, and why so far.

The yardstick is :mod:`implementations.reference` in float64.  The figures were set from the worst deviation ever
observed between correct implementations (five backends, six networks, batch 16, weights and statistics none of
which is 0 or 1) with a margin of one to three orders; every mistake that was tried on purpose (padding on the wrong
side, momentum swapped, epsilon in the other form, unbiased variance, slope 0.3 instead of float32(0.3), a plain
mean over ragged batches) is far outside in float64.

float64 (worst observed -> tolerance)
    output 4e-15 -> 1e-12, loss 1e-16 -> 1e-13, gradients 3e-16 -> 1e-13, weights after one step 2e-16 -> 1e-13,
    after 20 steps 3e-15 -> 1e-12, after 100 steps 1e-13 -> 1e-10, losses 2e-16 -> 1e-12.  Adam divides rounding
    errors of about 1e-17 by epsilon = 1e-7 where the true gradient is 0 (a bias before batch normalisation):
    there, and only there, one step is allowed 1e-11 and 10 steps 1e-10; these weights have no effect on any output.
float32
    Rounding (6e-8) accumulates over a layer's sum: output 1e-7 -> 2e-6 in inference and 2e-6 -> 2e-5 where batch
    statistics are taken; loss 6e-8 -> 1e-6; gradients 1e-5 -> 2e-4 of the largest gradient of the network.
    The first step of Adam and Adadelta has about the size of the learning rate whatever the gradient is, so a
    gradient that is 0 but for rounding moves a weight by up to that: 8e-6 -> 5e-5 at 1e-3.  After that one ReLU
    that flips its sign is a step of the size of the learning rate: no maximum is meaningful, the median over all
    weights is (3e-7 -> 1e-6 after 20 steps), and so are the losses (7e-6 -> 1e-4).  After 100 steps nothing is
    judged in float32, only reported: correct trajectories part there.

Gradients and weights are compared absolutely, not relatively: a bias before batch normalisation has a true
gradient of 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from implementations.adapter import Precision

Summary = Literal["largest", "median"]


@dataclass(frozen=True)
class Tolerances:
    """Absolute, but for ``gradients`` in float32, which is relative to the largest gradient of the network."""

    output: float
    output_batch_statistics: float
    loss: float
    gradients: float
    gradients_relative: bool
    first_step: float
    first_step_idle: float
    """Of weights with a true gradient of 0, under Adam and Adadelta."""
    tenth_step: float
    tenth_step_idle: float
    later_summary: Summary
    """What of the deviations of a whole network is compared after the first step."""
    hundredth_step: float | None
    losses: float
    later_losses: float | None


BY_PRECISION: dict[Precision, Tolerances] = {
    "float64": Tolerances(
        output=1e-12,
        output_batch_statistics=1e-12,
        loss=1e-13,
        gradients=1e-13,
        gradients_relative=False,
        first_step=1e-13,
        first_step_idle=1e-11,
        tenth_step=1e-12,
        tenth_step_idle=1e-10,
        later_summary="largest",
        hundredth_step=1e-10,
        losses=1e-12,
        later_losses=1e-12,
    ),
    "float32": Tolerances(
        output=2e-6,
        output_batch_statistics=2e-5,
        loss=1e-6,
        gradients=2e-4,
        gradients_relative=True,
        first_step=5e-5,
        first_step_idle=5e-5,
        tenth_step=1e-6,
        tenth_step_idle=1e-6,
        later_summary="median",
        hundredth_step=None,
        losses=1e-4,
        later_losses=None,
    ),
}
