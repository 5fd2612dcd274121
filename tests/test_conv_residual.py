"""A network without a bottleneck that subtracts what it predicts from what it was given.

That every backend computes it: tests/test_certificates.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.cells import CertificateCell
from bench.cli_facts import OptionError, certificate_cells
from bench.estimate import certificate_seconds, inference_seconds, training_seconds
from bench.plan import make_plan
from bench.sweep import SweepError, load_sweep
from implementations import catalog, counter
from implementations.architecture import Architecture, Conv2D, SpecificationError, SubtractFromInput
from implementations.parameters import generic, initialise
from implementations.reference import Reference
from implementations.training import SGD, Training

GRAY = (28, 28, 1)


def images(shape: tuple[int, ...], name: str) -> np.ndarray:
    return counter.uniform(shape, "test", name)


def test_depth_and_width_are_those_of_the_name() -> None:
    network = catalog.make("conv-residual(4,8)", (40, 30, 3))
    convolutions = [layer for layer in network.decoder if isinstance(layer, Conv2D)]
    assert [layer.filters for layer in convolutions] == [8, 8, 8, 3]
    assert [layer.activation for layer in convolutions] == ["relu", "relu", "relu", None]
    assert network.parameter_count() == 9 * (3 * 8 + 8 * 8 + 8 * 8 + 8 * 3) + 8 + 8 + 8 + 3
    assert network.forward_flops() == 2 * 40 * 30 * 9 * (3 * 8 + 8 * 8 + 8 * 8 + 8 * 3)
    assert network.nodes()[-1].output_shape == (40, 30, 3)


def test_it_has_no_code() -> None:
    network = catalog.make("conv-residual", GRAY)
    assert (network.code_shape, network.latent_size, network.encoder) == (None, None, ())
    with pytest.raises(SpecificationError, match="no bottleneck"):
        network.check_code()
    with pytest.raises(SpecificationError, match="no bottleneck"):
        Reference(network, Training(), initialise(network, 0)).encode(np.zeros((1, *GRAY)))


def test_names_have_one_spelling() -> None:
    assert catalog.canonical(" conv-residual( 5 , 32 ) ") == "conv-residual"
    assert catalog.canonical("conv-residual(05,33)") == "conv-residual(5,33)"
    same = catalog.make("conv-residual(5,32)", GRAY), catalog.make("conv-residual", GRAY)
    assert same[0].digest() == same[1].digest() != catalog.make("conv-residual(5,33)", GRAY).digest()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("conv-residual(1,8)", "depth from 2 to 64, width from 1 to 1024; for example conv-residual"),
        ("conv-residual(5)", "depth from 2 to 64"),
        ("conv-residual(5,-2)", "depth from 2 to 64"),
        ("conv-residual()", "depth from 2 to 64"),
        ("conv-residual(5,32", "is unknown"),
        ("conv-residul", "did you mean 'conv-residual'"),
        ("dense(5)", "dense takes no numbers"),
    ],
)
def test_other_names_are_refused(name: str, says: str) -> None:
    with pytest.raises(SpecificationError, match=says):
        catalog.make(name, GRAY)
    with pytest.raises(SweepError, match=says):
        load_sweep("quick", [f"architecture={name}"])
    with pytest.raises(OptionError, match=says):
        cells(architecture=[name])


def cells(**options: list[str]) -> list[CertificateCell]:
    names = ("backend", "architecture", "loss", "optimizer", "precision", "track")
    return certificate_cells(**{name: options.get(name) for name in names}, device="cpu")


def test_a_subtraction_stands_at_the_end_and_without_a_sigmoid() -> None:
    with pytest.raises(SpecificationError, match="only be the last"):
        Architecture("x", (8, 8, 1), (), (SubtractFromInput(), Conv2D(1, activation="sigmoid")))
    with pytest.raises(SpecificationError, match="do not go together"):
        Architecture("x", (8, 8, 1), (), (Conv2D(1, activation="sigmoid"), SubtractFromInput()))


def test_without_noise_predicted_the_image_comes_back() -> None:
    network = catalog.make("conv-residual(3,4)", GRAY)
    weights = {name: np.zeros_like(value) for name, value in initialise(network, 0).items()}
    noisy = images((2, *GRAY), "noisy") * 3 - 1  # beyond [0, 1]: nothing squeezes it
    assert np.array_equal(Reference(network, Training(), weights).reconstruct(noisy), noisy)


def test_it_learns_to_subtract_a_constant() -> None:
    """The bias of the last layer is the mean of the noise after one step of plain gradient descent at rate 1/2."""
    network = catalog.make("conv-residual(2,1)", GRAY)
    weights = {name: np.zeros_like(value) for name, value in initialise(network, 0).items()}
    clean = images((3, *GRAY), "clean")
    reference = Reference(network, Training(optimizer=SGD(0.5, 0.0)), weights)
    reference.train_step(clean + 0.3, clean)
    assert reference.weights["decoder.1.bias"] == pytest.approx(0.3, abs=1e-12)
    assert reference.reconstruct(clean + 0.3) == pytest.approx(clean, abs=1e-12)


def test_binary_cross_entropy_is_refused_with_the_reason() -> None:
    network = catalog.make("conv-residual", GRAY)
    with pytest.raises(SpecificationError, match=r"no probability.*use loss = .mse."):
        Reference(network, Training("bce"), initialise(network, 0))
    with pytest.raises(SweepError, match=r"no probability.*use loss = .mse."):
        make_plan(load_sweep("quick", ["architecture=conv-residual", "latent=default"]))
    with pytest.raises(OptionError, match=r"no probability.*use loss = .mse."):
        cells(architecture=["conv-residual"], loss=["bce"])
    # ... and left out where others can have it.
    found = cells(architecture=["conv-residual,strided"], backend=["torch"])
    assert {(c.architecture, c.loss) for c in found} == {
        ("conv-residual", "mse"),
        ("strided", "mse"),
        ("strided", "bce"),
    }
    assert {c.latent for c in found if c.architecture == "conv-residual"} == {None}


def test_a_sweep_of_several_depths(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(
        '[axes]\nbackend = "torch"\narchitecture = ["conv-residual(3,8)", "conv-residual( 5, 32)", "strided"]\n'
        'latent = "default"\n[timing]\nrounds = 1\nlatent = "all"\n'
    )
    plan = make_plan(load_sweep(file, ["codes=true"]))
    assert {(c.architecture, c.latent, c.codes) for c in plan.trials} == {
        ("conv-residual(3,8)", None, True),
        ("conv-residual", None, True),
        ("strided", 392, True),
    }
    assert json.loads(json.dumps(plan.sweep))["grids"][0]["architecture"][1] == "conv-residual"
    file.write_text('[axes]\nbackend = "torch"\narchitecture = ["conv-residual", "conv-residual(5,32)"]\n')
    with pytest.raises(SweepError, match="stands there twice"):
        load_sweep(file)
    with pytest.raises(SweepError, match="no bottleneck and so no code of 8 values"):
        make_plan(load_sweep("quick", ["architecture=conv-residual", "loss=mse", "latent=8"]))


def test_estimates_grow_with_the_network() -> None:
    common = {"backend": "torch", "track": "tuned", "height": 40, "width": 40}
    small, large = (CertificateCell(**common, architecture=f"conv-residual({n})") for n in ("5,32", "17,64"))
    assert 10 < 10_000 * training_seconds(small, 1) < 60
    assert training_seconds(large, 1000) > 10 * training_seconds(small, 1000)
    assert inference_seconds(small, 1000) < training_seconds(small, 1000)
    assert certificate_seconds(large) > certificate_seconds(small)


def test_backends_refuse_to_encode() -> None:
    """PyTorch stands for all: an empty encoder would hand the image back as its own code."""
    from implementations.adapter import Setting
    from implementations.torch_adapter import Torch

    network = catalog.make("conv-residual(2,2)", GRAY)
    adapter = Torch()
    adapter.configure(Setting())
    adapter.build(network, Training(), "tuned")
    adapter.load_weights(generic(network, 0))
    with pytest.raises(SpecificationError, match="no bottleneck"):
        adapter.encode(np.zeros((1, *GRAY), np.float32))
