"""``python -m bench.acceptance FOLDER [--sessions 20]``: run what is missing of the experiment, then sum it up.

Sessions in which the head does 3 % more work and A/A sessions take turns.  Each is appended to ``sessions.jsonl`` as
it ends, so that an interrupted experiment goes on where it stopped; ``summary.json`` is made from those lines alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.acceptance import backend, replay
from bench.compare.live import LiveOptions, run_live
from bench.compare.sides import SideSpec
from bench.progress import duration
from implementations.adapter import EXTRA_BACKENDS
from results.comparison import from_json, to_json

KINDS = {"slower": backend.MoreWork.name, "same": "torch"}
"""What the head is in the sessions of a kind; the base is torch."""
SESSIONS = "sessions.jsonl"
SUMMARY = "summary.json"
REPLAYS = 2000
REPLAYED = {
    "same": (0.0, 1.0),
    "slower": (backend.EXTRA, 1.0),
    "same, 10 times the noise": (0.0, 10.0),
    "slower, 10 times the noise": (backend.EXTRA, 10.0),
}
"""What is replayed: by how much the head costs more, and the noise as a multiple of what was recorded."""
MARGIN, ALPHA = 0.03, 0.01
MAX_MINUTES = 4.0
"""Two networks' worth of rows need less than the default ten."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.acceptance", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=20, help="of each kind (default: 20)")
    parser.add_argument("--summary-only", action="store_true", help="only sum up what was recorded")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ[EXTRA_BACKENDS] = f"{backend.MoreWork.name}={backend.__name__}:MoreWork"
    if not options.summary_only:
        _run(options.folder, options.sessions)
    summary = summarise(_lines(options.folder))
    (options.folder / SUMMARY).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print(json.dumps(summary, indent=2, allow_nan=False))
    return 0


def _run(folder: Path, sessions: int) -> None:
    done = Counter(line["kind"] for line in _lines(folder))
    start, ran = time.monotonic(), 0
    for number in range(sessions):
        for kind, head in KINDS.items():
            if number < done[kind]:
                continue
            comparison = run_live(
                LiveOptions(
                    sweep=str(Path(__file__).with_name("sweep.toml")),
                    base=SideSpec(backend="torch:tuned"),
                    head=SideSpec(backend=f"{head}:tuned"),
                    margin=MARGIN,
                    alpha=ALPHA,
                    max_minutes=MAX_MINUTES,
                    metrics=("train", "inference"),
                    progress=False,
                )
            )
            with (folder / SESSIONS).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, "comparison": to_json(comparison)}, allow_nan=False) + "\n")
            ran += 1
            left = sum(max(sessions - done[name], 0) for name in KINDS) - ran
            pace = (time.monotonic() - start) / ran
            print(
                f"{kind} {number + 1}/{sessions}: {comparison.outcome} in {duration(comparison.seconds)}, "
                f"ETA {duration(left * pace)}",
                file=sys.stderr,
                flush=True,
            )


def _lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / SESSIONS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Outcomes of the sessions by kind, how long they took, and what their noise does when it is drawn again."""
    sessions: dict[str, Any] = {}
    noise: list[list[float]] = []
    longest = 1
    changes: dict[str, list[float]] = {}
    for line in lines:
        comparison = from_json(line["comparison"])
        entry = sessions.setdefault(line["kind"], {"outcomes": Counter(), "seconds": [], "rounds": []})
        entry["outcomes"][comparison.outcome] += 1
        entry["seconds"].append(comparison.seconds)
        entry["rounds"].append(max((row.rounds for row in comparison.rows), default=0))
        by_row = [[found["change"] for found in row.samples["rounds"]] for row in comparison.rows]
        # A row that was decided early is not measured any more: only rounds that all rows have belong together.
        common = min(map(len, by_row), default=0)
        rows = [list(values) for values in zip(*(row[:common] for row in by_row), strict=True)]
        if line["kind"] == "same":
            noise += rows
        for row, values in zip(comparison.rows, by_row, strict=True):
            changes.setdefault(f"{line['kind']} {row.metric}", []).extend(values)
        if common:
            longest = max(longest, round(60.0 * MAX_MINUTES / (comparison.seconds / entry["rounds"][-1])))
    summary: dict[str, Any] = {"margin": MARGIN, "alpha": ALPHA, "sessions": {}, "rounds": {}, "replays": {}}
    for kind, entry in sessions.items():
        summary["sessions"][kind] = {
            "outcomes": dict(entry["outcomes"]),
            "median_seconds": float(np.median(entry["seconds"])),
            "median_rounds": float(np.median(entry["rounds"])),
        }
    for name, values in changes.items():
        data = np.asarray(values)
        summary["rounds"][name] = {
            "count": len(data),
            "mean_change": float(np.expm1(data.mean())),
            "deviation": float(data.std(ddof=1)) if len(data) > 1 else None,
        }
    table = np.asarray(noise)
    if len(table) >= replay.RUN:
        for name, (change, scale) in REPLAYED.items():
            outcomes, taken = replay.replays(
                table, change, scale=scale, rounds=longest, margin=MARGIN, alpha=ALPHA, count=REPLAYS
            )
            summary["replays"][name] = {
                "count": REPLAYS,
                "most_rounds": longest,
                "outcomes": {outcome: number / REPLAYS for outcome, number in outcomes.items()},
                "mean_rounds": taken,
            }
    return summary


if __name__ == "__main__":
    sys.exit(main())
