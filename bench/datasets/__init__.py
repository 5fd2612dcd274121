"""The images that networks are compared on: 8-bit, in two splits, the same bytes whenever they are asked for.

``load("glyphs", train=2000, test=500)`` gives a :class:`Dataset`; ``describe()`` lists what there is.
"""

from bench.datasets.base import DataError, Dataset, DatasetInfo, Labels, Whole, as_float, cache_dir
from bench.datasets.registry import check, check_whole, describe, image_shape, load, load_patches, load_whole

__all__ = [
    "DataError",
    "Dataset",
    "DatasetInfo",
    "Labels",
    "Whole",
    "as_float",
    "cache_dir",
    "check",
    "check_whole",
    "describe",
    "image_shape",
    "load",
    "load_patches",
    "load_whole",
]
