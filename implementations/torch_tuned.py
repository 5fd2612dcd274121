"""Layers of the tuned track of torch on a CPU: the same arithmetic by paths that are faster there.

Turned networks
    "Same" strided layers pad what is behind (or crop it, transposed): torch's own arguments can not say that, and the
    copies cost as much as the convolution.  Of images turned by 180 degrees, with kernels turned too, they pad and crop
    in front, which ``padding`` and ``output_padding`` can say.  One core, batch of 128, forward and backward:
    the transposed convolution of conv from 32 to 16 channels 12.5 ms in place of 22.4, from 32 to 32 7.3 for 13.8.
One filter
    oneDNN's kernels reach 8 GFLOP/s where one channel comes out (its vectors run over channels).  As a product of
    matrices that makes a plane for every tap, added where they belong: 4.6 ms in place of 11.0 from 16 channels,
    9.5 for 21.4 from 32.  A single image is faster by the library (0.2 ms for 0.3).

Imported by :mod:`implementations.torch_network` alone, since it imports torch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from implementations.architecture import (
    Architecture,
    Conv2D,
    Conv2DTranspose,
    MaxPool2D,
    same_padding,
)

Pads = tuple[int, int, int, int]
"""Before and behind the rows, before and behind the columns."""

FEWEST_PIXELS = 4 * 28 * 28
"""Of a batch, for products in place of the library."""


def turns(architecture: Architecture) -> bool:
    """Whether a network gains by working on turned images, and none of its layers would lose by it."""
    layers = [node.layer for node in architecture.nodes()]
    for layer in layers:
        match layer:
            case MaxPool2D() | Conv2D(padding="valid", stride=2 | 3 | 4):
                return False  # they leave out what is behind
            case Conv2DTranspose(kernel=k, stride=s) if k < s:
                return False
    return any(
        isinstance(layer, (Conv2D, Conv2DTranspose)) and layer.stride > 1 and layer.padding == "same"
        for layer in layers
    )


def turned(x: Tensor) -> Tensor:
    """Images (n, c, h, w) by 180 degrees; what has no rows and columns as it is."""
    return x.flip(2, 3) if x.dim() == 4 else x


class TurnedConv2d(nn.Conv2d):
    """Strided "same" on turned images."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        (bottom, top), (right, left) = (same_padding(n, k, s) for n in x.shape[2:])
        # Padded behind as much as in front, there may be no further window.
        if all((n + 2 * pad - k) // s == (n - 1) // s for n, pad in zip(x.shape[2:], (top, left), strict=True)):
            return F.conv2d(x, self.weight, self.bias, s, (top, left))
        return F.conv2d(F.pad(x, (left, right, top, bottom)), self.weight, self.bias, s)


class TurnedConvTranspose2d(nn.ConvTranspose2d):
    """Strided "same" on turned images; the kernel is not smaller than the stride."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        cut = k - s - (k - s) // 2
        return F.conv_transpose2d(x, self.weight, self.bias, s, cut, output_padding=s + 2 * cut - k)


class OneFilterConv2d(nn.Conv2d):
    """One filter, stride 1, "same" or "valid"."""

    def __init__(self, channels: int, kernel: int, same: bool, turned: bool) -> None:
        super().__init__(channels, 1, kernel)
        before, behind = same_padding(kernel, kernel, 1) if same else (0, 0)
        if turned:
            before, behind = behind, before
        self.pads: Pads = (before, behind, before, behind)

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return _to_one(x, self.weight, self.bias, self.pads)


class OneFilterConvTranspose2d(nn.ConvTranspose2d):
    """One filter, stride 1, "same" or "valid": a convolution with the kernel turned."""

    def __init__(self, channels: int, kernel: int, same: bool, turned: bool) -> None:
        super().__init__(channels, 1, kernel)
        cut = (kernel - 1) // 2 if same else 0
        behind = kernel - 1 - cut if same else 0
        before, behind = kernel - 1 - cut, kernel - 1 - behind
        if turned:
            before, behind = behind, before
        self.pads: Pads = (before, behind, before, behind)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert self.bias is not None
        return _to_one(x, self.weight.flip(2, 3).transpose(0, 1), self.bias, self.pads)


def _to_one(x: Tensor, weight: Tensor, bias: Tensor, pads: Pads) -> Tensor:
    """(n, c, h, w), channels-last, convolved with weight (1, c, k, k), bias (1,), stride 1 -> (n, 1, h', w')."""
    if x.numel() // x.shape[1] >= FEWEST_PIXELS:
        y: Tensor = _ToOne.apply(x, weight, bias, pads)
        return y
    top, bottom, left, right = pads
    if (top, left) == (bottom, right):
        return F.conv2d(x, weight, bias, 1, (top, left))
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias)


class _ToOne(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, pads: Pads) -> Tensor:
        channels, k = weight.shape[1:3]
        n, _, h, w = x.shape
        top, bottom, left, right = pads
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
        taps = weight[0].permute(1, 2, 0).reshape(k * k, channels)
        planes = torch.mm(taps, pixels.t()).view(k, k, n, h, w)
        # What a pixel gives to all that it touches, and of that the part that is kept.
        total = bias.view(1, 1, 1).expand(n, h + k - 1, w + k - 1).contiguous()
        for a in range(k):
            for b in range(k):
                total[:, k - 1 - a : k - 1 - a + h, k - 1 - b : k - 1 - b + w] += planes[a, b]
        ctx.save_for_backward(pixels, taps)
        ctx.taken = x.shape, pads
        height, width = h + top + bottom - k + 1, w + left + right - k + 1
        first, start = k - 1 - top, k - 1 - left
        return total[:, None, first : first + height, start : start + width].contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        pixels, taps = ctx.saved_tensors
        (n, channels, h, w), (top, bottom, left, right) = ctx.taken
        k = round(len(taps) ** 0.5)
        padded = F.pad(gradient[:, 0], (k - 1 - left, k - 1 - right, k - 1 - top, k - 1 - bottom))
        moved = gradient.new_empty(k, k, n, h, w)
        for a in range(k):
            for b in range(k):
                moved[a, b] = padded[:, k - 1 - a : k - 1 - a + h, k - 1 - b : k - 1 - b + w]
        # In mixed precision what came in is shorter than the weights and what went out; products are of one type.
        planes = moved.view(k * k, -1).to(pixels.dtype)
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = torch.mm(planes.t(), taps.to(pixels.dtype)).view(n, h, w, channels).permute(0, 3, 1, 2)
        by_weight = torch.mm(planes, pixels).to(taps.dtype).view(k, k, channels).permute(2, 0, 1)[None]
        return by_x, by_weight, gradient.sum().view(1), None
