"""How far a backend may be from the specification, and why so far.

The yardstick is :mod:`implementations.reference` in float64.  The figures were set from the worst deviation ever
observed between correct implementations (five backends, six networks, batch 16, weights and statistics none of
which is 0 or 1) with a margin of one to three orders; every mistake that was tried on purpose (padding on the wrong
side, momentum swapped, epsilon in the other form, unbiased variance, slope 0.3 instead of float32(0.3), a plain
mean over ragged batches) is far outside in float64.

float64 (worst observed -> tolerance)
    output 4e-15 -> 1e-12, loss 1e-16 -> 1e-13, gradients 3e-16 -> 1e-13, weights after one step 2e-16 -> 1e-13,
    after 3 and 10 steps 3e-15 -> 1e-12, after 100 steps 1e-13 -> 1e-10, losses 2e-16 -> 1e-12.  Adam divides rounding
    errors of about 1e-17 by epsilon = 1e-7 where the true gradient is 0 (a bias before batch normalisation):
    there, and only there, one step is allowed 1e-11 and 10 steps 1e-10; these weights have no effect on any output.
float32
    Rounding (6e-8) accumulates over a layer's sum: output 1e-7 -> 2e-6 in inference and 2e-6 -> 2e-5 where batch
    statistics are taken; loss 6e-8 -> 1e-6; gradients 1e-5 -> 2e-4 of the largest gradient of the network.
    The first step of Adam and Adadelta has about the size of the learning rate whatever the gradient is, so a
    gradient that is 0 but for rounding moves a weight by up to that: 8e-6 -> 5e-5 at 1e-3.

    Of weights whose true gradient is 0 nothing can be judged under Adam and Adadelta: a bias before batch
    normalisation gets the rounding of a sum over all pixels, some 1e-7, and Adam's first step is lr * g / (|g| + 3e-6)
    of it: 7e-5 and 1.2e-4 were seen in torch and keras[tensorflow], where the others had 8e-6, and the learning rate
    is the only bound.  Their gradients are judged, and float64 judges their steps.

    After that no maximum is meaningful: a ReLU whose input is closer to 0 than rounding flips, and Adam makes a step
    of the size of the learning rate of it.  The median over all weights is meaningful as long as the flip has not
    spread.  Measured on keras[tensorflow], conv, Adam at 3e-3: an input of 3e-8 flips in step 2; the median is 2e-9
    then, 1e-8 after step 3, 2e-7, 1e-6, 4e-6 after steps 4 to 6 and 3e-5 after step 10, where a run without a flip
    has 1e-9.  Some unit of the 1e5 of a batch is that close to 0 at nearly every step.  So the median is judged
    after step 3 (1e-8 -> 1e-6; Adam's epsilon in the other form: 4e-6 and more), the losses up to step 10
    (5e-5 -> 1e-4), and what becomes of the weights after 10 and 100 steps is reported and not judged: correct
    trajectories part there.

bfloat16 (mixed precision: products in 8 significant bits, unit roundoff 4e-3)
    Worst on a CPU, of torch, keras[torch] and keras[tensorflow] on eight networks, and of jax (dense, conv, bn,
    conv-latif) and keras[jax] (dense, bn): output 1.2e-3 -> 5e-3 in inference, 2e-2 -> 8e-2 where batch
    statistics are taken; loss 4.8e-4 -> 2e-3; code 7e-3 -> 3e-2 of its largest number.  A ReLU that flips takes up to
    0.16 of the largest gradient of the network with it, so no single gradient is judged, but all as one vector: 0.10
    (dense, whose sums are over 16 samples alone) -> 0.2.  Of the weights the moving statistics after one step,
    3e-5 -> 2e-4 of the largest, and the median after one step, 1e-5 -> 3e-5, and three, 7e-5 -> 2e-4; later ones are
    reported.  Found so: padding on the wrong side (output, code), momentum swapped (statistics: 1.4), codes in another
    order, epsilon in the other form (median after one step 1.4e-4 and more; not with batch normalisation: 5e-6).  Not
    found: unbiased variance, another slope; float32 and float64 are for those.

    TensorFlow on a CPU adds up the gradient of a bias in bfloat16 (BiasAddGrad: 12,544 ones make 256), unless XLA
    compiles it.  On conv the vector of gradients is off by 0.49 for that, and on conv-residual by 0.23: a certificate
    that fails is the truth.  keras[tensorflow] idiomatic fails so, for ``fit`` does not compile on a CPU; its
    tuned track adds up in float32, as the native jax does.
tf32 (factors of products in 11 significant bits)
    There was no GPU to measure on.  Emulated by cutting the factors of torch's products, forward and backward, to TF32
    (``tests/emulated_tf32.py``), on eight networks: output 5e-4 -> 2e-3, with batch statistics 3e-3 -> 1.5e-2, loss
    2e-4 -> 1e-3, code 2e-3 -> 1e-2, gradients 0.03 -> 0.1, statistics 1.2e-5 -> 1e-4, median after one step
    1.8e-6 -> 1e-5, after three 2e-5 -> 1e-4.

Gradients and weights are compared absolutely, not relatively: a bias before batch normalisation has a true
gradient of 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from implementations.adapter import Precision


@dataclass(frozen=True)
class Tolerances:
    """Absolute, but for ``gradients`` in float32, which is relative to the largest gradient of the network."""

    output: float
    output_batch_statistics: float
    loss: float
    gradients: float | None
    """Of the one that is furthest off; None where a single one says nothing."""
    gradients_relative: bool
    weights: Mapping[int, float]
    """Largest deviation of any weight, by step."""
    idle_weights: Mapping[int, float]
    """The same for weights with a true gradient of 0, under Adam and Adadelta."""
    median_weights: Mapping[int, float]
    """Median deviation over all weights, by step."""
    mean_losses: Mapping[int, float]
    """Mean loss of the batches up to this step."""
    gradients_norm: float | None = None
    """All gradients as one vector: the norm of the difference over its own."""
    code: float | None = None
    """Relative to the largest number of the code, if that is above 1; None: as ``output``."""
    statistics: Mapping[int, float] = field(default_factory=dict)
    """Moving statistics of batch normalisation, by step, relative to the largest of them; where ``weights``, which
    they are among, are not judged."""


BY_PRECISION: dict[Precision, Tolerances] = {
    "float64": Tolerances(
        output=1e-12,
        output_batch_statistics=1e-12,
        loss=1e-13,
        gradients=1e-13,
        gradients_relative=False,
        weights={1: 1e-13, 3: 1e-12, 10: 1e-12, 100: 1e-10},
        idle_weights={1: 1e-11, 3: 1e-10, 10: 1e-10},
        median_weights={},
        mean_losses={1: 1e-13, 3: 1e-12, 10: 1e-12, 100: 1e-12},
    ),
    "float32": Tolerances(
        output=2e-6,
        output_batch_statistics=2e-5,
        loss=1e-6,
        gradients=2e-4,
        gradients_relative=True,
        weights={1: 5e-5},
        idle_weights={},
        median_weights={3: 1e-6},
        mean_losses={1: 1e-6, 3: 1e-4, 10: 1e-4},
    ),
    "bfloat16": Tolerances(
        output=5e-3,
        output_batch_statistics=8e-2,
        loss=2e-3,
        gradients=None,
        gradients_relative=True,
        gradients_norm=0.2,
        code=3e-2,
        weights={},
        idle_weights={},
        median_weights={1: 3e-5, 3: 2e-4},
        mean_losses={1: 2e-3, 3: 2e-3},
        statistics={1: 2e-4},
    ),
    "tf32": Tolerances(
        output=2e-3,
        output_batch_statistics=1.5e-2,
        loss=1e-3,
        gradients=None,
        gradients_relative=True,
        gradients_norm=0.1,
        code=1e-2,
        weights={},
        idle_weights={},
        median_weights={1: 1e-5, 3: 1e-4},
        mean_losses={1: 1e-3, 3: 1e-3},
        statistics={1: 1e-4},
    ),
}
