"""Arrays that frameworks take as they lie."""

from __future__ import annotations

import numpy as np
import pytest

from bench import datasets
from implementations.aligned import ALIGNMENT, aligned, empty


@pytest.mark.parametrize("shape", [(0, 3), (1,), (7, 28, 28, 1), (1000, 784)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_an_empty_array_has_its_shape_type_and_place(shape: tuple[int, ...], dtype: str) -> None:
    for _ in range(20):
        array = empty(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.ctypes.data % ALIGNMENT == 0 or array.size == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_what_is_fit_to_be_taken_is_not_copied() -> None:
    array = empty((5, 4), "float32")
    assert aligned(array, "float32") is array


def _made(what: str) -> np.ndarray:
    array = empty((6, 4), "float32")
    array[:] = np.arange(24).reshape(6, 4)
    if what == "read only":
        array.flags.writeable = False
    return {
        "another type": array.astype("float64"),
        "moved": array.reshape(-1)[1:],
        "not contiguous": array[:, ::2],
        "read only": array,
    }[what]


@pytest.mark.parametrize("what", ["another type", "moved", "not contiguous", "read only"])
def test_all_else_is_copied(what: str) -> None:
    array = _made(what)
    copied = aligned(array, "float32")
    assert not np.shares_memory(copied, array)
    assert copied.dtype == np.float32
    assert np.array_equal(copied, array)
    assert copied.ctypes.data % ALIGNMENT == 0
    assert copied.flags.writeable
    assert copied.flags.c_contiguous


def test_images_are_loaded_where_frameworks_can_take_them() -> None:
    images = datasets.as_float(np.full((3, 28, 28, 1), 255, np.uint8))
    assert images.ctypes.data % ALIGNMENT == 0
    assert images.max() == 1
