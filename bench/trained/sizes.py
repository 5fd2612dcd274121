"""Which images a trained network gives back in the size that they had: asked of the architecture, and in words.

Layers that halve and double need not end where they began: conv-small gives 32x32 back as 28x28.  Height and width
never meet, so what holds for squares holds for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from implementations.architecture import Architecture, SpecificationError

PERIODS = 4
"""So many steps are looked at behind what the network can see: a size below that may be too small for a layer."""


@dataclass(frozen=True)
class Sizes:
    """Pixels of a side that come back as many as they were: ``least``, ``least + step``, ``least + 2 * step``, ..."""

    least: int
    step: int

    def __str__(self) -> str:
        examples = ", ".join(str(self.least + place * self.step) for place in range(3))
        rest = self.least % self.step
        rule = f"{self.step}k + {rest}" if rest else f"a multiple of {self.step}"
        return f"{rule} ({examples}, ...)"


def kept(network: Architecture) -> Sizes:
    """Of a fully convolutional ``network``; SpecificationError for one that is made for a single size."""
    step = network.stride()
    network.resized(*network.input_shape[:2])  # refuses a network of one size in its own words
    sides = [side for side in range(1, network.reach() + PERIODS * step + 1) if _comes_back(network, side)]
    (step,) = {after - before for before, after in pairwise(sides)}
    return Sizes(sides[0], step)


def sentence(network: Architecture) -> str:
    """What to give it, in one line."""
    height, width, _ = network.input_shape
    if not network.is_fully_convolutional:
        return f"The size is fixed: {height}x{width} pixels."
    sizes = kept(network)
    if sizes.step > 1:
        return f"Height and width are each to be {sizes}: such images come back in their own size, others do not."
    return "Images may have any size" + (f" from {sizes.least}x{sizes.least} pixels." if sizes.least > 1 else ".")


def _comes_back(network: Architecture, side: int) -> bool:
    try:
        network.resized(side, side)
    except SpecificationError:
        return False
    return True
