"""A program: the memory of a process that trains dense twice, on few images and on many.

``python trial_memory.py BACKEND`` prints in bytes: the most that was resident before the large trial (the framework,
its network, its compiler), and the most there was in the end.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench import memory, trial
from bench.cells import TrialCell
from implementations import aligned, counter
from implementations.adapter import Setting, adapter_class

LARGE, TEST = 40_000, 4_000


def load(cell: Any) -> trial.Clean:
    """Images that are quickly made: noise, as the networks of this program need not learn."""
    images = counter.uniform((TEST, 28, 28, 1), "memory").astype(np.float32)
    train = aligned.empty((cell.train, 28, 28, 1), np.float32)
    for start in range(0, cell.train, TEST):
        part = train[start : start + TEST]
        part[:] = images[: len(part)]
    return trial.Clean(train, images[: cell.test], "data")


def main(backend: str) -> None:
    setting, kind = Setting(), adapter_class(backend)
    os.environ.update(kind.environment(setting))
    adapter = kind()
    adapter.configure(setting)
    trial.load_clean = load  # type: ignore[assignment]
    bench, folder = trial.TrialBench(adapter), Path(tempfile.mkdtemp())
    peaks = []
    for train, test in ((1_024, 256), (LARGE, TEST)):
        bench.run(
            TrialCell(
                backend=backend,
                track="tuned",
                architecture="dense",
                corruption="masking(0.5)",
                loss="bce",
                refresh=True,
                epochs=2,
                train=train,
                test=test,
            ),
            folder,
        )
        peaks.append(memory.peak_resident_bytes())
    print(*peaks)


if __name__ == "__main__":
    main(sys.argv[1])
