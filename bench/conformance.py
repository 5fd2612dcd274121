"""Tests that a backend inherits, for the repository of whoever wrote it::

    from bench.conformance import BackendConformance
    from numpy_backend import NumPy

    class TestNumPy(BackendConformance):
        adapter = NumPy

Plain pytest runs them.  For each device, track and precision that the class offers: certificates of ``networks``, all
optimizers and both losses spread over them (:mod:`bench.parity`), the synchronisation audit (:mod:`bench.audit`), and
the rules of :mod:`bench.conduct`.  What the class declares that it can not do, and devices that are not here, are
skipped with the reason.  Frameworks are loaded in worker processes, never in that of the tests.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import inspect
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench import machine
from bench.cells import CertificateCell
from bench.certifying import run_certificates
from bench.conduct import RULES
from bench.lanes import Waiting
from bench.parity import SYNCHRONISATION
from bench.plan import CERTIFICATE_BATCH, not_offered
from bench.process import Worker, WorkerFailure, distinct_cores, source_environment
from implementations import catalog, source_file
from implementations.adapter import (
    DEVICES,
    EXTRA_BACKENDS,
    REDUCED,
    Adapter,
    Precision,
    Setting,
    backends,
    incomplete,
    why_not_there,
)
from implementations.training import LOSSES, OPTIMIZERS, Training, make_optimizer
from results.schema import Record

ALL_NETWORKS = tuple(catalog.CATALOG)
EXACT: tuple[Precision, ...] = ("float64", "float32")
"""The precision that proves most comes first, and gets most of the certificates; one of each network is enough for
those that come behind."""
COMBINATIONS = tuple((LOSSES[index % 2], name) for index, name in enumerate([*OPTIMIZERS, *reversed(OPTIMIZERS)]))
"""All six of loss and optimizer: two networks, with two in one precision and one in the other, have them all."""
ODD = {"dense": {"height": 12, "width": 10, "channels": 3, "latent": 5},
       "conv": {"height": 17, "width": 22, "channels": 3, "latent": 3}}  # fmt: skip
"""Neither square nor gray: what hides in 28 x 28 pixels of one channel shows there, and it is faster."""
CONDUCT_TIMEOUT = 600.0

FRAMEWORKS = frozenset({"cupy", "flax", "haiku", "jax", "keras", "mlx", "mxnet", "onnxruntime", "paddle", "tensorflow",
                        "tinygrad", "torch"})  # fmt: skip
"""Modules that nobody may import at the top, besides those of the adapter's own packages."""

_LOOK = """
import sys
import implementations.adapter
before = set(sys.modules)
from implementations.adapter import adapter_class
adapter_class(sys.argv[1]).missing()
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def certificate_cells(kind: type[Adapter], networks: Iterable[str]) -> list[CertificateCell]:
    """What ``kind`` is to prove: two certificates of every network in its most exact precision and one in the other,
    or three if it has one alone; and of the first network in mixed precision and in TF32, where the device has them.
    What it refuses altogether stands there once."""
    cells = []
    names = tuple(networks)
    for device, track in itertools.product(kind.devices, kind.tracks):
        turn = itertools.cycle(COMBINATIONS)
        offered = [one for one in (*EXACT, *REDUCED) if one in kind.precisions]
        precisions = [one for one in offered if not why_not_there(one, device)] or offered
        for precision, network in itertools.product(precisions, names):
            first = precision == precisions[0]
            if precision in REDUCED and not first and network != names[0]:
                continue
            wanted = 3 if len(precisions) == 1 else 2 if first else 1
            plain = CertificateCell(
                backend=kind.name, track=track, device=device, precision=precision, architecture=network,
                batch_size=CERTIFICATE_BATCH,
            )  # fmt: skip
            shaped = [replace(plain, **ODD.get(network, {})), plain]  # type: ignore[arg-type]
            cells += _some(kind, shaped if first else shaped[::-1], turn, wanted)
    return cells


def _some(kind: type[Adapter], shaped: Sequence[CertificateCell], turn: Any, wanted: int) -> list[CertificateCell]:
    """``wanted`` cells of the first of ``shaped`` that is not refused, with the next losses and optimizers that are
    not; one cell, whatever it is, where all is refused."""
    for cell in shaped:
        found = []
        for loss, optimizer in itertools.islice(turn, len(COMBINATIONS)):
            candidate = replace(
                cell, loss=loss, optimizer=optimizer, learning_rate=make_optimizer(optimizer).learning_rate
            )
            if _possible(candidate) and not not_offered(kind, candidate):
                found.append(candidate)
            if len(found) == wanted:
                return found
        if found:
            return found
    return [shaped[0]]


def _possible(cell: CertificateCell) -> bool:
    try:
        cell.make_architecture().check_loss(cell.loss)
    except ValueError:
        return False
    return True


class Proofs:
    """Certificates and rules of one class of adapters, made when they are first asked for; workers are shared."""

    def __init__(self, kind: type[Adapter], logs: Path) -> None:
        self.kind = kind
        self.logs = logs
        self.waiting = Waiting()
        self._records: dict[CertificateCell, Record] = {}
        self._conduct: dict[CertificateCell, dict[str, str | None] | WorkerFailure] = {}

    def certify(self, cells: Sequence[CertificateCell]) -> None:
        """Make the certificates of ``cells``, as many side by side as there are cores."""
        records = run_certificates(cells, use_cache=False, logs=self.logs, waiting=self.waiting)
        self._records |= dict(zip(cells, records, strict=True))

    def record(self, cell: CertificateCell) -> Record:
        if cell not in self._records:
            self.certify([cell])
        return self._records[cell]

    def conduct(self, cell: CertificateCell) -> dict[str, str | None]:
        """Rule -> what is done against it, or None; WorkerFailure where the worker did not live to tell."""
        if cell not in self._conduct:
            try:
                self._conduct[cell] = self._asked(cell)
            except WorkerFailure as failure:
                self._conduct[cell] = failure
        found = self._conduct[cell]
        if isinstance(found, WorkerFailure):
            raise found
        return found

    def _asked(self, cell: CertificateCell) -> dict[str, str | None]:
        worker = self.waiting.borrow(cell.backend, cell.setting)
        if worker is None or not worker.alive:
            cores = distinct_cores()[:1]
            worker = Worker(cell.backend, cell.setting, cores, self.logs)
            worker.configure()
            if not self.waiting.leave((cell.backend, cell.setting), cores, worker):
                with worker:
                    return self._answer(worker, cell)
        return self._answer(worker, cell)

    @staticmethod
    def _answer(worker: Worker, cell: CertificateCell) -> dict[str, str | None]:
        found: dict[str, str | None] = worker.request("conduct", CONDUCT_TIMEOUT, cell=cell.axes())["found"]
        return found


_PROOFS = pytest.StashKey[Proofs]()


class BackendConformance:
    """Subclass it with a name that begins with ``Test``, and say which ``adapter``."""

    adapter: ClassVar[type[Adapter]]
    networks: ClassVar[Sequence[str]] = ("dense", "conv")
    """Of which certificates are wanted; :data:`ALL_NETWORKS` for all, which takes some minutes."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if not {"certificate_cell", "place_cell", "conduct_cell"} & set(metafunc.fixturenames):
            return
        kind = self._kind()
        cells = certificate_cells(kind, self.networks)
        if "certificate_cell" in metafunc.fixturenames:
            metafunc.parametrize("certificate_cell", cells, ids=[_label(cell) for cell in cells])
        if "place_cell" in metafunc.fixturenames:
            places = _first(cells, lambda cell: (cell.device, cell.track, cell.precision))
            metafunc.parametrize("place_cell", places, ids=[f"{c.device}-{c.track}-{c.precision}" for c in places])
        if "conduct_cell" in metafunc.fixturenames:
            # In the precision that everybody trains in.
            usual = [cell for cell in cells if cell.precision == EXACT[-1]] or cells
            chosen = _first(usual, lambda cell: (cell.device, cell.track, cell.architecture))
            ids = [f"{cell.device}-{cell.track}-{cell.architecture}" for cell in chosen]
            metafunc.parametrize("conduct_cell", chosen, ids=ids)
            metafunc.parametrize("rule", list(RULES))

    @classmethod
    def _kind(cls) -> type[Adapter]:
        kind = getattr(cls, "adapter", None)
        if trouble := incomplete(kind):
            raise pytest.UsageError(f"{cls.__name__}: adapter = {kind!r} {trouble}")
        assert isinstance(kind, type)
        return kind

    # -- fixtures ------------------------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def announced(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Worker processes find the class under its name, wherever it comes from."""
        for name, value in announcement(self._kind()).items():
            monkeypatch.setenv(name, value)
        machine.fingerprint.cache_clear()  # of another class of this name, it may be
        yield
        machine.fingerprint.cache_clear()

    @pytest.fixture
    def proofs(self, request: pytest.FixtureRequest, announced: None) -> Proofs:
        """One for all tests of the class; its workers are closed behind the last of them."""
        node = request.node.getparent(pytest.Class)
        if _PROOFS not in node.stash:
            kind = self._kind()
            if reason := kind.missing():
                pytest.skip(reason)
            stack = contextlib.ExitStack()
            node.addfinalizer(stack.close)
            logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="daebench-"))
            made = node.stash[_PROOFS] = Proofs(kind, Path(logs))
            stack.callback(made.waiting.close)
            made.certify(_selected(request))
        found: Proofs = node.stash[_PROOFS]
        return found

    # -- without the framework -----------------------------------------------------------------------------------

    def test_the_class_declares_what_it_can(self) -> None:
        kind = self._kind()
        reason = kind.missing()
        assert reason is None or (isinstance(reason, str) and reason), f"missing() gives {reason!r}"
        for device in DEVICES:
            variables = kind.environment(Setting(device))
            assert all(isinstance(text, str) for pair in variables.items() for text in pair), variables
        for network in catalog.CATALOG:
            for optimizer in OPTIMIZERS:
                training = Training(optimizer=make_optimizer(optimizer), batch_size=CERTIFICATE_BATCH)
                told = kind.refusal(catalog.make(network, (28, 28, 1)), training)
                assert told is None or (isinstance(told, str) and told), f"refusal of {network} gives {told!r}"

    def test_the_module_imports_no_framework_at_its_top(self) -> None:
        kind = self._kind()
        done = subprocess.run(
            [sys.executable, "-c", _LOOK, kind.name],
            capture_output=True,
            text=True,
            env=source_environment(Path(__file__).parent.parent),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        heavy = sorted(set(done.stdout.split()) & (FRAMEWORKS | _modules_of(kind.packages)))
        assert not heavy, f"imported at the top of {kind.__module__}: {', '.join(heavy)}; import it inside configure()"

    # -- with it -------------------------------------------------------------------------------------------------

    def test_certificate(self, proofs: Proofs, certificate_cell: CertificateCell) -> None:
        """Counts, weights, outputs, codes, loss, every gradient, training with a ragged batch: as the reference."""
        record = _record(proofs, certificate_cell)
        wrong = [f"{check['quantity']} at {check['tensor']}: {check['deviation']}, allowed is {check['tolerance']}"
                 for check in record.get("checks", ()) if not check["ok"]]  # fmt: skip
        told = "\n".join([f"{record['status']}: {record['reason']}", *wrong, record["stderr"] or ""])
        assert record["status"] == "ok", told

    def test_synchronize_closes_the_work(self, proofs: Proofs, place_cell: CertificateCell) -> None:
        record = _record(proofs, place_cell)
        audits = [check for check in record.get("checks", ()) if check["quantity"] == SYNCHRONISATION]
        assert audits, f"there was no audit; the certificate is {record['status']}: {record['reason']}"
        measured = {name: value for name, value in record["metrics"].items() if name.startswith("sync_")}
        assert audits[0]["ok"], f"{record['reason']}\n{json.dumps(measured, indent=2)}"

    def test_conduct(self, proofs: Proofs, conduct_cell: CertificateCell, rule: str) -> None:
        _skip_what_is_not_here(proofs.kind, conduct_cell)
        try:
            trouble = proofs.conduct(conduct_cell)[rule]
        except WorkerFailure as failure:
            if failure.status == "unsupported":
                pytest.skip(failure.reason)
            pytest.fail(f"{failure.status}: {failure.reason}\n{failure.stderr}", pytrace=False)
        assert trouble is None, trouble


def announcement(kind: type[Adapter]) -> dict[str, str]:
    """Environment variables by which worker processes find ``kind``: nothing if it is announced already; its module
    and where that lies, if it can be imported; else its file."""
    known = backends().get(kind.name)
    if known is not None and known.value == f"{kind.__module__}:{kind.__qualname__}":
        return {}
    top = kind.__module__.partition(".")[0]
    spec = None if top.startswith(source_file.PREFIX) else importlib.util.find_spec(top)
    found: dict[str, str] = {}
    if spec is None or spec.origin is None:
        value = f"{os.path.abspath(inspect.getfile(kind))}:{kind.__qualname__}"
    else:
        value = f"{kind.__module__}:{kind.__qualname__}"
        folder = Path(spec.origin).parent.parent if spec.submodule_search_locations else Path(spec.origin).parent
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    before = os.environ.get(EXTRA_BACKENDS)
    return {**found, EXTRA_BACKENDS: ";".join(filter(None, [before, f"{kind.name}={value}"]))}


def _selected(request: pytest.FixtureRequest) -> list[CertificateCell]:
    """The cells of the certificates that this class's chosen tests ask for."""
    found = []
    for item in request.session.items:
        if getattr(item, "cls", None) is request.cls and hasattr(item, "callspec"):
            parameters = item.callspec.params
            found += [parameters[name] for name in ("certificate_cell", "place_cell") if name in parameters]
    return [cell for cell in dict.fromkeys(found) if machine.missing_device(cell.device) is None]


def _record(proofs: Proofs, cell: CertificateCell) -> Record:
    _skip_what_is_not_here(proofs.kind, cell)
    record = proofs.record(cell)
    if record["status"] == "unsupported":
        pytest.skip(str(record["reason"]))
    return record


def _skip_what_is_not_here(kind: type[Adapter], cell: CertificateCell) -> None:
    if reason := machine.missing_device(cell.device) or not_offered(kind, cell):
        pytest.skip(reason)


def _modules_of(packages: Iterable[str]) -> set[str]:
    """Top-level modules that these distributions bring, but for NumPy, which is always there."""
    wanted = {package.lower().replace("_", "-") for package in packages}
    return {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if wanted & {owner.lower().replace("_", "-") for owner in owners}
    } - {"numpy"}


def _first(cells: Iterable[CertificateCell], key: Any) -> list[CertificateCell]:
    """The first cell of every ``key``."""
    return list({key(cell): cell for cell in reversed(list(cells))}.values())[::-1]


def _label(cell: CertificateCell) -> str:
    parts = [cell.device, cell.track, cell.architecture, cell.precision, cell.loss, cell.optimizer]
    return "-".join([*parts, f"{cell.height}x{cell.width}x{cell.channels}"])
