"""torch as an engine: what the backends ``torch`` and ``keras[torch]`` share.  Imports torch inside its functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from implementations.adapter import Device, Setting, Track
from implementations.heap import keep_freed_memory

if TYPE_CHECKING:
    import torch


def configure(setting: Setting) -> None:
    """Fix the number of threads and the arithmetic."""
    import torch

    torch.set_num_threads(setting.threads)
    # Else TF32 would be another arithmetic than the one that is certified; cuDNN has it on by itself.
    torch.backends.cuda.matmul.allow_tf32 = setting.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = setting.precision == "tf32"


def set_up(setting: Setting, track: Track) -> None:
    """What the process computes with on this track, beyond :func:`configure`."""
    flush_subnormals(track == "tuned")
    if track == "tuned" and setting.device == "cpu":
        keep_freed_memory()


def flush_subnormals(flush: bool) -> None:
    """Whether numbers below 1e-38 count as zero on the CPU, as they do in TensorFlow and JAX; not so by default.

    Adam's first moments of weights that get no gradient any more decay into such numbers and stay there, for 0.9 times
    the smallest one is rounded to itself.  Arithmetic with them is slow: on 20,000 images of MNIST (dense, 128 a batch)
    nearly a third of the moments were there after 16 epochs, and from the fifth on an epoch took 1.18 s instead of
    0.66 s; flushed, all took 0.67 s, and the loss was the same to the last digit.

    For the calling thread and those that it starts.
    """
    import torch

    torch.set_flush_denormal(flush)


def taken(images: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """``images[places]`` in the layout of ``images``: (n, ...) contiguous or channels-last, whole images in a row.

    Whole images are copied at once, as indexing does not: 128 of 28x28 in 19 microseconds in place of 61, and a step of
    dense (which takes two such batches from further away) is 3 % shorter.
    """
    import torch

    last = images.is_contiguous(memory_format=torch.channels_last)
    as_laid = images.permute(0, 2, 3, 1) if last else images
    batch = as_laid.flatten(1).index_select(0, places).unflatten(1, as_laid.shape[1:])
    return batch.permute(0, 3, 1, 2) if last else batch


def why_unavailable(device: Device, setting: Setting) -> str | None:
    """Why torch can not use ``device`` here, or None."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device"
    if device == "mps" and not torch.backends.mps.is_available():
        return f"torch {torch.__version__} has no MPS device"
    if device == "mps" and setting.precision == "float64":
        return "MPS has no float64"
    return None


def versions(setting: Setting) -> dict[str, str]:
    """torch, and on a GPU its libraries and name."""
    import torch

    facts = {"torch": torch.__version__}
    if setting.device == "cuda":
        facts |= {
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "device": torch.cuda.get_device_name(),
        }
    return facts


def reset_peak_memory(setting: Setting) -> None:
    """Let :func:`peak_memory` count from here."""
    import torch

    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak_memory(setting: Setting) -> int | None:
    """Largest number of bytes held on the device, where torch can tell."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if setting.device == "cuda" else None


def synchronize(setting: Setting) -> None:
    """Wait for the device."""
    import torch

    if setting.device == "cuda":
        torch.cuda.synchronize()
    elif setting.device == "mps":
        torch.mps.synchronize()


def matrix_products(setting: Setting, size: int) -> Callable[[int], None]:
    """See :meth:`implementations.adapter.Adapter.matrix_products`."""
    import torch

    kind = {"device": setting.device, "dtype": getattr(torch, setting.product_dtype)}
    one, other, product = (
        torch.rand(size, size, **kind),
        torch.rand(size, size, **kind),
        torch.empty(size, size, **kind),
    )

    def multiply(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                torch.mm(one, other, out=product)
        synchronize(setting)

    return multiply


def array_copies(setting: Setting, size: int) -> Callable[[int], None] | None:
    """See :meth:`implementations.adapter.Adapter.array_copies`."""
    import torch

    if setting.device == "cpu":
        return None
    source, target = (torch.ones(size, dtype=torch.uint8, device=setting.device) for _ in range(2))

    def copy(count: int) -> None:
        for _ in range(count):
            target.copy_(source)
        synchronize(setting)

    return copy
