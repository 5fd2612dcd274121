"""Energy: counters that are there are read, wrap-around included; those that are not have a reason."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench import energy
from bench.energy import EnergyUnavailable, Meter, find_meter

RANGE = 1_000_000_000


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages, of which one has a subzone; and a domain of the whole platform, in which both are once more."""
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:2", "psys")):
        _zone(tmp_path / zone, name)
    _zone(tmp_path / "intel-rapl:0:0", "core")
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    return tmp_path


def _zone(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / "name").write_text(name + "\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (folder / "energy_uj").write_text("0\n")


def test_packages_are_added_up_and_counters_may_start_over(powercap: Path) -> None:
    first, second = (powercap / f"intel-rapl:{n}" / "energy_uj" for n in (0, 1))
    first.write_text(str(RANGE - 2_000_000))
    meter = find_meter("cpu")
    assert meter.source == "RAPL, 2 processor packages"
    assert meter.read() == 0.0
    first.write_text("1000000")  # 2 J up to the end of its range, and 1 J more
    second.write_text("4000000")
    assert meter.read() == pytest.approx(7.0)
    assert meter.read() == pytest.approx(7.0), "nothing was used since"


def test_a_window_is_long_enough_and_counts_its_samples() -> None:
    readings = iter([100.0, 130.0])
    found = Meter("a test", lambda: next(readings)).measure(lambda: (time.sleep(0.02), 10)[1], seconds=0.05)
    assert found["joules"] == 30.0
    assert 0.05 <= found["seconds"] < 1.0
    assert found["samples"] == 10 * round(found["samples"] / 10) >= 20, "whole calls, at least until it is over"
    assert energy.WINDOW_SECONDS >= 2.0


def test_what_is_not_counted_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path / "powercap")
    with pytest.raises(EnergyUnavailable, match="no RAPL counters"):
        find_meter("cpu")
    monkeypatch.setattr(energy, "_NVML", "libthere-is-no-such-library.so.1")
    with pytest.raises(EnergyUnavailable, match="comes with NVIDIA's driver"):
        find_meter("cuda")
    with pytest.raises(EnergyUnavailable, match="mps"):
        find_meter("mps")


def test_counters_for_root_alone_say_how_to_open_them(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_text = Path.read_text

    def refuse(path: Path, *arguments: object, **options: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(EnergyUnavailable, match=r"chmod a\+r .*energy_uj"):
        find_meter("cpu")


@pytest.mark.gpu
def test_a_gpu_draws_more_when_it_works() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    meter = find_meter("cuda")
    matrix = torch.ones(4096, 4096, device="cuda")

    def work() -> int:
        for _ in range(20):
            matrix @ matrix
        torch.cuda.synchronize()
        return 20

    idle = meter.measure(lambda: (time.sleep(0.1), 1)[1])
    busy = meter.measure(work)
    assert busy["joules"] / busy["seconds"] > 1.3 * idle["joules"] / idle["seconds"] > 0
