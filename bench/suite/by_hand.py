"""The idiomatic track against the loop that a person would write, side by side in one process.

``python -m bench.suite.by_hand torch 0 12``: backend, core, pairs of epochs; JSON on stdout.  What is written here uses
nothing of this suite but the images: a network of the framework's own layers, its own shuffling, its own optimizer.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.worker import pin, run_undivided

SAMPLES, BATCH = 4096, 64
UNITS = (256, 128, 32, 128, 256)
"""Of the hidden layers of ``dense`` with a code of 32."""
WARM_UP = 3


def torch_loop(noisy: Any, clean: Any) -> Callable[[], None]:
    """An epoch as PyTorch's tutorials have it."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    layers: list[Any] = [nn.Flatten()]
    for inputs, outputs in zip((784, *UNITS), UNITS, strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(UNITS[-1], 784), nn.Unflatten(1, (1, 28, 28)))
    criterion, optimizer = nn.BCEWithLogitsLoss(), torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    images = TensorDataset(*(torch.from_numpy(part).permute(0, 3, 1, 2) for part in (noisy, clean)))
    loader = DataLoader(images, batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        model.train()
        running = 0.0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(inputs)

    return epoch


def keras_loop(noisy: Any, clean: Any) -> Callable[[], None]:
    """``compile`` and ``fit`` as Keras' guides have them."""
    import keras

    hidden = [keras.layers.Dense(units, activation="relu") for units in UNITS]
    ends = [keras.layers.Dense(784), keras.layers.Reshape((28, 28, 1))]
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, *ends])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=keras.losses.BinaryCrossentropy(from_logits=True))
    return lambda: model.fit(noisy, clean, batch_size=BATCH, verbose=0)


LOOPS = {"torch": torch_loop, "keras[tensorflow]": keras_loop}


def measure(backend: str, pairs: int) -> dict[str, list[list[float]]]:
    """[wall seconds, processor seconds] of epochs, in ABBA order: ``harness`` and ``by_hand``, as many of each."""
    from bench.cells import TimingCell
    from implementations import counter, parameters
    from implementations.adapter import adapter_class

    kind = adapter_class(backend)
    cell = TimingCell(
        backend=backend, track="idiomatic", architecture="dense", latent=UNITS[2], loss="bce", batch_size=BATCH
    )
    os.environ.update(kind.environment(cell.setting))
    adapter = kind()
    adapter.configure(cell.setting)
    network = cell.make_architecture()
    images = np.random.default_rng(0).random((2, SAMPLES, *network.input_shape), np.float32)
    adapter.build(network, cell.make_training(), cell.track)
    adapter.load_weights(parameters.initialise(network, 0))
    adapter.stage(*images)
    loop = LOOPS[backend](*images)

    def harness(order: Any) -> None:
        adapter.train_epoch(order)
        adapter.synchronize()

    sides: dict[str, Callable[[Any], None]] = {"harness": harness, "by_hand": lambda order: loop()}
    found: dict[str, list[list[float]]] = {name: [] for name in sides}
    for number in range(WARM_UP + pairs):
        order = counter.permutation(SAMPLES, "order", 0, number)
        for name in sides if number % 2 else reversed(sides):
            gc.collect()
            gc.disable()  # as in blocks
            wall, processor = time.perf_counter(), time.process_time()
            sides[name](order)
            seconds = [time.perf_counter() - wall, time.process_time() - processor]
            gc.enable()
            if number >= WARM_UP:
                found[name].append(seconds)
    return found


if __name__ == "__main__":
    pin([int(sys.argv[2])])
    run_undivided()
    answer = json.dumps(measure(sys.argv[1], int(sys.argv[3])))
    sys.stdout.write(answer + "\n")
