"""Batches of one image: torch's convolution takes another path for them."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from bench.cells import CertificateCell
from bench.certifying import run_certificates
from implementations.adapter import Setting, adapter_class
from implementations.keras_torch_adapter import KerasTorch
from implementations.training import Training

ALONE = CertificateCell(
    backend="keras[torch]",
    track="tuned",
    architecture="conv",
    height=12,
    width=12,
    latent=3,
    batch_size=1,
    precision="float32",
)


@pytest.mark.skipif(adapter_class("keras[torch]").missing() is not None, reason="no Keras on torch")
def test_keras_on_torch_trains_convolutions_with_one_image_at_a_time(tmp_path, monkeypatch):
    """Its kernels with one output channel are channels-last, whose gradient torch refuses to a single image."""
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path))
    cells = [dataclasses.replace(ALONE, track=track) for track in ("idiomatic", "tuned")]
    records = run_certificates(cells, use_cache=False, logs=tmp_path)
    assert [(record["status"], record["reason"]) for record in records] == [("ok", None)] * 2


@pytest.mark.parametrize(
    ("batch_size", "samples", "laid_out_anew"),
    [(1, 3, True), (16, 17, True), (16, 1, True), (16, 32, False), (16, 40, False)],
)
def test_kernels_are_laid_out_anew_for_single_images_alone(batch_size, samples, laid_out_anew):
    """What is timed otherwise is Keras as it is; an epoch whose last batch is one image counts."""
    adapter = KerasTorch()
    adapter.setting, adapter.training = Setting(), Training(batch_size=batch_size)
    assert isinstance(adapter._kernels(samples), contextlib.nullcontext) is not laid_out_anew
