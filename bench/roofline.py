"""What the machine can do: operations a second of a large matrix product, bytes a second of a large copy.

Every speed of a contestant can then be read as a share of it (:mod:`results.roofline`).  Measured are NumPy and each
library behind the backends, every one in a process of its own, pinned and with threads like a contestant's, one at a
time; the peak is what the fastest reaches.

Bytes are counted as the STREAM benchmark counts them (McCalpin 1995): those read and those written, not what a cache
fetches before it is overwritten.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cells import Cell
from bench.lanes import Waiting
from bench.process import IMPORT_TIMEOUT, REFERENCE, Worker, WorkerFailure, distinct_cores
from bench.records import Ended, now
from implementations.adapter import REDUCED, Adapter, Setting, adapter_class

Work = Callable[[int], None]
Entry = dict[str, Any]

REPEATS = 5
"""Timed runs; their median counts."""
REPEAT_SECONDS = 0.04
"""A run is as many products or copies as take at least this: ten time slices of a scheduler."""
SIZES = {"cpu": 1536, "cuda": 8192, "mps": 4096}
"""Rows of the square matrices.  On a CPU twice as many were 1 to 5 % faster and took eight times as long; a GPU needs
more to be busy."""
THREADS_PER_SIZE = 4
"""From more threads on, matrices are larger by the cube root of how many more: each has as much to do."""
COPY_BYTES = {"cpu": 256 << 20, "cuda": 2 << 30, "mps": 512 << 20}
"""Size of a copied array, at least: GPUs have caches of up to 256 MiB."""
LARGEST_COPY = 1 << 30
"""A processor that says its cache is larger shares it with other machines."""
MEMORY_SHARE = 16
"""An array may take this part of the free memory."""
TIMEOUT = 120.0
"""Seconds for the measurement of one library; it takes one."""
NUMPY = "numpy"


# -- in a worker -----------------------------------------------------------------------------------------------------


def measure(adapter: Adapter | None, setting: Setting) -> Entry:
    """In a worker: ``gemm_flops_per_second`` and ``copy_bytes_per_second`` of the adapter's library, or without an
    adapter of NumPy; None for what it does not offer."""
    size = matrix_size(setting)
    length = copy_bytes(setting)
    if adapter is not None:
        products, copies = adapter.matrix_products(size), adapter.array_copies(length)
    else:
        products, copies = numpy_products(size, setting), numpy_copies(length, setting.threads)
    return {
        "gemm_flops_per_second": 2.0 * size**3 * rate(products) if products else None,
        "copy_bytes_per_second": 2.0 * length * rate(copies) if copies else None,
    }


def rate(work: Work) -> float:
    """How often a second ``work`` is done."""
    work(1)  # threads start, memory is mapped, kernels are chosen
    start = time.perf_counter()
    work(1)
    count = max(1, math.ceil(REPEAT_SECONDS / max(time.perf_counter() - start, 1e-9)))
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work(count)
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds)


def matrix_size(setting: Setting) -> int:
    """Rows of the matrices that are multiplied: a multiple of 256."""
    more = max(setting.threads / THREADS_PER_SIZE, 1.0) if setting.device == "cpu" else 1.0
    rows: float = SIZES[setting.device] * more ** (1 / 3)
    return math.ceil(rows / 256) * 256


def copy_bytes(setting: Setting) -> int:
    """Bytes of the array that is copied, a multiple of 4096: beyond the last cache, as far as memory allows."""
    least = COPY_BYTES[setting.device]
    if setting.device != "cpu":
        return least
    import psutil

    wanted = min(max(least, last_cache_bytes()), LARGEST_COPY, psutil.virtual_memory().available // MEMORY_SHARE)
    return max(int(wanted) // 4096, 1) * 4096


def last_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Size of the processor's largest cache; 0 where the system does not tell."""
    sizes = [0]
    for path in folder.glob("index*/size"):
        with contextlib.suppress(OSError, ValueError):
            text = path.read_text().strip()
            unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
            sizes.append(int(text.rstrip("KMG")) * unit)
    return max(sizes)


def numpy_products(size: int, setting: Setting) -> Work | None:
    """On the CPU, where NumPy's library has taken as many threads as it may: it counts the cores of this process."""
    if setting.device != "cpu" or not hasattr(os, "sched_getaffinity"):
        return None
    if len(os.sched_getaffinity(0)) != setting.threads or setting.precision in REDUCED:
        return None
    import numpy as np

    source = np.random.default_rng(0)
    one, other = (source.random((size, size)).astype(setting.precision) for _ in range(2))
    product = np.empty_like(one)

    def multiply(count: int) -> None:
        for _ in range(count):
            np.matmul(one, other, out=product)

    return multiply


def numpy_copies(length: int, threads: int) -> Work:
    """Copies of ``length`` bytes, by as many threads side by side: NumPy lets others run while it copies."""
    import numpy as np

    source, target = (np.ones(length // 8) for _ in range(2))  # written to, so that every page is there
    parts = [slice(len(source) * i // threads, len(source) * (i + 1) // threads) for i in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def copy(count: int) -> None:
        for _ in range(count):
            list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

    return copy


# -- the supervisor --------------------------------------------------------------------------------------------------


def measure_peaks(
    settings: Iterable[Setting],
    backends: Sequence[str],
    *,
    logs: Path | None = None,
    waiting: Waiting | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[list[Entry], list[str]]:
    """The peaks of this machine at ``settings``, as run.json has them, and sentences about what could not be measured.

    ``backends``: whose libraries are measured, besides NumPy; those that are not installed are left out.  Takes a
    second for each library and setting, and what the imports take; workers that are ``waiting`` have done that.
    ``tell`` hears what is done next, a line at a time.
    """
    if logs is None:
        with tempfile.TemporaryDirectory(prefix="daebench-") as folder:
            return measure_peaks(settings, backends, logs=Path(folder), waiting=waiting, tell=tell)
    entries, troubles = [], []
    for setting in dict.fromkeys(settings):
        asked = libraries(backends, setting)
        found, failed = _measure_libraries(setting, asked, logs, waiting or Waiting(), tell)
        troubles += failed
        if found:
            entries.append(_entry(setting, found))
    return entries, troubles


def libraries(backends: Iterable[str], setting: Setting) -> dict[str, str]:
    """Library -> the backend that can measure it, or REFERENCE; each library once."""
    found = {NUMPY: REFERENCE} if setting.device == "cpu" else {}
    for backend in backends:
        kind = adapter_class(backend)
        able = setting.device in kind.devices and setting.precision in kind.precisions
        if kind.library and able and not kind.missing():
            found.setdefault(kind.library, backend)
    return found


def _measure_libraries(
    setting: Setting, asked: dict[str, str], logs: Path, waiting: Waiting, tell: Callable[[str], None]
) -> tuple[dict[str, Entry], list[str]]:
    found: dict[str, Entry] = {}
    failed: list[str] = []
    cores = distinct_cores()
    with ThreadPoolExecutor(max(len(asked), 1)) as pool, contextlib.ExitStack() as stack:
        workers = {}
        ready = {}
        for index, (library, backend) in enumerate(asked.items()):
            if ready_made := waiting.borrow(backend, setting):
                workers[library] = ready_made
                continue
            # On cores of its own, as far as there are: imports may overlap, measurements do not.
            cpus = [cores[(index * setting.threads + i) % len(cores)] for i in range(min(setting.threads, len(cores)))]
            worker = workers[library] = stack.enter_context(Worker(backend, setting, cpus, logs))
            if backend != REFERENCE:
                ready[library] = pool.submit(worker.configure, IMPORT_TIMEOUT)
        where = f"{setting.device}, {setting.threads} thread{'s' if setting.threads > 1 else ''}"
        if ready:
            tell(f"{where}: importing {', '.join(ready)} ...")
        for future in ready.values():
            with contextlib.suppress(WorkerFailure):
                future.result()
        for library, worker in workers.items():
            tell(f"{where}: measuring {library} ...")
            try:
                if library in ready:
                    ready[library].result()
                found[library] = worker.request("peaks", TIMEOUT)
            except WorkerFailure as failure:
                failed.append(f"the peak of {library} on {setting.device} was not measured: {failure.reason}")
    return found, failed


def _entry(setting: Setting, found: dict[str, Entry]) -> Entry:
    """An element of ``peaks`` in run.json."""
    products = {name: part["gemm_flops_per_second"] for name, part in found.items() if part["gemm_flops_per_second"]}
    copies = {name: part["copy_bytes_per_second"] for name, part in found.items() if part["copy_bytes_per_second"]}
    fastest = max(products, key=lambda name: products[name], default=None)
    return {
        "device": setting.device,
        "precision": setting.precision,
        "threads": setting.threads,
        "gemm_flops_per_second": products[fastest] if fastest else None,
        "gemm_library": fastest,
        "libraries": products,
        "copy_bytes_per_second": max(copies.values(), default=None),
        "measured": now(),
    }


def with_work(ended: Ended) -> Ended:
    """``ended`` with the specification's operations for one image among its metrics, if it has any."""
    metrics = ended.facts.get("metrics")
    if not metrics:
        return ended
    assert isinstance(ended.cell, Cell)
    network = ended.cell.make_architecture()
    forward = network.forward_flops()
    work = {"train_flops": forward + network.backward_flops(), "inference_flops": forward}
    return replace(ended, facts={**ended.facts, "metrics": {**metrics, **work}})


def merged(before: Iterable[Entry], later: Iterable[Entry]) -> list[Entry]:
    """Those measured before and those measured now, which replace them where they are of the same setting."""
    names = ("device", "precision", "threads")
    return list({tuple(entry[name] for name in names): entry for entry in (*before, *later)}.values())
