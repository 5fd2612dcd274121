"""Memory that stays with a process when it is freed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.process import Worker, distinct_cores
from implementations.adapter import Setting, Track
from implementations.heap import ONE_ARENA

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about the C library of Linux")

PROGRAM = """
import ctypes, resource, sys, threading
from implementations import heap

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.malloc.argtypes = [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

if sys.argv[1] == "kept":
    heap.keep_freed_memory()

def step():
    block = libc.malloc(80 * 2**20)
    libc.memset(block, 1, 80 * 2**20)
    libc.free(block)

def steps():
    for _ in range(5):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5)

if sys.argv[2] == "main":
    steps()
else:
    thread = threading.Thread(target=steps)
    thread.start()
    thread.join()
"""
PAGES = 80 * 2**20 // 4096


@pytest.mark.parametrize("thread", ["main", "another"])
@pytest.mark.parametrize("memory", ["kept", "given back"])
def test_a_large_block_is_asked_of_the_system_once(memory: str, thread: str) -> None:
    if os.confstr("CS_GNU_LIBC_VERSION") is None:
        pytest.skip("another C library")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, memory, thread],
        env={**os.environ, **ONE_ARENA},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    faults = int(done.stdout)
    if memory == "kept":
        assert faults < PAGES / 100
    elif not Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text().startswith("[always]"):
        assert faults > PAGES / 2, "else there is nothing to keep"


@pytest.mark.parametrize(
    ("backend", "track", "arenas"),
    [("jax", "tuned", "1"), ("jax", "idiomatic", None), ("jax", None, None), ("torch", "tuned", None)],
)
def test_processes_whose_threads_are_to_keep_memory_have_one_arena(
    backend: str, track: Track | None, arenas: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    with Worker(backend, Setting(), distinct_cores()[:1], tmp_path, track=track) as worker:
        variables = Path(f"/proc/{worker.pid}/environ").read_text().split("\0")
    assert [entry.split("=")[1] for entry in variables if entry.startswith("MALLOC_ARENA_MAX")] == [arenas] * bool(
        arenas
    )
