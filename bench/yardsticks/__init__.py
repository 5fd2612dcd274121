"""What a denoising autoencoder is worth: what costs nothing, classical denoisers, the best linear one of every rank.

``score_yardsticks`` scores them on arrays; ``run_yardstick`` runs a :class:`YardstickCell` as trials are run.
"""

from bench.yardsticks.base import Method, YardstickError
from bench.yardsticks.calibrate import Calibration, calibrate
from bench.yardsticks.cell import YardstickBench, YardstickCell, fingerprint, run_yardstick
from bench.yardsticks.classical import METHODS, PLAIN, TONED, method
from bench.yardsticks.linear import LinearDenoiser, LinearMap, LinearOptimum
from bench.yardsticks.score import NAMES, Rate, Result, score_yardsticks
from bench.yardsticks.text import Chosen, method_text, parse_method

__all__ = [
    "METHODS",
    "NAMES",
    "PLAIN",
    "TONED",
    "Calibration",
    "Chosen",
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
    "method_text",
    "parse_method",
    "run_yardstick",
    "score_yardsticks",
]
