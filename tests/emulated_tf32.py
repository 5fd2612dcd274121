"""torch on a CPU as a GPU with TF32 would compute: what the tolerances of TF32 are derived from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

FACTORS = {"mm": (0, 2), "bmm": (0, 2), "addmm": (1, 3), "linear": (0, 2), "convolution": (0, 2), "conv2d": (0, 2),
           "conv_transpose2d": (0, 2), "convolution_backward": (0, 3)}  # fmt: skip
"""Which arguments of torch's operations are factors; a bias is added."""


@contextlib.contextmanager
def cutting() -> Iterator[None]:
    """In it the factors of all products of float32, forward and backward, are cut to the 10 bits of TF32: the coarsest
    that hardware could do with them."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    def cut(value: Any) -> Any:
        return (value.view(torch.int32) & ~0x1FFF).view(torch.float32)

    class Cutting(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            first, end = FACTORS.get(func.__name__.partition(".")[0], (0, 0))
            args = tuple(cut(part) if first <= index < end else part for index, part in enumerate(args))
            return func(*args, **(kwargs or {}))

    with Cutting():
        yield
