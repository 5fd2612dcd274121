"""Steps of a tuned track whose memory the C library keeps from step to step, or gives back to the system.

``python -m bench.suite.memory_steps jax conv-small 0 kept``: backend, network, core, ``kept`` or ``given back``; JSON
on stdout, of a step: ``seconds`` (the median over epochs), ``faults`` (pages that the system had to hand over) and
``system_seconds``.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from typing import Any

import numpy as np

from bench.worker import pin, run_undivided
from implementations import catalog, heap, parameters
from implementations.adapter import Setting, adapter_class
from implementations.training import Training

BATCH, STEPS, EPOCHS, WARM_UP = 128, 4, 7, 3


def measure(backend: str, network: str, keep: bool) -> dict[str, Any]:
    """The environment is that of the backend already: see :func:`bench.suite.conftest.fresh_process`."""
    adapter = adapter_class(backend)()
    adapter.configure(Setting())
    architecture = catalog.make(network, (28, 28, 1))
    if not keep:
        for module in list(sys.modules.values()):
            if getattr(module, "keep_freed_memory", None) is heap.keep_freed_memory:
                vars(module)["keep_freed_memory"] = lambda: None
    adapter.build(architecture, Training("bce", batch_size=BATCH), "tuned")
    adapter.load_weights(parameters.initialise(architecture, 0))
    noisy, clean = np.random.default_rng(0).random((2, STEPS * BATCH, 28, 28, 1), np.float32)
    adapter.stage(noisy, clean)
    order = np.arange(STEPS * BATCH, dtype=np.int64)
    seconds, faults, system = [], [], []
    for _ in range(WARM_UP + EPOCHS):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        adapter.train_epoch(order)
        adapter.synchronize()
        seconds.append((time.perf_counter() - start) / STEPS)
        after = resource.getrusage(resource.RUSAGE_SELF)
        faults.append((after.ru_minflt - before.ru_minflt) / STEPS)
        system.append((after.ru_stime - before.ru_stime) / STEPS)
    found = {"seconds": seconds, "faults": faults, "system_seconds": system}
    return {name: statistics.median(values[WARM_UP:]) for name, values in found.items()}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pin([int(sys.argv[3])])
    run_undivided()
    sys.stdout.write(json.dumps(measure(sys.argv[1], sys.argv[2], sys.argv[4] == "kept")) + "\n")
