"""Agreement of backends: an equivalence test that seldom claims what is not so, and who stands for a cell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import fake_run
import numpy as np
import pytest

from results.agreement import MARGIN, agreements, equivalence
from results.loading import Run, frame
from results.roles import figures
from results.schema import Record, validate


@pytest.mark.parametrize("cells", [2, 3, 8, 30])
@pytest.mark.parametrize("spread", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("true", [MARGIN, -MARGIN])
def test_equivalence_that_is_not_there_is_claimed_in_at_most_5_percent(cells: int, spread: float, true: float) -> None:
    """At the very margin, the hardest case.  5,000 sessions: 5 % has a standard error of 0.3 %."""
    random = np.random.default_rng(cells)
    sessions = random.normal(true, spread, (5000, cells))
    claimed = sum(equivalence(list(session)).shown for session in sessions)
    assert claimed / 5000 <= 0.05 + 3 * 0.0031


def test_what_agrees_to_rounding_is_shown_with_few_cells() -> None:
    random = np.random.default_rng(1)
    for cells, least in ((2, 0.8), (4, 0.99), (8, 0.999)):
        sessions = random.normal(0.0, 0.01, (2000, cells))
        assert sum(equivalence(list(session)).shown for session in sessions) / 2000 >= least


def test_one_cell_shows_nothing_and_a_large_difference_refutes() -> None:
    assert not equivalence([]).shown
    one = equivalence([0.0])
    assert (one.cells, one.shown, one.refuted) == (1, False, False)
    assert equivalence([0.5, 0.51, 0.52]).refuted
    wide = equivalence([-0.3, 0.3, 0.0])
    assert (wide.shown, wide.refuted) == (False, False)


def trial(backend: str, psnr: float, role: str | None = None, lead: float = 1.0, **axes: Any) -> Record:
    """A record of an ok trial that is ``lead`` dB better than the mean image."""
    rest = {name: axes.pop(name) for name in ("stopped",) if name in axes}
    common = {"dataset": "glyphs", "train": 100, "test": 50, "corruption": "gaussian(0.4)", "clip": True,
              "refresh": False, "epochs": 5, "seed": 0, "cross_noise": ""}  # fmt: skip
    setting = {name: axes.pop(name) for name in ("architecture", "latent", "loss") if name in axes}
    track = axes.pop("track", "tuned")
    cell = fake_run.cell(backend, track, **{"architecture": "dense", "latent": 8, "loss": "mse", **setting})
    metrics = {"psnr": psnr, "psnr_noisy": 11.0, "psnr_gain": psnr - 11.0, "psnr_over_mean": lead + 0.1,
               "psnr_over_mean_low": lead}  # fmt: skip
    given = {} if role is None else {"role": role}
    return fake_run.record("trial", {**cell, **common, **axes}, metrics=metrics, **given, **rest)


def test_differences_are_taken_from_what_stands_and_averaged_over_seeds() -> None:
    trials = []
    for latent, offset in ((8, 0.01), (16, 0.02), (32, 0.03)):
        for seed in (0, 1):
            shift = offset + (0.05 if seed else -0.05)
            trials.append(trial("torch", 18.0 + seed, "trained", latent=latent, seed=seed))
            trials.append(trial("jax", 18.0 + seed + shift, "confirmed", latent=latent, seed=seed))
    (found,) = agreements(trials)
    assert (found.who.backend, [one.backend for one in found.references], found.repeats) == ("jax", ["torch"], True)
    assert found.found.cells == 3
    assert found.found.difference.value == pytest.approx(0.02)
    half = 2.919986 * 0.01 / math.sqrt(3)  # Student's t at 95 %, two degrees of freedom
    assert found.found.difference.high == pytest.approx(0.02 + half, rel=1e-4)
    assert found.largest == pytest.approx(0.08)


def test_untrained_networks_and_trainings_that_a_clock_ended_prove_nothing() -> None:
    trials = []
    for latent in (8, 16, 32):
        trials += [
            trial("torch", 10.2, "trained", lead=-0.01, latent=latent),
            trial("jax", 10.2, "confirmed", latent=latent),
        ]
    for latent in (64, 65):
        trials += [
            trial("torch", 18.0, "trained", latent=latent),
            trial("jax", 18.0, "confirmed", latent=latent, stopped="budget"),
        ]
    (found,) = agreements(trials)
    assert (found.found.cells, found.left_out, found.found.shown) == (0, 5, False)
    assert math.isnan(found.largest)


def test_without_roles_the_backend_with_most_trials_is_what_others_are_held_against() -> None:
    trials = [trial("torch", 18.0, latent=latent) for latent in (8, 16, 32)]
    trials += [trial("jax", 18.01, latent=latent) for latent in (8, 16)]
    trials += [trial("jax", 18.5, latent=8, device="cuda")]
    (found,) = agreements(trials)
    assert (found.who.backend, found.references[0].backend, found.found.cells) == ("jax", "torch", 2)
    assert not found.repeats


def run_of(*records: Record) -> Run:
    for record in records:
        validate(record)
    return Run(Path("r"), {}, records, records, ())


def test_figures_come_from_what_stands_for_a_cell() -> None:
    torch, jax = trial("torch", 18.0, "trained"), trial("jax", 18.4, "confirmed")
    alone = trial("jax", 17.0, "confirmed", latent=16)
    second = trial("keras[jax]", 17.2, "confirmed", latent=16)
    old = [trial("torch", 15.0, loss="bce"), trial("jax", 15.0, loss="bce")]
    run = run_of(jax, torch, alone, second, *old)
    assert list(figures(run).current) == [torch, alone, *old]
    assert list(figures(run, frozenset([torch["id"]])).current) == [jax, torch, alone, *old], "what is trusted stands"
    table = frame(run.current, "trial")
    assert list(table[table.role != "confirmed"].index) == [1, 4, 5]
