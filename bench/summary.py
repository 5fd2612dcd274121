"""From the rounds of a timing session to the figures of a record: metrics, steady state, energy, warnings.

Nothing is measured here: what one process measured is an entry of ``rounds`` (see results/README.md), and what one
process says about a rate is in :mod:`results.rates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from results.rates import RateKind

Round = dict[str, Any]

KINDS: tuple[RateKind, ...] = ("train", "inference")
BUSY_CORES = 0.25
"""More than this going on beside us deserves a warning."""
P99_CALLS = 100
"""Single images from which a 99th percentile is taken: with fewer, it would be the largest."""
STEP_BLOCKS = 20
"""Short blocks from which the distribution of step times is taken: as many as a 5th percentile needs."""
CLOCK_SHARE = 1e-3
"""A latency that is not this many times as long as timing nothing carries a warning."""


def summarise(rounds: Sequence[Round], *, batch_size: int, step_flops: int) -> dict[str, float]:
    """Metrics of a timing record: medians over processes with intervals, from what each process measured.

    ``batch_size``: images in a step of training.  ``step_flops``: floating-point operations of one image in it, forward
    and backward.
    """
    import numpy as np

    from results.cold import cold_metrics
    from results.rates import call_overhead, rate
    from results.statistics import over_processes

    metrics = cold_metrics(rounds)
    for kind in KINDS:
        metrics |= over_processes(f"{kind}_samples_per_second", [f for r in rounds if (f := rate(r, kind))])
    metrics |= _by_batch_size(batch_size, rounds, metrics)
    metrics |= _latencies(rounds)
    for name in ("peak_memory_bytes", "peak_device_bytes"):
        sizes = [r[name] for r in rounds if r.get(name) is not None]
        if sizes:
            metrics[name] = float(np.median(sizes))
    for kind in KINDS:
        if overheads := [found for r in rounds if (found := call_overhead(r, kind)) is not None]:
            metrics[f"{kind}_call_seconds"] = float(np.median(overheads))
    metrics |= _steps(batch_size, rounds, metrics["train_samples_per_second"])
    joules = [r["energy"]["joules"] / r["energy"]["samples"] for r in rounds if "joules" in r.get("energy", {})]
    metrics |= over_processes("train_joules_per_sample", joules)
    metrics["train_gflops"] = metrics["train_samples_per_second"] * step_flops / 1e9
    metrics["staged_samples"] = rounds[0]["staged_samples"]
    return metrics


def steady_states(rounds: Sequence[Round]) -> dict[str, str]:
    """What the contestant did, by kind of work, from what each of its processes did (``steady`` of a record)."""
    from results.steady import Steadiness, combine

    found: dict[str, list[Steadiness]] = {}
    for entry in rounds:
        for kind, state in entry.get("steady", {}).items():
            found.setdefault(kind, []).append(Steadiness(state["kind"], state["start"], state["level"] or 0.0))
    return {kind: combine(states) for kind, states in found.items()}


def energy_state(rounds: Sequence[Round]) -> str:
    """ "measured", or "unavailable: why" (``energy`` of a record)."""
    for entry in rounds:
        if "joules" in entry.get("energy", {}):
            return "measured"
    reasons = [entry["energy"]["unavailable"] for entry in rounds if "energy" in entry]
    return f"unavailable: {reasons[0] if reasons else 'not asked for (timing.energy is false)'}"


def classified(entry: Round) -> Round:
    """``entry`` with what its series say: ``steady`` of the settle series, and the warm-up blocks of the others."""
    from results.rates import undisturbed_settle
    from results.statistics import warmup_blocks
    from results.steady import classify

    for kind, name in (("train", "warmup_blocks"), ("inference", "inference_warmup_blocks")):
        if kind in entry:
            entry[name] = warmup_blocks([seconds / samples for samples, seconds in entry[kind]])
    for kind, blocks in entry.get("settle", {}).items():
        left = undisturbed_settle(entry)
        state = classify([blocks[index][1] / blocks[index][0] for index in left])
        start = left[state.start] if state.start < len(left) else len(blocks)
        level = state.level if state.level > 0 else None  # NaN of a series without blocks
        entry.setdefault("steady", {})[kind] = {"kind": state.kind, "start": start, "level": level}
    return entry


def warnings(rounds: Sequence[Round], metrics: dict[str, float]) -> list[str]:
    """Why the figures of these rounds should be read with care: sentences for a person."""
    from results.rates import too_disturbed

    texts = []
    if len(rounds) < 2:
        texts.append("a single process: no interval can be given")
    busiest = max((r["busy_cores"] or 0.0 for r in rounds), default=0.0)
    if busiest > BUSY_CORES:
        texts.append(f"other programs kept {busiest:.1f} cores busy when a round began")
    for kind in KINDS:
        if bad := sum(too_disturbed(entry, kind) for entry in rounds):
            texts.append(
                f"too disturbed: in {bad} of {len(rounds)} processes most {kind} blocks waited for a core that others "
                "had, or were throttled; all blocks are counted"
            )
    state = steady_states(rounds).get("train")
    if state == "no_steady_state":
        texts.append("no steady state: the speed of training kept changing, so no rate describes it")
    elif state == "inconsistent":
        texts.append("no common steady state: its processes did not behave alike, so no rate describes them")
    cost = max((entry.get("clock", {}).get("cost_seconds", 0.0) for entry in rounds), default=0.0)
    if cost > CLOCK_SHARE * metrics.get("latency_seconds", 1.0):
        texts.append(f"latency: reading the clock takes {cost * 1e6:.2g} µs of it")
    return texts


def _by_batch_size(own: int, rounds: Sequence[Round], metrics: dict[str, float]) -> dict[str, float]:
    from results.rates import rate
    from results.statistics import over_processes

    found: dict[str, float] = {}
    sizes = sorted({int(size) for entry in rounds for size in entry.get("batches", {})})
    for size in sizes:
        entries = [entry["batches"][str(size)] for entry in rounds if str(size) in entry.get("batches", {})]
        rates = [value for entry in entries if (value := rate(entry, "inference"))]
        found |= over_processes(f"inference_samples_per_second_b{size}", rates)
    if sizes:  # the cell's own, beside the others
        for end in ("", "_low", "_high"):
            if (value := metrics.get(f"inference_samples_per_second{end}")) is not None:
                found[f"inference_samples_per_second_b{own}{end}"] = value
    return found


def _latencies(rounds: Sequence[Round]) -> dict[str, float]:
    """The median over processes; and quantiles of the calls of all, for a tail is made of rare calls."""
    import numpy as np

    from results.rates import undisturbed_latencies
    from results.statistics import over_processes

    by_process = [calls for r in rounds if (calls := undisturbed_latencies(r))]
    if not by_process:
        return {}
    pooled = np.concatenate(by_process)
    found = over_processes("latency_seconds", [float(np.median(calls)) for calls in by_process])
    found["latency_p50_seconds"] = float(np.quantile(pooled, 0.5))
    found["latency_p95_seconds"] = float(np.quantile(pooled, 0.95))
    if len(pooled) >= P99_CALLS:
        found["latency_p99_seconds"] = float(np.quantile(pooled, 0.99))
    return found


def _steps(batch_size: int, rounds: Sequence[Round], rate: float) -> dict[str, float]:
    """Seconds of a training step: by the rate, and quantiles over short blocks."""
    import numpy as np

    from results.rates import step_seconds

    found = {"train_step_seconds": batch_size / rate}
    steps = [seconds for entry in rounds for seconds in step_seconds(entry, batch_size)]
    if len(steps) >= STEP_BLOCKS:
        for percent in (5, 50, 95):
            found[f"train_step_seconds_p{percent:02}"] = float(np.quantile(steps, percent / 100))
    return found
