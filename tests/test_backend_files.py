"""A backend in a file of somebody's own: found, announced to workers, certified, run and reported; or refused in one
message that says what to change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from example_backend import FILE, NumPy

from bench import cli, machine
from bench.cells import CertificateCell
from bench.certifying import run_certificates
from bench.compare import sides
from bench.plan import make_plan, not_offered
from bench.sweep import load_sweep
from implementations import adapter, backend_files
from implementations.adapter import EXTRA_BACKENDS, Adapter, Setting, adapter_class, source_digest
from implementations.backend_files import BackendFileError, announce, classes
from results.loading import load_run

ROOT = Path(__file__).parent.parent
MINIMAL = """
from implementations.adapter import Adapter
class {kind}(Adapter):
    name = {name!r}
    packages = ()
    def nothing(self, *_):
        pass
    configure = availability = build = load_weights = weights = stage = train_epoch = nothing
    reconstruct = encode = gradients = synchronize = parameter_counts = nothing
"""


def minimal(name: Any = "mine", kind: str = "Mine") -> str:
    return MINIMAL.format(kind=kind, name=name)


@pytest.fixture(autouse=True)
def _no_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(EXTRA_BACKENDS, "")  # put back behind the test, whatever it announces
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    machine.fingerprint.cache_clear()


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


# -- announced -----------------------------------------------------------------------------------------------------


def test_a_file_is_announced_to_this_process_and_those_that_it_starts(tmp_path: Path) -> None:
    path = written(tmp_path, minimal() + minimal("other", "Other") + minimal("base", "_Base"))
    assert announce([path]) == ["mine", "other"]
    assert adapter_class("mine").__name__ == "Mine"
    assert "base" not in adapter.backends(), "a leading underscore says that a class is no backend"
    ask = "from implementations.adapter import adapter_class; print(adapter_class('other').name)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "other\n"
    assert not list(tmp_path.glob("__pycache__")), "the folder is somebody else's"


def test_a_relative_path_is_announced_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, minimal())
    monkeypatch.chdir(tmp_path)
    announce([Path("mine.py")])
    assert adapter.backends()["mine"].value == f"{tmp_path}/mine.py:Mine"
    monkeypatch.chdir("/")
    assert adapter_class("mine").name == "mine"


def test_to_announce_a_file_twice_is_no_mistake(tmp_path: Path) -> None:
    path = written(tmp_path, minimal())
    announce([path, path])
    announce([path])
    assert os.environ[EXTRA_BACKENDS].count("mine=") == 1


def test_a_change_of_the_file_makes_its_records_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = written(tmp_path, minimal(), "one.py"), written(tmp_path, minimal() + "# faster\n", "other.py")
    digests = [source_digest(kind) for path in (one, other) for kind in classes(path)]
    assert len(set(digests)) == 2
    fingerprints = set()
    for path in (one, other):
        monkeypatch.setenv(EXTRA_BACKENDS, "")
        announce([path])
        machine.fingerprint.cache_clear()
        fingerprints.add(machine.fingerprint("mine", "cpu"))
    assert len(fingerprints) == 2
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (kind,) = classes(Path(shutil.copy(one, moved)))
    assert source_digest(kind) == digests[0], "where the file lies does not matter"


# -- refused -------------------------------------------------------------------------------------------------------

INCOMPLETE = minimal().replace("train_epoch = ", "").replace("= encode ", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nimport no_such_framework\n", "mine.py, line 2: ModuleNotFoundError: No module named"),
        ("def half(:\n", "mine.py, line 1: this is not Python"),
        ("\0\1", "mine.py: this is not Python"),
        ("def f():\n    return 1 / 0\n\nf()\n", "mine.py, line 2: ZeroDivisionError"),
        ("raise SystemExit(0)\n", "mine.py, line 1: SystemExit"),
        ("", "there is no backend in it"),
        ("from implementations.torch_adapter import Torch\n", "there is no backend in it"),
        (INCOMPLETE, "class Mine does not define encode, train_epoch: every adapter must"),
        (minimal("torch"), "the name 'torch' is taken by implementations.torch_adapter:Torch"),
        (minimal() + minimal(kind="Again"), "the name 'mine' is taken by"),
        (minimal("all"), "class Mine has name = 'all'"),
        (minimal("a b"), "class Mine has name = 'a b'"),
        (minimal("torch:tuned"), "class Mine has name = 'torch:tuned'"),
        (minimal(7), "class Mine has name = 7"),
        (minimal().replace("    packages = ()\n", ""), "class Mine does not say its packages"),
        (minimal() + '    tracks = ("fast",)\n', "class Mine has tracks = ('fast',)"),
        (minimal() + '    precisions = "float32"\n', "class Mine has precisions = 'float32': a tuple is needed"),
        (minimal() + "    devices = ()\n", "class Mine has devices = ()"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = written(tmp_path, text)
    assert cli.main(["list", "backends", "--backend-file", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("daebench: --backend-file "), told
    assert message in told
    assert len(told.splitlines()) == 1, "no traceback"
    assert os.environ[EXTRA_BACKENDS] == ""


@pytest.mark.parametrize(
    "command",
    [
        ["run", "quick", "--dry-run"],
        ["verify"],
        ["list", "backends"],
        ["doctor"],
        ["reproduce", "dense", "--dry-run"],
        ["compare", "--live"],
        ["denoise", "picture.png", "--record", "0", "-o", "out"],
    ],
)
def test_every_command_that_takes_backends_takes_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    good = written(tmp_path, minimal())
    given = [*command, "--backend-file", str(good), "--backend-file", str(tmp_path / "nowhere.py")]
    assert cli.main(given) == 2
    assert f"--backend-file {tmp_path}/nowhere.py: no such file" in capsys.readouterr().err
    assert cli.main([*command, "--backend-file", str(tmp_path)]) == 2
    assert "that is a folder, not a file" in capsys.readouterr().err


def test_two_recorded_runs_need_no_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "a", "b", "--backend-file", str(FILE)]) == 2
    assert "--backend-file is for compare --live" in capsys.readouterr().err


def test_a_path_that_the_environment_can_not_carry_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a;b"
    folder.mkdir()
    with pytest.raises(BackendFileError, match="a path with ; in it"):
        announce([written(folder, minimal())])


def test_an_announced_file_that_has_gone_is_listed_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXTRA_BACKENDS, f"mine={tmp_path}/gone.py:Mine")
    assert cli.main(["list", "backends", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out) if row["name"] == "mine")
    assert row["installed"] is False
    assert "no such file" in row["reason"]


# -- what a backend can not do -------------------------------------------------------------------------------------


class Half(NumPy):  # type: ignore[misc, valid-type]
    """Computes in float32 alone, and has no Adadelta."""

    name = "half"
    precisions = ("float32",)

    @classmethod
    def refusal(cls, architecture: Any, training: Any) -> str | None:
        if type(training.optimizer).__name__ == "Adadelta":
            return "Adadelta is not written yet"
        return super().refusal(architecture, training)  # type: ignore[no-any-return]


def test_what_is_refused_has_a_reason() -> None:
    def told(**axes: Any) -> str | None:
        common = {"backend": "half", "track": "idiomatic", "architecture": "dense"}
        return not_offered(Half, CertificateCell(**{**common, **axes}))

    assert told() is None
    assert told(architecture="conv", height=17, width=22) is None
    assert told(precision="float64") == "half does not compute in float64; it has float32"
    assert told(architecture="bn") == "half refuses bn: it has no BatchNorm, LeakyReLU, MaxPool2D, UpSampling2D"
    assert told(optimizer="adadelta") == "half refuses dense: Adadelta is not written yet"


def test_what_is_refused_is_unsupported_in_a_plan_and_in_a_certificate(tmp_path: Path) -> None:
    announce([FILE])
    sweep = written(
        tmp_path, '[axes]\nbackend = "numpy"\narchitecture = ["dense", "bn"]\nlatent = "default"\n', "s.toml"
    )
    plan = make_plan(load_sweep(sweep))
    assert {cell.architecture for cell in plan.trials} == {"dense"}
    reasons = {(cell.architecture, cell.track): reason for cell, reason in plan.unsupported}
    assert reasons["bn", "idiomatic"].startswith("numpy refuses bn: it has no BatchNorm")
    assert reasons["dense", "tuned"] == "numpy has no track tuned; it has idiomatic"
    cell = CertificateCell(backend="numpy", track="idiomatic", architecture="bn", batch_size=16)
    (record,) = run_certificates([cell])
    assert record["status"] == "unsupported"
    assert record["seconds"] == 0, "nothing was computed for it"


# -- certified, compared, run --------------------------------------------------------------------------------------


def daebench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, in ``folder``."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_verify_certifies_the_example_in_both_precisions(tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path / "numpy_backend.py")
    wanted = ("--backend", "numpy", "--architecture", "dense,bn", "--loss", "mse", "--optimizer", "sgd")
    done = daebench(tmp_path, "verify", "--backend-file", "numpy_backend.py", *wanted, "--json")
    assert done.returncode == 0, done.stderr
    found = {
        (record["cell"]["architecture"], record["cell"]["precision"]): record for record in json.loads(done.stdout)
    }
    assert {place: record["status"] for place, record in found.items()} == {
        ("dense", "float64"): "ok",
        ("dense", "float32"): "ok",
        ("bn", "float64"): "unsupported",
        ("bn", "float32"): "unsupported",
    }
    assert found["dense", "float64"]["metrics"]["worst_ratio"] < 1


def test_a_side_of_a_live_comparison_has_it(tmp_path: Path) -> None:
    announce([FILE])
    with sides.opened("head", sides.SideSpec(backend="numpy"), ["numpy"], [Setting()], tmp_path) as side:
        assert side.missing("numpy") is None
        assert side.fingerprint("numpy", Setting()) == machine.fingerprint("numpy", "cpu")
        assert f"numpy={FILE}:NumPy" in dict(side.program("numpy", Setting()).variables or {})[EXTRA_BACKENDS]


def test_the_benchmark_suite_takes_it(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "bench/suite"]

    def collected(file: Path) -> subprocess.CompletedProcess[str]:
        options = [f"--daebench-backend-file={file}", "--daebench-backend=numpy"]
        return subprocess.run(
            [*command, *options], cwd=ROOT, env=inherited, capture_output=True, text=True, check=False
        )

    assert "numpy-idiomatic-dense" in collected(FILE).stdout
    refused = collected(tmp_path / "nowhere.py")
    assert refused.returncode != 0
    assert "--daebench-backend-file" in refused.stdout + refused.stderr
    assert "no such file" in refused.stdout + refused.stderr


SWEEP = """
[axes]
backend = "numpy"
architecture = ["dense", "conv-latif"]
latent = "default"
train = 64
test = 32
epochs = 1

[timing]
rounds = 1
blocks = 2
block_seconds = 0.02
latency = false
"""


def test_it_is_run_resumed_and_reported(tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path / "numpy_backend.py")
    written(tmp_path, SWEEP, "sweep.toml")
    arguments = ("run", "sweep.toml", "--backend-file", "numpy_backend.py", "--out", "run")
    done = daebench(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    run = load_run(tmp_path / "run")

    def of(kind: str) -> set[tuple[str, str, str]]:
        records = [record for record in run.records if record["kind"] == kind]
        return {(r["cell"]["architecture"], r["cell"]["track"], r["status"]) for r in records}

    refused = {("conv-latif", "idiomatic", "unsupported")}
    assert of("trial") == {("dense", "idiomatic", "ok")} | refused
    assert ("dense", "idiomatic", "ok") in of("timing")
    (trial,) = (record for record in run.records if record["kind"] == "trial" and record["status"] == "ok")
    assert trial["metrics"]["psnr"] > 5
    assert trial["hashes"]["adapter"] == source_digest(NumPy)
    assert all(str(tmp_path) not in json.dumps(record) for record in run.records), "no record names a place"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "numpy refuses conv-latif: it has no MaxPool2D, UpSampling2D" in page
    assert "numpy" in page[page.index("</style>") :]

    again = daebench(tmp_path, *arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(load_run(tmp_path / "run").records) == len(run.records), "there was nothing left to do"

    without = daebench(tmp_path, "run", "sweep.toml", "--out", "run")
    assert without.returncode == 2
    assert "'numpy'" in without.stderr


def test_the_example_is_short_and_computes_by_itself() -> None:
    text = FILE.read_text()
    assert len(text.splitlines()) <= 150
    assert "reference" not in text
    assert issubclass(NumPy, Adapter)
    assert backend_files.classes(FILE) == [NumPy]
