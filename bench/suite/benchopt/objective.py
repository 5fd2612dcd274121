"""The cells of `quick` as a benchopt benchmark: how close denoised letters come to clean ones.

Written the way benchopt's documentation writes machine-learning benchmarks: a solver is run once, and its images are
scored.  ``python -m bench.suite.against_benchopt`` runs it beside `daebench run quick`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from benchopt import BaseObjective


class Objective(BaseObjective):  # type: ignore[misc]
    name = "Denoising autoencoder"
    min_benchopt_version = "1.10"
    sampling_strategy = "run_once"
    parameters: ClassVar[dict[str, list[Any]]] = {
        "architecture, latent": [("dense", 64), ("dense", 32), ("conv", 64)],
    }

    def set_data(self, train: Any, noisy_train: Any, test: Any, noisy_test: Any) -> None:
        self.train, self.noisy_train, self.test, self.noisy_test = train, noisy_train, test, noisy_test

    def get_objective(self) -> dict[str, Any]:
        return {
            "noisy": self.noisy_train,
            "clean": self.train,
            "test": self.noisy_test,
            "architecture": self.architecture,
            "latent": self.latent,
        }

    def evaluate_result(self, denoised: Any) -> dict[str, float]:
        from skimage.metrics import peak_signal_noise_ratio, structural_similarity

        pairs = list(zip(self.test[..., 0], np.clip(denoised, 0, 1)[..., 0], strict=True))
        psnr = [peak_signal_noise_ratio(clean, image, data_range=1.0) for clean, image in pairs]
        ssim = [structural_similarity(clean, image, data_range=1.0) for clean, image in pairs]
        return {"value": float(-np.mean(psnr)), "psnr": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}

    def get_one_result(self) -> dict[str, Any]:
        return {"denoised": self.noisy_test}
