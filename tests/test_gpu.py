"""What can only be seen on a machine with an NVIDIA GPU: every backend that has one computes there what it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import cli, machine
from bench.cells import CertificateCell
from bench.certifying import run_certificates
from implementations.adapter import TRACKS, adapter_class, backends
from results.coarseness import as_exact

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(machine.missing_device("cuda") is not None, reason=str(machine.missing_device("cuda"))),
]
ON_GPU = [name for name in backends() if not adapter_class(name).missing() and "cuda" in adapter_class(name).devices]


@pytest.mark.parametrize("backend", ON_GPU)
def test_every_backend_computes_the_specification_on_the_gpu(backend: str) -> None:
    """With the synchronisation audit, which each first certificate of a track holds."""
    cells = [
        CertificateCell(
            backend=backend, track=track, device="cuda", architecture=architecture, loss="bce", precision=precision
        )
        for track in TRACKS
        for architecture in ("dense", "conv", "bn", "strided")
        for precision in ("float32", "float64")
    ]
    records = run_certificates(cells, use_cache=False)
    unsupported = {record["reason"] for record in records if record["status"] == "unsupported"}
    if len(unsupported) == 1 and all(record["status"] == "unsupported" for record in records):
        pytest.skip(unsupported.pop())
    failures = [
        f"{r['cell']['track']} {r['cell']['architecture']}: {r['reason']}" for r in records if r["status"] != "ok"
    ]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("backend", ON_GPU)
@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_coarser_products_are_certified_on_the_gpu_and_are_coarser(backend: str, precision: str) -> None:
    cells = [
        CertificateCell(backend=backend, track=track, device="cuda", architecture=architecture, precision=precision)
        for track in TRACKS
        for architecture in ("dense", "conv")
    ]
    records = run_certificates(cells, use_cache=False)
    unsupported = {record["reason"] for record in records if record["status"] == "unsupported"}
    if len(unsupported) == 1 and all(record["status"] == "unsupported" for record in records):
        pytest.skip(unsupported.pop())
    assert not [f"{r['cell']['track']} {r['cell']['architecture']}: {r['reason']}" for r in records if r["reason"]]
    assert as_exact(records) == {}


def test_a_run_on_the_gpu_is_timed_and_its_memory_counted(tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = ["run", "gpu", "--out", str(out), "--set", "backend=torch", "--set", "architecture=dense,conv"]
    smaller = ["train=512", "test=64", "epochs=1", "timing.rounds=2", "timing.blocks=2", "timing.settle_blocks=0"]
    for text in smaller:
        asked += ["--set", text]
    assert cli.main(asked) == 0
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    timed = [record for record in records if record["kind"] == "timing"]
    assert len(timed) == 4
    for record in timed:
        assert record["status"] == "ok", record["reason"]
        assert record["metrics"]["peak_device_bytes"] > 0
        assert record["metrics"]["train_samples_per_second"] > 0
    environment = json.loads((out / "run.json").read_text())["environments"].popitem()[1]
    assert environment["gpus"]
    peaks = {(peak["device"], peak["precision"]) for peak in environment["peaks"]}
    assert ("cuda", "float32") in peaks
