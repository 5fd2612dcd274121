"""What the command line needs to know before it can call or print: parsed arguments and JSON-able facts."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.words import did_you_mean, split_outside

if TYPE_CHECKING:
    from bench.cells import CertificateCell

Row = dict[str, Any]

_TIME = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")
_REFERENCE_SHAPE = (28, 28, 1)


class OptionError(ValueError):
    """An argument that makes no sense: which, its value, what is allowed."""


def seconds(option: str, text: str | None) -> float | None:
    """ "1h30m" -> 5400.0; None stays None.  OptionError for anything that is no time, and for nothing at all."""
    if text is None:
        return None
    match = _TIME.fullmatch(text.strip().lower())
    parts = {unit: float(value) for unit, value in match.groupdict().items() if value} if match else {}
    total = sum(value * {"h": 3600.0, "m": 60.0, "s": 1.0}[unit] for unit, value in parts.items())
    if not 0 < total < 1e9:
        raise OptionError(f"{option} {text!r} is not a time: write for example 90s, 30m, 1h30m or 2h")
    return total


def count(option: str, text: str | None) -> int | None:
    """ "2" -> 2; None stays None.  OptionError for what is no whole number from 1."""
    if text is None:
        return None
    if not text.strip().isdecimal() or int(text) < 1:
        raise OptionError(f"{option} {text!r} is not allowed: use a whole number from 1")
    return int(text)


def chosen(option: str, values: Sequence[str] | None, known: Iterable[str], default: Sequence[str]) -> list[str]:
    """The values of an option that may be repeated, hold commas or "all"; OptionError for an unknown one."""
    names = list(known)
    wanted = [part.strip() for value in values or () for part in value.split(",")]
    for name in wanted:
        if name not in (*names, "all"):
            raise OptionError(
                f"{option} {name!r} is unknown{did_you_mean(name, names)}; allowed are {', '.join(names)} and all"
            )
    if not wanted:
        return list(default)
    return names if "all" in wanted else list(dict.fromkeys(wanted))


def certificate_cells(
    *,
    backend: Sequence[str] | None,
    architecture: Sequence[str] | None,
    loss: Sequence[str] | None,
    optimizer: Sequence[str] | None,
    precision: Sequence[str] | None,
    track: Sequence[str] | None,
    device: str,
) -> list[CertificateCell]:
    """What `daebench verify` is to prove: the product of the options, on images of 28x28 pixels.

    Left out: combinations that a backend does not offer (a track, a device), and losses that a network can not have,
    unless nothing else was asked for.  A backend that is not installed is left out too, unless it was asked for by
    name.
    """
    from bench import machine
    from bench.cells import CertificateCell
    from bench.plan import CERTIFICATE_BATCH
    from implementations import adapter, catalog
    from implementations.architecture import SpecificationError
    from implementations.training import LOSSES, OPTIMIZERS, make_optimizer

    machine.check_device(device)
    known = adapter.backends()
    # Others than those that are asked for need not even be loadable.
    kinds = {name: adapter.adapter_class(name) for name in chosen("--backend", backend, known, list(known))}
    axes = {
        "backend": list(kinds) if backend else [name for name, kind in kinds.items() if not kind.missing()],
        "track": chosen("--track", track, adapter.TRACKS, adapter.TRACKS),
        "architecture": _networks(architecture),
        "loss": chosen("--loss", loss, LOSSES, LOSSES),
        "optimizer": chosen("--optimizer", optimizer, OPTIMIZERS, ["adam"]),
        "precision": chosen("--precision", precision, adapter.PRECISIONS, ["float64", "float32"]),
    }
    for name in axes["backend"]:
        if reason := kinds[name].missing():
            raise OptionError(f"--backend {name}: {reason}")
    refused = None
    cells = []
    for values in itertools.product(*axes.values()):
        cell: Row = dict(zip(axes, values, strict=True))
        kind = kinds[cell["backend"]]
        if cell["track"] in kind.tracks and device in kind.devices:
            network = catalog.make(cell["architecture"], _REFERENCE_SHAPE)
            try:
                network.check_loss(cell["loss"])
            except SpecificationError as error:
                refused = str(error)
                continue
            cell["latent"] = network.latent_size
            cell["learning_rate"] = make_optimizer(cell["optimizer"]).learning_rate
            cells.append(CertificateCell(**cell, device=device, batch_size=CERTIFICATE_BATCH))  # type: ignore[arg-type]
    if not cells and refused:
        raise OptionError(refused)
    if not cells:
        raise OptionError(f"nothing to verify: {', '.join(axes['backend'])} can not run like this on {device}")
    return cells


def _networks(values: Sequence[str] | None) -> list[str]:
    """The networks that ``--architecture`` names, some with numbers in parentheses; all if it is left out."""
    from implementations import catalog
    from implementations.architecture import SpecificationError

    wanted = [name for value in values or () for name in split_outside(value)]
    try:
        names = [name for text in wanted for name in (catalog.CATALOG if text == "all" else [catalog.canonical(text)])]
    except SpecificationError as error:
        raise OptionError(f"--architecture: {error}; or all") from None
    return list(dict.fromkeys(names)) or list(catalog.CATALOG)


# -- what there is -------------------------------------------------------------------------------------------------


def catalogue(what: str) -> list[Row]:
    """The rows of `daebench list`."""
    lists = {
        "backends": backends,
        "architectures": architectures,
        "corruptions": corruptions,
        "datasets": data_sets,
        "sweeps": sweeps,
    }
    if what not in lists:
        raise OptionError(f"there is no list of {what!r}{did_you_mean(what, lists)}; there are {', '.join(lists)}")
    return lists[what]()


def backends() -> list[Row]:
    """Every announced backend: is it installed, and if not, what to do.  Loads no framework."""
    from bench import machine
    from implementations import adapter

    rows = []
    for name, point in adapter.backends().items():
        try:
            kind = adapter.adapter_class(name)
        except Exception as error:  # somebody else's module: whatever it raises, the others are still to be listed
            broken = str(error) if isinstance(error, adapter.UnknownBackend) else f"{point.value}: {error}"
            rows.append(
                {
                    "name": name,
                    "installed": False,
                    "reason": broken,
                    "versions": {},
                    "tracks": [],
                    "devices": [],
                    "precisions": [],
                }
            )
            continue
        reason = kind.missing()
        rows.append(
            {
                "name": name,
                "installed": reason is None,
                "reason": reason,
                "versions": {package: machine.version(package) for package in kind.packages},
                "tracks": list(kind.tracks),
                "devices": list(kind.devices),
                "precisions": list(kind.precisions),
            }
        )
    return rows


def architectures() -> list[Row]:
    """The catalog, with the sizes that each network has on 28x28 images."""
    from implementations import catalog

    rows = []
    for name, entry in catalog.CATALOG.items():
        network = catalog.make(name, _REFERENCE_SHAPE)
        rows.append(
            {
                "name": name,
                "summary": entry.summary,
                "latent": network.latent_size,
                "latent_is_free": entry.takes_latent,
                "parameters": network.parameter_count(),
                "trainable_parameters": network.parameter_count(trainable_only=True),
                "forward_flops": network.forward_flops(),
                "backward_flops": network.backward_flops(),
                "source": network.source,
            }
        )
    return rows


def corruptions() -> list[Row]:
    """The kinds of corruption: what the level means, which levels are allowed."""
    from bench.corruption import KINDS

    names = ("name", "summary", "level", "allowed", "low", "high", "example")
    return [{name: getattr(kind, name) for name in names} for kind in KINDS.values()]


def data_sets() -> list[Row]:
    """The data sets: which are here, and how to get the others."""
    from bench import datasets

    return [asdict(info) for info in datasets.describe()]


def sweeps() -> list[Row]:
    """The shipped sweeps, with their size and rough time on this machine; or with the reason why they can not be run
    here, for want of a GPU or because a backend is broken."""
    from bench import machine
    from bench.estimate import estimate
    from bench.plan import make_plan
    from bench.sweep import load_sweep, shipped
    from implementations.adapter import UnknownBackend

    rows = []
    for name in shipped():
        sweep = load_sweep(name)
        row: Row = {"name": name, "description": sweep.description, "reason": None}
        try:
            plan = make_plan(sweep, check_data=False)
        except (machine.DeviceError, UnknownBackend) as error:
            nothing = dict.fromkeys(("certificates", "trials", "sessions", "estimated_seconds"))
            rows.append({**row, **nothing, "reason": str(error)})
            continue
        row |= {name: len(getattr(plan, name)) for name in ("certificates", "trials", "sessions")}
        rows.append({**row, "estimated_seconds": round(estimate(plan, machine.cores()).total)})
    return rows


def doctor() -> Row:
    """Everything about this machine that decides what can be run on it, as docs/doctor.md has it.  Loads no framework;
    ``peaks`` are empty: see :func:`peaks`."""
    from bench import datasets, machine

    facts = machine.environment()
    return {
        "python": facts["python"],
        "executable": sys.executable,
        "packages": facts["packages"],
        "backends": backends(),
        "cpu": facts["cpu"],
        "cores": facts["cores"],
        "cores_logical": facts["cores_logical"],
        "memory": facts["memory"],
        "memory_available": facts["memory_available"],
        "load": facts["load"],
        "gpus": facts["gpus"],
        "devices": {name: machine.missing_device(name) for name in ("cpu", "cuda", "mps")},
        "variables": facts["variables"],
        "datasets": data_sets(),
        "cache": str(datasets.cache_dir()),
        "peaks": [],
        "warnings": _warnings(facts),
    }


def peaks(facts: Row, tell: Callable[[str], None]) -> tuple[list[Row], list[str]]:
    """What the machine of ``facts`` (:func:`doctor`) can do, on one core and on all, where timing usually runs, and on
    each kind of GPU; and sentences about what could not be measured.  Half a minute, since frameworks are imported:
    ``tell`` hears what it is at."""
    from bench import roofline
    from implementations.adapter import Setting

    settings = [Setting(), Setting(threads=facts["cores"])]
    settings += [Setting(device) for device in ("cuda", "mps") if facts["devices"][device] is None]  # type: ignore[arg-type]
    loadable = [row["name"] for row in facts["backends"] if row["installed"]]
    return roofline.measure_peaks(settings, loadable, tell=tell)


def _warnings(facts: Row) -> list[str]:
    """What would make figures of this machine, as it is now, less trustworthy."""
    found = []
    load = facts["load"][0] if facts["load"] else 0.0
    if load > 0.5:
        found.append(f"the load is {load:.2f}: something else is running, and timing will see it")
    if facts["memory_available"] < 4 * 2**30:
        found.append(f"{facts['memory_available'] / 2**30:.1f} GiB of memory are free; eight processes need about 4")
    if facts["cores"] < 2:
        found.append("there is one core: trials run one after the other")
    if facts["variables"]:
        names = ", ".join(facts["variables"])
        found.append(f"{names} set in this shell: workers set their own threads, XLA_FLAGS and the like stay")
    return found
