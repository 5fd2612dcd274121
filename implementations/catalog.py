"""The architectures that can be asked for by name, each with its source.

``make("conv", (28, 28, 1), latent=64)`` either gives an architecture or says why there is none.
"""

from __future__ import annotations

import math
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


@dataclass(frozen=True)
class Entry:
    """A line of the catalog: ``takes_latent`` tells whether the size of the code is an argument."""

    name: str
    make: Callable[..., Architecture]
    takes_latent: bool

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
    )
}

_SEARCHED = range(4, 257)


def make(name: str, shape: Shape, latent: int | None = None) -> Architecture:
    """The architecture ``name`` for images of ``shape`` (height, width, channels).

    ``latent``: size of the code; None means 64 where the network has a free size.  SpecificationError says why
    there is no such network: unknown name, a fixed code of another size, an image size that does not fit.
    """
    if name not in CATALOG:
        raise SpecificationError(f"architecture {name!r} is unknown; known are {', '.join(CATALOG)}")
    if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
        raise SpecificationError(f"images of shape {shape} are not supported: (height, width, 1 or 3 channels)")
    if latent is not None and latent < 1:
        raise SpecificationError(f"latent = {latent} is not a size: use a whole number from 1")
    entry = CATALOG[name]
    if entry.takes_latent:
        return entry.make(shape, DEFAULT_LATENT if latent is None else latent)
    try:
        architecture = entry.make(shape)
    except SpecificationError as error:
        raise SpecificationError(f"{error}{_sizes_hint(entry, shape)}") from None
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
