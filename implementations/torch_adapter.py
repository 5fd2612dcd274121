"""PyTorch.

idiomatic
    The loop of the PyTorch tutorials: a DataLoader over a TensorDataset, ``zero_grad, loss, backward, step``,
    ``loss.item()`` for the running loss, the optimizer with its default implementation.
tuned
    The data staged on the device, batches gathered there, the optimizer fused, the loss summed on the device, and
    numbers too small to count flushed to zero (:func:`implementations.torch_device.flush_subnormals`).
    Convolutional networks run channels-last (1.5x on CPU with oneDNN), on a CPU by the layers of
    :mod:`implementations.torch_tuned` and in memory that is kept from step to step.  ``torch.compile`` on CUDA alone:
    on CPU it costs 13 to 27 s a network and won nothing on any of them.

Inside, images are (n, channels, height, width); everything that crosses the interface is channels-last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from implementations import torch_device
from implementations.adapter import PRECISIONS, Adapter, Compiles, Device, Gradients, Setting, Track
from implementations.architecture import Architecture
from implementations.parameters import Array, Weights
from implementations.training import Training

if TYPE_CHECKING:
    import torch

    from implementations.torch_network import Network


class Torch(Adapter):
    """The backend ``torch``."""

    name = "torch"
    packages = ("torch",)
    library = "torch"
    sources = (
        "implementations.torch_network",
        "implementations.torch_tuned",
        "implementations.torch_names",
        "implementations.torch_device",
        "implementations.heap",
    )
    devices: ClassVar[tuple[Device, ...]] = ("cpu", "cuda", "mps")
    precisions = PRECISIONS
    offers_native = True

    def configure(self, setting: Setting) -> None:
        import torch

        torch_device.configure(setting)
        self.setting = setting
        self.dtype = getattr(torch, setting.dtype)
        self.device = torch.device(setting.device)

    def availability(self, device: Device) -> str | None:
        return torch_device.why_unavailable(device, self.setting)

    def versions(self) -> dict[str, str]:
        return torch_device.versions(self.setting)

    # -- one network ---------------------------------------------------------------------------------------------

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        import torch

        from implementations.torch_network import Network, make_loss

        architecture.check_loss(training.loss)
        torch_device.set_up(self.setting, track)
        self.training, self.track = training, track
        self.architecture = architecture
        # What people port is timed natively: their layers, their padding.
        own = track == "tuned" and self.setting.device == "cpu" and not training.native
        self.net: Network = Network(architecture, training.native, own).to(self.device, self.dtype)
        self.channels_last = track == "tuned" and architecture.is_convolutional
        if self.channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)
        self.loss = make_loss(training.loss, linear=architecture.is_linear, native=training.native)
        self._reset_optimizer()

        def forward_loss(noisy: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
            return self.loss(self._logits(noisy), clean)

        compiled = track == "tuned" and self.setting.device == "cuda"
        if compiled:
            # All networks of a process share one list of compiled variants, of which torch keeps eight by default and
            # runs what comes after them uncompiled; and what shapes it has met decides how it compiles the next.
            torch.compiler.reset()
        self.forward_loss = torch.compile(forward_loss) if compiled else forward_loss
        self.forward = torch.compile(self._logits) if compiled else self._logits
        torch_device.reset_peak_memory(self.setting)

    @property
    def compiles(self) -> Compiles:
        return "step" if self.track == "tuned" and self.setting.device == "cuda" else "nothing"

    def _logits(self, noisy: torch.Tensor) -> torch.Tensor:
        """What the network gives, in the type of images and losses: losses are computed behind it."""
        return self._autocast(self.net, noisy)

    def _autocast(self, part: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """``part`` of x, in torch's mixed precision if that is asked for."""
        import torch

        if self.setting.precision != "bfloat16":
            return part(x)
        with torch.autocast(self.setting.device, torch.bfloat16):
            return part(x).to(self.dtype)

    def _reset_optimizer(self) -> None:
        from implementations.torch_network import make_native_optimizer, make_optimizer

        fused = self.track == "tuned" and self.setting.device != "mps"
        if self.training.native:
            self.optimizer = make_native_optimizer(self.training, self.net.parameters(), fused)
        else:
            self.optimizer = make_optimizer(self.training.optimizer, self.net.parameters(), fused)

    def load_weights(self, weights: Weights) -> None:
        self.net.load(weights)
        self._reset_optimizer()

    def weights(self) -> Weights:
        return self.net.canonical()

    def initial_weights(self, seed: int) -> Weights:
        import torch

        from implementations.torch_network import Network

        torch.manual_seed(seed)
        return Network(self.architecture, self.training.native).canonical()

    def constants(self) -> dict[str, float]:
        from implementations.torch_network import constants

        return constants(self.net, self.optimizer)

    def parameter_counts(self) -> tuple[int, int]:
        trainable = sum(parameter.numel() for parameter in self.net.parameters() if parameter.requires_grad)
        moving = sum(buffer.numel() for buffer in self.net.buffers() if buffer.is_floating_point())
        return trainable + moving, trainable

    def _tensor(self, images: Array) -> torch.Tensor:
        """(n, h, w, c) NumPy -> (n, c, h, w) torch on the CPU; no copy where there is one channel."""
        import torch

        array = np.ascontiguousarray(images, self.setting.dtype)
        return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()

    def _placed(self, batch: torch.Tensor) -> torch.Tensor:
        import torch

        batch = batch.to(self.device)
        return batch.contiguous(memory_format=torch.channels_last) if self.channels_last else batch

    def stage(self, noisy: Array, clean: Array) -> None:
        from torch.utils.data import TensorDataset

        pair = self._tensor(noisy), self._tensor(clean)
        if self.track == "tuned":
            self.staged = tuple(self._placed(images) for images in pair)
        else:
            self.dataset = TensorDataset(*pair)

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        self.net.train()
        return self._tuned_epoch(order) if self.track == "tuned" else self._idiomatic_epoch(order)

    def _idiomatic_epoch(self, order: NDArray[np.int64]) -> float:
        from torch.utils.data import DataLoader

        # A sampler in place of shuffle=True: the order is the harness's.
        loader = DataLoader(self.dataset, batch_size=self.training.batch_size, sampler=order.tolist())
        running = 0.0
        for noisy, clean in loader:
            noisy, clean = noisy.to(self.device), clean.to(self.device)
            self.optimizer.zero_grad()
            loss = self.loss(self._logits(noisy), clean)
            loss.backward()
            self.optimizer.step()
            running += loss.item() * len(noisy)
        return running / len(order)

    def _tuned_epoch(self, order: NDArray[np.int64]) -> float:
        import torch

        noisy, clean = self.staged
        running = torch.zeros((), device=self.device, dtype=self.dtype)
        for batch in torch.from_numpy(order).to(self.device).split(self.training.batch_size):
            loss = self.forward_loss(torch_device.taken(noisy, batch), torch_device.taken(clean, batch))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            running += loss.detach() * len(batch)
        return float(running) / len(order)

    def reconstruct(self, noisy: Array) -> Array:
        import torch

        self.net.eval()
        forward = self.forward
        outputs = []
        with torch.inference_mode():
            for batch in self._tensor(noisy).split(self.training.batch_size):
                outputs.append(self._images(forward(self._placed(batch))).cpu())
            whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return np.ascontiguousarray(whole.permute(0, 2, 3, 1).numpy())

    def _images(self, output: torch.Tensor) -> torch.Tensor:
        """What the network gives -> images."""
        return output if self.architecture.is_linear else output.sigmoid()

    def encode(self, images: Array) -> Array:
        import torch

        self.architecture.check_code()
        self.net.eval()
        with torch.inference_mode():
            codes = [
                self._autocast(self.net.encode, self._placed(batch)).cpu()
                for batch in self._tensor(images).split(self.training.batch_size)
            ]
            return torch.cat(codes).numpy()

    def gradients(self, noisy: Array, clean: Array) -> Gradients:
        kept = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.train()
        logits = self._logits(self._placed(self._tensor(noisy)))
        loss = self.loss(logits, self._placed(self._tensor(clean)))
        self.net.zero_grad()
        loss.backward()
        gradients = self.net.canonical_gradients()
        self.net.zero_grad()
        self.net.load_state_dict(kept)  # the forward pass moved the statistics
        output = self._images(logits.detach()).permute(0, 2, 3, 1).cpu().numpy()
        return Gradients(np.ascontiguousarray(output), loss.item(), gradients)

    def synchronize(self) -> None:
        torch_device.synchronize(self.setting)

    def peak_device_memory(self) -> int | None:
        return torch_device.peak_memory(self.setting)

    def matrix_products(self, size: int) -> Callable[[int], None] | None:
        return torch_device.matrix_products(self.setting, size)

    def array_copies(self, size: int) -> Callable[[int], None] | None:
        return torch_device.array_copies(self.setting, size)
