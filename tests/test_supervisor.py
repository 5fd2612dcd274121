"""The supervisor is idle while a worker is timed: what it does then, it takes from what is measured."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import fake_backend
import pytest

from bench.cells import TimingCell
from bench.plan import Session
from bench.process import Worker, distinct_cores
from bench.sessions import SessionRun

BLOCK_SECONDS = 0.3
SHARE = 0.01


@pytest.fixture(autouse=True)
def _announced(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_backend.announce_for_sessions(monkeypatch)


def processor_seconds() -> float:
    """Of all threads of this process, in user and system mode; children, the workers, are not counted."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Ledger:
    """Wall and processor seconds of the supervisor, by verb, while it asked workers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, then: float = 0.0) -> None:
        """``then``: seconds of work that each question is followed by, as by a supervisor that is not idle."""
        self.wall: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self.count: dict[str, int] = {}
        ask = Worker.request

        def request(worker: Worker, verb: str, *arguments: Any, **payload: Any) -> dict[str, Any]:
            wall, processor = time.monotonic(), processor_seconds()
            answer = ask(worker, verb, *arguments, **payload)
            while processor_seconds() - processor < then:
                pass
            self.wall[verb] = self.wall.get(verb, 0.0) + time.monotonic() - wall
            self.processor[verb] = self.processor.get(verb, 0.0) + processor_seconds() - processor
            self.count[verb] = self.count.get(verb, 0) + 1
            return answer

        monkeypatch.setattr(Worker, "request", request)

    def share(self, verb: str) -> float:
        return self.processor[verb] / self.wall[verb]


def measure(logs: Path, blocks: int) -> None:
    cells = tuple(
        TimingCell(backend=name, track="tuned", architecture="dense", latent=4, height=6, width=6, batch_size=8)
        for name in ("fake", "other")
    )
    session = Session(cells, 1, blocks, BLOCK_SECONDS, inference=False, latency=False)
    ended = SessionRun(session, logs=logs, cpus=distinct_cores()[:1]).run()
    assert [one.status for one in ended] == ["ok", "ok"]


def test_the_supervisor_is_idle_while_a_block_is_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ledger = Ledger(monkeypatch)
    measure(tmp_path, blocks=4)
    assert ledger.count["block"] == 8
    assert ledger.wall["block"] > 8 * BLOCK_SECONDS / 2, "blocks that long, or the share says nothing"
    assert ledger.share("block") < SHARE, f"{ledger.processor['block']:.4f} s of {ledger.wall['block']:.2f} s"


def test_a_supervisor_that_is_not_idle_would_be_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ledger = Ledger(monkeypatch, then=BLOCK_SECONDS / 10)
    measure(tmp_path, blocks=1)
    assert ledger.share("block") > SHARE
