"""The tests that backends inherit: a right backend passes them all, and every known way to be wrong fails its own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from example_backend import FILE, NumPy

from bench import conduct
from bench.cells import CertificateCell
from bench.conformance import EXACT, BackendConformance, announcement, certificate_cells
from implementations.adapter import EXTRA_BACKENDS, Adapter, Setting, adapter_class, backends
from implementations.torch_adapter import Torch
from implementations.training import LOSSES, OPTIMIZERS

ROOT = Path(__file__).parent.parent


class TestTheExample(BackendConformance):
    """As its author would write it."""

    adapter = NumPy


# -- what is asked ---------------------------------------------------------------------------------------------------


def test_every_loss_and_optimizer_is_met_on_every_track_and_in_both_precisions() -> None:
    for kind, number in ((NumPy, 6), (Torch, 36)):  # Torch: two tracks, three devices
        every = certificate_cells(kind, ("dense", "conv"))
        cells = [cell for cell in every if cell.precision in EXACT]  # the others: tests/test_precision.py
        assert len(cells) == len(set(cells)) == number
        for device, track in itertools.product(kind.devices, kind.tracks):
            here = [cell for cell in cells if (cell.device, cell.track) == (device, track)]
            assert {(cell.loss, cell.optimizer) for cell in here} == set(itertools.product(LOSSES, OPTIMIZERS))
            assert {(cell.architecture, cell.precision) for cell in here} == set(
                itertools.product(("dense", "conv"), ("float32", "float64"))
            )
            assert any(cell.height != cell.width for cell in here if cell.architecture == "conv")


class Picky(NumPy):  # type: ignore[misc, valid-type]
    """Has one precision and two optimizers, and takes no images of odd sizes."""

    name = "picky"
    precisions = ("float32",)

    @classmethod
    def refusal(cls, architecture: Any, training: Any) -> str | None:
        if type(training.optimizer).__name__ == "Adadelta":
            return "no Adadelta"
        if any(type(node.layer).__name__ == "Crop2D" for node in architecture.nodes()):
            return "no odd sizes"
        return super().refusal(architecture, training)  # type: ignore[no-any-return]


def test_what_is_refused_is_asked_of_nobody_or_shown_as_refused() -> None:
    cells = certificate_cells(Picky, ("dense", "conv", "bn", "conv-residual"))
    assert {cell.precision for cell in cells} == {"float32"}
    able = [cell for cell in cells if cell.architecture in ("dense", "conv")]
    assert {cell.optimizer for cell in able} == {"adam", "sgd"}
    assert len([cell for cell in able if cell.architecture == "conv"]) == 3
    assert all(cell.height == 28 for cell in able if cell.architecture == "conv"), "its other size is not refused"
    assert [cell.architecture for cell in cells if cell not in able] == ["bn", "conv-residual"], "once, to be skipped"


def test_a_class_is_announced_only_if_nobody_else_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXTRA_BACKENDS, "")
    assert announcement(Torch) == {}, "an entry point has it"
    assert announcement(NumPy) == {EXTRA_BACKENDS: f"numpy={FILE}:NumPy"}
    found = announcement(Picky)
    assert found[EXTRA_BACKENDS] == f"picky={__name__}:Picky"
    assert found["PYTHONPATH"].split(os.pathsep)[0] == str(Path(__file__).parent)


# -- wrong on purpose ------------------------------------------------------------------------------------------------


class Keeps(NumPy):  # type: ignore[misc, valid-type]
    """Gives its own arrays out."""

    def weights(self) -> Any:
        return self.w


class Takes(NumPy):  # type: ignore[misc, valid-type]
    """Computes in the arrays that it was given."""

    def load_weights(self, weights: Any) -> None:
        super().load_weights(weights)
        self.w = {name: value.astype(self.dtype, copy=False) for name, value in weights.items()}


class Dirty(NumPy):  # type: ignore[misc, valid-type]
    """Keeps the optimizer's state when weights are loaded."""

    def load_weights(self, weights: Any) -> None:
        state = getattr(self, "first", None), getattr(self, "second", None)
        super().load_weights(weights)
        if state[0] is not None and state[0].keys() == self.first.keys():
            self.first, self.second = state


class Scribbles(NumPy):  # type: ignore[misc, valid-type]
    """Scales the staged data in place."""

    def train_epoch(self, order: Any) -> float:
        self.noisy *= 0.999
        return super().train_epoch(order)  # type: ignore[no-any-return]


class Sorts(NumPy):  # type: ignore[misc, valid-type]
    """Sorts the order that it is given."""

    def train_epoch(self, order: Any) -> float:
        order.sort()
        return super().train_epoch(order)  # type: ignore[no-any-return]


class Wanders(NumPy):  # type: ignore[misc, valid-type]
    """Trains a little while it is asked for images."""

    def reconstruct(self, noisy: Any) -> Any:
        self.w["encoder.1.bias"] += 1e-3
        return super().reconstruct(noisy)


class PlainMean(NumPy):  # type: ignore[misc, valid-type]
    """All batches count the same."""

    def train_epoch(self, order: Any) -> float:
        parts = self.batches(order)
        return sum(super(PlainMean, self).train_epoch(part) for part in parts) / len(parts)


class DropsRagged(NumPy):  # type: ignore[misc, valid-type]
    """Leaves the last batch out where it is smaller."""

    def train_epoch(self, order: Any) -> float:
        whole = len(order) // self.training.batch_size * self.training.batch_size
        return super().train_epoch(order[: whole or len(order)])  # type: ignore[no-any-return]


class ImageCode(NumPy):  # type: ignore[misc, valid-type]
    """Codes that are not flat."""

    def encode(self, images: Any) -> Any:
        return super().encode(images)[:, None]


class Doubles(NumPy):  # type: ignore[misc, valid-type]
    """Always float64."""

    def reconstruct(self, noisy: Any) -> Any:
        return super().reconstruct(noisy).astype(np.float64)


class Logits(NumPy):  # type: ignore[misc, valid-type]
    """Forgets the sigmoid."""

    def reconstruct(self, noisy: Any) -> Any:
        return np.concatenate([self.forward(part, self.nodes)[0] for part in self.batches(noisy)])


class Shares(NumPy):  # type: ignore[misc, valid-type]
    """One network for all of the class."""

    shared: ClassVar[dict[str, Any]] = {}

    def load_weights(self, weights: Any) -> None:
        super().load_weights(weights)
        self.shared.clear()
        self.shared.update(self.w)
        self.w = self.shared


class Alone(NumPy):  # type: ignore[misc, valid-type]
    """Has no other self."""

    def sibling(self) -> Any:
        return self


class Miscounts(NumPy):  # type: ignore[misc, valid-type]
    """Counts tensors."""

    def parameter_counts(self) -> tuple[int, int]:
        return len(self.w), len(self.w)


class Silent(NumPy):  # type: ignore[misc, valid-type]
    """Has nothing to say about versions, and too little about devices."""

    def versions(self) -> dict[str, str]:
        return {}

    def availability(self, device: Any) -> Any:
        return ""


class Breaks(NumPy):  # type: ignore[misc, valid-type]
    """Can not encode at all."""

    def encode(self, images: Any) -> Any:
        return self.no_such_thing


CELL = CertificateCell(
    backend="numpy", track="idiomatic", architecture="dense", latent=3, height=8, width=6, batch_size=16
)


def conducted(kind: type[Adapter], cell: CertificateCell = CELL) -> dict[str, str]:
    """Rule -> what is wrong, of the rules that are not kept."""
    made = kind()
    made.configure(Setting("cpu", cell.precision, 1))
    return {rule: told for rule, told in conduct.examine(made, cell).items() if told is not None}


@pytest.mark.parametrize(
    ("kind", "rule", "told"),
    [
        (Keeps, "weights_come_out_as_they_went_in", "when the arrays it gave out are changed"),
        (Takes, "weights_come_out_as_they_went_in", "when what load_weights() was given is changed"),
        (Dirty, "loading_starts_the_optimizer_anew", "does the optimizer keep its state"),
        (Scribbles, "what_is_given_stays_as_it_is", "stage and train_epoch changes the noisy images"),
        (Sorts, "what_is_given_stays_as_it_is", "stage and train_epoch changes the order"),
        (Wanders, "what_is_given_stays_as_it_is", "weights() after reconstruct differs at encoder.1.bias"),
        (PlainMean, "the_loss_of_an_epoch_is_the_mean_over_its_samples", "it is their plain mean"),
        (DropsRagged, "the_loss_of_an_epoch_is_the_mean_over_its_samples", "train_epoch over 40 samples"),
        (ImageCode, "images_and_codes_have_their_shapes", "encode of 1 images has shape (1, 1, 3), not (1, 3)"),
        (Doubles, "images_and_codes_have_their_shapes", "reconstruct of 1 images is float64, not float32"),
        (Logits, "images_and_codes_have_their_shapes", "is the sigmoid missing?"),
        (Shares, "a_sibling_leaves_this_network_as_it_is", "weights() after a sibling was trained"),
        (Alone, "a_sibling_leaves_this_network_as_it_is", "sibling() gives the adapter itself"),
        (Miscounts, "facts_are_told", "parameter_counts() gives (12, 12); this network has ("),
        (Silent, "facts_are_told", "versions() gives {}"),
        (Silent, "facts_are_told", "availability('cpu') gives ''"),
        (Breaks, "images_and_codes_have_their_shapes", "AttributeError"),
    ],
)
def test_every_known_misconduct_is_found_and_named(kind: type[Adapter], rule: str, told: str) -> None:
    assert told in conducted(kind)[rule]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_who_keeps_to_the_rules_is_told_nothing(precision: Any, optimizer: str) -> None:
    cell = CertificateCell(**{**CELL.axes(), "precision": precision, "optimizer": optimizer})
    assert conducted(NumPy, cell) == {}


def test_a_network_without_a_bottleneck_has_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = CertificateCell(
        backend="torch", track="idiomatic", architecture="conv-residual(2,4)", height=8, width=6, batch_size=16
    )
    assert conducted(Torch, cell) == {}

    def encode(self: Any, images: Any) -> Any:
        return np.zeros((len(images), 1), np.float32)

    monkeypatch.setattr(Torch, "encode", encode)
    assert "must be refused" in conducted(Torch, cell)["images_and_codes_have_their_shapes"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", [name for name in backends() if not adapter_class(name).missing()])
def test_the_backends_of_the_suite_keep_to_the_rules(backend: str, tmp_path: Path) -> None:
    """In a worker each, since frameworks can not share a process."""
    from bench.process import Worker, distinct_cores

    with Worker(backend, Setting(), distinct_cores()[:1], tmp_path) as worker:
        worker.configure()
        for track, network in itertools.product(adapter_class(backend).tracks, ("dense", "conv")):
            cell = CertificateCell(**{**CELL.axes(), "backend": backend, "track": track, "architecture": network})
            found = worker.request("conduct", 600.0, cell=cell.axes())["found"]
            assert {rule: told for rule, told in found.items() if told} == {}, f"{track} {network}"


# -- as pytest shows it ----------------------------------------------------------------------------------------------

AUTHOR = """
from bench.conformance import BackendConformance
import backends

class Small(BackendConformance):
    networks = ("dense",)

class TestWrong(Small):
    adapter = backends.Wrong

class TestLate(Small):
    adapter = backends.Late

class TestHeavy(Small):
    adapter = backends.Heavy

class TestAbsent(Small):
    adapter = backends.Absent
"""

WRONG = """
import time
import PIL

class Wrong(NumPy):
    name = "wrong"

class Late(NumPy):
    name = "late"
    until = 0.0
    def train_epoch(self, order):
        loss = super().train_epoch(order)
        self.until = time.perf_counter() + 2e-3 * len(order) / self.training.batch_size
        return loss
    def weights(self):
        time.sleep(max(self.until - time.perf_counter(), 0.0))
        return super().weights()

class Heavy(NumPy):
    name = "heavy"
    packages = ("pillow",)

class Absent(NumPy):
    name = "absent"
    packages = ("no-such-framework",)
"""


def outcome(folder: Path, *arguments: str) -> str:
    """What pytest has to say in the repository of an author."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, "PYTHONPATH": path, "DAEBENCH_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.stdout + done.stderr


def test_an_author_sees_which_test_fails_and_why(tmp_path: Path) -> None:
    """The gradient behind a ReLU forgotten; work that is done when somebody looks; a framework at the top."""
    right = "d, kernel = backward(upstream := d * active)"
    text = FILE.read_text()
    assert text.count(right) == 1
    wrong = text.replace(right, "d, kernel = backward(upstream := d)")
    # The mistake in a class of its own: the others of the file are right in this.
    method = wrong[wrong.index("    def gradients") : wrong.index("    def synchronize")]
    (tmp_path / "backends.py").write_text(text + WRONG.replace('name = "wrong"', f'name = "wrong"\n\n{method}'))
    (tmp_path / "test_mine.py").write_text(AUTHOR)
    told = outcome(tmp_path, "-k", "(Wrong and certificate) or (Late and synchronize) or top or Absent")
    lines = told.splitlines()

    def ended(how: str, test: str) -> list[str]:
        return [line for line in lines if line.startswith(how) and test in line]

    assert len(ended("FAILED", "TestWrong::test_certificate")) == 3, told
    assert "gradient departs by" in told
    assert "at decoder.1.kernel (tolerance 1e-13)" in told, "the tensor that departs first is named"
    assert len(ended("FAILED", "TestLate::test_synchronize_closes_the_work")) == 2
    assert "synchronize() does not wait for train_epoch" in told
    assert len(ended("FAILED", "TestHeavy::test_the_module_imports_no_framework_at_its_top")) == 1
    assert "PIL; import it inside configure()" in told
    assert "no-such-framework not installed" in told
    assert ended("FAILED", "TestAbsent") == []


def test_a_class_without_an_adapter_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "from bench.conformance import BackendConformance\nclass TestMine(BackendConformance):\n    pass\n"
    )
    told = outcome(tmp_path)
    assert "TestMine: adapter = None is not a subclass of Adapter" in told
    assert "passed" not in told


def test_the_rules_hold_for_other_batch_sizes() -> None:
    """They cut their data by it."""
    assert conducted(NumPy, CertificateCell(**{**CELL.axes(), "batch_size": 5})) == {}
