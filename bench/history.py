"""From a recorded run to entries of a history: which commit on which machine, and what the run came to there."""

from __future__ import annotations

import hashlib
import math
import subprocess
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from results.completeness import completeness
from results.history import TRACKED, Entry, HistoryError, append_history
from results.loading import Run, load_run
from results.schema import CONTENTS_SEPARATOR, Record, dumps

DEFAULT_FILE = Path("history.jsonl")
UNNAMED: Mapping[str, Any] = {
    "device": "cpu", "precision": "float32", "threads": 1, "defaults": "matched", "height": 28, "width": 28,
    "channels": 1, "optimizer": "adam", "learning_rate": 0.001, "clip": True, "refresh": False, "repeats": 1,
    "validation": "noisy", "evaluate": "patches", "cross_noise": "", "codes": False, "keep_weights": False,
    "val": "test", "until": "epochs",
}  # fmt: skip
"""Axes that a label leaves out at these values.  Labels join entries: a new axis belongs here with the value that old
entries had, or their series end."""
_LEADING = ("backend", "track", "architecture", "latent", "loss", "seed")
"""Axes with a place of their own at the head of a label, and the seed, over which trials are averaged."""


def add_run(
    folder: Path, file: Path, *, commit: str | None = None, allow_dirty: bool = False, replace_old: bool = False
) -> tuple[list[Entry], list[Entry]]:
    """Add the run in ``folder`` to the history ``file``; (entries added, entries replaced).

    ``commit``: what the run is a measurement of, if it does not say so itself (it was not made from a checkout).
    RunError or HistoryError says what stands in the way.
    """
    found = entries(load_run(folder), commit)
    if not allow_dirty and (dirty := [entry for entry in found if entry.dirty]):
        raise HistoryError(
            f"run {str(folder)!r}: was made from commit {dirty[0].commit[:10]} with changes that no commit holds: "
            "commit them and run again, or add it with --allow-dirty (it is then shown, and left out of the series)"
        )
    return found, append_history(file, found, replace=replace_old)


def entries(run: Run, commit: str | None = None) -> list[Entry]:
    """An entry for each commit and machine that ``run``'s records come from; usually one.

    HistoryError if the records name no commit and none is given, or if nothing in them is followed.
    """
    groups: dict[tuple[str, bool, str], list[Record]] = {}
    for record in run.current:
        if record["kind"] in ("certificate", "yardstick"):
            continue
        facts = run.environment(record)
        git = facts.get("git") or {}
        known = commit or git.get("commit")
        if not known:
            raise HistoryError(
                f"run {str(run.folder)!r}: does not say which commit it measured (it was not made from a checkout): "
                "name it with --commit"
            )
        dirty = bool(git.get("dirty")) and commit is None
        groups.setdefault((known, dirty, _digest(machine_facts(facts))), []).append(record)
    found = [_entry(run, *key, records) for key, records in groups.items()]
    if not any(cell["metrics"] for entry in found for cell in entry.cells.values()):
        raise HistoryError(f"run {str(run.folder)!r}: holds no trial and no timing that is ok: nothing can be followed")
    return found


def machine_facts(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for figures to be joined, from an entry of run.json's ``environments``."""
    python = str(environment.get("python", "")).split(".")
    return {
        "processor": environment.get("cpu"),
        "cores": environment.get("cores"),
        "cores_logical": environment.get("cores_logical"),
        "architecture": environment.get("machine"),
        "system": environment.get("system"),
        "gpus": [gpu.get("name") for gpu in environment.get("gpus") or []],
        "python": ".".join(python[:2]),
    }


def versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """What may change without parting a series: libraries, Python's patch, drivers.  (The suite itself: the commit.)"""
    found = {name: str(version) for name, version in (environment.get("packages") or {}).items() if name != "daebench"}
    if environment.get("python"):
        found["python"] = str(environment["python"])
    for gpu in environment.get("gpus") or []:
        if gpu.get("driver"):
            found["GPU driver"] = str(gpu["driver"])
    return found


def label(axes: Mapping[str, Any]) -> str:
    """What people see and series are joined by: "torch tuned, dense latent 64 mse, batch_size 128"."""
    code = "" if axes.get("latent") is None else f" latent {axes['latent']}"
    head = f"{axes['backend']} {axes['track']}, {axes['architecture']}{code} {axes['loss']}"
    rest = [
        f"{name} {value}"
        for name, value in axes.items()
        if name not in _LEADING and value is not None and UNNAMED.get(name) != value
    ]
    rest += ["val default"] if axes.get("val", UNNAMED["val"]) is None else []
    return ", ".join([head, *rest])


def _entry(run: Run, commit: str, dirty: bool, machine: str, records: list[Record]) -> Entry:
    environment = run.environment(records[-1])
    trials = [record for record in records if record["kind"] == "trial"]
    cells = {label(record["cell"]): _timed(record) for record in records if record["kind"] == "timing"}
    done = completeness(run)
    seeds = _seeds(run) if done.done.get("trial", 0) < done.planned.get("trial", 0) else 1
    for name in dict.fromkeys(map(_named, trials)):
        cells[name] = _scored([record for record in trials if _named(record) == name], seeds)
    started = min(str(record["started"]) for record in records)
    return Entry(
        commit=commit,
        committed=commit_date(commit) or _utc(started),
        run=_run_name(run, trials),
        machine=machine,
        started=started,
        facts=machine_facts(environment),
        versions=versions(environment),
        cells=cells,
        dirty=dirty,
        unfinished=done.sentence,
    )


def _run_name(run: Run, trials: Iterable[Record]) -> str:
    """Of the sweep; and the folders of images that it was run on, so that two of them are no two runs of one thing."""
    name = str(run.about.get("name") or run.folder.name)
    data = sorted({str(record["cell"]["dataset"]) for record in trials if _contents(record)})
    return f"{name} on {', '.join(data)}" if data else name


def _named(trial: Record) -> str:
    """Its label, with a hash of the folder of images that it was trained on: other images make another series."""
    contents = _contents(trial)
    return label(trial["cell"]) + (f", images {contents}" if contents else "")


def _contents(record: Record) -> str:
    return str(record["fingerprint"]).partition(CONTENTS_SEPARATOR)[2]


def _seeds(run: Run) -> int:
    """The most seeds that the sweep gives a cell."""
    grids = run.about.get("sweep", {}).get("grids", [])
    return max((len(grid.get("seed", ())) for grid in grids), default=1)


def _timed(record: Record) -> dict[str, Any]:
    metrics = record.get("metrics", {}) if record["status"] == "ok" else {}
    found = {}
    for name, tracked in TRACKED.items():
        value = metrics.get(name)
        if value is not None and (value > 0 or tracked.scale == "dB"):
            found[name] = [value, metrics.get(f"{name}_low"), metrics.get(f"{name}_high")]
    cell = {"status": record["status"], "cell": record["cell"], "metrics": found}
    return {**cell, "steady": record["steady"]} if record.get("steady") else cell


def _scored(records: Iterable[Record], seeds: int = 1) -> dict[str, Any]:
    """Trials that differ in their seed alone, as one: the mean over seeds.  The interval over images says nothing of
    how much a run differs from the next, which scores the same ones: a single seed has no interval here.  Fewer than
    ``seeds`` of them, as an interrupted run leaves, have no mean."""
    from results.statistics import mean_interval

    every = list(records)
    good = [record for record in every if record["status"] == "ok" and "psnr" in record.get("metrics", {})]
    axes = {name: value for name, value in every[0]["cell"].items() if name != "seed"}
    bad = [record["status"] for record in every if record["status"] != "ok"]
    bad += ["skipped"] if len({record["cell"]["seed"] for record in every}) < seeds else []
    metrics = {}
    if good and not bad:  # a mean over other seeds than before would look like a step
        interval = mean_interval([record["metrics"]["psnr"] for record in good])
        ends = (interval.low, interval.high)
        metrics["psnr"] = [interval.value, *(end if math.isfinite(end) else None for end in ends)]
    return {"status": bad[0] if bad else "ok", "cell": axes, "metrics": metrics}


def commit_date(commit: str) -> str | None:
    """When ``commit`` was committed (ISO 8601, UTC), by the checkout that this is; None if it does not know."""
    root = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "show", "--no-patch", "--format=%cI", f"{commit}^{{commit}}", "--"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return _utc(done.stdout.strip()) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None


def _utc(moment: str) -> str:
    # Python 3.10 does not read the "Z" that stands for UTC.
    found = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return found.astimezone(timezone.utc).isoformat(timespec="seconds")


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(dumps(dict(sorted(facts.items()))).encode()).hexdigest()[:16]
