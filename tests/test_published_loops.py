"""The loops that the tuned tracks are held against are those of the sources: their networks, and they train."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.process import ROOT, source_environment
from bench.suite.published_loops import LOOPS
from bench.suite.test_published_loops import cell_of
from implementations.adapter import adapter_class
from results.statistics import paired_ratio

SCRIPT = """
import json
import numpy as np
from bench.suite.published_loops import LOOPS, make
noisy, clean = np.random.default_rng(0).random((2, 128, 28, 28, 1), np.float32)
found = {}
for name in LOOPS:
    model, epoch = make(name, noisy, clean)
    epoch()
    before = [np.array(weight) for weight in model.trainable_weights]
    epoch()
    moved = [bool((np.array(weight) != old).any()) for weight, old in zip(model.trainable_weights, before)]
    found[name] = [model.count_params(), list(model(noisy[:2].reshape(model.input_shape and (2, *model.input_shape[1:])
        if name != "ghosh" else noisy[:2].shape)).shape), all(moved)]
print(json.dumps(found))
"""


@pytest.mark.skipif(adapter_class("keras[tensorflow]").missing() is not None, reason="no Keras on TensorFlow")
def test_loops_train_the_networks_of_their_recipes() -> None:
    """On TensorFlow, even where the user's programs have Keras on something else."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=source_environment(ROOT) | {"KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for name in LOOPS:
        architecture = cell_of(name, "keras[tensorflow]").make_architecture()
        parameters, shape, moved = found[name]
        assert parameters == architecture.parameter_count(), name
        assert shape[1:] == ([784] if name == "dense" else [28, 28, 1])
        assert moved, f"{name}: not all weights were trained"


def test_recipes_are_workloads_as_published() -> None:
    cells = {name: cell_of(name, "torch") for name in LOOPS}
    assert [(cell.architecture, cell.batch_size, cell.loss) for cell in cells.values()] == [
        ("bn-frozen", 64, "mse"),
        ("strided", 32, "mse"),
        ("dense", 128, "bce"),
        ("conv-latif", 128, "mse"),
        ("conv-small", 128, "bce"),
    ]
    assert {cell.track for cell in cells.values()} == {"tuned"}
    assert "0.99" in cells["opengenus"].optimizer
    assert cells["dense"].make_architecture().latent_size == 64


def test_ratios_are_of_processes_of_the_same_round() -> None:
    found = paired_ratio([4.0, 8.0, 2.0], [1.0, 2.0, 0.5])
    assert (found.value, found.low, found.high) == pytest.approx((4, 4, 4))
    spread = paired_ratio([4.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    assert spread.low < spread.value < spread.high
