"""Facts about the machine: strict JSON, stable where they must be, silent where there is nothing to find."""

import json
from pathlib import Path

import psutil
import pytest

from bench import machine
from implementations import adapter


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    for cached in (machine.fingerprint, machine.cores, machine.gpus, machine.cpu_model):
        cached.cache_clear()


def test_the_environment_is_strict_json() -> None:
    facts = machine.environment()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["packages"]["numpy"] == machine.version("numpy")
    assert 1 <= facts["cores"] <= facts["cores_logical"]
    assert facts["memory"] > facts["memory_available"] > 0


def test_the_environment_id_ignores_what_passes_and_sees_what_stays() -> None:
    facts = machine.environment()
    later = {**facts, "time": "2030-01-01T00:00:00+00:00", "load": [9.0], "memory_available": 1, "cpu_mhz": 800.0}
    assert machine.environment_id(later) == machine.environment_id(facts)
    upgraded = {**facts, "packages": {**facts["packages"], "numpy": "99"}}
    assert machine.environment_id(upgraded) != machine.environment_id(facts)
    assert machine.environment_id({**facts, "git": None}) != machine.environment_id({**facts, "git": {"commit": "a"}})


def test_a_fingerprint_changes_with_versions_source_and_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(backend: str = "torch", device: str = "cpu") -> str:
        machine.fingerprint.cache_clear()
        return machine.fingerprint(backend, device)

    before = fingerprint()
    assert fingerprint() == before
    assert len(before) == 16
    assert int(before, 16) >= 0
    assert fingerprint("keras[torch]") != before
    with monkeypatch.context() as patch:
        patch.setattr(machine, "version", lambda package: "99")
        assert fingerprint() != before
    with monkeypatch.context() as patch:
        patch.setattr(adapter, "source_digest", lambda kind: "another source")
        assert fingerprint() != before
    with monkeypatch.context() as patch:
        patch.setattr(machine, "cpu_model", lambda: "another processor")
        assert fingerprint() != before
    with monkeypatch.context() as patch:
        patch.setattr(machine, "gpus", lambda: [{"name": "a GPU", "driver": "1", "memory": "1 MiB"}])
        assert fingerprint() == before, "the GPU is nothing to a CPU's figure"
        with_gpu = fingerprint(device="cuda")
    assert with_gpu not in (before, fingerprint(device="cuda"))
    assert fingerprint() == before


def test_cores_are_physical_and_within_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    def cores(logical: int, physical: int | None, schedulable: int, quota: float) -> int:
        machine.cores.cache_clear()
        counts = {True: logical, False: physical}
        monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: counts[logical])
        monkeypatch.setattr(machine, "affinity", lambda: list(range(schedulable)))
        monkeypatch.setattr(machine, "_quota", lambda: quota)
        return machine.cores()

    assert cores(8, 8, 8, 1e6) == 8
    assert cores(8, 4, 8, 1e6) == 4, "two threads of a core share its arithmetic units"
    assert cores(8, 4, 3, 1e6) == 2
    assert cores(8, None, 8, 1e6) == 8
    assert cores(8, 8, 8, 2.0) == 2, "a container's quota"
    assert cores(8, 8, 8, 0.5) == 1


def test_a_quota_is_read_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    for text, expected in [("150000 100000\n", 1.5), ("max 100000\n", 1e6), ("", 1e6), ("1 0", 1e6)]:
        file.write_text(text)
        assert machine._quota(file) == expected
    assert machine._quota(tmp_path / "nothing") == 1e6


def test_gpus_are_what_nvidia_smi_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine, "_output", lambda command: "NVIDIA H200, 570.1, 143771 MiB\nNVIDIA H200, 570.1, 143771 MiB"
    )
    assert machine.gpus() == [{"name": "NVIDIA H200", "driver": "570.1", "memory": "143771 MiB"}] * 2
    assert machine.missing_device("cuda") is None


def test_without_a_gpu_cuda_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", list)
    monkeypatch.setattr(Path, "glob", lambda path, pattern: iter(()))
    with pytest.raises(machine.DeviceError, match=r"'cuda'.*no NVIDIA GPU.*--device cpu"):
        machine.check_device("cuda")
    with pytest.raises(machine.DeviceError, match=r"'tpu' is unknown; allowed are cpu, cuda, mps"):
        machine.check_device("tpu")
    machine.check_device("cpu")


def test_a_program_that_is_missing_or_fails_says_nothing() -> None:
    assert machine._output(["no-such-program-anywhere"]) is None
    assert machine._output(["false"]) is None
    assert machine._output(["echo", " text "]) == "text"


def test_what_else_computes_on_the_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def output(command: list[str]) -> str:
        asked.append(command)
        return "812, /usr/bin/python3, 512 MiB\n9, [Not Found], [N/A]\n"

    monkeypatch.setattr(machine, "_output", output)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.gpu_processes() == ["python3 (process 812, 512 MiB)", "[Not Found] (process 9, [N/A])"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    machine.gpu_processes()
    assert "-i" not in asked[0]
    assert asked[1][1:3] == ["-i", "3"], "those of other GPUs are nothing to us"
    monkeypatch.setattr(machine, "_output", lambda command: None)
    assert machine.gpu_processes() == []
