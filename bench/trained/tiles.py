"""A network on a picture of any size.

A fully convolutional one takes the whole picture, mirrored at the border up to a size that its strides divide; a very
large picture is cut into large tiles, which overlap by more than the network can see.  One made for a single size
works on tiles of that size, which overlap by half and are blended smoothly, so that no seam is seen.  A gray network
takes the colours one by one; one for colour takes a gray picture as three equal colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from implementations.architecture import Architecture

Images = NDArray[np.floating]
"""(n, h, w, c)."""
Denoiser = Callable[[Images], Images]

WHOLE_PIXELS = 1 << 19
"""A larger picture is cut: 64 feature maps of it would take more than 128 MB each time."""
LARGE_TILE = 512
"""Side of the tiles that it is cut into, what the network sees around them not counted."""
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
        self._made: dict[tuple[int, ...], Denoiser] = {}

    def __call__(self, picture: NDArray[np.floating]) -> NDArray[np.float32]:
        """Denoised, float32 of the same shape."""
        channels, wanted = picture.shape[2], self.network.input_shape[2]
        stack = np.moveaxis(picture, 2, 0)[..., None] if wanted == 1 else picture[None]
        if channels < wanted:
            stack = np.repeat(stack, wanted, axis=3)
        done = self._whole(stack) if self.network.is_fully_convolutional else self._tiled(stack)
        if wanted == 1:
            return np.asarray(np.moveaxis(done[..., 0], 0, 2), np.float32)
        denoised = done[0] if channels == wanted else done[0].mean(axis=2, keepdims=True)
        return np.asarray(denoised, np.float32)

    def _denoiser(self, network: Architecture) -> Denoiser:
        if network.input_shape not in self._made:
            self._made = {network.input_shape: self.make(network)}  # one at a time: models are large
        return self._made[network.input_shape]

    # -- fully convolutional -------------------------------------------------------------------------------------

    def _whole(self, stack: Images) -> Images:
        height, width = stack.shape[1:3]
        if height * width <= WHOLE_PIXELS:
            return self._resized(stack)
        # Tiles begin at multiples of the stride, so that the windows of strided layers are those of the whole.
        step = self.network.stride()
        reach = -(-self.network.reach() // step) * step
        side = max(LARGE_TILE // step, 1) * step
        done = np.empty_like(stack)
        for top in range(0, height, side):
            for left in range(0, width, side):
                above, before = max(top - reach, 0), max(left - reach, 0)
                part = stack[:, above : top + side + reach, before : left + side + reach]
                inner = self._resized(part)[:, top - above :, left - before :][:, :side, :side]
                done[:, top : top + side, left : left + side] = inner
        return done

    def _resized(self, stack: Images) -> Images:
        """Of any size, one after another: pictures are large."""
        height, width = stack.shape[1:3]
        step = self.network.stride()
        padded = _mirrored(stack, (0, -height % step), (0, -width % step))
        denoise = self._denoiser(self.network.resized(*padded.shape[1:3]))
        done = [denoise(np.ascontiguousarray(padded[index : index + 1])) for index in range(len(padded))]
        return np.concatenate(done)[:, :height, :width]

    # -- of one size ---------------------------------------------------------------------------------------------

    def _tiled(self, stack: Images) -> Images:
        th, tw, _ = self.network.input_shape
        height, width = stack.shape[1:3]
        sh, sw = max(th // 2, 1), max(tw // 2, 1)
        # Half a tile around the picture: at its border pixels are the middle of tiles too.
        bottom, right = -height % sh + th - sh, -width % sw + tw - sw
        padded = _mirrored(stack, (sh, bottom), (sw, right))
        tops = range(0, padded.shape[1] - th + 1, sh)
        lefts = range(0, padded.shape[2] - tw + 1, sw)
        places = [(index, top, left) for index in range(len(stack)) for top in tops for left in lefts]
        window = _window(th)[:, None, None] * _window(tw)[None, :, None]
        total = np.zeros(padded.shape, np.float64)
        weight = np.zeros((*padded.shape[1:3], 1), np.float64)
        for top in tops:
            for left in lefts:
                weight[top : top + th, left : left + tw] += window
        denoise = self._denoiser(self.network)
        size = max(AT_ONCE // (th * tw * padded.shape[3]), 1)
        for start in range(0, len(places), size):
            some = places[start : start + size]
            tiles = np.stack([padded[i, top : top + th, left : left + tw] for i, top, left in some])
            for (i, top, left), tile in zip(some, denoise(tiles), strict=True):
                total[i, top : top + th, left : left + tw] += window * tile
        inside = np.s_[sh : sh + height, sw : sw + width]
        return np.stack([image[inside] / weight[inside] for image in total])


def _window(length: int) -> NDArray[np.float64]:
    """Weights over a tile, positive and highest in the middle; those of two that overlap by half add up to 1."""
    return np.asarray(np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2)


def _mirrored(stack: Images, rows: tuple[int, int], columns: tuple[int, int]) -> Images:
    return np.pad(stack, ((0, 0), rows, columns, (0, 0)), mode="symmetric")
