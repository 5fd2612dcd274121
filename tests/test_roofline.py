"""Peaks of the machine, and speeds as shares of them."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import fake_backend
import pytest

from bench import cli_show
from bench import roofline as machine_peaks
from bench.cells import TimingCell
from bench.plan import make_plan
from bench.runner import Options, run
from bench.sweep import load_sweep
from implementations.adapter import Setting, adapter_class, backends
from results import roofline
from results.loading import load_run

ENTRY = {
    "device": "cpu",
    "precision": "float32",
    "threads": 2,
    "gemm_flops_per_second": 200e9,
    "gemm_library": "torch",
    "copy_bytes_per_second": 20e9,
}
ABOUT: dict[str, Any] = {"environments": {"here": {"peaks": [ENTRY]}, "before": {}}}


def record(**changes: Any) -> dict[str, Any]:
    cell = {"device": "cpu", "precision": "float32", "threads": 2} | changes.pop("cell", {})
    metrics = {
        "train_samples_per_second": 1000.0,
        "train_flops": 50e6,
        "inference_samples_per_second_b32": 4000.0,
        "inference_flops": 20e6,
    }
    return {"environment": "here", "cell": cell, "metrics": metrics} | changes


def test_a_share_is_the_work_of_all_images_over_the_peak() -> None:
    assert roofline.measured(ABOUT)
    assert roofline.peak_flops(ABOUT, record()) == 200e9
    assert roofline.share(ABOUT, record()) == pytest.approx(1000 * 50e6 / 200e9)
    assert roofline.share(ABOUT, record(), "inference_samples_per_second_b32") == pytest.approx(0.4)
    assert roofline.share(ABOUT, record(), "inference") is None, "that rate was not measured"
    found = roofline.peak(ABOUT, record())
    assert found is not None
    assert found.balance == pytest.approx(10)


@pytest.mark.parametrize(
    "other",
    [
        {"cell": {"threads": 1}},
        {"cell": {"precision": "float64"}},
        {"cell": {"device": "cuda"}},
        {"environment": "before"},
        {"environment": "unknown"},
    ],
)
def test_only_the_peak_of_the_same_device_precision_and_threads_counts(other: dict[str, Any]) -> None:
    assert roofline.peak_flops(ABOUT, record(**other)) is None
    assert roofline.share(ABOUT, record(**other)) is None


def test_a_gpu_has_one_peak_whatever_the_threads() -> None:
    about = {"environments": {"here": {"peaks": [ENTRY | {"device": "cuda", "threads": 1}]}}}
    assert roofline.peak_flops(about, record(cell={"device": "cuda"})) == 200e9


def test_runs_from_before_there_were_peaks() -> None:
    assert not roofline.measured({"environments": {"here": {"python": "3.12"}}})
    assert roofline.share({}, record()) is None
    old = record(metrics={"train_samples_per_second": 10.0, "train_gflops": 2.0})
    assert roofline.flops_per_image(old) == pytest.approx(2e8)
    assert roofline.share(ABOUT, old) == pytest.approx(0.01)
    assert roofline.flops_per_image(old, "inference") is None


@pytest.mark.parametrize("metric", ["latency_seconds", "psnr", "train_seconds"])
def test_what_is_no_rate_has_no_share(metric: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        roofline.share(ABOUT, record(), metric)


# -- measuring -----------------------------------------------------------------------------------------------------


def test_a_rate_is_the_median_of_runs_that_are_long_enough() -> None:
    calls: list[int] = []

    def work(count: int) -> None:
        calls.append(count)
        time.sleep(0.002 * count)

    found = machine_peaks.rate(work)
    assert 50 < found <= 500, "at most 500 naps of 2 ms fit into a second"
    assert calls[:2] == [1, 1]
    assert len(calls) == 2 + machine_peaks.REPEATS
    assert 5 <= calls[-1] <= 20, "40 ms of them, fewer if they overslept"


def test_sizes_grow_with_what_computes() -> None:
    sizes = [machine_peaks.matrix_size(Setting(threads=threads)) for threads in (1, 2, 4, 8, 64)]
    assert sizes[:3] == [1536] * 3
    assert sizes == sorted(sizes)
    assert all(size % 256 == 0 for size in sizes)
    assert machine_peaks.matrix_size(Setting("cuda")) == 8192
    assert 0 < machine_peaks.copy_bytes(Setting()) <= 1 << 30


def test_the_cache_is_read_as_the_system_writes_it(tmp_path: Path) -> None:
    assert machine_peaks.last_cache_bytes(tmp_path) == 0
    for index, text in enumerate(["48K", "2M", "nonsense", "36864K"]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(text + "\n")
    assert machine_peaks.last_cache_bytes(tmp_path) == 36 << 20


def test_each_library_is_measured_once() -> None:
    assert machine_peaks.libraries(["keras[torch]", "torch"], Setting()) == {
        "numpy": machine_peaks.REFERENCE,
        "torch": "keras[torch]",
    }
    assert machine_peaks.libraries(["torch"], Setting("cuda")) == {"torch": "torch"}
    assert machine_peaks.libraries(["keras[tensorflow]"], Setting("mps")) == {}


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_torch_multiplies_and_counts_right(precision: Any) -> None:
    """Bounds that no machine leaves: a 256 x 256 product takes more than a microsecond, and less than a second."""
    adapter = adapter_class("torch")()
    adapter.configure(Setting("cpu", precision))
    products = adapter.matrix_products(256)
    assert products is not None
    assert 2 * 256**3 < 2 * 256**3 * machine_peaks.rate(products) < 2 * 256**3 * 1e6
    assert adapter.array_copies(1 << 20) is None


def test_later_peaks_replace_those_of_the_same_setting() -> None:
    one, other = ENTRY, ENTRY | {"threads": 1}
    assert machine_peaks.merged([one], [other]) == [one, other]
    again = ENTRY | {"gemm_flops_per_second": 1e9}
    assert machine_peaks.merged([one, other], [again]) == [again, other]


@pytest.mark.slow
def test_every_installed_library_has_a_peak(tmp_path: Path) -> None:
    installed = [name for name in backends() if not adapter_class(name).missing()]
    found, troubles = machine_peaks.measure_peaks([Setting()], installed, logs=tmp_path)
    assert not troubles
    (entry,) = found
    assert set(entry["libraries"]) == {"numpy", *(adapter_class(name).library for name in installed)} - {None}
    assert entry["gemm_flops_per_second"] == max(entry["libraries"].values())
    assert all(math.isfinite(flops) and flops > 1e8 for flops in entry["libraries"].values())
    assert entry["copy_bytes_per_second"] > 1e8


# -- in a run ------------------------------------------------------------------------------------------------------

SWEEP = """
[axes]
backend = "fake"
architecture = "dense"
latent = 4
train = 64
test = 8
epochs = 1

[timing]
rounds = 1
blocks = 2
block_seconds = 0.02
tracks = ["tuned"]
"""


def test_a_run_that_times_something_keeps_the_peaks_and_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "cache"))
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    plan = make_plan(load_sweep(tmp_path / "sweep.toml"))
    run(plan, tmp_path / "run", Options(progress=False))
    found = load_run(tmp_path / "run")
    (timed,) = found.of("timing", "ok")
    network = TimingCell.from_axes(timed["cell"]).make_architecture()
    assert timed["metrics"]["inference_flops"] == network.forward_flops()
    assert timed["metrics"]["train_flops"] == network.forward_flops() + network.backward_flops()
    (entry,) = found.about["environments"][timed["environment"]]["peaks"]
    assert (entry["device"], entry["precision"], entry["threads"]) == ("cpu", "float32", 1)
    assert entry["gemm_library"] == "numpy", "the fake has no library of its own"
    share = roofline.share(found.about, timed)
    assert share is not None
    assert 0 < share < 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["environments"] == found.about["environments"]

    before = entry["measured"]
    run(plan, tmp_path / "run", Options(progress=False))
    again = load_run(tmp_path / "run").about["environments"][timed["environment"]]["peaks"]
    assert [entry["measured"] for entry in again] == [before], "nothing was timed, nothing is lost"


def test_peaks_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    entry = ENTRY | {"libraries": {"numpy": 150e9, "torch": 200e9}, "measured": "2026-03-05T10:00:01Z"}
    nothing = {**entry, "gemm_flops_per_second": None, "libraries": {}, "copy_bytes_per_second": None}
    cli_show._console().print(cli_show._peaks([entry, nothing]))
    assert "torch 200, numpy 150" in capsys.readouterr().out
