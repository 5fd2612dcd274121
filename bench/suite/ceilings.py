"""How fast the parts of one training step are by themselves, in one library.

``python -m bench.suite.ceilings torch conv 0``: library, network, core; JSON on stdout.  ``peak``: operations a second
of a large product.  ``parts``: by name, floating-point operations and the seconds that they take; all that multiplies,
the loss and the optimizer.  Each is called again and again on arrays that are there already, in the layout that is
fastest, so that what it reads is in the nearest cache that is large enough: no step can be faster than the sum.
``in_turn``: the seconds of all that multiplies when each is called once, as in a step, or None where the library does
not have it all.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.worker import pin, run_undivided
from implementations import architecture, catalog
from implementations.architecture import Conv2D, Conv2DTranspose, Dense, Node

BATCH, PEAK = 128, 1024
BLOCKS, BLOCK_SECONDS = 7, 0.05
LIBRARIES = ("numpy", "torch", "tensorflow", "jax")
Call = Callable[[], Any]
Calls = dict[str, Call]
"""``forward``, and the gradients by the ``weights`` and the ``inputs``."""


@dataclass(frozen=True)
class Convolution:
    """From the larger images (n, h, w, c) to the smaller ones (n, h', w', filters): a transposed one is the gradient by
    what went in, and the other way round."""

    height: int
    channels: int
    filters: int
    kernel: int
    stride: int

    @property
    def smaller(self) -> int:
        return -(-self.height // self.stride)

    @property
    def pads(self) -> int:
        """In front and behind: of "same", which may have one less in front, this is as much work."""
        return self.kernel // 2


def _of(node: Node) -> tuple[Convolution, bool]:
    """(the convolution, whether it is transposed) of a layer with "same" padding, images square."""
    layer, (height, _, channels) = node.layer, node.input_shape
    assert isinstance(layer, (Conv2D, Conv2DTranspose))
    if layer.padding != "same" or layer.kernel % 2 == 0:
        raise ValueError(f"{layer}: only odd kernels with same padding are known here")
    if isinstance(layer, Conv2D):
        return Convolution(height, channels, layer.filters, layer.kernel, layer.stride), False
    return Convolution(node.output_shape[0], layer.filters, channels, layer.kernel, layer.stride), True


def products(library: str, network: str) -> Iterator[tuple[str, int, list[Call]]]:
    """(name, floating-point operations, ways to compute it) of everything in a step that multiplies."""
    first = True
    for node in catalog.make(network, (28, 28, 1), None).nodes():
        flops = 2 * BATCH * architecture.multiply_adds(node.layer, node.input_shape)
        if not flops:
            continue
        ways = _dense(library, node) if isinstance(node.layer, Dense) else _convolutions(library, node)
        # The gradient by the images themselves is not wanted.
        for name in ("forward", "weights") if first else ("forward", "weights", "inputs"):
            yield f"{node.name} {name}", flops, [calls[name] for calls in ways if name in calls]
        first = False


def _dense(library: str, node: Node) -> list[Calls]:
    inputs, outputs = node.input_shape[0], node.output_shape[0]
    shapes = {
        "forward": (BATCH, inputs, outputs),
        "weights": (inputs, BATCH, outputs),
        "inputs": (BATCH, outputs, inputs),
    }
    return [{name: _product(library, *shape, part=name) for name, shape in shapes.items()}]


def _convolutions(library: str, node: Node) -> list[Calls]:
    what, transposed = _of(node)
    turned = {"forward": "inputs", "inputs": "forward", "weights": "weights"}
    found = [make(what) for make in CONVOLUTIONS[library]]
    return [{turned[name]: call for name, call in calls.items()} for calls in found] if transposed else found


def _arrays(*shapes: tuple[int, ...]) -> list[Any]:
    return [np.random.default_rng(0).random(shape, np.float32) for shape in shapes]


def _product(library: str, rows: int, inner: int, columns: int, part: str) -> Call:
    """A product of matrices; the gradient by the weights has its left side transposed, that by the inputs its right
    one, as they lie in memory in a step."""
    left, right = part == "weights", part == "inputs"
    a, b = _arrays((inner, rows) if left else (rows, inner), (columns, inner) if right else (inner, columns))
    if library == "torch":
        import torch

        x, y, product = torch.from_numpy(a), torch.from_numpy(b), torch.empty(rows, columns)
        return lambda: torch.mm(x.t() if left else x, y.t() if right else y, out=product)
    if library == "tensorflow":
        import tensorflow as tf

        constants = {"a": tf.constant(a), "b": tf.constant(b)}
        return lambda: tf.raw_ops.MatMul(**constants, transpose_a=left, transpose_b=right)
    if library == "jax":
        import jax

        given = jax.device_put(a), jax.device_put(b)
        multiply = jax.jit(lambda x, y: (x.T if left else x) @ (y.T if right else y))
        return lambda: multiply(*given).block_until_ready()
    out = np.empty((rows, columns), np.float32)
    return lambda: np.matmul(a.T if left else a, b.T if right else b, out=out)


def _by_torch(what: Convolution, layout: str) -> Calls:
    import torch

    x, w, g = (
        torch.from_numpy(part).contiguous(memory_format=getattr(torch, layout))
        for part in _arrays(
            (BATCH, what.channels, what.height, what.height),
            (what.filters, what.channels, what.kernel, what.kernel),
            (BATCH, what.filters, what.smaller, what.smaller),
        )
    )
    strides, pads, ones, zeros = [what.stride] * 2, [what.pads] * 2, [1, 1], [0, 0]

    def backward(mask: list[bool]) -> Any:
        return torch.ops.aten.convolution_backward(g, x, w, [0], strides, pads, ones, False, zeros, 1, mask)

    return {
        "forward": lambda: torch.conv2d(x, w, None, strides, pads),
        "weights": lambda: backward([False, True, False]),
        "inputs": lambda: backward([True, False, False]),
    }


def _by_planes(what: Convolution) -> Calls:
    """The tuned track's own way for one filter: a product that makes a plane for every tap."""
    import torch

    from implementations.torch_tuned import OneFilterConv2d

    if (what.filters, what.stride) != (1, 1):
        return {}
    x, g = (
        torch.from_numpy(part).contiguous(memory_format=torch.channels_last)
        for part in _arrays(
            (BATCH, what.channels, what.height, what.height), (BATCH, what.filters, what.height, what.height)
        )
    )
    layer = OneFilterConv2d(what.channels, what.kernel, same=True, turned=False)
    y = layer(x)
    return {
        "forward": lambda: layer(x),
        "weights": lambda: torch.autograd.grad(y, [layer.weight, layer.bias], g, retain_graph=True),
    }


def _by_tensorflow(what: Convolution) -> Calls:
    import tensorflow as tf

    images, kernel, smaller = _channels_last(what)
    x, w, g = map(tf.constant, _arrays(images, kernel, smaller))
    given = {"strides": [1, what.stride, what.stride, 1], "padding": "SAME"}
    return {
        "forward": lambda: tf.raw_ops.Conv2D(input=x, filter=w, **given),
        "weights": lambda: tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel, out_backprop=g, **given),
        "inputs": lambda: tf.raw_ops.Conv2DBackpropInput(input_sizes=images, filter=w, out_backprop=g, **given),
    }


def _by_jax(what: Convolution) -> Calls:
    import jax

    strides = (what.stride, what.stride)

    def forward(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(x, w, strides, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    x, w, g = map(jax.device_put, _arrays(*_channels_last(what)))
    ahead = jax.jit(forward)
    by_weights = jax.jit(lambda x, w, g: jax.vjp(lambda w: forward(x, w), w)[1](g)[0])
    by_inputs = jax.jit(lambda x, w, g: jax.vjp(lambda x: forward(x, w), x)[1](g)[0])
    return {
        "forward": lambda: ahead(x, w).block_until_ready(),
        "weights": lambda: by_weights(x, w, g).block_until_ready(),
        "inputs": lambda: by_inputs(x, w, g).block_until_ready(),
    }


def _channels_last(what: Convolution) -> tuple[tuple[int, ...], ...]:
    """Shapes of larger images, kernel, smaller images."""
    return (
        (BATCH, what.height, what.height, what.channels),
        (what.kernel, what.kernel, what.channels, what.filters),
        (BATCH, what.smaller, what.smaller, what.filters),
    )


CONVOLUTIONS: dict[str, list[Callable[[Convolution], Calls]]] = {
    "numpy": [],
    "torch": [partial(_by_torch, layout=layout) for layout in ("channels_last", "contiguous_format")] + [_by_planes],
    "tensorflow": [_by_tensorflow],
    "jax": [_by_jax],
}
"""The ways of each library, of which the fastest counts."""


def rest(library: str, network: str) -> dict[str, Call]:
    """The loss (binary cross-entropy) with its gradient, and a step of Adam on weights of these sizes: by the functions
    of the tuned tracks."""
    from implementations.training import Adam

    shapes = list(catalog.make(network, (28, 28, 1), None).parameter_shapes().values())
    weights, gradients, (output, clean) = _arrays(*shapes), _arrays(*shapes), _arrays((BATCH, 784), (BATCH, 784))
    if library == "torch":
        import torch

        from implementations.torch_network import make_loss, make_optimizer

        parameters = [torch.nn.Parameter(torch.from_numpy(weight)) for weight in weights]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        logits, wanted, loss = torch.from_numpy(output).requires_grad_(), torch.from_numpy(clean), make_loss("bce")
        return {
            "loss": lambda: torch.autograd.grad(loss(logits, wanted), logits),
            "optimizer": make_optimizer(Adam(), parameters, fused=True).step,
        }
    if library == "jax":
        import jax

        from implementations import jax_network

        given = [jax.device_put(part) for part in gradients]
        empty = [np.zeros_like(part) for part in weights]
        scale = jax.device_put(np.float32(jax_network.scales(Adam(), 0, 1)[0]))

        def update(state: Any) -> Any:
            return [
                jax_network.update(Adam(), weight, gradient, first, second, scale)
                for (weight, first, second), gradient in zip(state, given, strict=True)
            ]

        step = jax.jit(update, donate_argnums=0)
        state = [tuple(map(jax.device_put, parts)) for parts in zip(weights, empty, empty, strict=True)]

        def optimize() -> None:
            nonlocal state
            state = jax.block_until_ready(step(state))

        differentiate = jax.jit(jax.value_and_grad(partial(jax_network.mean_loss, "bce", linear=False)))
        images = jax.device_put(output), jax.device_put(clean)
        return {"loss": lambda: jax.block_until_ready(differentiate(*images)), "optimizer": optimize}
    return {}


def seconds(call: Call) -> float:
    """Of one call: the median over blocks of many."""
    call()
    start = time.perf_counter()
    call()
    repeats = max(1, round(BLOCK_SECONDS / max(time.perf_counter() - start, 1e-6)))
    blocks = []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        blocks.append((time.perf_counter() - start) / repeats)
    return statistics.median(blocks)


def measure(library: str, network: str) -> dict[str, Any]:
    peak = 2 * PEAK**3 / seconds(_product(library, PEAK, PEAK, PEAK, part="forward"))
    parts: dict[str, tuple[int, float]] = {}
    fastest = []
    entries = list(products(library, network))
    for name, flops, ways in entries:
        if ways:
            found = [seconds(way) for way in ways]
            fastest.append(ways[found.index(min(found))])
            parts[name] = flops, min(found)
    whole = len(fastest) == len(entries)
    in_turn = seconds(lambda: [call() for call in fastest]) if whole else None
    parts |= {name: (0, seconds(call)) for name, call in rest(library, network).items()}
    return {"peak": peak, "parts": parts, "in_turn": in_turn}


def _set_up(library: str) -> None:
    """One thread, and what the tuned track computes with."""
    if library == "torch":
        from implementations import torch_device
        from implementations.adapter import Setting

        torch_device.configure(Setting())
        torch_device.set_up(Setting(), "tuned")
    elif library == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


if __name__ == "__main__":
    pin([int(sys.argv[3])])
    run_undivided()
    _set_up(sys.argv[1])
    answer = json.dumps(measure(*sys.argv[1:3]))
    sys.stdout.write(answer + "\n")
