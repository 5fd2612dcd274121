"""Keras' layers with a bias whose gradient is added up in float32, for mixed precision in TensorFlow on a CPU.

Where XLA does not compile it, TensorFlow's kernel for the gradient of a bias adds up its numbers, one for every pixel
of a batch, in the type that they come in.  In bfloat16 a sum of ones stands still at 256: of the 100,352 terms that a
convolution of 28x28 pixels has in a batch of 128, 1 to 3 % of the sum is left.  ``fit`` does not compile on a CPU
either (Keras' ``jit_compile="auto"`` leaves XLA off there), so the idiomatic track has that gradient, and fails its
certificate where sums are long; findings/tensorflow-bias-gradient-bfloat16.sh shows it without this suite.

The layers here compute the same forward; backward the sum is taken in float32 and rounded to bfloat16 once, as torch
has it.  They are Keras' layers in all else, weights and names included.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any


@cache
def layers() -> Any:
    """``Dense``, ``Conv2D`` and ``Conv2DTranspose``; made when Keras and TensorFlow are there, which can be late."""
    import keras
    import tensorflow as tf
    from keras import layers as k

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def biased(x: Any, bias: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            return upstream, tf.cast(_sum_of_all_but_last(upstream), bias.dtype)

        return tf.nn.bias_add(x, bias), gradient

    def finished(layer: Any, products: Any) -> Any:
        """Bias and activation."""
        done = biased(products, tf.convert_to_tensor(layer.bias, products.dtype))
        return done if layer.activation is None else layer.activation(done)

    class Dense(k.Dense):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None) -> Any:
            return finished(self, keras.ops.matmul(inputs, self.kernel))

    class Conv2D(k.Conv2D):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return finished(self, self.convolution_op(inputs, self.kernel))

    class Conv2DTranspose(k.Conv2DTranspose):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            spread = keras.ops.conv_transpose(
                inputs,
                self.kernel,
                strides=list(self.strides),
                padding=self.padding,
                output_padding=self.output_padding,
                dilation_rate=self.dilation_rate,
                data_format=self.data_format,
            )
            return finished(self, spread)

    return SimpleNamespace(Dense=Dense, Conv2D=Conv2D, Conv2DTranspose=Conv2DTranspose)


def _sum_of_all_but_last(x: Any) -> Any:
    """float32 (c,) of ``x`` (..., c) in bfloat16."""
    import tensorflow as tf

    return tf.reduce_sum(tf.cast(x, tf.float32), list(range(x.shape.rank - 1)))
