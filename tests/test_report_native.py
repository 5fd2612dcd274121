"""The section on native defaults: paired as the records say, and no trace of native cells in any other section."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import report
from implementations.native import differences
from report import native
from report.page import make_page, render
from report.sentences import analyse, findings
from results.loading import Run, load_run
from results.schema import validate
from results.statistics import mean_interval
from tests import fake_run
from tests.valid_charts import check_charts

SIZE = fake_run.Size(
    backends=("torch", "keras[tensorflow]"), corruptions=("gaussian(0.4)",), latents=(64,), losses=("mse",),
    seeds=(0, 1, 2),
)  # fmt: skip
SHIFT = {"torch": 0.5, "keras[tensorflow]": 0.0}
"""dB that defaults change, by backend; each seed adds its own -0.1, 0 or 0.1, so that Keras' mean is 0."""


def twin(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The native trial beside a matched one."""
    cell = {**record["cell"], "defaults": "native", "learning_rate": None}
    shift = SHIFT[cell["backend"]] + 0.1 * (cell["seed"] - 1)
    scores = np.load(folder / record["scores"])
    scores[:, 0] += shift
    path = f"scores/native-{record['id']}.npy"
    np.save(folder / path, scores)
    made = fake_run.record(
        "trial",
        cell,
        **{name: record[name] for name in ("hashes", "pictures") if name in record},
        metrics={**record["metrics"], "psnr": record["metrics"]["psnr"] + shift},
        curve=[{**entry, "psnr": entry["psnr"] + shift} for entry in record["curve"]],
        scores=path,
        matched=record["id"].partition("-")[0],
        constants={"optimizer.epsilon": 1e-8},
    )
    validate(made)
    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load_run(fake_run.make_run(tmp_path_factory.mktemp("native"), SIZE))


@pytest.fixture(scope="module")
def run(plain: Run) -> Run:
    """With a native trial beside every matched one."""
    trials = [record for record in plain.of("trial", "ok")]
    natives = tuple(twin(record, plain.folder) for record in trials)
    about = {**plain.about, "native_defaults": differences()}
    return replace(plain, about=about, current=plain.current + natives)


def altered(run: Run, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Run:
    """With native trials changed, or left out."""
    found = [change(record) if record["cell"].get("defaults") == "native" else record for record in run.current]
    return replace(run, current=tuple(record for record in found if record))


def test_changes_are_those_of_the_records(run: Run) -> None:
    found = native.effects(run)
    assert [(one.who, one.network.split()[0]) for one in found] == [
        ("keras[tensorflow]", "conv"), ("torch", "conv"), ("keras[tensorflow]", "dense"), ("torch", "dense"),
    ]  # fmt: skip
    for one in found:
        expected = mean_interval([SHIFT[one.backend] + step for step in (-0.1, 0.0, 0.1)])
        assert one.by_seed is not None
        assert one.by_seed.value == pytest.approx(expected.value)
        assert (one.by_seed.low, one.by_seed.high) == pytest.approx((expected.low, expected.high))
        assert one.by_image is not None
        assert one.by_image.value == pytest.approx(SHIFT[one.backend], abs=1e-4)
        assert one.verdict == ("better" if one.backend == "torch" else "no measurable difference")
        assert one.curves["native"][-1][1] - one.curves["matched"][-1][1] == pytest.approx(SHIFT[one.backend])


def test_sentence_and_spread(run: Run) -> None:
    found = native.effects(run)
    headline, detail = native.said(found) or ("", "")
    assert headline == "Each framework's own defaults change the PSNR measurably in 2 of 4 cases"
    assert detail.startswith("most with torch on ")
    assert "+0.50 dB [" in detail
    assert detail.endswith("n = 3 seeds; none of it is certified or ranked")
    widest = native.spreads(found)[0]
    assert widest.matched is not None
    assert widest.native > widest.matched
    assert f"natively backends are up to {widest.native:.2f} dB apart" in detail
    assert [one.topic for one in findings(analyse(run))].count("Defaults") == 1


def test_backends_are_apart_on_the_seeds_that_all_have(run: Run) -> None:
    """Else a seed that one lacks would look like a difference between them."""

    def fewer(record: dict[str, Any]) -> dict[str, Any] | None:
        return None if record["cell"]["backend"] == "torch" and record["cell"]["seed"] == 2 else record

    for one in native.spreads(native.effects(altered(run, fewer))):
        group = [effect for effect in native.effects(run) if effect.network == one.network]
        means = {e.backend: sum(e.matched[seed] for seed in (0, 1)) / 2 for e in group}
        assert one.matched == pytest.approx(max(means.values()) - min(means.values()))


def test_no_other_section_knows_of_native_cells(run: Run, plain: Run) -> None:
    ours, theirs = analyse(run), analyse(plain)
    for name in ("proof", "loads", "quality", "starts", "epoch", "race", "advice", "worths", "matrices", "judged"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert [one for one in findings(ours) if one.topic != "Defaults"] == findings(theirs)
    pages = make_page(run), make_page(plain)
    for name in ("speed", "quality_tables", "agreement", "frontiers", "curves", "pictures", "certificates", "audit"):
        assert repr(getattr(pages[0], name)) == repr(getattr(pages[1], name)), name
    assert theirs.native == ()
    assert pages[1].native is None


def test_the_page_has_the_section_and_only_if_there_are_native_cells(run: Run, plain: Run) -> None:
    html = render(make_page(run))
    assert '<section id="native">' in html
    assert 'href="#native"' in html
    assert "torch tuned, native defaults" in html, "among all cells they are named"
    for line in differences():
        assert line["default"].replace("'", "&#39;") in html
    assert render(make_page(run)) == html
    bare = render(make_page(plain))
    assert 'id="native"' not in bare
    assert "native" not in make_page(plain).summary
    assert "natively: same batches" in make_page(run).summary


def test_one_seed_has_an_interval_over_images_alone(run: Run) -> None:
    found = native.effects(altered(run, lambda record: record if record["cell"]["seed"] == 1 else None))
    assert all(one.by_seed is None and one.change == one.by_image and len(one.matched) == 1 for one in found)
    assert "so intervals cover the test images only" in (native.said(found) or ("", ""))[1]


def test_without_kept_scores_and_several_seeds_nothing_is_claimed(run: Run) -> None:
    def bare(record: dict[str, Any]) -> dict[str, Any] | None:
        kept = {name: value for name, value in record.items() if name != "scores"}
        return kept if record["cell"]["seed"] == 1 else None

    for one in native.effects(altered(run, bare)):
        assert one.change is not None
        assert not one.change.known
        assert one.verdict == ""


def test_other_bytes_or_another_cell_are_no_pair(run: Run) -> None:
    other = native.effects(altered(run, lambda r: {**r, "hashes": {**r["hashes"], "noisy": "0" * 16}}))
    assert not any(one.matched for one in other)
    assert not any(one.matched for one in native.effects(altered(run, lambda r: {**r, "matched": "ab"})))
    wrong = frozenset(record["id"] for record in run.of("trial", "ok"))
    assert not any(one.matched for one in native.effects(run, wrong))


def test_native_cells_alone(run: Run) -> None:
    alone = replace(run, current=tuple(r for r in run.current if r["cell"].get("defaults") == "native"))
    page = make_page(alone)
    assert page.native is not None
    assert not page.native.paired
    assert not page.quality_tables
    assert "each framework's own initial weights and constants. The hashes" in page.summary
    (finding,) = findings(analyse(alone))
    assert "no matched cells to compare them with" in finding.sentence
    assert '<section id="native">' in render(page)


def test_a_native_trial_that_diverged_is_shown(run: Run) -> None:
    def broken(record: dict[str, Any]) -> dict[str, Any]:
        if record["cell"]["backend"] != "torch" or record["cell"]["seed"]:
            return record
        kept = {name: record[name] for name in record if name not in ("metrics", "scores", "pictures")}
        return {**kept, "status": "diverged", "reason": "training loss is nan in epoch 1"}

    torch = [one for one in native.effects(altered(run, broken)) if one.backend == "torch"]
    assert all(one.failed == ("diverged",) and sorted(one.native) == [1, 2] for one in torch)
    table = native.effect_table(torch)
    assert {row[-1].note for row in table.rows} == {"1 trial diverged"}
    everything = native.effects(altered(run, lambda r: {**broken(r), "status": "diverged", "reason": "nan"}))
    assert native.said(everything) is None
    assert native.view(run, everything) is not None


def test_text_of_a_run_file_is_only_text(run: Run) -> None:
    hostile = replace(run, about={**run.about, "native_defaults": [{"default": "<script>x</script>\x1b[31m"}, "no"]})
    html = render(make_page(hostile))
    assert "<script>x</script>" not in html
    assert "&lt;script&gt;x&lt;/script&gt;" in html
    for odd in (None, [], "text", [1]):
        assert native.differences_table(replace(run, about={"native_defaults": odd})) is None


def test_the_report_is_written_and_rebuilt_alike(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(run.about))
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in run.current))
    (folder / "scores").symlink_to(run.folder / "scores")
    first = report.write_report([folder], tmp_path / "a.html")
    second = report.write_report([folder], tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert 'id="native"' in first.read_text(encoding="utf-8")
    assert check_charts(first.read_text(encoding="utf-8")) > 0
