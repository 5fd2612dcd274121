"""The cells of `quick` in benchopt and here, side by side: cells an hour.

    python -m venv /tmp/peer && /tmp/peer/bin/pip install benchopt==1.10.0 keras tensorflow torch scikit-image
    python -m bench.suite.against_benchopt --python /tmp/peer/bin/python [--rounds 3]

A cell is a network, a noise and a framework (Keras on TensorFlow, PyTorch), as benchopt's benchmark beside this file
has them: it trains each, one after the other.  `daebench run quick` answers the same cells with certificates from an
empty cache, by training each network once in the backend that trains it fastest, letting the other confirm a sample.
Nothing is timed on either side.  Both are run in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

BENCHMARK = Path(__file__).with_name("benchopt")
ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ("keras[tensorflow]", "torch")


def _timed(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.monotonic() - start


def with_benchopt(python: str, place: Path) -> tuple[float, int]:
    """(seconds, cells that were trained)."""
    import pandas as pd

    benchmark = Path(shutil.copytree(BENCHMARK, place / "benchmark"))
    command = [python, "-m", "benchopt", "run", str(benchmark), "-n", "1", "-r", "1", "--no-plot", "--no-html"]
    seconds = _timed([*command, "--no-cache", "--output", "cells"], place, {"PYTHONPATH": str(ROOT)})
    found = pd.read_parquet(benchmark / "outputs" / "cells.parquet")
    return seconds, len(found)


def with_daebench(place: Path) -> tuple[float, int, int]:
    """(seconds, cells that were answered, trainings)."""
    names = ",".join(BACKENDS)
    command = [sys.executable, "-m", "bench.cli", "run", "quick", "--set", f"backend={names}", "--out", str(place)]
    seconds = _timed([*command, "--set", "timing.rounds=0"], ROOT, {"DAEBENCH_CACHE": str(place / "cache")})
    records = [json.loads(line) for line in (place / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    trials = [record for record in records if record["kind"] == "trial" and record["status"] == "ok"]
    networks = {
        tuple(record["cell"][name] for name in ("architecture", "latent", "corruption", "loss")) for record in trials
    }
    return seconds, len(networks) * len(BACKENDS), len(trials)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.suite.against_benchopt")
    parser.add_argument("--python", required=True, help="of an environment with benchopt, keras, tensorflow and torch")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    ratios = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as place:
            mine, cells, trainings = with_daebench(Path(place) / "daebench")
        with tempfile.TemporaryDirectory() as place:
            theirs, theirs_cells = with_benchopt(options.python, Path(place))
        rates = 3600 * cells / mine, 3600 * theirs_cells / theirs
        ratios.append(rates[0] / rates[1])
        print(
            f"round {number + 1}: daebench {cells} cells in {mine:.0f} s by {trainings} trainings "
            f"({rates[0]:,.0f} an hour), benchopt {theirs_cells} in {theirs:.0f} s ({rates[1]:,.0f} an hour)",
            flush=True,
        )
    print(f"cells an hour, daebench / benchopt: {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
