"""Training as the five sources have it: Keras on TensorFlow, outside of this suite.

``python -m bench.suite.published_loops opengenus 0 3``: recipe, core, epochs; seconds of each as JSON on stdout.  With
``--undivided`` the process has the scheduling of our workers (:func:`bench.worker.run_undivided`), which alone makes
``fit`` up to twice as fast on one core.  What is written here uses nothing of this suite but the images.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.worker import pin, run_undivided

SAMPLES = 2048
WARM_UP = 1

Epoch = Callable[[], Any]


def _sequential(*layers: Any, shape: tuple[int, ...] = (28, 28, 1)) -> Any:
    import keras

    return keras.Sequential([keras.Input(shape), *layers])


def opengenus(noisy: Any, clean: Any) -> tuple[Any, Epoch]:
    """A gradient tape, eagerly; noise drawn for every batch; the model is called outside training mode."""
    import keras
    import tensorflow as tf
    from keras import layers

    def block(layer: Any, *after: Any) -> list[Any]:
        return [layer, layers.BatchNormalization(), layers.LeakyReLU(negative_slope=0.3), *after]

    encoder = _sequential(
        *block(layers.Conv2D(32, 3, padding="same"), layers.MaxPooling2D(2)),
        *block(layers.Conv2D(64, 3), layers.MaxPooling2D(2)),
        *block(layers.Conv2D(128, 3)),
        layers.Flatten(),
    )
    decoder = _sequential(
        layers.Reshape((4, 4, 128)),
        *block(layers.Conv2DTranspose(64, 3), layers.UpSampling2D(2)),
        *block(layers.Conv2DTranspose(32, 3, padding="same"), layers.UpSampling2D(2)),
        *block(layers.Conv2DTranspose(1, 3)),
        layers.Conv2DTranspose(1, 3, activation="sigmoid"),
        shape=(2048,),
    )
    optimizer = keras.optimizers.Adam(3e-6, beta_1=0.99)
    variables = encoder.trainable_variables + decoder.trainable_variables
    optimizer.build(variables)
    images = tf.data.Dataset.from_tensor_slices(clean).shuffle(len(clean)).batch(64)

    def epoch() -> None:
        for batch in images:
            given = tf.clip_by_value(batch + tf.random.normal(tf.shape(batch), stddev=0.1), 0.0, 1.0)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(batch - decoder(encoder(given))))
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    return keras.Sequential([encoder, decoder]), epoch


def ghosh(noisy: Any, clean: Any) -> tuple[Any, Epoch]:
    """A subclass of ``keras.Model`` and ``fit``."""
    import keras
    from keras import layers

    strided = {"strides": 2, "padding": "same", "activation": "relu"}

    class Denoise(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = _sequential(layers.Conv2D(16, 3, **strided), layers.Conv2D(8, 3, **strided))
            self.decoder = _sequential(
                layers.Conv2DTranspose(8, 3, **strided),
                layers.Conv2DTranspose(16, 3, **strided),
                layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
                shape=(7, 7, 8),
            )

        def call(self, images: Any) -> Any:
            return self.decoder(self.encoder(images))

    model = Denoise()
    model.compile(optimizer="adam", loss=keras.losses.MeanSquaredError())
    return model, lambda: model.fit(noisy, clean, batch_size=32, shuffle=True, verbose=0)


def dense(noisy: Any, clean: Any) -> tuple[Any, Epoch]:
    """``fit`` on vectors of 784 numbers."""
    from keras import layers

    hidden = [layers.Dense(units, activation="relu") for units in (256, 128, 64, 128, 256)]
    model = _sequential(*hidden, layers.Dense(784, activation="sigmoid"), shape=(784,))
    model.compile(optimizer="adam", loss="binary_crossentropy")
    given, wanted = noisy.reshape(len(noisy), -1), clean.reshape(len(clean), -1)
    return model, lambda: model.fit(given, wanted, batch_size=128, shuffle=True, verbose=0)


def latif(noisy: Any, clean: Any) -> tuple[Any, Epoch]:
    from keras import layers

    def convolution(filters: int) -> Any:
        return layers.Conv2D(filters, 3, activation="relu", padding="same")

    model = _sequential(
        *(convolution(32), layers.MaxPooling2D(2), convolution(64), layers.MaxPooling2D(2)),
        *(convolution(64), layers.UpSampling2D(2), convolution(32), layers.UpSampling2D(2)),
        layers.Conv2D(1, 3, activation="sigmoid", padding="same"),
    )
    model.compile(optimizer="adam", loss="mse")
    return model, lambda: model.fit(noisy, clean, batch_size=128, verbose=0)


def blur_noise(noisy: Any, clean: Any) -> tuple[Any, Epoch]:
    """After the Keras blog; Adadelta at the learning rate of its day."""
    import keras
    from keras import layers

    def convolution(filters: int, padding: str = "same") -> Any:
        return layers.Conv2D(filters, 3, activation="relu", padding=padding)

    def pool() -> Any:
        return layers.MaxPooling2D(2, padding="same")

    model = _sequential(
        *(convolution(16), pool(), convolution(8), pool(), convolution(8), pool()),
        *(convolution(8), layers.UpSampling2D(2), convolution(8), layers.UpSampling2D(2)),
        *(convolution(16, "valid"), layers.UpSampling2D(2)),
        layers.Conv2D(1, 3, activation="sigmoid", padding="same"),
    )
    model.compile(optimizer=keras.optimizers.Adadelta(1.0), loss="binary_crossentropy")
    return model, lambda: model.fit(noisy, clean, batch_size=128, shuffle=True, verbose=0)


LOOPS = {"opengenus": opengenus, "ghosh": ghosh, "dense": dense, "latif": latif, "blur-noise": blur_noise}


def make(recipe: str, noisy: Any, clean: Any) -> tuple[Any, Epoch]:
    """Model and epoch of a recipe, for images (n, 28, 28, 1): in a process that has not imported Keras yet.

    All five ran on TensorFlow, whatever ``KERAS_BACKEND`` says to the user's other programs.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    return LOOPS[recipe](noisy, clean)


def measure(recipe: str, epochs: int) -> list[float]:
    """Seconds of epochs over :data:`SAMPLES` images, what is traced and compiled not counted."""
    noisy, clean = np.random.default_rng(0).random((2, SAMPLES, 28, 28, 1), np.float32)
    _, epoch = make(recipe, noisy, clean)
    seconds = []
    for number in range(WARM_UP + epochs):
        start = time.perf_counter()
        epoch()
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    name, core, count = sys.argv[1:4]
    pin([int(core)])
    if "--undivided" in sys.argv:
        run_undivided()
    answer = json.dumps(measure(name, int(count)))
    sys.stdout.write(answer + "\n")
