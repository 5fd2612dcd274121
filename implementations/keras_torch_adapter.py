"""Keras on PyTorch; see :mod:`implementations.keras_adapter` for the idiomatic track.

tuned
    Keras' model in a plain PyTorch loop: data staged on the device, torch's own fused optimizer on Keras'
    parameters instead of Keras' optimizer, no ``fit``; subnormal numbers flushed to zero;
    on a CPU, memory kept from step to step.

Both tracks lay convolutions' kernels out as torch has them, and not channels-last as Keras does, where torch could not
train otherwise: see :func:`contiguous_kernels`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from implementations import torch_device
from implementations.adapter import Compiles, Device, Setting, Track
from implementations.architecture import Architecture
from implementations.keras_adapter import KerasAdapter, as_specified
from implementations.parameters import Array, Weights
from implementations.training import Training


@contextlib.contextmanager
def contiguous_kernels() -> Iterator[None]:
    """Within it, Keras does not make the images and kernels of its convolutions channels-last.

    On a CPU torch's own convolution, which it takes for a single image and for float64, can not differentiate a kernel
    with one output channel that lies so ("slow_conv2d: grad_weight must be contiguous"): ``fit`` ends in that error,
    if only in the last batch of an epoch.  A private name of Keras, so it is touched only where it is there.
    """
    try:
        from keras.src.backend.torch import nn

        theirs = nn._maybe_convert_to_channels_last
    except (ImportError, AttributeError):
        yield
        return
    nn._maybe_convert_to_channels_last = lambda tensor: tensor.contiguous()
    try:
        yield
    finally:
        nn._maybe_convert_to_channels_last = theirs


class KerasTorch(KerasAdapter):
    """The backend ``keras[torch]``."""

    name = "keras[torch]"
    engine = "torch"
    packages = ("keras", "torch")
    library = "torch"
    sources = (
        "implementations.torch_network",
        "implementations.torch_names",
        "implementations.torch_device",
        "implementations.heap",
    )
    devices = ("cpu", "cuda", "mps")

    @classmethod
    def environment(cls, setting: Setting) -> dict[str, str]:
        # Keras takes the best device that it finds, unless it is told.
        return super().environment(setting) | {"KERAS_TORCH_DEVICE": setting.device}

    def configure_engine(self, setting: Setting) -> None:
        torch_device.configure(setting)

    def availability(self, device: Device) -> str | None:
        return torch_device.why_unavailable(device, self.setting)

    def engine_versions(self) -> dict[str, str]:
        return torch_device.versions(self.setting)

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        torch_device.set_up(self.setting, track)
        super().build(architecture, training, track)

    @property
    def compiles(self) -> Compiles:
        return "nothing"

    def build_tuned(self, architecture: Architecture) -> None:
        self._reset_torch_optimizer()

    def _reset_torch_optimizer(self) -> None:
        from implementations.torch_network import make_optimizer

        parameters = [variable.value for variable in self.model.trainable_variables]
        # Natively too the arithmetic is that of Keras' optimizer, by the constants that it has.
        optimizer = as_specified(self.optimizer) if self.training.native else self.training.optimizer
        self._torch_optimizer = make_optimizer(optimizer, parameters, fused=self.setting.device != "mps")

    def load_weights(self, weights: Weights) -> None:
        super().load_weights(weights)
        if self.track == "tuned":
            self._reset_torch_optimizer()

    def stage(self, noisy: Array, clean: Array) -> None:
        import torch

        super().stage(noisy, clean)
        if self.track == "tuned":
            self._tensors = tuple(torch.from_numpy(part).to(self.setting.device) for part in self.staged)

    def _kernels(self, samples: int) -> AbstractContextManager[None]:
        """Kernels in the layout in which batches of so many samples train."""
        alone = 1 in (self.training.batch_size, samples % self.training.batch_size)
        if self.setting.device == "cpu" and (alone or self.setting.precision == "float64"):
            return contiguous_kernels()
        return contextlib.nullcontext()

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        with self._kernels(len(order)):
            return super().train_epoch(order)

    def tuned_epoch(self, order: NDArray[np.int64]) -> float:
        import torch

        noisy, clean = self._tensors
        running = torch.zeros((), device=noisy.device, dtype=noisy.dtype)
        for rows in torch.from_numpy(order).to(noisy.device).split(self.training.batch_size):
            batch, targets = torch_device.taken(noisy, rows), torch_device.taken(clean, rows)
            loss = self.loss(targets, self.model(batch, training=True))
            self._torch_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._torch_optimizer.step()
            running += loss.detach() * len(rows)
        return running.item() / len(order)

    def tuned_reconstruct(self, noisy: Array) -> Array:
        import torch

        outputs = []
        with torch.inference_mode():
            for batch in torch.from_numpy(noisy).split(self.training.batch_size):
                output = self.model(batch.to(self.setting.device), training=False)
                outputs.append((torch.sigmoid(output) if self.ends_in_logits else output).cpu())
            return torch.cat(outputs).numpy()

    def differentiate(self, noisy: Array, clean: Array) -> tuple[Array, float, list[Array]]:
        import torch

        parameters = [variable.value for variable in self.model.trainable_variables]
        with self._kernels(len(noisy)):
            output = self.model(torch.from_numpy(noisy).to(self.setting.device), training=True)
            loss = self.loss(torch.from_numpy(clean).to(self.setting.device), output)
            gradients = torch.autograd.grad(loss, parameters)
        return output.detach().cpu().numpy(), loss.item(), [gradient.cpu().numpy() for gradient in gradients]

    def synchronize(self) -> None:
        torch_device.synchronize(self.setting)

    def peak_device_memory(self) -> int | None:
        return torch_device.peak_memory(self.setting)

    def matrix_products(self, size: int) -> Callable[[int], None] | None:
        return torch_device.matrix_products(self.setting, size)

    def array_copies(self, size: int) -> Callable[[int], None] | None:
        return torch_device.array_copies(self.setting, size)
