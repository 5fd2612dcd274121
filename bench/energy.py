"""Energy that a stretch of work took, where the machine counts it: NVML for NVIDIA GPUs, RAPL for processors.

Both count the whole part (a GPU, all processor packages), whoever uses it: the idle draw is in it, and so is what
else runs there.  They are read at both ends of a window that is long against their own updates (1 ms for RAPL, up to
100 ms for NVML).  What a machine does not count is unavailable, with the reason; nothing is estimated.

NVML's four functions are called through its C interface, which comes with the driver: no package is needed for them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WINDOW_SECONDS = 2.0
"""Shortest window: twenty of NVML's slowest updates, so that one more or less at its ends is 5 % at most."""
_POWERCAP = Path("/sys/class/powercap")
_NVML = "libnvidia-ml.so.1"
_NVML_NOT_SUPPORTED = 3
"""NVML_ERROR_NOT_SUPPORTED: GPUs before Volta, and slices of a GPU (MIG), count no energy."""


class EnergyUnavailable(Exception):
    """Why this machine can not tell the energy: one line, for the record."""


@dataclass(frozen=True)
class Meter:
    """A counter.  ``read()``: joules since some moment in the past, never less than before."""

    source: str
    read: Callable[[], float]

    def measure(self, work: Callable[[], int], seconds: float = WINDOW_SECONDS) -> dict[str, float | str]:
        """Call ``work`` (it returns how many samples it did, and is finished when it returns) until ``seconds`` are
        over: ``source``, ``joules``, ``seconds``, ``samples``."""
        samples = 0
        joules, start = self.read(), time.perf_counter()
        while time.perf_counter() - start < seconds:
            samples += work()
        taken = time.perf_counter() - start
        return {"source": self.source, "joules": self.read() - joules, "seconds": taken, "samples": samples}


def find_meter(device: str) -> Meter:
    """What counts the energy of ``device``; EnergyUnavailable where nothing does."""
    if device == "cuda":
        return _nvml_meter()
    if device == "cpu":
        return _rapl_meter()
    raise EnergyUnavailable(f"nothing is known that counts the energy of {device}")


# -- processors ----------------------------------------------------------------------------------------------------


def _rapl_meter() -> Meter:
    zones = [zone for zone in sorted(_POWERCAP.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    packages = []
    for zone in zones:
        with contextlib.suppress(OSError):
            if (zone / "name").read_text().startswith("package"):
                packages.append(zone)
    if not packages:
        raise EnergyUnavailable(f"no RAPL counters ({_POWERCAP}/intel-rapl:*): a virtual machine, or another processor")
    try:
        counters = [_Wrapping(zone) for zone in packages]
    except PermissionError:
        raise EnergyUnavailable(
            f"the RAPL counters are for root alone: chmod a+r {_POWERCAP}/intel-rapl:*/energy_uj"
        ) from None
    except (OSError, ValueError) as error:
        raise EnergyUnavailable(f"the RAPL counters can not be read: {error}") from None
    count = f"{len(packages)} processor package{'s' * (len(packages) > 1)}"
    return Meter(f"RAPL, {count}", lambda: sum(counter.joules() for counter in counters))


class _Wrapping:
    """A RAPL counter, which starts over at ``max_energy_range_uj`` (after an hour or less at full power)."""

    def __init__(self, zone: Path) -> None:
        self._file = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._last = int(self._file.read_text())
        self._total = 0

    def joules(self) -> float:
        now = int(self._file.read_text())
        self._total += now - self._last if now >= self._last else now + self._range - self._last
        self._last = now
        return self._total / 1e6


# -- NVIDIA GPUs ---------------------------------------------------------------------------------------------------


def _nvml_meter() -> Meter:
    try:
        nvml = ctypes.CDLL(_NVML)
    except OSError:
        raise EnergyUnavailable(f"NVML ({_NVML}) is not there: it comes with NVIDIA's driver") from None
    _check(nvml.nvmlInit_v2(), "nvmlInit")
    handle = _first_visible(nvml)
    millijoules = ctypes.c_ulonglong()

    def read() -> float:
        _check(nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)), "the energy of this GPU")
        return millijoules.value / 1e3

    read()
    name = ctypes.create_string_buffer(96)
    _check(nvml.nvmlDeviceGetName(handle, name, len(name)), "the name of this GPU")
    return Meter(f"NVML, {name.value.decode(errors='replace')}", read)


def _first_visible(nvml: ctypes.CDLL) -> ctypes.c_void_p:
    """The GPU that CUDA calls number 0 in this process."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    handle = ctypes.c_void_p()
    if first.isdigit():
        # Both sides count by bus address only if CUDA is told to; on a machine of like GPUs it makes no difference.
        found = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(first)), ctypes.byref(handle))
    else:
        found = nvml.nvmlDeviceGetHandleByUUID(first.encode(), ctypes.byref(handle))
    _check(found, f"GPU {first}")
    return handle


def _check(code: int, what: str) -> None:
    if code == _NVML_NOT_SUPPORTED:
        raise EnergyUnavailable(f"NVML does not count {what}")
    if code:
        raise EnergyUnavailable(f"NVML gave error {code} for {what}")
