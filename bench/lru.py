"""What is slow to make and asked for again: the last few values are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Lru(Generic[Value]):
    """The last few values, made when they are first asked for."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if key not in self._values:
            while len(self._values) >= self._size:
                self._values.popitem(last=False)  # before making: the old and the new may not fit together
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]
