"""The layer vocabulary: a network as data, with its shapes, parameter counts and FLOPs.

Images are channels-last: a shape is (height, width, channels) without the batch axis, a flat vector is (n,).
No framework is needed (or imported) to know anything in this file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

Shape = tuple[int, ...]
Padding = Literal["same", "valid"]
Activation = Literal["relu", "sigmoid"] | None

# TensorFlow keeps the slope of LeakyReLU as a float32 attribute, so 0.3 itself can not be had there:
# the specification rounds it for everybody.
LEAKY_SLOPE = float(np.float32(0.3))


class SpecificationError(ValueError):
    """A network that can not exist; the message says which layer, which shape, what is needed."""


@dataclass(frozen=True)
class Flatten:
    """(h, w, c) -> (h*w*c,), in channels-last order."""


@dataclass(frozen=True)
class Reshape:
    """-> ``shape``, in channels-last order."""

    shape: Shape


@dataclass(frozen=True)
class Dense:
    """(n,) -> (units,).  Kernel (n, units), bias (units,)."""

    units: int
    activation: Activation = None


@dataclass(frozen=True)
class Conv2D:
    """(h, w, c) -> (h', w', filters).  Kernel (k, k, c, filters), bias (filters,).

    "same" pads so that h' = ceil(h / stride), the odd pixel at the bottom and right, as TensorFlow does.
    """

    filters: int
    kernel: int = 3
    stride: int = 1
    padding: Padding = "same"
    activation: Activation = None


@dataclass(frozen=True)
class Conv2DTranspose:
    """(h, w, c) -> (h', w', filters).  Kernel (k, k, filters, c), bias (filters,).

    "same": h' = h*stride, the full output cropped by max(k - stride, 0) // 2 at the top and left.
    "valid": h' = (h - 1)*stride + max(k, stride).
    """

    filters: int
    kernel: int = 3
    stride: int = 1
    padding: Padding = "same"
    activation: Activation = None


@dataclass(frozen=True)
class MaxPool2D:
    """Non-overlapping windows.  "same" keeps the ragged last window, "valid" drops it.  The first maximum wins."""

    size: int = 2
    padding: Padding = "valid"


@dataclass(frozen=True)
class UpSampling2D:
    """Every pixel repeated ``size`` times in both directions."""

    size: int = 2


@dataclass(frozen=True)
class Crop2D:
    """Keeps the top left ``height`` x ``width`` pixels: what odd image sizes need behind strided layers."""

    height: int
    width: int


@dataclass(frozen=True)
class BatchNorm:
    """Over all axes but the channels.  Parameters gamma, beta, mean, variance of shape (c,).

    ``moving = momentum * moving + (1 - momentum) * batch``, with the biased batch variance.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3


@dataclass(frozen=True)
class FrozenBatchNorm(BatchNorm):
    """Never in training mode: it always normalises by its moving statistics, and they stay what they are (mean 0 and
    variance 1 in a new network).  gamma and beta are trained."""


@dataclass(frozen=True)
class LeakyReLU:
    """x if x > 0, else slope * x; the gradient at exactly 0 is the slope."""

    slope: float = LEAKY_SLOPE


@dataclass(frozen=True)
class SubtractFromInput:
    """The image that the network was given, minus what comes in here: behind layers that predict the noise.

    Last of all, and then there is no sigmoid: the difference is the output, which may leave [0, 1].
    """


Layer = (
    Flatten
    | Reshape
    | Dense
    | Conv2D
    | Conv2DTranspose
    | MaxPool2D
    | UpSampling2D
    | Crop2D
    | BatchNorm
    | LeakyReLU
    | SubtractFromInput
)


def _image(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise SpecificationError(f"{layer} needs an image (height, width, channels), not shape {shape}: add a Reshape")
    return shape[0], shape[1], shape[2]


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """The shape behind ``layer``; SpecificationError where the layer can not take ``shape``."""
    match layer:
        case Flatten():
            return (math.prod(shape),)
        case Reshape(shape=target):
            if math.prod(target) != math.prod(shape):
                raise SpecificationError(f"{layer} can not be made of shape {shape}: {math.prod(shape)} values")
            return tuple(target)
        case Dense(units=units):
            if len(shape) != 1:
                raise SpecificationError(f"{layer} needs a flat vector, not shape {shape}: add a Flatten")
            return (units,)
        case Conv2D(filters=filters, kernel=k, stride=s, padding=padding):
            h, w, _ = _image(layer, shape)
            if padding == "valid" and min(h, w) < k:
                raise SpecificationError(f"{layer} needs at least {k}x{k} pixels and gets {h}x{w}")
            return (_windows(h, k, s, padding), _windows(w, k, s, padding), filters)
        case Conv2DTranspose(filters=filters, kernel=k, stride=s, padding=padding):
            h, w, _ = _image(layer, shape)
            return (_unwindows(h, k, s, padding), _unwindows(w, k, s, padding), filters)
        case MaxPool2D(size=size, padding=padding):
            h, w, c = _image(layer, shape)
            if padding == "valid" and min(h, w) < size:
                raise SpecificationError(f"{layer} needs at least {size}x{size} pixels and gets {h}x{w}")
            return (_windows(h, size, size, padding), _windows(w, size, size, padding), c)
        case UpSampling2D(size=size):
            h, w, c = _image(layer, shape)
            return (h * size, w * size, c)
        case Crop2D(height=height, width=width):
            h, w, c = _image(layer, shape)
            if height > h or width > w:
                raise SpecificationError(f"{layer} can not be cut out of {h}x{w} pixels")
            return (height, width, c)
        case BatchNorm() | LeakyReLU() | SubtractFromInput():
            return shape
    raise TypeError(f"not a layer: {layer!r}")


def _windows(n: int, k: int, s: int, padding: Padding) -> int:
    return -(-n // s) if padding == "same" else (n - k) // s + 1


def _unwindows(n: int, k: int, s: int, padding: Padding) -> int:
    return n * s if padding == "same" else (n - 1) * s + max(k, s)


def same_padding(n: int, k: int, s: int) -> tuple[int, int]:
    """Pixels that a "same" convolution adds (before, after) to an axis of length n."""
    total = max((-(-n // s) - 1) * s + k - n, 0)
    return total // 2, total - total // 2


def parameter_shapes(layer: Layer, shape: Shape) -> dict[str, Shape]:
    """Names and canonical (channels-last) shapes of the weights of ``layer`` on inputs of ``shape``."""
    match layer:
        case Dense(units=units):
            return {"kernel": (shape[0], units), "bias": (units,)}
        case Conv2D(filters=filters, kernel=k):
            return {"kernel": (k, k, shape[2], filters), "bias": (filters,)}
        case Conv2DTranspose(filters=filters, kernel=k):
            return {"kernel": (k, k, filters, shape[2]), "bias": (filters,)}
        case BatchNorm():
            return {name: (shape[-1],) for name in ("gamma", "beta", "mean", "variance")}
    return {}


def is_trainable(parameter: str) -> bool:
    """Whether the parameter of this (full or last) name is trained; moving statistics are not."""
    return parameter.rsplit(".", 1)[-1] not in ("mean", "variance")


def multiply_adds(layer: Layer, shape: Shape) -> int:
    """Multiply-adds of one forward pass of one sample: matrix products and convolutions alone.

    Border pixels that "same" padding adds are counted as if they were there, as is usual.
    """
    match layer:
        case Dense(units=units):
            return shape[0] * units
        case Conv2D(filters=filters, kernel=k):
            out = output_shape(layer, shape)
            return out[0] * out[1] * k * k * shape[2] * filters
        case Conv2DTranspose(filters=filters, kernel=k):
            return shape[0] * shape[1] * k * k * shape[2] * filters
    return 0


@dataclass(frozen=True)
class Node:
    """One layer in its place: ``name`` such as "encoder.2", its shapes without the batch axis."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape


@dataclass(frozen=True)
class Architecture:
    """An autoencoder: an encoder whose output is the code, and a decoder that ends in a sigmoid.

    Or a network without a bottleneck: it has no encoder and no code, and all of its layers are the decoder's; or one
    that ends in :class:`SubtractFromInput` in place of the sigmoid.
    ``input_shape`` is (height, width, channels).  ``source`` says where the network was published.
    """

    name: str
    input_shape: Shape
    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    source: str = ""

    def __post_init__(self) -> None:
        shape = self.nodes()[-1].output_shape
        if shape != self.input_shape:
            raise SpecificationError(
                f"{self.name}: a {_by(self.input_shape)} image comes back as {_by(shape)}; "
                "this network does not fit this image size"
            )
        layers = (*self.encoder, *self.decoder)
        subtracts = [isinstance(layer, SubtractFromInput) for layer in layers]
        if any(subtracts[:-1]):
            raise SpecificationError(f"{self.name}: SubtractFromInput can only be the last layer")
        heads = [index for index, layer in enumerate(layers) if getattr(layer, "activation", None) == "sigmoid"]
        # Every backend trains on the logits and applies the sigmoid itself, which only commutes with these.
        if self.is_linear:
            if heads:
                raise SpecificationError(f"{self.name}: a sigmoid and SubtractFromInput do not go together")
        elif len(heads) != 1 or not all(isinstance(layer, Reshape | Crop2D) for layer in layers[heads[0] + 1 :]):
            raise SpecificationError(f"{self.name}: one sigmoid is needed, as the last activation")

    def nodes(self) -> list[Node]:
        """All layers in order, with their shapes."""
        return list(self._walk())

    def _walk(self) -> Iterator[Node]:
        shape = self.input_shape
        for part, layers in (("encoder", self.encoder), ("decoder", self.decoder)):
            for index, layer in enumerate(layers):
                try:
                    out = output_shape(layer, shape)
                except SpecificationError as error:
                    raise SpecificationError(
                        f"{self.name} on {_by(self.input_shape)} images, {part}.{index}: {error}"
                    ) from None
                if min(out) < 1:
                    raise SpecificationError(
                        f"{self.name} on {_by(self.input_shape)} images, {part}.{index}: nothing is left"
                    )
                yield Node(f"{part}.{index}", layer, shape, out)
                shape = out

    @property
    def is_linear(self) -> bool:
        """Whether it ends in :class:`SubtractFromInput`: what comes out is the image, and no sigmoid is to follow."""
        return isinstance(self.decoder[-1], SubtractFromInput)

    def check_loss(self, loss: str) -> None:
        """SpecificationError for a loss that the output can not have."""
        if self.is_linear and loss == "bce":
            raise SpecificationError(
                f"{self.name} can not be trained with loss = 'bce': its output is the image minus the predicted noise, "
                "which is no probability, and a sigmoid behind it would undo the subtraction; use loss = 'mse'"
            )

    @property
    def code_shape(self) -> Shape | None:
        """Shape of the code, without the batch axis; None where there is no bottleneck and so no code."""
        return self.nodes()[len(self.encoder) - 1].output_shape if self.encoder else None

    @property
    def latent_size(self) -> int | None:
        """Number of values of the code; None where there is none."""
        shape = self.code_shape
        return None if shape is None else math.prod(shape)

    def check_code(self) -> None:
        """SpecificationError where there is no code: what encoding is refused with."""
        if not self.encoder:
            raise SpecificationError(f"{self.name} has no bottleneck, so an image has no code")

    def parameter_shapes(self) -> dict[str, Shape]:
        """Full name ("encoder.0.kernel") -> canonical shape, in order."""
        return {
            f"{node.name}.{name}": shape
            for node in self.nodes()
            for name, shape in parameter_shapes(node.layer, node.input_shape).items()
        }

    def parameter_count(self, *, part: str = "", trainable_only: bool = False) -> int:
        """Number of weights; of ``part`` "encoder" or "decoder" alone, without moving statistics if asked."""
        return sum(
            math.prod(shape)
            for name, shape in self.parameter_shapes().items()
            if name.startswith(part) and (not trainable_only or is_trainable(name))
        )

    def forward_flops(self) -> int:
        """Floating-point operations of reconstructing one image: two for each multiply-add of :func:`multiply_adds`."""
        return sum(2 * multiply_adds(node.layer, node.input_shape) for node in self.nodes())

    def backward_flops(self) -> int:
        """Operations of the gradients for one image.

        The gradient by the weights and that by the input cost a forward pass each; the gradient by the images
        themselves, before the first layer with weights, is not needed and not counted.
        """
        costs = [2 * multiply_adds(node.layer, node.input_shape) for node in self.nodes()]
        first = next((cost for cost in costs if cost), 0)
        return 2 * sum(costs) - first

    @property
    def is_convolutional(self) -> bool:
        """Whether any layer is a convolution: what the tuned tracks choose their path by."""
        return any(isinstance(layer, Conv2D | Conv2DTranspose) for layer in self.encoder + self.decoder)

    @property
    def is_fully_convolutional(self) -> bool:
        """Whether its weights serve images of any size: no layer is made for one size."""
        fixed = Flatten | Reshape | Dense | Crop2D
        return not any(isinstance(layer, fixed) for layer in self.encoder + self.decoder)

    def resized(self, height: int, width: int) -> Architecture:
        """The same layers, and the same weights, on other images.  SpecificationError where that can not be."""
        if not self.is_fully_convolutional:
            raise SpecificationError(
                f"{self.name} is made for {_by(self.input_shape)} images: its weights fit no others"
            )
        return replace(self, input_shape=(height, width, self.input_shape[2]))

    def stride(self) -> int:
        """Pixels by which an image must move for the output to move along: the product of all reductions in a row."""
        jump = largest = 1
        for layer in self.encoder + self.decoder:
            down, up = _scales(layer)
            jump = max(jump * down // up, 1)
            largest = max(largest, jump)
        return largest

    def reach(self) -> int:
        """How many pixels away from a pixel of the output a pixel of the input can still matter, at most."""
        jump, reach = 1, 0
        for layer in self.encoder + self.decoder:
            match layer:
                case Conv2D(kernel=k, stride=1):
                    reach += (k // 2 if layer.padding == "same" else k - 1) * jump
                case Conv2D(kernel=k) | Conv2DTranspose(kernel=k):
                    reach += k * jump
                case MaxPool2D(size=size) | UpSampling2D(size=size):
                    reach += size * jump
            down, up = _scales(layer)
            jump = max(jump * down // up, 1)
        return reach

    def digest(self) -> str:
        """A hash of what the network computes: its layers and shapes, not its name or source."""
        text = repr(
            (
                self.input_shape,
                [(type(layer).__name__, asdict(layer)) for layer in (*self.encoder, None, *self.decoder) if layer],
            )
        )
        text += f"|{len(self.encoder)}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _scales(layer: Layer) -> tuple[int, int]:
    """How many times smaller a layer makes an image, and how many times larger."""
    match layer:
        case Conv2D(stride=stride):
            return stride, 1
        case Conv2DTranspose(stride=stride):
            return 1, stride
        case MaxPool2D(size=size):
            return size, 1
        case UpSampling2D(size=size):
            return 1, size
    return 1, 1


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape))
