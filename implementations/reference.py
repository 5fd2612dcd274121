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
_Layer = tuple[Float, Backward]

BLOCK = 1 << 17
"""Numbers gathered at a time for a product of matrices: a megabyte, which stays in a core's cache.  All windows of a
batch at once would be thirty, and memory, not arithmetic, what a step waits for."""


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
            step = self._update(name, gradient)
            self.weights[name] = np.add(self.weights[name], step, out=step)  # not in place: weights may be kept
        self.weights |= statistics
        return loss

    def _update(self, name: str, g: Float) -> Float:
        """What is added to a weight, a new array; the optimizer's two sets of numbers for it change in place."""
        t, first, second = self.step_count, self._first[name], self._second[name]
        match self.training.optimizer:
            case Adam(learning_rate=rate, beta1=b1, beta2=b2, epsilon=epsilon):
                first *= b1
                first += (1 - b1) * g
                second *= b2
                second += (1 - b2) * g * g
                scale = rate * math.sqrt(1 - b2**t) / (1 - b1**t)
                return -scale * first / (np.sqrt(second) + epsilon)
            case Adadelta(learning_rate=rate, rho=rho, epsilon=epsilon):
                first *= rho
                first += (1 - rho) * g * g
                step = -np.sqrt(second + epsilon) / np.sqrt(first + epsilon) * g
                second *= rho
                second += (1 - rho) * step * step
                return rate * step
            case SGD(learning_rate=rate, momentum=momentum):
                first *= momentum
                first -= rate * g
                return first.copy()
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
                first = node is self.nodes[0]
                layer = _convolution(x, w["kernel"], w["bias"], s, padding == "same", first=first)
                return *_activated(activation, *layer), {}
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
    return np.maximum(x, 0.0, out=x), lambda d: backward(d * mask)


def _dense(x: Float, kernel: Float, bias: Float) -> tuple[Float, Backward]:
    def backward(d: Float) -> tuple[Float, Named]:
        return d @ kernel.T, {"kernel": x.T @ d, "bias": d.sum(0)}

    return x @ kernel + bias, backward


def _windows(image: Float, k: int, s: int, h: int, w: int) -> Float:
    """What h x w windows of k x k pixels, ``s`` apart, see of an image (n, H, W, c): (n * h * w, k * k * c), a copy."""
    n, _, _, c = image.shape
    along_n, along_h, along_w, along_c = image.strides
    # The pixels of a window's row lie side by side: a copy of k * c numbers at a time.
    rows = np.lib.stride_tricks.as_strided(
        image, (n, h, w, k, k * c), (along_n, s * along_h, s * along_w, along_h, along_c), writeable=False
    )
    return rows.reshape(n * h * w, k * k * c)


def _add_windows(image: Float, seen: Float, k: int, s: int, h: int, w: int) -> None:
    """The transpose of :func:`_windows`: add to ``image`` (n, H, W, c) what each window gives to the pixels that it
    sees, (n * h * w, k * k * c)."""
    n, _, _, c = image.shape
    taps = seen.reshape(n, h, w, k, k, c)
    for a in range(k):
        for b in range(k):
            image[:, a : a + s * (h - 1) + 1 : s, b : b + s * (w - 1) + 1 : s] += taps[:, :, :, a, b]


def _blocks(images: int, numbers: int) -> list[slice]:
    """All images, so few at a time that ``numbers`` for each of them fill :data:`BLOCK`."""
    size = max(BLOCK // numbers, 1)
    return [slice(start, start + size) for start in range(0, images, size)]


def _convolution(x: Float, kernel: Float, bias: Float, s: int, same: bool, *, first: bool = False) -> _Layer:
    """Windows of the image times the kernel.  ``first``: nobody asks for d loss / d input, which is left out."""
    k, _, c, f = kernel.shape
    n, h, w, _ = x.shape
    top, bottom = same_padding(h, k, s) if same else (0, 0)
    left, right = same_padding(w, k, s) if same else (0, 0)
    oh, ow = (top + h + bottom - k) // s + 1, (left + w + right - k) // s + 1
    if s == 1 and f < c:
        # The same as a transposed convolution by the kernel turned round: what few filters make of a pixel is fewer
        # numbers than what a window sees.
        out, spread = _spread(x, _turned(kernel), 1, (k - 1 - top, oh), (k - 1 - left, ow))

        def from_spread(d: Float) -> tuple[Float, Named]:
            dx, dk = spread(d)
            return dx, {"kernel": _turned(dk), "bias": d.sum((0, 1, 2))}

        return out + bias, from_spread
    padded = np.zeros((n, top + h + bottom, left + w + right, c))
    padded[:, top : top + h, left : left + w] = x
    matrix = kernel.reshape(k * k * c, f)
    parts = _blocks(n, oh * ow * k * k * c)
    out = np.concatenate([_windows(padded[part], k, s, oh, ow) @ matrix for part in parts])
    out += bias

    def backward(d: Float) -> tuple[Float, Named]:
        dx, dk = np.zeros(padded.shape if not first else 0), np.zeros(matrix.shape)
        for part in parts:
            own = d[part].reshape(-1, f)
            dk += _windows(padded[part], k, s, oh, ow).T @ own
            if not first:
                _add_windows(dx[part], own @ matrix.T, k, s, oh, ow)
        inner = dx if first else dx[:, top : top + h, left : left + w]
        return inner, {"kernel": dk.reshape(kernel.shape), "bias": d.sum((0, 1, 2))}

    return out.reshape(n, oh, ow, f), backward


def _transposed(x: Float, kernel: Float, bias: Float, s: int, same: bool) -> _Layer:
    """The transpose of a convolution: every input pixel adds its multiple of the kernel to the output."""
    k = len(kernel)
    _, h, w, _ = x.shape
    rows, columns = (((max(k - s, 0) // 2, m * s) if same else (0, (m - 1) * s + max(k, s))) for m in (h, w))
    out, spread = _spread(x, kernel, s, rows, columns)

    def backward(d: Float) -> tuple[Float, Named]:
        dx, dk = spread(d)
        return dx, {"kernel": dk, "bias": d.sum((0, 1, 2))}

    return out + bias, backward


def _spread(
    x: Float, kernel: Float, s: int, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[Float, Callable[[Float], tuple[Float, Float]]]:
    """Every pixel of x (n, h, w, c) adds its multiple of the kernel (k, k, f, c) to an image, s pixels from where the
    one before it did.  (``rows`` and ``columns`` of it, each first and count; their backward function, which gives
    d loss / d x and d loss / d kernel)."""
    k, _, f, c = kernel.shape
    n, h, w, _ = x.shape
    whole = (max((h - 1) * s + k, sum(rows)), max((w - 1) * s + k, sum(columns)))
    kept = np.s_[:, rows[0] : sum(rows), columns[0] : sum(columns)]
    matrix = kernel.reshape(k * k * f, c)
    parts = _blocks(n, h * w * k * k * f)
    full = np.zeros((n, *whole, f))
    for part in parts:
        _add_windows(full[part], x[part].reshape(-1, c) @ matrix.T, k, s, h, w)

    def backward(d: Float) -> tuple[Float, Float]:
        padded = np.zeros(full.shape)
        padded[kept] = d
        dx, dk = np.empty(x.shape), np.zeros(matrix.shape)
        for part in parts:
            seen = _windows(padded[part], k, s, h, w)
            dk += seen.T @ x[part].reshape(-1, c)
            dx[part] = (seen @ matrix).reshape(dx[part].shape)
        return dx, dk.reshape(kernel.shape)

    return full[kept], backward


def _turned(kernel: Float) -> Float:
    """A kernel (k, k, c, f) by 180 degrees, as (k, k, f, c)."""
    return np.ascontiguousarray(kernel[::-1, ::-1].transpose(0, 1, 3, 2))


def _max_pool(x: Float, size: int, same: bool) -> _Layer:
    n, h, w, c = x.shape
    if same:
        (top, bottom), (left, right) = same_padding(h, size, size), same_padding(w, size, size)
    else:
        top, bottom, left, right = 0, -(h % size), 0, -(w % size)
    height, width = h + top + bottom, w + left + right
    inside = np.s_[:, top : top + min(h, height), left : left + min(w, width)]
    kept = np.s_[:, : min(h, height), : min(w, width)]
    padded = x[kept]
    if top or left or height > h or width > w:
        padded = np.full((n, height, width, c), -np.inf)
        padded[inside] = x[kept]
    places = [np.s_[:, a::size, b::size] for a in range(size) for b in range(size)]
    out = padded[places[0]].copy()
    for place in places[1:]:
        np.maximum(out, padded[place], out=out)

    def backward(d: Float) -> tuple[Float, Named]:
        spread = np.empty(padded.shape)
        left_over = d.copy()
        for place in places:  # the first maximum wins
            is_first = padded[place] == out
            np.multiply(left_over, is_first, out=spread[place])
            left_over[is_first] = 0.0
        dx = np.zeros(x.shape)
        dx[kept] = spread[inside]
        return dx, {}

    return out, backward


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
    shape, x = x.shape, x.reshape(-1, x.shape[-1])
    moved: Named = {}
    if training:
        mean = x.mean(0)
        normal = x - mean
        variance = _dot(normal, normal) / len(x)
        moved = {
            name: layer.momentum * w[name] + (1 - layer.momentum) * new
            for name, new in (("mean", mean), ("variance", variance))
        }
    else:
        normal, variance = x - w["mean"], w["variance"]
    deviation = np.sqrt(variance + layer.epsilon)
    normal /= deviation
    out = normal * w["gamma"]
    out += w["beta"]

    def backward(d: Float) -> tuple[Float, Named]:
        d = d.reshape(normal.shape)
        own = {"gamma": _dot(d, normal), "beta": d.sum(0)}
        inner = d * (w["gamma"] / deviation)
        if training:  # mean and variance depend on x as well
            # Of inner times gamma / deviation, its mean and its mean with ``normal`` are taken out.
            share = w["gamma"] / deviation / len(d)
            inner -= own["beta"] * share
            inner -= normal * (own["gamma"] * share)
        return inner.reshape(shape), own

    return out.reshape(shape), backward, moved


def _dot(one: Float, other: Float) -> Float:
    """Sums of products over the first axis: (n, c), (n, c) -> (c,)."""
    sums: Float = np.einsum("nc,nc->c", one, other)
    return sums
