"""Robustness and codes in the report: figures against what the records say, worst cases, tables without scripts."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import report
from report import codes, quality_tables, robustness
from report.page import make_page
from report.quality import quality
from report.sentences import analyse, findings
from results.loading import Run, load_run
from results.schema import validate
from results.statistics import Interval
from tests import fake_run

NOISES = ("gaussian(0.4)", "salt_pepper(0.2)", "blur(1)")
SIZE = fake_run.Size(
    backends=("torch", "keras[jax]"), corruptions=("gaussian(0.4)", "salt_pepper(0.1)", "blur(1.0)"),
    latents=(64, 16), losses=("bce",), full=("torch", "keras[jax]"),
)  # fmt: skip


def gain(architecture: str, latent: int, train: str, test: str, seed: int, backend: str) -> float:
    """What the records below hold: the noise trained on is worth 6 dB, conv does worst from gaussian to blur."""
    base = 6.0 if train == test else 1.0
    if (architecture, train, test) == ("conv", "gaussian(0.4)", "blur(1.0)"):
        base = -4.0
    return base + latent / 64 + 0.1 * seed + (0.02 if backend == "torch" else -0.02)


def asked(record: dict[str, Any]) -> dict[str, Any]:
    """With cross scores and codes."""
    cell = record["cell"]
    if record["kind"] != "trial" or record["status"] != "ok":
        return record
    who = cell["architecture"], cell["latent"], cell["corruption"]
    cross = []
    for test in SIZE.corruptions:
        value = gain(*who, test, cell["seed"], cell["backend"])
        metrics = {"psnr_gain": value, "psnr_gain_low": value - 0.05, "psnr_gain_high": value + 0.05}
        cross.append({"corruption": test, "metrics": metrics | {"psnr": 15 + value, "psnr_noisy": 15.0}})
    judged = {"classes": 62.0, "probe_train_images": 4096.0, "probe_test_images": 512.0, "seconds": 1.5}
    for noise, shift in (("noisy", 0.0), ("clean", 0.1)):
        for kind, value in (("", 0.5 + cell["latent"] / 320), ("pca_", 0.4 + cell["latent"] / 640), ("pixels_", 0.45)):
            share = value + shift + 0.01 * cell["seed"]
            judged |= {
                f"{kind}probe_accuracy_{noise}": share,
                f"{kind}probe_accuracy_{noise}_low": share - 0.04,
                f"{kind}probe_accuracy_{noise}_high": share + 0.04,
                f"{kind}cluster_ari_{noise}": share / 2,
            }
    changed = {**record, "cross": cross, "codes": judged}
    changed["cell"] = {**cell, "cross_noise": "; ".join(SIZE.corruptions), "codes": True}
    validate(changed)
    return changed


def make(folder: Path, seeds: tuple[int, ...] = (0,)) -> Run:
    fake_run.make_run(folder, replace(SIZE, seeds=seeds), ("certificate", "trial"))
    path = folder / "records.jsonl"
    records = [asked(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return load_run(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("asked") / "one")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("asked") / "three", (0, 1, 2))


def test_a_matrix_holds_every_pair_as_a_mean_over_backends(run: Run) -> None:
    found = {one.label: one for one in robustness.matrices(run)}
    assert set(found) == {f"{name} (latent {size}, BCE)" for name in ("dense", "conv") for size in (64, 16)}
    conv = found["conv (latent 64, BCE)"]
    assert set(conv.gains) == {(a, b) for a in SIZE.corruptions for b in SIZE.corruptions}
    # The two backends are 0.02 dB above and below.
    assert conv.gains["gaussian(0.4)", "blur(1.0)"].value == pytest.approx(-4.0 + 1.0)
    assert conv.gains["blur(1.0)", "blur(1.0)"].value == pytest.approx(6.0 + 1.0)
    assert conv.gains["blur(1.0)", "blur(1.0)"].low == pytest.approx(7.0 - 0.05), "one seed: over test images"
    assert conv.worst == ("gaussian(0.4)", "blur(1.0)")
    assert found["dense (latent 16, BCE)"].gains[found["dense (latent 16, BCE)"].worst].value == pytest.approx(1.25)


def test_intervals_are_over_seeds_where_there_are_several(seeded: Run) -> None:
    conv = next(one for one in robustness.matrices(seeded) if one.label.startswith("conv (latent 64"))
    own = conv.gains["blur(1.0)", "blur(1.0)"]
    # Seeds 0, 1, 2 are 0.1 dB apart: a standard error of 0.1 / sqrt(3), and Student's t of two degrees, 4.303.
    assert own.value == pytest.approx(7.1)
    assert own.high - own.value == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-3)
    codes_ = next(one for one in codes.judged(seeded) if one.label.startswith("conv (latent 64"))
    assert codes_.figures["probe_accuracy_noisy"].value == pytest.approx(0.7 + 0.01)
    assert codes_.figures["cluster_ari_noisy"].known, "without an interval over images, but with one over seeds"


def test_what_seeds_and_what_images_leave_open_stand_apart(run: Run, seeded: Run) -> None:
    columns = {
        "one": quality_tables.standings_table(quality(run)),
        "three": quality_tables.standings_table(quality(seeded)),
    }
    for table in columns.values():
        assert table.columns[3:6] == ["gain in PSNR", "over seeds", "over images"]
        # The fake run gives the gain of every trial an interval of 0.8 times 0.11 dB either way over images.
        assert {row[5].text for row in table.rows} == {"±0.09"}
    assert {row[4].text for row in columns["one"].rows} == {"one seed"}
    standing = quality(seeded).standings()[0][0]
    assert columns["three"].rows[0][4].text == f"±{(standing.gain.high - standing.gain.low) / 2:.2f}"


def test_a_table_with_both_kinds_of_intervals_says_which_is_which(seeded: Run, run: Run, tmp_path: Path) -> None:
    kept = [one for one in seeded.records if one["cell"]["architecture"] == "dense" or not one["cell"].get("seed")]
    shutil.copytree(seeded.folder, tmp_path / "part")
    (tmp_path / "part" / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kept))
    table = quality_tables.quality_table(quality(load_run(tmp_path / "part")))
    for row in table.rows:
        for name, cell in zip(table.columns[2:], row[2:], strict=True):
            assert ("(images)" in cell.note) is name.startswith("conv"), name
    plain = quality_tables.quality_table(quality(run))
    assert not any("(images)" in cell.note for row in plain.rows for cell in row), "one kind needs no name"


def test_the_worst_case_is_said_and_comes_first_where_it_is_worst(run: Run) -> None:
    topics = {finding.topic: finding for finding in findings(analyse(run))}
    said = topics["Robustness"].sentence
    assert "conv (latent 16, BCE) trained on gaussian(0.4) takes blur(1.0) images −3.75 dB" in said
    assert "trained on blur(1.0) itself it gains +6.25 dB" in said
    assert "in 2 of 24 pairs" in said, "of 4 networks x 6 pairs of unlike noise, conv's two sizes"
    assert "mildest worst case is that of dense (latent 64, BCE), +2.00 dB" in said
    table = robustness.worst_table(robustness.matrices(run))
    assert table.rows[-1][0].text == "conv (latent 16, BCE)"
    assert [cell.text for cell in table.rows[-1][1:3]] == ["gaussian(0.4)", "blur(1.0)"]
    assert table.rows[-1][3].kind == "bad"
    assert table.rows[-1][6].text == "1 of 6"


def test_networks_that_only_gain_are_said_to(run: Run) -> None:
    mild = [one for one in robustness.matrices(run) if one.label.startswith("dense")]
    said = robustness.said(mild)
    assert said is not None
    every = "Every network gains under every noise that it was not trained on, least dense (latent 16, BCE) trained on "
    assert said[0].startswith(every)
    assert robustness.said([]) is None


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (
            Interval(-0.02, -0.50, 0.46),
            "It is open whether noise that it was not trained on can make",
        ),
        (Interval(0.02, -0.50, 0.54), "It is open whether"),
        (Interval(0.50, 0.02, 0.98), "Every network gains under every noise that it was not trained on"),
        (Interval(-0.50, -0.98, -0.02), "Noise that it was not trained on can make a network harmful"),
        (Interval(-0.50, math.nan, math.nan), "Noise that it was not trained on can make"),
        (Interval(0.50, math.nan, math.nan), "Every network gains"),
    ],
)
def test_the_worst_case_is_judged_by_its_interval(gain: Interval, said: str) -> None:
    own = Interval(5.0, 4.0, 6.0)
    matrix = robustness.Matrix("dense", {("a", "a"): own, ("b", "b"): own, ("a", "b"): own, ("b", "a"): gain})
    found = robustness.said([matrix])
    assert found is not None
    assert found[0].startswith(said)


def test_what_may_be_harmful_counts_before_what_surely_is_not() -> None:
    """The least mean is surely above 0; another may be below."""
    own, sure, unsure = Interval(5.0, 4.0, 6.0), Interval(0.5, 0.45, 0.55), Interval(1.0, -3.0, 5.0)
    matrix = robustness.Matrix("dense", {("a", "a"): own, ("b", "b"): own, ("a", "b"): unsure, ("b", "a"): sure})
    found = robustness.said([matrix])
    assert found is not None
    assert found[0].startswith("It is open whether")
    assert "dense trained on a changes b images" in found[0]


def test_what_is_surely_harmful_counts_before_what_looks_worse() -> None:
    own, sure, unsure = Interval(5.0, 4.0, 6.0), Interval(-0.5, -0.7, -0.3), Interval(-0.9, -3.0, 1.2)
    matrix = robustness.Matrix("dense", {("a", "a"): own, ("b", "b"): own, ("a", "b"): unsure, ("b", "a"): sure})
    found = robustness.said([matrix])
    assert found is not None
    assert "dense trained on b takes a images" in found[0]


def test_codes_stand_beside_pixels_and_components(run: Run) -> None:
    found = codes.judged(run)
    assert len(found) == 4 * len(SIZE.corruptions)
    table = codes.table(found, "noisy")
    row = next(row for row in table.rows if row[0].text == "dense (latent 64, BCE)" and row[1].text == "blur(1.0)")
    assert [cell.text for cell in row[2:]] == ["70.0 %", "50.0 %", "45.0 %", "0.35", "0.25", "0.23"]
    assert row[2].note == "[66.0, 74.0]"
    clean = codes.table(found, "clean")
    assert clean.rows[0][2].text != table.rows[0][2].text
    said = next(one.sentence for one in findings(analyse(run)) if one.topic == "Codes")
    assert "70.0 % [66.0, 74.0]" in said
    assert "50.0 % [46.0, 54.0] from PCA of that size" in said
    # At 16 numbers 55 % against 42.5 %, at 64 70 % against 50 %: all intervals apart; pixels, at 16: 55 against 45.
    assert "better than PCA of that size in 12 of 12 cases, worse in 0" in said


def test_size_of_code_against_psnr_and_probe(run: Run) -> None:
    psnr, probe = codes.latent_charts(codes.judged(run))
    rows = (
        probe.spec["layer"][0]["data"]["values"] if "data" in probe.spec["layer"][0] else probe.spec["data"]["values"]
    )
    values = {(row["series"], row["size"]): row["accuracy"] for row in rows}
    assert values["dense (BCE)", 16] == pytest.approx(55.0)
    assert values["conv (BCE)", 64] == pytest.approx(70.0)
    assert values["PCA", 64] == pytest.approx(50.0)
    assert "PCA" not in json.dumps(psnr.spec)
    few = [one for one in codes.judged(run) if one.size == 64]
    assert codes.latent_charts(few) == []


def test_the_page_shows_both_without_scripts_and_the_same_twice(run: Run, tmp_path: Path) -> None:
    html = report.write_report([run.folder], tmp_path / "a.html").read_text()
    assert 'id="robustness"' in html
    assert 'id="codes"' in html
    body = html.split("<script")[0]
    assert "The worst case of every network" in body
    assert body.count('id="chart-robustness-') == 4
    assert "70.0 %" in body
    assert "−3.00" in body, "in the table of the matrix"
    assert html == report.write_report([run.folder], tmp_path / "b.html").read_text()


def test_runs_that_were_not_asked_have_no_such_sections(tmp_path: Path) -> None:
    run = load_run(fake_run.make_run(tmp_path / "plain", kinds=("trial",)))
    page = make_page(run)
    assert page.robustness is None
    assert page.codes is None
    assert not {"Robustness", "Codes"} & {finding.topic for finding in page.findings}


def test_trials_that_were_asked_and_others_are_one_condition(tmp_path: Path) -> None:
    """Asking a network more after it was trained does not make its training another one."""
    fake_run.make_run(tmp_path / "mixed", SIZE, ("trial",))
    path = tmp_path / "mixed" / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    mixed = [asked(one) if one["cell"]["backend"] == "torch" else one for one in records]
    path.write_text("".join(json.dumps(record) + "\n" for record in mixed))
    found = analyse(load_run(tmp_path / "mixed")).quality
    assert list(found.conditions.values()) == sorted(SIZE.corruptions)
    assert len(found.agreements) == 1


def test_numbers_in_the_heat_map_can_be_read() -> None:
    """White on the dark ends alone: on the light brown of a middling loss it could not be read."""
    assert robustness._is_dark(1.0)
    assert robustness._is_dark(-1.0)
    assert not any(robustness._is_dark(share) for share in (-0.5, -0.2, 0.0, 0.3))
