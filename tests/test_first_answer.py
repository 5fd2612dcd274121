"""The first answer that a newcomer gets is true: ten times the training does not turn it round."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from report.sentences import Analysis, analyse
from results.loading import load_run

ROOT = Path(__file__).resolve().parents[1]
LEAST_GAIN = 3.0
"""dB over the noisy input, on the mean of its corruptions, that every network of quick has to gain."""


def run(place: Path, *options: str) -> Analysis:
    command = [sys.executable, "-m", "bench.cli", "run", "quick", "--out", str(place), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return analyse(load_run(place))


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_the_recommendation_of_quick_survives_ten_times_the_training(tmp_path: Path) -> None:
    """Minutes for the one and an hour for the other on two cores.  Which framework is recommended hangs on its speed
    and not on the training, so the longer run is PyTorch's alone."""
    quick = run(tmp_path / "quick")
    standings, shared = quick.quality.standings()
    assert len(standings) == 3, "dense with two codes, conv with one"
    assert len(shared) == 4
    for one in standings:
        assert one.learned.trained, one.label
        assert one.gain.value >= LEAST_GAIN, one.label
    longer = run(tmp_path / "longer", "--set", "epochs=100", "--set", "backend=torch", "--set", "timing.backend=torch")
    assert quick.advice is not None
    assert longer.advice is not None
    assert quick.advice.headline.split(" with ")[0] == longer.advice.headline.split(" with ")[0]
