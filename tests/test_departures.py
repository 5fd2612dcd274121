"""What a failed certificate means for who trains so: said in the report, and on the terminal."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import report
from bench import cli_show, parity
from results.departures import meaning, sentence
from results.journal import Journal
from tests import fake_run

SMALL = fake_run.Size(backends=("torch",), architectures=("dense",), corruptions=("gaussian(0.4)",), latents=(64,),
                      losses=("mse",), epochs=2)  # fmt: skip
REASON = "gradient (norm) departs by 4.9e-01 at decoder.3.bias (tolerance 2e-01)"


def failed(quantity: str, tensor: str | None = None, **axes: Any) -> dict[str, Any]:
    cell = {"backend": "torch", "track": "idiomatic", "architecture": "conv", "precision": "float32", "device": "cpu"}
    check = {"quantity": quantity, "deviation": 0.49, "tolerance": 0.2, "tensor": tensor, "ok": False}
    return {"status": "parity_failed", "reason": REASON, "cell": cell | axes, "checks": [check]}


BIAS = failed("gradient (norm)", "decoder.3.bias", backend="keras[tensorflow]", precision="bfloat16")


def test_a_bias_gradient_that_is_lost_is_explained_with_what_to_do() -> None:
    said = meaning(BIAS)
    assert "outside of XLA, TensorFlow adds up the gradient of a bias in bfloat16 on a CPU" in said
    assert "jit_compile=True" in said
    assert "as the tuned track does" in said
    assert sentence(BIAS).startswith(f"keras[tensorflow] idiomatic, conv in bfloat16: {REASON}. For who trains so: ")


@pytest.mark.parametrize(
    "other",
    [
        failed("gradient (norm)", "decoder.3.bias", backend="torch", precision="bfloat16"),
        failed("gradient (norm)", "decoder.3.kernel", backend="keras[tensorflow]", precision="bfloat16"),
        failed("gradient", "decoder.3.bias", backend="keras[tensorflow]", precision="float32"),
        failed("gradient (norm)", "decoder.3.bias", backend="keras[tensorflow]", precision="bfloat16", device="cuda"),
    ],
)
def test_that_cause_is_named_only_where_it_is_known(other: dict[str, Any]) -> None:
    assert "TensorFlow" not in meaning(other)
    assert "follows other gradients" in meaning(other)


def test_every_quantity_that_a_certificate_judges_means_something() -> None:
    """The quantities are asked of the source, so that one that is added is explained too."""
    names = []
    for call in ast.walk(ast.parse(Path(parity.__file__).read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("Check", "_check_all", "_check_norm"):
            first = call.args[0]
            text = first.values[0] if isinstance(first, ast.JoinedStr) else first
            if isinstance(text, ast.Constant):
                names.append(str(text.value))
    assert len(names) >= 12
    assert [name for name in (*names, parity.SYNCHRONISATION) if not meaning(failed(name))] == []


def test_the_report_and_the_terminal_say_the_reason_and_what_it_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fake_run.make_run(tmp_path / "run", SMALL)
    cell = fake_run.cell("keras[tensorflow]", "idiomatic", "conv", 64, "mse", precision="bfloat16")
    record = fake_run.record("certificate", cell, "parity_failed", REASON, checks=BIAS["checks"], metrics={}, hashes={})
    with Journal(folder) as journal:
        journal.append(record)
    published = report.publish([folder])
    assert any("for who trains so: outside of XLA" in said for said in published.findings)
    assert "what it means for who trains so" in published.path.read_text(encoding="utf-8")
    cli_show.report(published.path, published.findings, published.commands, published.departures)
    said = " ".join(capsys.readouterr().out.split())
    assert "not certified, so not ranked: keras[tensorflow] idiomatic, conv in bfloat16" in said
    assert "4.9e-01 at decoder.3.bias" in said
    assert "biases hardly learn" in said
    cli_show.certificates([record])
    assert "for who trains so: outside of XLA" in " ".join(capsys.readouterr().out.split())
