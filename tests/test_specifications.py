"""Shapes, counts, FLOPs and canonical weights follow from the specification alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from implementations import catalog, counter
from implementations.architecture import (
    Architecture,
    Conv2D,
    Dense,
    Flatten,
    MaxPool2D,
    Reshape,
    SpecificationError,
    same_padding,
)
from implementations.parameters import digest, generic, initialise

GRAY = (28, 28, 1)


def test_the_published_network_has_the_published_numbers_of_parameters() -> None:
    bn = catalog.make("bn", GRAY)
    assert bn.parameter_count(part="encoder") == 93_568
    assert bn.parameter_count(part="encoder", trainable_only=True) == 93_120
    assert bn.parameter_count(part="decoder") == 92_943
    assert bn.parameter_count(part="decoder", trainable_only=True) == 92_749
    assert (bn.parameter_count(), bn.parameter_count(trainable_only=True)) == (186_511, 185_869)
    assert bn.latent_size == 2048


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("dense", (64,)),
        ("conv", (64,)),
        ("bn", (2048,)),
        ("conv-latif", (7, 7, 64)),
        ("conv-small", (4, 4, 8)),
        ("strided", (7, 7, 8)),
    ],
)
def test_codes(name: str, code: tuple[int, ...]) -> None:
    assert catalog.make(name, GRAY).code_shape == code


def test_flops_of_the_dense_network_by_hand() -> None:
    products = 2 * (784 * 256 + 256 * 128 + 128 * 64)
    dense = catalog.make("dense", GRAY)
    assert dense.forward_flops() == 2 * products
    # by weights and by inputs as much as forward, but nobody needs the gradient by the image
    assert dense.backward_flops() == 2 * 2 * products - 2 * 784 * 256


def test_flops_of_a_strided_and_a_transposed_convolution_by_hand() -> None:
    flops = [28 * 28 // 4 * 9 * 16, 7 * 7 * 9 * 16 * 8, 7 * 7 * 9 * 8 * 8, 14 * 14 * 9 * 8 * 16, 28 * 28 * 9 * 16]
    assert catalog.make("strided", GRAY).forward_flops() == 2 * sum(flops)


@pytest.mark.parametrize("latent", [1, 2, 17, 1000])
@pytest.mark.parametrize("name", ["dense", "conv"])
@pytest.mark.parametrize("shape", [GRAY, (17, 23, 3), (5, 6, 1), (64, 64, 3)])
def test_dense_and_conv_take_any_code_and_any_image(name: str, latent: int, shape: tuple[int, int, int]) -> None:
    architecture = catalog.make(name, shape, latent)
    assert architecture.code_shape == (latent,)
    assert architecture.nodes()[-1].output_shape == shape


@pytest.mark.parametrize(
    ("name", "shape", "latent", "says"),
    [
        ("resnet", GRAY, None, "known are dense, conv, bn, conv-latif, conv-small, strided, bn-frozen, conv-residual"),
        ("dense", GRAY, 0, "whole number from 1"),
        ("bn", GRAY, 64, "has a code of 2048 values on 28x28 images, not 64"),
        ("bn", (12, 12, 1), None, "at least 16x16"),
        ("conv-small", (32, 32, 3), None, "square sizes near it that fit: 20, 28, 36, 44"),
        ("strided", (30, 30, 1), None, "comes back as 32x32x1"),
        ("dense", (28, 28, 2), None, "1 or 3 channels"),
    ],
)
def test_what_can_not_be_is_refused_with_the_reason(
    name: str, shape: tuple[int, int, int], latent: int | None, says: str
) -> None:
    with pytest.raises(SpecificationError, match=says):
        catalog.make(name, shape, latent)


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        ((Dense(4),), "needs a flat vector"),
        ((Flatten(), Conv2D(4)), "needs an image"),
        ((Conv2D(4, kernel=9, padding="valid"),), "needs at least 9x9 pixels and gets 8x8"),
        ((Flatten(), Dense(7), Reshape((2, 2, 2))), "can not be made"),
        ((MaxPool2D(size=9),), "at least 9x9"),
        ((Flatten(), Dense(64, "sigmoid")), "one sigmoid is needed"),
    ],
)
def test_impossible_layers_name_themselves(encoder: tuple, says: str) -> None:
    with pytest.raises(SpecificationError, match=says):
        Architecture("x", (8, 8, 1), encoder, (Flatten(), Dense(64, "sigmoid"), Reshape((8, 8, 1))))


def test_the_odd_pixel_of_same_padding_is_at_the_end() -> None:
    assert same_padding(28, 3, 2) == (0, 1)
    assert same_padding(27, 3, 2) == (1, 1)
    assert same_padding(28, 3, 1) == (1, 1)


def test_the_digest_is_of_what_is_computed() -> None:
    assert catalog.make("dense", GRAY, 64).digest() == catalog.make("dense", GRAY).digest()
    digests = {catalog.make(name, GRAY).digest() for name in catalog.CATALOG} | {
        catalog.make("dense", GRAY, 65).digest()
    }
    assert len(digests) == len(catalog.CATALOG) + 1


def test_initial_weights_are_glorot_uniform() -> None:
    weights = initialise(catalog.make("dense", GRAY), seed=3)
    kernel = weights["encoder.1.kernel"]
    limit = np.sqrt(6 / (784 + 256))
    assert kernel.dtype == np.float32
    assert kernel.shape == (784, 256)
    assert limit * 0.999 < np.abs(kernel).max() <= limit
    # variance limit^2/3; its standard error over 200,704 draws is 0.2 %
    assert kernel.var() == pytest.approx(limit**2 / 3, rel=0.01)
    assert not weights["encoder.1.bias"].any()


def test_transposed_kernels_have_the_fans_of_their_convolution() -> None:
    weights = initialise(catalog.make("strided", GRAY), 0)
    assert np.abs(weights["decoder.1.kernel"]).max() <= np.sqrt(6 / (9 * (8 + 16)))


def test_the_same_seed_gives_the_same_bytes_everywhere() -> None:
    """Pinned: whoever changes these changes every published figure."""
    assert digest(initialise(catalog.make("bn", GRAY), 0)) == "4959b34c9b52d758"
    assert (
        hashlib.sha256(counter.permutation(1000, "order", 0, 1).astype("<i8").tobytes()).hexdigest()[:16]
        == "963c69debaa8d3b0"
    )
    assert counter.uniform((2,), "pinned").tolist() == [0.7281671166419983, 0.0037682652473449707]


def test_seeds_and_names_have_streams_of_their_own() -> None:
    bn = catalog.make("bn", GRAY)
    assert digest(initialise(bn, 0)) != digest(initialise(bn, 1))
    assert counter.uniform((4,), "a", 1).tolist() != counter.uniform((4,), "a", "1").tolist()
    assert sorted(counter.permutation(100, "x").tolist()) == list(range(100))


def test_a_generic_start_hides_nothing() -> None:
    weights = generic(catalog.make("bn", GRAY), 0)
    assert all((np.asarray(value) != 0).mean() > 0.99 for value in weights.values())
    assert not any(np.any(value == 1) for name, value in weights.items() if name.endswith(("gamma", "variance")))
    assert min(value.min() for name, value in weights.items() if name.endswith("variance")) > 0.4
