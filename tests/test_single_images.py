"""Batches of one image: torch's convolution takes another path for them (tests/test_certificates.py certifies it)."""

from __future__ import annotations

import contextlib

import pytest

from implementations.adapter import Setting
from implementations.keras_torch_adapter import KerasTorch
from implementations.training import Training


@pytest.mark.parametrize(
    ("batch_size", "samples", "laid_out_anew"),
    [(1, 3, True), (16, 17, True), (16, 1, True), (16, 32, False), (16, 40, False)],
)
def test_kernels_are_laid_out_anew_for_single_images_alone(batch_size, samples, laid_out_anew):
    """What is timed otherwise is Keras as it is; an epoch whose last batch is one image counts."""
    adapter = KerasTorch()
    adapter.setting, adapter.training = Setting(), Training(batch_size=batch_size)
    assert isinstance(adapter._kernels(samples), contextlib.nullcontext) is not laid_out_anew
