"""What this machine is: facts for the record, and what can be known of its devices without loading a framework."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PACKAGES = (
    "daebench", "keras", "tensorflow", "torch", "jax", "jaxlib", "numpy", "scipy", "scikit-image", "pillow",
    "matplotlib", "pandas", "pydantic", "psutil",
)  # fmt: skip
"""Distributions whose versions may matter to a figure."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")
_PASSING = ("time", "load", "memory_available", "cpu_mhz")
"""Facts that change from run to run on one and the same environment."""


class DeviceError(ValueError):
    """A device that this machine does not have."""


def environment() -> dict[str, Any]:
    """Facts about this machine and what is installed, JSON-able.  Memory in bytes, clock in MHz."""
    import psutil

    memory = psutil.virtual_memory()
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "packages": {name: found for name in PACKAGES if (found := version(name))},
        "cpu": cpu_model(),
        "cpu_mhz": _clock(),
        "cores_logical": psutil.cpu_count(logical=True),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores": cores(),
        "affinity": affinity(),
        "memory": memory.total,
        "memory_available": memory.available,
        "gpus": gpus(),
        "load": _load(),
        "git": git_state(),
        "variables": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


def environment_id(facts: dict[str, Any]) -> str:
    """A short hash of the facts that do not pass: the same machine and installation, the same id."""
    lasting = {name: value for name, value in facts.items() if name not in _PASSING}
    return _digest(lasting)


@functools.cache
def fingerprint(backend: str, device: str) -> str:
    """16 hexadecimal digits that change when a figure of ``backend`` on ``device`` is no longer comparable: with its
    packages' versions, its adapter's source, NumPy (which makes the data), Python, and the processor or GPU."""
    from implementations.adapter import adapter_class, source_digest

    kind = adapter_class(backend)
    gpu = [gpu["name"] for gpu in gpus()] if device == "cuda" else []
    return _digest(
        {
            "packages": {name: version(name) for name in sorted({*kind.packages, "numpy"})},
            "python": platform.python_version_tuple()[:2],
            "source": source_digest(kind),
            "machine": platform.machine(),
            "cpu": cpu_model(),
            "gpu": gpu,
        }
    )


def affinity() -> list[int]:
    """The logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@functools.cache
def cores() -> int:
    """How many computations can run side by side: physical cores where they are known, no more than the affinity
    and the container's quota allow; at least 1."""
    import psutil

    logical, physical = psutil.cpu_count(logical=True) or 1, psutil.cpu_count(logical=False)
    schedulable = len(affinity())
    if physical and physical < logical:
        # Two threads of one core share its arithmetic units.
        schedulable = math.ceil(schedulable * physical / logical)
    return max(1, min(schedulable, math.floor(_quota() + 0.01)))


def _quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> float:
    """Processors that a container may use (cgroup 2): quota / period; unlimited is infinite, cut to a large number."""
    try:
        quota, period = path.read_text().split()[:2]
        return float(quota) / float(period) if quota != "max" else 1e6
    except (OSError, ValueError, ZeroDivisionError):
        return 1e6


@functools.cache
def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor()
    return platform.processor() or platform.machine()


@functools.cache
def gpus() -> list[dict[str, str]]:
    """NVIDIA GPUs as nvidia-smi lists them: name, driver, memory; empty where there is none."""
    text = _output(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    rows = [[part.strip() for part in line.split(",")] for line in (text or "").splitlines()]
    return [dict(zip(("name", "driver", "memory"), row, strict=True)) for row in rows if len(row) == 3]


def gpu_processes() -> list[str]:
    """What computes on the GPU that CUDA takes here, "python3 (process 123, 512 MiB)"; empty where nothing does, or
    where nvidia-smi does not tell.  Before workers are started, these are all somebody else's."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    which = ["-i", visible] if visible else []
    query = "--query-compute-apps=pid,process_name,used_memory"
    text = _output(["nvidia-smi", *which, query, "--format=csv,noheader"])
    rows = [[part.strip() for part in line.split(",")] for line in (text or "").splitlines()]
    return [f"{Path(name).name} (process {pid}, {memory})" for pid, name, memory in (r for r in rows if len(r) == 3)]


def missing_device(device: str) -> str | None:
    """Why ``device`` can not be used on this machine, or None.  Loads no framework, so a driver that a framework
    can not use is found out only later, by the backend itself."""
    if device == "cuda" and not gpus() and not any(Path("/dev").glob("nvidia[0-9]*")):
        return "this machine shows no NVIDIA GPU (nvidia-smi lists none): use --device cpu, or install the driver"
    if device == "mps" and not (sys.platform == "darwin" and platform.machine() == "arm64"):
        return "mps is the GPU of Apple's processors, which this machine does not have: use --device cpu"
    return None


def check_device(device: str) -> None:
    """DeviceError if there is no such device here."""
    from implementations.adapter import DEVICES

    if device not in DEVICES:
        raise DeviceError(f"device {device!r} is unknown; allowed are {', '.join(DEVICES)}")
    reason = missing_device(device)
    if reason:
        raise DeviceError(f"device {device!r}: {reason}")


def git_state() -> dict[str, Any] | None:
    """Commit of the suite's own source and whether it was changed since; None where it is not a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    commit = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
    if not commit:
        return None
    status = _output(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return {"commit": commit, "dirty": status != "" if status is not None else None}


def _load() -> list[float]:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (OSError, AttributeError):
        return []


def _clock() -> float | None:
    import psutil

    try:
        clock = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return round(clock.max or clock.current, 1) if clock else None


def version(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(command: list[str]) -> str | None:
    """What ``command`` prints, stripped; None if it is not there, fails, or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]
