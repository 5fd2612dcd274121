"""What one backend does natively, told by its process: ``python native_facts.py BACKEND FOLDER`` writes
``FOLDER/BACKEND.json`` and ``.npz``.

Constants are read from the framework's own objects here, and not by the adapter that is tested.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from implementations import catalog, counter, parameters
from implementations.adapter import Setting, adapter_class
from implementations.architecture import Architecture
from implementations.training import Training, native_training

SHAPE = (20, 20, 1)
NETWORKS = {
    "bn": lambda: catalog.make("bn", SHAPE, None),
    "conv": lambda: catalog.make("conv", SHAPE, 16),
    "residual": lambda: catalog.make("conv-residual(4,8)", SHAPE, None),
}
OPTIMIZERS = ("adam", "adam(epsilon=1e-3, beta1=0.5)", "adadelta", "sgd", "sgd(momentum=0.5)")
SEED = 3
BATCH = 8
STEPS = 5


def images() -> tuple[Any, Any, Any]:
    """(noisy, clean, order) of a few batches."""
    noisy, clean = (counter.uniform((BATCH * STEPS, *SHAPE), "native", word).astype(np.float32) for word in "ab")
    return noisy, clean, np.arange(BATCH * STEPS, dtype=np.int64)


def main(backend: str, folder: Path) -> None:
    os.environ.update(adapter_class(backend).environment(Setting()))
    adapter = adapter_class(backend)()
    adapter.configure(Setting())
    facts: dict[str, Any] = {"constants": {}, "own": {}, "losses": {}, "counts": {}}
    arrays: dict[str, Any] = {}

    def keep(name: str, weights: Any) -> None:
        arrays.update({f"{name}/{key}": value for key, value in weights.items()})

    for text in OPTIMIZERS:
        for track in ("idiomatic", "tuned"):
            adapter.build(NETWORKS["bn"](), native_training("mse", text, None, BATCH), track)
            facts["constants"][f"{text} {track}"] = adapter.constants()
            facts["own"][f"{text} {track}"] = own_words(adapter)
    for name, make in NETWORKS.items():
        network: Architecture = make()
        adapter.build(network, native_training("mse", "adam", None, BATCH), "idiomatic")
        keep(f"{name}/first", adapter.initial_weights(SEED))
        keep(f"{name}/other", adapter.initial_weights(SEED + 1))
        adapter.build(network, native_training("mse", "adam", None, BATCH), "tuned")
        keep(f"{name}/again", adapter.initial_weights(SEED))
        adapter.load_weights({key.split("/")[-1]: v for key, v in arrays.items() if key.startswith(f"{name}/first/")})
        facts["counts"][name] = list(adapter.parameter_counts())
    noisy, clean, order = images()
    for name, loss in (("bn", "mse"), ("conv", "bce")):
        for defaults, track in (("native", "idiomatic"), ("native", "tuned"), ("matched", "idiomatic")):
            network = NETWORKS[name]()
            training = (
                native_training(loss, "adam", None, BATCH) if defaults == "native" else Training(loss, batch_size=BATCH)
            )  # type: ignore[arg-type]
            adapter.build(network, training, track)  # type: ignore[arg-type]
            start = adapter.initial_weights(SEED) if training.native else parameters.initialise(network, SEED)
            adapter.load_weights(start)
            adapter.stage(noisy, clean)
            facts["losses"][f"{name} {defaults} {track}"] = adapter.train_epoch(order)
            keep(f"{name}/{defaults} {track}", adapter.weights())
            arrays[f"{name}/{defaults} {track}/output"] = adapter.reconstruct(noisy)
        # The matched constants, from the native start: what the constants alone change.
        adapter.build(NETWORKS[name](), Training(loss, batch_size=BATCH), "idiomatic")  # type: ignore[arg-type]
        adapter.load_weights(adapter.initial_weights(SEED))
        adapter.stage(noisy, clean)
        adapter.train_epoch(order)
        keep(f"{name}/matched from native", adapter.weights())
    if backend == "torch":
        keep("strided/port", ported(noisy, clean))
        adapter.build(catalog.make("strided", SHAPE, None), native_training("bce", "adam", None, BATCH), "idiomatic")
        adapter.load_weights(adapter.initial_weights(SEED))
        adapter.stage(noisy, clean)
        adapter.train_epoch(order)
        keep("strided/native", adapter.weights())
    if backend in ("torch", "jax"):
        keep("exact", exactly(backend, noisy, clean, order))
    facts["signatures"] = signatures(backend)
    np.savez(folder / f"{backend}.npz", **arrays)
    (folder / f"{backend}.json").write_text(json.dumps(facts))


def exactly(backend: str, noisy: Any, clean: Any, order: Any) -> dict[str, Any]:
    """The normalised network after its steps in float64, by track: in float32 its epsilons let rounding grow."""
    adapter = adapter_class(backend)()
    adapter.configure(Setting(precision="float64"))
    found = {}
    for track in ("idiomatic", "tuned"):
        adapter.build(NETWORKS["bn"](), native_training("mse", "adam", None, BATCH), track)  # type: ignore[arg-type]
        adapter.load_weights({name: value.astype(np.float64) for name, value in adapter.initial_weights(SEED).items()})
        adapter.stage(noisy.astype(np.float64), clean.astype(np.float64))
        adapter.train_epoch(order)
        found |= {f"{track}/{name}": value for name, value in adapter.weights().items()}
    return found


def ported(noisy: Any, clean: Any) -> dict[str, Any]:
    """The strided network as somebody writes it who knows nothing of this suite, trained on the same batches."""
    import torch
    from torch import nn

    torch.manual_seed(SEED)
    layers = (
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 16, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 1, 3, padding="same"),
        nn.Sigmoid(),
    )
    model, loss_of = nn.Sequential(*layers), nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters())
    pair = [torch.from_numpy(part).permute(0, 3, 1, 2).contiguous() for part in (noisy, clean)]
    for x, y in zip(*(part.split(BATCH) for part in pair), strict=True):
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
    names = ("encoder.0", "encoder.1", "decoder.0", "decoder.1", "decoder.2")
    found = {}
    for name, layer in zip(names, layers[::2], strict=True):
        found[f"{name}.kernel"] = layer.weight.detach().permute(2, 3, 1, 0).numpy()
        found[f"{name}.bias"] = layer.bias.detach().numpy()
    return found


def signatures(backend: str) -> dict[str, Any]:
    """What the installed framework's own signatures say, by the names of implementations.native."""
    import inspect

    def default(function: Any, name: str) -> Any:
        return inspect.signature(function).parameters[name].default

    if backend == "torch":
        from torch import nn, optim

        return {
            "batch_norm.momentum": 1 - default(nn.BatchNorm2d, "momentum"),
            "batch_norm.epsilon": default(nn.BatchNorm2d, "eps"),
            "leaky_relu.slope": default(nn.LeakyReLU, "negative_slope"),
            "adam.learning_rate": default(optim.Adam, "lr"),
            "adam.beta1": default(optim.Adam, "betas")[0],
            "adam.beta2": default(optim.Adam, "betas")[1],
            "adam.epsilon": default(optim.Adam, "eps"),
            "adadelta.learning_rate": default(optim.Adadelta, "lr"),
            "adadelta.rho": default(optim.Adadelta, "rho"),
            "adadelta.epsilon": default(optim.Adadelta, "eps"),
            "sgd.learning_rate": default(optim.SGD, "lr"),
            "sgd.momentum": default(optim.SGD, "momentum"),
        }
    if backend.startswith("keras"):
        from keras import layers, losses, optimizers

        return {
            "batch_norm.momentum": default(layers.BatchNormalization, "momentum"),
            "batch_norm.epsilon": default(layers.BatchNormalization, "epsilon"),
            "leaky_relu.slope": default(layers.LeakyReLU, "negative_slope"),
            "adam.learning_rate": default(optimizers.Adam, "learning_rate"),
            "adam.beta1": default(optimizers.Adam, "beta_1"),
            "adam.beta2": default(optimizers.Adam, "beta_2"),
            "adam.epsilon": default(optimizers.Adam, "epsilon"),
            "adadelta.learning_rate": default(optimizers.Adadelta, "learning_rate"),
            "adadelta.rho": default(optimizers.Adadelta, "rho"),
            "adadelta.epsilon": default(optimizers.Adadelta, "epsilon"),
            "sgd.learning_rate": default(optimizers.SGD, "learning_rate"),
            "sgd.momentum": default(optimizers.SGD, "momentum"),
            "from_logits": default(losses.BinaryCrossentropy, "from_logits"),
            "kernel": default(layers.Conv2D, "kernel_initializer"),
            "bias": default(layers.Conv2D, "bias_initializer"),
        }
    import jax

    return {"leaky_relu.slope": default(jax.nn.leaky_relu, "negative_slope")}


def own_words(adapter: Any) -> dict[str, Any]:
    """Constants as the framework's objects give them, under their own names."""
    if hasattr(adapter, "net"):
        from torch import nn

        group = {name: value for name, value in adapter.optimizer.param_groups[0].items() if name != "params"}
        for module in adapter.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                group |= {"bn.momentum": module.momentum, "bn.eps": module.eps, "bn.class": type(module).__name__}
            if isinstance(module, nn.LeakyReLU):
                group["slope"] = module.negative_slope
        return {"class": type(adapter.optimizer).__name__, **group}
    if hasattr(adapter, "model"):
        config = dict(adapter.optimizer.get_config())
        for layer in adapter.model.layers:
            kind, own = type(layer).__name__, layer.get_config()
            if kind == "BatchNormalization":
                config |= {"bn.momentum": own["momentum"], "bn.epsilon": own["epsilon"]}
            if kind == "LeakyReLU":
                config["slope"] = own["negative_slope"]
            if kind == "Conv2D":
                config["initializer"] = str(own["kernel_initializer"]["class_name"])
        return {name: value for name, value in config.items() if isinstance(value, int | float | str | None)}
    return {}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
