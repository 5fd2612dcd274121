"""A network on a picture of any size.

A fully convolutional one sees the whole picture, by tiles that overlap by more than it can see, as
:mod:`bench.whole` has it.  One made for a single size works on tiles of that size, which overlap by half and are
blended smoothly, so that no seam is seen.  A gray network takes the colours one by one; one for colour takes a gray
picture as three equal colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import whole
from implementations.architecture import Architecture

Images = NDArray[np.floating]
"""(n, h, w, c)."""
Denoiser = Callable[[Images], Images]

AT_ONCE = 1 << 22
"""Values of tiles that are handed over at once."""


def how(network: Architecture) -> str:
    """What will be done, in words."""
    if network.is_fully_convolutional:
        return "on whole pictures"
    height, width, _ = network.input_shape
    return f"on overlapping tiles of {height}x{width} pixels, the only size that this network knows"


@dataclass
class Applied:
    """``network`` on pictures (h, w, c) of any size; ``make`` gives what computes it, or its form for another size."""

    network: Architecture
    make: Callable[[Architecture], Denoiser]

    def __post_init__(self) -> None:
        self._apply: Denoiser
        if self.network.is_fully_convolutional:
            tiled = whole.Tiled(self.network, self.make)
            self._apply = lambda stack: np.stack([tiled(image) for image in stack])
        else:
            self._denoise = self.make(self.network)
            self._apply = self._tiled

    def __call__(self, picture: NDArray[np.floating]) -> NDArray[np.float32]:
        """Denoised, float32 of the same shape."""
        channels, wanted = picture.shape[2], self.network.input_shape[2]
        stack = np.moveaxis(picture, 2, 0)[..., None] if wanted == 1 else picture[None]
        if channels < wanted:
            stack = np.repeat(stack, wanted, axis=3)
        done = self._apply(stack)
        if wanted == 1:
            return np.asarray(np.moveaxis(done[..., 0], 0, 2), np.float32)
        denoised = done[0] if channels == wanted else done[0].mean(axis=2, keepdims=True)
        return np.asarray(denoised, np.float32)

    def _tiled(self, stack: Images) -> Images:
        th, tw, _ = self.network.input_shape
        height, width = stack.shape[1:3]
        sh, sw = max(th // 2, 1), max(tw // 2, 1)
        # Half a tile around the picture: at its border pixels are the middle of tiles too.
        bottom, right = -height % sh + th - sh, -width % sw + tw - sw
        padded = np.pad(stack, ((0, 0), (sh, bottom), (sw, right), (0, 0)), mode="reflect")
        tops = range(0, padded.shape[1] - th + 1, sh)
        lefts = range(0, padded.shape[2] - tw + 1, sw)
        places = [(index, top, left) for index in range(len(stack)) for top in tops for left in lefts]
        window = _window(th)[:, None, None] * _window(tw)[None, :, None]
        total = np.zeros(padded.shape, np.float64)
        weight = np.zeros((*padded.shape[1:3], 1), np.float64)
        for top in tops:
            for left in lefts:
                weight[top : top + th, left : left + tw] += window
        size = max(AT_ONCE // (th * tw * padded.shape[3]), 1)
        for start in range(0, len(places), size):
            some = places[start : start + size]
            tiles = np.stack([padded[i, top : top + th, left : left + tw] for i, top, left in some])
            for (i, top, left), tile in zip(some, self._denoise(tiles), strict=True):
                total[i, top : top + th, left : left + tw] += window * tile
        inside = np.s_[sh : sh + height, sw : sw + width]
        return np.stack([image[inside] / weight[inside] for image in total])


def _window(length: int) -> NDArray[np.float64]:
    """Weights over a tile, positive and highest in the middle; those of two that overlap by half add up to 1."""
    return np.asarray(np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2)
