"""Tables of the timing sessions: ranks and rates, cold costs, finer figures, break-even and time to PSNR."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from report import text
from report.reach import Attempt, Race
from report.speed import MARGIN, RATE, Contestant, Standing, Workload
from report.start import Epoch, Meeting, Start
from report.tables import Cell, Table, printable, split, without_empty
from results import roofline
from results.cold import COLD_COSTS
from results.loading import Run
from results.statistics import Interval

INFERENCE = "inference_samples_per_second"
STEADY_NAMES = {
    "flat": "flat",
    "warmup": "warms up",
    "slowdown": "slows down",
    "no_steady_state": "never steady",
    "inconsistent": "inconsistent",
    "too_short": "too short to say",
}


def speed_table(load: Workload, about: dict[str, Any]) -> Table:
    """Ranks, rates, latency; those that are not ranked, and those that did not finish, below.  ``about``: run.json,
    for the machine's peaks."""
    peaks = roofline.measured(about)
    titles = ["rank", "backend, track", "training, images/s", "× fastest", "inference, images/s", "latency, ms"]
    titles += ["training, of peak", "inference, of peak"] if peaks else ["GFLOP/s"]
    titles.append("n")
    rows, kinds = [], []
    for standing in load.standings:
        one = standing.contestant
        row = [
            Cell(_rank(standing, load), kind="rank"),
            Cell(one.backend, _track_and_doubt(one), kind="name"),
            Cell(*split(text.quantity(one.metric(RATE)))),
            _share(standing),
            Cell(*split(text.quantity(one.metric(INFERENCE)))),
            _milliseconds(one.metric("latency_seconds")),
        ]
        gflops = text.significant(one.metric("train_gflops").value)
        if peaks:
            row.append(Cell(_percent(roofline.share(about, one.record, "train")), f"{gflops} GFLOP/s"))
            row.append(Cell(_percent(roofline.share(about, one.record, "inference"))))
        else:
            row.append(Cell(gflops))
        rows.append([*row, Cell(str(len(one.rounds)))])
        kinds.append("leader" if standing.rank == 1 else "" if standing.rank else "unranked")
    for record in load.failed:
        cell = record["cell"]
        reason = f"{cell['track']}; {record['status'].replace('_', ' ')}: {printable(record['reason'])[:200]}"
        blank = [Cell("–") for _ in titles[2:]]
        rows.append([Cell("–", kind="rank"), Cell(cell["backend"], reason, kind="name"), *blank])
        kinds.append("unranked")
    table = Table(load.setting, titles, rows, frozenset(range(2, len(titles))), kinds)
    # A sweep may leave these out.
    return without_empty(table, ("inference, images/s", "inference, of peak", "latency, ms"))


def cold_table(load: Workload) -> Table:
    """Cold costs and memory of each contestant, cheapest start first."""
    rows = []
    contestants = (standing.contestant for standing in load.standings)
    for one in sorted(contestants, key=lambda one: (math.isnan(one.cold_seconds), one.cold_seconds)):
        memory, device = one.metric("peak_memory_bytes"), one.metric("peak_device_bytes")
        rows.append(
            [
                Cell(one.backend, one.track, kind="name"),
                *(Cell(text.seconds(one.metric(name).value)) for name in COLD_COSTS),
                Cell(text.seconds(one.cold_seconds)),
                Cell(text.bytes_(memory.value)),
                Cell(text.bytes_(device.value)),
            ]
        )
    titles = ["import", "build", "staging", "first step", "together", "peak process memory", "peak on device"]
    table = Table(load.setting, ["backend, track", *titles], rows, frozenset(range(1, 8)))
    return without_empty(table, ("peak on device",))


def peaks_table(run: Run) -> Table:
    """What the machine can do, by device, precision and threads; no rows where nobody measured it."""
    used = {record["environment"] for record in run.of("timing")}
    rows = []
    for key, environment in run.about.get("environments", {}).items():
        for peak in roofline.peaks(environment) if key in used else ():
            threads = text.count(peak.threads, "thread") if peak.device == "cpu" else ""
            bandwidth = "–" if peak.bandwidth is None else f"{text.significant(peak.bandwidth / 1e9)} GB/s"
            rows.append(
                [
                    Cell(
                        ", ".join(filter(None, [peak.device, peak.precision, threads])), _machine(environment), "name"
                    ),
                    Cell(f"{text.significant(peak.flops / 1e9)} GFLOP/s", printable(peak.library)),
                    Cell(bandwidth),
                    Cell("–" if peak.balance is None else f"{text.significant(peak.balance, 2)} FLOP/byte"),
                ]
            )
    columns = ["setting", "matrix product", "copying", "balance"]
    return Table("What this machine can do", columns, rows, frozenset((1, 2, 3)))


def _machine(environment: Mapping[str, Any]) -> str:
    return printable(environment.get("cpu") or "")


def detail_table(load: Workload) -> Table:
    """How steps and latencies scatter, inference by batch size, energy, steadiness: the columns that somebody has."""
    ones = [standing.contestant for standing in load.standings]
    columns: list[tuple[str, Callable[[Contestant], Cell]]] = [
        ("series", _steadiness),
        ("blocks disturbed", _disturbed),
        ("step, ms", _steps),
        ("latency p50, ms", lambda one: _milliseconds(_either(one, "latency_p50_seconds", "latency_seconds"))),
        ("p95, ms", lambda one: _milliseconds(one.metric("latency_p95_seconds"))),
        ("p99, ms", lambda one: _milliseconds(one.metric("latency_p99_seconds"))),
        *((f"batch {size:,}, images/s", _at_batch(size)) for size in batch_sizes(load)),
        ("energy, J/image", _energy),
    ]
    rows = [[show(one) for _, show in columns] for one in ones]
    kept = [index for index in range(len(columns)) if any(row[index].text != "–" for row in rows)]
    return Table(
        load.setting,
        ["backend, track", *(columns[index][0] for index in kept)],
        [
            [Cell(one.backend, one.track, kind="name"), *(row[index] for index in kept)]
            for one, row in zip(ones, rows, strict=True)
        ],
        frozenset(range(1, len(kept) + 1)),
    )


def batch_sizes(load: Workload) -> list[int]:
    """Batch sizes that inference was measured at, ascending."""
    names = {name for standing in load.standings for name in standing.contestant.record["metrics"]}
    found = (name.removeprefix(f"{INFERENCE}_b") for name in names if name.startswith(f"{INFERENCE}_b"))
    return sorted(int(size) for size in found if size.isdigit())


def breakeven_table(start: Start, epoch: Epoch | None) -> Table:
    """Each meeting in its words."""
    rows = []
    for meeting in start.meetings:
        found = meeting.found
        met = math.isfinite(found.images.value)
        images = split(text.quantity(found.images)) if met else ("–", "")
        row = [
            Cell(meeting.a.name, kind="name"),
            Cell(meeting.b.name, kind="name"),
            Cell(_outcome(meeting)),
            Cell(*images),
        ]
        if epoch:
            row.append(Cell(text.significant(found.epochs(epoch.size).value, 2) if met else "–"))
        rows.append([*row, Cell(text.seconds(found.seconds)), Cell(str(found.rounds))])
    columns = ["contestant", "against", "outcome", "images"]
    columns += [f"epochs of {epoch.dataset}"] if epoch else []
    columns += ["at", "n"]
    return Table(start.load.setting, columns, rows, frozenset(range(3, len(columns))))


def reach_table(found: Race) -> Table:
    """A row for each contestant; for each target when, and after how many epochs."""
    rows, kinds = [], []
    for attempt in found.attempts:
        one = attempt.contestant
        row = [Cell(one.backend, f"{one.track}; {attempt.network}", kind="name")]
        for index in range(len(found.targets)):
            row += _reached(attempt, index)
        seeds = attempt.reaches[0].seeds if attempt.reaches else 0
        rows.append([*row, Cell(f"{text.fixed(attempt.best)} dB"), Cell(str(attempt.epochs)), Cell(str(seeds))])
        kinds.append("leader" if attempt is found.winner else "")
    columns = ["contestant, network"]
    for target in found.targets:
        columns += [f"to {target} dB", "after epoch"]
    columns += ["highest", "of epochs", "seeds"]
    caption = f"Time to PSNR: {found.condition}, {found.images:,} training images an epoch"
    return Table(caption, columns, rows, frozenset(range(1, len(columns))), kinds)


def _reached(attempt: Attempt, index: int) -> list[Cell]:
    """Seconds from nothing, and the epoch, with what the trial's own clock said."""
    found, time = attempt.reaches[index], attempt.expected[index]
    epochs = found.typical_epochs
    if epochs is None:
        some = f"{len(found.epochs)} of {text.count(found.seeds, 'seed')} did" if found.epochs else ""
        return [Cell("not reached", some), Cell("–")]
    notes = []
    if found.epochs[0] < found.epochs[-1]:
        notes.append(f"{found.epochs[0]:g} to {found.epochs[-1]:g}")
    if len(found.epochs) < found.seeds:
        notes.append(f"{len(found.epochs)} of {found.seeds} seeds")
    if attempt.own and found.typical_seconds is not None:
        notes.append(f"{text.seconds(found.typical_seconds)} in its trial")
    when = Cell("–") if time is None else Cell(text.seconds(time.value), _ends(time, text.seconds))
    return [when, Cell(f"{epochs:g}", "; ".join(notes))]


def _ends(value: Interval, write: Callable[[float], str]) -> str:
    return f"[{write(value.low)}, {write(value.high)}]" if value.known else ""


def _outcome(meeting: Meeting) -> str:
    return {
        "overtakes": "overtakes it",
        "overtaken": "is overtaken",
        "always": "ahead from the start",
        "never": "never ahead",
        "undecided": "rates not told apart" if meeting.found.rounds > 1 else "unknown: one fresh process each",
    }[meeting.found.kind]


def _rank(standing: Standing, load: Workload) -> str:
    tied = sum(other.rank == standing.rank for other in load.ranked) > 1
    return f"{standing.rank}{'=' if tied else ''}" if standing.rank else "–"


def _share(standing: Standing) -> Cell:
    share = standing.share
    if share.value == 1.0 and share.low == 1.0:
        return Cell("fastest")
    if not math.isfinite(share.value):
        return Cell("–")
    figure, bracket = split(text.ratio(share))
    # Of a lower rank too: it shares that of another one, from which it is not told apart either.
    apart = not (standing.rank == 1 or share.includes(1.0))
    verdict = f"no difference within {100 * MARGIN:g} %" if standing.same else "" if apart else "not told apart"
    return Cell(figure, "; ".join(filter(None, [bracket, verdict])))


def _track_and_doubt(one: Contestant) -> str:
    notes = [one.track]
    if one.steady == "slowdown":
        notes.append("slows down while it runs")
    return "; ".join([*notes, f"not ranked: {one.doubt}"] if one.doubt else notes)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{text.significant(100 * share, 2)} %"


def _steps(one: Contestant) -> Cell:
    """Median over short blocks, and the middle 90 % of them below; without such blocks the mean step."""
    value = _either(one, "train_step_seconds_p50", "train_step_seconds").value
    if not math.isfinite(value):
        return Cell("–")
    low, high = (one.metric(f"train_step_seconds_p{percent}").value for percent in ("05", "95"))
    note = f"{_thousandths(low)} to {_thousandths(high)}" if math.isfinite(low) and math.isfinite(high) else "mean"
    return Cell(_thousandths(value), note)


def _either(one: Contestant, name: str, other: str) -> Interval:
    """A figure, or where a record is older than it another."""
    found = one.metric(name)
    return found if math.isfinite(found.value) else one.metric(other)


def _thousandths(seconds: float) -> str:
    return text.significant(seconds * 1e3)


def _milliseconds(value: Interval) -> Cell:
    if not math.isfinite(value.value):
        return Cell("–")
    return Cell(_thousandths(value.value), _ends(value, _thousandths))


def _at_batch(size: int) -> Callable[[Contestant], Cell]:
    return lambda one: Cell(*split(text.quantity(one.metric(f"{INFERENCE}_b{size}"))))


def _energy(one: Contestant) -> Cell:
    joules = one.metric("train_joules_per_sample")
    if math.isfinite(joules.value):
        return Cell(*split(text.quantity(joules)))
    return Cell("–")


def _steadiness(one: Contestant) -> Cell:
    return Cell(STEADY_NAMES.get(one.steady, printable(one.steady))) if one.steady else Cell("–")


def _disturbed(one: Contestant) -> Cell:
    blocks = [
        bool(block.get("disturbed"))
        for entry in one.record["samples"]["rounds"]
        for block in (entry.get("conditions") or {}).get("train") or []
    ]
    return Cell(f"{sum(blocks)} of {len(blocks)}") if blocks else Cell("–")


def energy_notes(loads: Sequence[Workload]) -> list[str]:
    """Why energy is not among the figures, each reason once; empty where it was measured or nobody asked."""
    said: dict[str, Any] = {}
    for load in loads:
        for standing in load.standings:
            energy = standing.contestant.record.get("energy")
            if energy and energy != "measured":
                said[printable(energy).removeprefix("unavailable: ")] = None
    return list(said)
