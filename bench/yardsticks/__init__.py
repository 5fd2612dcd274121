"""What a denoising autoencoder is worth: classical denoisers, and the best linear denoiser of every rank.

``score_yardsticks`` scores them on arrays; ``run_yardstick`` runs a :class:`YardstickCell` as trials are run.
"""

from bench.yardsticks.base import Method, YardstickError
from bench.yardsticks.calibrate import Calibration, calibrate
from bench.yardsticks.cell import YardstickBench, YardstickCell, fingerprint, run_yardstick
from bench.yardsticks.classical import METHODS, PLAIN, TONED, method
from bench.yardsticks.linear import LinearDenoiser, LinearMap, LinearOptimum
from bench.yardsticks.score import LINEAR, NAMES, Rate, Result, score_yardsticks

__all__ = [
    "LINEAR",
    "METHODS",
    "NAMES",
    "PLAIN",
    "TONED",
    "Calibration",
    "LinearDenoiser",
    "LinearMap",
    "LinearOptimum",
    "Method",
    "Rate",
    "Result",
    "YardstickBench",
    "YardstickCell",
    "YardstickError",
    "calibrate",
    "fingerprint",
    "method",
    "run_yardstick",
    "score_yardsticks",
]
