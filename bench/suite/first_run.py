"""How much training does the first run do in its time?  The quick sweep of two checkouts, side by side.

    python -m bench.suite.first_run --against /path/to/other/checkout [--rounds 3] [--sweep quick]

Each checkout is run by its own ``.venv/bin/python``, with an empty certificate cache and an empty home, in turn: this
one, the other, this one ...  What counts are image passes (images x epochs of all trials that ended well) per second
of the run's wall time, as a ratio within each round, since the speed of a shared machine drifts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from results.schema import Record

KINDS = {"certificate": "certificates", "trial": "trials", "yardstick": "yardsticks", "timing": "timing"}


@dataclass(frozen=True)
class Run:
    """One run: ``wall`` and ``processor`` seconds, image ``passes``, cells by kind, and the seconds that the cells of
    each kind took in their lanes, added up."""

    wall: float
    processor: float
    passes: int
    cells: dict[str, int]
    seconds: dict[str, float]

    @property
    def rate(self) -> float:
        """Image passes per second of wall time."""
        return self.passes / self.wall


def passes_of(record: Record) -> int:
    """Images that a trial was trained on, times its epochs; records from before ``images`` say it by their cell."""
    cell = record["cell"]
    images: int = record.get("images", {}).get("train", cell["train"])
    return images * int(cell.get("repeats", 1)) * len(record["curve"])


def measure(checkout: Path, sweep: str) -> Run:
    """Run ``sweep`` in ``checkout`` from empty caches.  RuntimeError with its output if it fails."""
    python = checkout / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        environment = {**os.environ, "DAEBENCH_CACHE": f"{place}/cache", "HOME": place}
        command = [str(python), "-m", "bench.cli", "run", sweep, "--out", str(out)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(command)} in {checkout} ended with {done.returncode}:\n{done.stderr[-2000:]}"
            )
        records = [json.loads(line) for line in (out / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    good = [record for record in records if record["status"] == "ok"]
    return Run(
        wall,
        processor,
        sum(passes_of(record) for record in good if record["kind"] == "trial"),
        {name: sum(record["kind"] == kind for record in good) for kind, name in KINDS.items()},
        {name: sum(record["seconds"] for record in good if record["kind"] == kind) for kind, name in KINDS.items()},
    )


def side_by_side(checkouts: Sequence[Path], rounds: int, sweep: str) -> list[list[Run]]:
    """A list of runs for each checkout, measured in turn; a line is printed after each."""
    found: list[list[Run]] = [[] for _ in checkouts]
    for number in range(rounds):
        for runs, checkout in zip(found, checkouts, strict=True):
            run = measure(checkout, sweep)
            runs.append(run)
            parts = ", ".join(f"{run.cells[name]} {name} {run.seconds[name]:.0f} s" for name in KINDS.values())
            print(
                f"round {number + 1}, {checkout}: {run.wall:.0f} s wall, {run.processor:.0f} s processor, "
                f"{run.passes:,} passes, {run.rate:,.0f} passes/s ({parts})",
                flush=True,
            )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.suite.first_run")
    parser.add_argument("--against", type=Path, required=True, help="another checkout, with an environment in .venv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sweep", default="quick")
    options = parser.parse_args(arguments)
    here = Path(__file__).resolve().parents[2]
    for checkout in (here, options.against):
        if not (checkout / ".venv" / "bin" / "python").is_file():
            parser.error(f"{checkout} has no .venv/bin/python: run `make install` there")
    mine, other = side_by_side([here, options.against.resolve()], options.rounds, options.sweep)
    for name, figures in (
        ("image passes per second", [a.rate / b.rate for a, b in zip(mine, other, strict=True)]),
        ("wall time", [a.wall / b.wall for a, b in zip(mine, other, strict=True)]),
        ("processor time", [a.processor / b.processor for a, b in zip(mine, other, strict=True)]),
    ):
        print(f"{name}, this / the other: {np.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f})")


if __name__ == "__main__":
    main()
