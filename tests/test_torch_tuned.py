"""The layers of torch's tuned track compute what its plain ones do, on sizes that are not even either."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from implementations import catalog, parameters, torch_device
from implementations.adapter import Gradients, Setting
from implementations.torch_adapter import Torch
from implementations.training import Training

IMAGES = 5


def _on(track: str, name: str, shape: tuple[int, int, int]) -> tuple[Gradients, list[np.ndarray], bool]:
    architecture = catalog.make(name, shape)
    adapter = Torch()
    adapter.configure(Setting(precision="float64"))
    adapter.build(architecture, Training("bce", batch_size=IMAGES), track)
    adapter.load_weights(parameters.initialise(architecture, 0))
    source = np.random.default_rng(0)
    noisy, clean = source.random((2, IMAGES, *shape))
    found = adapter.gradients(noisy, clean)
    # A single image takes the library's way where five take the products.
    images = [adapter.reconstruct(noisy), adapter.reconstruct(noisy[:1]), adapter.encode(noisy)]
    adapter.stage(noisy, clean)
    adapter.train_epoch(np.arange(IMAGES))
    weights = adapter.weights()
    return found, [*images, *(weights[name] for name in architecture.parameter_shapes())], adapter.net.turns


@pytest.mark.parametrize(
    ("name", "shape", "turns"),
    [
        ("conv", (28, 28, 1), True),
        ("conv", (33, 38, 1), True),
        ("strided", (28, 32, 3), True),
        ("bn", (28, 32, 1), False),
        ("conv-small", (28, 28, 1), False),
    ],
)
def test_tuned_layers_compute_what_plain_ones_do(name: str, shape: tuple[int, int, int], turns: bool) -> None:
    plain, expected, plain_turns = _on("idiomatic", name, shape)
    tuned, found, turned = _on("tuned", name, shape)
    assert (plain_turns, turned) == (False, turns)
    np.testing.assert_allclose(tuned.output, plain.output, rtol=0, atol=1e-13)
    assert tuned.gradients.keys() == plain.gradients.keys()
    for key, gradient in plain.gradients.items():
        np.testing.assert_allclose(tuned.gradients[key], gradient, rtol=0, atol=1e-13, err_msg=key)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "rows"])
def test_batches_are_taken_in_the_layout_of_the_images(channels: int, layout: str) -> None:
    images = torch.rand(20, 7, 5, channels)
    if layout != "rows":
        images = images.permute(0, 3, 1, 2)
        assert images.is_contiguous(memory_format=torch.channels_last)
    if layout == "contiguous":
        images = images.contiguous()
    places = torch.tensor([3, 19, 0, 3])
    batch = torch_device.taken(images, places)
    assert torch.equal(batch, images[places])
    assert batch.stride() == images[places].stride()
    assert torch_device.taken(images, places[:0]).shape == (0, *images.shape[1:])
