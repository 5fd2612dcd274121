"""The architectures that can be asked for by name, each with its source.

``make("conv", (28, 28, 1), latent=64)`` either gives an architecture or says why there is none.  Some take whole
numbers in parentheses: ``conv-residual(7,48)``.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from implementations.architecture import (
    Architecture,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop2D,
    Dense,
    Flatten,
    FrozenBatchNorm,
    Layer,
    LeakyReLU,
    MaxPool2D,
    Reshape,
    Shape,
    SpecificationError,
    SubtractFromInput,
    UpSampling2D,
)

DEFAULT_LATENT = 64


def dense(shape: Shape, latent: int) -> Architecture:
    """784-256-128-L-128-256-784, ReLU (also on the code), sigmoid output."""
    return Architecture(
        f"dense(latent={latent})",
        shape,
        encoder=(Flatten(), Dense(256, "relu"), Dense(128, "relu"), Dense(latent, "relu")),
        decoder=(Dense(128, "relu"), Dense(256, "relu"), Dense(math.prod(shape), "sigmoid"), Reshape(shape)),
        source="hands-on MNIST tutorial (dense DAE, TensorFlow/Keras)",
    )


def conv(shape: Shape, latent: int) -> Architecture:
    """Two strided convolutions, a Dense code, their transposes: small enough to sweep, shaped like the textbooks'.

    Odd sizes come back a few pixels too large from the strided layers and are cropped.
    """
    height, width, channels = shape
    code = Conv2D(32, stride=2, activation="relu")
    half = (-(-height // 2), -(-width // 2))
    quarter = (-(-half[0] // 2), -(-half[1] // 2))
    crop: tuple[Layer, ...] = (Crop2D(height, width),) if (4 * quarter[0], 4 * quarter[1]) != (height, width) else ()
    return Architecture(
        f"conv(latent={latent})",
        shape,
        encoder=(Conv2D(16, stride=2, activation="relu"), code, Flatten(), Dense(latent, "relu")),
        decoder=(
            Dense(quarter[0] * quarter[1] * 32, "relu"),
            Reshape((*quarter, 32)),
            Conv2DTranspose(32, stride=2, activation="relu"),
            Conv2DTranspose(16, stride=2, activation="relu"),
            *crop,
            Conv2D(channels, activation="sigmoid"),
        ),
        source="this suite: the strided network with a Dense code, so that dense and conv codes are comparable",
    )


def bn(shape: Shape) -> Architecture:
    """Convolutions with batch normalisation and LeakyReLU; a code of 4x4x128 = 2048 on 28x28 images."""
    return _normalised_network("bn", shape, BatchNorm())


def bn_frozen(shape: Shape) -> Architecture:
    """The same, trained outside training mode as it was published: its normalisation never looks at a batch."""
    return _normalised_network("bn-frozen", shape, FrozenBatchNorm())


def _normalised_network(name: str, shape: Shape, normalisation: BatchNorm) -> Architecture:
    def normalised(layer: Layer) -> tuple[Layer, ...]:
        return (layer, normalisation, LeakyReLU())

    height, width, channels = shape
    code = (height // 4 - 3, width // 4 - 3, 128)
    if min(code) < 1:
        raise SpecificationError(f"{name} needs images of at least 16x16 pixels, not {height}x{width}")
    return Architecture(
        name,
        shape,
        encoder=(
            *normalised(Conv2D(32)),
            MaxPool2D(),
            *normalised(Conv2D(64, padding="valid")),
            MaxPool2D(),
            *normalised(Conv2D(128, padding="valid")),
            Flatten(),
        ),
        decoder=(
            Reshape(code),
            *normalised(Conv2DTranspose(64, padding="valid")),
            UpSampling2D(),
            *normalised(Conv2DTranspose(32)),
            UpSampling2D(),
            *normalised(Conv2DTranspose(channels, padding="valid")),
            Conv2DTranspose(channels, padding="valid", activation="sigmoid"),
        ),
        source='OpenGenus, "Denoising Autoencoders (DAEs)"',
    )


def conv_latif(shape: Shape) -> Architecture:
    """Conv 32, pool, conv 64, pool; conv 64, up, conv 32, up, conv 1: a code of 7x7x64 on 28x28 images."""
    return Architecture(
        "conv-latif",
        shape,
        encoder=(Conv2D(32, activation="relu"), MaxPool2D(), Conv2D(64, activation="relu"), MaxPool2D()),
        decoder=(
            Conv2D(64, activation="relu"),
            UpSampling2D(),
            Conv2D(32, activation="relu"),
            UpSampling2D(),
            Conv2D(shape[2], activation="sigmoid"),
        ),
        source='"Denoising Autoencoder Using Keras: A Practical Tutorial"',
    )


def conv_small(shape: Shape) -> Architecture:
    """F. Chollet's convolutional autoencoder: a code of 4x4x8 = 128 on 28x28 images."""
    return Architecture(
        "conv-small",
        shape,
        encoder=(
            Conv2D(16, activation="relu"),
            MaxPool2D(padding="same"),
            Conv2D(8, activation="relu"),
            MaxPool2D(padding="same"),
            Conv2D(8, activation="relu"),
            MaxPool2D(padding="same"),
        ),
        decoder=(
            Conv2D(8, activation="relu"),
            UpSampling2D(),
            Conv2D(8, activation="relu"),
            UpSampling2D(),
            Conv2D(16, padding="valid", activation="relu"),
            UpSampling2D(),
            Conv2D(shape[2], activation="sigmoid"),
        ),
        source='"denoise example" (after F. Chollet, the Keras blog, 2016)',
    )


def strided(shape: Shape) -> Architecture:
    """Two strided convolutions and their transposes: a code of 7x7x8 = 392 on 28x28 images."""
    return Architecture(
        "strided",
        shape,
        encoder=(Conv2D(16, stride=2, activation="relu"), Conv2D(8, stride=2, activation="relu")),
        decoder=(
            Conv2DTranspose(8, stride=2, activation="relu"),
            Conv2DTranspose(16, stride=2, activation="relu"),
            Conv2D(shape[2], activation="sigmoid"),
        ),
        source='S. Ghosh, "Denoising Autoencoders Explained", after the TensorFlow autoencoder tutorial',
    )


def conv_residual(shape: Shape, depth: int, width: int) -> Architecture:
    """Predicts the noise and subtracts it: 3x3 convolutions at full size, no bottleneck, any image size.

    After DnCNN, without its batch normalisation: that was needed to train 17 layers with SGD.  Networks as shallow as
    these train with Adam without it, and normalised by moving statistics they would not compute in use what they were
    trained to.  Images stay as they are where nothing is predicted, so values are not forced into [0, 1].
    """
    hidden = (Conv2D(width, activation="relu"),) * (depth - 1)
    return Architecture(
        f"conv-residual({depth},{width})",
        shape,
        encoder=(),
        decoder=(*hidden, Conv2D(shape[2]), SubtractFromInput()),
        source='K. Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", '
        "IEEE TIP 2017 (DnCNN: depth 17, width 64, batch normalisation)",
    )


@dataclass(frozen=True)
class Argument:
    """A whole number that an architecture takes in parentheses behind its name."""

    name: str
    default: int
    low: int
    high: int


@dataclass(frozen=True)
class Entry:
    """A line of the catalog: ``takes_latent`` tells whether the size of the code is an argument, ``arguments`` what
    else is."""

    name: str
    make: Callable[..., Architecture]
    takes_latent: bool
    arguments: tuple[Argument, ...] = ()

    @property
    def summary(self) -> str:
        return (self.make.__doc__ or "").strip().splitlines()[0]


CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("dense", dense, True),
        Entry("conv", conv, True),
        Entry("bn", bn, False),
        Entry("conv-latif", conv_latif, False),
        Entry("conv-small", conv_small, False),
        Entry("strided", strided, False),
        Entry("bn-frozen", bn_frozen, False),
        Entry("conv-residual", conv_residual, False, (Argument("depth", 5, 2, 64), Argument("width", 32, 1, 1024))),
    )
}

_SEARCHED = range(4, 257)
_NAME = re.compile(r"\s*(?P<name>[^()\s]+)\s*(?:\((?P<arguments>[^()]*)\)\s*)?")


def canonical(name: str) -> str:
    """One spelling for one network: ``conv-residual( 5, 32 )`` is ``conv-residual``, these being its own numbers.

    SpecificationError where the catalog has no such network.
    """
    entry, numbers = _parsed(name)
    own = tuple(argument.default for argument in entry.arguments)
    return entry.name if numbers == own else f"{entry.name}({','.join(map(str, numbers))})"


def _parsed(text: str) -> tuple[Entry, tuple[int, ...]]:
    match = _NAME.fullmatch(text) if isinstance(text, str) else None
    if match is None or match["name"] not in CATALOG:
        near = difflib.get_close_matches(str(text), CATALOG, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise SpecificationError(f"architecture {text!r} is unknown{hint}; known are {', '.join(CATALOG)}")
    entry = CATALOG[match["name"]]
    own = tuple(argument.default for argument in entry.arguments)
    if match["arguments"] is None:
        return entry, own
    if not entry.arguments:
        raise SpecificationError(f"architecture {text!r}: {entry.name} takes no numbers in parentheses")
    parts = [part.strip() for part in match["arguments"].split(",")]
    fitting = len(parts) == len(own) and all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts)
    numbers = tuple(int(part) for part in parts) if fitting else ()
    if not fitting or any(not a.low <= number <= a.high for a, number in zip(entry.arguments, numbers, strict=True)):
        wanted = ", ".join(f"{a.name} from {a.low} to {a.high}" for a in entry.arguments)
        example = f"{entry.name}({','.join(map(str, own))})"
        raise SpecificationError(f"architecture {text!r}: in parentheses stand {wanted}; for example {example}")
    return entry, numbers


def make(name: str, shape: Shape, latent: int | None = None) -> Architecture:
    """The architecture ``name`` for images of ``shape`` (height, width, channels).

    ``latent``: size of the code; None means 64 where the network has a free size.  SpecificationError says why
    there is no such network: unknown name, a fixed code of another size, an image size that does not fit.
    """
    entry, numbers = _parsed(name)
    if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
        raise SpecificationError(f"images of shape {shape} are not supported: (height, width, 1 or 3 channels)")
    if latent is not None and latent < 1:
        raise SpecificationError(f"latent = {latent} is not a size: use a whole number from 1")
    if entry.takes_latent:
        return entry.make(shape, DEFAULT_LATENT if latent is None else latent)
    try:
        architecture = entry.make(shape, *numbers)
    except SpecificationError as error:
        raise SpecificationError(f"{error}{_sizes_hint(entry, shape)}") from None
    if latent is not None and architecture.latent_size is None:
        raise SpecificationError(
            f"{name} has no bottleneck and so no code of {latent} values: leave latent out, or use dense or conv"
        )
    if latent is not None and latent != architecture.latent_size:
        raise SpecificationError(
            f"{name} has a code of {architecture.latent_size} values on {shape[0]}x{shape[1]} images, not {latent}: "
            "leave latent out, or use dense or conv"
        )
    return architecture


def _sizes_hint(entry: Entry, shape: Shape) -> str:
    """The nearest square sizes that fit, for the error message."""
    fitting = []
    for size in _SEARCHED:
        try:
            entry.make((size, size, shape[2]))
        except SpecificationError:
            continue
        fitting.append(size)
    near = sorted(sorted(fitting, key=lambda size: abs(size - max(shape[0], shape[1])))[:4])
    return f" (square sizes near it that fit: {', '.join(map(str, near))})" if near else ""
