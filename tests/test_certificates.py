"""Every backend computes the specification; every mistake that is known is found; nothing is proved twice."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from wrong_backends import WRONG

from bench import certificates, machine, parity
from bench.cells import CertificateCell
from bench.certifying import run_certificates
from implementations import catalog
from implementations.adapter import TRACKS, Setting, adapter_class, backends
from implementations.torch_adapter import Torch
from implementations.training import LOSSES, OPTIMIZERS, Training

INSTALLED = [name for name in backends() if not adapter_class(name).missing()]
OPTIMIZER = dict(zip(catalog.CATALOG, itertools.cycle(OPTIMIZERS)))
"""Each network with one optimizer, so that every optimizer meets a dense, a convolutional or a normalised one."""


LARGER = (
    {"architecture": "conv", "latent": 8, "height": 32, "width": 32, "channels": 3},
    {"architecture": "strided", "height": 64, "width": 64},
)
"""Colour, and images larger than those of the published systems: what folders and photographs are made of."""
RESIDUAL = "conv-residual(3,6)"
SLOW = ("keras[jax]", "keras[torch]")
"""The engines of these two are asked by themselves: their larger images, a minute each, are left to `make slow`."""


def grid(backend: str) -> list[CertificateCell]:
    """All that is proved of one backend, in few processes: most of the time goes to importing and compiling."""
    cells = catalog_grid(backend) + residual_grid(backend)
    if backend not in SLOW:
        cells += larger_grid(backend)
    if backend == "keras[torch]":
        cells += single_grid()
    return cells


def larger_grid(backend: str) -> list[CertificateCell]:
    return [CertificateCell(backend=backend, track="tuned", batch_size=16, **axes) for axes in LARGER]  # type: ignore[arg-type]


def residual_grid(backend: str) -> list[CertificateCell]:
    """Both tracks, gray and colour, sizes that are not square; float64 on both tracks, float32 on the tuned one."""
    common = {"backend": backend, "architecture": RESIDUAL, "batch_size": 16}
    odd = {"height": 13, "width": 18, "channels": 3, "precision": "float64", "optimizer": "sgd"}
    return [
        *(CertificateCell(**common, **odd, track=track) for track in TRACKS),
        CertificateCell(**common, height=16, width=16, track="tuned"),
    ]


def single_grid() -> list[CertificateCell]:
    """Batches of one image."""
    common = {"architecture": "conv", "height": 12, "width": 12, "latent": 3, "batch_size": 1, "precision": "float32"}
    return [CertificateCell(backend="keras[torch]", track=track, **common) for track in TRACKS]  # type: ignore[arg-type]


def catalog_grid(backend: str) -> list[CertificateCell]:
    """All networks in float64, one track with one loss and the other with the other, the tuned one in float32 too; and
    images that are neither square nor gray.  (All of everything: `daebench verify --optimizer all`.)"""
    cells = []
    for index, architecture in enumerate(catalog.CATALOG):
        if catalog.make(architecture, (28, 28, 1)).is_linear:
            continue  # it can not have both losses
        common = {"backend": backend, "architecture": architecture, "batch_size": 16}
        exact = {"optimizer": OPTIMIZER[architecture], "precision": "float64"}
        for turn, track in enumerate(TRACKS):
            cells.append(CertificateCell(**common, **exact, track=track, loss=LOSSES[(index + turn) % 2]))
        cells.append(CertificateCell(**common, track="tuned", loss="bce", optimizer="adam", precision="float32"))
    for track in TRACKS:
        common = {"backend": backend, "track": track, "precision": "float64", "batch_size": 16}
        cells.append(CertificateCell(**common, architecture="conv", latent=3, height=17, width=22, channels=3))
        cells.append(CertificateCell(**common, architecture="strided", height=16, width=20, channels=3))
    return cells


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> dict[CertificateCell, dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        cells = [cell for backend in INSTALLED for cell in grid(backend)]
        return dict(zip(cells, run_certificates(cells, use_cache=False), strict=True))


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("architecture", [name for name in catalog.CATALOG if name != "conv-residual"])
def test_every_backend_computes_the_specification(proved: dict, backend: str, architecture: str) -> None:
    mine = [(cell, proved[cell]) for cell in catalog_grid(backend) if cell.architecture == architecture]
    assert len(mine) >= 3
    assert {cell.track for cell, _ in mine} == set(TRACKS)
    failures = [
        f"{c.track} {c.loss} {c.optimizer} {c.precision}: {r['status']}: {r['reason']}"
        for c, r in mine
        if r["status"] != "ok"
    ]
    assert not failures, "\n".join(failures)
    for cell, record in mine:
        quantities = {check["quantity"] for check in record["checks"]}
        assert {
            "output (inference)",
            "output (training)",
            "loss",
            "gradient",
            "code",
            "weights after step 1",
        } <= quantities
        assert ("weights after step 100" in quantities) == (cell.precision == "float64")


@pytest.mark.parametrize(
    "backend", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in INSTALLED]
)
def test_every_backend_computes_colour_and_larger_images(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    cells = larger_grid(backend)
    if backend in SLOW:
        monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path))
        records = dict(zip(cells, run_certificates(cells, use_cache=False), strict=True))
    else:
        records = request.getfixturevalue("proved")
    for cell in cells:
        record = records[cell]
        assert record["status"] == "ok", f"{cell.architecture} {cell.height}x{cell.width}: {record['reason']}"


@pytest.mark.parametrize("backend", INSTALLED)
def test_every_backend_computes_a_network_without_a_bottleneck(proved: dict, backend: str) -> None:
    cells = residual_grid(backend)
    assert len(cells) == 3
    for cell in cells:
        record = proved[cell]
        assert record["status"] == "ok", f"{cell.track} {cell.precision}: {record['reason']}"
        quantities = {check["quantity"] for check in record["checks"]}
        assert "code" not in quantities
        assert {"output (inference)", "gradient", "weights after step 1"} <= quantities


@pytest.mark.skipif("keras[torch]" not in INSTALLED, reason="no Keras on torch")
def test_keras_on_torch_trains_convolutions_with_one_image_at_a_time(proved: dict) -> None:
    """Its kernels with one output channel are channels-last, whose gradient torch refuses to a single image."""
    records = [proved[cell] for cell in single_grid()]
    assert [(record["status"], record["reason"]) for record in records] == [("ok", None)] * len(TRACKS)


def certify_in_process(kind: type[Torch], precision: str, **axes: object) -> dict:
    adapter = kind()
    adapter.configure(Setting("cpu", precision, 1))  # type: ignore[arg-type]
    axes = {"track": "idiomatic", "architecture": "bn", "height": 16, "width": 16, "batch_size": 16} | axes
    return parity.certify(adapter, CertificateCell(backend=kind.name, precision=precision, **axes))  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def references(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for all tests of mistakes: what they compare with is the same."""
    folder = tmp_path_factory.getbasetemp() / "references"
    monkeypatch.setenv("DAEBENCH_CACHE", str(folder))


STRIDED = {"architecture": "strided"}


@pytest.mark.parametrize(
    ("kind", "axes", "quantity", "tensor"),
    [
        # Step 1: the statistics have moved by 0.99 of the way and not by 0.01.
        ("SwappedMomentum", {}, "weights after step 1", "encoder.1.mean"),
        ("UnbiasedVariance", {}, "weights after step 1", "encoder.1.variance"),
        ("ShiftedPadding", STRIDED, "output (inference)", None),
        ("OtherEpsilon", STRIDED, "weights after step 1", "encoder.0.kernel"),
        ("ExactSlope", {}, "output (inference)", None),
        ("PlainMean", STRIDED, "mean loss up to step 10", None),
        ("ChannelsFirstCode", STRIDED, "code", None),
        ("DirtyStart", STRIDED, "weights after step 1", "encoder.0.kernel"),
    ],
)
def test_every_known_mistake_is_found_and_named(
    references: None, kind: str, axes: dict, quantity: str, tensor: str | None
) -> None:
    wrong = {wrong.__name__: wrong for wrong in WRONG}[kind]
    result = certify_in_process(wrong, "float64", **axes)
    assert result["status"] == "parity_failed"
    first = next(check for check in result["checks"] if not check["ok"])
    assert (first["quantity"], first["tensor"]) == (quantity, tensor)
    assert result["reason"].startswith(f"{quantity} departs by ")
    assert result["metrics"]["worst_ratio"] > 1
    assert certify_in_process(Torch, "float64", **axes)["status"] == "ok"  # and nothing is wrong but the mistake


def test_float32_finds_what_float32_can_tell(references: None) -> None:
    assert certify_in_process(WRONG[0], "float32")["status"] == "parity_failed"
    assert certify_in_process(Torch, "float32")["status"] == "ok"


def test_all_mistakes_are_tried() -> None:
    assert len(WRONG) == 8


def cell(**axes: object) -> CertificateCell:
    return CertificateCell(
        backend="torch", track="tuned", architecture="strided", height=16, width=16, batch_size=16, **axes
    )  # type: ignore[arg-type]


def test_a_certificate_is_not_computed_twice(cache: Path) -> None:
    (first,) = run_certificates([cell()])
    fingerprint = machine.fingerprint("torch", "cpu")
    stored = certificates.path(cell(), fingerprint)
    kept = json.loads(stored.read_text())
    kept["metrics"]["worst_ratio"] = 0.123  # so that it can be told from a new one
    stored.write_text(json.dumps(kept))
    (again,) = run_certificates([cell()])
    assert again["metrics"]["worst_ratio"] == 0.123
    assert again["checks"] == first["checks"]
    (anew,) = run_certificates([cell()], use_cache=False)
    assert anew["metrics"]["worst_ratio"] == first["metrics"]["worst_ratio"]


def test_another_specification_or_machine_has_another_certificate(cache: Path) -> None:
    paths = {
        certificates.path(cell(), "a"),
        certificates.path(cell(), "b"),
        certificates.path(cell(loss="bce"), "a"),
        certificates.path(cell(precision="float64"), "a"),
        certificates.path(cell(learning_rate=0.01), "a"),
        certificates.path(cell(channels=3), "a"),
    }
    assert len(paths) == 6
    # ... but not another name of the same thing.
    assert certificates.path(cell(learning_rate=0.001), "a") == certificates.path(cell(), "a")


def test_a_broken_cache_entry_is_computed_anew(cache: Path) -> None:
    stored = certificates.path(cell(), "a")
    stored.parent.mkdir(parents=True)
    for text in ("", "{", "[]", '{"status": "ok"}'):
        stored.write_text(text)
        assert certificates.lookup(cell(), "a") is None


def test_references_that_others_remove_or_have_not_finished_are_left_alone(tmp_path, monkeypatch):
    """Workers prune one folder at the same time; a link to nothing looks like a file that has just gone."""
    monkeypatch.setattr(parity, "KEEP_BYTES", 0)
    monkeypatch.setattr(parity, "KEEP_SECONDS", 0)
    (tmp_path / "gone.npz").symlink_to(tmp_path / "nowhere")
    unfinished, old = tmp_path / ".123-new.npz", tmp_path / "old.npz"
    unfinished.write_bytes(b"half")
    old.write_bytes(b"whole")
    parity._prune(tmp_path)
    assert unfinished.exists()
    assert not old.exists()


def test_the_tuned_track_of_torch_does_not_slow_down_by_subnormal_numbers() -> None:
    """0.9 times the smallest number is itself: moments without a gradient would stay there, and slow, for ever."""
    torch = pytest.importorskip("torch")
    tiny = torch.full((4,), 1e-39)
    adapter = Torch()
    adapter.configure(Setting(threads=1))
    network = catalog.make("dense", (28, 28, 1), 4)
    try:
        for track in TRACKS:
            adapter.build(network, Training(), track)
            assert bool((tiny * 0.9 != 0).all()) is (track == "idiomatic"), track
    finally:
        torch.set_flush_denormal(False)
