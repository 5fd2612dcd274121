"""Native defaults: what is in use is what the installed frameworks do by themselves, read from their own objects."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import native_facts
import numpy as np
import pytest
from numpy.typing import NDArray

from implementations import native, parameters
from implementations.architecture import BatchNorm, Conv2DTranspose, LeakyReLU
from implementations.training import SGD, Adam, Training, canonical_optimizer, native_training

Arrays = dict[str, NDArray[np.float32]]
# JAX compiles for a minute what the others run in seconds.
BACKENDS = [
    "torch",
    "keras[tensorflow]",
    "keras[torch]",
    pytest.param("keras[jax]", marks=pytest.mark.slow),
    pytest.param("jax", marks=pytest.mark.slow),
]
CLOSE = 1e-6
"""Median between the outputs of two tracks after five steps of Adam, float32 (seen: 2e-7)."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(facts, arrays) by backend: each tells them in a process of its own, once."""
    folder = tmp_path_factory.mktemp("native")

    @cache
    def ask(backend: str) -> tuple[dict[str, Any], Arrays]:
        packages = {"keras[tensorflow]": "tensorflow", "keras[torch]": "torch", "keras[jax]": "jax"}
        pytest.importorskip(packages.get(backend, backend))
        here = Path(__file__).parent
        paths = os.pathsep.join([str(here.parent), str(here)])
        ran = subprocess.run(
            [sys.executable, str(here / "native_facts.py"), backend, str(folder)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads((folder / f"{backend}.json").read_text()), dict(np.load(folder / f"{backend}.npz"))

    return ask


def framework(backend: str) -> str:
    return backend.partition("[")[0]


def weights(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(f"{prefix}/"): value for name, value in arrays.items() if name.startswith(f"{prefix}/")}


# -- constants -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_table_is_what_the_installed_framework_says(backend: str, told: Any) -> None:
    said = told(backend)[0]["signatures"]
    for name, known in native.NUMBERS.items():
        if name in said:
            assert said[name] == pytest.approx(known[framework(backend)], rel=1e-12), name
    assert said.get("sgd.momentum", 0) == 0, "then momentum is a default, and need not be named"
    assert not said.get("from_logits")
    if backend.startswith("keras"):
        assert (said["kernel"], said["bias"]) == ("glorot_uniform", "zeros")


def test_the_table_is_what_optax_says() -> None:
    optax = pytest.importorskip("optax")
    import inspect

    own = {f"{kind}.{ours}": inspect.signature(getattr(optax, kind)).parameters[theirs].default
           for kind, names in {"adam": {"beta1": "b1", "beta2": "b2", "epsilon": "eps"},
                               "adadelta": {"rho": "rho", "epsilon": "eps"}}.items()
           for ours, theirs in names.items()}  # fmt: skip
    assert own == {name: native.NUMBERS[name]["jax"] for name in own}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("track", ["idiomatic", "tuned"])
def test_what_is_in_use_is_the_frameworks_own(backend: str, track: str, told: Any) -> None:
    facts, _ = told(backend)
    for kind in ("adam", "adadelta", "sgd"):
        found = facts["constants"][f"{kind} {track}"]
        for name, value in found.items():
            known = native.NUMBERS.get(name.replace("optimizer", kind))
            if known is not None and known[framework(backend)] is not None:
                assert value == pytest.approx(known[framework(backend)], rel=1e-6), (kind, name)
    assert facts["constants"][f"sgd {track}"]["optimizer.momentum"] == SGD().momentum


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_named_stays(backend: str, told: Any) -> None:
    constants = told(backend)[0]["constants"]
    for track in ("idiomatic", "tuned"):
        found = constants[f"adam(epsilon=1e-3, beta1=0.5) {track}"]
        assert (found["optimizer.epsilon"], found["optimizer.beta1"]) == (1e-3, 0.5)
        assert found["optimizer.beta2"] == 0.999
        assert constants[f"sgd(momentum=0.5) {track}"]["optimizer.momentum"] == 0.5


def test_torch_is_as_it_comes(told: Any) -> None:
    own = told("torch")[0]["own"]["adam idiomatic"]
    assert (own["class"], own["lr"], own["betas"], own["eps"]) == ("Adam", 1e-3, [0.9, 0.999], 1e-8)
    assert (own["bn.class"], own["bn.momentum"], own["bn.eps"], own["slope"]) == ("BatchNorm2d", 0.1, 1e-5, 0.01)


@pytest.mark.parametrize("backend", BACKENDS[1:4])
def test_keras_is_as_it_comes(backend: str, told: Any) -> None:
    own = told(backend)[0]["own"]
    adam, adadelta = own["adam idiomatic"], own["adadelta idiomatic"]
    assert (adam["name"], adam["epsilon"], adam["bn.epsilon"], adam["bn.momentum"]) == ("adam", 1e-7, 1e-3, 0.99)
    assert (adadelta["rho"], adadelta["epsilon"]) == (0.95, 1e-7)
    assert adadelta["learning_rate"] == pytest.approx(1e-3)
    assert adam["initializer"] == "GlorotUniform"


def test_only_what_is_named_counts() -> None:
    assert native_training("mse", "adam", None, 8).named == ()
    assert native_training("mse", "adam(epsilon=1e-7)", 1e-3, 8).given == {"epsilon": 1e-7, "learning_rate": 1e-3}
    assert native_training("mse", "sgd", None, 8).given == {"momentum": 0.9}
    plain = native_training("mse", "adam", None, 8)
    digests = {
        plain.digest(),
        replace(plain, named=("epsilon",)).digest(),
        replace(plain, defaults="matched").digest(),
    }
    assert len(digests) == 3
    # A constant that is named counts whatever its value; without native defaults equal optimizers are spelled alike.
    assert canonical_optimizer("adam(epsilon=1e-7)", defaults="native") == "adam(epsilon=1e-07)"
    assert canonical_optimizer("adam(epsilon=1e-7)") == "adam"
    assert canonical_optimizer("sgd(momentum=0.9)", defaults="native") == "sgd"


def test_matched_trainings_keep_their_digest() -> None:
    """Kept certificates are found by it."""
    assert "named" not in repr(Training())
    assert Training().digest() == "1583c6574e947028"


def test_numbers_of_the_specification_that_are_no_defaults_stay() -> None:
    network = native_facts.NETWORKS["bn"]()
    layers = {type(node.layer): node.layer for node in native.architecture(network, "jax").nodes()}
    assert layers[BatchNorm] == BatchNorm(0.99, 1e-5)
    assert layers[LeakyReLU] == LeakyReLU(0.01)
    own = replace(network, encoder=(network.encoder[0], BatchNorm(0.5), *network.encoder[2:]))
    assert native.architecture(own, "torch").encoder[1] == BatchNorm(0.5, 1e-5)
    assert native.named(BatchNorm(epsilon=1e-4)) == {"epsilon": 1e-4}
    assert native.optimizer(native_training("mse", "adam(beta1=0.5)", None, 8), "torch") == Adam(1e-3, 0.5, 0.999, 1e-8)


# -- initial weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("network", native_facts.NETWORKS)
def test_first_weights_are_repeatable_and_the_frameworks_own(backend: str, network: str, told: Any) -> None:
    facts, arrays = told(backend)
    architecture = native_facts.NETWORKS[network]()
    first, again, other = (weights(arrays, f"{network}/{which}") for which in ("first", "again", "other"))
    assert {name: value.shape for name, value in first.items()} == architecture.parameter_shapes()
    assert facts["counts"][network] == [
        architecture.parameter_count(),
        architecture.parameter_count(trainable_only=True),
    ]
    assert all(value.dtype == np.float32 for value in first.values())
    assert parameters.digest(first) == parameters.digest(again)  # of another track, after other draws
    assert parameters.digest(first) != parameters.digest(other)
    assert parameters.digest(first) != parameters.digest(parameters.initialise(architecture, native_facts.SEED))
    for node in architecture.nodes():
        if f"{node.name}.kernel" in first:
            transposed = isinstance(node.layer, Conv2DTranspose)
            _check_draw(framework(backend), first[f"{node.name}.kernel"], first[f"{node.name}.bias"], transposed)
        if isinstance(node.layer, BatchNorm):
            values = [set(first[f"{node.name}.{name}"]) for name in ("gamma", "beta", "mean", "variance")]
            assert values == [{1.0}, {0.0}, {0.0}, {1.0}]


def _check_draw(framework: str, kernel: NDArray[np.float32], bias: NDArray[np.float32], transposed: bool) -> None:
    """Bounds and variance of one layer, as the framework's documentation gives them."""
    taps = math.prod(kernel.shape[:-2])
    inputs, outputs = kernel.shape[-2:][::-1] if transposed else kernel.shape[-2:]
    # torch counts the fan-in of a transposed kernel (in, out, h, w) by its second axis.
    if framework == "torch":
        bound = 1 / math.sqrt(taps * (outputs if transposed else inputs))
        deviation = bound / math.sqrt(3)
        assert np.abs(bias).max() <= bound
        assert bias.std() > 0 or bias.size == 1
        assert np.abs(bias).min() > 0
    elif framework == "keras":
        bound = math.sqrt(6 / (taps * (inputs + outputs)))
        deviation = bound / math.sqrt(3)
        assert not bias.any()
    else:
        # Cut off at two standard deviations of a normal one that is widened, so that the variance is 1 / fan-in.
        deviation = 1 / math.sqrt(taps * inputs)
        bound = 2 * deviation / 0.87962566
        assert not bias.any()
    count = kernel.size
    assert np.abs(kernel).max() <= bound * (1 + 1e-6)
    if count > 500:
        assert np.abs(kernel).max() > 0.9 * bound
        # Four standard errors of a mean and of a variance; kurtosis is below that of a normal distribution.
        assert abs(kernel.mean()) < 4 * deviation / math.sqrt(count)
        assert kernel.var() == pytest.approx(deviation**2, rel=4 * math.sqrt(2 / count))


# -- training ------------------------------------------------------------------------------------------------------


def test_torch_natively_is_what_somebody_writes_who_ports(told: Any) -> None:
    """The strided network in plain torch: first weights, padding, loss, optimizer, all of it."""
    arrays = told("torch")[1]
    ours, theirs = weights(arrays, "strided/native"), weights(arrays, "strided/port")
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert np.abs(ours[name] - value).max() < 1e-6, name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("network", ["bn", "conv"])
def test_both_tracks_train_the_same_native_network(backend: str, network: str, told: Any) -> None:
    facts, arrays = told(backend)
    losses = [facts["losses"][f"{network} native {track}"] for track in ("idiomatic", "tuned")]
    assert losses[0] == pytest.approx(losses[1], rel=2e-4)
    outputs = [arrays[f"{network}/native {track}/output"] for track in ("idiomatic", "tuned")]
    assert outputs[0].min() >= 0
    assert outputs[0].max() <= 1
    if network != "bn" or backend.startswith("keras"):
        assert np.median(np.abs(outputs[0] - outputs[1])) < CLOSE
        return
    # Small epsilons: in float32 rounding of gradients that are 0 grows to whole steps, in torch on every processor, in
    # JAX on some.
    plain, tuned = weights(arrays, "exact/idiomatic"), weights(arrays, "exact/tuned")
    kernels = [name for name in plain if name.endswith("kernel")]
    assert max(float(np.median(np.abs(plain[name] - tuned[name]))) for name in kernels) < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_keras_alone_has_the_matched_constants(backend: str, told: Any) -> None:
    """From the same native start: Keras' own constants are the matched ones for Adam and this network, others' are
    not."""
    arrays = told(backend)[1]
    native_, matched = weights(arrays, "bn/native idiomatic"), weights(arrays, "bn/matched from native")
    names = [name for name in matched if name.endswith(("gamma", "variance"))]
    apart = max(float(np.abs(native_[name] - matched[name]).max()) for name in names)
    assert apart < 1e-5 if backend.startswith("keras") else apart > 1e-4


def test_optax_takes_the_same_steps() -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    from implementations import jax_network

    for word, made in (("adam", optax.adam(1e-3)), ("adadelta", optax.adadelta(1.0)), ("sgd", optax.sgd(0.1, 0.9))):
        optimizer = native.optimizer(native_training("mse", word, None, 8), "jax")
        theirs = ours = jnp.array([1.0, -2.0, 3e-4])
        state = made.init(theirs)
        first = second = jnp.zeros(3)
        scales = jax_network.scales(optimizer, 0, 20, corrected=True)
        for step in range(20):
            gradient = jnp.array([0.5, -1e-5, 1e-7]) * (1 + step % 3)
            updates, state = made.update(gradient, state, theirs)
            theirs = optax.apply_updates(theirs, updates)
            ours, first, second = jax_network.update(
                optimizer, ours, gradient, first, second, jnp.asarray(scales[step], jnp.float32), corrected=True
            )
        assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-7), word


# -- the table -----------------------------------------------------------------------------------------------------


def test_the_documentation_has_the_table() -> None:
    root = Path(__file__).parent.parent
    text = (root / "docs" / "native-defaults.md").read_text(encoding="utf-8")
    assert native.markdown() in text, "python -m implementations.native prints the table"
    assert native.ALIKE in text
    assert "docs/native-defaults.md" in (root / "README.md").read_text(encoding="utf-8")


def test_every_number_that_differs_is_in_the_table() -> None:
    said = {row["default"] for row in native.differences()}
    assert len(said) == len(native.DIFFERENCES)
    text = native.markdown()
    for name, known in native.NUMBERS.items():
        if len({known[one] for one in native.FRAMEWORKS}) > 1:
            for value in filter(None, known.values()):
                assert f"{value:.4g}" in text, name


def test_an_adapter_of_before_offers_nothing_and_says_so() -> None:
    import fake_backend

    fake = fake_backend.Fake()
    assert not fake.offers_native
    with pytest.raises(NotImplementedError, match="Fake offers no native defaults"):
        fake.initial_weights(0)
    with pytest.raises(NotImplementedError, match="Fake offers no native defaults"):
        fake.constants()
