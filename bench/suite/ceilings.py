"""How fast the products and convolutions of one training step are by themselves, in one library.

``python -m bench.suite.ceilings torch conv 0``: library, network, core; JSON on stdout: ``peak``, operations a second
of a large product, and ``operations``, by name: floating-point operations and the seconds that they take.  Each is
called again and again on arrays that are there already, in the layout that is fastest: no step can be faster than the
sum, whatever a tuned track does about losses, activations and optimizers.
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


def operations(library: str, network: str) -> Iterator[tuple[str, int, list[Call]]]:
    """(name, floating-point operations, ways to compute it) of everything in a step that multiplies."""
    first = True
    for node in catalog.make(network, (28, 28, 1), None).nodes():
        flops = 2 * BATCH * architecture.multiply_adds(node.layer, node.input_shape)
        if not flops:
            continue
        ways = _products(library, node) if isinstance(node.layer, Dense) else _convolutions(library, node)
        # The gradient by the images themselves is not wanted.
        for name in ("forward", "weights") if first else ("forward", "weights", "inputs"):
            yield f"{node.name} {name}", flops, [calls[name] for calls in ways]
        first = False


def _products(library: str, node: Node) -> list[Calls]:
    inputs, outputs = node.input_shape[0], node.output_shape[0]
    shapes = {
        "forward": (BATCH, inputs, outputs),
        "weights": (inputs, BATCH, outputs),
        "inputs": (BATCH, outputs, inputs),
    }
    return [{name: _product(library, *shape, part=name) for name, shape in shapes.items()}]


def _convolutions(library: str, node: Node) -> list[Calls]:
    what, transposed = _of(node)
    found = [make(what) for make in CONVOLUTIONS[library]]
    if transposed:
        found = [{**calls, "forward": calls["inputs"], "inputs": calls["forward"]} for calls in found]
    return found


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
    "torch": [partial(_by_torch, layout=layout) for layout in ("channels_last", "contiguous_format")],
    "tensorflow": [_by_tensorflow],
    "jax": [_by_jax],
}
"""The ways of each library, of which the fastest counts."""


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
    found = {}
    for name, flops, ways in operations(library, network):
        if ways:
            found[name] = [flops, min(map(seconds, ways))]
    return {"peak": peak, "operations": found}


def _one_thread(library: str) -> None:
    if library == "torch":
        import torch

        torch.set_num_threads(1)
    elif library == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


if __name__ == "__main__":
    pin([int(sys.argv[3])])
    run_undivided()
    _one_thread(sys.argv[1])
    answer = json.dumps(measure(*sys.argv[1:3]))
    sys.stdout.write(answer + "\n")
