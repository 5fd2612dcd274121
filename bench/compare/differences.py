"""What two recorded runs differ in apart from their figures: machine, versions, revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from results.comparison import Side
from results.loading import Run
from results.schema import Record

Facts = Mapping[str, Any]

MACHINE = ("system", "machine", "cpu", "cores_logical", "cores")
"""Two environments with another value in any of these are two machines: speeds do not compare."""
_SETTINGS = ("release", "affinity", "variables")
"""What may matter to speed on one and the same machine."""
_WORDS = {"release": "kernel", "affinity": "processors used", "variables": "thread variables", "cores": "cores used"}
REVISION = "revision of the suite"
SHORT_COMMIT = 10


def other_machine(base: Facts, head: Facts, device: str) -> str | None:
    """Why speeds on ``base`` and ``head`` (environments of run.json) do not compare, or None where they do."""
    if not base or not head:
        return "run.json does not say what machine it was"
    for name in MACHINE:
        if base.get(name) != head.get(name):
            return f"other machine: {_WORDS.get(name, name)} {base.get(name)} → {head.get(name)}"
    if device != "cpu":
        names = [", ".join(str(gpu.get("name")) for gpu in facts.get("gpus", [])) for facts in (base, head)]
        if names[0] != names[1]:
            return f"other machine: GPU {names[0] or 'none'} → {names[1] or 'none'}"
    return None


def side(run: Run, label: str) -> Side:
    """What the records in use of ``run`` were made with."""
    facts = _environments(run, run.current)
    commits = _values(facts, "git", "commit")
    found = {
        "run": label,
        "name": run.about.get("name"),
        "created": run.about.get("created"),
        "revision": ", ".join(commits) or None,
        "dirty": any((item.get("git") or {}).get("dirty") for item in facts),
        "python": ", ".join(_values(facts, "python")) or None,
        "machine": "; ".join(dict.fromkeys(_machine(item) for item in facts)) or None,
        "versions": {name: ", ".join(_values(facts, "packages", name)) for name in _packages(facts)},
    }
    return Side(label, {name: value for name, value in found.items() if value is not None})


def differences(base: Run, head: Run) -> tuple[str, ...]:
    """One sentence each: other machine, other versions, another revision, a dirty tree."""
    facts = [_environments(run, run.current) for run in (base, head)]
    found: list[str] = []
    for name in MACHINE:
        found += changed(_WORDS.get(name, name), *(_values(side, name) for side in facts))
    found += changed(
        "GPU", *(sorted({gpu.get("name", "") for f in side for gpu in f.get("gpus", [])}) for side in facts)
    )
    found += changed(
        "GPU driver", *(sorted({g.get("driver", "") for f in side for g in f.get("gpus", [])}) for side in facts)
    )
    found += changed("python", *(_values(side, "python") for side in facts))
    for package in sorted({*_packages(facts[0]), *_packages(facts[1])}):
        found += changed(package, *(_values(side, "packages", package) for side in facts))
    for name in _SETTINGS:
        found += changed(_WORDS[name], *(_values(side, name) for side in facts))
    found += changed(REVISION, *([c[:SHORT_COMMIT] for c in _values(s, "git", "commit")] for s in facts))
    for name, side in zip(("base", "head"), facts, strict=True):
        if any((item.get("git") or {}).get("dirty") for item in side):
            found.append(dirty(name))
    return tuple(found)


def _environments(run: Run, records: Iterable[Record]) -> list[Facts]:
    """Of ``records``, each once, in their order."""
    identities = dict.fromkeys(record["environment"] for record in records)
    known = run.about.get("environments", {})
    return [known[identity] for identity in identities if isinstance(known.get(identity), dict)]


def _values(facts: Iterable[Facts], *path: str) -> list[str]:
    """What stands at ``path``, as text, each once."""
    found = []
    for item in facts:
        value: Any = item
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value not in (None, "", {}, []):
            found.append(_text(value))
    return list(dict.fromkeys(found))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={item}" for name, item in sorted(value.items()))
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _packages(facts: Iterable[Facts]) -> list[str]:
    return sorted({name for item in facts for name in item.get("packages", {})})


def dirty(name: str) -> str:
    """The sentence about a side (base, head) with changes that no commit holds."""
    return f"the {name} was measured from a dirty tree: its revision does not say all"


def changed(name: str, base: Sequence[str], head: Sequence[str]) -> list[str]:
    """The sentence about something that has other values on the head than on the base, if it has."""
    if set(base) == set(head):
        return []
    return [f"{name}: {', '.join(base) or 'none'} → {', '.join(head) or 'none'}"]


def _machine(facts: Facts) -> str:
    gpus = [str(gpu.get("name")) for gpu in facts.get("gpus", [])]
    return ", ".join([f"{facts.get('cpu')} ({facts.get('cores')} cores)", *gpus])
