"""Options and fixtures: one worker process for each contestant, prepared as a timing session prepares it.

pytest-benchmark times a function in its own process.  Frameworks can not share a process (Keras fixes its engine at
import, and pools of one library slow down another), so each contestant runs in a worker, and the clock that
pytest-benchmark reads is :class:`WorkerClock`: it stands still but for what the worker itself has measured, with
``synchronize()`` inside and the pipe outside.  The cost of the pipe and the rest of the harness is a benchmark of its
own.  The rounds of one worker are blocks of one process: for intervals over processes there is ``daebench run``.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from bench.cells import TimingCell
from bench.plan import not_offered
from bench.process import ROOT, Worker, WorkerFailure, distinct_cores, source_environment
from bench.timing import BlockKind, staged_samples
from implementations import adapter, catalog

REQUEST_TIMEOUT = 900.0
ROUNDS = 5
PHASES: tuple[BlockKind, ...] = get_args(BlockKind)
"""What is measured of a contestant: train (an epoch), inference (a pass), latency (one image)."""


class WorkerClock:
    """A timer for pytest-benchmark that moves only when it is told to, by seconds that somebody else has measured."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def __call__(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._seconds += seconds


CLOCK = WorkerClock()


@dataclass
class Contestant:
    """A prepared worker.  ``facts``: what it said about itself and about build, staging and first step."""

    cell: TimingCell
    worker: Worker
    samples: int
    block_seconds: float
    facts: dict[str, Any]

    def calibrate(self, kind: BlockKind) -> int:
        """How many epochs, passes or images make a block."""
        found = self.worker.request("calibrate", REQUEST_TIMEOUT, kind=kind, seconds=self.block_seconds)
        return int(found["repeats"])

    def block(self, kind: BlockKind, repeats: int) -> float:
        """Run a block; seconds, by the worker's own clock, of one epoch (pass, image)."""
        result = self.worker.request("block", REQUEST_TIMEOUT, kind=kind, repeats=repeats)
        seconds = sum(result["latency"]) if kind == "latency" else result["seconds"]
        CLOCK.advance(seconds / repeats)
        return float(seconds) / repeats

    def overhead(self, kind: BlockKind, repeats: int) -> None:
        """Run a block and count what is *not* inside its timed region: orders, garbage collection, JSON, pipe."""
        start = time.perf_counter()
        result = self.worker.request("block", REQUEST_TIMEOUT, kind=kind, repeats=repeats)
        CLOCK.advance(time.perf_counter() - start - result["seconds"])

    def memory(self) -> dict[str, Any]:
        """The cheapest question there is."""
        return self.worker.request("memory", REQUEST_TIMEOUT)


def fresh_process(module: str, *arguments: str, **variables: str) -> Any:
    """What a process of its own, ``python -m MODULE``, has measured: JSON on the last line of its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=source_environment(ROOT) | variables,
        capture_output=True,
        text=True,
        timeout=REQUEST_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def scalars(facts: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """``facts`` for ``extra_info``, whose readers put every entry into a column: strict JSON, no objects.

    Inner mappings are spread out ("versions torch"); None and what is not finite are left out, since neither says
    anything.  TypeError for what is no scalar: a mistake here, to be seen here.
    """
    found: dict[str, str | int | float | bool] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found |= {f"{name} {inner}": item for inner, item in scalars(value).items()}
        elif isinstance(value, float) and not math.isfinite(value):
            continue
        elif isinstance(value, str | int | float):
            found[name] = value
        elif value is not None:
            raise TypeError(f"{name} = {value!r} is no scalar: extra_info can not hold it")
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("daebench")
    for name, default, text in (
        ("architecture", "dense", "architectures, comma-separated, or all"),
        ("backend", "all", "backends, comma-separated, or all that are announced"),
        ("track", "all", "tracks, comma-separated, or all"),
        ("phase", "all", f"{', '.join(PHASES)}: comma-separated, or all"),
        ("latent", "", "size of the code (default: the architecture's own)"),
        ("batch-size", "128", "batch size"),
        ("device", "cpu", "cpu, cuda or mps"),
        ("threads", "1", "threads of each framework"),
        ("block-seconds", "0.2", "length of a measured block"),
    ):
        group.addoption(f"--daebench-{name}", default=default, help=text)
    group.addoption(
        "--daebench-backend-file",
        action="append",
        default=[],
        metavar="FILE",
        help="a Python file with a backend of your own, docs/add-a-backend.md (repeatable)",
    )


def pytest_configure(config: pytest.Config) -> None:
    from implementations.backend_files import BackendFileError, announce

    try:
        announce(Path(name) for name in config.getoption("--daebench-backend-file"))
    except BackendFileError as error:
        raise pytest.UsageError(f"--daebench-backend-file {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    def option(name: str) -> str:
        return str(metafunc.config.getoption(f"--daebench-{name}"))

    def several(name: str, every: list[str]) -> list[str]:
        chosen = every if option(name) == "all" else [word.strip() for word in option(name).split(",")]
        unknown = [word for word in chosen if word not in every]
        if unknown:
            raise pytest.UsageError(f"--daebench-{name}: {unknown[0]!r} is unknown; known are {', '.join(every)}, all")
        return chosen

    if "phase" in metafunc.fixturenames:
        metafunc.parametrize("phase", several("phase", list(PHASES)))
    if "contestant" not in metafunc.fixturenames:
        return
    cells = [
        TimingCell(
            backend=backend,
            track=track,  # type: ignore[arg-type]
            device=option("device"),  # type: ignore[arg-type]
            threads=int(option("threads")),
            architecture=architecture,
            latent=int(option("latent")) if option("latent") else None,
            batch_size=int(option("batch-size")),
        )
        for architecture in several("architecture", list(catalog.CATALOG))
        for backend in several("backend", list(adapter.backends()))
        for track in several("track", list(adapter.TRACKS))
    ]
    names = [f"{cell.backend}-{cell.track}-{cell.architecture}" for cell in cells]
    metafunc.parametrize("contestant", cells, ids=names, indirect=True, scope="session")


def missing(cell: TimingCell) -> str | None:
    """Why this contestant can not run, as far as can be told without starting it; or None."""
    from bench import machine

    kind = adapter.adapter_class(cell.backend)
    return kind.missing() or machine.missing_device(cell.device) or not_offered(kind, cell)


@pytest.fixture(scope="session")
def contestant(request: pytest.FixtureRequest) -> Iterator[Contestant]:
    """One contestant at a time: pytest groups the tests by it, and the next one starts when this one is gone."""
    cell: TimingCell = request.param
    if reason := missing(cell):
        pytest.skip(reason)
    seconds = float(request.config.getoption("--daebench-block-seconds"))
    samples = staged_samples(cell.make_architecture(), cell.batch_size, cell.device, cell.threads, seconds)
    with (
        tempfile.TemporaryDirectory(prefix="daebench-") as logs,
        Worker(cell.backend, cell.setting, distinct_cores()[: cell.threads], Path(logs), track=cell.track) as worker,
    ):
        try:
            facts = worker.configure()
            facts |= worker.request("prepare", REQUEST_TIMEOUT, cell=cell.axes(), samples=samples, measure_memory=True)
        except WorkerFailure as failure:
            if failure.status == "unsupported":
                pytest.skip(failure.reason)
            pytest.fail(f"{failure.status}: {failure.reason}\n{failure.stderr}", pytrace=False)
        yield Contestant(cell, worker, samples, seconds, facts)
