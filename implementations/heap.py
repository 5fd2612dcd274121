"""What the C library does with memory that is given back."""

from __future__ import annotations

import ctypes
import sys

ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""For the environment of a process that is to keep its memory: of the heaps that glibc makes for further threads
none holds more than 64 MiB, and all go back to the system when they are empty."""

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # <malloc.h>
_MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the C library keep what one step frees for the next, where it is glibc (mallopt(3)).

    By itself glibc gives blocks of more than 32 MiB back at once, and smaller ones now and then; the system has to
    clear their pages when they are asked for again.  XLA takes what a step needs in one block.  Milliseconds a step,
    medians of three processes, as it comes and kept (one core, batches of 128; ``bench/suite/test_findings.py``): jax,
    conv 189 and 140, conv-latif 310 and 221; keras[jax], conv-latif 275 and 184.  conv-small took 65 or 80 by itself,
    from process to process.  In torch it was conv, 10 ms of 45.  TensorFlow gains nothing: conv-latif 112 and 124.

    For the whole process, and not to be undone: timing sessions give every track processes of its own.  For memory that
    a framework's own threads take, as XLA's do, the process needs :data:`ONE_ARENA` from its start.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _MOST)
