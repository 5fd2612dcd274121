"""The executable specification is checked by finite differences and by hand, never against a framework."""

from __future__ import annotations

import numpy as np
import pytest

from implementations import catalog, counter
from implementations.parameters import generic
from implementations.reference import Reference, _convolution, _max_pool, _transposed, sigmoid
from implementations.training import SGD, Adadelta, Adam, Training


def images(shape: tuple[int, ...], count: int, name: str) -> np.ndarray:
    return counter.uniform((count, *shape), "test", name)


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_gradients_are_the_slopes_of_the_loss(name: str, loss: str) -> None:
    """Central differences, h = 1e-6: truncation and rounding each about 1e-10; 1e-6 of the largest slope."""
    architecture = catalog.make(name, (20, 20, 1), 3 if name in ("dense", "conv") else None)
    if architecture.is_linear and loss == "bce":
        pytest.skip("refused: see test_conv_residual")
    noisy, clean = images((20, 20, 1), 2, "noisy"), images((20, 20, 1), 2, "clean")
    net = Reference(architecture, Training(loss=loss), generic(architecture, 1))  # type: ignore[arg-type]
    _, _, gradients, _ = net.gradients(noisy, clean)
    scale = max(np.abs(value).max() for value in gradients.values())
    assert scale > 1e-4
    assert set(gradients) == {k for k in architecture.parameter_shapes() if not k.endswith(("mean", "variance"))}
    for weight, gradient in gradients.items():
        index = np.unravel_index(int(np.abs(gradient).argmax()), gradient.shape)
        losses = []
        original = net.weights[weight][index]
        for step in (1e-6, -1e-6):
            net.weights[weight][index] = original + step
            losses.append(net.gradients(noisy, clean)[1])
        net.weights[weight][index] = original
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(gradient[index], abs=1e-6 * scale), weight


def test_a_transposed_convolution_is_the_transpose() -> None:
    """<conv(x), y> = <x, transposed(y)> for every kernel, stride and padding that fit; linear, so exact to rounding."""
    for k in range(1, 6):
        for s in range(1, 4):
            for same in (True, False):
                x = images(
                    (4 * s if same else 3 * s + max(k, s), 4 * s if same else 3 * s + max(k, s), 2), 1, f"x{k}{s}"
                )
                kernel = counter.uniform((k, k, 2, 3), "test", "kernel", k, s)
                y_small = images((4, 4, 3), 1, f"y{k}{s}")
                if same and k < s:
                    continue  # leaves gaps: not the adjoint of any "same" convolution
                forward, _ = _convolution(x, kernel, np.zeros(3), s, same)
                assert forward.shape == y_small.shape
                back, _ = _transposed(y_small, kernel, np.zeros(2), s, same)
                assert back.shape == x.shape
                assert float((forward * y_small).sum()) == pytest.approx(float((x * back).sum()), rel=1e-12)


def test_the_first_maximum_of_a_tie_gets_the_gradient() -> None:
    x = np.ones((1, 3, 3, 1))
    out, backward = _max_pool(x, 2, same=True)
    assert out.shape == (1, 2, 2, 1)
    dx, _ = backward(np.arange(1.0, 5.0).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 0, 2], [0, 0, 0], [3, 0, 4]])


def test_sigmoid_neither_overflows_nor_loses_its_ends() -> None:
    with np.errstate(over="raise", invalid="raise"):
        ends = sigmoid(np.array([-700.0, 0.0, 700.0]))
    np.testing.assert_allclose(ends, [np.exp(-700.0), 0.5, 1.0], rtol=1e-15)


def first_steps(optimizer: object, count: int) -> list[float]:
    """The path of one weight under a constant gradient."""
    net = Reference.__new__(Reference)
    net.training, net.step_count = Training(optimizer=optimizer), 0  # type: ignore[arg-type]
    net._first, net._second = {"w": np.zeros(1)}, {"w": np.zeros(1)}
    path = [0.0]
    for _ in range(count):
        net.step_count += 1
        path.append(path[-1] + float(net._update("w", np.array([0.5]))[0]))
    return path[1:]


def test_optimizers_take_the_steps_of_their_papers() -> None:
    # Adam under a constant gradient moves by lr at every step (m/sqrt(v) = 1), less the part of epsilon.
    assert first_steps(Adam(), 3) == pytest.approx([-1e-3, -2e-3, -3e-3], rel=1e-4)
    # Momentum: v = -lr g (1, 1.9, 2.71).
    assert first_steps(SGD(0.1, 0.9), 3) == pytest.approx([-0.05, -0.05 * 2.9, -0.05 * 5.61], rel=1e-12)
    # Adadelta's first step: sqrt(eps) / sqrt(0.05 g^2 + eps) * g.
    assert first_steps(Adadelta(), 1)[0] == pytest.approx(-np.sqrt(1e-7) / np.sqrt(0.05 * 0.25 + 1e-7) * 0.5, rel=1e-12)


def test_the_moving_statistics_follow_the_batch() -> None:
    architecture = catalog.make("bn", (16, 16, 1))
    net = Reference(architecture, Training(), generic(architecture, 0))
    before = {k: v.copy() for k, v in net.weights.items()}
    net.train_step(images((16, 16, 1), 4, "noisy"), images((16, 16, 1), 4, "clean"))
    moved = [k for k in before if k.endswith(("mean", "variance")) and not np.array_equal(before[k], net.weights[k])]
    assert len(moved) == 12
