"""The gradient of a bias is a sum over all pixels of a batch: in bfloat16 TensorFlow loses most of it on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import machine
from bench.cells import CertificateCell
from bench.certifying import run_certificates

pytestmark = [
    pytest.mark.skipif(machine.missing_device("cuda") is None, reason="`fit` compiles where there is a GPU"),
    pytest.mark.slow,
]
TOLERANCE = 0.2


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(backend, track) -> the certificate of conv on 28x28 pixels in mixed precision: 12,544 terms a sum."""
    pytest.importorskip("tensorflow")
    with pytest.MonkeyPatch.context() as patch:
        file = Path(__file__).parent / "compiled_fit.py"
        patch.setenv("DAEBENCH_BACKENDS", f"compiled-fit={file}:CompiledFit")
        patch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "references"))
        machine.fingerprint.cache_clear()
        cells = [
            CertificateCell(
                backend=backend, track=track, architecture="conv", latent=16, precision="bfloat16", batch_size=16
            )
            for backend, track in (
                ("keras[tensorflow]", "tuned"),
                ("keras[tensorflow]", "idiomatic"),
                ("compiled-fit", "idiomatic"),
            )
        ]  # fmt: skip
        records = run_certificates(cells, jobs=1, use_cache=False)
    machine.fingerprint.cache_clear()
    by_place = {(record["cell"]["backend"], record["cell"]["track"]): record for record in records}
    return lambda backend, track: by_place[backend, track]


def gradients(record: dict[str, Any]) -> dict[str, Any]:
    (check,) = [check for check in record["checks"] if check["quantity"] == "gradient (norm)"]
    assert check["tolerance"] == TOLERANCE
    return dict(check)


def test_the_tuned_track_is_certified(found: Any) -> None:
    record = found("keras[tensorflow]", "tuned")
    assert record["status"] == "ok", record["reason"]
    assert gradients(record)["deviation"] < TOLERANCE / 2
    assert record["metrics"]["coarseness_training"] > 10, "its products are those of bfloat16"


def test_fit_does_not_compile_on_a_cpu_and_is_refused_for_its_biases(found: Any) -> None:
    record = found("keras[tensorflow]", "idiomatic")
    assert record["status"] == "parity_failed"
    check = gradients(record)
    assert check["deviation"] > TOLERANCE
    assert check["tensor"] == "decoder.3.bias"
    assert "decoder.3.bias" in record["reason"]


def test_what_a_track_trains_with_is_what_is_certified(found: Any) -> None:
    """``fit`` that does compile, as on a GPU, adds up the whole sum: its certificate says so."""
    check = gradients(found("compiled-fit", "idiomatic"))
    assert check["deviation"] < TOLERANCE / 2
