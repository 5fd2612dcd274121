"""Keras on TensorFlow as its documentation trains: compile and fit."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from benchopt import BaseSolver


class Solver(BaseSolver):  # type: ignore[misc]
    name = "Keras-TensorFlow"
    parameters: ClassVar[dict[str, list[Any]]] = {"learning_rate": [0.002], "batch_size": [128], "epochs": [10]}

    def set_objective(self, noisy: Any, clean: Any, test: Any, architecture: str, latent: int) -> None:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        import keras
        from keras import layers

        self.noisy, self.clean, self.test = noisy, clean, test
        keras.utils.set_random_seed(0)
        if architecture == "dense":
            inner = [
                layers.Flatten(),
                *(layers.Dense(units, activation="relu") for units in (256, 128, latent, 128, 256)),
                layers.Dense(784, activation="sigmoid"),
                layers.Reshape((28, 28, 1)),
            ]
        else:
            shared = {"kernel_size": 3, "padding": "same", "activation": "relu", "strides": 2}
            inner = [
                layers.Conv2D(16, **shared),
                layers.Conv2D(32, **shared),
                layers.Flatten(),
                layers.Dense(latent, activation="relu"),
                layers.Dense(7 * 7 * 32, activation="relu"),
                layers.Reshape((7, 7, 32)),
                layers.Conv2DTranspose(32, **shared),
                layers.Conv2DTranspose(16, **shared),
                layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
            ]
        self.model = keras.Sequential([layers.Input((28, 28, 1)), *inner])
        self.model.compile(optimizer=keras.optimizers.Adam(self.learning_rate), loss="binary_crossentropy")

    def run(self, _: Any) -> None:
        self.model.fit(self.noisy, self.clean, batch_size=self.batch_size, epochs=self.epochs, verbose=0)

    def get_result(self) -> dict[str, Any]:
        return {"denoised": self.model.predict(self.test, verbose=0)}
