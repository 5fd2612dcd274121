"""From a sweep to what is to be run: certificates, trials, yardsticks, timing sessions.

What can not be is refused before anything runs.

Trials need the whole grid, but one track a backend.  Timing needs every track, but neither corruptions, data nor
seeds: the grid is projected onto what speed depends on.  Certificates are needed for all that either of them runs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bench import corruption, datasets, machine, whole
from bench.cells import CROSS_NOISE_SEPARATOR, Cell, CertificateCell, Quality, TimingCell, TrialCell
from bench.datasets import folder
from bench.sweep import CONVERGED, DEFAULT, FIRST, NONE, TEST, Sweep, SweepError, Timing
from bench.sweep_values import ALL
from bench.yardstick_plan import yardsticks_for
from bench.yardsticks import YardstickCell
from implementations import adapter, catalog
from implementations.training import canonical_optimizer, make_optimizer
from results.convergence import HeldOut

NATIVE_UNTIMED = (
    "cells with native defaults are not timed: no certificate says what they compute (defaults = 'matched' is timed)"
)
MOST_NOTES = 20
"""Of one data set: a folder with thousands of bad files would hide all else."""
CERTIFICATE_BATCH = 16
"""Batch size of certificates: small, since float64 steps are slow, and no power of it hides a forgotten division."""


@dataclass(frozen=True)
class Session:
    """Contestants (backend and track) times workloads that are measured in turn, by the same rules."""

    cells: tuple[TimingCell, ...]
    rounds: int
    blocks: int
    block_seconds: float
    inference: bool
    latency: bool
    settle_blocks: int = 0
    """Blocks of the series before those that count, in which the steady state is looked for."""
    inference_batches: tuple[int, ...] = ()
    """Batch sizes at which inference is measured, besides that of the cell."""
    energy: bool = False
    audit: bool = False
    """Whether the first process of every contestant repeats the synchronisation audit of its certificate."""
    starts_together: bool = False
    """Whether the processes of a round import, and get their networks, side by side, each on cores of its own, rather
    than one by one."""

    def key(self) -> str:
        """A short hash of all of it: the session's identity within a run."""
        rules = [getattr(self, field.name) for field in fields(self) if field.name != "cells"]
        return _digest([[cell.key() for cell in self.cells], *rules])


@dataclass(frozen=True)
class Plan:
    """All that a run has to do.  ``trials`` stand in breadth-first order: every prefix covers all axes.

    ``unsupported``: cells that can not run here, with the reason; they get a record all the same.  ``notes``: what a
    person should know of the plan, in sentences.
    """

    name: str
    description: str
    sweep: dict[str, Any]
    certificates: tuple[CertificateCell, ...]
    trials: tuple[TrialCell, ...]
    sessions: tuple[Session, ...]
    unsupported: tuple[tuple[Cell, str], ...]
    yardsticks: tuple[YardstickCell, ...] = ()
    notes: tuple[str, ...] = ()
    quality: Quality = "all"
    """ "once": each of ``trials``, which are the whole product, is trained by one of the backends that have it, and the
    others confirm some of them (:mod:`bench.confirm`)."""


def make_plan(sweep: Sweep, *, check_data: bool = True) -> Plan:
    """What ``sweep`` means on this machine.  SweepError where a combination of its axes does not exist, DataError
    where its data are not here, unless ``check_data`` is off: a list of sweeps needs no data."""
    notes: list[str] = []
    if check_data:
        sweep = _within(sweep) if sweep.only_fitting and sweep.scoring.evaluate == "patches" else sweep
        notes = _check_data(sweep)
    unsupported: list[tuple[Cell, str]] = []
    trials = list(dict.fromkeys(cell for grid in sweep.grids for cell in _trials(grid, sweep, unsupported)))
    if not trials:
        raise SweepError(f"sweep {sweep.name}: no network fits: {unsupported[0][1]}")
    # No certificate, no timing; and constants do not change how many operations a step has.
    timed = _timed([cell for cell in trials if cell.claims_parity], sweep.timing)
    untimed = sweep.timing.rounds and not any(cell.claims_parity for cell in trials)
    reasons = _Reasons()

    def supported(cell: Cell) -> bool:
        reason = reasons(cell)
        if reason:
            unsupported.append((cell, reason))
        return not reason

    certificates = [cell for cell in _certificates([*timed, *trials]) if supported(cell)]
    timed = [cell for cell in timed if supported(cell)]
    trials = [cell for cell in trials if supported(cell)]
    return Plan(
        name=sweep.name,
        description=sweep.description,
        sweep=sweep.resolved(),
        certificates=tuple(certificates),
        trials=breadth_first(trials),
        sessions=tuple(_sessions(timed, sweep.timing)),
        unsupported=tuple(unsupported),
        yardsticks=tuple(yardsticks_for(trials, full=sweep.scoring.yardsticks)),
        notes=(*notes, *([NATIVE_UNTIMED] if untimed else [])),
        quality=sweep.scoring.quality,
    )


def certificate_for(cell: Cell) -> CertificateCell:
    """The certificate that ``cell`` needs before it counts, if it claims parity."""
    common = {field.name: getattr(cell, field.name) for field in fields(CertificateCell)}
    return CertificateCell(**{**common, "batch_size": CERTIFICATE_BATCH, "threads": 1})


def planned(plan: Plan, trials: Iterable[TrialCell]) -> dict[str, int]:
    """Cells by kind, of trials those ``trials`` that were chosen; those that can not run here are counted too."""
    unsupported = [cell for cell, _ in plan.unsupported]
    timing = [cell for session in plan.sessions for cell in session.cells]
    found: dict[str, list[Any]] = {
        "certificate": [*plan.certificates, *(c for c in unsupported if isinstance(c, CertificateCell))],
        "trial": [*trials, *(c for c in unsupported if isinstance(c, TrialCell))],
        **({"yardstick": [*plan.yardsticks]} if plan.yardsticks else {}),
        "timing": [*timing, *(c for c in unsupported if isinstance(c, TimingCell))],
    }
    return {kind: len(set(cells)) for kind, cells in found.items()}


# -- trials --------------------------------------------------------------------------------------------------------


def _within(sweep: Sweep) -> Sweep:
    """``sweep`` with no more images of a folder than there are in it."""
    grids = []
    for grid in sweep.grids:
        limits = [folder.counts(name) for name in grid["dataset"] if name.startswith(folder.PREFIX)]
        for place, split in enumerate(("train", "test")):
            most = min((limit[place] for limit in limits), default=None)
            if most is not None:
                counts = [count if count == ALL else min(count, most) for count in grid[split]]
                grid = {**grid, split: list(dict.fromkeys(counts))}
        grids.append(grid)
    return sweep.model_copy(update={"grids": grids})


def _check_data(sweep: Sweep) -> list[str]:
    """DataError where data are missing; else what a person should know of them, such as files that can not be read."""
    notes = []
    for grid in sweep.grids:
        for name in grid["dataset"]:
            most = {"train": _largest(grid["train"]), "test": _largest(grid["test"])}
            # More images of a split are asked for nowhere, and none leaves fewer to train on.
            least = {**most, "train": _smallest(grid["train"])}
            found: tuple[str, ...] = ()
            ways: list[tuple[dict[str, int | None], HeldOut]] = [(most, TEST)]
            ways += [(least, _held_out(val)) for val in grid["val"]]
            for counts, val in ways:
                if sweep.scoring.evaluate == "whole":
                    found += datasets.check_whole(name, **counts, size=_largest(grid["size"]), val=val)
                else:
                    found += datasets.check(name, **counts, val=val)
            found = tuple(dict.fromkeys(found))
            notes += [f"{name}: {note}" for note in found[:MOST_NOTES]]
            if len(found) > MOST_NOTES:
                notes.append(f"{name}: and {len(found) - MOST_NOTES} more notes like these")
    return list(dict.fromkeys(notes))


def _trials(grid: Mapping[str, Sequence[Any]], sweep: Sweep, unfit: list[tuple[Cell, str]]) -> Iterable[TrialCell]:
    """The product of one grid: sizes of codes, shapes and learning rates in full, so that equal cells are equal.

    What does not fit goes to ``unfit`` with the reason if the sweep says so; else it is a SweepError."""
    named = {**grid, "backend": _all(grid["backend"], adapter.backends())}
    named["architecture"] = _all(grid["architecture"], catalog.CATALOG)
    for device in named["device"]:
        machine.check_device(device)
    tracks = {backend: _trial_track(backend, sweep.trial_track) for backend in named["backend"]}
    asked = sweep.scoring
    common: dict[str, Any] = {"evaluate": asked.evaluate, "codes": asked.codes, "keep_weights": asked.keep_weights}
    if asked.cross_noise and asked.evaluate == "whole":
        raise SweepError(
            f"sweep {sweep.name}: cross_noise scores test images of the size trained on, which evaluate = 'whole' does "
            "not; leave one of the two out"
        )
    if asked.cross_noise:
        every = dict.fromkeys(str(corruption.parse(text)) for each in sweep.grids for text in each["corruption"])
        common["cross_noise"] = CROSS_NOISE_SEPARATOR.join(every)
    for values in itertools.product(*named.values()):
        axes = {**common, **dict(zip(named, values, strict=True))}
        size, latent = _number(axes.pop("size")), axes.pop("latent")
        length = _length(axes)
        try:
            height, width, channels = datasets.image_shape(axes["dataset"], size, axes["channels"])
        except ValueError as error:
            raise SweepError(f"sweep {sweep.name}: {error}") from None
        rate = None if axes["learning_rate"] == DEFAULT else float(axes["learning_rate"])
        native = axes["defaults"] == "native"
        cell = TrialCell(
            **{
                **axes,
                **length,
                "val": _held_out(axes["val"]),
                "track": tracks[axes["backend"]],
                "latent": None if latent == DEFAULT else latent,
                "height": height,
                "width": width,
                "channels": channels,
                "train": _number(axes["train"]),
                "test": _number(axes["test"]),
                "corruption": str(corruption.parse(axes["corruption"])),
                "optimizer": canonical_optimizer(axes["optimizer"], defaults=axes["defaults"]),
                # Natively it is the framework's own, whichever that is.
                "learning_rate": rate if native else make_optimizer(axes["optimizer"], rate).learning_rate,
            }
        )
        try:
            network = cell.make_architecture()
            network.check_loss(cell.loss)
            if asked.evaluate == "whole":
                whole.check(network)
        except ValueError as error:
            if not sweep.only_fitting:
                raise SweepError(f"sweep {sweep.name}: {error}") from None
            unfit.append((cell, str(error)))
            continue
        yield replace(cell, latent=network.latent_size)


def _largest(values: Sequence[int | str]) -> int | None:
    return max((int(value) for value in values if value != ALL), default=None)


def _smallest(values: Sequence[int | str]) -> int | None:
    return min((int(value) for value in values if value != ALL), default=None)


def _held_out(value: int | str) -> HeldOut:
    return None if value == DEFAULT else TEST if value == TEST else int(value)


def _length(axes: dict[str, Any]) -> dict[str, Any]:
    """The axes of a cell that say how long it is trained, for those of a sweep, which are taken out of ``axes``."""
    epochs, most, seconds = (axes.pop(name) for name in ("epochs", "max_epochs", "max_seconds"))
    converged = epochs == CONVERGED
    return {
        "epochs": int(most if converged else epochs),
        "until": "converged" if converged else "epochs",
        "max_seconds": None if seconds == NONE else float(seconds),
    }


def _all(values: Sequence[str], every: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for value in values for name in (every if value == ALL else [value])))


def _number(value: int | str) -> int | None:
    return None if value == ALL else int(value)


def _trial_track(backend: str, wanted: adapter.Track) -> adapter.Track:
    tracks = adapter.adapter_class(backend).tracks
    return wanted if wanted in tracks else tracks[0]


# -- timing --------------------------------------------------------------------------------------------------------


def _timed(trials: Sequence[TrialCell], timing: Timing) -> list[TimingCell]:
    """Every track of every backend that has a trial on a timed workload, each once."""
    if not timing.rounds:
        return []
    wanted_latent, wanted_loss = _choice("latent", timing.latent, trials), _choice("loss", timing.loss, trials)
    backends = _all(timing.backend, adapter.backends())
    names = [field.name for field in fields(TimingCell)]
    cells = []
    for trial in trials:
        if trial.latent not in wanted_latent[trial.architecture] or trial.loss not in wanted_loss[trial.architecture]:
            continue
        if trial.backend not in backends:
            continue
        common = {name: getattr(trial, name) for name in names}
        for track, threads in itertools.product(timing.tracks, timing.threads or [trial.threads]):
            cells.append(TimingCell(**{**common, "track": track, "threads": threads}))
    return list(dict.fromkeys(cells))


def _choice(axis: str, wanted: Any, trials: Sequence[TrialCell]) -> dict[str, list[Any]]:
    """The timed values of ``axis`` by architecture.  A network whose code has one size is timed with that one."""
    there: dict[str, list[Any]] = {}
    for trial in trials:
        values = there.setdefault(trial.architecture, [])
        if getattr(trial, axis) not in values:
            values.append(getattr(trial, axis))
    if wanted == FIRST:
        return {name: values[:1] for name, values in there.items()}
    if wanted == ALL:
        return there
    chosen = {
        name: values if len(values) == 1 else [v for v in values if v in wanted] for name, values in there.items()
    }
    if not any(chosen.values()):
        known = sorted({value for values in there.values() for value in values if value is not None})
        raise SweepError(f"timing.{axis}: {wanted} is not in the sweep; allowed are {known}, 'first' and 'all'")
    return chosen


def _sessions(cells: Sequence[TimingCell], timing: Timing) -> Iterable[Session]:
    """One for each workload; or, where processes are shared, one for each setting that a process is started with."""
    groups: dict[Any, list[TimingCell]] = {}
    for cell in cells:
        setting = (cell.device, cell.precision, cell.threads)
        workload = replace(cell, backend="", track="tuned")
        groups.setdefault(setting if timing.share_process else workload, []).append(cell)
    for group in groups.values():
        rules = {field.name: getattr(timing, field.name) for field in fields(Session) if field.name != "cells"}
        yield Session(tuple(group), **{**rules, "inference_batches": tuple(timing.inference_batches)})


# -- certificates --------------------------------------------------------------------------------------------------


def _certificates(cells: Iterable[Cell]) -> list[CertificateCell]:
    return list(dict.fromkeys(certificate_for(cell) for cell in cells if cell.claims_parity))


def not_offered(kind: type[adapter.Adapter], cell: Cell) -> str | None:
    """Why a backend of this ``kind`` says that it can not compute ``cell``, wherever it is, or None."""
    if cell.device not in kind.devices:
        return f"{cell.backend} has no device {cell.device}; it has {', '.join(kind.devices)}"
    if cell.track not in kind.tracks:
        return f"{cell.backend} has no track {cell.track}; it has {', '.join(kind.tracks)}"
    if cell.defaults == "native" and not kind.offers_native:
        return f"{cell.backend} offers no native defaults; it has matched"
    if reason := adapter.why_not_there(cell.precision, cell.device):
        return reason
    if cell.precision not in kind.precisions:
        return f"{cell.backend} does not compute in {cell.precision}; it has {', '.join(kind.precisions)}"
    if reason := kind.refusal(cell.make_architecture(), cell.make_training()):
        return f"{cell.backend} refuses {cell.architecture}: {reason}"
    return None


class _Reasons:
    """Why a cell can not run here, or None; each backend is asked once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[type[adapter.Adapter], str | None]] = {}

    def __call__(self, cell: Cell) -> str | None:
        if cell.backend not in self._known:
            found = adapter.adapter_class(cell.backend)
            self._known[cell.backend] = found, found.missing()
        kind, missing = self._known[cell.backend]
        return missing or not_offered(kind, cell)


# -- order ---------------------------------------------------------------------------------------------------------


def breadth_first(trials: Iterable[TrialCell]) -> tuple[TrialCell, ...]:
    """The trials in an order whose every prefix covers the values of every axis as evenly as it can.

    Greedy: next comes the trial that has least in common with those before it: first the number of shared values,
    then that of shared pairs of values; the given order decides between equals.  No axis weighs more than another.
    """
    cells = list(trials)
    rows = [cell.axes() for cell in cells]
    varying = [name for name in (rows[0] if rows else {}) if len({row[name] for row in rows}) > 1]
    # Values as numbers, (n, varying axes): with m shared values, two trials share m (m - 1) / 2 pairs.
    numbers: dict[tuple[str, Any], int] = {}
    coded = np.array([[numbers.setdefault((name, row[name]), len(numbers)) for name in varying] for row in rows])
    values, pairs = np.zeros(len(cells), np.int64), np.zeros(len(cells), np.int64)
    order = []
    for _ in cells:
        fewest = values == values.min()
        index = int(np.argmin(np.where(fewest, pairs, np.iinfo(np.int64).max)))
        order.append(cells[index])
        shared = np.count_nonzero(coded == coded[index], axis=1)
        values += shared
        pairs += shared * (shared - 1) // 2
        values[index] = np.iinfo(np.int64).max // 2  # done
    return tuple(order)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
