"""Who computes a trained network: the backend that trained it, another one, or the NumPy reference."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from implementations import adapter
from implementations.adapter import Adapter, Setting

if TYPE_CHECKING:
    from bench.trained.found import Trained
    from implementations.architecture import Architecture
    from implementations.parameters import Array

REFERENCE = "reference"
"""The NumPy reference, which is always there: slow, and exact."""
FALLBACK = "torch"

Denoiser = Callable[["Array"], "Array"]
"""Noisy images (n, h, w, c) -> denoised ones, float32."""


class BackendError(ValueError):
    """A backend that can not compute here; the message says why, and which can."""


def choose(trained: Trained, wanted: str | None) -> tuple[str, str]:
    """(who computes, why it is not the record's own backend or nothing).  BackendError for an unknown ``wanted`` or
    one that is not installed."""
    if wanted is not None:
        check(wanted)
        return wanted, ""
    own = trained.cell.backend
    reason = _missing(own)
    if not reason:
        return own, ""
    other = common()
    return other, f"{own}, which trained it, can not compute here ({reason}): {other} does"


def check(wanted: str) -> None:
    """BackendError for an unknown backend and for one that is not installed."""
    names = [*adapter.backends(), REFERENCE]
    if wanted not in names:
        raise BackendError(f"--backend {wanted!r} is unknown; allowed are {', '.join(names)}")
    if reason := _missing(wanted):
        raise BackendError(f"--backend {wanted}: {reason}; {REFERENCE} is always there")


def common() -> str:
    """Who computes networks of any backend: several frameworks in one process would only be in each other's way."""
    return FALLBACK if not _missing(FALLBACK) else REFERENCE


def _missing(backend: str) -> str | None:
    if backend == REFERENCE:
        return None
    if backend not in adapter.backends():
        return f"there is no backend {backend}"
    return adapter.adapter_class(backend).missing()


class Computer:
    """One backend in this process, on the CPU.  BackendError where it can not be started."""

    def __init__(self, trained: Trained, backend: str, threads: int) -> None:
        self._trained = trained
        self._training = trained.cell.make_training()
        self._adapter: Adapter | None = None
        if backend == REFERENCE:
            return
        setting = Setting("cpu", "float32", threads)
        kind = adapter.adapter_class(backend)
        os.environ.update(kind.environment(setting))
        self._adapter = kind()
        try:
            self._adapter.configure(setting)
        except (ImportError, RuntimeError) as error:
            raise BackendError(f"{backend} can not be started here: {error}; --backend {REFERENCE} can") from error
        if reason := self._adapter.availability("cpu"):
            raise BackendError(f"{backend} can not compute here: {reason}; --backend {REFERENCE} can")

    def denoiser(self, architecture: Architecture) -> Denoiser:
        """Of the trained network, or of a resized one: the weights are the same."""
        import numpy as np

        if self._adapter is None:
            from implementations.reference import Reference

            network = Reference(architecture, self._training, self._trained.weights)
            size = self._training.batch_size

            def batched(noisy: Array) -> Array:
                parts = [network.reconstruct(noisy[start : start + size]) for start in range(0, len(noisy), size)]
                return np.concatenate(parts).astype(np.float32)

            return batched
        able = self._adapter.sibling()
        track: adapter.Track = "idiomatic" if "idiomatic" in able.tracks else able.tracks[0]
        able.build(architecture, self._training, track)
        able.load_weights({name: value.astype(np.float32) for name, value in self._trained.weights.items()})
        return able.reconstruct
