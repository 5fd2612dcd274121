"""Train once: what may be given to one backend, who gets it, and what the others confirm."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import pytest

from bench.cells import TimingCell, TrialCell
from bench.confirm import LEAST_CONFIRMED, assign, cheapest, product, saved
from bench.corruption import parse
from bench.estimate import estimate, expected_trials
from bench.pace import Pace
from bench.plan import Plan
from bench.records import Ended, make_record
from results.schema import Record

NOISES = ("gaussian(0.2)", "gaussian(0.4)", "gaussian(0.6)", "masking(0.5)", "blur(1) + gaussian(0.1)")


def trial(backend: str = "torch", **axes: Any) -> TrialCell:
    return TrialCell(**{"backend": backend, "track": "tuned", "architecture": "dense", "latent": 8, **axes})


def grid(*backends: str, **axes: Any) -> tuple[TrialCell, ...]:
    return tuple(
        trial(backend, architecture=network, latent=latent, corruption=noise, loss=loss, seed=seed, **axes)
        for network in ("dense", "conv")
        for latent in (8, 16, 32)
        for noise in NOISES
        for loss in ("mse", "bce")
        for seed in (0, 1, 2)
        for backend in backends
    )


def stratum(cell: TrialCell) -> tuple[Any, ...]:
    return cell.architecture, cell.loss, tuple(step.kind for step in parse(cell.corruption).steps)


def first(group: Any) -> TrialCell:
    return group[0]


def test_every_cell_is_trained_once_and_every_stratum_confirmed() -> None:
    cells = grid("torch", "jax", "keras[jax]")
    found = assign(product(cells), first)
    assert (len(found.trained), len(set(found.trained)), found.full) == (180, 180, ())
    assert Counter(cell.backend for cell in found.confirmed) == {"jax": 12, "keras[jax]": 12}
    for backend in ("jax", "keras[jax]"):
        sample = [cell for cell in found.confirmed if cell.backend == backend]
        assert {stratum(cell) for cell in sample} == {stratum(cell) for cell in cells}
        for axis, values in (("latent", 3), ("seed", 3)):
            counts = Counter(getattr(cell, axis) for cell in sample)
            assert (len(counts), max(counts.values()) - min(counts.values()) <= 1) == (values, True), (
                f"{axis} is spread"
            )
        levels = {cell.corruption for cell in sample if stratum(cell)[2] == ("gaussian",)}
        assert len(levels) == 3
    both = [
        {replace(cell, backend="") for cell in found.confirmed if cell.backend == name}
        for name in ("jax", "keras[jax]")
    ]
    assert both[0] == both[1], "they confirm the same cells"
    assert assign(product(cells), first) == found
    assert saved(product(cells), found) == "180 trials are trained once instead of 540 times; 24 confirm"


def test_the_sample_does_not_depend_on_who_trains() -> None:
    found = product(grid("torch", "jax"))
    by_torch, by_jax = (assign(found, lambda group, name=name: next(c for c in group if c.backend == name))
                        for name in ("torch", "jax"))  # fmt: skip
    assert {replace(c, backend="") for c in by_torch.confirmed} == {replace(c, backend="") for c in by_jax.confirmed}


def test_a_backend_with_a_few_cells_confirms_those_and_others_the_same() -> None:
    few = tuple(trial("jax", architecture=name, corruption="gaussian(0.4)", loss="bce") for name in ("dense", "conv"))
    found = assign(product((*grid("torch", "keras[torch]"), *few)), first)
    assert {cell for cell in found.confirmed if cell.backend == "jax"} == set(few)
    assert {replace(cell, backend="keras[torch]") for cell in few} <= set(found.confirmed)


def test_one_stratum_is_confirmed_in_several_cells_whatever_their_seeds() -> None:
    cells = [trial(name, latent=n, seed=seed) for n in range(1, 9) for seed in (0, 1, 2) for name in ("torch", "jax")]
    found = assign(product(tuple(cells)), first)
    assert len({cell.latent for cell in found.confirmed}) == len(found.confirmed) == LEAST_CONFIRMED
    alone = [trial(name, seed=seed) for seed in range(5) for name in ("torch", "jax")]
    assert len(assign(product(tuple(alone)), first).confirmed) == 1, "seeds of one cell are one"


def test_what_nobody_proves_equal_is_never_thinned() -> None:
    both = ("torch", "jax")
    native = [trial(name, defaults="native", learning_rate=None, seed=1) for name in both]
    twins = [cell.matched() for cell in native]
    coarse = [trial(name, precision=precision) for name in both for precision in ("bfloat16", "tf32")]
    exact = [trial(name, precision="float64") for name in both]
    single = [trial("torch", latent=99)]
    found = product((*native, *twins, *coarse, *exact, *single))
    assert set(found.full) == {*native, *twins, *coarse}
    assert len(found.groups) == 2
    assert assign(found, first).trained == (exact[0], *single)


def test_each_device_trains_once_and_confirms() -> None:
    cells = tuple(trial(name, device=device, latent=n) for device in ("cpu", "cuda") for n in range(1, 9)
                  for name in ("torch", "jax"))  # fmt: skip
    found = assign(product(cells), first)
    assert Counter(cell.device for cell in found.trained) == {"cpu": 8, "cuda": 8}
    assert Counter((cell.device, cell.backend) for cell in found.confirmed) == {("cpu", "jax"): 4, ("cuda", "jax"): 4}


def plan(cells: tuple[TrialCell, ...], quality: Any) -> Plan:
    return Plan("p", "", {}, (), cells, (), (), quality=quality)


def test_an_estimate_knows_that_less_is_trained() -> None:
    cells = grid("torch", "jax", train=2000, test=100)
    once, every = plan(cells, "once"), plan(cells, "all")
    assert expected_trials(every).cells == cells
    expected = expected_trials(once)
    assert len(expected.trained) == 180
    assert {cell.backend for cell in expected.trained if cell.architecture == "conv"} == {"torch"}, "the faster one"
    assert estimate(once).trials < 0.5 * estimate(every).trials


def measured(cell: TrialCell, seconds: float, **rest: Any) -> Record:
    facts = {"metrics": {"psnr": 18.0, "train_seconds": seconds}, "images": {"train": 1000}, "curve": [{"epoch": 1}],
             "parts": {"build_seconds": 0.01}, **rest}  # fmt: skip
    return make_record(Ended(cell, "ok", seconds=seconds, facts=facts), "f", "here")


def test_what_is_measured_decides_who_is_fastest() -> None:
    group = [trial(name, architecture="conv", train=1000) for name in ("torch", "jax")]
    found = product(tuple(group))
    assert cheapest(group, Pace(found)).backend == "torch", "by the estimate"
    torch, jax = measured(group[0], 9.0), measured(group[1], 3.0)
    pace = Pace(found, [torch, jax], "here")
    assert pace.measured
    assert cheapest(group, pace).backend == "jax"
    assert cheapest(group, Pace(found, [torch, jax], "elsewhere")).backend == "torch", "another machine says nothing"
    # A machine that is slow throughout: what was not measured is expected to be slow too.
    assert cheapest(group, Pace(found, [torch], "here")).backend == "torch"


def test_timing_sessions_count_before_trials() -> None:
    group = [trial(name, architecture="conv", train=1000) for name in ("torch", "jax")]
    rates = {"torch": 200.0, "jax": 1000.0}
    timings = []
    for cell in group:
        facts = {"metrics": {"train_samples_per_second": rates[cell.backend]}}
        timings.append(make_record(Ended(TimingCell.from_axes(cell.axes()), "ok", facts=facts), "f", "here"))
    trials = [measured(group[0], 0.1), measured(group[1], 10.0)]
    assert cheapest(group, Pace(product(tuple(group)), [*trials, *timings], "here")).backend == "jax"


def test_the_sharing_of_compilation_is_by_network() -> None:
    cells = grid("torch")
    shares = defaultdict(int)
    for cell in cells:
        shares[cell.architecture, cell.latent, cell.loss] += 1
    found = product(cells)
    assert {found.share(cell) for cell in cells} == set(shares.values()) == {15}


@pytest.mark.parametrize("quality", ["once", "all"])
def test_one_backend_alone_confirms_nothing(quality: Any) -> None:
    cells = grid("torch")
    assert set(expected_trials(plan(cells, quality)).cells) == set(cells)
