"""Pictures: the same test images clean, noisy, and as every backend denoised them."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import text
from report.naming import CONFIGURATION, backend_key, configuration_label, describe, natural_key
from report.quality import condition_axes, label_axes, who, who_axes
from report.yardsticks import Yardsticks, beside
from results.loading import Run
from results.schema import Record

MOST_GROUPS = 12
"""Groups shown; a sweep with more shows those that most backends have, spread over networks and corruptions."""
LARGEST = 400_000
"""Bytes of a strip that are still embedded: 8 grey images of 28x28 take 6 kB."""
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Strip:
    """One row of images.  ``source`` is a data URI; ``pixels``: width and height of the strip."""

    label: str
    note: str
    source: str
    pixels: tuple[int, int]


@dataclass(frozen=True)
class Group:
    """Strips of the same images under the same noise, by the same network."""

    title: str
    strips: tuple[Strip, ...]


def groups(run: Run) -> list[Group]:
    """Groups for as many networks and corruptions as fit, each with every backend that was trained on it."""
    trials = [record for record in run.of("trial", "ok") if len(record.get("pictures", {})) == 3]
    if not trials:
        return []
    axes = condition_axes(trials[0]["cell"])
    differing = who_axes(trials)
    named = label_axes(trials, axes)
    found: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in trials:
        cell = record["cell"]
        key = (*(cell[name] for name in CONFIGURATION), cell["seed"], *(cell.get(name) for name in axes))
        found[key].append(record)
    yardsticks = Yardsticks(run)
    made = []
    for group in _choose(list(found.values())):
        cell = group[0]["cell"]
        strips = _strips(run, group, differing, yardsticks)
        if strips:
            extra = describe(cell, named)
            title = f"{cell['corruption']}{', ' + extra if extra else ''} · {configuration_label(cell)}"
            made.append(Group(title, strips))
    return made


def _choose(found: Sequence[list[Record]]) -> list[list[Record]]:
    """For each network and corruption the group with most backends and the best mean PSNR; then as many of
    each network as the limit allows, spread over its corruptions."""
    best: dict[tuple[str, str], list[Record]] = {}
    for group in found:
        cell = group[0]["cell"]
        key = (cell["architecture"], cell["corruption"])
        if key not in best or _merit(group) > _merit(best[key]):
            best[key] = group
    queues: dict[str, list[list[Record]]] = defaultdict(list)
    for (architecture, _), group in sorted(best.items(), key=lambda item: natural_key(item[0][1])):
        queues[architecture].append(sorted(group, key=lambda record: backend_key(record["cell"]["backend"])))
    chosen: list[list[Record]] = []
    share = max(MOST_GROUPS // max(len(queues), 1), 1)
    for architecture in sorted(queues):
        queue = queues[architecture]
        step = max(len(queue) / share, 1.0)
        chosen += [queue[int(index * step)] for index in range(min(share, len(queue)))]
    return chosen[:MOST_GROUPS]


def _merit(group: Sequence[Record]) -> tuple[int, float, int]:
    backends = len({record["cell"]["backend"] for record in group})
    psnr = sum(float(record["metrics"]["psnr"]) for record in group) / len(group)
    return (backends, psnr, -int(group[0]["cell"]["seed"]))


def _strips(run: Run, group: Sequence[Record], differing: Sequence[str], yardsticks: Yardsticks) -> tuple[Strip, ...]:
    first = group[0]
    noisy = f"{text.fixed(first['metrics']['psnr_noisy'])} dB"
    wanted = [("clean", "", first["pictures"]["clean"]), ("noisy", noisy, first["pictures"]["noisy"])]
    wanted += [
        (label, _note(record), record["pictures"]["denoised"])
        for label, record in beside(yardsticks, first)
        if "denoised" in record.get("pictures", {})
    ]
    wanted += [(who(record["cell"], differing), _note(record), record["pictures"]["denoised"]) for record in group]
    strips = (strip(run, label, note, path) for label, note, path in wanted)
    return tuple(found for found in strips if found is not None)


def _note(record: Record) -> str:
    metrics = record["metrics"]
    return f"{text.fixed(metrics['psnr'])} dB ({text.signed(metrics['psnr_gain'])})"


def strip(run: Run, label: str, note: str, path: str) -> Strip | None:
    """The picture at ``path`` below a folder of ``run``, or None where it is missing, too large, or no PNG."""
    data = _read(run, path)
    if data is None:
        return None
    return Strip(label, note, "data:image/png;base64," + base64.b64encode(data).decode(), _pixels(data))


def _read(run: Run, path: str) -> bytes | None:
    """The PNG, or None where it is missing, too large, or no PNG: a report is written without it."""
    for folder in run.folders or (run.folder,):
        root = Path(folder).resolve()
        file = (root / path).resolve()
        try:
            if not file.is_relative_to(root) or file.stat().st_size > LARGEST:
                continue
            data = file.read_bytes()
        except OSError:
            continue
        if data.startswith(PNG) and len(data) > 24:
            return data
    return None


def _pixels(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
