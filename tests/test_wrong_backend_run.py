"""A backend that computes something else is run by nobody and ranked nowhere, from the sweep to the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.plan import make_plan
from bench.runner import Options, run
from bench.sweep import load_sweep
from report import findings, write_report
from results.loading import load_run

SWEEP = """
[axes]
backend = ["torch", "wrong[momentum]"]
architecture = "bn"
latent = "default"
batch_size = 16
train = 64
test = 32
epochs = 1

[timing]
rounds = 1
blocks = 2
block_seconds = 0.02
tracks = ["tuned"]
"""


def test_a_swapped_momentum_is_never_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DAEBENCH_BACKENDS", "wrong[momentum]=wrong_backends:SwappedMomentum")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    (tmp_path / "sweep.toml").write_text(SWEEP)
    folder = tmp_path / "run"
    outcome = run(make_plan(load_sweep(tmp_path / "sweep.toml")), folder, Options(progress=False))
    assert outcome.counts == {"ok": 3 + 4, "parity_failed": 3}, "what costs nothing needs no backend"

    recorded = load_run(folder)
    wrong = [record for record in recorded.records if record["cell"].get("backend") == "wrong[momentum]"]
    assert {record["kind"] for record in wrong} == {"certificate", "trial", "timing"}
    assert all(record["status"] == "parity_failed" for record in wrong)
    assert all("encoder.1.mean" in record["reason"] for record in wrong), "the first tensor that departs is named"
    assert not any("psnr" in record.get("metrics", {}) for record in wrong), "it was not even trained"

    page = write_report([folder], None).read_text(encoding="utf-8")
    assert "encoder.1.mean" in page
    speed = [sentence for sentence in findings(recorded) if "fastest" in sentence]
    assert not any("wrong[momentum]" in sentence for sentence in speed)
    assert any("1 of 2 certificates" in sentence for sentence in findings(recorded))
