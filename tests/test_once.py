"""Runs in which each cell is trained once: who trains it, who confirms it, and what happens when either can not."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_backend
import pytest
from test_runner import QUIET, plan, records, trial

from bench import lanes, once
from bench.cells import TrialCell
from bench.plan import Plan
from bench.runner import run
from results.agreement import agreements, equivalence
from results.loading import load_run
from results.roles import CONFIRMED, TRAINED, computation, figures

NOISES = ("gaussian(0.4)", "masking(0.5)")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _announced(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAEBENCH_CACHE", str(cache))


def cells(*backends: str, **axes: Any) -> list[TrialCell]:
    return [
        trial(name, corruption=noise, latent=latent, seed=seed, **axes)
        for noise in NOISES
        for latent in (4, 8, 12)
        for seed in (0, 1)
        for name in backends
    ]


def sweep(*trials: TrialCell) -> Plan:
    return replace(plan(*trials), quality="once")


def trials_of(folder: Path, status: str | None = "ok") -> list[dict[str, Any]]:
    return [one for one in records(folder) if one["kind"] == "trial" and status in (None, one["status"])]


@pytest.fixture
def _all_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs on 64 letters teach nothing, which would show no agreement."""
    monkeypatch.setattr("results.agreement.is_trained", lambda record: True)


@pytest.mark.usefixtures("_all_learn")
def test_each_cell_is_trained_once_by_the_faster_and_confirmed_by_the_other(tmp_path: Path) -> None:
    what = sweep(*cells("fake", "other", train=200))
    outcome = run(what, tmp_path, QUIET)
    kept = trials_of(tmp_path)
    by_role = Counter((one["cell"]["backend"], one["role"]) for one in kept)
    assert sum(count for (_, role), count in by_role.items() if role == TRAINED) == 12
    assert by_role["fake", TRAINED] > by_role["other", TRAINED], "it is ten times as fast, which nobody knew before"
    assert len({computation(one["cell"]) for one in kept}) == 12
    assert sum(count for (_, role), count in by_role.items() if role == CONFIRMED) == 4
    assert outcome.counts == {"ok": len(what.certificates) + 16}
    assert json.loads((tmp_path / "run.json").read_text())["planned"]["trial"] == 16
    (found,) = {one.who.backend: one for one in agreements(kept) if one.repeats}.values()
    assert found.found.shown
    stands = figures(load_run(tmp_path)).of("trial", "ok")
    assert (len(stands), {one["role"] for one in stands}) == (12, {TRAINED})

    again = run(what, tmp_path, QUIET)
    assert (again.ran, again.counts) == (0, outcome.counts)


@pytest.mark.usefixtures("_all_learn")
def test_a_run_that_goes_on_trains_nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was done before it was stopped: one by one, by both backends."""
    every = cells("fake", "other")
    run(sweep(*(cell for cell in every if cell.backend == "other" and cell.latent == 12)), tmp_path, QUIET)
    before = {computation(one["cell"]) for one in trials_of(tmp_path)}
    assert len(before) == 4

    seen = 0

    def stop(self: Any, ended: Any, phase: str | None = None) -> None:
        nonlocal seen
        keep(self, ended, phase)
        seen += isinstance(ended.cell, TrialCell)
        if seen == 5:
            raise KeyboardInterrupt

    from bench.runner import _Run

    keep = _Run._keep
    with monkeypatch.context() as patched:
        patched.setattr(_Run, "_keep", stop)
        assert run(sweep(*every), tmp_path, QUIET).interrupted
    assert run(sweep(*every), tmp_path, QUIET).ran > 0
    by_cell: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for one in trials_of(tmp_path):
        by_cell[computation(one["cell"])].append(one)
    assert len(by_cell) == 12
    for group in by_cell.values():
        assert Counter(one.get("role") for one in group)[TRAINED] == 1
    assert sum(map(len, by_cell.values())) <= 12 + 5, "four confirm, and one may have changed its part"
    for key in before:
        assert any(one["cell"]["backend"] == "other" and one["role"] == TRAINED for one in by_cell[key])


@pytest.mark.usefixtures("_all_learn")
def test_who_computes_something_else_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once.Pace, "__call__", lambda self, cell: float(cell.backend != "wrong"))
    run(sweep(*cells("fake", "wrong")), tmp_path, QUIET)
    kept = trials_of(tmp_path, None)
    assert Counter((one["cell"]["backend"], one["status"]) for one in kept) == {
        ("fake", "ok"): 12,
        ("wrong", "parity_failed"): 4,
    }
    assert {one["role"] for one in kept if one["status"] == "ok"} == {TRAINED}


@pytest.mark.usefixtures("_all_learn")
def test_the_cells_of_a_backend_that_crashes_go_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once.Pace, "__call__", lambda self, cell: float(cell.backend != "fragile"))
    run(plan(cells("fragile")[0], *cells("fragile")[2:5:2]), tmp_path / "proofs", QUIET)
    folder = tmp_path / "run"  # a run takes no folder that holds something else
    monkeypatch.setenv("FAKE_FRAGILE", "1")  # dies in its fourth epoch
    run(sweep(*cells("fake", "fragile", epochs=4)), folder, QUIET)
    kept = trials_of(folder)
    assert Counter((one["cell"]["backend"], one["role"]) for one in kept) == {
        ("fake", TRAINED): 8,
        ("fake", CONFIRMED): 4,  # it was repeating these when their trainer crashed
    }
    assert len(figures(load_run(folder)).of("trial", "ok")) == 12, "a repetition stands where nothing else does"
    assert {one["status"] for one in trials_of(folder, None) if one["cell"]["backend"] == "fragile"} == {"crashed"}
    assert run(sweep(*cells("fake", "fragile", epochs=4)), folder, QUIET).ran == 0


@pytest.mark.usefixtures("_all_learn")
@pytest.mark.parametrize("shown", [True, False])
def test_what_the_sample_does_not_show_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: bool) -> None:
    offset = 0.0 if shown else 0.5
    monkeypatch.setattr("results.agreement.equivalence", lambda values: equivalence([v + offset for v in values]))
    run(sweep(*cells("fake", "other")), tmp_path, QUIET)
    roles = Counter(one["role"] for one in trials_of(tmp_path))
    assert roles == {TRAINED: 12, CONFIRMED: 4 if shown else 12}
    about = json.loads((tmp_path / "run.json").read_text())
    assert about["planned"]["trial"] == sum(roles.values())
    said = [note for note in about["notes"] if "does not show" in note]
    assert len(said) == (not shown)
    if not shown:
        assert "other and the backend" in said[0] or "fake, other" in said[0]
    assert run(sweep(*cells("fake", "other")), tmp_path, QUIET).ran == 0


def test_untrained_networks_are_not_repeated_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.agreement.is_trained", lambda record: False)
    run(sweep(*cells("fake", "other")), tmp_path, QUIET)
    assert Counter(one["role"] for one in trials_of(tmp_path)) == {TRAINED: 12, CONFIRMED: 4}


@pytest.mark.usefixtures("_all_learn")
def test_a_budget_trains_every_cell_before_any_is_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[TrialCell]] = []

    class Noted(lanes.Lanes):
        def __init__(self, jobs: Any, **options: Any) -> None:
            asked.append([job.cell for job in jobs])
            super().__init__(jobs, **options)

    monkeypatch.setattr("bench.runner.Lanes", Noted)
    run(sweep(*cells("fake", "other")), tmp_path, replace(QUIET, budget=600.0))
    assert [len(wave) for wave in asked] == [12, 4]
    assert len({replace(cell, backend="") for cell in asked[0]}) == 12

    asked.clear()
    other = tmp_path / "short"
    what = sweep(*cells("fake", "other"))
    outcome = run(what, other, replace(QUIET, budget=0.01))
    skipped = [one for one in trials_of(other, "skipped") if one["role"] == TRAINED]
    assert len(skipped) == 12
    assert outcome.counts["skipped"] >= 12
    monkeypatch.setattr(once.Pace, "__call__", lambda self, cell: float(cell.backend != "other"))
    run(what, other, QUIET)
    promised = {computation(one["cell"]): one["cell"]["backend"] for one in skipped}
    done = {computation(one["cell"]): one["cell"]["backend"] for one in trials_of(other) if one["role"] == TRAINED}
    assert done == promised, "none is left behind as skipped that another has done"


def test_without_the_field_everything_is_trained_and_has_no_role(tmp_path: Path) -> None:
    assert run(plan(*cells("fake", "half")), tmp_path, QUIET).counts["ok"] >= 24
    assert not any("role" in one for one in trials_of(tmp_path))
    # And a run that was made so can go on once each: all is there, and stands.
    assert run(sweep(*cells("fake", "half")), tmp_path, QUIET).ran == 0
