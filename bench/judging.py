"""Yardsticks as a phase of a run: scored by a worker that waits from the trials, or by workers of their own.

They need no framework.  But a worker that has trained has imported all that they need besides, and what costs nothing
is done sooner than a new process is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.estimate import yardstick_seconds, yardsticks_seconds
from bench.lanes import Job, Lanes, Waiting, core_pools
from bench.process import REFERENCE
from bench.records import Ended
from bench.yardsticks import YardstickCell
from results.yardsticks import FREE

TIMEOUT, SLOWEST = 600.0, 20.0
"""Seconds that a yardstick may take for its images, and how many times its estimate besides."""
SHORT_WORK = 8.0
"""Seconds of work up to which one worker does it all, one that waits if there is one: another costs two of imports."""
RESERVE = 2.0
"""How many times their estimate a budget keeps free for them."""


def run_yardsticks(
    cells: Sequence[YardstickCell],
    folder: Path,
    *,
    jobs: int | None,
    on_end: Callable[[Ended], None],
    logs: Path,
    timeout: float | None,
    deadline: float | None,
    cut: float | None,
    waiting: Waiting,
) -> None:
    """Score ``cells``, those of the same images one after the other in one process; ``on_end`` hears of each.  Where
    time may run out (``cut``), what costs nothing comes first."""
    ordered = sorted(cells, key=lambda cell: cell.method not in FREE) if cut is not None else list(cells)
    short = yardsticks_seconds(ordered) <= SHORT_WORK
    idle = waiting.idle() if short else None
    host = idle[0] if idle else None
    pools = [list(idle[1])] if idle else core_pools(1 if short else jobs, 1)
    work = [
        Job(cell, "yardstick", timeout or TIMEOUT + SLOWEST * yardstick_seconds(cell), str(folder), REFERENCE,
            near=cell.noise, host=host)
        for cell in ordered
    ]  # fmt: skip
    Lanes(work, pools=pools, logs=logs, deadline=deadline, cut=cut, waiting=waiting).run(on_end)


def share_of(cells: Sequence[YardstickCell], left: float, *, most: float) -> float:
    """Of the ``left`` seconds of a budget: what ``cells`` need, or ``most`` of it; 0 where there is no budget."""
    return min(most, RESERVE * yardsticks_seconds(cells) / left) if cells and left > 0 else 0.0
