"""A trained network as ONNX: images (batch, height, width, channels) in and out, the batch of any size.

The graph is built from the specification, layer by layer: it is small, it is exact, and no framework's exporter stands
between.  A fully convolutional network takes images of other sizes too; which of them come back in their own size,
its doc string says.  What it takes stands in ``metadata_props`` too, where runtimes read it
(``session.get_modelmeta().custom_metadata_map``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.trained import described, sizes
from implementations.architecture import (
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop2D,
    Dense,
    Flatten,
    LeakyReLU,
    MaxPool2D,
    Node,
    Reshape,
    SubtractFromInput,
    UpSampling2D,
    same_padding,
)

if TYPE_CHECKING:
    from bench.trained.found import Trained
    from implementations.parameters import Array, Weights

OPSET, IR_VERSION = 17, 8
"""Of 2022: old enough for every runtime that is about, new enough for all that is needed."""
INPUT, OUTPUT = "noisy", "denoised"


def write(trained: Trained, path: Path) -> list[Path]:
    """The file written."""
    import onnx
    from onnx import TensorProto, helper

    network = trained.architecture
    anywhere = network.is_fully_convolutional
    builder = _Builder(trained.weights, anywhere)
    for node in network.nodes():
        builder.add(node)
    builder.finish()
    height, width, channels = network.input_shape
    given: list[int | str] = ["height", "width"] if anywhere else [height, width]
    # One name is one number: only where every size comes back as it went in may both ends have the same.
    back = given if not anywhere or sizes.kept(network).step == 1 else [f"{OUTPUT}_{name}" for name in given]
    facts = described.facts(trained, described.LAYOUTS["onnx"])
    graph = helper.make_graph(
        builder.nodes,
        trained.name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", *given, channels])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", *back, channels])],
        builder.constants,
        doc_string=f"{facts['network']}. Takes {facts['input']}; {facts['range']}. {facts['sizes']}",
    )
    model = helper.make_model(
        graph, producer_name="daebench", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )
    model.doc_string = graph.doc_string
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return [path]


def run(path: Path, noisy: Array) -> Array:
    """What the file's network makes of images (n, h, w, c), computed by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([OUTPUT], {INPUT: noisy.astype(np.float32)})[0])


class _Builder:
    """The nodes of a graph.  Images are channels-last at both ends and where they become vectors; ONNX's convolutions
    want channels first, so the order of axes is changed where it must be, and not before."""

    def __init__(self, weights: Weights, anywhere: bool) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._weights = weights
        self._anywhere = anywhere
        self._last = INPUT
        self._layout = "last"  # "first": (n, c, h, w); "last": (n, h, w, c) and flat vectors

    def add(self, node: Node) -> None:
        """``node`` behind those before it."""
        layer, name = node.layer, node.name
        match layer:
            case Flatten():
                self._turn("last")
                self._op("Reshape", name, self._constant(f"{name}.shape", [-1, *node.output_shape]))
            case Reshape(shape=shape):
                self._turn("last")
                self._op("Reshape", name, self._constant(f"{name}.shape", [-1, *shape]))
            case Dense():
                kernel, bias = self._weight(name, "kernel"), self._weight(name, "bias")
                self._op("Gemm", name, kernel, bias)
            case Conv2D(kernel=k, stride=s, padding=padding):
                pads = self._pads(node, k, s, same=padding == "same")
                self._image("Conv", name, self._kernel(name), self._weight(name, "bias"), **pads, strides=[s, s])
            case Conv2DTranspose(kernel=k, stride=s, padding=padding):
                cut = max(k - s, 0) // 2 if padding == "same" else 0
                rest = max(k - s, 0) - cut if padding == "same" else 0
                more = max(s - k, 0)
                kernel, bias = self._kernel(name), self._weight(name, "bias")
                self._image(
                    "ConvTranspose",
                    name,
                    kernel,
                    bias,
                    strides=[s, s],
                    pads=[cut, cut, rest, rest],
                    output_padding=[more, more],
                )
            case MaxPool2D(size=size, padding=padding):
                pads = self._pads(node, size, size, same=padding == "same")
                self._image("MaxPool", name, kernel_shape=[size, size], strides=[size, size], **pads)
            case UpSampling2D(size=size):
                scales = self._constant(f"{name}.scales", np.array([1, 1, size, size], np.float32))
                how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
                self._image("Resize", name, "", scales, **how)
            case Crop2D(height=height, width=width):
                ends = {"starts": [0, 0], "ends": [height, width], "axes": [2, 3]}
                self._image("Slice", name, *(self._constant(f"{name}.{key}", value) for key, value in ends.items()))
            case BatchNorm(epsilon=epsilon):
                parts = [self._weight(name, part) for part in ("gamma", "beta", "mean", "variance")]
                self._image("BatchNormalization", name, *parts, epsilon=epsilon)
            case LeakyReLU(slope=slope):
                self._op("LeakyRelu", name, alpha=slope)
            case SubtractFromInput():
                self._turn("last")
                self._op("Sub", name, before=INPUT)
            case _:
                raise TypeError(f"not a layer: {layer!r}")
        activation = getattr(layer, "activation", None)
        if activation is not None:
            self._op({"relu": "Relu", "sigmoid": "Sigmoid"}[activation], f"{name}.{activation}")

    def finish(self) -> None:
        """Channels last, under the name that the graph promises."""
        self._turn("last")
        self.nodes[-1].output[0] = OUTPUT

    def _image(self, kind: str, name: str, *inputs: str, **attributes: Any) -> None:
        self._turn("first")
        self._op(kind, name, *inputs, **attributes)

    def _op(self, kind: str, name: str, *inputs: str, before: str = "", **attributes: Any) -> None:
        from onnx import helper

        given = [before, self._last, *inputs] if before else [self._last, *inputs]
        self.nodes.append(helper.make_node(kind, given, [f"{name}.out"], name, **attributes))
        self._last = f"{name}.out"

    def _turn(self, layout: str) -> None:
        if layout == self._layout:
            return
        axes = [0, 3, 1, 2] if layout == "first" else [0, 2, 3, 1]
        self._layout = layout
        self._op("Transpose", f"{self._last}.channels_{layout}", perm=axes)

    def _pads(self, node: Node, kernel: int, stride: int, *, same: bool) -> dict[str, Any]:
        if not same:
            return {"pads": [0, 0, 0, 0]}
        if self._anywhere and stride > 1:
            return {"auto_pad": "SAME_UPPER"}  # how much depends on the size of the image
        (top, bottom), (left, right) = (same_padding(length, kernel, stride) for length in node.input_shape[:2])
        return {"pads": [top, left, bottom, right]}

    def _kernel(self, name: str) -> str:
        """(k, k, in, out), of transposed convolutions (k, k, out, in), with the last two in front."""
        return self._weight(name, "kernel", (3, 2, 0, 1))

    def _weight(self, name: str, part: str, axes: tuple[int, ...] | None = None) -> str:
        value = self._weights[f"{name}.{part}"].astype(np.float32)
        return self._constant(f"{name}.{part}", value if axes is None else value.transpose(axes))

    def _constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        array = value if isinstance(value, np.ndarray) else np.array(value, np.int64)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name
