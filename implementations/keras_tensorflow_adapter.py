"""Keras on TensorFlow; see :mod:`implementations.keras_adapter` for the idiomatic track.

tuned
    The data are tensors on the device, an epoch is one graph: a ``while`` loop over gathered batches, forward,
    gradient and Keras' own optimizer.  XLA compiles dense networks: on a GPU the step, on a CPU the loop with it (one
    core, batches of 128, BCE: plain steps 19,300 images/s, compiled ones 24,100, the loop too 28,000).  On a CPU it
    makes convolutions slower, 10 times with batch normalisation, so they stay plain there.  In mixed precision on a CPU
    biases have gradients of their own (:mod:`implementations.keras_tensorflow_bias`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from implementations import keras_tensorflow_bias
from implementations.adapter import Compiles, Device, Setting, without_tf32
from implementations.architecture import Architecture
from implementations.epochs import loss_shape, with_room
from implementations.keras_adapter import KerasAdapter
from implementations.parameters import Array


class KerasTensorFlow(KerasAdapter):
    """The backend ``keras[tensorflow]``."""

    name = "keras[tensorflow]"
    engine = "tensorflow"
    packages = ("keras", "tensorflow")
    library = "tensorflow"
    sources = ("implementations.epochs", "implementations.keras_tensorflow_bias")
    spared = (*KerasAdapter.spared, "jax")  # TensorFlow Lite converts from it

    @classmethod
    def environment(cls, setting: Setting) -> dict[str, str]:
        return super().environment(setting) | {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            **without_tf32(setting),
        }

    def configure_engine(self, setting: Setting) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(setting.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_tensor_float_32_execution(setting.precision == "tf32")  # on by itself

    def availability(self, device: Device) -> str | None:
        import tensorflow as tf

        if device == "cuda" and not tf.config.list_physical_devices("GPU"):
            return f"tensorflow {tf.__version__} sees no CUDA device"
        return None if device != "mps" else "TensorFlow has no MPS device"

    def engine_versions(self) -> dict[str, str]:
        import tensorflow as tf

        facts = {"tensorflow": tf.__version__}
        if self.setting.device == "cuda":
            details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
            built = tf.sysconfig.get_build_info()
            facts |= {
                "device": str(details.get("device_name")),
                "cuda": str(built.get("cuda_version")),
                "cudnn": str(built.get("cudnn_version")),
            }
        return facts

    def kinds(self) -> Any:
        if self.track == "tuned" and self.setting.precision == "bfloat16" and self.setting.device == "cpu":
            return keras_tensorflow_bias.layers()
        return super().kinds()

    def build_tuned(self, architecture: Architecture) -> None:
        import tensorflow as tf

        model, loss, optimizer, batch_size = self.model, self.loss, self.optimizer, self.training.batch_size
        variables = model.trainable_variables
        self._compiled = compiled = self.setting.device == "cuda" or not architecture.is_convolutional

        shape = loss_shape(architecture)

        def train(noisy: Any, clean: Any) -> Any:
            with tf.GradientTape() as tape:
                value = loss(tf.reshape(clean, shape), tf.reshape(model(noisy, training=True), shape))
            optimizer.apply(tape.gradient(value, [variable.value for variable in variables]), variables)
            return value

        self._whole_epochs = compiled and self.setting.device == "cpu"
        # Traced once each, for batches of any size and epochs of any length over any number of images: tracing Keras'
        # layers and optimizer takes a second, and where sizes are known the graphs learn them when they are compiled.
        images = tf.TensorSpec((None, *architecture.input_shape), self.setting.dtype)
        # For the last batch of an epoch, if it is smaller: compiling for one step an epoch would not pay.
        self._rest = tf.function(train, input_signature=(images, images), jit_compile=False)
        step = tf.function(train, jit_compile=True) if compiled and not self._whole_epochs else self._rest
        # What the loop counts with has 32 bits: beside a GPU TensorFlow keeps these on the host, which needs them.
        signature = (images, images, tf.TensorSpec((None,), "int64"), tf.TensorSpec((), "int32"))

        @tf.function(jit_compile=self._whole_epochs, input_signature=signature)  # type: ignore[untyped-decorator]
        def epoch(noisy: Any, clean: Any, order: Any, batches: Any) -> Any:
            index, total = tf.constant(0), tf.zeros((), noisy.dtype)
            # Not ``for index in tf.range(batches)``: XLA takes the end of a range for a constant of the program, and
            # compiles anew for every number of batches (2 s each for dense).
            while index < batches:
                rows = tf.ensure_shape(tf.slice(order, [index * batch_size], [batch_size]), (batch_size,))
                total += step(tf.gather(noisy, rows), tf.gather(clean, rows))
                index += 1
            return total

        @tf.function(jit_compile=compiled, input_signature=(images,))  # type: ignore[untyped-decorator]
        def forward(noisy: Any) -> Any:
            output = model(noisy, training=False)
            return tf.sigmoid(output) if self.ends_in_logits else output

        self._epoch, self._forward = epoch, forward

    @property
    def compiles(self) -> Compiles:
        # ``fit`` and the loop over plain steps are graphs of a batch; XLA makes a program for a number of images.
        return "epoch" if self.track == "tuned" and self._whole_epochs else "step"

    def stage(self, noisy: Array, clean: Array) -> None:
        import tensorflow as tf

        super().stage(noisy, clean)
        if self.track == "tuned":
            if self.setting.device == "cpu":  # where they lie: a constant would be two copies
                self._tensors = tuple(tf.experimental.dlpack.from_dlpack(part.__dlpack__()) for part in self.staged)
            else:
                self._tensors = tuple(tf.constant(part) for part in self.staged)

    def tuned_epoch(self, order: NDArray[np.int64]) -> float:
        import tensorflow as tf

        noisy, clean = self._tensors
        size = self.training.batch_size
        whole = len(order) // size * size
        total = 0.0
        if whole:
            # XLA compiles anew for another length.
            places = with_room(order[:whole], size) if self._whole_epochs else order[:whole]
            total += float(self._epoch(noisy, clean, tf.constant(places), tf.constant(whole // size, "int32"))) * size
        if rest := order[whole:].size:
            rows = tf.constant(order[whole:])
            total += float(self._rest(tf.gather(noisy, rows), tf.gather(clean, rows))) * rest
        return total / len(order)

    def tuned_reconstruct(self, noisy: Array) -> Array:
        size = self.training.batch_size
        outputs = [self._forward(noisy[start : start + size]) for start in range(0, len(noisy), size)]
        return np.concatenate([output.numpy() for output in outputs])

    def encode(self, images: Array) -> Array:
        # Called and not predicted: tracing costs more than some batches of what is not timed.
        self.architecture.check_code()
        size, images = self.training.batch_size, np.asarray(images, self.setting.dtype)
        parts = [self.encoder(images[start : start + size], training=False) for start in range(0, len(images), size)]
        return np.concatenate([np.asarray(part, self.setting.dtype).reshape(len(part), -1) for part in parts])

    def differentiate(self, noisy: Array, clean: Array) -> tuple[Array, float, list[Array]]:
        import tensorflow as tf

        def differentiated(noisy: Any, clean: Any) -> Any:
            with tf.GradientTape() as tape:
                output = self.model(noisy, training=True)
                loss = self.loss(clean, output)
            gradients = tape.gradient(loss, [variable.value for variable in self.model.trainable_variables])
            return output, loss, gradients

        # By what the track trains with: in mixed precision XLA adds up otherwise than plain steps do.
        compiled = self._compiled if self.track == "tuned" else self.model.jit_compile
        whole = compiled and self.setting.precision == "bfloat16"
        compute = tf.function(differentiated, jit_compile=True) if whole else differentiated
        output, loss, gradients = compute(tf.constant(noisy), tf.constant(clean))
        return output.numpy(), float(loss), [np.array(tf.convert_to_tensor(gradient)) for gradient in gradients]

    def synchronize(self) -> None:
        import tensorflow as tf

        if self.setting.device == "cuda":
            tf.test.experimental.sync_devices()

    def peak_device_memory(self) -> int | None:
        import tensorflow as tf

        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"]) if self.setting.device == "cuda" else None

    def matrix_products(self, size: int) -> Callable[[int], None] | None:
        import tensorflow as tf

        one, other = (tf.random.uniform((size, size), dtype=self.setting.product_dtype) for _ in range(2))

        def multiply(count: int) -> None:
            for _ in range(count):
                tf.linalg.matmul(one, other)
            self.synchronize()

        return multiply
