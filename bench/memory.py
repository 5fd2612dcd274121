"""How much memory this process holds, and the most it has held since a given moment."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"
"""Linux: writing this to clear_refs sets the peak resident size to the present one (proc(5), since 4.0)."""


def resident_bytes() -> int:
    """Resident size now; where there is no /proc, the peak so far, which right after an import is the same."""
    size = _field("VmRSS")
    return peak_resident_bytes() if size is None else size


def peak_resident_bytes() -> int:
    """Largest resident size since :func:`reset_peak`, or since the start where it could not be reset."""
    size = _field("VmHWM")
    if size is not None:
        return size
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere


def reset_peak() -> bool:
    """Let the peak start from the present size.  Whether the system allowed it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
        return True
    return False


def _field(name: str) -> int | None:
    """A size from /proc/self/status, in bytes."""
    with contextlib.suppress(OSError, ValueError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return None
