"""The kinds of corruption: what each does to an image, and what its level means.

Every kind is one function ``apply(images, level, draws) -> images``: images float32 (n, h, w, c), level float64 (n,)
(one per image), draws the random numbers of exactly these n images.  Pixel values are in [0, 1] at the start of a
chain, but may leave it on the way: clipping is the chain's business (bench/corruption.py), never a kind's.

What is random comes from :class:`Draws`: a Philox generator whose key names seed, split, epoch and place in the
chain, and whose counter holds the index of the image.  An image's numbers can therefore be had directly, without
those of the images before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from implementations import counter

Images = NDArray[np.float32]
Levels = NDArray[np.float64]

NEGLIGIBLE = 1e-6
"""Poisson noise below this level is none: its rates (1 / level**2) would leave the range of the generator, and the
noise itself is at the resolution of float32."""

BLUR_RADIUS = 4.0
"""The Gaussian window ends at this many standard deviations, as in scipy.ndimage."""


class Draws:
    """The random numbers of images first, first + 1, ... under one key."""

    def __init__(self, path: tuple[str | int, ...], first: int, count: int) -> None:
        self._bits = np.random.Philox(key=counter.key(*path))
        self._generator = np.random.Generator(self._bits)
        self._state = self._bits.state
        self.first = first
        self.count = count

    def generators(self) -> Iterator[np.random.Generator]:
        """One generator per image, in order; each is valid until the next is asked for.

        Word 1 of the counter is the image, which leaves 2**64 blocks of random numbers to each.  Setting the state
        costs 1.3 us; a generator of its own for each image would cost 7 us.
        """
        for image in range(self.first, self.first + self.count):
            self._state["state"]["counter"] = np.array([0, image, 0, 0], np.uint64)
            self._bits.state = self._state
            yield self._generator

    def normal(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Standard normal numbers, shape (n, *shape)."""
        drawn = np.empty((self.count, *shape), np.float32)
        for row, generator in zip(drawn, self.generators(), strict=True):
            generator.standard_normal(dtype=np.float32, out=row)
        return drawn

    def uniform(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Uniform numbers in [0, 1), multiples of 2**-24, shape (n, *shape); from the raw stream, two to a word."""
        size = int(np.prod(shape))
        words = np.empty((self.count, (size + 1) // 2), "<u8")
        for row, generator in zip(words, self.generators(), strict=True):
            row[:] = generator.bit_generator.random_raw(row.size)
        halves = words.view("<u4")[:, :size] >> np.uint32(8)
        return (halves.astype(np.float32) * np.float32(2.0**-24)).reshape(self.count, *shape)

    def levels(self, low: float, high: float) -> Levels:
        """One number per image, uniform in [low, high), shape (n,)."""
        return low + (high - low) * self._first_uniform()

    def integers(self, low: int, high: int) -> Levels:
        """One whole number per image, uniform over low, ..., high (both included), shape (n,)."""
        return low + np.floor((high - low + 1) * self._first_uniform())

    def _first_uniform(self) -> Levels:
        # Block i of the stream (four words) belongs to image i: no loop over the images.
        bits = np.random.Philox(key=self._state["state"]["key"], counter=np.array([self.first, 0, 0, 0], np.uint64))
        words = np.asarray(bits.random_raw(4 * self.count), np.uint64)[::4]
        return (words >> np.uint64(40)).astype(np.float64) * 2.0**-24


def _per_image(level: Levels) -> NDArray[np.float32]:
    return level.astype(np.float32)[:, None, None, None]


def gaussian(images: Images, level: Levels, draws: Draws) -> Images:
    """x + level * n, n standard normal for every value."""
    noise = draws.normal(images.shape[1:])
    noise *= _per_image(level)
    noise += images
    return noise


def uniform(images: Images, level: Levels, draws: Draws) -> Images:
    """x + u, u uniform in [-level, level) for every value."""
    noise = draws.uniform(images.shape[1:])
    noise -= np.float32(0.5)
    noise *= 2 * _per_image(level)
    noise += images
    return noise


def speckle(images: Images, level: Levels, draws: Draws) -> Images:
    """x + x * level * n, n standard normal for every value."""
    noise = draws.normal(images.shape[1:])
    noise *= _per_image(level)
    noise *= images
    noise += images
    return noise


def salt_pepper(images: Images, level: Levels, draws: Draws) -> Images:
    """Each pixel turns black (0) or white (1) with probability level / 2 each; all its channels together."""
    drawn = draws.uniform((*images.shape[1:3], 1))
    p = _per_image(level)
    black, white = drawn < p / 2, drawn >= 1 - p / 2
    return np.where(black, np.float32(0), np.where(white, np.float32(1), images))


def masking(images: Images, level: Levels, draws: Draws) -> Images:
    """Each pixel turns black (0) with probability level; all its channels together."""
    drawn = draws.uniform((*images.shape[1:3], 1))
    return np.where(drawn < _per_image(level), np.float32(0), images)


def poisson(images: Images, level: Levels, draws: Draws) -> Images:
    """level**2 * Poisson(x / level**2): photon noise with variance level**2 * x; 1 / level**2 photons make white.

    The rate of a negative x (an earlier step may have made one) is 0.
    """
    noisy = np.empty_like(images)
    for index, (image, generator) in enumerate(zip(images, draws.generators(), strict=True)):
        quantum = float(level[index]) ** 2
        if level[index] < NEGLIGIBLE:
            noisy[index] = image
            continue
        noisy[index] = generator.poisson(np.maximum(image.astype(np.float64), 0.0) / quantum) * quantum
    return noisy


def blur(images: Images, level: Levels, draws: Draws) -> Images:
    """Gaussian window of standard deviation level pixels; the image goes on beyond its border as its mirror image.

    Equal to scipy.ndimage.gaussian_filter(image, level, mode="reflect", truncate=4), but for a stack in which each
    image has its own level: a shift and a multiplication for each place of the window, over all images at once.
    Sums of products in a fixed order, so that the bytes depend neither on the other images nor on a BLAS.
    """
    radius = (BLUR_RADIUS * level + 0.5).astype(np.int64)
    reach = int(radius.max(initial=0))
    if reach == 0:
        return images.copy()
    offsets = np.arange(reach + 1)
    safe = np.where(radius > 0, level, 1.0)[:, None]
    window = np.where(offsets <= radius[:, None], np.exp(-0.5 * (offsets / safe) ** 2), 0.0)
    window /= (window[:, 0] + 2 * window[:, 1:].sum(axis=1))[:, None]
    blurred = images.astype(np.float64)
    for axis in (1, 2):
        blurred = _convolve(blurred, window, axis)
    return blurred.astype(np.float32)


def _convolve(stack: NDArray[np.float64], window: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """One symmetric window per image, (n, reach + 1) from its centre outwards, along one axis of (n, h, w, c)."""
    reach, size = window.shape[1] - 1, stack.shape[axis]
    pad = [(0, 0)] * 4
    pad[axis] = (reach, reach)
    padded = np.pad(stack, pad, mode="symmetric")

    def shifted(offset: int) -> NDArray[np.float64]:
        place = [slice(None)] * 4
        place[axis] = slice(reach + offset, reach + offset + size)
        return padded[tuple(place)]

    total = shifted(0) * window[:, 0, None, None, None]
    pair = np.empty_like(total)
    for offset in range(1, reach + 1):
        np.add(shifted(-offset), shifted(offset), out=pair)
        pair *= window[:, offset, None, None, None]
        total += pair
    return total


def downsample(images: Images, level: Levels, draws: Draws) -> Images:
    """Each block of level x level pixels, counted from the upper left, gets its mean (blocks at the edge are cut)."""
    out = images.copy()
    for factor in np.unique(level).astype(int):
        if factor == 1:
            continue
        chosen = level == factor
        small = images[chosen].astype(np.float64)
        for axis in (1, 2):
            starts = np.arange(0, small.shape[axis], factor)
            widths = np.diff(np.append(starts, small.shape[axis]))
            counts = widths.reshape([-1 if place == axis else 1 for place in range(4)])
            small = np.repeat(np.add.reduceat(small, starts, axis=axis) / counts, widths, axis=axis)
        out[chosen] = small
    return out


@dataclass(frozen=True)
class Kind:
    """One kind of corruption, as ``daebench list corruptions`` shows it."""

    name: str
    summary: str
    level: str
    """What the level means; larger is always worse."""
    low: float
    high: float
    example: str
    apply: Callable[[Images, Levels, Draws], Images]
    integer: bool = False

    @property
    def allowed(self) -> str:
        """The allowed range of the level, in words."""
        return f"{'whole numbers ' if self.integer else ''}{self.low:g} to {self.high:g}"


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("gaussian", "x + level * normal", "standard deviation", 0, 10, "gaussian(0.4)", gaussian),
        Kind("uniform", "x + uniform in [-level, level)", "half width of the interval", 0, 10, "uniform(0.5)", uniform),
        Kind(
            "salt_pepper",
            "pixels turned black or white, equally often; all channels of a pixel together",
            "share of the pixels",
            0,
            1,
            "salt_pepper(0.2)",
            salt_pepper,
        ),
        Kind(
            "masking",
            "pixels turned black; all channels of a pixel together",
            "share of the pixels",
            0,
            1,
            "masking(0.5)",
            masking,
        ),
        Kind("speckle", "x + x * level * normal", "standard deviation at white", 0, 10, "speckle(0.5)", speckle),
        Kind(
            "poisson",
            "level**2 * Poisson(x / level**2), photon noise",
            "standard deviation at white; 1 / level**2 photons make white",
            0,
            10,
            "poisson(0.3)",
            poisson,
        ),
        Kind(
            "blur",
            "Gaussian window, mirrored at the border",
            "standard deviation of the window in pixels",
            0,
            20,
            "blur(1.5)",
            blur,
        ),
        Kind(
            "downsample",
            "blocks of level x level pixels get their mean",
            "side of a block in pixels",
            1,
            32,
            "downsample(2)",
            downsample,
            integer=True,
        ),
    )
}
