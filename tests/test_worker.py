"""One worker process: whatever happens inside, the supervisor gets a status, a reason and the end of stderr."""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_backend
import numpy as np
import pytest

from bench import quality
from bench.cells import TrialCell
from bench.kept import save_strip
from bench.learning import image_loss
from bench.process import REFERENCE, Program, Worker, WorkerFailure, WorkerStopped, distinct_cores
from bench.worker import without
from implementations.adapter import Setting


@pytest.fixture(autouse=True)
def _announced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture
def worker(logs: Path) -> Iterator[Worker]:
    with Worker("fake", Setting(), distinct_cores()[:1], logs) as worker:
        worker.configure()
        yield worker


def cell(**axes: Any) -> TrialCell:
    """A trial that takes a NumPy network a tenth of a second."""
    small = {
        "backend": "fake", "track": "idiomatic", "architecture": "dense", "latent": 4, "height": 12, "width": 12,
        "train": 64, "test": 12, "batch_size": 32, "epochs": 2,
    }  # fmt: skip
    return TrialCell(**{**small, **axes})


def run_trial(worker: Worker, trial: TrialCell, folder: Path, timeout: float = 60.0) -> dict[str, Any]:
    return worker.request("trial", timeout, cell=trial.axes(), folder=str(folder))


def test_facts_of_a_configured_worker(logs: Path) -> None:
    with Worker("fake", Setting(threads=1), [distinct_cores()[0]], logs) as worker:
        facts = worker.configure()
        assert os.sched_getaffinity(worker.pid) == {distinct_cores()[0]}
        assert os.sched_getscheduler(worker.pid) == os.SCHED_BATCH
    assert facts["versions"] == {"numpy": np.__version__}
    assert 0 < facts["import_seconds"] < 60
    assert 0 < facts["rss_before"] <= facts["rss_after"]
    assert not worker.alive


@pytest.mark.skipif(len(distinct_cores()) < 2, reason="a single core")
def test_threads_with_a_core_each_may_interrupt_each_other(logs: Path) -> None:
    with Worker("fake", Setting(threads=2), distinct_cores()[:2], logs) as worker:
        worker.configure()
        assert os.sched_getscheduler(worker.pid) == os.SCHED_OTHER


@pytest.mark.skipif(len(distinct_cores()) < 2, reason="a single core")
def test_a_worker_moves_to_other_cores_with_all_its_threads(worker: Worker) -> None:
    first, second = distinct_cores()[:2]
    threads = [int(entry.name) for entry in Path(f"/proc/{worker.pid}/task").iterdir()]
    assert len(threads) > 1, "one reads requests"
    assert {core for thread in threads for core in os.sched_getaffinity(thread)} == {first}
    worker.move([second])
    assert {core for thread in threads for core in os.sched_getaffinity(thread)} == {second}
    worker.move([])
    assert os.sched_getaffinity(worker.pid) == {second}, "not bound: left where it is"


def test_a_trial_learns_and_says_what_went_in(worker: Worker, tmp_path: Path) -> None:
    trial = cell(epochs=30, train=200, learning_rate=3e-3)
    result = run_trial(worker, trial, tmp_path)
    assert result["status"] == "ok"
    assert [point["epoch"] for point in result["curve"]] == list(range(1, 31))
    assert result["curve"][-1]["train_loss"] < 0.8 * result["curve"][0]["train_loss"]
    metrics = result["metrics"]
    assert metrics["psnr"] == pytest.approx(result["curve"][-1]["psnr"], rel=1e-9)
    assert metrics["psnr_gain"] == pytest.approx(metrics["psnr"] - metrics["psnr_noisy"], rel=1e-9)
    assert metrics["compression"] == 12 * 12 / 4
    assert metrics["parameters"] == trial.make_architecture().parameter_count()
    assert set(result["hashes"]) == {
        "data", "noisy", "noisy_test", "weights", "order", "architecture", "adapter",
    }  # fmt: skip
    parts = result["parts"]
    assert set(parts) >= {f"{name}_seconds" for name in ("data", "noise", "build", "train", "reconstruct", "score")}
    assert parts["train_seconds"] == pytest.approx(metrics["train_seconds"], rel=0.05, abs=0.01)
    for name, size in (("clean", (12, 96)), ("noisy", (12, 96)), ("denoised", (12, 96))):
        from PIL import Image

        with Image.open(tmp_path / result["pictures"][name]) as picture:
            assert (picture.height, picture.width, picture.mode) == (*size, "L")


def test_the_same_cell_is_the_same_in_another_process_and_after_other_cells(
    worker: Worker, logs: Path, tmp_path: Path
) -> None:
    run_trial(worker, cell(seed=5, loss="bce"), tmp_path)
    run_trial(worker, cell(latent=3), tmp_path)
    again = run_trial(worker, cell(), tmp_path)
    with Worker("fake", Setting(), [], logs) as fresh:
        fresh.configure()
        first = run_trial(fresh, cell(), tmp_path)
    for result in (again, first):
        result.pop("parts")
        for point in (result["metrics"], *result["curve"]):
            point.pop("train_seconds", None)
            point.pop("seconds", None)
    assert again == first


def test_fresh_noise_is_another_training_on_the_same_test_images(worker: Worker, tmp_path: Path) -> None:
    once, afresh = (run_trial(worker, cell(refresh=refresh), tmp_path) for refresh in (False, True))
    assert once["curve"][0]["train_loss"] == afresh["curve"][0]["train_loss"], "the first epoch has the same noise"
    assert once["curve"][1]["train_loss"] != afresh["curve"][1]["train_loss"]
    assert once["metrics"]["psnr_noisy"] == afresh["metrics"]["psnr_noisy"]


@pytest.mark.parametrize(
    ("samples", "status", "reason", "stderr", "dead"),
    [
        (fake_backend.CRASH, "crashed", "SIGABRT during trial", "divide the universe by zero", True),
        (fake_backend.EXIT, "crashed", "code 7 during trial", "", True),
        (fake_backend.RAISE, "crashed", "RuntimeError: the cat sat on the keyboard", "in _trouble", False),
        (fake_backend.MEMORY, "out_of_memory", "Unable to allocate", "in _trouble", False),
        (fake_backend.CUDA_MEMORY, "out_of_memory", "CUDA out of memory", "Traceback", False),
    ],
)
def test_failures_have_a_status_a_reason_and_stderr(
    worker: Worker, tmp_path: Path, samples: int, status: str, reason: str, stderr: str, dead: bool
) -> None:
    with pytest.raises(WorkerFailure, match=reason) as caught:
        run_trial(worker, cell(train=samples), tmp_path)
    assert (caught.value.status, caught.value.dead, worker.alive) == (status, dead, not dead)
    assert stderr in caught.value.stderr
    if not dead:  # and goes on working, with a stderr that belongs to the next cell alone
        assert run_trial(worker, cell(), tmp_path)["status"] == "ok"
        assert "_trouble" not in worker.stderr()


def test_nan_is_divergence_not_a_crash(worker: Worker, tmp_path: Path) -> None:
    result = run_trial(worker, cell(train=fake_backend.NAN), tmp_path)
    assert result["status"] == "diverged"
    assert result["reason"] == "training loss is nan in epoch 1"
    assert result["curve"] == []


def test_a_hanging_worker_is_killed(worker: Worker, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(WorkerFailure, match=r"within 0.5 s: killed") as caught:
        run_trial(worker, cell(train=fake_backend.HANG), tmp_path, timeout=0.5)
    assert caught.value.status == "timeout"
    assert not worker.alive
    assert time.monotonic() - start < 3


def test_what_frameworks_print_can_not_forge_an_answer(worker: Worker, tmp_path: Path) -> None:
    assert run_trial(worker, cell(train=fake_backend.CHATTER), tmp_path)["status"] == "ok"
    assert "forged" in worker.stderr()


@pytest.mark.parametrize("end", [Worker.close, Worker.kill])
def test_temporary_files_of_frameworks_go_with_their_worker(
    end: Callable[[Worker], None], logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with Worker("fake", Setting(), [], logs) as worker:
        worker.configure()
        run_trial(worker, cell(train=fake_backend.LITTER), tmp_path)
        assert [path for path in temporary.rglob("*") if path.is_file()]
        end(worker)
    assert not list(temporary.iterdir())


def test_stop_from_another_thread_ends_a_waiting_request(worker: Worker, tmp_path: Path) -> None:
    threading.Timer(0.3, worker.stop).start()
    with pytest.raises(WorkerStopped):
        run_trial(worker, cell(train=fake_backend.HANG), tmp_path)
    with pytest.raises(WorkerStopped):
        worker.request("memory", 1.0)


@pytest.mark.parametrize(
    ("backend", "status", "reason"),
    [
        ("absent", "unsupported", "no-such-framework not installed"),
        ("unavailable", "unsupported", "no cpu on Sundays"),
        ("unloadable", "crashed", "ImportError: libsomething"),
    ],
)
def test_backends_that_can_not_run_say_why(backend: str, status: str, reason: str, logs: Path) -> None:
    with Worker(backend, Setting(), [], logs) as worker:
        with pytest.raises(WorkerFailure, match=reason) as caught:
            worker.configure()
        assert caught.value.status == status


def test_unknown_verbs_and_early_requests_are_answered(logs: Path) -> None:
    with Worker(REFERENCE, Setting(), [], logs) as worker:
        with pytest.raises(WorkerFailure, match="verb 'dance' is unknown; known are configure"):
            worker.request("dance", 30)
        with pytest.raises(WorkerFailure, match="ask for configure first"):
            worker.request("memory", 30)


def test_a_worker_ends_with_its_supervisor(logs: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from bench.process import Worker; "
        "from implementations.adapter import Setting; "
        f"w = Worker('fake', Setting(), [], Path({str(logs)!r})); "
        "w.configure(); print(w.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        os.kill(pid, 0)
        supervisor.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _exists(pid):
        assert time.monotonic() < deadline, "the orphan lives on"
        time.sleep(0.02)


def _exists(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_validation_losses_by_hand() -> None:
    output, clean = np.array([0.25, 1.0]).reshape(1, 1, 2, 1), np.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    assert image_loss("mse", output, clean) == pytest.approx(0.25**2 / 2)
    # -log(0.75)/2, and 1e-7/2 for the pixel that is kept off 1.
    assert image_loss("bce", output, clean) == pytest.approx((-np.log(0.75) + 1e-7) / 2, rel=1e-9)
    assert quality.mean_psnr(output, clean) == pytest.approx(-10 * np.log10(0.25**2 / 2))


def test_pictures_are_named_by_content(tmp_path: Path) -> None:
    images = np.linspace(0, 1, 2 * 3 * 3).reshape(2, 3, 3, 1)
    first, second = save_strip(images, tmp_path), save_strip(images + 1e-6, tmp_path)
    assert first == second, "the same 8-bit pixels"
    assert save_strip(images[::-1], tmp_path) != first
    assert save_strip(np.repeat(images, 3, axis=3), tmp_path) != first, "RGB"
    assert len(list((tmp_path / "pictures").iterdir())) == 3


def test_answers_are_strict_json() -> None:
    from bench.worker import _plain

    assert json.dumps({"a": np.float32(0.5), "b": np.int64(3)}, default=_plain) == '{"a": 0.5, "b": 3}'


# -- how far a long training is ------------------------------------------------------------------------------------


def test_a_long_training_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through the worker's own loop: notices come before the answer, and none for the last epoch."""
    from bench import learning, worker

    monkeypatch.setattr(learning, "TELL_SECONDS", 0.0)
    server = worker.Server("fake", Setting())
    server.configure({})
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as answers, os.fdopen(writing, "w", encoding="utf-8") as replies:
        threading.Thread(target=worker.serve, args=(server, requests, replies), daemon=True).start()
        requests.put(json.dumps({"verb": "trial", "cell": cell(epochs=3).axes(), "folder": str(tmp_path)}).encode())
        first, second, answer = (json.loads(answers.readline()) for _ in range(3))
    assert [(one["notice"]["epoch"], one["notice"]["epochs"]) for one in (first, second)] == [(1, 3), (2, 3)]
    assert first["notice"]["psnr"] == answer["result"]["curve"][0]["psnr"]
    assert 0 < second["notice"]["seconds_left"] < 60
    assert answer["result"]["status"] == "ok"


def test_notices_are_heard_while_the_answer_is_awaited(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(
        f"#!{sys.executable}\n"
        "input()\n"
        'for line in (\'{"notice": {"epoch": 1}}\', \'{"notice": {"epoch": 2}}\', \'{"result": {"status": 1}}\'):\n'
        "    print(line, flush=True)\n"
        "input()\n"
    )
    script.chmod(0o755)
    heard: list[dict[str, Any]] = []
    program = Program(python=str(script), root=tmp_path)
    with Worker("fake", Setting(), [], tmp_path / "logs", program) as worker:
        assert worker.request("trial", 30, heard.append) == {"status": 1}
    assert heard == [{"epoch": 1}, {"epoch": 2}]


def test_what_an_adapter_spares_is_hidden_while_it_imports_and_no_longer() -> None:
    sys.modules.pop("wave", None)
    colorsys = importlib.import_module("colorsys")  # what is there already stays
    with without(["wave", "colorsys"]):
        with pytest.raises(ImportError):
            importlib.import_module("wave")
        assert sys.modules["colorsys"] is colorsys
    assert importlib.import_module("wave").open
    assert sys.modules["colorsys"] is colorsys
