"""Backends that are wrong on purpose, each in one of the ways in which ports of a Keras program to PyTorch go wrong."""

from __future__ import annotations

from typing import Any

from implementations.adapter import Track
from implementations.architecture import Architecture
from implementations.parameters import Weights
from implementations.torch_adapter import Torch
from implementations.training import Training


class SwappedMomentum(Torch):
    """Keras' momentum 0.99 given to torch, which means 1 - momentum."""

    name = "wrong[momentum]"

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        super().build(architecture, training, track)
        for module in self.net.modules():
            if hasattr(module, "running_var"):
                module.momentum = 0.99


class UnbiasedVariance(Torch):
    """torch's own batch normalisation, whose running variance is the unbiased one."""

    name = "wrong[variance]"

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        import torch

        super().build(architecture, training, track)
        for module in self.net.modules():
            if hasattr(module, "running_var"):
                module.forward = torch.nn.BatchNorm2d.forward.__get__(module)


class ShiftedPadding(Torch):
    """``padding=1`` for a strided convolution with "same" padding: right on odd sizes, one pixel off on even ones."""

    name = "wrong[padding]"

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        import torch

        super().build(architecture, training, track)
        for module in self.net.modules():
            if isinstance(module, torch.nn.Conv2d) and module.stride == (2, 2):
                module.padding = (1, 1)
                module.forward = torch.nn.Conv2d.forward.__get__(module)


class OtherEpsilon(Torch):
    """The same epsilon in Adam's two forms."""

    name = "wrong[epsilon]"

    def _reset_optimizer(self) -> None:
        import torch

        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, eps=1e-7)


class ExactSlope(Torch):
    """0.3 where the specification says float32(0.3): the smallest mistake that anybody made."""

    name = "wrong[slope]"

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        import torch

        super().build(architecture, training, track)
        for module in self.net.modules():
            if isinstance(module, torch.nn.LeakyReLU):
                module.negative_slope = 0.3


class PlainMean(Torch):
    """Batches of any size count the same in the loss of an epoch."""

    name = "wrong[mean]"

    def _idiomatic_epoch(self, order: Any) -> float:
        size = self.training.batch_size
        starts = range(0, len(order), size)
        return sum(super(PlainMean, self)._idiomatic_epoch(order[start : start + size]) for start in starts) / len(
            starts
        )


class ChannelsFirstCode(Torch):
    """Codes flattened channels first."""

    name = "wrong[code]"

    def encode(self, images: Any) -> Any:
        code = super().encode(images)
        return code.reshape(len(code), -1, 8).transpose(0, 2, 1).reshape(len(code), -1)


class DirtyStart(Torch):
    """The optimizer keeps its moments when new weights are loaded."""

    name = "wrong[moments]"

    def load_weights(self, weights: Weights) -> None:
        self.net.load(weights)
        self.net.zero_grad()
        if not getattr(self, "soiled", False):
            self.soiled = True
            for parameter in self.net.parameters():
                parameter.grad = parameter.detach() * 0 + 1e-3
            self.optimizer.step()
            self.net.load(weights)


WRONG = [
    SwappedMomentum,
    UnbiasedVariance,
    ShiftedPadding,
    OtherEpsilon,
    ExactSlope,
    PlainMean,
    ChannelsFirstCode,
    DirtyStart,
]
"""Every one of them."""
