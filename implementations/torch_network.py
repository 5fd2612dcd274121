"""A specification as a ``torch.nn.Module``, with the arithmetic of the specification rather than torch's defaults.

What differs between torch and the specification, and how it is made equal, stands at each class.  With ``native``
nothing is made equal: the modules are those that a port would have, with torch's defaults.  Imported by
the torch adapter alone, since it imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from implementations.architecture import (
    Architecture,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop2D,
    Dense,
    Flatten,
    FrozenBatchNorm,
    LeakyReLU,
    MaxPool2D,
    Node,
    Reshape,
    SubtractFromInput,
    UpSampling2D,
    same_padding,
)
from implementations.native import named
from implementations.parameters import Array, Weights
from implementations.torch_names import torch_axes, torch_names
from implementations.torch_tuned import (
    OneFilterConv2d,
    OneFilterConvTranspose2d,
    TurnedConv2d,
    TurnedConvTranspose2d,
    turned,
    turns,
)
from implementations.training import SGD, Adadelta, Adam, Loss, Optimizer, Training


class SameConv2d(nn.Conv2d):
    """Strided "same": torch's ``padding=1`` pads the wrong side of even sizes, so pad by hand where it is ragged."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        top, bottom = same_padding(x.shape[2], k, s)
        left, right = same_padding(x.shape[3], k, s)
        if (top, left) == (bottom, right):
            return F.conv2d(x, self.weight, self.bias, s, (top, left))
        return F.conv2d(F.pad(x, (left, right, top, bottom)), self.weight, self.bias, s)


class SameConvTranspose2d(nn.ConvTranspose2d):
    """Strided "same": no plain arguments of torch match; the full output is cropped instead."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        cut, ragged = divmod(max(k - s, 0), 2)
        if k >= s and not ragged:
            return F.conv_transpose2d(x, self.weight, self.bias, s, cut)
        h, w = x.shape[2] * s, x.shape[3] * s
        full = F.conv_transpose2d(x, self.weight, self.bias, s, output_padding=max(s - k, 0))
        return full[:, :, cut : cut + h, cut : cut + w]


class MaxPool(nn.Module):
    """ "same" on ragged sizes: ``ceil_mode`` keeps the last window; what must be padded in front is padded by -inf."""

    def __init__(self, size: int, same: bool) -> None:
        super().__init__()
        self.size, self.same = size, same

    def forward(self, x: Tensor) -> Tensor:
        if self.same:
            top, left = (same_padding(n, self.size, self.size)[0] for n in x.shape[2:])
            if top or left:
                x = F.pad(x, (left, 0, top, 0), value=-math.inf)
        return F.max_pool2d(x, self.size, ceil_mode=self.same)


class KerasBatchNorm2d(nn.BatchNorm2d):
    """torch moves the running variance towards the unbiased batch variance; the specification wants the biased one.

    The difference is a factor (n-1)/n on what was added, so it is corrected in closed form on (c,) numbers
    instead of computing the variance a second time.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_var is not None
        assert self.momentum is not None
        momentum, count = self.momentum, x.numel() // x.shape[1]
        moved = self.running_var.clone()  # a copy, since autograd keeps what batch_norm was given
        y = F.batch_norm(x, self.running_mean, moved, self.weight, self.bias, True, momentum, self.eps)
        with torch.no_grad():
            kept = self.running_var * (1.0 - momentum)
            self.running_var.copy_((moved - kept) * ((count - 1) / count) + kept)
        return y


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Normalises by its running statistics in training too."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class FlattenChannelsLast(nn.Module):
    """torch would flatten channels first: the rows of the next dense kernel would be in another order."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x


class UnflattenChannelsLast(nn.Module):
    """(n, h*w*c) -> (n, c, h, w), read as channels-last."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__()
        self.shape = (height, width, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = FlattenChannelsLast.forward(self, x)  # type: ignore[arg-type]
        return x.unflatten(1, self.shape).permute(0, 3, 1, 2)


class Turned(nn.Module):
    """Images by 180 degrees."""

    def forward(self, x: Tensor) -> Tensor:
        return turned(x)


class Crop(nn.Module):
    """The top left pixels."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.height, : self.width]


def _ported(node: Node) -> nn.Module | None:
    """torch's own module where the specification's arithmetic is another one; None where they agree."""
    layer, channels = node.layer, node.input_shape[-1]
    match layer:
        case Conv2D(filters=filters, kernel=k, stride=s, padding="same") if s > 1:
            # There is no "same" for strides: ports pad by half a kernel, as long as the size comes out.
            pad = (k - 1) // 2
            if all((n + 2 * pad - k) // s + 1 == -(-n // s) for n in node.input_shape[:2]):
                return nn.Conv2d(channels, filters, k, s, pad)
        case Conv2DTranspose(filters=filters, kernel=k, stride=s, padding="same"):
            pad = max(k - s + 1, 0) // 2  # the least from which output_padding can make up
            return nn.ConvTranspose2d(channels, filters, k, s, pad, output_padding=2 * pad - (k - s))
        case FrozenBatchNorm():
            return FrozenBatchNorm2d(channels, **_normalising(layer))
        case BatchNorm():
            return nn.BatchNorm2d(channels, **_normalising(layer))
        case LeakyReLU():
            return nn.LeakyReLU(*named(layer).values())
    return None


def _normalising(layer: BatchNorm) -> dict[str, float]:
    """Arguments of torch's batch normalisation: what the specification names."""
    given = named(layer)
    found = {"eps": given["epsilon"]} if "epsilon" in given else {}
    return {**found, "momentum": 1.0 - given["momentum"]} if "momentum" in given else found


def _modules(node: Node, native: bool) -> list[nn.Module]:
    """The modules of a layer; the one that has weights comes first.  A sigmoid is left to the loss."""
    layer, channels = node.layer, node.input_shape[-1]
    if native and (ported := _ported(node)) is not None:
        return [ported, nn.ReLU()] if getattr(layer, "activation", None) == "relu" else [ported]
    match layer:
        case Flatten():
            return [FlattenChannelsLast()]
        case Reshape(shape=shape):
            return [UnflattenChannelsLast(*shape)] if len(shape) == 3 else [FlattenChannelsLast()]
        case Dense(units=units):
            first: nn.Module = nn.Linear(channels, units)
        case Conv2D(filters=filters, kernel=k, stride=s, padding=padding):
            first = (SameConv2d if padding == "same" else nn.Conv2d)(channels, filters, k, s)
        case Conv2DTranspose(filters=filters, kernel=k, stride=s, padding="same"):
            first = SameConvTranspose2d(channels, filters, k, s)
        case Conv2DTranspose(filters=filters, kernel=k, stride=s):
            first = nn.ConvTranspose2d(channels, filters, k, s, output_padding=max(s - k, 0))
        case MaxPool2D(size=size, padding=padding):
            return [MaxPool(size, padding == "same")]
        case UpSampling2D(size=size):
            return [nn.Upsample(scale_factor=size, mode="nearest")]
        case Crop2D(height=height, width=width):
            return [Crop(height, width)]
        case FrozenBatchNorm(epsilon=epsilon):
            return [FrozenBatchNorm2d(channels, eps=epsilon)]
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            return [KerasBatchNorm2d(channels, eps=epsilon, momentum=1.0 - momentum)]
        case LeakyReLU(slope=slope):
            return [nn.LeakyReLU(slope)]
        case SubtractFromInput():
            return []  # the network's own business: a module does not see what went into the first
        case _:
            raise TypeError(f"not a layer: {layer!r}")
    return [first, nn.ReLU()] if layer.activation == "relu" else [first]


def _tuned_modules(node: Node, turn: bool) -> list[nn.Module] | None:
    """Those of :mod:`implementations.torch_tuned` that a layer gains by, or None; ``turn``: it sees turned images."""
    layer, channels = node.layer, node.input_shape[-1]
    match layer:
        case Conv2D(filters=1, kernel=k, stride=1, padding=padding):
            first: nn.Module = OneFilterConv2d(channels, k, padding == "same", turn)
        case Conv2DTranspose(filters=1, kernel=k, stride=1, padding=padding):
            first = OneFilterConvTranspose2d(channels, k, padding == "same", turn)
        case Conv2D(filters=filters, kernel=k, stride=s, padding="same") if turn:
            first = TurnedConv2d(channels, filters, k, s)
        case Conv2DTranspose(filters=filters, kernel=k, stride=s, padding="same") if turn:
            first = TurnedConvTranspose2d(channels, filters, k, s)
        case Flatten() if turn:
            return [Turned(), FlattenChannelsLast()]
        case Reshape(shape=shape) if turn:
            before = [Turned()] if len(node.input_shape) == 3 else []
            return [*before, *_modules(node, False), *([Turned()] if len(shape) == 3 else [])]
        case Crop2D(height=height, width=width) if turn:
            return [Turned(), Crop(height, width), Turned()]
        case _:
            return None
    return [first, nn.ReLU()] if layer.activation == "relu" else [first]


class Network(nn.Module):
    """(n, c, h, w) -> logits (n, c, h, w); images where the network subtracts from its input.

    ``tuned``: by the layers of :mod:`implementations.torch_tuned`, which computes the same faster on a CPU."""

    def __init__(self, architecture: Architecture, native: bool = False, tuned: bool = False) -> None:
        super().__init__()
        self.subtracts = architecture.is_linear
        self.turns = tuned and turns(architecture)
        self.encoder = nn.Sequential()
        self.decoder = nn.Sequential()
        # canonical name -> (module, attribute, axes that turn the canonical layout into torch's).  By attribute
        # and not by tensor: ``.to(dtype)`` replaces buffers.
        self.places: dict[str, tuple[nn.Module, str, tuple[int, ...] | None]] = {}
        for node in architecture.nodes():
            modules = (_tuned_modules(node, self.turns) if tuned else None) or _modules(node, native)
            part = self.encoder if node.name.startswith("encoder") else self.decoder
            part.extend(modules)
            for canonical, attribute in torch_names(node.layer).items():
                if modules and hasattr(modules[0], attribute):
                    axes = torch_axes(getattr(modules[0], attribute).dim())
                    self.places[f"{node.name}.{canonical}"] = (modules[0], attribute, axes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.encoder(self._turned(x)))
        y = self._turned(y)
        return x - y if self.subtracts else y

    def _turned(self, x: Tensor) -> Tensor:
        return turned(x) if self.turns else x

    def _in_place(self, array: Array) -> Array:
        """Canonical kernels -> those for turned images, and back; all else as it is."""
        return array[::-1, ::-1] if self.turns and array.ndim == 4 else array

    def encode(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, latent), channels-last."""
        code: Tensor = self._turned(self.encoder(self._turned(x)))
        return FlattenChannelsLast()(code).contiguous()

    def load(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, (module, attribute, axes) in self.places.items():
                value = self._in_place(weights[name])
                value = value if axes is None else value.transpose(axes)
                getattr(module, attribute).copy_(torch.from_numpy(np.ascontiguousarray(value)))

    def canonical(self) -> Weights:
        return {
            name: self._canonical(getattr(module, attribute), axes)
            for name, (module, attribute, axes) in self.places.items()
        }

    def canonical_gradients(self) -> Weights:
        return {
            name: self._canonical(getattr(module, attribute).grad, axes)
            for name, (module, attribute, axes) in self.places.items()
            if not attribute.startswith("running")
        }

    def _canonical(self, tensor: Tensor, axes: tuple[int, ...] | None) -> Array:
        array = tensor.detach().cpu().numpy()
        # A copy: optimizers update in place.
        return np.array(self._in_place(array if axes is None else array.transpose(np.argsort(axes))), order="C")


def make_loss(loss: Loss, *, linear: bool = False, native: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    """Mean loss of logits against clean images; of the images themselves if the output is ``linear``."""
    if linear:
        return F.mse_loss
    if loss == "bce" and native:  # nn.Sigmoid and nn.BCELoss
        return lambda logits, clean: F.binary_cross_entropy(torch.sigmoid(logits), clean)
    if loss == "bce":
        return F.binary_cross_entropy_with_logits
    return lambda logits, clean: F.mse_loss(torch.sigmoid(logits), clean)


def make_optimizer(optimizer: Optimizer, parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    """torch's optimizer with the arithmetic of the specification.  ``fused``: the fused kernel where there is one."""
    match optimizer:
        case Adam(learning_rate=rate, beta1=beta1, beta2=beta2, epsilon=epsilon):
            adam = torch.optim.Adam(parameters, lr=rate, betas=(beta1, beta2), eps=epsilon, fused=fused or None)
            step = 0

            def epsilon_hat(_optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
                # torch adds epsilon to the bias-corrected root, the specification to the uncorrected one: no
                # constant agrees, but this one does at step t.
                nonlocal step
                step += 1
                for group in adam.param_groups:
                    group["eps"] = epsilon / math.sqrt(1.0 - beta2**step)

            adam.register_step_pre_hook(epsilon_hat)
            return adam
        case Adadelta(learning_rate=rate, rho=rho, epsilon=epsilon):
            return torch.optim.Adadelta(parameters, lr=rate, rho=rho, eps=epsilon)
        case SGD(learning_rate=rate, momentum=momentum):
            # torch keeps v/lr; the same path as long as the learning rate is constant.
            return torch.optim.SGD(parameters, lr=rate, momentum=momentum, fused=fused or None)
    raise TypeError(f"not an optimizer: {optimizer!r}")


def make_native_optimizer(training: Training, parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    """torch's optimizer as it comes, but for the constants that ``training`` names."""
    given = training.given
    rate = {"lr": given["learning_rate"]} if "learning_rate" in given else {}
    epsilon = {"eps": given["epsilon"]} if "epsilon" in given else {}
    match training.optimizer:
        case Adam():
            adam = torch.optim.Adam(parameters, **rate, **epsilon, fused=fused or None)
            for group in adam.param_groups:
                own = zip(("beta1", "beta2"), group["betas"], strict=True)
                group["betas"] = tuple(given.get(name, value) for name, value in own)
            return adam
        case Adadelta():
            rho = {"rho": given["rho"]} if "rho" in given else {}
            return torch.optim.Adadelta(parameters, **rate, **rho, **epsilon)
        case SGD():
            return torch.optim.SGD(parameters, **rate, momentum=given["momentum"], fused=fused or None)
    raise TypeError(f"not an optimizer: {training.optimizer!r}")


def constants(network: Network, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """What the optimizer and the modules hold, under the names of :mod:`implementations.native`."""
    group = optimizer.param_groups[0]
    found = {"learning_rate": group["lr"]}
    found |= dict(zip(("beta1", "beta2"), group.get("betas", ()), strict=False))
    found |= {
        ours: group[name]
        for name, ours in (("rho", "rho"), ("eps", "epsilon"), ("momentum", "momentum"))
        if name in group
    }
    found = {f"optimizer.{name}": float(value) for name, value in found.items()}
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            found |= {"batch_norm.epsilon": module.eps, "batch_norm.momentum": 1.0 - (module.momentum or 0.0)}
        elif isinstance(module, nn.LeakyReLU):
            found["leaky_relu.slope"] = module.negative_slope
    return found
