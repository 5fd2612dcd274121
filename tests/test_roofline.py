"""Peaks of the machine, and speeds as shares of them."""

from __future__ import annotations

from typing import Any

import pytest

from results import roofline

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
