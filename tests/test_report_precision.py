"""Several precisions in one run: no mean over two of them, and every name says which it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import fake_run
import pytest

from report.certification import certification
from report.proof_tables import certificate_table
from report.quality import quality
from report.quality_tables import agreement_table
from report.sentences import agreement_findings, certificate_findings
from results.loading import Run, load_run

OFF = 0.5
"""dB by which the trials in bfloat16 are made worse."""


def coarser(record: dict[str, Any]) -> dict[str, Any]:
    metrics = dict(record.get("metrics", {}))
    if record["kind"] == "trial" and "psnr" in metrics:
        metrics |= {name: metrics[name] - OFF for name in ("psnr", "psnr_gain")}
    if record["kind"] == "certificate":
        metrics |= {"coarseness_inference": 0.5, "coarseness_training": 0.5}
    cell = {**record["cell"], "precision": "bfloat16"}
    return {**record, "id": "b" + record["id"], "cell": cell, "metrics": metrics}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    plain = load_run(fake_run.make_run(tmp_path_factory.mktemp("precision"))).matched
    own = [record for record in plain.current if record["kind"] in ("trial", "certificate")]
    return replace(plain, current=(*own, *map(coarser, own)))


def test_no_mean_is_taken_over_two_precisions(run: Run) -> None:
    found = quality(run)
    assert "precision" in found.configuration_axes
    at = found.configuration_axes.index("precision")
    for (condition, configuration), score in found.scores.items():
        if configuration[at] == "float32":
            other = (*configuration[:at], "bfloat16", *configuration[at + 1 :])
            assert score.psnr - found.scores[condition, other].psnr == pytest.approx(OFF)
    assert all("float32" in label or "bfloat16" in label for label in found.configurations.values())


def test_backends_agree_within_a_precision_and_the_other_is_shown_beside(run: Run) -> None:
    found = quality(run)
    for one in found.agreements:
        assert one.one_precision == (one.a.endswith("(bfloat16)") == one.b.endswith("(bfloat16)"))
        if not one.one_precision:
            assert one.a.split(" ")[0] == one.b.split(" ")[0]
            assert abs(one.difference.value) == pytest.approx(OFF)
    assert any(not one.one_precision for one in found.agreements)
    plain = quality(replace(run, current=tuple(r for r in run.current if r["cell"]["precision"] == "float32")))
    headlines = [agreement_findings(one)[0].headline for one in (found, plain)]
    assert all(headline.count("agree with") == 1 and "not shown" not in headline for headline in headlines)
    assert all(one.who.precision == other.precision for one in found.agreed for other in one.references)
    assert "in two precisions" in agreement_table(found).caption
    assert "in two precisions" not in agreement_table(plain).caption


def test_certificates_of_mixed_precision_stand_apart_and_say_what_they_prove(run: Run) -> None:
    proof = certification(run)
    said = certificate_findings(proof)[0].detail
    assert "bfloat16 changes nothing in" in said
    assert "those of bfloat16 judge one batch and three steps of training, no more" in said
    rows = certificate_table(proof).rows
    apart = [row for row in rows if "bfloat16" in row[0].note]
    assert len(apart) == len(rows) / 2
    assert all("as exact as float32" in cell.note for row in apart for cell in row[1:] if cell.text.startswith("✓"))
