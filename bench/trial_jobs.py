"""Trials as jobs: how long each may take, and in which order they go."""

from __future__ import annotations

from typing import Any

from bench.cells import TrialCell

TRIAL_TIMEOUT = 600.0
"""Seconds that a trial may take whatever it trains: imports, compilation, data, scoring ..."""
SLOWEST_WORK = 1e9
"""... and FLOP/s below which training counts as hanging: a twentieth of the slowest backend seen on one core."""


def trial_timeout(cell: TrialCell) -> float:
    """Seconds after which a trial is given up, if nobody says otherwise."""
    network = cell.make_architecture()
    flops = network.forward_flops() + network.backward_flops()
    return TRIAL_TIMEOUT + flops * (cell.train or 60_000) * cell.repeats * cell.epochs / SLOWEST_WORK


def build_order(cell: TrialCell) -> tuple[Any, ...]:
    """Equal builds behind each other, for compiled ones cost seconds; and equal data, for noise is kept."""
    build = (cell.architecture, cell.latent or 0, cell.height, cell.channels, cell.loss, cell.optimizer, cell.defaults)
    data = (cell.dataset, cell.train or 0, cell.corruption, cell.clip, cell.seed, cell.repeats)
    return (cell.backend, str(cell.setting), build, cell.batch_size, cell.learning_rate or 0.0, data)
