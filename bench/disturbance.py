"""What may have disturbed a block: cores that were not there when they were wanted, throttling, other load.

A block is a stretch of one process between two readings of what the kernel counts.  The rule rests on *lost* time: time
in which the process was ready to compute and no core would have it.  Its threads' waits in the run queue
(/proc/<pid>/schedstat, second field) are an upper bound, for threads of one process also wait for each other; so is the
core time that the process did not use.  The smaller of the two is what others can have taken:

    lost = min(waits of all threads + stolen by the hypervisor, cores x wall time - CPU time)

What a system does not show is None, never a guess; where it shows too little for the rule, no block is disturbed.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOST_SHARE = 0.1
"""A block that lost more of its time than this is disturbed: three standard deviations of what blocks scatter by on a
busy machine (2.9 %).  There 2 to 6 % are lost all the time (measured: two cores, others at work on both), which falls
on all contestants alike; what lies above is an event that hit one."""

_TASKS = Path("/proc/self/task")
_CPUS = Path("/sys/devices/system/cpu")
_STAT = Path("/proc/stat")
_CPUINFO = Path("/proc/cpuinfo")
_STEAL = 8
"""Field of a cpu line in /proc/stat: time that the hypervisor gave to another machine, in ticks (proc(5))."""


@dataclass(frozen=True)
class Surroundings:
    """What is read before and after a block, outside of it: 1-minute load; clock of the cores, MHz; throttle events."""

    load: float | None
    mhz: float | None
    throttles: int | None


@dataclass(frozen=True)
class Counters:
    """What is read at the edges of a block: seconds, but for ``waits`` (ns by thread) and ``switches`` (a number)."""

    wall: float
    cpu: float
    waits: dict[int, int] | None
    switches: int
    steal: float | None


class Watch:
    """Reads for this process on ``cpus`` (the cores it is bound to)."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self.cpus = list(cpus)

    def surroundings(self) -> Surroundings:
        load: float | None = None
        with contextlib.suppress(OSError, AttributeError):
            load = round(os.getloadavg()[0], 2)
        return Surroundings(load, clock_mhz(self.cpus), throttle_events(self.cpus))

    def counters(self) -> Counters:
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        return Counters(time.perf_counter(), time.process_time(), run_queue_waits(), switches, steal_seconds(self.cpus))

    def conditions(self, around: tuple[Surroundings, Surroundings], edges: tuple[Counters, Counters]) -> dict[str, Any]:
        """One entry of ``conditions`` in a round: JSON-able, None for what this system does not show."""
        (before, after), (start, end) = around, edges
        wall, cpu = end.wall - start.wall, end.cpu - start.cpu
        waits = None
        if start.waits is not None and end.waits is not None:
            # Threads that began inside the block waited inside it; those that ended took their count with them.
            waits = sum(max(0, wait - start.waits.get(thread, 0)) for thread, wait in end.waits.items()) / 1e9
        steal = None if start.steal is None or end.steal is None else max(0.0, end.steal - start.steal)
        lost = None if waits is None else lost_seconds(wall, cpu, waits, steal or 0.0, len(self.cpus))
        throttles = None
        if before.throttles is not None and after.throttles is not None:
            throttles = after.throttles - before.throttles
        return {
            "wall_seconds": _rounded(wall),
            "cpu_seconds": _rounded(cpu),
            "wait_seconds": _rounded(waits),
            "steal_seconds": _rounded(steal),
            "lost_seconds": _rounded(lost),
            "involuntary_switches": end.switches - start.switches,
            "load": [before.load, after.load],
            "mhz": [before.mhz, after.mhz],
            "throttle_events": throttles,
            "disturbed": disturbance(wall, lost, throttles),
        }


def lost_seconds(wall: float, cpu: float, waits: float, steal: float, cores: int) -> float:
    """Core seconds that others can have taken from a process on ``cores`` cores, by the rule above; at least 0."""
    # Stolen time comes in whole ticks: a single one may have been gathered long before the block.
    stolen = steal if steal > 1.5 / os.sysconf("SC_CLK_TCK") else 0.0
    return max(0.0, min(waits + stolen, cores * wall - cpu))


def disturbance(wall: float, lost: float | None, throttles: int | None) -> str | None:
    """Why a block of ``wall`` seconds is disturbed ("waited", "throttled"), or None."""
    if throttles:
        return "throttled"
    return "waited" if lost is not None and lost > LOST_SHARE * wall else None


def run_queue_waits() -> dict[int, int] | None:
    """Nanoseconds that each thread of this process has waited for a core so far, by its number; None if hidden."""
    waits: dict[int, int] = {}
    try:
        for thread in os.listdir(_TASKS):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                waits[int(thread)] = int((_TASKS / thread / "schedstat").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return waits or None


def steal_seconds(cpus: Sequence[int]) -> float | None:
    """Seconds that a hypervisor has taken from ``cpus`` so far; None where the system does not tell."""
    wanted = {f"cpu{number}" for number in cpus}
    try:
        rows = [line.split() for line in _STAT.read_text().splitlines()]
        ticks = [int(row[_STEAL]) for row in rows if row and row[0] in wanted]
    except (OSError, ValueError, IndexError):
        return None
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None


def clock_mhz(cpus: Sequence[int]) -> float | None:
    """Mean clock of ``cpus`` at this moment, MHz: cpufreq, or what /proc/cpuinfo says; None if neither does."""
    found = [_number(_CPUS / f"cpu{number}" / "cpufreq" / "scaling_cur_freq") for number in cpus]
    khz = [value for value in found if value is not None]
    if khz:
        return round(sum(khz) / len(khz) / 1e3, 1)
    mhz: list[float] = []
    with contextlib.suppress(OSError, ValueError):
        number = -1
        for line in _CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "processor":
                number = int(value)
            elif name.strip() == "cpu MHz" and number in cpus:
                mhz.append(float(value))
    return round(sum(mhz) / len(mhz), 1) if mhz else None


def throttle_events(cpus: Sequence[int]) -> int | None:
    """How often ``cpus`` and their packages were slowed down for heat so far; None where nobody counts."""
    counts = [
        _number(_CPUS / f"cpu{number}" / "thermal_throttle" / f"{part}_throttle_count")
        for number in cpus
        for part in ("core", "package")
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def threads_alive() -> int | None:
    """Threads of this process, those of all libraries included; None where the system does not tell."""
    try:
        return len(os.listdir(_TASKS))
    except OSError:
        return None


def scheduling() -> str | None:
    """Linux's scheduling policy for this thread, "batch" in workers (see :func:`bench.worker.run_undivided`); None
    where there is none to ask for."""
    if not hasattr(os, "sched_getscheduler"):
        return None
    names = {os.SCHED_OTHER: "other", os.SCHED_BATCH: "batch", os.SCHED_IDLE: "idle"}
    policy = os.sched_getscheduler(0)
    return names.get(policy, str(policy))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _rounded(seconds: float | None) -> float | None:
    """To microseconds: a record holds thousands of these."""
    return None if seconds is None else round(seconds, 6)
