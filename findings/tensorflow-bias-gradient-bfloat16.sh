#!/usr/bin/env bash
# TensorFlow adds up the gradient of a bias in bfloat16 on a CPU, unless XLA compiles it.
#
# Version:   tensorflow 2.21.0 (constraints.txt), Python 3.11, Linux x86-64, CPU.
# Behaviour: tf.nn.bias_add(x, bias), x of shape (128, 28, 28, 32) in bfloat16, has as gradient of the bias the sum of
#            100,352 numbers for every channel.  The kernel (BiasAddGrad) adds them up in bfloat16, whose 8 significant
#            bits lose every term that is less than half a unit of the last digit of the sum so far: ones stand still at
#            a few hundred.  The same op compiled by XLA, and a sum of the same numbers in float32, are whole.
# Who meets it: whoever trains in mixed precision (Keras' policy mixed_bfloat16) on a CPU.  Keras' ``fit`` leaves XLA off
#            there (jit_compile="auto"), so biases of convolutions get a small part of their gradient.
# Way round: sum in float32 (tf.custom_gradient around the addition), or tf.function(jit_compile=True).
#
# Output seen:
#   tensorflow 2.21.0
#   eager: 512 of 100,352 (0.51%)
#   tf.function: 512 of 100,352 (0.51%)
#   tf.function, jit_compile=True: 100,352 of 100,352 (100.00%)
#   a sum in float32: 100,352 of 100,352 (100.00%)
#   as before
# Ends with 0 as long as the behaviour is this one, with 1 if it has changed, and with another code if it could not be
# tried.  Needs python3 and a package index; takes a minute or two and 2 GB in a temporary folder, which it removes.
set -euo pipefail

version=2.21.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv" || exit 3
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "tensorflow==$version" "numpy==2.4.6" || exit 3

TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES='' "$folder/venv/bin/python" - <<'PYTHON'
import sys

import tensorflow as tf

print("tensorflow", tf.__version__)
terms = 128 * 28 * 28
bias = tf.zeros((32,), tf.bfloat16)
ones = tf.ones((128, 28, 28, 32), tf.bfloat16)
images = tf.zeros_like(ones)


def gradient():
    """Of the sum of all outputs after the bias, by the bias: for each channel as many ones as there are pixels."""
    with tf.GradientTape() as tape:
        tape.watch(bias)
        outputs = tf.nn.bias_add(images, bias)
    return tape.gradient(outputs, bias, output_gradients=ones)


found = {
    "eager": gradient(),
    "tf.function": tf.function(gradient)(),
    "tf.function, jit_compile=True": tf.function(gradient, jit_compile=True)(),
    "a sum in float32": tf.reduce_sum(tf.cast(ones, tf.float32), [0, 1, 2]),
}
shares = {}
for name, value in found.items():
    shares[name] = float(value[0]) / terms
    print(f"{name}: {float(value[0]):,.0f} of {terms:,} ({shares[name]:.2%})")
plain = [shares["eager"], shares["tf.function"]]
whole = [shares["tf.function, jit_compile=True"], shares["a sum in float32"]]
as_before = max(plain) < 0.1 and all(abs(share - 1) < 0.01 for share in whole)
print("as before" if as_before else "THE BEHAVIOUR HAS CHANGED")
sys.exit(0 if as_before else 1)
PYTHON
