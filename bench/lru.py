"""What is slow to make and asked for again: the last few values are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Lru(Generic[Value]):
    """The last few values, made when they are first asked for.

    With ``weigh``, which gives the bytes of a value, those that were kept make room for a new one until at most
    ``budget`` bytes of them are left: large values are kept one at a time.
    """

    def __init__(self, size: int, weigh: Callable[[Value], int] | None = None, budget: int = 0) -> None:
        self._size = size
        self._weigh = weigh
        self._budget = budget
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if key not in self._values:
            while self._values and (len(self._values) >= self._size or self.weight() > self._budget):
                self._values.popitem(last=False)  # before making: the old and the new may not fit together
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]

    def weight(self) -> int:
        """Bytes of what is kept; 0 where nothing is weighed."""
        return sum(map(self._weigh, self._values.values())) if self._weigh else 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values
