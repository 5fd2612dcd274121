"""Keras on PyTorch; see :mod:`implementations.keras_adapter` for the idiomatic track.

tuned
    Keras' model in a plain PyTorch loop: data staged on the device, torch's own fused optimizer on Keras'
    parameters instead of Keras' optimizer, no ``fit``; subnormal numbers flushed to zero;
    on a CPU, memory kept from step to step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from implementations import torch_device
from implementations.adapter import Device, Setting, Track
from implementations.architecture import Architecture
from implementations.keras_adapter import KerasAdapter, as_specified
from implementations.parameters import Array, Weights
from implementations.training import Training


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

    def tuned_epoch(self, order: NDArray[np.int64]) -> float:
        import torch

        noisy, clean = self._tensors
        running = torch.zeros((), device=noisy.device, dtype=noisy.dtype)
        for rows in torch.from_numpy(order).to(noisy.device).split(self.training.batch_size):
            loss = self.loss(clean[rows], self.model(noisy[rows], training=True))
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
