"""Published against measured: one row a figure, with the interval over seeds and a verdict.

A published loss is one run's, printed with a few digits.  It counts as reproduced if the mean over our seeds is
within :data:`MARGIN` of it, or within the range where one more of our runs would be expected, half a unit of its last
printed digit added to either.  Numbers of a network must be equal (as far as they are printed): settings, which show
that the same network was trained and are counted apart.  Seconds belong to a machine: they are shown and not
judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.reproduce.recipe import CURVE_METRICS, Published, Recipe
from bench.reproduce.run import Part
from results.loading import Run
from results.reproduction import SETTINGS, About, Comparison, Reproduction, Row, Verdict
from results.schema import Record
from results.statistics import Interval, mean_interval

MARGIN = 0.03
"""Share of a published loss: what another library, initialisation or order of the data may make of it.  Between seeds
the losses of these five differ by less than 1 %; networks that learn something else differ by more than 5 %."""
SEEDS_FOR_A_RANGE = 3
"""With fewer the range of one more run is as wide as one likes: two seeds would reproduce anything."""

Place = tuple[str, str]
"""A backend and a device."""


def compare(parts: Iterable[Part], run: Run) -> list[Comparison]:
    """All variants with what ``run`` holds of them."""
    trials = {_key(record["cell"]): record for record in run.of("trial")}
    timing = {_key(record["cell"]): record for record in run.of("timing")}
    found: list[Comparison] = []
    for part in parts:
        places: list[Place] = list(dict.fromkeys((cell.backend, str(cell.device)) for cell in part.trials))
        seconds = {place: _seconds(part, place, trials, timing) for place in places}
        found += [_compare(part, place, trials, seconds) for place in places]
    return found


def trained(part: Part, place: Place, run: Run) -> list[Record]:
    """The records of the trainings of ``part`` on a backend and device that ended well, by seed."""
    trials = {_key(record["cell"]): record for record in run.of("trial", "ok")}
    cells = [cell for cell in part.trials if (cell.backend, cell.device) == place]
    return [record for cell in cells if (record := trials.get(_key(cell.axes())))]


def _key(axes: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted((name, str(value)) for name, value in axes.items()))


def _compare(
    part: Part,
    place: Place,
    trials: Mapping[Any, Record],
    seconds: Mapping[Place, tuple[Interval | None, bool]],
) -> Comparison:
    backend, device = place
    cells = [cell for cell in part.trials if (cell.backend, cell.device) == place]
    records = [record for cell in cells if (record := trials.get(_key(cell.axes())))]
    good = [record for record in records if record["status"] == "ok"]
    troubles = tuple(
        dict.fromkeys(f"{record['status']}: {record['reason']}" for record in records if record["status"] != "ok")
    )
    curves = {metric: _curve(good, metric) for metric in (*CURVE_METRICS, "psnr")}
    spent, timed = seconds[place]
    rows = [
        row
        for figure in part.recipe.published(part.variant)
        if figure.device in (None, device)
        for row in _judged(figure, part, cells[0].epochs, good, seconds, place)
    ]
    rows += _unpublished(rows, curves, good, spent)
    published_epochs = part.recipe.axes(part.variant)["epochs"]
    return Comparison(
        recipe=part.recipe.name,
        variant=part.variant.name,
        about=part.variant.about,
        backend=backend,
        device=device,
        seeds=len(good),
        epochs=cells[0].epochs,
        published_epochs=published_epochs,
        samples=part.samples,
        fraction=part.fraction,
        rows=tuple(sorted(rows, key=_order)),
        curves=curves,
        pictures=good[0].get("pictures", {}) if good else {},
        epoch_seconds=spent.value if spent else None,
        timed=timed,
        published_seconds=spent.value / part.fraction * published_epochs if spent else None,
        troubles=troubles,
    )


def _order(row: Row) -> tuple[int, int]:
    metrics = ("train_loss", "validation_loss", "psnr", "psnr_gain", "ssim", *SETTINGS, "epoch_seconds")
    return (metrics.index(row.metric) if row.metric in metrics else len(metrics), row.epoch or 0)


# -- figures -------------------------------------------------------------------------------------------------------


def _judged(
    figure: Published,
    part: Part,
    epochs: int,
    good: Sequence[Record],
    seconds: Mapping[Place, tuple[Interval | None, bool]],
    place: Place,
) -> Iterable[Row]:
    for epoch, printed in figure.figures():
        if figure.metric in SETTINGS:
            yield _explained(_network_row(figure.metric, printed, part), figure)
        elif figure.metric in CURVE_METRICS:
            yield _explained(_loss_row(figure.metric, epoch or 0, printed, part, epochs, good), figure)
        else:
            yield _speed_row(figure.metric, printed, seconds, place)


def _explained(row: Row, figure: Published) -> Row:
    return replace(row, known=figure.known) if row.verdict == "differs" else row


def _network_row(metric: str, printed: str, part: Part) -> Row:
    network = part.trials[0].make_architecture()
    match metric:
        case "latent_size":
            value = float(network.latent_size or 0)
        case "compression":
            value = math.prod(network.input_shape) / (network.latent_size or math.inf)
        case _:
            section = next((name for name in ("encoder", "decoder") if metric.startswith(name)), "")
            value = float(network.parameter_count(part=section, trainable_only="trainable" in metric))
    same = abs(value - float(printed)) <= (_half_unit(printed) if metric == "compression" else 0)
    return Row(metric, None, printed, value, None, None, "reproduced" if same else "differs")


def _loss_row(metric: str, epoch: int, printed: str, part: Part, epochs: int, good: Sequence[Record]) -> Row:
    if epoch > epochs:
        return Row(metric, epoch, printed, None, None, None, "not reached", f"{epochs} epochs were run")
    values = [point[metric] for record in good for point in record["curve"] if point["epoch"] == epoch]
    if not values:
        return Row(metric, epoch, printed, None, None, None, "not measured")
    measured = mean_interval(values)
    low, high = _ends(measured)
    if part.fraction < 1:
        why = f"{part.fraction:.0%} of the data" if part.fraction >= 0.01 else f"{part.fraction:g} of the data"
        return Row(metric, epoch, printed, measured.value, low, high, "not comparable", why)
    away = measured.value / float(printed) - 1
    verdict: Verdict = "reproduced" if reproduces(printed, measured, len(values)) else "differs"
    return Row(metric, epoch, printed, measured.value, low, high, verdict, f"{away:+.1%}")


def reproduces(printed: str, measured: Interval, runs: int) -> bool:
    """Whether the mean of ``runs`` runs agrees with a published figure, by the rule at the head of this file."""
    value = float(printed)
    allowed = MARGIN * value
    if runs >= SEEDS_FOR_A_RANGE:
        # The interval of the mean is t s / sqrt(n), the range of one more run t s sqrt(1 + 1 / n).
        allowed = max(allowed, (measured.high - measured.low) / 2 * math.sqrt(runs + 1))
    return abs(measured.value - value) <= allowed + _half_unit(printed)


def _half_unit(printed: str) -> float:
    """Half of the last digit: "0.0430" may have been anything from 0.04295 to 0.04305."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def _speed_row(metric: str, printed: str, seconds: Mapping[Place, tuple[Interval | None, bool]], place: Place) -> Row:
    here = seconds[place][0]
    other = seconds.get((place[0], "cpu"), (None, False))[0]
    if metric == "cpu_over_gpu":
        value = other.value / here.value if here and other else None
        low, high = None, None
    else:
        value = here.value if here else None
        low, high = _ends(here) if here else (None, None)
    if value is None:
        return Row(metric, None, printed, None, None, None, "not measured")
    return Row(metric, None, printed, value, low, high, "not comparable", "another machine")


def _unpublished(
    rows: Sequence[Row], curves: Mapping[str, Any], good: Sequence[Record], spent: Interval | None
) -> list[Row]:
    """What the source does not give: losses of the first and last epoch, the quality at the end, the time."""
    found = []
    given = {(row.metric, row.epoch) for row in rows}
    for metric in CURVE_METRICS:
        ends = [curves[metric][0], curves[metric][-1]] if curves[metric] else []
        for epoch, value, low, high in ends:
            if (metric, epoch) not in given:
                given.add((metric, epoch))
                found.append(Row(metric, int(epoch), None, value, low, high, "not published"))
    for metric in ("psnr", "psnr_gain", "ssim"):
        if values := [record["metrics"][metric] for record in good]:
            interval = mean_interval(values)
            found.append(Row(metric, None, None, interval.value, *_ends(interval), "not published"))
    if spent is not None and ("epoch_seconds", None) not in given:
        found.append(Row("epoch_seconds", None, None, spent.value, *_ends(spent), "not published"))
    return found


def _curve(good: Sequence[Record], metric: str) -> list[list[Any]]:
    points: dict[int, list[float]] = {}
    for record in good:
        for point in record["curve"]:
            points.setdefault(point["epoch"], []).append(point[metric])
    curve = []
    for epoch, values in sorted(points.items()):
        interval = mean_interval(values)
        curve.append([epoch, interval.value, *_ends(interval)])
    return curve


def _ends(interval: Interval) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval.known else (None, None)


def _seconds(
    part: Part, place: Place, trials: Mapping[Any, Record], timing: Mapping[Any, Record]
) -> tuple[Interval | None, bool]:
    """Seconds an epoch on this backend and device, and whether they come from a timing session."""
    for cell in part.timed:
        record = timing.get(_key(cell.axes()))
        if (cell.backend, cell.device) == place and record and record["status"] == "ok":
            rate = record["metrics"]
            ends = (rate.get("train_samples_per_second_high"), rate.get("train_samples_per_second_low"))
            low, high = (part.samples / end if end else math.nan for end in ends)
            return Interval(part.samples / rate["train_samples_per_second"], low, high), True
    spent = [
        record["curve"][-1]["seconds"] / len(record["curve"])
        for cell in part.trials
        if (cell.backend, cell.device) == place
        if (record := trials.get(_key(cell.axes()))) and record["status"] == "ok"
    ]
    # Of trials that ran side by side an interval would look like a measurement.
    return (Interval(sorted(spent)[len(spent) // 2], math.nan, math.nan) if spent else None), False


# -- as a document -------------------------------------------------------------------------------------------------


def document(recipes: Sequence[Recipe], comparisons: Sequence[Comparison]) -> Reproduction:
    """What is kept beside the records, as ``reproduction.json``."""
    about = {
        recipe.name: About(
            title=recipe.file.title,
            source=recipe.file.source,
            address=recipe.file.address,
            data=recipe.file.data,
            says=tuple(recipe.file.says),
            choices=tuple(recipe.file.choices),
        )
        for recipe in recipes
    }
    return Reproduction(margin=MARGIN, recipes=about, comparisons=tuple(comparisons))
