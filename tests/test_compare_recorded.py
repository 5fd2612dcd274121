"""Two recorded runs compared: verdicts, what they are worth, and what is said of cells without a counterpart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.compare.estimates import Estimate, detectable, judge, judge_family, paired, welch
from bench.compare.matching import Labels
from bench.compare.recorded import BETWEEN_SESSIONS, CompareRunsError, common_shift, compare_runs
from results.comparison import Comparison, Row
from results.loading import RunError
from tests.recorded_runs import FACTS, axes, rates, timing, trial, write


def compare(tmp_path: Path, base: list[Any], head: list[Any], facts: Any = None, **options: Any) -> Comparison:
    """The records ``base`` against ``head``; ``facts``: how the head's environment differs."""
    number = len(list(tmp_path.iterdir()))
    first = write(tmp_path / f"base{number}", base)
    return compare_runs(first, write(tmp_path / f"head{number}", head, **(facts or {})), **options)


def row(comparison: Comparison, words: str) -> Row:
    (found,) = (row for row in comparison.rows if words in row.label)
    return found


DENSE, CONV = axes(), axes(architecture="conv")


# -- verdicts ------------------------------------------------------------------------------------------------------


def test_equal_sides_pass(tmp_path: Path) -> None:
    found = compare(tmp_path, [timing(DENSE, rates(1000))], [timing(DENSE, rates(1001))])
    (train,) = found.rows
    assert (found.kind, found.outcome, found.exit_code) == ("recorded", "pass", 0)
    assert train.label == "torch tuned, dense latent=64, train"
    assert (train.cell, train.metric, train.unit, train.rounds) == (DENSE, "train", "ratio", 6)
    assert train.base == pytest.approx(1000, rel=1e-4)
    assert train.head == pytest.approx(1001, rel=1e-4)
    assert train.change is not None
    assert train.change.value == pytest.approx(1000 / 1001 - 1, rel=1e-6)
    assert train.change.low < train.change.value < train.change.high < 0.03
    assert len(train.samples["base"]) == len(train.samples["head"]) == 6


def test_a_slower_cell_is_found_among_others(tmp_path: Path) -> None:
    base = [timing(DENSE, rates(1000)), timing(CONV, rates(500))]
    head = [timing(DENSE, rates(1000)), timing(CONV, rates(450))]
    found = compare(tmp_path, base, head)
    assert (found.outcome, found.exit_code) == ("regressed", 1)
    assert row(found, "dense").outcome == "pass"
    slow = row(found, "conv")
    assert slow.outcome == "regressed"
    assert slow.change is not None
    assert slow.change.value == pytest.approx(1 / 0.9 - 1, rel=1e-6)  # cost, not rate
    assert slow.change.low > 0
    assert slow.reason.endswith("% more time at least")


def test_intervals_of_all_rows_have_one_level(tmp_path: Path) -> None:
    """Two processes a side, and seven figures beside it that share the false alarms: called a pass before, with bounds
    of two levels as one interval."""
    others = [axes(latent=latent) for latent in (1, 2, 4, 8, 16, 32, 128)]
    calm = [timing(cell, rates(1000)) for cell in others]
    base = [timing(DENSE, [1000.0, 1080.0]), *calm]
    found = compare(tmp_path, base, [timing(DENSE, [1800.0, 1944.0]), *calm])
    assert found.confidence == pytest.approx(0.98)
    fast = row(found, "latent=64,")
    assert fast.outcome == "improved"
    assert fast.change is not None
    logs = [math.log1p(end) for end in (fast.change.low, fast.change.value, fast.change.high)]
    assert logs[2] < 0
    assert logs[2] - logs[1] == pytest.approx(logs[1] - logs[0])
    assert fast.reason.endswith("% less time at least")
    assert found.outcome == "improved"


def test_latency_counts_as_cost_and_a_faster_head_is_improved(tmp_path: Path) -> None:
    milliseconds = [seconds / 1000 for seconds in rates(2.0)]
    base = [timing(DENSE, rates(1000), inference=rates(3000), latency=milliseconds)]
    head = [timing(DENSE, rates(1000), inference=rates(4000), latency=[1.2 * seconds for seconds in milliseconds])]
    found = compare(tmp_path, base, head)
    assert {row.metric: row.outcome for row in found.rows} == {
        "train": "pass",
        "inference": "improved",
        "latency": "regressed",
    }
    assert row(found, "latency").change.value == pytest.approx(0.2, rel=1e-6)  # type: ignore[union-attr]
    only = compare(tmp_path, base, head, metrics=("train", "inference"))
    assert (only.outcome, only.exit_code) == ("improved", 0)
    assert {row.metric for row in only.rows} == {"train", "inference"}


def test_noise_is_inconclusive_and_says_what_it_would_take(tmp_path: Path) -> None:
    """Processes that scatter by 2 %: neither 3 % nor its absence can be shown with six of them.  A larger margin can
    be met by measuring longer; 3 % can, as long as sessions do not drift."""
    side = rates(1000, scatter=0.02)
    found = compare(tmp_path, [timing(DENSE, side)], [timing(DENSE, side)], drift=0.0)
    (noisy,) = found.rows
    assert (found.outcome, found.exit_code) == ("inconclusive", 3)
    assert noisy.detectable is not None
    assert noisy.detectable > 0.03
    assert noisy.more_seconds is not None
    assert noisy.more_seconds > 1.25  # a second session's worth at least: records say 1.25 s each
    assert "more would find 3 %" in noisy.reason
    longer = rates(1000, count=6 * math.ceil(noisy.more_seconds / 2.5 + 1), scatter=0.02)
    again = compare(tmp_path, [timing(DENSE, longer)], [timing(DENSE, longer)], drift=0.0)
    assert again.rows[0].detectable is not None
    assert again.rows[0].detectable <= 0.03
    drifting = compare(tmp_path, [timing(DENSE, side)], [timing(DENSE, side)], drift=0.02)
    assert drifting.rows[0].more_seconds is None
    assert "compare --live" in drifting.rows[0].reason


def test_a_small_slowdown_that_is_certain_passes() -> None:
    """1 % of a margin of 3 %, to a thousandth: that is what a margin is for.  2 %, but within 3 %: the same."""
    for change in (0.01, 0.02):
        assert judge(Estimate(change, 0.001, 20.0), 0.03, 0.01, 0.01).outcome == "pass"
    assert judge(Estimate(0.03, 0.001, 20.0), 0.03, 0.01, 0.01).outcome == "regressed"
    assert judge(Estimate(-0.02, 0.001, 20.0), 0.03, 0.01, 0.01).outcome == "improved"
    assert judge(Estimate(-0.01, 0.001, 20.0), 0.03, 0.01, 0.01).outcome == "pass"
    # Surely slower, by less than half of the margin, and perhaps by more than it: no alarm, and no pass either.
    assert judge(Estimate(0.0149, 0.006, 1e6), 0.03, 0.01, 0.001).outcome == "inconclusive"


# -- what the verdicts are worth -----------------------------------------------------------------------------------


def test_the_bounds_are_those_of_welch() -> None:
    generator = np.random.default_rng(1)
    base, head = generator.normal(0, 0.01, 5), generator.normal(0.02, 0.03, 9)
    estimate = welch(list(base), list(head))
    assert estimate is not None
    expected = stats.ttest_ind(head, base, equal_var=False).confidence_interval(0.98)
    assert estimate.change - estimate.bound(0.01) == pytest.approx(expected.low, rel=1e-9)
    assert estimate.change + estimate.bound(0.01) == pytest.approx(expected.high, rel=1e-9)
    assert paired([0.1, 0.3]).change == pytest.approx(0.2)
    assert welch([0.0], [0.0, 0.1]) is None


def simulate(change: float, drift: float, rows: int, seed: int) -> list[Estimate]:
    """A comparison of ``rows`` cells: 4 processes a side that differ by 0.7 %, sessions that drift by ``drift``."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        base = generator.normal(generator.normal(0, drift), 0.007, 4)
        head = generator.normal(change + generator.normal(0, drift), 0.007, 4)
        estimate = welch(list(base), list(head))
        assert estimate is not None
        found.append(Estimate(estimate.change, estimate.error, estimate.freedom, math.sqrt(2) * BETWEEN_SESSIONS))
    return found


def judged(change: float, rows: int, alpha: float, repeats: int = 400) -> list[list[str]]:
    return [
        [v.outcome for v in judge_family(simulate(change, BETWEEN_SESSIONS, rows, seed), [0.03] * rows, alpha, alpha)]
        for seed in range(repeats)
    ]


def test_a_suite_without_regressions_is_rarely_called_regressed() -> None:
    """At alpha = 5 %, 400 suites of six cells.  Holm promises 20 alarms at most (the demand for half a margin makes
    them fewer); more than 35 would come from 20 on average in one of 1,000 cases (binomial)."""
    alarms = sum("regressed" in suite for suite in judged(0.0, 6, 0.05))
    assert alarms <= 35, alarms


def test_a_change_of_the_margin_rarely_passes() -> None:
    """At alpha = 5 % for each row: 20 of 400 expected, 35 once in 1,000 (as above)."""
    passes = sum(
        outcome in ("pass", "improved") for suite in judged(math.log1p(0.03) + 1e-9, 1, 0.05) for outcome in suite
    )
    assert passes <= 35, passes


def test_detectable_is_found_in_95_of_100_cases() -> None:
    """The degrees of freedom are estimated, and a bound with few of them is sometimes short and sometimes long: what
    is promised on average of the errors holds to within some percent.  Below 90 % the promise would be broken."""
    generator = np.random.default_rng(3)
    error, count = 0.007 * math.sqrt(2 / 6), 6
    true = detectable(Estimate(0.0, error, 2.0 * count - 2.0), 0.01)
    found = 0
    for _ in range(400):
        estimate = welch(list(generator.normal(0, 0.007, count)), list(generator.normal(true, 0.007, count)))
        assert estimate is not None
        found += estimate.change - estimate.bound(0.01) > 0
    assert 0.90 <= found / 400 <= 0.99, found


def test_sessions_drift_whatever_their_processes_say(tmp_path: Path) -> None:
    """Processes that agree to the last digit: the interval is that of the drift alone, at the level of alpha."""
    side = [timing(DENSE, [1000.0] * 4)]
    (found,) = compare(tmp_path, side, side).rows
    half = stats.norm.isf(0.01) * math.sqrt(2) * BETWEEN_SESSIONS
    assert found.change is not None
    assert math.log1p(found.change.high) == pytest.approx(half, rel=1e-4)
    (exact,) = compare(tmp_path, side, side, drift=0.0).rows
    assert exact.change is not None
    assert exact.change.high == pytest.approx(0.0, abs=1e-12)


def test_what_moves_all_backends_together_is_the_machine(tmp_path: Path) -> None:
    assert common_shift([("torch", 0.04), ("torch", 0.02), ("jax", 0.05)]) == pytest.approx(0.03)
    assert common_shift([("torch", -0.04), ("jax", -0.01)]) == pytest.approx(-0.01)
    assert common_shift([("torch", 0.04), ("jax", -0.01)]) == 0.0
    assert common_shift([("torch", 0.04)]) == 0.0
    assert common_shift([]) == 0.0
    jax = axes("jax")
    base = [timing(DENSE, rates(1000)), timing(jax, rates(2000))]
    all_slower = compare(tmp_path, base, [timing(DENSE, rates(950)), timing(jax, rates(1900))])
    assert {row.outcome for row in all_slower.rows} == {"inconclusive"}
    assert any("All backends moved by +5" in text for text in all_slower.warnings)
    one_slower = compare(tmp_path, base, [timing(DENSE, rates(950)), timing(jax, rates(2000))])
    assert row(one_slower, "torch").outcome == "regressed"
    assert not any("All backends" in text for text in one_slower.warnings)
    assert any("Two recorded sessions" in text and "0.5 %" in text for text in one_slower.warnings)


# -- speeds that are not judged ------------------------------------------------------------------------------------


def test_another_machine_makes_no_verdict_on_speed_but_one_on_quality(tmp_path: Path) -> None:
    base = [timing(DENSE, rates(1000)), trial(DENSE, 20.0)]
    head = [timing(DENSE, rates(500)), trial(DENSE, 20.0)]
    found = compare(tmp_path, base, head, {"cpu": "Another CPU"})
    train = row(found, "train")
    assert (train.outcome, train.change) == ("inconclusive", None)
    assert train.reason == "other machine: cpu Imaginary CPU E5 → Another CPU"
    assert row(found, "psnr").outcome == "pass"
    assert found.exit_code == 3
    assert any("cpu: Imaginary CPU E5 → Another CPU" in text for text in found.differences)
    assert compare(tmp_path, base, head, {"cpu": "Another CPU"}, metrics=("psnr",)).exit_code == 0


def test_gpus_matter_to_those_who_compute_on_them(tmp_path: Path) -> None:
    base = [timing(DENSE, rates(1000)), timing({**CONV, "device": "cuda"}, rates(1000))]
    found = compare(tmp_path, base, base, {"gpus": [{"name": "H200", "driver": "1", "memory": "2"}]})
    assert row(found, "dense").outcome == "pass"
    assert row(found, "conv").reason == "other machine: GPU none → H200"


@pytest.mark.parametrize("kind", ["no_steady_state", "inconsistent"])
def test_a_contestant_without_a_steady_state_is_not_judged(tmp_path: Path, kind: str) -> None:
    side = timing(DENSE, rates(1000), inference=rates(3000))
    found = compare(tmp_path, [side], [side | {"steady": {"train": kind}}])
    train = row(found, "train")
    assert train.outcome == "inconclusive"
    assert "the head reached no steady state" in train.reason
    assert row(found, "inference").outcome == "pass"


def test_a_single_process_is_no_interval(tmp_path: Path) -> None:
    found = compare(tmp_path, [timing(DENSE, rates(1000))], [timing(DENSE, [1000.0])])
    (train,) = found.rows
    assert (train.outcome, train.change, train.rounds) == ("inconclusive", None, 1)
    assert "single process" in train.reason


def test_what_one_side_did_not_measure(tmp_path: Path) -> None:
    found = compare(tmp_path, [timing(DENSE, rates(10), inference=rates(30))], [timing(DENSE, rates(10))])
    assert row(found, "inference").reason == "the head did not measure it"
    assert row(found, "inference").head is None


# -- quality -------------------------------------------------------------------------------------------------------


def test_psnr_over_seeds_is_paired(tmp_path: Path) -> None:
    """Seeds differ by 1 dB, their pairs by hundredths: 0.1 dB less would have been seen.  The head has a seed more."""
    levels, noise = [19.0, 20.0, 20.5, 21.0], [0.004, -0.003, 0.002, -0.003]
    base = [trial(DENSE, level, seed=seed) for seed, level in enumerate(levels)]
    head = [trial(DENSE, level + off, seed=seed) for seed, (level, off) in enumerate(zip(levels, noise, strict=True))]
    found = compare(tmp_path, base, [*head, trial(DENSE, 5.0, seed=9)])
    (psnr,) = found.rows
    assert (psnr.outcome, psnr.unit, psnr.rounds, psnr.margin) == ("pass", "dB", 4, 0.1)
    assert psnr.samples["seeds"] == [0, 1, 2, 3]
    assert "seed" not in psnr.cell
    assert [text for text in found.new if "seed=9 (trial)" in text]
    worse = [trial(DENSE, level - 0.3 + off, seed=s) for s, (level, off) in enumerate(zip(levels, noise, strict=True))]
    lost = compare(tmp_path, base, worse).rows[0]
    assert lost.outcome == "regressed"
    assert lost.change is not None
    assert lost.change.value == pytest.approx(0.3, abs=1e-6)
    better = [trial(DENSE, level + 0.3 + o, seed=s) for s, (level, o) in enumerate(zip(levels, noise, strict=True))]
    assert compare(tmp_path, base, better).outcome == "improved"


def kept(folder: Path, record: dict[str, Any], psnr: np.ndarray, noisy: float = 11.0) -> dict[str, Any]:
    """``record`` with the scores of its images in ``folder``; more metrics of the rule by which they were made."""
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    path = f"scores/{record['id'][:8]}-{len(list((folder / 'scores').iterdir()))}.npy"
    data = np.stack([psnr, psnr / 40, np.full(len(psnr), noisy)], axis=1).astype("<f4")
    np.save(folder / path, data)
    exact = float((psnr >= 100).sum())
    rule = {"psnr_raw": record["metrics"]["psnr"], "psnr_capped": exact, "exact": exact, "exact_noisy": 0.0}
    return {**record, "scores": path, "metrics": record["metrics"] | rule}


def both(tmp_path: Path, base: list[dict[str, Any]], head: list[dict[str, Any]]) -> Comparison:
    """Runs in tmp_path/base and tmp_path/head, whose scores are there already."""
    for name, records in (("base", base), ("head", head)):
        made = write(tmp_path / f"{name}-records", records)
        (tmp_path / name).mkdir(exist_ok=True)
        for file in made.iterdir():
            file.rename(tmp_path / name / file.name)
    return compare_runs(tmp_path / "base", tmp_path / "head")


def test_one_seed_with_scores_is_judged_image_by_image(tmp_path: Path) -> None:
    """What an image costs both sides is gone: 2 dB of scatter leave a loss of 0.2 dB that is known to 0.02."""
    draw = np.random.default_rng(3)
    common, lost = draw.normal(19, 2, 128), draw.normal(0.2, 0.05, 128)
    base = kept(tmp_path / "base", trial(DENSE, float(common.mean()), half=0.35), common)
    head = kept(tmp_path / "head", trial(DENSE, float((common - lost).mean()), half=0.35), common - lost)
    (psnr,) = both(tmp_path, [base], [head]).rows
    assert psnr.outcome == "regressed"
    assert psnr.change is not None
    bound = -stats.norm.ppf(0.01) * lost.std(ddof=1) / math.sqrt(128)
    assert psnr.change.value == pytest.approx(lost.mean(), abs=1e-5)
    assert psnr.change.value - psnr.change.low == pytest.approx(bound, rel=1e-3)
    assert "over the test images of 1 seed" in psnr.reason


@pytest.mark.parametrize("seeds", [1, 4])
def test_images_that_one_side_makes_exact_count_for_neither(tmp_path: Path, seeds: int) -> None:
    """A side that gives ten easy images back exactly leaves them out of its mean, and seems to be worse for it."""
    draw = np.random.default_rng(5)
    sides: dict[str, list[dict[str, Any]]] = {"base": [], "head": []}
    for seed in range(seeds):
        common = draw.normal(19, 2, 128)
        common[:10] = 60
        exact = common + draw.normal(0, 0.01, 128)
        exact[:10] = 100
        sides["base"].append(kept(tmp_path / "base", trial(DENSE, float(common.mean()), seed=seed), common))
        head = trial(DENSE, float(exact[10:].mean()), seed=seed)
        sides["head"].append(kept(tmp_path / "head", head, exact))
    (psnr,) = both(tmp_path, sides["base"], sides["head"]).rows
    assert psnr.base is not None
    assert psnr.head is not None
    assert psnr.base - psnr.head > 2
    assert psnr.outcome == "pass"
    assert psnr.change is not None
    assert abs(psnr.change.value) < 0.01


def test_a_side_from_before_clipping_is_compared_as_it_came_out(tmp_path: Path) -> None:
    newer = trial(DENSE, 19.5)
    newer["metrics"] |= {"psnr_raw": 19.0, "exact": 0.0, "exact_noisy": 0.0}
    (psnr,) = compare(tmp_path, [trial(DENSE, 19.0)], [newer]).rows
    assert (psnr.base, psnr.head) == (19.0, 19.0)
    newer["metrics"] |= {"exact_noisy": 7.0}
    (psnr,) = compare(tmp_path, [trial(DENSE, 19.0)], [newer]).rows
    assert psnr.outcome == "inconclusive"
    assert psnr.reason.startswith("one side counts exact images in its mean")


def test_one_seed_is_judged_over_images_and_says_so(tmp_path: Path) -> None:
    base = [trial(DENSE, 20.0, half=0.02)]
    close = compare(tmp_path, base, [trial(DENSE, 20.001, half=0.02)])
    (psnr,) = close.rows
    assert psnr.outcome == "pass"
    # Half an interval of the gain is 0.8 * 0.02 in these records; both sides have one; 1 % of a normal lies below.
    error = 0.8 * 0.02 / stats.norm.isf(0.025) * math.sqrt(2)
    assert psnr.change is not None
    assert psnr.change.high == pytest.approx(-0.001 + stats.norm.isf(0.01) * error, rel=1e-4)
    assert any("judged over test images" in text for text in close.warnings)
    wide = compare(tmp_path, [trial(DENSE, 20.0, half=0.2)], [trial(DENSE, 19.99, half=0.2)])
    assert wide.outcome == "inconclusive"
    assert "over the test images of 1 seed" in wide.rows[0].reason
    assert compare(tmp_path, base, [trial(DENSE, 19.5, half=0.02)]).outcome == "regressed"


def test_the_same_pictures_pass_however_few(tmp_path: Path) -> None:
    base = [trial(DENSE, 20.0, half=0.9)]
    (psnr,) = compare(tmp_path, base, base).rows
    assert psnr.outcome == "pass"
    assert psnr.change is not None
    assert (psnr.change.low, psnr.change.high) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_other_data_make_no_verdict_on_quality(tmp_path: Path) -> None:
    head = [trial(DENSE, 20.0, hashes={"noisy": "f" * 16})]
    (psnr,) = compare(tmp_path, [trial(DENSE, 20.0)], head).rows
    assert psnr.outcome == "inconclusive"
    assert "other noisy images went in (nnnnnnnn, ffffffff)" in psnr.reason


# -- cells without a counterpart -----------------------------------------------------------------------------------


def test_a_missing_cell_fails_unless_allowed(tmp_path: Path) -> None:
    base = [timing(DENSE, rates(1000)), timing(CONV, rates(1000))]
    found = compare(tmp_path, base, base[:1])
    assert found.missing == ("torch tuned, conv latent=64 (timing)",)
    assert (found.outcome, found.exit_code) == ("regressed", 1)
    assert compare(tmp_path, base, base[:1], allow_missing=True).exit_code == 0
    skipped = [base[0], timing(CONV, [], status="skipped", reason="the budget was used up")]
    assert compare(tmp_path, base, skipped).missing == (
        "torch tuned, conv latent=64 (timing) (skipped: the budget was used up)",
    )
    assert compare(tmp_path, base[:1], base).new == ("torch tuned, conv latent=64 (timing)",)
    assert compare(tmp_path, base[:1], base).exit_code == 0


def test_a_cell_that_only_the_base_can_compute_is_a_regression(tmp_path: Path) -> None:
    base = [timing(DENSE, rates(1000)), trial(DENSE, 20.0)]
    head = [base[0], trial(DENSE, 20.0, status="diverged", reason="the loss is not finite")]
    found = compare(tmp_path, base, head, allow_missing=True)
    assert found.failed == ("torch tuned, dense latent=64, seed=0 (trial): diverged: the loss is not finite",)
    assert (found.outcome, found.exit_code) == ("regressed", 1)
    back = compare(tmp_path, head, base)
    assert back.exit_code == 0
    assert back.new == ("torch tuned, dense latent=64, seed=0 (trial) (the base ended as diverged)",)


def test_a_renamed_backend_is_recognised(tmp_path: Path) -> None:
    base = [timing(axes("jax"), rates(1000)), timing(DENSE, rates(1000))]
    head = [timing(axes("flax"), rates(1000)), timing(DENSE, rates(1000))]
    found = compare(tmp_path, base, head)
    assert found.renamed == (("jax tuned, dense latent=64 (timing)", "flax tuned, dense latent=64 (timing)"),)
    assert (found.missing, found.new, found.exit_code) == ((), (), 0)
    assert row(found, "flax").outcome == "pass"
    # Two cells that could both be the old one are none: nothing says which.
    both = compare(tmp_path, base, [*head, timing(axes("haiku"), rates(1000))])
    assert both.renamed == ()
    assert both.missing == ("jax tuned, dense latent=64 (timing)",)


def test_a_renamed_architecture_is_recognised_by_its_hash(tmp_path: Path) -> None:
    base, head = axes(architecture="dense"), axes(architecture="mlp")
    before = [timing(base, rates(1000)), trial(base, 20.0)]
    found = compare(tmp_path, before, [timing(head, rates(1000)), trial(head, 20.0)])
    assert len(found.renamed) == 2
    assert found.missing == ()
    other = trial(head, 20.0, hashes={"architecture": "b" * 16})
    same = timing(CONV, rates(1000))
    changed = compare(tmp_path, [*before, same], [timing(head, rates(1000)), other, same])
    assert changed.renamed == ()
    assert len(changed.missing) == len(changed.new) == 2
    assert [row.label for row in changed.rows] == ["torch tuned, conv latent=64, train"]
    assert changed.exit_code == 1


# -- runs with nothing in common -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "head", "words"),
    [
        ([timing(DENSE, rates(1))], [timing(CONV, rates(1))], "architecture is dense in the base, conv in the head"),
        (
            [trial(DENSE, 20.0)],
            [trial({**axes("jax"), "loss": "bce"}, 20.0)],
            "loss is mse in the base, bce in the head; backend is torch in the base, jax in the head",
        ),
        (
            [timing(axes(latent=latent), rates(1)) for latent in (4, 8, 16, 32)],
            [timing(DENSE, rates(1))],
            "latent is 4, 8, 16 and 1 more in the base, 64 in the head",
        ),
        (
            [timing(axes(latent=4), rates(1)), timing(CONV, rates(1))],
            [timing(DENSE, rates(1)), timing(axes(architecture="conv", latent=4), rates(1))],
            "no axis differs throughout; cells that are near to each other differ in ",
        ),
        ([timing(DENSE, rates(1))], [trial(DENSE, 20.0)], "the base has records of the kind timing, the head of trial"),
        (
            [timing(DENSE, rates(1))],
            [timing(DENSE, [], status="skipped", reason="the budget was used up")],
            "the head has no cell that ended well (1 skipped)",
        ),
    ],
)
def test_runs_with_nothing_in_common_are_a_mistake_and_no_regression(
    tmp_path: Path, base: list[Any], head: list[Any], words: str
) -> None:
    with pytest.raises(CompareRunsError, match="nothing was compared") as caught:
        compare(tmp_path, base, head)
    assert words in str(caught.value)


def test_a_metric_that_neither_run_has_is_said(tmp_path: Path) -> None:
    side = [timing(DENSE, rates(1000))]
    with pytest.raises(CompareRunsError, match="neither run measured latency of a cell that stands in both"):
        compare(tmp_path, side, side, metrics=("latency",))


# -- whoever trained it --------------------------------------------------------------------------------------------


def once(backend: str, seed: int, psnr: float, role: str | None = "trained", **rest: Any) -> dict[str, Any]:
    """A trial of a run that lets one backend train each cell."""
    found = trial(axes(backend, **rest), psnr, seed=seed)
    return found if role is None else {**found, "role": role}


def test_cells_are_compared_by_what_was_computed_whoever_trained_it(tmp_path: Path) -> None:
    """Two runs that chose other trainers for the same cells, and let others confirm: nothing is missing or new."""
    base = [once("torch", seed, 20.0 + seed) for seed in (0, 1, 2)] + [once("jax", 0, 20.0, "confirmed")]
    head = [once("jax", 0, 20.0), once("keras[torch]", 1, 21.0), once("keras[torch]", 2, 22.0)]
    head.append(once("keras[torch]", 0, 20.0, "confirmed"))
    found = compare(tmp_path, base, head)
    assert (found.missing, found.new, found.failed) == ((), (), ())
    assert (found.outcome, found.exit_code) == ("pass", 0)
    (mixed,) = found.rows
    assert (
        mixed.label == "dense latent=64 (base: jax tuned and torch tuned, head: jax tuned and keras[torch] tuned), psnr"
    )
    assert mixed.samples["seeds"] == [0, 1, 2]
    assert mixed.samples["trained_by"] == {
        "base": ["jax tuned", "torch tuned", "torch tuned"],
        "head": ["jax tuned", "keras[torch] tuned", "keras[torch] tuned"],
    }
    assert any(text.startswith("2 trials had another trainer in the head") for text in found.warnings)


def test_a_loss_of_quality_is_found_across_trainers(tmp_path: Path) -> None:
    noise = [0.004, -0.003, 0.002, -0.003]
    base = [once("torch", seed, 20.0 + seed) for seed in range(4)]
    head = [once("jax", seed, 19.5 + seed + off) for seed, off in enumerate(noise)]
    found = compare(tmp_path, base, head)
    (row,) = found.rows
    assert row.outcome == "regressed"
    assert "base: torch tuned, head: jax tuned" in row.label
    assert found.missing == ()


def test_the_same_trainers_are_compared_by_backend_as_before(tmp_path: Path) -> None:
    side = [once("torch", 0, 20.0), once("jax", 0, 20.0, "confirmed")]
    found = compare(tmp_path, side, side)
    assert sorted(row.label for row in found.rows) == [
        "jax tuned, dense latent=64, psnr",
        "torch tuned, dense latent=64, psnr",
    ]


def test_what_nobody_trained_in_the_head_is_missing(tmp_path: Path) -> None:
    base = [once("torch", 0, 20.0), once("torch", 0, 20.0, architecture="conv")]
    found = compare(tmp_path, base, [once("jax", 0, 20.0)])
    assert found.missing == ("torch tuned, conv latent=64, seed=0 (trial)",)
    assert len(found.rows) == 1


def test_a_backend_that_every_run_trained_in_full_is_missed(tmp_path: Path) -> None:
    """Where all backends train everything, one that is gone is gone, whoever else trained its cells."""
    base = [once(name, 0, 20.0, None) for name in ("torch", "jax")]
    found = compare(tmp_path, base, base[:1])
    assert found.missing == ("jax tuned, dense latent=64, seed=0 (trial)",)


def test_trainings_in_reduced_precision_stand_for_themselves(tmp_path: Path) -> None:
    """Of these a few steps are proved: what two backends make of them may differ."""
    base, head = ([once(name, 0, 20.0, precision="bfloat16")] for name in ("torch", "jax"))
    with pytest.raises(CompareRunsError, match="backend is torch in the base, jax in the head"):
        compare(tmp_path, base, head)


def test_labels_name_what_varies() -> None:
    cells = [axes(loss="mse", learning_rate=None), axes(loss="bce", learning_rate=0.1), axes(latent=None, height=32)]
    labels = Labels(cells)
    assert [labels(cell) for cell in cells] == [
        "torch tuned, dense latent=64, 28x28x1, loss=mse, learning_rate=default",
        "torch tuned, dense latent=64, 28x28x1, loss=bce, learning_rate=0.1",
        "torch tuned, dense, 32x28x1, loss=mse, learning_rate=default",
    ]
    assert Labels(cells[:1])(cells[0]) == "torch tuned, dense latent=64"


# -- what else differs ---------------------------------------------------------------------------------------------


def test_versions_revisions_and_a_dirty_tree_are_told(tmp_path: Path) -> None:
    side = [timing(DENSE, rates(1000))]
    facts = {
        "python": "3.12.1",
        "packages": {**FACTS["packages"], "torch": "2.14.0", "jax": "0.10.2"},
        "git": {"commit": "fedcba9876543210", "dirty": True},
        "variables": {"OMP_NUM_THREADS": "1"},
    }
    found = compare(tmp_path, side, side, facts)
    assert found.differences == (
        "python: 3.11.7 → 3.12.1",
        "jax: none → 0.10.2",
        "torch: 2.13.0 → 2.14.0",
        "thread variables: none → OMP_NUM_THREADS=1",
        "revision of the suite: 0123456789 → fedcba9876",
        "the head was measured from a dirty tree: its revision does not say all",
    )
    assert found.outcome == "pass"
    assert found.base.label.startswith(str(tmp_path))
    assert found.head.facts["dirty"] is True
    assert found.head.facts["versions"]["torch"] == "2.14.0"
    assert found.base.facts["revision"] == "0123456789abcdef"
    assert compare(tmp_path, side, side).differences == ()


def test_warnings_of_the_records_are_passed_on(tmp_path: Path) -> None:
    side = timing(DENSE, rates(1000))
    found = compare(tmp_path, [side], [side | {"warnings": ["other programs kept 1.0 cores busy"]}])
    assert "head, 1 timing record: other programs kept 1.0 cores busy" in found.warnings


def test_folders_that_can_not_be_compared(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", [timing(DENSE, rates(1000))])
    with pytest.raises(CompareRunsError, match="the same run folder"):
        compare_runs(folder, tmp_path / "two" / ".." / "one")
    with pytest.raises(RunError, match="there is no such folder"):
        compare_runs(folder, tmp_path / "nowhere")
