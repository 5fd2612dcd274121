"""What disturbs a block: lost time is told from waiting for oneself, and what a system hides is None."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import disturbance
from bench.disturbance import Watch, lost_seconds

needs_schedstat = pytest.mark.skipif(disturbance.run_queue_waits() is None, reason="needs /proc/self/task/*/schedstat")


@pytest.fixture
def one_core() -> Iterator[int]:
    """This process on a single core, as a worker of one thread is."""
    before = os.sched_getaffinity(0)
    core = min(before)
    os.sched_setaffinity(0, {core})
    yield core
    os.sched_setaffinity(0, before)


def watched(core: int, work: Callable[[], Any]) -> dict[str, Any]:
    watch = Watch([core])
    before, start = watch.surroundings(), watch.counters()
    work()
    end = watch.counters()
    return watch.conditions((before, watch.surroundings()), (start, end))


def compute(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        zlib.crc32(_BYTES)  # lets other threads run meanwhile


_BYTES = bytes(20_000_000)


@pytest.mark.parametrize(
    ("wall", "cpu", "waits", "steal", "cores", "lost"),
    [
        (1.0, 1.0, 0.0, 0.0, 1, 0.0),  # it computed all the time
        (1.0, 0.7, 0.3, 0.0, 1, 0.3),  # another program had the core
        (1.0, 1.0, 3.0, 0.0, 1, 0.0),  # four threads of its own took turns on one core
        (1.0, 0.2, 0.0, 0.0, 1, 0.0),  # it waited for a GPU, and for nobody's core
        (1.0, 1.6, 0.1, 0.0, 2, 0.1),  # its second thread had little to do
        (1.0, 0.8, 0.0, 0.2, 1, 0.2),  # the hypervisor was elsewhere
        (0.1, 0.09, 0.0, 0.01, 1, 0.0),  # a single tick may stem from before
        (1.0, 1.001, 0.1, 0.0, 1, 0.0),  # clocks differ a little
    ],
)
def test_lost_time_is_what_others_can_have_taken(
    wall: float, cpu: float, waits: float, steal: float, cores: int, lost: float
) -> None:
    assert lost_seconds(wall, cpu, waits, steal, cores) == pytest.approx(lost)


def test_the_rule_names_its_reason() -> None:
    just_under = disturbance.LOST_SHARE * 0.99
    assert disturbance.disturbance(1.0, just_under, 0) is None
    assert disturbance.disturbance(1.0, just_under * 1.1, None) == "waited"
    assert disturbance.disturbance(1.0, 0.0, 1) == "throttled"
    assert disturbance.disturbance(1.0, None, None) is None, "what is not known disturbs nothing"


@needs_schedstat
def test_a_neighbour_on_the_same_core_is_seen(one_core: int) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:  # inherits the core
        try:
            time.sleep(0.3)
            found = watched(one_core, lambda: compute(0.3))
        finally:
            neighbour.kill()
    assert found["disturbed"] == "waited"
    # Two that want one core have half of it each; a third program on this machine makes it less.
    assert found["lost_seconds"] > 0.25 * found["wall_seconds"]
    assert found["involuntary_switches"] > 0


@needs_schedstat
def test_threads_that_wait_for_each_other_lose_nothing_by_it(one_core: int) -> None:
    counted = threading.Event()

    def second() -> None:  # as a pool's thread it is still there when it is counted
        compute(0.3)
        counted.wait()

    thread = threading.Thread(target=second)

    def both() -> None:
        thread.start()
        compute(0.3)

    found = watched(one_core, both)
    counted.set()
    thread.join()
    # One of the two always waits, for the other if for nobody else; what a third program took is lost besides.
    assert found["wait_seconds"] - found["lost_seconds"] > 0.5 * found["wall_seconds"]
    assert found["lost_seconds"] <= found["wall_seconds"] - found["cpu_seconds"] + 1e-5


def test_what_the_system_shows_is_read_and_what_it_hides_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, file in (("_CPUS", "cpu"), ("_STAT", "stat"), ("_CPUINFO", "cpuinfo"), ("_TASKS", "task")):
        monkeypatch.setattr(disturbance, name, tmp_path / file)
    hidden = watched(0, lambda: None)
    for name in ("wait_seconds", "steal_seconds", "lost_seconds", "throttle_events", "disturbed"):
        assert hidden[name] is None
    assert hidden["mhz"] == [None, None]

    ticks = os.sysconf("SC_CLK_TCK")
    (tmp_path / "stat").write_text(f"cpu  9 9 9 9 9 9 9 {9 * ticks} 0 0\ncpu1 1 1 1 1 1 1 1 {3 * ticks} 0 0\n")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\ncpu MHz\t\t: 1000.0\n\nprocessor\t: 1\ncpu MHz\t\t: 2000.5\n")
    assert disturbance.steal_seconds([1]) == 3.0
    assert disturbance.clock_mhz([1]) == 2000.5
    for core, khz, count in ((0, 3_000_000, 2), (1, 2_000_000, 5)):
        folder = tmp_path / "cpu" / f"cpu{core}"
        (folder / "cpufreq").mkdir(parents=True)
        (folder / "thermal_throttle").mkdir()
        (folder / "cpufreq" / "scaling_cur_freq").write_text(f"{khz}\n")
        (folder / "thermal_throttle" / "core_throttle_count").write_text(f"{count}\n")
    assert disturbance.clock_mhz([0, 1]) == 2500.0, "cpufreq is the better source"
    assert disturbance.throttle_events([0, 1]) == 7
