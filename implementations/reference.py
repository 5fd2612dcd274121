"""The specification, executable: every layer, loss and optimizer in plain NumPy, float64.

This is what backends are certified against.  It is written to be read beside the definitions in
:mod:`implementations.architecture` and :mod:`implementations.training`, shares no code with any framework, and
is differentiated by hand; tests check its gradients by finite differences.  Images are (n, h, w, c).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

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
from implementations.training import SGD, Adadelta, Adam, Loss, Training

Float = NDArray[np.float64]
Named = dict[str, Float]
Backward = Callable[[Float], tuple[Float, Named]]
"""d loss / d output -> (d loss / d input, d loss / d weights by short name)."""


def sigmoid(logits: Float) -> Float:
    """1 / (1 + exp(-x)) without overflow."""
    decay = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, decay) / (1.0 + decay)


def loss_and_gradient(loss: Loss, logits: Float, clean: Float, *, linear: bool = False) -> tuple[float, Float]:
    """Mean over all values of the batch, and its gradient by the logits; by the output itself if it is ``linear``."""
    if linear:
        assert loss == "mse"
        return float(np.square(logits - clean).mean()), 2.0 * (logits - clean) / clean.size
    output = sigmoid(logits)
    if loss == "bce":
        # -y log p - (1-y) log(1-p) written for logits: finite, with a gradient, for saturated pixels too.
        value = np.maximum(logits, 0) - logits * clean + np.log1p(np.exp(-np.abs(logits)))
        return float(value.mean()), (output - clean) / clean.size
    return float(np.square(output - clean).mean()), 2.0 * (output - clean) * output * (1.0 - output) / clean.size


class Reference:
    """A network with its weights and optimizer state; the same verbs as an adapter, one batch at a time."""

    def __init__(
        self, architecture: Architecture, training: Training, weights: dict[str, NDArray[np.floating]]
    ) -> None:
        architecture.check_loss(training.loss)
        self.architecture = architecture
        self.nodes = architecture.nodes()
        self.training = training
        self.weights: Named = {name: np.array(value, np.float64) for name, value in weights.items()}
        self.step_count = 0
        self._first = {name: np.zeros_like(value) for name, value in self.weights.items()}
        self._second = {name: np.zeros_like(value) for name, value in self.weights.items()}

    def reconstruct(self, noisy: NDArray[np.floating]) -> Float:
        """Denoised images in inference mode, (n, h, w, c)."""
        given = x = np.asarray(noisy, np.float64)
        for node in self.nodes:
            x, _, _ = self._forward(node, x, given, training=False)
        return self._output(x)

    def _output(self, x: Float) -> Float:
        """What the last layer gives -> images."""
        return x if self.architecture.is_linear else sigmoid(x)

    def encode(self, images: NDArray[np.floating]) -> Float:
        """Codes in inference mode, (n, latent).  SpecificationError if there are none."""
        self.architecture.check_code()
        given = x = np.asarray(images, np.float64)
        for node in self.nodes[: len(self.architecture.encoder)]:
            x, _, _ = self._forward(node, x, given, training=False)
        return x.reshape(len(x), -1)

    def gradients(self, noisy: NDArray[np.floating], clean: NDArray[np.floating]) -> tuple[Float, float, Named, Named]:
        """(output in training mode, loss, gradients by name, new moving statistics by name)."""
        given = x = np.asarray(noisy, np.float64)
        tape: list[tuple[Node, Backward]] = []
        statistics: Named = {}
        for node in self.nodes:
            x, backward, moved = self._forward(node, x, given, training=True)
            tape.append((node, backward))
            statistics |= {f"{node.name}.{name}": value for name, value in moved.items()}
        loss, upstream = loss_and_gradient(
            self.training.loss, x, np.asarray(clean, np.float64), linear=self.architecture.is_linear
        )
        gradients: Named = {}
        for node, backward in reversed(tape):
            upstream, own = backward(upstream)
            gradients |= {f"{node.name}.{name}": value for name, value in own.items()}
        return self._output(x), loss, gradients, statistics

    def train_step(self, noisy: NDArray[np.floating], clean: NDArray[np.floating]) -> float:
        """One optimizer step on one batch; returns the loss before it."""
        _, loss, gradients, statistics = self.gradients(noisy, clean)
        self.step_count += 1
        for name, gradient in gradients.items():
            self.weights[name] = self.weights[name] + self._update(name, gradient)
        self.weights |= statistics
        return loss

    def _update(self, name: str, g: Float) -> Float:
        t, first, second = self.step_count, self._first, self._second
        match self.training.optimizer:
            case Adam(learning_rate=rate, beta1=b1, beta2=b2, epsilon=epsilon):
                first[name] = b1 * first[name] + (1 - b1) * g
                second[name] = b2 * second[name] + (1 - b2) * g * g
                scale = rate * math.sqrt(1 - b2**t) / (1 - b1**t)
                return -scale * first[name] / (np.sqrt(second[name]) + epsilon)
            case Adadelta(learning_rate=rate, rho=rho, epsilon=epsilon):
                first[name] = rho * first[name] + (1 - rho) * g * g
                step = -np.sqrt(second[name] + epsilon) / np.sqrt(first[name] + epsilon) * g
                second[name] = rho * second[name] + (1 - rho) * step * step
                return rate * step
            case SGD(learning_rate=rate, momentum=momentum):
                first[name] = momentum * first[name] - rate * g
                return first[name]
        raise TypeError(f"not an optimizer: {self.training.optimizer!r}")

    def _forward(self, node: Node, x: Float, given: Float, training: bool) -> tuple[Float, Backward, Named]:
        """(output, its backward function, new moving statistics by short name) of one layer; ``given``: the images
        that the network was given."""
        w = {
            name: self.weights.get(f"{node.name}.{name}", np.empty(0))
            for name in ("kernel", "bias", "gamma", "beta", "mean", "variance")
        }
        match node.layer:
            case Flatten() | Reshape():
                before = x.shape
                return x.reshape(len(x), *node.output_shape), lambda d: (d.reshape(before), {}), {}
            case Dense(activation=activation):
                return *_activated(activation, *_dense(x, w["kernel"], w["bias"])), {}
            case Conv2D(stride=s, padding=padding, activation=activation):
                return *_activated(activation, *_convolution(x, w["kernel"], w["bias"], s, padding == "same")), {}
            case Conv2DTranspose(stride=s, padding=padding, activation=activation):
                return *_activated(activation, *_transposed(x, w["kernel"], w["bias"], s, padding == "same")), {}
            case MaxPool2D(size=size, padding=padding):
                return *_max_pool(x, size, padding == "same"), {}
            case UpSampling2D(size=size):
                return *_upsample(x, size), {}
            case Crop2D(height=height, width=width):
                return *_crop(x, height, width), {}
            case BatchNorm() as layer:
                return _batch_norm(x, layer, w, training and not isinstance(layer, FrozenBatchNorm))
            case LeakyReLU(slope=slope):
                factor = np.where(x > 0, 1.0, slope)
                return x * factor, lambda d: (d * factor, {}), {}
            case SubtractFromInput():
                return given - x, lambda d: (-d, {}), {}
        raise TypeError(f"not a layer: {node.layer!r}")


def _activated(activation: str | None, x: Float, backward: Backward) -> tuple[Float, Backward]:
    if activation != "relu":  # a sigmoid is the head's: logits are passed on
        return x, backward
    mask = x > 0
    return x * mask, lambda d: backward(d * mask)


def _dense(x: Float, kernel: Float, bias: Float) -> tuple[Float, Backward]:
    def backward(d: Float) -> tuple[Float, Named]:
        return d @ kernel.T, {"kernel": x.T @ d, "bias": d.sum(0)}

    return x @ kernel + bias, backward


def _convolution(x: Float, kernel: Float, bias: Float, s: int, same: bool) -> tuple[Float, Backward]:
    """One matrix product for each tap of the kernel: a ninth of the memory of gathering all windows first."""
    k, _, c, f = kernel.shape
    n, h, w, _ = x.shape
    top, bottom = same_padding(h, k, s) if same else (0, 0)
    left, right = same_padding(w, k, s) if same else (0, 0)
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    oh, ow = (padded.shape[1] - k) // s + 1, (padded.shape[2] - k) // s + 1
    taps = [(a, b, np.s_[:, a : a + s * oh : s, b : b + s * ow : s]) for a in range(k) for b in range(k)]
    out = np.tile(bias, (n * oh * ow, 1))
    for a, b, seen in taps:
        out += padded[seen].reshape(-1, c) @ kernel[a, b]

    def backward(d: Float) -> tuple[Float, Named]:
        d = d.reshape(-1, f)
        dx, dk = np.zeros_like(padded), np.empty_like(kernel)
        for a, b, seen in taps:
            dk[a, b] = padded[seen].reshape(-1, c).T @ d
            dx[seen] += (d @ kernel[a, b].T).reshape(n, oh, ow, c)
        return dx[:, top : top + h, left : left + w], {"kernel": dk, "bias": d.sum(0)}

    return out.reshape(n, oh, ow, f), backward


def _transposed(x: Float, kernel: Float, bias: Float, s: int, same: bool) -> tuple[Float, Backward]:
    """The transpose of a convolution: every input pixel adds its multiple of the kernel to the output."""
    k, _, f, c = kernel.shape
    n, h, w, _ = x.shape
    cut = max(k - s, 0) // 2 if same else 0
    full = np.zeros((n, (h - 1) * s + max(k, s), (w - 1) * s + max(k, s), f))
    kept = np.s_[:, cut : cut + h * s, cut : cut + w * s] if same else np.s_[:]
    taps = [
        (a, b, np.s_[:, a : a + s * (h - 1) + 1 : s, b : b + s * (w - 1) + 1 : s]) for a in range(k) for b in range(k)
    ]
    pixels = x.reshape(-1, c)
    for a, b, reached in taps:
        full[reached] += (pixels @ kernel[a, b].T).reshape(n, h, w, f)

    def backward(d: Float) -> tuple[Float, Named]:
        whole = np.zeros_like(full)
        whole[kept] = d
        dx, dk = np.zeros_like(pixels), np.empty_like(kernel)
        for a, b, reached in taps:
            upstream = whole[reached].reshape(-1, f)
            dk[a, b] = upstream.T @ pixels
            dx += upstream @ kernel[a, b]
        return dx.reshape(x.shape), {"kernel": dk, "bias": d.sum((0, 1, 2))}

    return full[kept] + bias, backward


def _max_pool(x: Float, size: int, same: bool) -> tuple[Float, Backward]:
    n, h, w, c = x.shape
    if same:
        (top, bottom), (left, right) = same_padding(h, size, size), same_padding(w, size, size)
    else:
        top, bottom, left, right = 0, -(h % size), 0, -(w % size)
    kept = x[:, : h + min(bottom, 0), : w + min(right, 0)]
    padded = np.pad(kept, ((0, 0), (top, max(bottom, 0)), (left, max(right, 0)), (0, 0)), constant_values=-np.inf)
    oh, ow = padded.shape[1] // size, padded.shape[2] // size
    windows = padded.reshape(n, oh, size, ow, size, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, oh, ow, c, size * size)
    first = windows.argmax(-1)[..., None]  # the first maximum wins

    def backward(d: Float) -> tuple[Float, Named]:
        spread = np.zeros(windows.shape)
        np.put_along_axis(spread, first, d[..., None], -1)
        image = spread.reshape(n, oh, ow, c, size, size).transpose(0, 1, 4, 2, 5, 3).reshape(padded.shape)
        dx = np.zeros_like(x)
        dx[:, : kept.shape[1], : kept.shape[2]] = image[:, top : top + kept.shape[1], left : left + kept.shape[2]]
        return dx, {}

    return np.take_along_axis(windows, first, -1)[..., 0], backward


def _upsample(x: Float, size: int) -> tuple[Float, Backward]:
    n, h, w, c = x.shape

    def backward(d: Float) -> tuple[Float, Named]:
        return d.reshape(n, h, size, w, size, c).sum((2, 4)), {}

    return x.repeat(size, 1).repeat(size, 2), backward


def _crop(x: Float, height: int, width: int) -> tuple[Float, Backward]:
    def backward(d: Float) -> tuple[Float, Named]:
        dx = np.zeros_like(x)
        dx[:, :height, :width] = d
        return dx, {}

    return x[:, :height, :width], backward


def _batch_norm(x: Float, layer: BatchNorm, w: Named, training: bool) -> tuple[Float, Backward, Named]:
    axes = tuple(range(x.ndim - 1))
    moved: Named = {}
    mean, variance = w["mean"], w["variance"]
    if training:
        mean, variance = x.mean(axes), x.var(axes)
        moved = {
            name: layer.momentum * w[name] + (1 - layer.momentum) * new
            for name, new in (("mean", mean), ("variance", variance))
        }
    deviation = np.sqrt(variance + layer.epsilon)
    normal = (x - mean) / deviation

    def backward(d: Float) -> tuple[Float, Named]:
        own = {"gamma": (d * normal).sum(axes), "beta": d.sum(axes)}
        inner = d * w["gamma"]
        if training:  # mean and variance depend on x as well
            inner = inner - inner.mean(axes) - normal * (inner * normal).mean(axes)
        return inner / deviation, own

    return normal * w["gamma"] + w["beta"], backward, moved
