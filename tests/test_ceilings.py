"""What a step is held against: all that multiplies in it, and nothing else."""

from __future__ import annotations

import pytest

from bench.suite import ceilings
from bench.suite.test_ceilings import fastest
from implementations import catalog


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_the_operations_are_those_of_a_step(network: str) -> None:
    made = catalog.make(network, (28, 28, 1), None)
    total = sum(flops for _, flops, _ in ceilings.products("torch", network))
    assert total == ceilings.BATCH * (made.forward_flops() + made.backward_flops())


def test_calls_give_what_the_layers_do() -> None:
    """Forward what comes out, by the inputs what went in, by the weights a kernel: transposed or not."""
    nodes = {node.name: node for node in catalog.make("conv", (28, 28, 1), None).nodes()}
    seen = set()
    for name, _, ways in ceilings.products("torch", "conv"):
        layer, part = name.split()
        node = nodes[layer]
        images = len(node.input_shape) == 3
        shapes = {"forward": node.output_shape, "inputs": node.input_shape}
        for call in ways:
            found = call()
            made = next(one for one in found if one is not None) if isinstance(found, tuple) else found
            if part == "weights":
                wanted = 9 * node.input_shape[-1] * node.output_shape[-1] if images else made.numel()
                assert made.numel() == wanted, name
                continue
            *size, channels = shapes[part]
            assert tuple(made.shape) == (ceilings.BATCH, channels, *size), name
        seen.add((type(node.layer).__name__, part))
    assert len(seen) == 9


def test_the_rest_is_a_loss_and_a_step_of_the_optimizer() -> None:
    for call in ceilings.rest("torch", "dense").values():
        call()
    assert ceilings.rest("torch", "dense").keys() == ceilings.rest("jax", "dense").keys() == {"loss", "optimizer"}


def test_the_fastest_by_the_medians_counts() -> None:
    rounds = [
        {
            "a": {"parts": {"x": [10, fast], "loss": [0, 1.0]}},
            "b": {"parts": {"x": [10, 2.0]}},
        }
        for fast in (9.0, 1.0, 1.5)
    ]
    assert fastest(rounds) == {"x": (10, "a", 1.5), "loss": (0, "a", 1.0)}


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="only odd kernels with same padding"):
        list(ceilings.products("torch", "bn"))
