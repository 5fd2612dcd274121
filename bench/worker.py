"""The worker process: one backend and setting, asked over pipes by :mod:`bench.process`.

``python -m bench.worker --backend torch --device cpu --precision float32 --threads 1 --cpus 0``

Requests come as JSON lines on stdin (``{"verb": ..., ...}``), answers go out as JSON lines (``{"result": ...}`` or
``{"error": ...}``) on what was stdout, before them where something takes long lines that tell how far it is
(``{"notice": ...}``); descriptor 1 itself is turned to stderr first, so that nothing which a
framework prints can break the protocol.  The process ends when its stdin does, whatever it is doing: a supervisor
that was killed leaves no orphans.

Nothing heavy may be imported at the top: thread pools are sized by the cores that a library sees when it is loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

if TYPE_CHECKING:
    from bench.audit import Audit
    from bench.networks import Networks
    from bench.timing import TimingBench
    from bench.trial import TrialBench
    from bench.yardsticks import YardstickBench
    from implementations.adapter import Adapter, Setting, Track

Payload = dict[str, Any]

OOM_SCORE = "800"
"""When memory runs out the kernel shall take a worker, never the supervisor (0) that would record it."""


class Server:
    """The verbs.  Each takes the request and returns what goes into the answer's ``result``."""

    def __init__(self, backend: str, setting: Setting) -> None:
        self.backend = backend
        self.setting = setting
        self._adapter: Adapter | None = None
        self._networks: Networks | None = None
        self._trials: TrialBench | None = None
        self._yardsticks: YardstickBench | None = None
        self._timing: TimingBench | None = None
        self._rss_after_import = 0
        self._audits: dict[Track, Audit] = {}
        self._prepared: Payload | None = None
        self.tell: Callable[[Payload], None] = lambda notice: None
        """Says how far something is, before it is answered."""

    @property
    def adapter(self) -> Adapter:
        if self._adapter is None:
            raise RuntimeError("this worker has not been configured: ask for configure first")
        return self._adapter

    @property
    def networks(self) -> Networks:
        if self._networks is None:
            from bench.networks import Networks

            self._networks = Networks(self.adapter)
        return self._networks

    @property
    def timing(self) -> TimingBench:
        if self._timing is None:
            from bench.timing import TimingBench

            self._timing = TimingBench(self.adapter, self.setting.precision, self._rss_after_import)
        return self._timing

    def configure(self, request: Payload) -> Payload:
        """Import the framework: the one thing that is timed here.  ``lean``: it is no figure, and what the adapter
        spares is not imported with it."""
        from bench.memory import resident_bytes
        from implementations.adapter import adapter_class, source_digest

        kind = adapter_class(self.backend)
        missing = kind.missing()
        if missing is not None:
            return {"unavailable": missing}
        adapter = kind()
        before = resident_bytes()
        start = time.perf_counter()
        with without(kind.spared if request.get("lean") else ()):
            adapter.configure(self.setting)
        seconds = time.perf_counter() - start
        self._rss_after_import = resident_bytes()
        self._adapter = adapter
        unavailable = adapter.availability(self.setting.device)
        return {
            "unavailable": unavailable,
            "import_seconds": seconds,
            "versions": {} if unavailable else adapter.versions(),
            "rss_before": before,
            "rss_after": self._rss_after_import,
            "adapter": source_digest(kind),
        }

    def reference(self, request: Payload) -> Payload:
        from bench.cells import CertificateCell
        from bench.parity import compute_reference
        from implementations.heap import keep_freed_memory

        keep_freed_memory()
        return {"path": str(compute_reference(CertificateCell.from_axes(request["cell"])))}

    def certify(self, request: Payload) -> Payload:
        from bench.cells import CertificateCell
        from bench.parity import certify

        cell = CertificateCell.from_axes(request["cell"])
        with self.networks.building(cell) as network:
            return certify(network.adapter, cell, self._audits)

    def conduct(self, request: Payload) -> Payload:
        """Rule -> what the adapter does against it, or None: :mod:`bench.conduct`."""
        from bench.cells import CertificateCell
        from bench.conduct import examine

        self._prepared = None  # other networks are built meanwhile
        return {"found": examine(self.networks.clear(), CertificateCell.from_axes(request["cell"]))}

    def audit(self, request: Payload) -> Payload:
        """The synchronisation audit of a timing cell: ``ok``, ``reason``, ``figures``.  Of the workload that was
        prepared last, if that is this cell: then nothing is built or compiled twice, and the cold costs, which
        ``prepare`` measures, stay cold.  Its weights and optimizer are others afterwards."""
        from bench.audit import audit, build
        from bench.cells import TimingCell

        cell = TimingCell.from_axes(request["cell"])
        if self._prepared == cell.axes():
            images = self.timing.images
        else:
            self._prepared = None
            images = build(self.networks.clear(), cell)
        found = audit(self.adapter, images, cell.batch_size, brief=True, device=cell.device)
        return {"ok": found.ok, "reason": found.reason, "figures": found.figures}

    def peaks(self, request: Payload) -> Payload:
        """What this library reaches on this machine, see :func:`bench.roofline.measure`."""
        from bench.roofline import measure

        return measure(self._adapter, self.setting)

    def trial(self, request: Payload) -> Payload:
        from bench.cells import TrialCell
        from bench.trial import TrialBench

        if self._trials is None:
            self._trials = TrialBench(self.networks)
        return self._trials.run(TrialCell.from_axes(request["cell"]), Path(request["folder"]), self.tell)

    def yardstick(self, request: Payload) -> Payload:
        """Needs no backend."""
        from bench.yardsticks import YardstickBench, YardstickCell

        if self._yardsticks is None:
            self._yardsticks = YardstickBench()
        return self._yardsticks.run(YardstickCell.from_axes(request["cell"]), Path(request["folder"]))

    def prepare(self, request: Payload) -> Payload:
        from bench.cells import TimingCell

        cell = TimingCell.from_axes(request["cell"])
        self._prepared = None
        self.networks.clear()
        figures = self.timing.prepare(cell, request["samples"], request["measure_memory"])
        self._prepared = cell.axes()
        return figures

    def settle(self, request: Payload) -> Payload:
        return self.timing.settle(request["kind"], request["blocks"], request["seconds"], request.get("batches"))

    def calibrate(self, request: Payload) -> Payload:
        return self.timing.calibrate(request["kind"], request["seconds"], request.get("repeats"))

    def block(self, request: Payload) -> Payload:
        return self.timing.block(request["kind"], request["repeats"])

    def resize(self, request: Payload) -> Payload:
        self._prepared = None  # its network is made anew
        return self.timing.resize(request["batch_size"], request["seconds"], request.get("repeats"))

    def energy(self, request: Payload) -> Payload:
        return self.timing.energy(request["kind"], request["repeats"])

    def memory(self, request: Payload) -> Payload:
        return self.timing.memory()

    def verbs(self) -> dict[str, Callable[[Payload], Payload]]:
        """By name, as requests call them."""
        names = ("configure", "reference", "certify", "trial", "prepare", "settle", "calibrate", "block")
        return {
            name: getattr(self, name)
            for name in (*names, "resize", "energy", "memory", "audit", "peaks", "yardstick", "conduct")
        }


@contextlib.contextmanager
def without(modules: Sequence[str]) -> Iterator[None]:
    """Within it, those of ``modules`` that are not imported yet look as if they were not installed."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def serve(server: Server, requests: queue.SimpleQueue[bytes], replies: TextIO) -> None:
    """Answer requests, one after another, for ever."""
    verbs = server.verbs()

    def send(line: str) -> None:
        replies.write(line + "\n")
        replies.flush()

    server.tell = lambda notice: send(json.dumps({"notice": notice}, allow_nan=False, default=_plain))
    while True:
        request = json.loads(requests.get())
        try:
            verb = request.pop("verb")
            if verb not in verbs:
                raise ValueError(f"verb {verb!r} is unknown; known are {', '.join(verbs)}")
            answer = json.dumps({"result": verbs[verb](request)}, allow_nan=False, default=_plain)
        except Exception as error:
            # The traceback reaches the record as the end of stderr, behind what the framework itself had to say.
            traceback.print_exc()
            answer = json.dumps({"error": {"type": type(error).__name__, "message": str(error)}})
        sys.stdout.flush()
        sys.stderr.flush()
        send(answer)


def _plain(value: Any) -> Any:
    """NumPy scalars as numbers."""
    return value.item()


def _listen(stream: BinaryIO, requests: queue.SimpleQueue[bytes]) -> None:
    for line in stream:
        requests.put(line)
    # End of input: closed, or the supervisor is dead.  Exit handlers of frameworks may hang; nothing here needs them.
    os._exit(0)


def open_protocol() -> tuple[queue.SimpleQueue[bytes], TextIO]:
    """Take stdin and stdout away from everybody else in this process, children included."""
    stdin = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(stdin, requests), daemon=True, name="requests").start()
    return requests, replies


def pin(cpus: list[int]) -> None:
    """Bind this process to cores, where the system can."""
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def run_undivided() -> None:
    """Where this process has one core: let no thread of it interrupt another one just because it wakes up
    (``SCHED_BATCH`` of Linux).

    On a single core, TensorFlow's ``fit`` and ``predict`` otherwise take up to twice their time: when a call ends, the
    thread that tunes the input pipeline is told to stop and interrupts the teller, finds itself not yet marked as
    stopped, and goes back to a sleep that grows with the length of the call.  Measured for calls of 96, 128 and 256
    batches of 32 (dense): 351, 352, 685 ms; with this 175, 234, 389 ms, and on two cores 199, 286, 434 ms.

    With cores enough there is nothing to mend, and threads that look for work (OpenMP's do, before they sleep) would
    keep those from it that have some: torch's dense on two cores then trained at 20,000 or at 36,000 images/s.
    """
    if hasattr(os, "SCHED_BATCH") and len(os.sched_getaffinity(0)) == 1:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.worker")
    parser.add_argument("--backend", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--cpus", default="", help="comma-separated cores; none: not pinned")
    options = parser.parse_args(arguments)
    pin([int(core) for core in options.cpus.split(",") if core])
    run_undivided()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    requests, replies = open_protocol()
    from implementations.adapter import Device, Precision, Setting

    setting = Setting(cast(Device, options.device), cast(Precision, options.precision), options.threads)
    serve(Server(options.backend, setting), requests, replies)


if __name__ == "__main__":
    main()
