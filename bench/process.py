"""One worker process, as the supervisor sees it: started, asked with a time limit, killed, and its end explained.

The supervisor waits in a blocking read; it does nothing beside a worker that is measured.  Whatever becomes of a
worker, the supervisor gets an answer or a :class:`WorkerFailure` with a status, a reason and the end of its stderr.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from implementations.adapter import Setting, Track, adapter_class
from implementations.heap import ONE_ARENA
from results.schema import Status

REFERENCE = "reference"
"""The backend of workers that load no backend: they compute NumPy references."""

IMPORT_TIMEOUT = 300.0
"""Seconds for importing a framework: some need a minute on a cold disk, none needs five."""
CLOSE_TIMEOUT = 2.0
"""Seconds that a worker has to go by itself before it is killed."""
STDERR_LIMIT = 4000
"""Characters of stderr kept in a record: a long traceback, or the last messages of a library."""

# How frameworks say it: CUDA and torch ("out of memory"), XLA and TensorFlow ("RESOURCE_EXHAUSTED", "OOM when
# allocating"), C++ ("std::bad_alloc"), torch on the CPU ("DefaultCPUAllocator: can't allocate memory"), NumPy.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemory|RESOURCE_EXHAUSTED|ResourceExhausted|OOM when allocating|bad_alloc|MemoryError|"
    r"can't allocate memory|Cannot allocate memory|Unable to allocate",
    re.IGNORECASE,
)

ROOT = Path(__file__).resolve().parent.parent
"""Where our own packages lie."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Program:
    """What a worker runs: this interpreter and these sources, unless a comparison says otherwise.

    ``variables``: the environment that the backend's adapter wants; None: it is asked here.
    """

    python: str = sys.executable
    root: Path = ROOT
    variables: Mapping[str, str] | None = None


OURS = Program()


class WorkerFailure(Exception):
    """What a worker was asked for did not happen.  ``dead``: the process is gone."""

    def __init__(self, status: Status, reason: str, stderr: str = "", *, dead: bool = False) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason
        self.stderr = stderr
        self.dead = dead


class WorkerStopped(Exception):
    """The supervisor itself has stopped this worker (:meth:`Worker.stop`): the cell is to be forgotten."""


class Worker:
    """A process for one backend and setting, pinned to ``cpus`` (empty: not pinned); of one track alone if ``track``
    is given.

    Its stderr, with all that frameworks print, goes to a file of its own in ``logs``.  What frameworks write into the
    system's temporary folder goes to one of its own, which goes with it.  TensorFlow leaves the sources of its graphs
    there, for a worker ends without exit handlers; torch.compile keeps what it has compiled, and would make the first
    step of a fresh process look short if another one had taken it before.
    """

    def __init__(
        self,
        backend: str,
        setting: Setting,
        cpus: Sequence[int],
        logs: Path,
        program: Program = OURS,
        track: Track | None = None,
    ) -> None:
        self.backend = backend
        self.setting = setting
        self.met: set[Hashable] = set()
        """What the jobs that it has done had in common: it may still hold that."""
        logs.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
        slug = re.sub(r"[^A-Za-z0-9]+", "-", backend).strip("-")
        self.log = logs / f"{stamp}-{os.getpid()}-{next(_numbers):03}-{slug}.log"
        command = [
            *(program.python, "-m", "bench.worker", "--backend", backend),
            *("--device", setting.device, "--precision", setting.precision, "--threads", str(setting.threads)),
            *("--cpus", ",".join(map(str, cpus))),
        ]
        self._scratch = tempfile.TemporaryDirectory(prefix="daebench-worker-", ignore_cleanup_errors=True)
        with self.log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(backend, setting, program, track, self._scratch.name),
                # Ctrl-C is the supervisor's to handle, and what a framework starts (compilers) dies with its worker.
                start_new_session=True,
            )
        self._buffer = b""
        self._log_start = 0
        self._stopped = False
        self._oom_kills = _oom_kills()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def configure(self, timeout: float = IMPORT_TIMEOUT, *, lean: bool = False) -> dict[str, Any]:
        """Import the framework; ``lean``: without what it can do without, where importing is no figure.  Returns facts
        (``import_seconds``, ``versions``, ``rss_before``, ``rss_after``); WorkerFailure "unsupported" where the backend
        can not run here."""
        self.send("configure", lean=lean)
        return self.configured(timeout)

    def configured(self, timeout: float = IMPORT_TIMEOUT) -> dict[str, Any]:
        """The second half of :meth:`configure`, for who has sent it to several workers before."""
        facts = self.answer("configure", timeout)
        if facts["unavailable"]:
            raise WorkerFailure("unsupported", facts["unavailable"])
        return facts

    def request(
        self, verb: str, timeout: float, on_notice: Callable[[dict[str, Any]], None] | None = None, **payload: Any
    ) -> dict[str, Any]:
        """Ask and wait for the answer, ``on_notice`` hearing meanwhile how far it is.

        WorkerFailure if there is no answer within ``timeout`` seconds, WorkerStopped after :meth:`stop`.
        """
        self.send(verb, **payload)
        return self.answer(verb, timeout, on_notice)

    def send(self, verb: str, **payload: Any) -> None:
        """Ask, and do not wait: :meth:`answer` does, before anything else is asked."""
        if self._stopped:
            raise WorkerStopped
        assert self._process.stdin is not None
        self._log_start = self.log.stat().st_size
        try:
            self._process.stdin.write(json.dumps({"verb": verb, **payload}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._death(verb) from None

    def answer(
        self, verb: str, timeout: float, on_notice: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """What comes of :meth:`send`, as :meth:`request` gives it."""
        deadline = time.monotonic() + timeout
        while "notice" in (reply := self._read_reply(verb, timeout, deadline)):
            if on_notice is not None:
                on_notice(reply["notice"])
        if "error" in reply:
            raise self._refusal(reply["error"])
        result: dict[str, Any] = reply["result"]
        return result

    def _read_reply(self, verb: str, timeout: float, deadline: float) -> dict[str, Any]:
        line = self._read_line(verb, timeout, deadline)
        try:
            reply: dict[str, Any] = json.loads(line)
        except ValueError:
            self.kill()
            raise self._failure("crashed", f"the answer to {verb} was no JSON: {line[:80]!r}", dead=True) from None
        return reply

    def _read_line(self, verb: str, timeout: float, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0.0))
            if not ready:
                self.kill()
                raise self._failure("timeout", f"no answer to {verb} within {timeout:.3g} s: killed", dead=True)
            received = os.read(descriptor, 1 << 16)
            if not received:
                raise self._death(verb)
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _refusal(self, error: Mapping[str, str]) -> WorkerFailure:
        text = f"{error['type']}: {error['message']}" if error["message"] else error["type"]
        status: Status = "out_of_memory" if _OUT_OF_MEMORY.search(text) else "crashed"
        return self._failure(status, _one_line(text))

    def _death(self, verb: str) -> WorkerFailure | WorkerStopped:
        """Why the process went away while it was asked for ``verb``."""
        if self._stopped:
            return WorkerStopped()
        try:
            code = self._process.wait(CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:  # it closed its end of the pipe and lives on
            self.kill()
            return self._failure("crashed", f"the worker closed the connection during {verb}: killed", dead=True)
        stderr = self.stderr()
        if code < 0:
            name = signal.Signals(-code).name
            if -code == signal.SIGKILL and _oom_kills() > self._oom_kills:
                return self._failure("out_of_memory", f"killed by the system during {verb}: memory ran out", dead=True)
            reason = f"died of {name} during {verb}"
        else:
            reason = f"exited with code {code} during {verb}"
        status: Status = "out_of_memory" if _OUT_OF_MEMORY.search(stderr) else "crashed"
        return self._failure(status, reason, dead=True)

    def _failure(self, status: Status, reason: str, *, dead: bool = False) -> WorkerFailure:
        return WorkerFailure(status, reason, self.stderr(), dead=dead)

    def move(self, cpus: Sequence[int]) -> None:
        """Bind the process, with all threads that it has by now, to other cores, where the system can."""
        if not cpus or not hasattr(os, "sched_setaffinity"):
            return
        wanted, strays = set(cpus), True
        # Again until none is left: one that starts meanwhile has the cores of the thread that starts it.
        while strays and self.alive:
            strays = False
            for task in _threads(self.pid):
                with contextlib.suppress(ProcessLookupError):
                    if os.sched_getaffinity(task) != wanted:
                        os.sched_setaffinity(task, wanted)
                        strays = True

    def stderr(self) -> str:
        """The end of what came on stderr since the last request."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - 4 * STDERR_LIMIT))
            return file.read().decode("utf-8", "replace")[-STDERR_LIMIT:].strip()
        return ""

    def stop(self) -> None:
        """Kill from another thread: a request that waits ends with WorkerStopped."""
        self._stopped = True
        self.kill()

    def kill(self) -> None:
        """End the process and what it started, at once."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_TIMEOUT)

    def close(self) -> None:
        """Let the process go, kill it if it does not, and clear away its temporary files and an empty log."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # a worker ends when its stdin does
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_TIMEOUT)
        self.kill()
        self._process.stdout.close()
        self._scratch.cleanup()
        with contextlib.suppress(OSError):
            if not self.log.stat().st_size:
                self.log.unlink()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def distinct_cores() -> list[int]:
    """The logical processors that this process may use, one of each physical core first."""
    from bench.machine import affinity

    seen: set[str] = set()
    first: list[int] = []
    second: list[int] = []
    for core in affinity():
        siblings = str(core)
        with contextlib.suppress(OSError):
            path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
            siblings = path.read_text().strip() or siblings
        (second if siblings in seen else first).append(core)
        seen.add(siblings)
    return first + second


def source_environment(root: Path) -> dict[str, str]:
    """The environment of a process that runs our packages from ``root``."""
    return {
        **os.environ,
        # A package `bench` in the user's folder must not stand in for ours (Python 3.11 and later heed this).
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH")))),
    }


def _environment(backend: str, setting: Setting, program: Program, track: Track | None, scratch: str) -> dict[str, str]:
    variables = source_environment(program.root)
    variables["TMPDIR"] = scratch
    # A segmentation fault then leaves a traceback.
    variables["PYTHONFAULTHANDLER"] = "1"
    if program.variables is not None:
        variables |= program.variables
    elif backend != REFERENCE:
        variables |= adapter_class(backend).environment(setting)
    if track == "tuned" and setting.device == "cpu" and adapter_class(backend).keeps_memory:
        variables |= ONE_ARENA
    return variables


def _threads(pid: int) -> list[int]:
    """The threads of a process, by Linux; itself where that is not to be seen."""
    try:
        return [int(entry) for entry in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return [pid]


def _oom_kills() -> int:
    """How many processes the kernel has killed for want of memory, in our group or on this machine; 0 if it hides."""
    for path in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return 0


def _one_line(text: str) -> str:
    """A reason for a table: whitespace folded, at most 500 characters."""
    folded = " ".join(text.split())
    return folded if len(folded) <= 500 else folded[:499] + "…"
