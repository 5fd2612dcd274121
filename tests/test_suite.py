"""The pytest-benchmark suite, run as a person runs it: what is measured, what is skipped, what the file holds."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_backend
import pytest

from bench.suite.conftest import scalars
from bench.suite.test_by_hand import PROCESSOR, WALL, ratio

ROOT = Path(__file__).parent.parent
SMALL = (
    "--daebench-architecture=dense",
    "--daebench-latent=4",
    "--daebench-batch-size=16",
    "--daebench-block-seconds=0.002",
)


class Outcome:
    """What a run of the suite came to."""

    def __init__(self, code: int, output: str, benchmarks: list[dict[str, Any]]) -> None:
        self.code, self.output, self.benchmarks = code, output, benchmarks

    def named(self, start: str) -> list[dict[str, Any]]:
        return [one for one in self.benchmarks if one["name"].startswith(start)]


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def suite(folder: Path, *arguments: str) -> Outcome:
    """``pytest`` on a file of the suite with the fake backends, in a process of its own."""
    file = folder / "benchmarks.json"
    # A test process among several says so in its environment, and pytest-benchmark then measures nothing.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**inherited, **fake_backend.environment(), "DAEBENCH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-only"]
    done = subprocess.run(
        [*command, f"--benchmark-json={file}", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(file.read_text(), parse_constant=refuse)["benchmarks"] if file.exists() else []
    return Outcome(done.returncode, done.stdout + done.stderr, found)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("suite")
    return suite(folder, *SMALL, "--daebench-backend=fake,absent,unavailable", "bench/suite/test_speed.py")


def test_every_backend_track_and_phase_is_measured_or_skipped_with_its_reason(measured: Outcome) -> None:
    assert measured.code == 0, measured.output
    # The order in which pytest puts parameters into a name is not ours.
    names = {frozenset(one["name"].partition("[")[2].rstrip("]").split("-")) for one in measured.named("test_speed")}
    phases, tracks = ("train", "inference", "latency"), ("idiomatic", "tuned")
    assert names == {frozenset({"fake", track, "dense", phase}) for track in tracks for phase in phases}
    assert "no cpu on Sundays" in measured.output
    assert "no-such-framework" in measured.output
    assert len(measured.named("test_harness_overhead")) == len(measured.named("test_worker_round_trip")) == 2


def test_facts_are_scalars(measured: Outcome) -> None:
    """The file was read as strict JSON; here: no objects, no lists, no null in what stands beside a figure."""
    assert measured.benchmarks
    for one in measured.benchmarks:
        for name, value in one["extra_info"].items():
            assert isinstance(value, str | int | float), (one["name"], name, value)
            assert not isinstance(value, float) or math.isfinite(value)
    train = next(one for one in measured.named("test_speed") if one["extra_info"]["phase"] == "train")
    info = train["extra_info"]
    assert info["backend"] == "fake"
    assert info["versions numpy"]
    assert info["certificate"] == "not checked"
    assert info["samples_per_second"] == pytest.approx(info["samples"] / train["stats"]["median"])


def test_times_are_the_workers_own(measured: Outcome) -> None:
    """An image takes about as long by itself (latency) as its share of a pass, or longer: never a thousandth."""
    by_phase = {one["extra_info"]["phase"]: one for one in measured.named("test_speed")}
    image = by_phase["inference"]["stats"]["median"] / by_phase["inference"]["extra_info"]["samples"]
    assert by_phase["latency"]["stats"]["median"] > 0.3 * image
    assert by_phase["train"]["extra_info"]["clock"] == "worker"


def test_the_harness_is_measured_too(tmp_path: Path) -> None:
    """All but the report, which takes seconds and has the slow test below, and the certificates, which take minutes."""
    outcome = suite(tmp_path, "bench/suite/test_harness.py", "-k", "not report and not certificates_of_quick")
    assert outcome.code == 0, outcome.output
    names = {one["name"].partition("[")[0] for one in outcome.benchmarks}
    assert names == {"test_corruption", "test_metrics", "test_journal_append", "test_certificate_lookup"}
    assert all(one["stats"]["median"] > 0 for one in outcome.benchmarks)
    (journal,) = outcome.named("test_journal_append")
    assert journal["extra_info"]["record_bytes"] > 1000


@pytest.mark.slow
def test_building_the_report_is_measured_too(tmp_path: Path) -> None:
    outcome = suite(tmp_path, "bench/suite/test_harness.py", "-k", "report")
    assert outcome.code == 0, outcome.output
    (report,) = outcome.benchmarks
    assert report["extra_info"]["page_bytes"] > 100_000


@pytest.mark.slow
def test_what_subnormal_numbers_cost_torch_is_measured_where_there_are_some(tmp_path: Path) -> None:
    outcome = suite(tmp_path, "bench/suite/test_findings.py", "-k", "subnormal")
    assert outcome.code == 0, outcome.output
    assert len(outcome.benchmarks) == 2
    assert all(one["extra_info"]["subnormal_share"] > 0.05 for one in outcome.benchmarks)


@pytest.mark.slow
def test_the_idiomatic_track_is_measured_against_the_loop_by_hand(tmp_path: Path) -> None:
    """That it costs nothing is the benchmark's to say, on a quiet machine; a quarter would be seen on any."""
    outcome = suite(tmp_path, "bench/suite/test_by_hand.py", "-k", "torch")
    assert outcome.code == 0, outcome.output
    (one,) = outcome.benchmarks
    info = one["extra_info"]
    assert info["ratio_low"] <= info["ratio"] <= info["ratio_high"]
    assert info["processor_ratio"] < 1.25


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--daebench-backend=pytorch", "--daebench-backend: 'pytorch' is unknown; known are"),
        ("--daebench-phase=training", "--daebench-phase: 'training' is unknown; known are train, inference, latency"),
    ],
)
def test_unknown_names_are_refused(tmp_path: Path, option: str, message: str) -> None:
    outcome = suite(tmp_path, option, "bench/suite/test_speed.py")
    assert outcome.code != 0
    assert outcome.benchmarks == []
    assert message in outcome.output


def test_scalars_spread_mappings_out_and_leave_out_what_says_nothing() -> None:
    facts = {"versions": {"torch": "2.13", "numpy": None}, "rate": 1.5, "ratio": math.nan, "latent": None, "clip": True}
    assert scalars(facts) == {"versions torch": "2.13", "rate": 1.5, "clip": True}
    with pytest.raises(TypeError, match=r"samples = \[1, 2\] is no scalar"):
        scalars({"samples": [1, 2]})


def test_the_ratio_to_the_loop_by_hand_is_that_of_the_pairs() -> None:
    """Each process is as fast as it likes; within each, the harness takes 1 % longer by the clock on the wall."""
    speeds = (1.0, 1.3, 0.8)
    runs = [
        {"by_hand": [[s * n, 5.0] for n in (1, 2, 3)], "harness": [[1.01 * s * n, 5.0] for n in (1, 2, 3)]}
        for s in speeds
    ]
    assert ratio(runs, WALL).value == pytest.approx(1.01)
    assert ratio(runs, PROCESSOR).value == 1
