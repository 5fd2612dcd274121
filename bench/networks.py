"""The networks that a worker has built, kept as long as they may be asked for again.

Compiling a network takes seconds, and its certificate, its trials under other noise and those of other seeds all want
the same one.  Each is held by an adapter of its own (:meth:`Adapter.sibling`).
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.cells import Cell
from implementations.adapter import Adapter, Compiles, Track

MOST_KEPT = 8
"""Networks: a backend's dense and conv with two latents and two losses."""


@dataclass(frozen=True)
class Network:
    """``adapter`` has built it, and holds whatever weights and data it was given last."""

    adapter: Adapter
    epochs: set[int] = field(default_factory=set)
    """Lengths, in samples, of epochs that were trained for what they compile: see :func:`compiling_length`."""


def compiling_length(compiles: Compiles, samples: int, batch_size: int) -> int:
    """Samples to train on, and forget, before epochs of ``samples`` hold no compilation; 0: none are needed.

    Of steps the first two full batches and the smaller last one, if there is one: a second step may be compiled anew,
    where what the first one leaves is of another kind than what was loaded."""
    if compiles == "nothing":
        return 0
    if compiles == "step":
        return min(samples // batch_size, 2) * batch_size + samples % batch_size
    return samples


class Networks:
    """Of one configured ``adapter``, which builds the first.  Only those of one track are kept, for a track may set up
    the process; and on a device, whose memory is short, only one."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._built: OrderedDict[tuple[Any, ...], Network] = OrderedDict()
        self._track: Track | None = None

    def find(self, cell: Cell) -> Network | None:
        """That of ``cell``, if it is still there."""
        key = cell.build_key()
        found = self._built.get(key)
        if found is not None:
            self._built.move_to_end(key)
        return found

    @contextlib.contextmanager
    def building(self, cell: Cell) -> Iterator[Network]:
        """For building that of ``cell`` from the start; it is kept unless that fails."""
        if cell.track != self._track:
            self.clear()
            self._track = cell.track
        network = Network(self._vacant(cell))
        network.adapter.draws_weights = False  # certificates and trials bring their own
        yield network
        self._built[cell.build_key()] = network

    def clear(self) -> Adapter:
        """Forget all networks; the adapter is free to build others, and is returned."""
        self._built.clear()
        self.adapter.draws_weights = True
        return self.adapter

    def _vacant(self, cell: Cell) -> Adapter:
        """An adapter whose network nobody wants any more, or one that has none."""
        before = self._built.pop(cell.build_key(), None)
        if before is None and len(self._built) >= (MOST_KEPT if cell.device == "cpu" else 1):
            _, before = self._built.popitem(last=False)
        if before is not None:
            return before.adapter
        taken = any(network.adapter is self.adapter for network in self._built.values())
        return self.adapter.sibling() if taken else self.adapter
