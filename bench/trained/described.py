"""What an exported network takes and gives: layout, range, sizes, in words and as data, for the file itself and for who
wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from bench.trained import sizes

if TYPE_CHECKING:
    from bench.trained.found import Trained
    from implementations.architecture import Architecture

Layout = Literal["NHWC", "NCHW"]
LAYOUTS: dict[str, Layout] = {"keras": "NHWC", "torch": "NCHW", "onnx": "NHWC", "npz": "NHWC"}
"""By form of export: channels last, but for torch's first."""


def facts(trained: Trained, layout: Layout) -> dict[str, str]:
    """What stands in the file: name of the fact -> text that any file can hold."""
    return {
        "network": trained.sentence,
        "record": trained.identity,
        "input": images(trained.architecture, layout),
        "layout": layout,
        "range": scale(trained.architecture),
        "sizes": sizes.sentence(trained.architecture),
    }


def images(network: Architecture, layout: Layout) -> str:
    """ "float32 (n, height, width, 1), channels last, gray"."""
    height, width, channels = network.input_shape
    sides = ("height", "width") if network.is_fully_convolutional else (height, width)
    axes: tuple[Any, ...] = (*sides, channels) if layout == "NHWC" else (channels, *sides)
    order = "channels last" if layout == "NHWC" else "channels first"
    colour = "gray" if channels == 1 else "red, green, blue" if channels == 3 else f"{channels} channels"
    return f"float32 (n, {', '.join(map(str, axes))}), {order}, {colour}"


def scale(network: Architecture) -> str:
    """What the numbers mean, in and out."""
    inside = getattr(network.nodes()[-1].layer, "activation", None) == "sigmoid"
    out = "so is what comes back" if inside else "what comes back may lie a little beyond: clip it to [0, 1]"
    return f"0 is black, 1 is white (8-bit pixels divided by 255); {out}"


def lines(trained: Trained, layout: Layout) -> list[str]:
    """For people: what to give it."""
    network = trained.architecture
    return [f"give it: {images(network, layout)}; {scale(network)}", f"sizes: {sizes.sentence(network)}"]
