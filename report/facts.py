"""What was compared, on what, with what: the facts that a reader needs before any figure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from report import inputs, text
from report.naming import backend_key, natural_key
from report.tables import Cell, Table, printable
from results.completeness import completeness
from results.loading import Run, is_native
from results.schema import KINDS, STATUSES

PACKAGES_FIRST = ("daebench", "keras", "tensorflow", "torch", "jax", "jaxlib", "numpy", "scikit-image")

COARSE = {
    "bfloat16": "bfloat16 is mixed precision: products of matrices and convolutions in bfloat16; weights, optimizer, "
    "batch statistics and loss in float32",
    "tf32": "tf32 is float32 with the factors of products in TF32; in float32 that is off",
}
"""What a reader has to know of precisions that are not those of all numbers."""


def axis_values(run: Run, name: str) -> list[Any]:
    """All values of an axis, in a natural order."""
    values = {record["cell"][name] for record in run.current if record["cell"].get(name) is not None}
    return sorted(values, key=natural_key)


def _counts(numbers: list[int], noun: str) -> str:
    """ "1 epoch", "5/15 epochs"."""
    return f"{'/'.join(map(str, numbers))} {noun}{'s' if numbers != [1] else ''}"


def summary(run: Run, given: inputs.Inputs) -> str:
    """One sentence: the backends, networks, noise and data of the run, and that all were given the same."""
    backends = sorted(axis_values(run, "backend"), key=backend_key)
    tracks = [name for name in axis_values(run, "track")]
    networks = axis_values(run, "architecture")
    parts = [
        f"{text.listing(backends)} ({' and '.join(tracks)} track{'s' if len(tracks) > 1 else ''})",
        f"train the same {text.listing(networks)} denoising autoencoder{'s' if len(networks) > 1 else ''}",
    ]
    trials = run.of("trial")
    if trials:
        data = text.listing(axis_values(run, "dataset"))
        corruptions = text.count(len(axis_values(run, "corruption")), "corruption")
        parts.append(f"on {data} under {corruptions}")
    same = "same initial weights, same batches, same noise"
    if natives := [record for record in run.current if is_native(record)]:
        own = "same batches, same noise, each framework's own initial weights and constants"
        same = own if len(natives) == len(trials) else f"{same}; and natively: {own}"
    if given.unlike:
        same = "not all of them given the same, see the findings"
    return printable(" ".join(parts)) + f": {same}.{inputs.confirmed(given)}"


def fact_sheet(run: Run) -> list[tuple[str, str]]:
    """(name, value) pairs for the top of the page."""
    about = run.about
    facts: list[tuple[str, str]] = []
    known = environments(run).values()
    # A run that was resumed may have several environments which differ in nothing that stands here.
    software = [", ".join(f"{name} {version}" for name, version in packages(one)[:5]) for one in known]
    facts += [("Machine", name) for name in dict.fromkeys(machine(one) for one in known)]
    facts += [("Software", versions) for versions in dict.fromkeys(software) if versions]
    threads, devices = axis_values(run, "threads"), axis_values(run, "device")
    setting = [", ".join(map(str, devices)), _counts(threads, "thread")]
    precisions = axis_values(run, "precision")
    facts.append(("Setting", ", ".join([*setting, *map(str, precisions)])))
    facts += [("Precision", said) for precision, said in COARSE.items() if precision in precisions]
    trials = run.of("trial")
    if trials:
        sizes = [f"{value:,}" for value in axis_values(run, "train")] or ["all"]
        tests = [f"{value:,}" for value in axis_values(run, "test")] or ["all"]
        shape = f"{'/'.join(map(str, axis_values(run, 'height')))}×{'/'.join(map(str, axis_values(run, 'width')))}"
        seeds = axis_values(run, "seed")
        evaluated = axis_values(run, "evaluate")
        scored = f"{'/'.join(tests)} test images"
        if evaluated == ["whole"]:
            facts.append(("Data", f"{'/'.join(sizes)} training patches, {shape} pixels; scored on whole images"))
        else:
            scored += " or whole ones" if "whole" in evaluated else ""
            facts.append(("Data", f"{'/'.join(sizes)} training and {scored}, {shape} pixels"))
        facts.append(("Training", f"{_epochs(run)}, {text.count(_ok_seeds(run) or len(seeds), 'seed')}"))
        facts += _images(run)
        if spent := time_spent(run):
            facts.append(("Time", spent))
    facts.append(("Cells", status_line(run)))
    begun, ended = printable(about.get("created") or "?"), about.get("finished")
    finished = ended and not completeness(run).unfinished  # older runs say so whatever a budget has left out
    facts.append(("Run", f"{_day(begun)}, {'finished' if finished else 'not finished yet'}"))
    return [(name, printable(value)) for name, value in facts]


ENDS = {"converged": "converged", "epochs": "by epochs", "budget": "by budget"}
"""What stopped a training, as a count of them is read."""


def _epochs(run: Run) -> str:
    """ "5/15 epochs", or as they were run "12 to 37 epochs (stopped: 3 converged, 5 by epochs)"."""
    trials = run.of("trial", "ok")
    stopped = Counter(record["stopped"] for record in trials if "stopped" in record)
    if not set(stopped) - {"epochs"}:
        return _counts(axis_values(run, "epochs"), "epoch")
    ran = sorted({len(record["curve"]) for record in trials if record.get("curve")})
    said = _counts(ran, "epoch") if len(ran) < 3 else f"{ran[0]} to {ran[-1]} epochs"
    return f"{said} (stopped: {', '.join(f'{stopped[end]} {words}' for end, words in ENDS.items() if stopped[end])})"


def _images(run: Run) -> list[tuple[str, str]]:
    """How many images trained, chose and tested, as the trials counted them."""
    found = [record["images"] for record in run.of("trial", "ok") if "images" in record]
    if not found:
        return []
    counts = {
        name: "/".join(f"{value:,}" for value in sorted({one[name] for one in found}))
        for name in ("train", "validation", "test")
    }
    said = f"{counts['train']} training, {counts['validation']} validation, {counts['test']} test"
    older = len(run.of("trial", "ok")) - len(found)
    return [("Images", f"{said}{f' ({older} older trials do not say)' if older else ''}")]


def time_spent(run: Run) -> str | None:
    """ "7.5 min in 96 trials: 41.0 % building, 48.0 % training, 7.0 % denoising and scoring, 4.0 % else (noise 2.0 %)".

    The last is what the suite itself costs.  None where no record says where its seconds went.
    """
    told = [record for record in run.of("trial", "ok") if record.get("parts") and record["seconds"] > 0]
    if not told:
        return None
    total = sum(record["seconds"] for record in told)
    spent: Counter[str] = Counter()
    for record in told:
        spent.update(record["parts"])
    work = {
        "building": spent.pop("build_seconds", 0.0),
        "training": spent.pop("train_seconds", 0.0),
        "denoising and scoring": spent.pop("reconstruct_seconds", 0.0) + spent.pop("score_seconds", 0.0),
    }
    work["else"] = total - sum(work.values())

    def percent(seconds: float) -> str:
        return f"{text.fixed(100 * seconds / total, 1)} %"

    said = ", ".join(f"{percent(seconds)} {name}" for name, seconds in work.items())
    largest = sorted(spent.items(), key=lambda part: (-part[1], part[0]))
    named = [f"{name.removesuffix('_seconds')} {percent(part)}" for name, part in largest if part >= 0.001 * total]
    inside = f" ({', '.join(named)})" if named else ""
    return f"{text.seconds(total)} in {text.count(len(told), 'trial')}: {said}{inside}"


def status_line(run: Run) -> str:
    """ "118 of 123 ok; 2 crashed, 1 timeout"; of an unfinished run "5 of 20 planned ok; 12 skipped, 3 not begun"."""
    done = completeness(run)
    counts = Counter(record["status"] for record in run.current)
    rest = [f"{counts[status]} {status.replace('_', ' ')}" for status in STATUSES if status != "ok" and counts[status]]
    rest += [f"{done.without_record} not begun"] if done.without_record > 0 else []
    every = max(done.total[1], sum(counts.values()))
    line = f"{counts['ok']:,} of {every:,} {'planned ' if done.unfinished else ''}ok"
    return f"{line}; {', '.join(rest)}" if rest else line


def not_run(run: Run) -> list[str]:
    """Sentences on what the plan had and the journal has not, and what the run itself noted."""
    found = []
    planned = run.about.get("planned", {})
    for kind in KINDS:
        wanted, have = planned.get(kind, 0), len(run.of(kind))
        if isinstance(wanted, int) and wanted > have:
            found.append(f"{wanted - have:,} of {wanted:,} planned {_plural(kind)} left no record.")
    if not run.about.get("finished"):
        found.append("The run is not finished: the same command goes on where it stopped.")
    if run.beside:
        found.append(
            f"{text.count(len(run.beside), 'further record')} of other commands in the same folder "
            f"{'is' if len(run.beside) == 1 else 'are'} no part of this report; `daebench report DIR --all` has all."
        )
    found += [printable(note) for note in [*run.notes, *run.about.get("notes", [])]]
    if run.superseded:
        found.append(f"{text.count(len(run.superseded), 'failed attempt')} came before a later one of the same cell.")
    return found


def warnings(run: Run) -> list[str]:
    """What records themselves warn of, with how many did; those of timed contestants stand beside their speeds."""
    told = [record for record in run.current if (record["kind"], record["status"]) != ("timing", "ok")]
    counts = Counter(printable(note) for record in told for note in record.get("warnings", []))
    return [f"{note} ({text.count(number, 'cell')})" for note, number in sorted(counts.items())]


def environments(run: Run) -> dict[str, dict[str, Any]]:
    """Environments that current records refer to, in the order of run.json."""
    used = {record["environment"] for record in run.current}
    known = run.about.get("environments", {})
    return {key: value for key, value in known.items() if key in used and isinstance(value, dict)}


def machine(facts: dict[str, Any]) -> str:
    """ "Intel Xeon ..., 2 cores, 25 GB; NVIDIA H200"."""
    parts = [str(facts.get("cpu") or "unknown processor")]
    if isinstance(facts.get("cores"), int):
        parts.append(text.count(facts["cores"], "core"))
    if isinstance(facts.get("memory"), int | float):
        parts.append(text.bytes_(float(facts["memory"])))
    gpus = [str(gpu.get("name", "?")) for gpu in facts.get("gpus") or [] if isinstance(gpu, dict)]
    return ", ".join(parts) + (f"; {', '.join(gpus)}" if gpus else "")


def packages(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and versions, the compared frameworks first."""
    found = facts.get("packages") or {}
    order = {name: index for index, name in enumerate(PACKAGES_FIRST)}
    names = sorted(found, key=lambda name: (order.get(name, len(order)), name))
    return [(name, str(found[name])) for name in names if name != "daebench"]


def environment_table(key: str, facts: dict[str, Any]) -> Table:
    """Everything that run.json says of one environment."""
    rows = []
    for name, value in facts.items():
        if name == "peaks":  # stand beside the speeds
            continue
        if name == "packages" and isinstance(value, dict):
            value = ", ".join(f"{package} {version}" for package, version in packages(facts))
        elif name in ("memory", "memory_available") and isinstance(value, int | float):
            value = text.bytes_(float(value))
        rows.append([Cell(name.replace("_", " "), kind="name"), Cell(_plain(value), kind="reason")])
    return Table(f"Environment {printable(key)}", ["fact", "value"], rows)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else printable(value)


def _ok_seeds(run: Run) -> int:
    return len({record["cell"]["seed"] for record in run.of("trial", "ok")})


def _plural(kind: str) -> str:
    return kind if kind == "timing" else f"{kind}s"


def _day(moment: str) -> str:
    return moment[:16].replace("T", " ") + (" UTC" if len(moment) >= 16 else "")
