"""Whole test images of any size, through a network that was trained on patches: ``evaluate = "whole"``.

An image is continued by reflection, cut into tiles of one size that overlap by more than the network can see, and put
together again from their inner parts: every pixel is what the network would make of the whole continued image, but
memory does not grow with it, and frameworks compile once for images of all sizes.  The tiles go through the backend's
own code, built anew for their size with the same weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench import corruption, datasets, quality
from implementations import catalog, counter
from implementations.architecture import Architecture, SpecificationError

if TYPE_CHECKING:
    from bench.cells import Noised, TrialCell
    from implementations.adapter import Adapter

Images = NDArray[np.float32]
Denoise = Callable[[Images], Images]

CORE = 128
"""Pixels, in each direction, that a tile of which no border is cut off would serve: larger ones waste less on borders,
and more on what stands over at the end of an image."""
SHOWN = 8
SHOWN_SIDE = 128
"""Pictures, and their pixels in each direction: the middle of an image."""


def check(architecture: Architecture) -> None:
    """SpecificationError for a network that is made for one image size."""
    if not architecture.is_fully_convolutional:
        able = [name for name in catalog.CATALOG if _fits_any_size(name)]
        raise SpecificationError(
            f"evaluate = 'whole' is not possible with {architecture.name}, whose weights are made for images of one "
            f"size; allowed are {', '.join(able)}"
        )


def _fits_any_size(name: str) -> bool:
    return catalog.make(name, (28, 28, 1)).is_fully_convolutional


class Tiled:
    """A network of trained ``weights`` on images (h, w, c) of any size."""

    def __init__(self, architecture: Architecture, make: Callable[[Architecture], Denoise]) -> None:
        """``make`` gives the function that computes a network of another size on a batch of one image."""
        check(architecture)
        step = architecture.stride()
        self._margin = _up(architecture.reach(), step)
        self._core = _up(CORE, step)
        network = _fitting(architecture, self._core + 2 * self._margin)
        self._side = network.input_shape[0]
        self._denoise = make(network)

    def __call__(self, image: NDArray[np.floating]) -> NDArray[np.floating]:
        """Denoised, of the same shape and type."""
        height, width, _ = image.shape
        core, margin, side = self._core, self._margin, self._side
        beyond = side - core - margin
        padding = [(margin, _up(length, core) - length + beyond) for length in (height, width)]
        padded = np.pad(image, (*padding, (0, 0)), mode="reflect")
        done = np.empty_like(image)
        for top in range(0, height, core):
            for left in range(0, width, core):
                tile = np.ascontiguousarray(padded[None, top : top + side, left : left + side])
                inner = self._denoise(tile)[0, margin : margin + core, margin : margin + core]
                place = done[top : top + core, left : left + core]
                place[...] = inner[: place.shape[0], : place.shape[1]]
        return done


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _fitting(architecture: Architecture, least: int) -> Architecture:
    """On the smallest square images from ``least`` on that come back in their own size."""
    for side in range(least, least + 4 * architecture.stride() + 1):
        try:
            return architecture.resized(side, side)
        except SpecificationError:
            continue
    raise SpecificationError(f"{architecture.name} gives no images back of about {least}x{least} pixels")


def trained(adapter: Adapter, cell: TrialCell) -> Denoise:
    """The network that ``adapter`` has just trained as ``cell`` says, on images (1, h, w, c) of any size."""
    weights = adapter.weights()
    # A tile is large enough to keep a core busy.
    training = replace(cell.make_training(), batch_size=1)

    def make(network: Architecture) -> Denoise:
        sibling = adapter.sibling()
        sibling.build(network, training, cell.track)
        sibling.load_weights(weights)
        return sibling.reconstruct

    tiled = Tiled(cell.make_architecture(), make)
    return lambda images: np.stack([tiled(image) for image in images.astype(cell.setting.dtype, copy=False)])


@dataclass(frozen=True)
class Found:
    """What ``denoise`` made of the whole test images.

    ``scores`` and ``noisy``: one figure an image.  ``pictures``: "clean", "noisy" and "denoised", each (m, h, w, c),
    parts of some images.  ``digest``: of the noisy images; ``clean_digest``: of the clean ones.  ``finite``: False if
    an output was not, and then the scores mean nothing.
    """

    scores: quality.Scores
    noisy: quality.Scores
    pictures: dict[str, Images]
    digest: str
    clean_digest: str
    finite: bool = True

    def hashes(self, data: str, noisy: str) -> dict[str, str]:
        """Those of a record, from those of the patches: whoever compares records by them must not take scores of
        patches for scores of whole images."""
        together = [
            hashlib.sha256(f"{one} {other}".encode())
            for one, other in ((data, self.clean_digest), (noisy, self.digest))
        ]
        return {"data": together[0].hexdigest(), "noisy": together[1].hexdigest()[:16], "noisy_test": self.digest}


def evaluate(cell: Noised, denoise: Denoise) -> Found:
    """Score ``denoise``, of images (1, h, w, c), on the test images of ``cell``'s data set, one at a time."""
    after, before, parts = [], [], []
    noisy_hash, clean_hash = hashlib.sha256(), hashlib.sha256()
    images = datasets.load_whole(cell.dataset, channels=cell.channels)
    shown = set(counter.permutation(len(images), "pictures")[:SHOWN].tolist())
    finite = True
    for index, (clean, noisy) in enumerate(pairs(cell, images)):
        for sha, image in ((clean_hash, clean), (noisy_hash, noisy)):
            sha.update(repr(image.shape).encode())
            sha.update(np.ascontiguousarray(image, "<f4").data)
        denoised = np.asarray(denoise(noisy)).astype(np.float32, copy=False)
        if not np.isfinite(denoised).all():
            finite = False
            denoised = noisy
        before.append(quality.score(noisy, clean))
        after.append(quality.score(denoised, clean))
        if index in shown:
            parts.append([_middle(image[0], SHOWN_SIDE).copy() for image in (clean, noisy, denoised)])
    # Strips need parts of one size.
    side = min(min(part.shape[:2]) for part, _, _ in parts)
    columns = zip(*([_middle(part, side) for part in three] for three in parts), strict=True)
    pictures = dict(zip(("clean", "noisy", "denoised"), map(np.stack, columns), strict=True))
    return Found(
        _together(after), _together(before), pictures, noisy_hash.hexdigest()[:16], clean_hash.hexdigest(), finite
    )


def score_flat(cell: Noised, colour: NDArray[np.float32]) -> quality.Basic:
    """A picture of one ``colour`` (c,) in place of every whole test image of ``cell``'s data set."""
    images = datasets.load_whole(cell.dataset, channels=cell.channels)
    every = (datasets.as_float(images.read(index))[None] for index in range(len(images)))
    found = [quality.score_basic(np.broadcast_to(colour, clean.shape), clean) for clean in every]
    names = [field.name for field in fields(quality.Basic)]
    return quality.Basic(**{name: np.concatenate([getattr(one, name) for one in found]) for name in names})


def pairs(cell: Noised, images: datasets.Whole) -> Iterator[tuple[Images, Images]]:
    """(clean, noisy) of every image, each float32 (1, h, w, c); image i has the noise of test image i."""
    chain = corruption.parse(cell.corruption)
    for index in range(len(images)):
        clean = datasets.as_float(images.read(index))[None]
        yield clean, corruption.corrupt(clean, chain, seed=cell.seed, split="test", clip=cell.clip, first=index)


def _middle(image: Images, side: int) -> Images:
    height, width = (min(length, side) for length in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _together(scores: list[quality.Scores]) -> quality.Scores:
    names = [field.name for field in fields(quality.Scores)]
    return quality.Scores(**{name: np.concatenate([getattr(one, name) for one in scores]) for name in names})
