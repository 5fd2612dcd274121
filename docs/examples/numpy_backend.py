"""A backend in one file: NumPy, differentiated by hand.  docs/add-a-backend.md walks through it."""

import numpy as np

from implementations.adapter import Adapter, Gradients
from implementations.architecture import Conv2D, Conv2DTranspose, Crop2D, Dense, Flatten, Reshape, same_padding
from implementations.training import SGD, Adadelta, Adam

LAYERS = Flatten | Reshape | Crop2D | Dense | Conv2D | Conv2DTranspose
AXES = ((0, 1, 2), (0, 1, 2))  # summed over in the gradient of a kernel


def gather(images, k, s, pad):
    """All windows of k x k pixels, s apart: (n, h, w, c) -> (n, h', w', k * k * c)."""
    padded = np.pad(images, ((0, 0), *pad, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))[:, ::s, ::s]
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)


def scatter(windows, shape, k, s, pad):
    """The transpose of :func:`gather`: every window added to its place in images of ``shape`` (n, h, w, c)."""
    padded = np.zeros((shape[0], shape[1] + sum(pad[0]), shape[2] + sum(pad[1]), shape[3]), windows.dtype)
    rows, columns = windows.shape[1:3]
    for place, part in enumerate(np.split(windows, k * k, axis=-1)):
        top, left = divmod(place, k)
        padded[:, top : top + s * rows : s, left : left + s * columns : s] += part
    return padded[:, pad[0][0] : pad[0][0] + shape[1], pad[1][0] : pad[1][0] + shape[2]]


class NumPy(Adapter):
    name = "numpy"
    packages = ("numpy",)
    tracks, devices = ("idiomatic",), ("cpu",)
    compiles = "nothing"

    @classmethod
    def refusal(cls, architecture, training):
        others = {type(node.layer).__name__ for node in architecture.nodes() if not isinstance(node.layer, LAYERS)}
        return f"it has no {', '.join(sorted(others))}" if others else None

    def configure(self, setting):
        self.dtype = np.dtype(setting.dtype)

    def availability(self, device):
        return None

    def build(self, architecture, training, track):
        self.architecture, self.training, self.nodes = architecture, training, architecture.nodes()

    def load_weights(self, weights):
        self.w = {name: np.array(value, self.dtype) for name, value in weights.items()}
        self.first, self.second = ({name: np.zeros_like(w) for name, w in self.w.items()} for _ in range(2))
        self.steps = 0

    def weights(self):
        return {name: value.copy() for name, value in self.w.items()}

    def parameter_counts(self):
        return (sum(value.size for value in self.w.values()),) * 2  # all of them are trained

    def stage(self, noisy, clean):
        self.noisy, self.clean = noisy, clean

    def train_epoch(self, order):
        total = 0.0
        for batch in self.batches(order):
            found = self.gradients(self.noisy[batch], self.clean[batch])
            self.steps += 1
            for name, gradient in found.gradients.items():
                self.w[name] += self.step(name, gradient)
            total += found.loss * len(batch)
        return total / len(order)

    def reconstruct(self, noisy):
        logits = np.concatenate([self.forward(part, self.nodes)[0] for part in self.batches(noisy)])
        return 0.5 + 0.5 * np.tanh(0.5 * logits)  # the sigmoid, which can not overflow like this

    def encode(self, images):
        self.architecture.check_code()
        codes = [self.forward(part, self.nodes[: len(self.architecture.encoder)])[0] for part in self.batches(images)]
        return np.concatenate(codes).reshape(len(images), -1)

    def gradients(self, noisy, clean):
        logits, tape = self.forward(noisy, self.nodes)
        output, found = 0.5 + 0.5 * np.tanh(0.5 * logits), {}
        d = (output - clean) / clean.size
        if self.training.loss == "bce":
            loss = np.mean(np.maximum(logits, 0) - logits * clean + np.log1p(np.exp(-np.abs(logits))))
        else:
            loss, d = np.mean((output - clean) ** 2), 2 * d * output * (1 - output)
        for name, active, backward in reversed(tape):
            d, kernel = backward(upstream := d * active)
            if kernel is not None:
                found[f"{name}.kernel"] = kernel.reshape(self.w[f"{name}.kernel"].shape)
                found[f"{name}.bias"] = upstream.reshape(-1, upstream.shape[-1]).sum(0)
        return Gradients(output, float(loss), found)

    def synchronize(self):
        pass  # NumPy comes back when it is done.

    def batches(self, rows):
        return [rows[i : i + self.training.batch_size] for i in range(0, len(rows), self.training.batch_size)]

    def forward(self, x, nodes):
        """What comes out of the last of ``nodes``, and (name, where ReLU let through, backward) of each."""
        tape = []
        for node in nodes:
            x, backward = self.layer(node, x)
            active = x > 0 if getattr(node.layer, "activation", None) == "relu" else 1
            x = x * active
            tape.append((node.name, active, backward))
        return x, tape

    def layer(self, node, x):
        """(output, backward): d loss / d output -> (d loss / d input, d loss / d kernel or None)."""
        layer, shape = node.layer, (len(x), *node.output_shape)
        if isinstance(layer, Flatten | Reshape):
            return x.reshape(shape), lambda d: (d.reshape(x.shape), None)
        if isinstance(layer, Crop2D):
            rest = [(0, before - after) for before, after in zip(x.shape, shape, strict=True)]
            return x[:, : layer.height, : layer.width], lambda d: (np.pad(d, rest), None)
        kernel, bias = self.w[f"{node.name}.kernel"], self.w[f"{node.name}.bias"]
        kernel = kernel.reshape(-1, kernel.shape[-1])
        if isinstance(layer, Dense):
            return x @ kernel + bias, lambda d: (d @ kernel.T, x.T @ d)
        # A transposed convolution is a convolution backwards: from the small images to the large ones.
        k, s, large = layer.kernel, layer.stride, x.shape if isinstance(layer, Conv2D) else shape
        window = k, s, [same_padding(n, k, s) if layer.padding == "same" else (0, 0) for n in large[1:3]]
        if isinstance(layer, Conv2D):
            seen = gather(x, *window)
            return seen @ kernel + bias, lambda d: (scatter(d @ kernel.T, large, *window), np.tensordot(seen, d, AXES))
        output = scatter(x @ kernel.T, large, *window) + bias
        return output, lambda d: ((seen := gather(d, *window)) @ kernel, np.tensordot(seen, x, AXES))

    def step(self, name, g):
        """What is added to weight ``name``, whose gradient is ``g``."""
        m, v = self.first, self.second
        match self.training.optimizer:
            case SGD(rate, momentum):
                m[name] = momentum * m[name] - rate * g
                return m[name]
            case Adam(rate, b1, b2, epsilon):
                m[name], v[name] = b1 * m[name] + (1 - b1) * g, b2 * v[name] + (1 - b2) * g * g
                rate *= (1 - b2**self.steps) ** 0.5 / (1 - b1**self.steps)
                return -rate * m[name] / (np.sqrt(v[name]) + epsilon)
            case Adadelta(rate, rho, epsilon):
                m[name] = rho * m[name] + (1 - rho) * g * g
                step = -np.sqrt(v[name] + epsilon) / np.sqrt(m[name] + epsilon) * g
                v[name] = rho * v[name] + (1 - rho) * step * step
                return rate * step
