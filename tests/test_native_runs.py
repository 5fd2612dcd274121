"""The axis of defaults, from the sweep file to the record: native cells need no proof, and mix with nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import fake_backend
import pytest

from bench.cells import TimingCell, TrialCell
from bench.compare.export import figures_of_run
from bench.compare.matching import match
from bench.compare.recorded import compare_runs
from bench.history import entries
from bench.plan import NATIVE_UNTIMED, Plan, make_plan
from bench.runner import Options, run
from bench.sweep import SweepError, load_sweep
from bench.trained.found import RecordNotFound, find
from implementations import native
from implementations.adapter import EXTRA_BACKENDS
from implementations.training import canonical_optimizer
from results.journal import scan
from results.loading import load_run
from results.schema import validate

QUIET = Options(progress=False, jobs=2)
SMALL = [
    "architecture=dense", "latent=4", "dataset=glyphs", "size=12", "train=64", "test=12", "batch_size=32",
    "corruption=gaussian(0.4)", "loss=mse", "epochs=2", "learning_rate=default",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _announced(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    announced = fake_backend.environment()[EXTRA_BACKENDS]
    monkeypatch.setenv(EXTRA_BACKENDS, f"{announced};own=native_backend:Own")
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def planned(*overrides: str, sweep: str = "quick") -> Plan:
    axes = {text.partition("=")[0]: text for text in [*SMALL, "backend=own", "seed=0,1", *overrides]}
    return make_plan(load_sweep(sweep, list(axes.values())))


# -- the axis ------------------------------------------------------------------------------------------------------


def test_the_axis_is_validated_like_others(tmp_path: Path) -> None:
    assert load_sweep("quick").grids[0]["defaults"] == ["matched"]
    assert load_sweep("quick", ["defaults=matched,native"]).grids[0]["defaults"] == ["matched", "native"]
    with pytest.raises(SweepError, match=r"--set defaults: 'nativ' is unknown \(did you mean 'native'\?\); allowed"):
        load_sweep("quick", ["defaults=nativ"])
    with pytest.raises(SweepError, match="twice"):
        load_sweep("quick", ["defaults=native,native"])
    file = tmp_path / "mine.toml"
    file.write_text('defaults = "native"')
    with pytest.raises(SweepError, match=r"defaults: is an axis: write it under \[axes\]"):
        load_sweep(file)
    file.write_text('[axes]\ndefaults = ["matched", "native"]')
    assert load_sweep(file).grids[0]["defaults"] == ["matched", "native"]


def test_natively_only_what_is_named_is_said() -> None:
    by_defaults = {cell.defaults: cell for cell in planned("defaults=matched,native").trials}
    assert by_defaults["matched"].learning_rate == 1e-3
    assert by_defaults["native"].learning_rate is None
    named = planned("defaults=native", "learning_rate=0.01", "optimizer=adam(epsilon=1e-7)").trials[0]
    assert (named.learning_rate, named.optimizer) == (0.01, "adam(epsilon=1e-07)")
    assert named.make_training().given == {"epsilon": 1e-7, "learning_rate": 0.01}
    assert (named.matched().learning_rate, named.matched().optimizer) == (0.01, "adam")
    # Matched cells are those of before, whatever is named.
    assert planned("optimizer=adam(epsilon=1e-7)").trials == planned().trials
    with pytest.raises(SweepError, match="twice"):
        load_sweep("quick", ["optimizer=adam,adam(epsilon=1e-7)"])


def test_a_native_cell_knows_its_matched_one() -> None:
    trials = planned("defaults=matched,native", "optimizer=adam,sgd(momentum=0.5),adadelta").trials
    matched = {cell for cell in trials if cell.defaults == "matched"}
    assert {cell.matched() for cell in trials if cell.defaults == "native"} == matched
    assert all(cell.matched() == cell for cell in matched)
    assert all(canonical_optimizer(cell.optimizer) == cell.optimizer for cell in matched)


def test_native_cells_are_neither_certified_nor_timed() -> None:
    both = planned("defaults=matched,native", "timing.backend=own")
    assert Counter(cell.defaults for cell in both.trials) == {"matched": 2, "native": 2}
    timed = [cell for session in both.sessions for cell in session.cells]
    assert {cell.defaults for cell in (*both.certificates, *timed)} == {"matched"}
    assert both.notes == ()
    alone = planned("defaults=native", "timing.backend=own")
    assert (alone.certificates, alone.sessions, alone.notes) == ((), (), (NATIVE_UNTIMED,))
    assert planned("defaults=native", "timing.rounds=0").notes == ()
    # All else of the plan is as it would be without them.
    plain = planned("timing.backend=own")
    assert (both.certificates, both.sessions) == (plain.certificates, plain.sessions)


def test_every_backend_of_the_suite_offers_native_and_one_of_before_is_unsupported() -> None:
    from implementations import adapter

    known = [name for name, point in adapter.backends().items() if point.value.startswith("implementations.")]
    assert known
    assert all(adapter.adapter_class(name).offers_native for name in known)
    plan = planned("defaults=matched,native", "backend=own,fake")
    reasons = {
        (cell.backend, cell.defaults, reason) for cell, reason in plan.unsupported if isinstance(cell, TrialCell)
    }
    assert reasons == {("fake", "native", "fake offers no native defaults; it has matched")}
    assert {cell.backend for cell in plan.trials if cell.defaults == "matched"} == {"own", "fake"}


def test_the_shipped_sweep_pairs_every_cell() -> None:
    plan = make_plan(load_sweep("native", ["backend=torch,keras[tensorflow]"]))
    assert not plan.sessions
    assert len({cell.seed for cell in plan.trials}) == 3
    assert {"dense", "conv", "bn"} == {cell.architecture for cell in plan.trials}
    assert {c.matched() for c in plan.trials if c.defaults == "native"} == {
        c for c in plan.trials if c.defaults == "matched"
    }


# -- a run ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def done(tmp_path: Path) -> tuple[Plan, Path]:
    plan = planned("defaults=matched,native", "timing.rounds=0", "keep_weights=true")
    outcome = run(plan, tmp_path / "run", QUIET)
    assert outcome.counts == {"ok": 5 + len(plan.yardsticks)}
    return plan, tmp_path / "run"


def records(folder: Path, defaults: str) -> list[dict[str, Any]]:
    found = scan(folder / "records.jsonl").records
    for record in found:
        validate(record)
    return [one for one in found if one["kind"] == "trial" and one["cell"]["defaults"] == defaults]


def test_records_say_what_was_in_use_and_what_to_compare_with(done: tuple[Plan, Path]) -> None:
    plan, folder = done
    matched, natives = records(folder, "matched"), records(folder, "native")
    by_id = {record["id"].partition("-")[0]: record for record in matched}
    assert len(natives) == 2
    for record in natives:
        other = by_id[record["matched"]]
        assert record["constants"] == {"optimizer.epsilon": 1e-8}
        assert record["hashes"]["weights"] != other["hashes"]["weights"]
        assert {n: record["hashes"][n] for n in ("data", "noisy", "order")} == {
            n: other["hashes"][n] for n in ("data", "noisy", "order")
        }
        assert {name for name in record["cell"] if record["cell"][name] != other["cell"][name]} == {
            "defaults", "learning_rate",
        }  # fmt: skip
        assert record["metrics"]["psnr"] != other["metrics"]["psnr"]
        assert record["metrics"]["parameters"] == other["metrics"]["parameters"]
    assert not any("constants" in record or "matched" in record for record in matched)
    about = json.loads((folder / "run.json").read_text())
    assert about["native_defaults"] == native.differences()
    assert {cell.defaults for cell in plan.certificates} == {"matched"}


def test_native_trials_resume_and_repeat_to_the_last_bit(done: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, folder = done
    assert run(plan, folder, QUIET).ran == 0
    again = tmp_path / "again"
    run(planned("defaults=native", "timing.rounds=0"), again, QUIET)
    for one, other in zip(records(folder, "native"), records(again, "native"), strict=True):
        assert one["hashes"]["weights"] == other["hashes"]["weights"]
        assert one["curve"][-1]["psnr"] == other["curve"][-1]["psnr"]
    kinds = {record["kind"] for record in scan(again / "records.jsonl").records}
    assert kinds == {"trial", "yardstick"}, "nothing is certified"
    assert "native_defaults" in json.loads((again / "run.json").read_text())


def test_matched_runs_know_nothing_of_it(tmp_path: Path) -> None:
    run(planned("seed=0", "timing.rounds=0"), tmp_path, QUIET)
    assert "native_defaults" not in json.loads((tmp_path / "run.json").read_text())


def test_a_note_is_told_once(tmp_path: Path) -> None:
    plan = planned("defaults=native", "seed=0", "timing.backend=own")
    assert run(plan, tmp_path, QUIET).notes == (NATIVE_UNTIMED,)
    run(plan, tmp_path, QUIET)
    assert json.loads((tmp_path / "run.json").read_text())["notes"] == [NATIVE_UNTIMED]


# -- nothing is mixed ----------------------------------------------------------------------------------------------


def test_a_verdict_is_of_matched_cells_alone(done: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, folder = done
    other = tmp_path / "other"
    run(plan, other, QUIET)
    found = match(load_run(folder), load_run(other), ["trial"])
    assert {pair.head["cell"]["defaults"] for pair in found.pairs} == {"matched"}
    assert (found.missing, found.new, found.failed) == ((), (), ())
    compared = compare_runs(folder, other, metrics=["psnr"])
    assert [row.cell["defaults"] for row in compared.rows] == ["matched"]
    assert any(text.startswith("4 native cells took no part") for text in compared.warnings)


def test_a_native_cell_is_never_the_renamed_matched_one(tmp_path: Path) -> None:
    run(planned("seed=0", "timing.rounds=0"), tmp_path / "base", QUIET)
    run(planned("seed=0", "timing.rounds=0", "defaults=native"), tmp_path / "head", QUIET)
    found = match(load_run(tmp_path / "base"), load_run(tmp_path / "head"), ["trial"])
    assert (found.pairs, found.renamed, found.new) == ((), (), ())
    assert len(found.missing) == 1


def test_exports_and_histories_do_not_take_one_for_the_other(done: tuple[Plan, Path]) -> None:
    _, folder = done
    assert {figure.facts["defaults"] for figure in figures_of_run(load_run(folder))} == {"matched"}
    (entry,) = entries(load_run(folder), commit="1234567890abcdef")
    labels = [name for name in entry.cells if "defaults native" in name]
    assert len(labels) == 1
    assert len(entry.cells) == 2


def test_a_network_trained_natively_is_not_exported(done: tuple[Plan, Path]) -> None:
    _, folder = done
    with pytest.raises(RecordNotFound, match=r"own's own defaults .* train it with defaults = matched"):
        find(records(folder, "native")[0]["id"], [folder])
    assert find(records(folder, "matched")[0]["id"], [folder]).weights


def test_timing_cells_can_not_claim_more_than_trials() -> None:
    cell = planned("defaults=native").trials[0]
    assert not cell.claims_parity
    assert not TimingCell.from_axes(cell.axes()).claims_parity
