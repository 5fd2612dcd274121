"""Figures in the formats of tools that track them: pytest-benchmark, github-action-benchmark, Bencher.

None of these tools takes part in a verdict: they get levels (and, where they have a place for it, intervals), of a
run or of the head of a comparison.  Their formats, as their own documentation or source has them:

* ``pytest-benchmark``: the JSON of ``pytest --benchmark-json``, read by ``pytest-benchmark compare``.  It holds times
  alone: seconds an image, one round a process.  PSNR has no place in it.
* ``github-smaller-is-better``, ``github-bigger-is-better``: the arrays for ``tool: customSmallerIsBetter`` (times)
  and ``tool: customBiggerIsBetter`` (rates, PSNR) of github-action-benchmark.
* ``bencher``: Bencher Metric Format, https://bencher.dev/docs/reference/bencher-metric-format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from bench.compare.matching import Labels, labels_of
from bench.words import one_of
from results.comparison import METRICS, Comparison, Metric, Row
from results.completeness import completeness
from results.convergence import state
from results.loading import Run
from results.rates import rate, undisturbed_latencies
from results.statistics import Interval, mean_interval, median_interval

Format = Literal["pytest-benchmark", "github-smaller-is-better", "github-bigger-is-better", "bencher"]
FORMATS: tuple[Format, ...] = get_args(Format)

PYTEST_BENCHMARK_VERSION = "5.1.0"
"""Of the format that is written: the first release whose fields these are, and the oldest that we ask for."""
NANOSECONDS, MICROSECONDS = 1e9, 1e6
WHISKER = 1.5
"""Interquartile ranges beyond the quartiles where an outlier begins (Tukey 1977)."""
MEASURES: Mapping[Metric, str] = {
    "train": "train-images-per-second",
    "inference": "inference-images-per-second",
    "latency": "latency",  # Bencher's own, in nanoseconds
    "psnr": "psnr-db",
}


class ExportError(ValueError):
    """A format that is not known, or that has no place for any of the figures."""


@dataclass(frozen=True)
class Figure:
    """A level of one cell.  ``level``: images/s for train and inference, seconds for latency, dB for psnr, with its
    95 % interval; ``samples``: one figure a process (psnr: a seed) in the same unit."""

    label: str
    metric: Metric
    level: Interval
    samples: tuple[float, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    learned: str = ""
    """Of a trial: the word of :func:`results.convergence.state`, where there is one."""

    @property
    def name(self) -> str:
        return f"{self.label}, {self.metric}"

    @property
    def costs(self) -> tuple[float, ...]:
        """Seconds an image, one a process."""
        return self.samples if self.metric == "latency" else tuple(1.0 / value for value in self.samples)

    @property
    def cost(self) -> Interval:
        """Seconds an image."""
        if self.metric == "latency":
            return self.level
        return Interval(1.0 / self.level.value, 1.0 / self.level.high, 1.0 / self.level.low)


@dataclass(frozen=True)
class Origin:
    """Where and with what figures were measured; empty where it is not known."""

    date: str = ""
    revision: str = ""
    dirty: bool = False
    python: str = ""
    machine: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    unfinished: str = ""
    """How much of what was planned is not done, and why; "" where all is."""


def parse_format(option: str, name: str) -> Format:
    """The format called ``name``; ExportError names those there are."""
    return one_of(option, name, FORMATS, ExportError)


def export_figures(form: Format, figures: Sequence[Figure], origin: Origin) -> Any:
    """``figures`` as JSON of ``form``; ExportError if none has a place in it."""
    writers: Mapping[Format, Callable[[], tuple[Any, int]]] = {
        "pytest-benchmark": lambda: _pytest_benchmark(figures, origin),
        "github-smaller-is-better": lambda: _github(figures, origin, smaller=True),
        "github-bigger-is-better": lambda: _github(figures, origin, smaller=False),
        "bencher": lambda: _bencher(figures),
    }
    document, kept = writers[form]()
    if not kept:
        there = ", ".join(dict.fromkeys(figure.metric for figure in figures)) or "no figure at all"
        raise ExportError(f"{form} has no place for what there is to export ({there}); choose another format")
    return document


# -- where figures come from ---------------------------------------------------------------------------------------


def figures_of_run(run: Run) -> list[Figure]:
    """Of all cells that ended ok: speeds of timings, then PSNR of trials.  Without native cells: what is tracked here
    is what this code computes, and not what a framework happens to have for defaults."""
    run = run.matched
    timings, trials = run.of("timing", "ok"), run.of("trial", "ok")
    labels = labels_of((*timings, *trials))
    found = [
        figure
        for record in timings
        for metric in METRICS
        if metric != "psnr" and (figure := _speed(record, metric, labels["timing"]))
    ]
    seeds = len({record["cell"]["seed"] for record in trials}) > 1
    for record in trials:
        cell, metrics = record["cell"], record["metrics"]
        label = labels["trial"](cell) + (f", seed={cell['seed']}" if seeds else "")
        level = Interval(*(float(metrics[name]) for name in ("psnr", "psnr_low", "psnr_high")))
        found.append(Figure(label, "psnr", level, (level.value,), cell, state(record) or ""))
    return found


def origin_of_run(run: Run) -> Origin:
    """Where most of its records were made."""
    facts = next((known for record in reversed(run.current) if (known := run.environment(record))), {})
    git = facts.get("git") or {}
    return Origin(
        date=str(run.about.get("created") or ""),
        revision=git.get("commit") or "",
        dirty=bool(git.get("dirty")),
        python=str(facts.get("python") or ""),
        machine=str(facts.get("cpu") or ""),
        environment=facts,
        unfinished=completeness(run).sentence,
    )


def figures_of_comparison(comparison: Comparison) -> list[Figure]:
    """Of the head: the levels of all rows that it was measured for."""
    return [_of_row(row) for row in comparison.rows if row.head is not None and row.head > 0]


def origin_of_comparison(comparison: Comparison) -> Origin:
    """Of the head."""
    facts = comparison.head.facts
    return Origin(
        date=comparison.started,
        revision=str(facts.get("revision") or ""),
        dirty=bool(facts.get("dirty")),
        python=str(facts.get("python") or ""),
        machine=str(facts.get("machine") or ""),
    )


def _speed(record: Mapping[str, Any], metric: Metric, labels: Labels) -> Figure | None:
    rounds = record["samples"]["rounds"]
    if metric == "latency":
        values = [float(np.median(calls)) for entry in rounds if (calls := undisturbed_latencies(entry))]
    else:
        assert metric != "psnr"
        values = [found for entry in rounds if (found := rate(entry, metric))]
    if not values:
        return None
    return Figure(labels(record["cell"]), metric, median_interval(values), tuple(values), record["cell"])


def _of_row(row: Row) -> Figure:
    samples = _samples(row) or (float(row.head or 0.0),)
    spread = mean_interval(samples) if row.metric == "psnr" or min(samples) <= 0 else median_interval(samples)
    # The level is the row's own, whatever mean of the processes that is; the interval must hold it.
    level = float(row.head or 0.0)
    interval = Interval(level, min(spread.low, level), max(spread.high, level)) if spread.known else spread
    label = row.label.removesuffix(f", {row.metric}")
    return Figure(label, row.metric, Interval(level, interval.low, interval.high), samples, row.cell)


def _samples(row: Row) -> tuple[float, ...]:
    """One level a process of the head (psnr: a seed): as a recorded comparison has them, or from the costs of the
    blocks (seconds an image) in the rounds of a live one."""
    if "rounds" in row.samples:
        costs = [float(np.median(entry["head"])) for entry in row.samples["rounds"] if entry.get("head")]
        return tuple(cost if row.metric == "latency" else 1.0 / cost for cost in costs)
    return tuple(float(value) for value in row.samples.get("head", ()))


# -- formats -------------------------------------------------------------------------------------------------------


def _pytest_benchmark(figures: Sequence[Figure], origin: Origin) -> tuple[Any, int]:
    timed = [figure for figure in figures if figure.metric != "psnr"]
    facts = origin.environment
    document = {
        "machine_info": {
            "node": "",
            "processor": origin.machine,
            "machine": str(facts.get("machine", "")),
            "python_compiler": "",
            "python_implementation": str(facts.get("implementation", "")),
            "python_implementation_version": origin.python,
            "python_version": origin.python,
            "python_build": ["", ""],
            "release": str(facts.get("release", "")),
            "system": str(facts.get("system", "")),
            "cpu": {"brand_raw": origin.machine, "count": facts.get("cores_logical")},
        },
        "commit_info": {
            "id": origin.revision or "unknown",
            "time": origin.date,
            "author_time": origin.date,
            "dirty": origin.dirty,
            "project": "daebench",
            "branch": "(unknown)",
        },
        "benchmarks": [_pytest_entry(figure, origin) for figure in timed],
        "datetime": origin.date,
        "version": PYTEST_BENCHMARK_VERSION,
    }
    return document, len(timed)


def _pytest_entry(figure: Figure, origin: Origin) -> dict[str, Any]:
    return {
        "group": figure.metric,
        "name": figure.name,
        "fullname": figure.name,
        "params": None,
        "param": None,
        "extra_info": {
            "unit": "seconds an image, a round a process",
            **figure.facts,
            **({"unfinished": origin.unfinished} if origin.unfinished else {}),
        },
        "options": {
            "disable_gc": True,
            "timer": "perf_counter",
            "min_rounds": len(figure.samples),
            "max_time": 0.0,
            "min_time": 0.0,
            "warmup": True,
        },
        "stats": _pytest_stats(np.sort(figure.costs)),
    }


def _pytest_stats(data: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    """The fields of pytest-benchmark, of sorted ``data`` (n,), seconds."""
    mean, deviation = float(data.mean()), float(data.std(ddof=1)) if len(data) > 1 else 0.0
    first, median, third = (float(value) for value in np.quantile(data, [0.25, 0.5, 0.75]))
    low, high = first - WHISKER * (third - first), third + WHISKER * (third - first)
    beyond = int(np.count_nonzero((data < low) | (data > high)))
    far = int(np.count_nonzero(np.abs(data - mean) > deviation))
    return {
        "min": float(data[0]),
        "max": float(data[-1]),
        "mean": mean,
        "stddev": deviation,
        "rounds": len(data),
        "median": median,
        "iqr": third - first,
        "q1": first,
        "q3": third,
        "iqr_outliers": beyond,
        "stddev_outliers": far,
        "outliers": f"{far};{beyond}",
        "ld15iqr": float(data[data >= low][0]),
        "hd15iqr": float(data[data <= high][-1]),
        "ops": 1.0 / mean,
        "total": float(data.sum()),
        "data": [float(value) for value in data],
        "iterations": 1,
    }


def _github(figures: Sequence[Figure], origin: Origin, *, smaller: bool) -> tuple[Any, int]:
    entries = []
    for figure in figures:
        if smaller and figure.metric != "psnr":
            entries.append(_github_entry(figure, figure.cost, MICROSECONDS, "µs/image"))
        elif not smaller and figure.metric != "latency":
            entries.append(_github_entry(figure, figure.level, 1.0, "dB" if figure.metric == "psnr" else "images/s"))
    for entry in entries:
        entry["extra"] += f"; unfinished run: {origin.unfinished}" if origin.unfinished else ""
    return entries, len(entries)


def _github_entry(figure: Figure, level: Interval, scale: float, unit: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": figure.name, "unit": unit, "value": level.value * scale}
    if level.known:
        entry["range"] = f"{level.low * scale:.6g} .. {level.high * scale:.6g}"
    what = "seed" if figure.metric == "psnr" else "process"
    number = len(figure.samples)
    plural = {"seed": "seeds", "process": "processes"}[what]
    entry["extra"] = f"{number} {what if number == 1 else plural}; range: 95 % interval"
    entry["extra"] += f"; {figure.learned}" if figure.learned else ""
    return entry


def _bencher(figures: Sequence[Figure]) -> tuple[Any, int]:
    document: dict[str, dict[str, dict[str, float]]] = {}
    for figure in figures:
        scale = NANOSECONDS if figure.metric == "latency" else 1.0
        ends = {"value": figure.level.value, "lower_value": figure.level.low, "upper_value": figure.level.high}
        metric = {name: end * scale for name, end in ends.items() if math.isfinite(end)}
        document.setdefault(figure.label, {})[MEASURES[figure.metric]] = metric
    return document, len(figures)
