"""Published and reproduced: what `daebench reproduce` left beside the records, as a section of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from report import pictures, reproduction_charts, text
from report.charts import Chart
from report.pictures import Group, Strip
from report.tables import Cell, Table, printable
from results.loading import Run
from results.reproduction import (
    NAMES,
    WHOLE,
    Comparison,
    Reproduction,
    ReproductionError,
    Row,
    StressStep,
    read,
)

JUDGED = ("reproduced", "differs")
RATIO = "cpu_over_gpu"
MACHINES = (RATIO, "epoch_seconds")


@dataclass(frozen=True)
class Found:
    """All documents of a run's folders.  ``notes``: those that could not be read, and why."""

    documents: tuple[tuple[Path, Reproduction], ...]
    notes: tuple[str, ...]

    @property
    def comparisons(self) -> list[Comparison]:
        return [one for _, document in self.documents for one in document.comparisons]


@dataclass(frozen=True)
class Trained:
    """A variant on a backend and device, as the page shows it."""

    title: str
    about: str
    known: list[str]
    troubles: list[str]
    speed: str
    table: Table
    losses: Chart | None
    stress_note: str
    stress_missing: list[str]
    stress: tuple[list[Chart], Table] | None
    stress_pictures: Group | None


@dataclass(frozen=True)
class Section:
    """One recipe."""

    name: str
    title: str
    source: str
    data: str
    says: list[str]
    choices: list[str]
    ratio: list[str]
    margin: str
    trained: list[Trained]
    psnr: Chart | None
    pictures: list[Group]

    @property
    def charts(self) -> list[Chart]:
        """All of the recipe."""
        found = [self.psnr] if self.psnr else []
        for one in self.trained:
            found += [one.losses] if one.losses else []
            found += one.stress[0] if one.stress else []
        return found


def found_in(run: Run) -> Found:
    """The documents of all folders of ``run``; what is broken or of another version becomes a note."""
    documents: list[tuple[Path, Reproduction]] = []
    notes = []
    for folder in run.folders or (run.folder,):
        try:
            document = read(folder)
        except ReproductionError as error:
            notes.append(f"Published against measured is left out: {printable(error)}.")
            continue
        if document is not None:
            documents.append((Path(folder), document))
    return Found(tuple(documents), tuple(notes))


def sections(run: Run, found: Found) -> list[Section]:
    """A section for each recipe, in the order of the documents."""
    names = list(dict.fromkeys(one.recipe for one in found.comparisons))
    made = []
    number = 0
    for index, name in enumerate(names):
        first = next(document for _, document in found.documents if name in document.recipes)
        about, about_margin = first.recipes[name], first.margin
        own = [
            (folder, one) for folder, document in found.documents for one in document.comparisons if one.recipe == name
        ]
        own = _with_ratios(own)
        labels = _labels(own, full=True)
        trained = []
        for label, (_, one) in zip(labels, own, strict=True):
            trained.append(_trained(run, label, one, number))
            number += 1
        made.append(
            Section(
                name=printable(name),
                title=printable(about.title),
                source=printable(about.reference),
                data=printable(about.data),
                says=[printable(line) for line in about.says],
                choices=[printable(line) for line in about.choices],
                ratio=[line for _, one in own for line in _ratio_sentence(one)],
                margin=f"{100 * about_margin:.2g} %",
                trained=trained,
                psnr=reproduction_charts.psnr_chart(
                    printable(name), [(label, one) for label, (_, one) in zip(_labels(own), own, strict=True)], index
                ),
                pictures=[
                    group for label, (_, one) in zip(labels, own, strict=True) if (group := _pictures(run, label, one))
                ],
            )
        )
    return made


# -- sentences -----------------------------------------------------------------------------------------------------


def verdict_counts(comparisons: Iterable[Comparison], *, settings: bool = False) -> tuple[int, int]:
    """(results reproduced, results judged); with ``settings`` those instead, which were set and not measured."""
    verdicts = [
        row.verdict
        for one in comparisons
        for row in one.rows
        if row.verdict in JUDGED and row.published is not None and row.is_setting == settings
    ]
    return verdicts.count("reproduced"), len(verdicts)


def finding(found: Found) -> tuple[str, str] | None:
    """Headline and detail on how many of the published results came out; None without anything to say.

    Settings, such as the size of the code, are told beside it: that they agree is no result."""
    comparisons = found.comparisons
    if not comparisons:
        return None
    good, judged = verdict_counts(comparisons)
    parts: list[str] = []
    told: dict[str, None] = {}
    pairs = list(zip(_labels([(folder, one) for folder, d in found.documents for one in d.comparisons], full=True),
                     comparisons, strict=True))  # fmt: skip
    for label, one in pairs:
        own_good, own = verdict_counts([one])
        last = [row for metric in dict.fromkeys(row.metric for row in one.rows) if (row := _last(one, metric))]
        differing = list(map(_away, last))
        if differing:
            reasons = dict.fromkeys(printable(row.known) for row in last if row.known)
            known = "".join(f" ({reason})" for reason in reasons if reason not in told)
            told |= reasons
            share = f", {own_good} of {own} reproduced" if len(pairs) > 1 and own else ""
            parts.append(f"{label} differs by {text.listing(differing)}{share}{known}")
    whole = [label for label, one in pairs if (said := _published(one)) and set(said) == {"reproduced"}]
    if whole:
        parts.append(f"in full: {text.listing(whole)}")
    others = Counter(verdict for one in comparisons for verdict in _published(one) if verdict not in JUDGED)
    if others:
        listed = text.listing([f"{number} {verdict}" for verdict, number in others.items()])
        parts.append(f"of the others, {listed}" if judged else listed)
    equal, settings = verdict_counts(comparisons, settings=True)
    if settings:
        parts.append(f"settings of the network, which are no results: {equal} of {settings} as published")
    if not judged:
        given = any(_published(one) for one in comparisons)
        what = "No published result can be judged by what was run" if given else "No result was published to judge"
        return what, "; ".join(parts)
    judgeable = " that can be judged" if others else ""
    verb = "is" if judged == 1 else "are"
    headline = f"{good} of {text.count(judged, 'published result')}{judgeable} {verb} reproduced"
    return headline, "; ".join(parts)


def _published(one: Comparison) -> list[str]:
    """Verdicts on the results that the source gives, but for seconds, which belong to a machine."""
    return [
        row.verdict
        for row in one.rows
        if row.published is not None and row.metric not in MACHINES and not row.is_setting
    ]


def _last(one: Comparison, metric: str) -> Row | None:
    """The figure of ``metric`` that differs, of the latest epoch."""
    rows = [row for row in one.rows if row.metric == metric and row.verdict == "differs" and row.measured is not None]
    return max(rows, key=lambda row: row.epoch or 0, default=None)


def _away(row: Row) -> str:
    """How far it is from the published one: "+5.0 % (train loss, epoch 50)"."""
    published = float(row.published or "nan")
    share = f"{text.signed(100 * (row.measured / published - 1), 1)} %" if row.measured and published else "another"
    return f"{share} ({figure_name(row)})"


def _ratio_sentence(one: Comparison) -> list[str]:
    rows = [row for row in one.rows if row.metric == RATIO and row.measured is not None]
    return [
        f"{one.backend}: an epoch takes the CPU {text.significant(row.measured or 0.0)} times as long as the GPU; "
        f"published was a factor of {row.published}."
        for row in rows
    ]


def _speed_sentence(one: Comparison) -> str:
    if one.epoch_seconds is None:
        return ""
    how = "timed alone" if one.timed else "the trials' own clocks, which other trials may have slowed"
    said = f"An epoch of {one.samples:,} images takes {text.seconds(one.epoch_seconds)} ({how})"
    if one.published_seconds is None:
        return f"{said}."
    epochs = text.count(one.published_epochs, "published epoch")
    data = " on all of the data" if one.fraction < 1 else ""
    return f"{said}; at that rate {'the' if one.published_epochs > 1 else 'the one'} {epochs}{data} take" + (
        f"{'s' if one.published_epochs == 1 else ''} {duration(one.published_seconds)}."
    )


def duration(seconds: float) -> str:
    """ "43 h", "2.2 h", "12.0 min"."""
    return f"{text.significant(seconds / 3600, 2)} h" if seconds >= 2 * 3600 else text.seconds(seconds)


def _title(label: str, one: Comparison) -> str:
    seeds = text.count(one.seeds, "seed")
    epochs = f"{one.epochs} of {one.published_epochs} epochs"
    data = f", {one.fraction:.2g} of the data" if one.fraction < 1 else ""
    return f"{label} ({seeds}, {epochs}{data})"


def _labels(own: Sequence[tuple[Path, Comparison]], *, full: bool = False) -> list[str]:
    """What tells comparisons apart: the variant, and whatever else differs.  ``full``: with the recipe."""
    backends = {(one.backend, one.device) for _, one in own}
    labels = []
    for _, one in own:
        parts = [one.recipe] if full else []
        variants = {other.variant for _, other in own if other.recipe == one.recipe}
        parts += [one.variant] if len(variants) > 1 or not full else []
        parts += [one.backend, one.device] if len(backends) > 1 else []
        labels.append(printable(" ".join(parts)))
    twice = {label for label in labels if labels.count(label) > 1}
    return [
        f"{label} [{printable(folder.resolve().name)}]" if label in twice else label
        for label, (folder, _) in zip(labels, own, strict=True)
    ]


# -- one training --------------------------------------------------------------------------------------------------


def _trained(run: Run, label: str, one: Comparison, number: int) -> Trained:
    stress = one.stress
    shown = stress is not None and bool(stress.steps)
    charts = [chart for chart in reproduction_charts.stress_charts(label, one, number) if chart] if shown else []
    note = ""
    if stress and stress.steps:
        over = f"over {text.count(stress.networks, 'seed')}" if stress.over == "seeds" else "over images"
        note = (
            f"Ever worse noise than in training: {stress.images} test images at every step of the published sweep, "
            f"intervals {over}."
        )
    return Trained(
        title=_title(label, one),
        about=printable(one.about),
        known=list(dict.fromkeys(printable(row.known) for row in one.rows if row.known)),
        troubles=[printable(line) for line in one.troubles],
        speed=_speed_sentence(one),
        table=figure_table(label, one),
        losses=reproduction_charts.loss_chart(label, one, number),
        stress_note=note,
        stress_missing=[printable(line) for line in stress.missing] if stress else [],
        stress=(charts, stress_table(label, stress.steps)) if stress and stress.steps else None,
        stress_pictures=_stress_pictures(run, label, one),
    )


def figure_name(row: Row) -> str:
    """ "train loss, epoch 5"."""
    name = NAMES.get(row.metric, printable(row.metric).replace("_", " "))
    return name if row.epoch is None else f"{name}, epoch {row.epoch}"


def figure_table(label: str, one: Comparison) -> Table:
    """Published, measured with the interval, and the verdict."""
    rows = []
    for row in one.rows:
        if row.verdict == "not reached":
            continue
        kind = {"reproduced": "" if row.is_setting else "good", "differs": "bad"}.get(row.verdict, "")
        rows.append(
            [
                Cell(figure_name(row), kind="name"),
                Cell(printable(row.published) if row.published is not None else "–"),
                Cell(
                    _number(row.measured), f"[{_number(row.low)}, {_number(row.high)}]" if row.low is not None else ""
                ),
                Cell(_verdict(row), kind=kind),
            ]
        )
    for metric in dict.fromkeys(row.metric for row in one.rows if row.verdict == "not reached"):
        later = [str(row.epoch) for row in one.rows if (row.metric, row.verdict) == (metric, "not reached")]
        name = f"{printable(metric).replace('_', ' ')}, epoch{'s' * (len(later) > 1)} {', '.join(later)}"
        why = f"not reached: {text.count(one.epochs, 'epoch')} {'was' if one.epochs == 1 else 'were'} run"
        rows.append([Cell(name, kind="name"), Cell(""), Cell(""), Cell(why)])
    columns = ["figure", "published", "measured", "verdict"]
    return Table(f"{label}: published and measured", columns, rows, frozenset((1, 2)))


def _verdict(row: Row) -> str:
    if row.is_setting and row.verdict in JUDGED:
        return "as published (a setting)" if row.verdict == "reproduced" else "not as published (a setting)"
    why = printable(row.why)
    if row.verdict not in JUDGED:
        return f"{row.verdict}: {why}" if why else row.verdict
    why = why.replace("-", text.MINUS).replace("%", " %")
    return (f"differs by {why}" if row.verdict == "differs" else f"reproduced ({why})") if why else row.verdict


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= WHOLE or value.is_integer() else text.significant(value, 4)


def stress_table(label: str, steps: Sequence[StressStep]) -> Table:
    """Every step: PSNR and SSIM of the noisy and of the denoised images, and the gains."""
    rows = []
    for step in steps:
        exact = step.psnr_gain[0] is None
        rows.append(
            [
                Cell(printable(step.corruption), kind="name"),
                Cell("exact" if exact else text.fixed(step.psnr_noisy)),
                _span_cell(step.psnr, 2, sign=False),
                Cell("–") if exact else _span_cell(step.psnr_gain, 2),
                Cell(text.fixed(step.ssim_noisy, 3)),
                _span_cell(step.ssim, 3, sign=False),
                _span_cell(step.ssim_gain, 3),
            ]
        )
    columns = ["noise", "noisy, dB", "denoised, dB", "gain, dB", "SSIM, noisy", "SSIM, denoised", "gain in SSIM"]
    return Table(f"{label}: ever worse noise", columns, rows, frozenset(range(1, 7)))


def _span_cell(span: tuple[float | None, float | None, float | None], decimals: int, *, sign: bool = True) -> Cell:
    write = text.signed if sign else text.fixed
    value, low, high = span
    if value is None:
        return Cell("–")
    ends = f"[{write(low, decimals)}, {write(high, decimals)}]" if low is not None and high is not None else ""
    return Cell(write(value, decimals), ends)


# -- across comparisons --------------------------------------------------------------------------------------------


def _with_ratios(own: Sequence[tuple[Path, Comparison]]) -> list[tuple[Path, Comparison]]:
    """With the ratio of CPU and GPU where they were run apart, in folders of their own."""
    made = []
    for folder, one in own:
        processor = [
            other
            for _, other in own
            if (other.variant, other.backend, other.device) == (one.variant, one.backend, "cpu") and other.epoch_seconds
        ]
        rows = one.rows
        if processor and one.epoch_seconds and one.device != "cpu":
            # Per image: the folders may hold different shares of the data.
            other = processor[0]
            ratio = (other.epoch_seconds or 0.0) / other.samples / (one.epoch_seconds / one.samples)
            rows = tuple(
                replace(row, measured=ratio, verdict="not comparable", why="another machine")
                if row.metric == RATIO and row.measured is None
                else row
                for row in rows
            )
        made.append((folder, replace(one, rows=rows)))
    return made


# -- pictures ------------------------------------------------------------------------------------------------------


def _pictures(run: Run, label: str, one: Comparison) -> Group | None:
    values = {row.metric: row.measured for row in one.rows if row.epoch is None and row.measured is not None}
    notes = {}
    if "psnr" in values and "psnr_gain" in values:
        psnr, gain = values["psnr"], values["psnr_gain"]
        notes = {
            "noisy": f"{text.fixed(psnr - gain)} dB",
            "denoised": f"{text.fixed(psnr)} dB ({text.signed(gain)})",
        }
    return _group(run, label, one.pictures, notes)


def _stress_pictures(run: Run, label: str, one: Comparison) -> Group | None:
    if one.stress is None or not one.stress.steps:
        return None
    first, last = (reproduction_charts.step_name(one.stress.steps[index].levels) for index in (0, -1))
    title = printable(f"{label}: test image {one.stress.image}, from {first} to {last}")
    return _group(run, title, one.stress.pictures, {})


def _group(run: Run, title: str, paths: Mapping[str, str], notes: Mapping[str, str]) -> Group | None:
    strips: list[Strip] = []
    for name in ("clean", "noisy", "denoised"):
        path = paths.get(name)
        strip = pictures.strip(run, name, notes.get(name, ""), path) if path else None
        strips += [strip] if strip else []
    return Group(title, tuple(strips)) if strips else None
