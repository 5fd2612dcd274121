"""The two sides of a live comparison: an interpreter, a revision of the source, a backend; and what is known of them.

A side is asked about itself in a process of its own (:data:`_ASK`), since its libraries and adapters are not ours to
import.  Only what has been there since the first version is used in that question: a side may be an old revision.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine
from bench.process import ROOT, Program, source_environment
from implementations.adapter import EXTRA_BACKENDS, TRACKS, Setting, Track, backends
from results.comparison import Side

ASK_TIMEOUT = 60.0
"""Seconds to say what one is: nothing is imported for it but our own packages and NumPy."""

_ASK = """
import json, platform, sys
from pathlib import Path
import bench
from bench import machine
from implementations.adapter import Setting, adapter_class
ask = json.loads(sys.argv[1])
found = {}
for name in ask["backends"]:
    try:
        kind = adapter_class(name)
    except Exception as error:
        found[name] = {"missing": f"{type(error).__name__}: {error}"}
        continue
    settings = [Setting(*values) for values in ask["settings"]]
    found[name] = {
        "missing": kind.missing(),
        "tracks": list(kind.tracks),
        "versions": {package: machine.version(package) for package in (*kind.packages, "numpy")},
        "environment": [kind.environment(setting) for setting in settings],
        "fingerprints": [machine.fingerprint(name, setting.device) for setting in settings],
    }
root = Path(bench.__file__).resolve().parent.parent
answer = {"root": str(root), "python": platform.python_version(), "backends": found, "git": machine.git_state()}
print(json.dumps(answer))
"""


class CompareError(ValueError):
    """A side that can not be had: which option, its value, what is allowed, what to do."""


@dataclass(frozen=True)
class SideSpec:
    """What the user said of a side; None: as here and now.  ``backend``: "torch", or with its track "torch:tuned"."""

    python: str | None = None
    rev: str | None = None
    backend: str | None = None

    def contestant(self) -> tuple[str | None, Track | None]:
        """Backend and track, None where nothing was said."""
        if self.backend is None:
            return None, None
        name, colon, track = self.backend.rpartition(":")
        if not colon:
            return self.backend, None
        chosen = next((known for known in TRACKS if known == track), None)
        if chosen is None:
            raise CompareError(f"backend {self.backend!r}: track {track!r} is unknown; allowed are {', '.join(TRACKS)}")
        return name, chosen


@dataclass(frozen=True)
class Runner:
    """A side that can be run.  ``about``: what it said of itself, see :data:`_ASK`."""

    name: str
    python: str
    root: Path
    about: dict[str, Any]
    settings: tuple[Setting, ...]
    revision: str | None

    def missing(self, backend: str) -> str | None:
        """Why ``backend`` can not be run on this side, or None."""
        reason: str | None = self.about["backends"][backend]["missing"]
        return reason

    def program(self, backend: str, setting: Setting) -> Program:
        variables = self.about["backends"][backend]["environment"][self.settings.index(setting)]
        return Program(self.python, self.root, {**variables, **_announced()})

    def fingerprint(self, backend: str, setting: Setting) -> str:
        found: str = self.about["backends"][backend]["fingerprints"][self.settings.index(setting)]
        return found

    @property
    def is_ours(self) -> bool:
        """Whether it is just this program: what is cached for it then counts."""
        return self.python == sys.executable and self.root == ROOT

    def side(self, label: str) -> Side:
        versions: dict[str, str] = {}
        for backend in self.about["backends"].values():
            versions |= {name: number for name, number in backend.get("versions", {}).items() if number}
        git = self.about["git"] or {}
        facts = {
            "revision": self.revision or git.get("commit"),
            "dirty": False if self.revision else git.get("dirty"),
            "python": self.about["python"],
            "interpreter": self.python,
            "versions": dict(sorted(versions.items())),
            "machine": machine.cpu_model(),
            "backend": ", ".join(self.about["backends"]),
        }
        return Side(label, {name: value for name, value in facts.items() if value is not None})


@contextlib.contextmanager
def opened(
    name: str, spec: SideSpec, names: Sequence[str], settings: Sequence[Setting], scratch: Path
) -> Iterator[Runner]:
    """The side ``name`` ("base", "head") ready to run the backends ``names``; its worktree, if it has one, lies in
    ``scratch`` and goes."""
    python = _interpreter(name, spec.python)
    with contextlib.ExitStack() as stack:
        root, revision = ROOT, None
        if spec.rev is not None:
            root, revision = stack.enter_context(_worktree(name, spec.rev, scratch))
        about = _ask(name, python, root, names, settings)
        yield Runner(name, python, root, about, tuple(settings), revision)


def _interpreter(name: str, python: str | None) -> str:
    if python is None:
        return sys.executable
    found = shutil.which(python)
    if found is None:
        raise CompareError(
            f"--{name}-python {python}: is no program that can be run; name the interpreter of an environment that "
            "has daebench's requirements installed, such as other/.venv/bin/python"
        )
    # Not resolved: the link inside a virtual environment is what makes it one.
    return os.path.abspath(found)


@contextlib.contextmanager
def _worktree(name: str, rev: str, scratch: Path) -> Iterator[tuple[Path, str]]:
    """A checkout of revision ``rev`` of our own source beside the working tree, and its commit."""
    option = f"--{name}-rev {rev}"
    if not (ROOT / ".git").exists():
        raise CompareError(f"{option}: {ROOT} is no git checkout, so there are no revisions; use --{name}-python")
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    if commit is None:
        raise CompareError(f"{option}: git knows no such revision in {ROOT}; `git log --oneline` lists some")
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=scratch))
    if _git("worktree", "add", "--quiet", "--detach", "--force", str(folder), commit) is None:
        raise CompareError(f"{option}: git could not check it out into {folder}")
    try:
        yield folder.resolve(), commit
    finally:
        _git("worktree", "remove", "--force", str(folder))
        shutil.rmtree(folder, ignore_errors=True)
        _git("worktree", "prune")


def _git(*arguments: str) -> str | None:
    """What git says, or None if it refuses."""
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _announced() -> dict[str, str]:
    """Our backends, for an interpreter that has what they need, but not this distribution and its entry points."""
    return {EXTRA_BACKENDS: ";".join(f"{name}={point.value}" for name, point in backends().items())}


def _ask(name: str, python: str, root: Path, names: Sequence[str], settings: Sequence[Setting]) -> dict[str, Any]:
    variables = {**source_environment(root), **_announced()}
    wanted = [[setting.device, setting.precision, setting.threads] for setting in settings]
    question = json.dumps({"backends": list(names), "settings": wanted})
    try:
        done = subprocess.run(
            [python, "-c", _ASK, question],
            capture_output=True,
            text=True,
            env=variables,
            timeout=ASK_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompareError(f"{name}: {python} did not answer: {error}") from None
    if done.returncode != 0 or not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise CompareError(
            f"{name}: daebench does not run with {python} on {root}: {last}; install its requirements there "
            "(pip install -e . in that environment)"
        )
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if Path(answer["root"]) != root.resolve():
        raise CompareError(f"{name}: {python} takes daebench from {answer['root']}, not from {root}")
    return answer
