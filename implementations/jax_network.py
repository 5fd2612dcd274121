"""A specification as pure JAX functions: weights in a dictionary by canonical name, in canonical layout.

Convolutions are ``lax.conv_general_dilated`` or, where ``convolve = "products"``, gathered windows and one matrix
product: on a CPU XLA runs the former without a library as soon as they stand in a loop.  Imported by the JAX adapter
alone, since it imports jax.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from implementations.architecture import (
    Architecture,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop2D,
    Dense,
    Flatten,
    FrozenBatchNorm,
    LeakyReLU,
    MaxPool2D,
    Node,
    Reshape,
    SubtractFromInput,
    UpSampling2D,
    same_padding,
)
from implementations.parameters import Array
from implementations.training import SGD, Adadelta, Adam, Loss, Optimizer

Named = dict[str, jax.Array]
Convolve = Literal["library", "products"]
Pads = tuple[tuple[int, int], tuple[int, int]]

LAYOUT = ("NHWC", "HWIO", "NHWC")


def apply(
    architecture: Architecture,
    weights: Named,
    x: jax.Array,
    *,
    training: bool,
    convolve: Convolve = "library",
    product_dtype: str | None = None,
) -> tuple[jax.Array, Named]:
    """(logits, new moving statistics by name) of x (n, h, w, c), both of its type; images in place of logits where the
    network is linear, which subtracts from its input.

    ``product_dtype``: what layers with a kernel compute in and hand on, where that is not x's type ("bfloat16",
    for mixed precision as in flax: batch normalisation computes in the type of its weights)."""
    images = x
    statistics: Named = {}
    for node in architecture.nodes():
        x, moved = _layer(node, weights, x, training, convolve, product_dtype)
        statistics |= {f"{node.name}.{name}": value for name, value in moved.items()}
    x = x.astype(images.dtype)
    return (images - x if architecture.is_linear else x), statistics


def encode(architecture: Architecture, weights: Named, x: jax.Array, product_dtype: str | None = None) -> jax.Array:
    """Codes in inference mode, (n, latent), channels-last, of the type of x."""
    dtype = x.dtype
    for node in architecture.nodes()[: len(architecture.encoder)]:
        x, _ = _layer(node, weights, x, False, "library", product_dtype)
    return x.reshape(len(x), -1).astype(dtype)


def mean_loss(loss: Loss, output: jax.Array, clean: jax.Array, *, linear: bool) -> jax.Array:
    """The mean over all values of a batch, from logits; from images where the network is ``linear``."""
    if linear:
        return jnp.mean(jnp.square(output - clean))
    if loss == "bce":
        # -y log p - (1-y) log(1-p) written for logits: finite, with a gradient, for saturated pixels too.
        return jnp.mean(jnp.maximum(output, 0) - output * clean + jnp.log1p(jnp.exp(-jnp.abs(output))))
    return jnp.mean(jnp.square(jax.nn.sigmoid(output) - clean))


def _layer(
    node: Node, weights: Named, x: jax.Array, training: bool, convolve: Convolve, product_dtype: str | None
) -> tuple[jax.Array, Named]:
    multiplies = isinstance(node.layer, Dense | Conv2D | Conv2DTranspose)
    if product_dtype and multiplies:
        x = x.astype(product_dtype)

    def own(name: str) -> jax.Array:
        value = weights[f"{node.name}.{name}"]
        return value.astype(product_dtype) if product_dtype and multiplies and name == "kernel" else value

    match node.layer:
        case Flatten() | Reshape():
            return x.reshape(len(x), *node.output_shape), {}
        case Dense(activation=activation):
            return _activated(activation, _biased(x @ own("kernel"), own("bias"))), {}
        case Conv2D(kernel=k, stride=s, padding=padding, activation=activation):
            h, w, _ = node.input_shape
            pads = (same_padding(h, k, s), same_padding(w, k, s)) if padding == "same" else ((0, 0), (0, 0))
            convolution = _by_products if convolve == "products" else _by_library
            return _activated(activation, _biased(convolution(x, own("kernel"), s, pads), own("bias"))), {}
        case Conv2DTranspose(kernel=k, stride=s, padding=padding, activation=activation):
            spread = _transposed_by_products if convolve == "products" else _transposed_by_library
            spreading = spread(x, own("kernel"), k, s, padding == "same")
            return _activated(activation, _biased(spreading, own("bias"))), {}
        case MaxPool2D(size=size, padding=padding):
            window = (1, size, size, 1)
            return lax.reduce_window(x, -jnp.inf, lax.max, window, window, padding.upper()), {}
        case UpSampling2D(size=size):
            n, h, w, c = x.shape
            wide = jnp.broadcast_to(x[:, :, None, :, None], (n, h, size, w, size, c))
            return wide.reshape(n, h * size, w * size, c), {}
        case Crop2D(height=height, width=width):
            return x[:, :height, :width], {}
        case BatchNorm() as layer:
            frozen = isinstance(layer, FrozenBatchNorm)
            return _normalised(x, layer, own, training and not frozen)
        case LeakyReLU(slope=slope):
            return jnp.where(x > 0, x, slope * x), {}
        case SubtractFromInput():
            return x, {}  # the network's own business: a layer does not see what went into the first
    raise TypeError(f"not a layer: {node.layer!r}")


def _biased(x: jax.Array, bias: jax.Array) -> jax.Array:
    """x + bias, added in the type of the bias, so that its gradient is summed in that: thousands of numbers in bfloat16
    would come to half of it."""
    return (x.astype(bias.dtype) + bias).astype(x.dtype)


def _activated(activation: str | None, x: jax.Array) -> jax.Array:
    return jax.nn.relu(x) if activation == "relu" else x  # a sigmoid is the loss's: logits are passed on


def _by_library(x: jax.Array, kernel: jax.Array, s: int, pads: Pads) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (s, s), pads, dimension_numbers=LAYOUT)


def _by_products(x: jax.Array, kernel: jax.Array, s: int, pads: Pads) -> jax.Array:
    """All windows side by side, (n, h', w', k*k*c), and one product with the kernel, (k*k*c, filters)."""
    k, _, c, filters = kernel.shape
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    n, height, width, _ = padded.shape
    h, w = (height - k) // s + 1, (width - k) // s + 1
    taps = [
        lax.slice(padded, (0, a, b, 0), (n, a + s * (h - 1) + 1, b + s * (w - 1) + 1, c), (1, s, s, 1))
        for a in range(k)
        for b in range(k)
    ]
    windows = jnp.concatenate(taps, axis=-1).reshape(n * h * w, k * k * c)
    return (windows @ kernel.reshape(k * k * c, filters)).reshape(n, h, w, filters)


def _cuts(n: int, k: int, s: int, same: bool) -> tuple[int, int]:
    """(first pixel of the full output that is kept, how many are)."""
    return (max(k - s, 0) // 2, n * s) if same else (0, (n - 1) * s + max(k, s))


def _transposed_by_library(x: jax.Array, kernel: jax.Array, k: int, s: int, same: bool) -> jax.Array:
    """A convolution of the input, its pixels ``s`` apart, with the kernel turned round."""
    pads = []
    for n in x.shape[1:3]:
        cut, kept = _cuts(n, k, s, same)
        low = k - 1 - cut
        pads.append((low, kept + k - 1 - low - ((n - 1) * s + 1)))
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return lax.conv_general_dilated(x, turned, (1, 1), pads, lhs_dilation=(s, s), dimension_numbers=LAYOUT)


def _transposed_by_products(x: jax.Array, kernel: jax.Array, k: int, s: int, same: bool) -> jax.Array:
    """One product makes what every pixel adds to its k x k surroundings; each tap is added in its place."""
    filters, c = kernel.shape[2:]
    n, h, w, _ = x.shape
    added = (x.reshape(-1, c) @ kernel.reshape(k * k * filters, c).T).reshape(n, h, w, k, k, filters)
    (top, height), (left, width) = _cuts(h, k, s, same), _cuts(w, k, s, same)
    total = jnp.zeros((n, height, width, filters), x.dtype)
    zero = jnp.zeros((), x.dtype)
    for a in range(k):
        for b in range(k):
            rows = (a - top, height - (a - top) - ((h - 1) * s + 1), s - 1)
            columns = (b - left, width - (b - left) - ((w - 1) * s + 1), s - 1)
            total += lax.pad(added[:, :, :, a, b], zero, ((0, 0, 0), rows, columns, (0, 0, 0)))
    return total


def _normalised(
    x: jax.Array, layer: BatchNorm, own: Callable[[str], jax.Array], by_batch: bool
) -> tuple[jax.Array, Named]:
    moved: Named = {}
    mean, variance = own("mean"), own("variance")
    given = x.dtype
    x = x.astype(mean.dtype)
    if by_batch:
        axes = tuple(range(x.ndim - 1))
        before = {"mean": mean, "variance": variance}
        mean, variance = jnp.mean(x, axes), jnp.var(x, axes)
        moved = {
            name: layer.momentum * before[name] + (1 - layer.momentum) * lax.stop_gradient(new)
            for name, new in (("mean", mean), ("variance", variance))
        }
    scale = own("gamma") * lax.rsqrt(variance + layer.epsilon)
    return ((x - mean) * scale + own("beta")).astype(given), moved


# -- optimizers ----------------------------------------------------------------------------------------------------
#
# Not optax: its Adam adds epsilon to the bias-corrected root, the specification to the uncorrected one, and no constant
# makes the one of the other.  The step's number only comes in by ``scale``, computed outside in float64.


def start(trainable: Named) -> tuple[Named, Named]:
    """The optimizer's two sets of numbers, empty."""
    # By way of NumPy: JAX compiles a program for every shape that it fills with zeros itself.
    first, second = (
        {name: jnp.array(np.zeros(value.shape, value.dtype)) for name, value in trainable.items()} for _ in range(2)
    )
    return first, second


def scales(
    optimizer: Optimizer, steps: int, count: int, *, corrected: bool = False
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What the steps ``steps`` + 1 ... ``steps`` + ``count`` are multiplied with, float64 (count,).

    ``corrected``: with Adam the epsilon stands beside the bias-corrected root, as optax has it, and there are two
    numbers a step, (count, 2): the second is what the root is divided by."""
    if isinstance(optimizer, Adam):
        t = np.arange(steps + 1, steps + count + 1, dtype=np.float64)
        root = np.sqrt(-np.expm1(t * math.log(optimizer.beta2)))
        if corrected:
            return np.stack([optimizer.learning_rate / (1 - optimizer.beta1**t), root], axis=1)
        return optimizer.learning_rate * root / (1 - optimizer.beta1**t)
    return np.full(count, optimizer.learning_rate)


def update(
    optimizer: Optimizer,
    w: jax.Array,
    g: jax.Array,
    first: jax.Array,
    second: jax.Array,
    scale: jax.Array,
    *,
    corrected: bool = False,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(weight, first, second) after one step; ``scale`` is an entry of :func:`scales`."""
    match optimizer:
        case Adam(beta1=b1, beta2=b2, epsilon=epsilon) if corrected:
            first = b1 * first + (1 - b1) * g
            second = b2 * second + (1 - b2) * g * g
            return w - scale[0] * first / (jnp.sqrt(second) / scale[1] + epsilon), first, second
        case Adam(beta1=b1, beta2=b2, epsilon=epsilon):
            first = b1 * first + (1 - b1) * g
            second = b2 * second + (1 - b2) * g * g
            return w - scale * first / (jnp.sqrt(second) + epsilon), first, second
        case Adadelta(rho=rho, epsilon=epsilon):
            first = rho * first + (1 - rho) * g * g
            step = -jnp.sqrt(second + epsilon) / jnp.sqrt(first + epsilon) * g
            second = rho * second + (1 - rho) * step * step
            return w + scale * step, first, second
        case SGD(momentum=momentum):
            first = momentum * first - scale * g
            return w + first, first, second
    raise TypeError(f"not an optimizer: {optimizer!r}")


# -- native defaults -----------------------------------------------------------------------------------------------


def initial_weights(architecture: Architecture, seed: int) -> dict[str, Array]:
    """As the layers of flax begin: LeCun-normal kernels, zero biases; by JAX's own generator, float32.

    flax keeps the kernel of a transposed convolution the other way round and turned; the fan-in is that of its layout.
    """
    key = jax.random.key(seed)
    draw = jax.nn.initializers.lecun_normal()
    spreading = {node.name for node in architecture.nodes() if isinstance(node.layer, Conv2DTranspose)}
    found: dict[str, Array] = {}
    for number, (name, shape) in enumerate(architecture.parameter_shapes().items()):
        layer, _, kind = name.rpartition(".")
        if kind != "kernel":
            found[name] = np.full(shape, 1.0 if kind in ("gamma", "variance") else 0.0, np.float32)
            continue
        theirs = (*shape[:2], shape[3], shape[2]) if layer in spreading else shape
        kernel = np.array(draw(jax.random.fold_in(key, number), theirs, jnp.float32))
        found[name] = np.ascontiguousarray(kernel[::-1, ::-1].transpose(0, 1, 3, 2)) if layer in spreading else kernel
    return found
