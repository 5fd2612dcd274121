"""A backend that computes what ``torch`` computes and really does 3 % more work: the regression with a known answer.

The extra work is of the same kind as the work itself: a second network of the same shape is trained on, and asked to
reconstruct, 3 images for every 100.  The first network is left alone, so the backend is certified like any other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from implementations.adapter import Setting, Track
from implementations.architecture import Architecture
from implementations.parameters import Array, Weights
from implementations.torch_adapter import Torch
from implementations.training import Training

EXTRA = 0.03


class MoreWork(Torch):
    """``torch`` with :data:`EXTRA` more work in training and inference."""

    name = "torch-3-percent-more"

    def configure(self, setting: Setting) -> None:
        super().configure(setting)
        self._shadow = Torch()
        # Not configured a second time: threads can be set once a process.
        self._shadow.setting, self._shadow.dtype, self._shadow.device = self.setting, self.dtype, self.device
        self._owed = {"train": 0.0, "reconstruct": 0.0}

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        super().build(architecture, training, track)
        self._shadow.build(architecture, training, track)

    def load_weights(self, weights: Weights) -> None:
        super().load_weights(weights)
        self._shadow.load_weights(weights)

    def stage(self, noisy: Array, clean: Array) -> None:
        super().stage(noisy, clean)
        self._shadow.stage(noisy, clean)

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        loss = super().train_epoch(order)
        if count := self._due("train", len(order)):
            self._shadow.train_epoch(np.resize(order, count))
        return loss

    def reconstruct(self, noisy: Array) -> Array:
        images = super().reconstruct(noisy)
        if count := self._due("reconstruct", len(noisy)):
            self._shadow.reconstruct(noisy[np.resize(np.arange(len(noisy)), count)])
        return images

    def _due(self, verb: str, images: int) -> int:
        """How many images the shadow has to do now: whole batches, for a small one costs as much as a large one;
        what is left over is owed."""
        self._owed[verb] += EXTRA * images
        size = self.training.batch_size
        due = int(self._owed[verb]) // size * size
        self._owed[verb] -= due
        return due
