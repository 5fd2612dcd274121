"""The command line: what it prints, what it refuses in one message, and that it starts at once."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fake_backend
import pytest

from bench import cli, machine, runner
from bench.cli_facts import OptionError, certificate_cells, chosen, seconds
from bench.places import run_folder
from bench.runner import Outcome

HEAVY = (
    "tensorflow",
    "keras",
    "torch",
    "jax",
    "pandas",
    "altair",
    "scipy",
    "skimage",
    "matplotlib",
    "numpy",
    "pydantic",
)


@pytest.fixture(autouse=True)
def _fake_backends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DAEBENCH_DATA", raising=False)


class Answer:
    """What a command came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def daebench(capfd: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> Answer:
        code = cli.main(arguments)
        return Answer(code, *capfd.readouterr())

    return call


# -- it starts at once ---------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    """`daebench --help` is to answer in 0.3 s.  Seconds depend on the machine; what is imported does not."""
    script = (
        "import sys; from bench.cli import main; code = main(['--help']); "
        f"print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    for command in ("run", "verify", "list", "doctor", "report", "data"):
        assert command in done.stdout


def test_version(daebench: Any) -> None:
    assert daebench("--version").out == f"daebench {machine.version('daebench')}\n"


# -- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--foo"], ["No such option: --foo", "daebench run --help"]),
        (["rum"], ["No such command 'rum'"]),
        (["run", "--jobs", "0"], ["--jobs '0'", "from 1"]),
        (["verify", "--jobs", "two"], ["--jobs 'two'", "from 1"]),
        (["run", "nothing"], ["'nothing'", "quick, standard, full"]),
        (["run", "nothing.toml"], ["'nothing.toml'", "neither such a file"]),
        (["run", "--device", "tpu"], ["--device", "'tpu'", "cpu, cuda, mps"]),
        (["run", "--device", "cuda"], ["'cuda'", "no NVIDIA GPU"]),
        (["run", "--budget", "soon"], ["--budget", "'soon'", "90s, 30m, 1h30m"]),
        (["run", "--budget", "30"], ["--budget", "'30'", "90s, 30m, 1h30m"]),
        (["run", "--budget", "0m"], ["--budget", "'0m'"]),
        (["run", "--timeout", "-5s"], ["--timeout", "'-5s'"]),
        (["run", "--set", "epoch=3"], ["--set epoch", "did you mean 'epochs'?"]),
        (["run", "--set", "backend=tourch"], ["--set backend", "did you mean 'torch'?"]),
        (["run", "--set", "dataset=mnist"], ["mnist", "daebench data get mnist"]),
        (["verify", "--backend", "tourch"], ["--backend 'tourch'", "did you mean 'torch'?"]),
        (["verify", "--backend", "absent"], ["--backend absent", "not installed"]),
        (["verify", "--loss", "l1"], ["--loss 'l1'", "mse, bce and all"]),
        (["verify", "--device", "tpu"], ["'tpu'", "cpu, cuda, mps"]),
        (["list", "backend"], ["'backend'", "did you mean 'backends'?"]),
        (["report", "nowhere"], ["nowhere", "no such folder"]),
        (["report"], ["DIR", "daebench report --help"]),
        (["report", "nowhere", "-o", "."], ["--output .", "that is a folder"]),
        (["report", "nowhere", "-o", "/dev/null/report.html"], ["/dev/null is a file"]),
        (["history", "show", "--html", "."], ["--html .", "that is a folder"]),
        (["data", "get", "imagenet"], ["'imagenet'", "mnist, fashion-mnist"]),
    ],
)
def test_a_mistake_gets_one_message_and_exit_code_2(
    daebench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.setattr(machine, "missing_device", lambda device: "no NVIDIA GPU" if device == "cuda" else None)
    monkeypatch.setattr(runner, "run", lambda *_: pytest.fail("it must end before anything runs"))
    monkeypatch.chdir(tmp_path)
    answer = daebench(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    (line,) = answer.err.splitlines()
    assert line.startswith("daebench: ")
    assert [word for word in words if word not in line] == [], line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("content", [b"\x80\x00\xff", b"[axes\n", b"axes.epochs = -1", b"[[[[[[" * 1000])
def test_torn_and_binary_sweep_files(daebench: Any, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    answer = daebench("run", str(file))
    assert answer.code == 2
    assert str(file) in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_file_in_the_way_of_the_run_folder(daebench: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    answer = daebench("run", "--out", str(tmp_path / "file" / "run"), "--dry-run")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "is a file, not a folder" in answer.err


@pytest.mark.parametrize("name", ["records.jsonl", "run.json"])
@pytest.mark.parametrize("command", [["report"], ["export"], ["history", "show", "--html"]])
def test_nothing_is_written_over_what_a_run_has_measured(
    daebench: Any, tmp_path: Path, command: list[str], name: str
) -> None:
    kept = tmp_path / name
    kept.write_text("measured")
    place = [str(kept)] if command[-1] == "--html" else [str(tmp_path), "-o", str(kept)]
    form = ["--format", "bencher"] if command == ["export"] else []
    answer = daebench(*command, *place, *form)
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    assert f"{kept}: this holds what a run has measured; name another file" in line
    assert kept.read_text() == "measured"


def test_a_report_that_can_not_be_written_is_the_users_to_mend(daebench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", "/somewhere/report.html")

    monkeypatch.setattr(cli, "_report", refuse)
    answer = daebench("report", "anything")
    assert (answer.code, answer.err) == (2, "daebench: /somewhere/report.html: Permission denied\n")


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ValueError from NumPy is no message for a user, and must not look like one."""

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(cli, "_report", broken)
    with pytest.raises(ValueError, match="broadcast"):
        cli.main(["report", "anything"])


def test_ctrl_c_before_a_run_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_report", interrupt)
    assert cli.main(["report", "anything"]) == 130


# -- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2h", 7200), ("0.5H", 1800), (" 1m1s ", 61)]
)
def test_times(text: str, expected: float) -> None:
    assert seconds("--budget", text) == expected


@pytest.mark.parametrize("text", ["", "30", "m", "1m1h", "1d", "1e3s", "h30", "9" * 30 + "h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(OptionError, match="--budget"):
        seconds("--budget", text)


def test_options_that_take_several_values() -> None:
    assert chosen("--loss", None, ["mse", "bce"], ["mse"]) == ["mse"]
    assert chosen("--loss", ["bce,mse", "bce"], ["mse", "bce"], []) == ["bce", "mse"]
    assert chosen("--loss", ["all"], ["mse", "bce"], []) == ["mse", "bce"]


def test_what_verify_proves_by_default() -> None:
    left_out = dict.fromkeys(("backend", "architecture", "loss", "optimizer", "precision", "track"))
    cells = certificate_cells(**left_out, device="cpu")
    assert {cell.architecture for cell in cells} == {
        "dense",
        "conv",
        "bn",
        "conv-latif",
        "conv-small",
        "strided",
        "bn-frozen",
        "conv-residual",
    }
    # Cross-entropy has no meaning for a network whose output is no probability.
    assert {cell.loss for cell in cells if cell.architecture == "conv-residual"} == {"mse"}
    assert {(cell.loss, cell.precision) for cell in cells} == {
        (loss, precision) for loss in ("mse", "bce") for precision in ("float32", "float64")
    }
    assert {cell.optimizer for cell in cells} == {"adam"}
    assert "fake" in {cell.backend for cell in cells}
    assert "absent" not in {cell.backend for cell in cells}


def test_the_run_folder_is_named_after_the_sweep() -> None:
    assert run_folder(None, "quick") == Path("results/quick")
    assert run_folder(Path("elsewhere"), "quick") == Path("elsewhere")
    assert run_folder(Path(), "quick") == Path.cwd()  # which --fresh can rename, and find again


# -- lists ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["backends", "architectures", "corruptions", "datasets", "sweeps"])
def test_lists_for_people_and_for_programs(daebench: Any, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.delenv("DAEBENCH_BACKENDS")
    rows = json.loads(daebench("list", what, "--json").out)
    names = [row["name"] for row in rows]
    assert len(names) == len(set(names)) > 2, names
    shown = daebench("list", what).out
    assert [name for name in names if name not in shown] == []


def test_a_sweep_for_a_device_that_is_not_here_is_listed_with_the_reason(
    daebench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAEBENCH_BACKENDS")  # the fake ones would be counted
    monkeypatch.setattr(machine, "missing_device", lambda device: "no NVIDIA GPU" if device == "cuda" else None)
    rows = {row["name"]: row for row in json.loads(daebench("list", "sweeps", "--json").out)}
    assert "no NVIDIA GPU" in rows["gpu"]["reason"]
    assert rows["gpu"]["trials"] is None
    assert rows["quick"]["reason"] is None
    assert rows["quick"]["trials"] == 3 * 4 * 2 + 3, "those of two backends, and one each of the others"
    assert "not here" in daebench("list", "sweeps").out


def test_backends_that_are_missing_or_broken_are_listed_with_the_reason(
    daebench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEBENCH_BACKENDS", "absent=fake_backend:Absent;broken=no_such_module:Thing")
    rows = {row["name"]: row for row in json.loads(daebench("list", "backends", "--json").out)}
    assert rows["absent"]["installed"] is False
    assert "not installed" in rows["absent"]["reason"]
    assert rows["broken"]["installed"] is False
    assert "no_such_module" in rows["broken"]["reason"]
    assert "torch" in rows


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:Thing", "ModuleNotFoundError"),
        ("fake_backend:NoSuchClass", "AttributeError"),
        ("/no/such/file.py:Thing", "no such file"),
        ("", "can not be loaded"),
    ],
)
def test_a_backend_that_can_not_be_loaded_is_one_message_and_in_nobody_elses_way(
    daebench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, why: str
) -> None:
    monkeypatch.setenv("DAEBENCH_BACKENDS", f"fake=fake_backend:Fake;broken={value}")
    for arguments in (["run", "quick", "--dry-run"], ["verify"], ["verify", "--backend", "broken"]):
        answer = daebench(*arguments)
        (line,) = answer.err.splitlines()
        assert (answer.code, answer.out) == (2, "")
        assert line.startswith("daebench: backend 'broken': ")
        assert why in line
        assert "DAEBENCH_BACKENDS" in line
    others = ("--set", "backend=fake", "--set", "timing.backend=fake")
    assert daebench("run", "quick", *others, "--dry-run").code == 0
    assert {cell.backend for cell in certificate_cells(
        backend=["fake"], architecture=None, loss=None, optimizer=None, precision=None, track=None, device="cpu"
    )} == {"fake"}  # fmt: skip
    rows = {row["name"]: row for row in json.loads(daebench("list", "sweeps", "--json").out)}
    assert "can not be loaded" in rows["full"]["reason"]


def test_data_list_is_list_datasets(daebench: Any) -> None:
    assert daebench("data", "list", "--json").out == daebench("list", "datasets", "--json").out


def test_doctor_knows_what_is_here_and_how_to_get_the_rest(daebench: Any) -> None:
    facts = json.loads(daebench("doctor", "--json").out)
    assert facts["peaks"] == []
    assert {"fake", "absent", "torch"} <= {row["name"] for row in facts["backends"]}
    assert facts["devices"]["cpu"] is None
    shown = daebench("doctor").out
    assert "pip install no-such-framework" in shown
    assert "daebench data get mnist" in shown


def test_doctor_measures_only_when_it_is_told_to_and_says_what_it_is_at(
    daebench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench import roofline

    with monkeypatch.context() as patch:
        patch.setattr(roofline, "Worker", lambda *arguments: pytest.fail("nothing was to be measured"))
        assert json.loads(daebench("doctor", "--json").out)["peaks"] == []
    peak = {
        "device": "cpu", "precision": "float32", "threads": 1, "gemm_flops_per_second": 7e10, "gemm_library": "numpy",
        "libraries": {"numpy": 7e10}, "copy_bytes_per_second": 9e9, "measured": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip

    def measured(settings: Any, backends: Any, *, tell: Any) -> Any:
        assert {setting.device for setting in settings} == {"cpu"}
        tell("cpu, 1 thread: measuring numpy ...")
        return [peak], ["the peak of torch on cpu was not measured: it is ill"]

    monkeypatch.setattr(roofline, "measure_peaks", measured)
    shown = daebench("doctor", "--measure")
    assert "measuring numpy" in shown.err
    assert shown.out.index("no-such-framework") < shown.out.index("GFLOP/s"), "what is installed comes first"
    assert "it is ill" in shown.out
    answer = daebench("doctor", "--measure", "--json")
    assert "measuring numpy" in answer.err
    facts = json.loads(answer.out)
    assert facts["peaks"] == [peak]
    assert facts["warnings"][-1].endswith("it is ill")


def test_every_field_of_doctor_is_documented(daebench: Any) -> None:
    text = (Path(__file__).parent.parent / "docs" / "doctor.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)`", text, re.MULTILINE)
    assert sorted(told) == sorted(json.loads(daebench("doctor", "--json").out))


def test_doctor_without_any_backend_is_not_content(daebench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from implementations import adapter

    monkeypatch.setattr(adapter, "backends", dict)
    assert daebench("doctor").code == 1


# -- runs ----------------------------------------------------------------------------------------------------------

SWEEP = """
description = "Two cells"
[axes]
backend = ["fake", "absent"]
architecture = "dense"
latent = 4
size = 12
val = "test"    # the fake backend goes by the number of images
train = {train}
test = 20
batch_size = 20
epochs = 1
[timing]
rounds = 0
"""


def sweep_file(folder: Path, train: int = 40) -> Path:
    path = folder / "mine.toml"
    path.write_text(SWEEP.format(train=train))
    return path


def test_a_dry_run_prints_the_plan_and_leaves_no_trace(daebench: Any, tmp_path: Path) -> None:
    answer = daebench("run", str(sweep_file(tmp_path)), "--out", str(tmp_path / "run"), "--dry-run")
    assert answer.code == 0
    assert "about" in answer.out
    assert "absent: no-such-framework not installed" in answer.out
    assert not (tmp_path / "run").exists()


def test_a_run_ends_with_its_report_and_a_second_one_has_nothing_to_do(daebench: Any, tmp_path: Path) -> None:
    arguments = ("run", str(sweep_file(tmp_path)), "--out", str(tmp_path / "run"))
    answer = daebench(*arguments)
    assert answer.code == 0, answer.err
    report = tmp_path / "run" / "report.html"
    assert answer.out.splitlines()[-1] == f"report: {report}"
    assert "6 ok" in answer.out  # certificate, trial, and what costs nothing
    assert "2 unsupported" in answer.out
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    assert daebench(*arguments).code == 0
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before
    again = daebench("report", str(tmp_path / "run"), "-o", str(tmp_path / "again.html"))
    assert again.out.splitlines()[-1] == f"report: {tmp_path / 'again.html'}"
    assert (tmp_path / "again.html").read_bytes() == report.read_bytes()


@pytest.mark.parametrize(("train", "code"), [(40, 0), (fake_backend.NAN, 1)])
def test_a_run_that_nobody_reads_any_more_goes_on_to_its_report(tmp_path: Path, train: int, code: int) -> None:
    """As after `daebench run ... 2>&1 | head`: only the lines are lost, and the exit code says how the run ended."""
    out = tmp_path / "run"
    assert _unread("run", str(sweep_file(tmp_path, train)), "--out", str(out)) == code
    assert (out / "report.html").is_file()
    assert json.loads((out / "run.json").read_text())["finished"]


def test_names_that_are_not_utf_8_are_printed_as_escapes(tmp_path: Path) -> None:
    out = os.fsencode(tmp_path) + b"/run-\xff"
    command = [sys.executable, "-m", "bench.cli", "run", str(sweep_file(tmp_path)), "--dry-run", "--out", out]
    strict = {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, text=True, env=strict)
    assert (done.returncode, done.stderr) == (0, "")
    assert "run-\\udcff" in done.stdout


def test_a_list_that_nobody_reads_to_its_end_is_no_failure() -> None:
    assert _unread("list", "architectures") == 0
    assert _unread("list", "architectures", "--json") == 0
    assert _unread("--help") == 0
    assert _unread("report", "nowhere") == 2


def _unread(*arguments: str) -> int:
    """The exit code where stdout and stderr are one pipe, and its other end is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "bench.cli", *arguments]
        return subprocess.run(command, stdout=writer, stderr=writer, timeout=100).returncode
    finally:
        os.close(writer)


def test_a_failed_cell_makes_exit_code_1(daebench: Any, tmp_path: Path) -> None:
    answer = daebench("run", str(sweep_file(tmp_path, fake_backend.NAN)), "--out", str(tmp_path / "run"))
    assert answer.code == 1
    assert "1 diverged" in answer.out


def test_options_reach_the_runner_and_an_interrupt_says_how_to_go_on(
    daebench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def run(plan: Any, folder: Path, options: Any) -> Outcome:
        seen.append((folder, options))
        return Outcome(counts={}, seconds=1.0, skipped={"the budget ended before it": 3}, interrupted=True)

    monkeypatch.setattr(runner, "run", run)
    file, out = str(sweep_file(tmp_path)), str(tmp_path / "run")
    options = ("--jobs", "3", "--budget", "30m", "--timeout", "90s", "--fresh", "--retry-failed", "--no-cache")
    answer = daebench("run", file, "--out", out, *options)
    assert answer.code == 130
    assert f"daebench run {file} --out {out}" in answer.err
    assert "left out: 3 cells: the budget ended before it" in answer.out
    folder, given = seen[0]
    assert folder == Path(out)
    assert (given.jobs, given.budget, given.timeout) == (3, 1800, 90)
    assert given.fresh
    assert given.retry_failed
    assert not given.use_cache


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_sigterm_is_an_interrupt_with_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`timeout`, `docker stop` and a CI job that is cancelled send it; `timeout` sends it twice."""
    gate, out = tmp_path / "gate", tmp_path / "run"
    gate.touch()
    monkeypatch.setenv(fake_backend.GATE, str(gate))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    command = [
        sys.executable,
        "-m",
        "bench.cli",
        "run",
        str(sweep_file(tmp_path, fake_backend.SLOW)),
        "--out",
        str(out),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (out / "records.jsonl").exists() or b'"ok"' not in (out / "records.jsonl").read_bytes():
            assert time.monotonic() < deadline
            assert process.poll() is None, "the run ended too early"
            time.sleep(0.05)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        shown, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on where this stopped" in told
    assert shown.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert (out / "report.html").is_file()
    assert not list((tmp_path / "scratch").iterdir())


def test_a_caller_of_main_keeps_its_own_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM), sys.stdout, sys.stderr
    assert cli.main(["--version"]) == 0
    assert (signal.getsignal(signal.SIGTERM), sys.stdout, sys.stderr) == before


def test_verify_prints_a_table_or_records(daebench: Any) -> None:
    arguments = ("verify", "--backend", "fake", "--architecture", "dense", "--precision", "float32", "--track", "tuned")
    records = json.loads(daebench(*arguments, "--json").out)
    assert [(record["cell"]["loss"], record["status"]) for record in records] == [("mse", "ok"), ("bce", "ok")]
    answer = daebench(*arguments)
    assert answer.code == 0
    assert "2 of 2 certified" in answer.out


def test_verify_names_what_departs(daebench: Any) -> None:
    answer = daebench(
        "verify", "--backend", "wrong", "--architecture", "dense", "--loss", "mse", "--precision", "float32"
    )
    assert answer.code == 1
    assert "parity_failed wrong tuned dense mse adam float32" in answer.out
    assert "0 of 2 certified" in answer.out
