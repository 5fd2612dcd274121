"""A trained network as PyTorch code: a module of a page, to be read and imported, and its weights as safetensors.

Why not one of torch's own files: ``torch.save`` is a pickle, and the ``.pt2`` archive of ``torch.export`` holds one
too (its sample inputs), so that opening either runs what somebody put there.  Code that is open to be read and a file
that can hold nothing but numbers are the safer pair, and need neither daebench nor this version of torch.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.trained import described, sizes
from implementations.architecture import (
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop2D,
    Dense,
    Flatten,
    LeakyReLU,
    MaxPool2D,
    Node,
    Reshape,
    SubtractFromInput,
    UpSampling2D,
)
from implementations.torch_names import torch_axes, torch_names

if TYPE_CHECKING:
    from bench.trained.found import Trained
    from implementations.parameters import Array

_MODULE = '''"""{sentence}.

The trained weights lie beside this file, in {weights}.  Needed are torch and safetensors.

    from {module} import load

    network = load()
    denoised = network(noisy)

``noisy`` is {input}.
{range}.
{sizes}
Written by daebench; record {record}.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
{members}

    def forward(self, noisy: Tensor) -> Tensor:
        x = noisy
{steps}
        return x


def load(weights: Path | str = Path(__file__).with_suffix(".safetensors"), device: str = "cpu") -> Denoiser:
    """The trained network, ready to denoise."""
    network = Denoiser()
    network.load_state_dict(load_file(weights))
    return network.eval().to(device)
{helpers}'''

_PAD = '''

def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Padded so that ceil(size / stride) windows fit; the odd pixel goes to the bottom and right."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)
'''


class ExportNameError(ValueError):
    """A file name that Python could not import."""


def write(trained: Trained, path: Path) -> list[Path]:
    """The files written: the module ``path``, and the weights beside it."""
    from safetensors.numpy import save

    beside = path.with_suffix(".safetensors")
    # Its own writer tells of a full disk in an error that is none of the system's.
    beside.write_bytes(save(_state(trained), metadata={"record": trained.identity, "network": trained.sentence}))
    path.write_text(source(trained, path.stem), encoding="utf-8")
    return [path, beside]


def check_name(trained: Trained, path: Path) -> None:
    """ExportNameError unless Python can import a file of this name."""
    if not path.stem.isidentifier():
        raise ExportNameError(
            f"--output {path}: {path.stem!r} is no name of a Python module; name it like {name_of(trained)}.py"
        )


def name_of(trained: Trained) -> str:
    """Its name, as one that Python can import."""
    return trained.name.replace("-", "_").replace(".", "_")


def run(path: Path, noisy: Array) -> Array:
    """What the module's network makes of images (n, h, w, c)."""
    import torch

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images = torch.from_numpy(np.ascontiguousarray(noisy.transpose(0, 3, 1, 2), np.float32))
    with torch.inference_mode():
        denoised = module.load()(images).permute(0, 2, 3, 1)
    return np.ascontiguousarray(denoised.numpy())


def source(trained: Trained, module: str) -> str:
    """The text of the module."""
    network = trained.architecture
    members: list[str] = []
    steps: list[str] = []
    for node in network.nodes():
        _write(node, members, steps)
    text = "\n".join(steps)
    return _MODULE.format(
        sentence=_in_docstring(trained.sentence),
        weights=f"{module}.safetensors",
        module=module,
        input=described.images(network, described.LAYOUTS["torch"]),
        range=described.scale(network),
        sizes=sizes.sentence(network),
        record=_in_docstring(trained.identity),
        members="\n".join(f"        {line}" for line in members),
        steps="\n".join(f"        {line}" for line in steps),
        helpers=_PAD if "pad_same(" in text else "",
    )


def _in_docstring(line: str) -> str:
    """``line`` such that it ends no docstring and begins no escape: the module is run, and its record may be somebody
    else's."""
    return line.replace("\\", "\\\\").replace('"', '\\"')


def _write(node: Node, members: list[str], steps: list[str]) -> None:
    """The lines of one layer: what it is made of in the constructor, what it does in ``forward``."""
    layer, name, channels = node.layer, _member(node), node.input_shape[-1]
    image = len(node.input_shape) == 3
    flat = "x.permute(0, 2, 3, 1).flatten(1)" if image else "x"
    done = f"self.{name}(x)"
    match layer:
        case Flatten():
            done = flat
        case Reshape(shape=shape):
            done = f"{flat}.unflatten(1, {tuple(shape)}).permute(0, 3, 1, 2)" if len(shape) == 3 else flat
        case Dense(units=units):
            members.append(f"self.{name} = nn.Linear({channels}, {units})")
        case Conv2D(filters=filters, kernel=k, stride=s, padding=padding):
            plain = padding == "same" and s == 1 and k % 2 == 1
            extra = f", padding={k // 2}" if plain and k > 1 else ""
            extra = f", stride={s}{extra}" if s > 1 else extra
            members.append(f"self.{name} = nn.Conv2d({channels}, {filters}, {k}{extra})")
            if padding == "same" and not plain:
                done = f"self.{name}(pad_same(x, {k}, {s}))"
        case Conv2DTranspose(filters=filters, kernel=k, stride=s, padding=padding):
            cut, ragged = divmod(max(k - s, 0), 2) if padding == "same" else (0, 0)
            extra = f", stride={s}" if s > 1 else ""
            extra += f", padding={cut}" if cut and not ragged else ""
            extra += f", output_padding={s - k}" if s > k else ""
            members.append(f"self.{name} = nn.ConvTranspose2d({channels}, {filters}, {k}{extra})")
            if ragged:
                steps.append(f"height, width = {s} * x.shape[2], {s} * x.shape[3]")
                done += f"[:, :, {cut} : {cut} + height, {cut} : {cut} + width]" if cut else "[:, :, :height, :width]"
        case MaxPool2D(size=size, padding=padding):
            padded = f'pad_same(x, {size}, {size}, float("-inf"))' if padding == "same" else "x"
            done = f"F.max_pool2d({padded}, {size})"
        case UpSampling2D(size=size):
            done = f'F.interpolate(x, scale_factor={size}, mode="nearest")'
        case Crop2D(height=height, width=width):
            done = f"x[:, :, :{height}, :{width}]"
        case BatchNorm(epsilon=epsilon, momentum=momentum):
            members.append(f"self.{name} = nn.BatchNorm2d({channels}, eps={epsilon!r}, momentum={1 - momentum:g})")
        case LeakyReLU(slope=slope):
            done = f"F.leaky_relu(x, {slope!r})"
        case SubtractFromInput():
            done = "noisy - x"
        case _:
            raise TypeError(f"not a layer: {layer!r}")
    activation = {"relu": "F.relu", "sigmoid": "torch.sigmoid"}.get(getattr(layer, "activation", None) or "")
    steps.append(f"x = {activation}({done})" if activation else f"x = {done}")


def _member(node: Node) -> str:
    return node.name.replace(".", "_")


def _state(trained: Trained) -> dict[str, Any]:
    """Weights by the names and in the layouts of the module's ``state_dict``."""
    state: dict[str, Any] = {}
    for node in trained.architecture.nodes():
        names = torch_names(node.layer)
        for canonical, attribute in names.items():
            value = trained.weights.get(f"{node.name}.{canonical}")
            if value is None:
                continue
            axes = torch_axes(value.ndim)
            turned = value if axes is None else value.transpose(axes)
            state[f"{_member(node)}.{attribute}"] = np.ascontiguousarray(turned, np.float32)
        if isinstance(node.layer, BatchNorm):
            state[f"{_member(node)}.num_batches_tracked"] = np.zeros((), np.int64)
    return state
