"""Backends for tests: the NumPy reference dressed up as an adapter, well-behaved or with one trouble each.

``environment()`` announces them.  What goes wrong is chosen by the number of staged training samples, for nothing
else of a cell reaches an adapter without being part of its certificate too.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from implementations.adapter import EXTRA_BACKENDS, Adapter, Device, Gradients, Setting, Track
from implementations.architecture import Architecture, is_trainable
from implementations.parameters import Array, Weights
from implementations.reference import Reference, loss_and_gradient
from implementations.training import Training

CRASH, HANG, RAISE, NAN, MEMORY, EXIT, SLOW, CHATTER, CUDA_MEMORY, LITTER = range(101, 111)
"""Numbers of training samples that mean trouble."""

GATE = "FAKE_GATE"
"""Environment: while the file of this name exists, SLOW epochs wait."""


def environment() -> dict[str, str]:
    """What a process needs to find these backends."""
    names = ("Fake", "Other", "Half", "Wrong", "Absent", "Unavailable", "Fragile", "Unloadable")
    announced = ";".join(f"{name.lower()}=fake_backend:{name}" for name in names)
    return {EXTRA_BACKENDS: announced, "PYTHONPATH": str(Path(__file__).parent)}


def announce_for_sessions(monkeypatch: Any) -> None:
    """Announce these backends to a test, and let timing sessions be as small as NumPy in float64 needs them: it is two
    orders slower than what the sizes of epochs are made for."""
    from bench import sessions, timing

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(timing, "WORK_PER_SECOND", {"cpu": 1e8})
    monkeypatch.setattr(timing, "MINIMUM_BATCHES", 2)
    monkeypatch.setattr(sessions, "WATCH_SECONDS", 0.02)


class Fake(Adapter):
    """Computes what it should, in NumPy."""

    name = "fake"
    packages = ("numpy",)
    devices: ClassVar[tuple[Device, ...]] = ("cpu",)

    def configure(self, setting: Setting) -> None:
        self.dtype = np.dtype(setting.dtype)
        print("frameworks like to talk on stdout")

    def availability(self, device: Device) -> str | None:
        return None

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        self.architecture, self.training = architecture, training

    def load_weights(self, weights: Weights) -> None:
        self.network = Reference(self.architecture, self.training, weights)

    def weights(self) -> Weights:
        return {name: value.astype(self.dtype) for name, value in self.network.weights.items()}

    def stage(self, noisy: Array, clean: Array) -> None:
        self.noisy, self.clean = noisy, clean

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        _trouble(len(self.noisy))
        total = 0.0
        for start in range(0, len(order), self.training.batch_size):
            batch = order[start : start + self.training.batch_size]
            total += self.network.train_step(self.noisy[batch], self.clean[batch]) * len(batch)
        return float("nan") if len(self.noisy) == NAN else total / len(order)

    def reconstruct(self, noisy: Array) -> Array:
        return self.network.reconstruct(noisy).astype(self.dtype)

    def encode(self, images: Array) -> Array:
        return self.network.encode(images).astype(self.dtype)

    def gradients(self, noisy: Array, clean: Array) -> Gradients:
        output, loss, gradients, _ = self.network.gradients(noisy, clean)
        return Gradients(output.astype(self.dtype), loss, {name: g.astype(self.dtype) for name, g in gradients.items()})

    def synchronize(self) -> None:
        pass

    def parameter_counts(self) -> tuple[int, int]:
        sizes = {name: value.size for name, value in self.network.weights.items()}
        return sum(sizes.values()), sum(size for name, size in sizes.items() if is_trainable(name))


def _trouble(samples: int) -> None:
    if samples == CRASH:
        print("about to divide the universe by zero", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGABRT)
    if samples == EXIT:
        os._exit(7)
    if samples == HANG:
        time.sleep(3600)
    if samples == RAISE:
        raise RuntimeError("the cat sat on\nthe keyboard")
    if samples == MEMORY:
        np.empty(2**60, np.uint8)
    if samples == CUDA_MEMORY:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if samples == CHATTER:
        os.write(1, b'{"result": {"status": "forged"}}\n')
    if samples == LITTER:
        os.close(tempfile.mkstemp()[0])
    if samples == SLOW:
        while os.path.exists(os.environ.get(GATE, "")):
            time.sleep(0.02)


class Other(Fake):
    """Another backend that computes the same, ten times as slowly."""

    name = "other"
    slowness: ClassVar[float] = 10

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        start = time.perf_counter()
        loss = super().train_epoch(order)
        time.sleep((self.slowness - 1) * (time.perf_counter() - start))
        return loss


class Half(Other):
    """Computes the same, half as fast."""

    name = "half"
    slowness = 2


class Wrong(Fake):
    """Forgets a factor in every gradient."""

    name = "wrong"

    def load_weights(self, weights: Weights) -> None:
        self.network = _WrongReference(self.architecture, self.training, weights)


class _WrongReference(Reference):
    def gradients(self, noisy, clean):  # type: ignore[no-untyped-def]
        output, loss, gradients, statistics = super().gradients(noisy, clean)
        assert np.isfinite(loss_and_gradient(self.training.loss, output, np.asarray(clean))[0])
        return output, loss, {name: 0.5 * g for name, g in gradients.items()}, statistics


class Absent(Fake):
    """Needs what nobody has."""

    name = "absent"
    packages = ("no-such-framework",)


class Unavailable(Fake):
    """Is installed and can not run here."""

    name = "unavailable"

    def availability(self, device: Device) -> str | None:
        return f"no {device} on Sundays"


class Fragile(Fake):
    """Trains once, then dies: what a timing session must survive."""

    name = "fragile"

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 3 and os.environ.get("FAKE_FRAGILE"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().train_epoch(order)


class Unloadable(Fake):
    """Its framework can not be imported."""

    name = "unloadable"

    def configure(self, setting: Setting) -> None:
        raise ImportError("libsomething.so.12: cannot open shared object file")
