"""The report of one network that was timed at several sizes of the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from report import facts, sentences
from report.page import make_page, render
from report.sentences import Analysis, analyse
from results.loading import load_run


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(load_run(Path("results/published/speed-batches-conv")))


def test_what_differs_between_workloads_of_one_network_is_not_called_the_network(analysis: Analysis) -> None:
    (found,) = sentences.speed_findings(analysis.loads)
    assert found.headline == "Who trains fastest depends on the workload (3 timed)"
    several = [
        replace(load, axes=load.axes | {"architecture": name}) for load, name in zip(analysis.loads, "abc", strict=True)
    ]
    (found,) = sentences.speed_findings(several)
    assert found.headline == "Who trains fastest depends on the network (3 timed)"


def test_one_note_says_how_far_the_ends_of_intervals_are_apart(analysis: Analysis) -> None:
    page = make_page(analysis.run, analysis)
    apart = "2.6 (conv, batch 1), 1.7 (conv, batch 32) and 3.4 (conv, batch 1024)"
    assert page.unsteady == apart
    assert render(page).count("The ends of an interval are up to a factor of") == 1
    page.speed = []
    assert page.unsteady == ""
    assert "The ends of an interval" not in render(page)


def test_one_epoch_is_not_several(analysis: Analysis) -> None:
    assert dict(facts.fact_sheet(analysis.run))["Training"] == "1 epoch, 1 seed"
