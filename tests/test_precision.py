"""Precisions that are coarser than the numbers they keep: asked for, off unless asked for, proved as far as can be."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from emulated_tf32 import cutting
from wrong_backends import ChannelsFirstCode, OtherEpsilon, ShiftedPadding, SwappedMomentum

from bench import parity
from bench.cells import CertificateCell
from bench.conformance import certificate_cells
from bench.plan import not_offered
from implementations import jax_device, torch_device
from implementations.adapter import PRECISIONS, Adapter, Precision, Setting
from implementations.jax_adapter import Jax
from implementations.keras_tensorflow_adapter import KerasTensorFlow
from implementations.torch_adapter import Torch
from results.coarseness import as_exact

SMALL = {"architecture": "dense", "latent": 4, "height": 12, "width": 12}


def cell(precision: str, kind: type[Adapter] = Torch, **axes: Any) -> CertificateCell:
    whole = {"backend": kind.name, "track": "idiomatic", "precision": precision, "batch_size": 16, **SMALL, **axes}
    return CertificateCell(**whole)


def certify(kind: type[Adapter], precision: Precision, **axes: Any) -> dict[str, Any]:
    adapter = kind()
    adapter.configure(Setting("cpu", precision, 1))
    return parity.certify(adapter, cell(precision, kind, **axes))


@pytest.fixture(autouse=True)
def references(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for all: what they compare with is the same."""
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "references"))


# -- what is turned on and off -------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_torch_has_tf32_where_it_is_asked_for(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    products, convolutions = SimpleNamespace(allow_tf32=None), SimpleNamespace(allow_tf32=True)
    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=products), cudnn=convolutions)
    fake = SimpleNamespace(set_num_threads=lambda count: None, backends=backends)
    monkeypatch.setitem(sys.modules, "torch", fake)  # type: ignore[arg-type]
    torch_device.configure(Setting("cuda", precision))
    assert (products.allow_tf32, convolutions.allow_tf32) == (precision == "tf32",) * 2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tensorflow_has_tf32_where_it_is_asked_for(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bool] = []
    threading = SimpleNamespace(
        set_intra_op_parallelism_threads=lambda count: None, set_inter_op_parallelism_threads=lambda count: None
    )
    experimental = SimpleNamespace(enable_tensor_float_32_execution=said.append)
    fake = SimpleNamespace(config=SimpleNamespace(threading=threading, experimental=experimental))
    monkeypatch.setitem(sys.modules, "tensorflow", fake)  # type: ignore[arg-type]
    KerasTensorFlow().configure_engine(Setting("cuda", precision))
    assert said == [precision == "tf32"]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_jax_has_tf32_where_it_is_asked_for(device: Any, precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=SimpleNamespace(update=said.__setitem__)))  # type: ignore[arg-type]
    jax_device.configure(Setting(device, precision))
    wanted = {"tf32": "tensorfloat32"}.get(precision, "highest") if device == "cuda" else None
    assert said.get("jax_default_matmul_precision") == wanted
    assert said["jax_enable_x64"] == (precision == "float64")


@pytest.mark.parametrize("kind", [Jax, KerasTensorFlow])
def test_the_variable_of_nvidia_forbids_tf32_unless_it_is_asked_for(kind: type[Adapter]) -> None:
    found = {one: kind.environment(Setting("cuda", one)).get("NVIDIA_TF32_OVERRIDE") for one in PRECISIONS}
    assert found == {"float32": "0", "float64": "0", "bfloat16": "0", "tf32": None}


# -- what is offered -----------------------------------------------------------------------------------------------


def test_what_crosses_the_interface_is_never_coarser_than_float32() -> None:
    kinds = {one: (Setting("cpu", one).dtype, Setting("cpu", one).product_dtype) for one in PRECISIONS}
    assert kinds == {
        "float32": ("float32", "float32"),
        "float64": ("float64", "float64"),
        "bfloat16": ("float32", "bfloat16"),
        "tf32": ("float32", "float32"),
    }


def test_tf32_is_refused_off_nvidia_gpus_with_the_reason() -> None:
    assert not_offered(Torch, cell("tf32", device="cuda")) is None
    for device in ("cpu", "mps"):
        assert "tf32 is an arithmetic of NVIDIA GPUs" in str(not_offered(Torch, cell("tf32", device=device)))
    assert "bfloat16" in str(not_offered(Torch, cell("bfloat16", device="mps")))
    assert not_offered(Torch, cell("bfloat16")) is None


def test_a_backend_that_says_nothing_claims_no_mixed_precision() -> None:
    class Plain(Torch):
        precisions = Adapter.precisions

    assert not_offered(Plain, cell("float64")) is None
    assert not_offered(Plain, cell("bfloat16")) == "torch does not compute in bfloat16; it has float32, float64"


def test_conformance_asks_for_one_network_in_mixed_precision_and_for_tf32_on_nvidia_gpus_alone() -> None:
    cells = certificate_cells(Torch, ("dense", "conv"))
    found = {(one.device, one.precision, one.architecture) for one in cells if one.precision in ("bfloat16", "tf32")}
    assert found == {("cpu", "bfloat16", "dense"), ("cuda", "bfloat16", "dense"), ("cuda", "tf32", "dense")}


# -- what is proved ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("track", ["idiomatic", "tuned"])
@pytest.mark.parametrize("architecture", ["dense", "bn"])
def test_torch_is_certified_in_mixed_precision_and_is_coarser(track: str, architecture: str) -> None:
    found = certify(Torch, "bfloat16", track=track, architecture=architecture, latent=None, height=16, width=16)
    assert found["status"] == "ok", found["reason"]
    assert found["metrics"]["coarseness_inference"] > 10
    assert found["metrics"]["coarseness_training"] > 10


@pytest.mark.parametrize("architecture", ["dense", "bn"])
def test_tf32_is_certified_as_it_is_emulated(architecture: str) -> None:
    with cutting():
        found = certify(Torch, "tf32", architecture=architecture, latent=None, height=16, width=16)
    assert found["status"] == "ok", found["reason"]
    assert found["metrics"]["coarseness_inference"] > 10


@pytest.mark.parametrize(
    ("kind", "axes", "first"),
    [
        (SwappedMomentum, {"architecture": "bn"}, "moving statistics after step 1"),
        (ShiftedPadding, {"architecture": "strided"}, "output (inference)"),
        (OtherEpsilon, {}, "weights after step 1 (median)"),
        (ChannelsFirstCode, {"architecture": "conv"}, "code"),
    ],
)
def test_mistakes_are_found_in_mixed_precision_too(kind: type[Adapter], axes: dict[str, Any], first: str) -> None:
    found = certify(kind, "bfloat16", **{"latent": None, "height": 16, "width": 16, **axes})
    assert found["status"] == "parity_failed"
    assert next(check["quantity"] for check in found["checks"] if not check["ok"]) == first


class Forgetful(Torch):
    """Asked for mixed precision, it computes in float32."""

    def _autocast(self, part: Any, x: Any) -> Any:
        return part(x)


def test_a_precision_that_does_nothing_is_seen() -> None:
    cells = {kind: cell("bfloat16", kind).axes() for kind in (Torch, Forgetful)}
    records = [{"cell": cells[kind], **certify(kind, "bfloat16")} for kind in (Forgetful, Torch)]
    assert [record["status"] for record in records] == ["ok", "ok"]
    assert as_exact(records[:1]) == {"bfloat16": ["torch idiomatic dense"]}
    assert as_exact(records[1:]) == {}
