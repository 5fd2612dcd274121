"""What yardsticks are called in records, and which of them cost nothing.

Those in :data:`FREE` know nothing of networks and take no time worth speaking of: whoever does not beat them need not
have trained anything.
"""

from __future__ import annotations

IDENTITY = "identity"
MEAN_IMAGE = "mean-image"
MEDIAN_3X3 = "median-3x3"
GAUSSIAN = "gaussian"
LINEAR = "linear"

FREE = (IDENTITY, MEAN_IMAGE, MEDIAN_3X3, GAUSSIAN)
"""Scored in every run with trials: the noisy input, the mean training image (where images have one size), the median
of 3x3 pixels, and a Gaussian window whose width training images choose."""
