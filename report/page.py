"""The page: sections filled from an analysis, charts drawn, everything put into one file.

The same records give the same bytes: nothing here asks for the time, makes an id at random or walks a set.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from report import (
    charts,
    codes,
    curve_charts,
    facts,
    native,
    pictures,
    proof_tables,
    quality_tables,
    reproduction,
    robustness,
    tables,
    text,
    timing_charts,
    timing_tables,
    tracks,
)
from report.advice import Advice
from report.analysis import Analysis, Scored, analyse
from report.charts import Chart
from report.sentences import ADVICE, Finding, findings, lead_sentence
from report.speed import Workload
from report.tables import Table
from report.tradeoff import Panel, frontier, panels
from report.yardstick_views import free_table, worth_charts, worth_table
from results.loading import Run

TEMPLATES = Path(__file__).with_name("templates")


@dataclass
class Page:
    """What the template fills in; every list may be empty, and its section then says so or is left out."""

    title: str
    name: str
    description: str
    summary: str
    unfinished: str
    """How much of what was planned is not done, and why; "" where all is."""
    findings: list[Finding]
    facts: list[tuple[str, str]]
    advices: list[tuple[str, Advice]] = field(default_factory=list)
    """Recommendations with the data set that they are for, which is named where there are several."""
    reproductions: list[reproduction.Section] = field(default_factory=list)
    reproduction_notes: tuple[str, ...] = ()
    speed: list[tuple[Workload, Chart, Table]] = field(default_factory=list)
    unmeasured: list[Workload] = field(default_factory=list)
    gains: Table | None = None
    peaks: Table | None = None
    details: list[Table] = field(default_factory=list)
    batches: list[Chart] = field(default_factory=list)
    energy: list[str] = field(default_factory=list)
    cold: list[tuple[Chart, Table]] = field(default_factory=list)
    never_first: str = ""
    """Workloads that no process was given first, and so without cold costs."""
    started_together: bool = False
    starts: list[tuple[Chart, Table, str]] = field(default_factory=list)
    epoch: str = ""
    races: list[Table] = field(default_factory=list)
    quality: list[Chart] = field(default_factory=list)
    quality_tables: list[tuple[Table, Table]] = field(default_factory=list)
    """Of each set of images its scores, and how the networks stand."""
    seeds: int = 0
    uncertain: str = ""
    agreement: Table | None = None
    free: Table | None = None
    worth: Table | None = None
    asked_for_yardsticks: bool = False
    worth_charts: list[Chart] = field(default_factory=list)
    robustness: robustness.View | None = None
    codes: codes.View | None = None
    native: native.View | None = None
    frontiers: list[tuple[Chart, Table, str, bool]] = field(default_factory=list)
    curves: list[tuple[Chart, Chart]] = field(default_factory=list)
    curves_measured: bool = False
    curves_of: str = ""
    curves_flat: bool = False
    """What the mean training image scores is known."""
    crossed: bool = False
    """Some network has not learned to denoise."""
    pictures: list[pictures.Group] = field(default_factory=list)
    certificates: list[Table] = field(default_factory=list)
    audit: Table | None = None
    checks: Table | None = None
    environments: list[Table] = field(default_factory=list)
    statuses: Table | None = None
    status_line: str = ""
    missing: Table | None = None
    not_run: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    stale: Table | None = None
    sweep: str = ""
    command: str = ""

    @property
    def advice(self) -> Advice | None:
        """The only recommendation; None where there is none, or one for each of several data sets."""
        return self.advices[0][1] if len(self.advices) == 1 else None

    @property
    def prominent(self) -> bool:
        """Whether the run was made to recommend."""
        return any(one.prominent for _, one in self.advices)

    @property
    def unsteady(self) -> str:
        """How far the ends of intervals of rates are apart, where that is more than can be trusted, and in what."""
        return text.listing([f"{load.unsteady:.1f} ({load.label})" for load, _, _ in self.speed if load.unsteady])

    def charts(self) -> list[Chart]:
        """All charts, in the order of the page."""
        found = [chart for section in self.reproductions for chart in section.charts]
        found += [chart for _, chart, _ in self.speed] + self.batches + [chart for chart, _ in self.cold]
        found += [chart for chart, _, _ in self.starts] + self.quality + self.worth_charts
        found += (self.robustness.charts if self.robustness else []) + (self.codes.charts if self.codes else [])
        found += self.native.charts if self.native else []
        found += [frontier[0] for frontier in self.frontiers]
        return found + [chart for pair in self.curves for chart in pair]


def make_page(run: Run, analysis: Analysis | None = None) -> Page:
    """Everything the report of ``run`` shows; ``analysis`` is that of the run, if it is there already."""
    analysis = analysis or analyse(run)
    about = run.about
    name = tables.printable(about.get("name") or run.folder.name)
    page = Page(
        title=f"daebench: {name}",
        name=name,
        description=tables.printable(about.get("description") or ""),
        summary=facts.summary(run, analysis.given),
        unfinished=analysis.done.sentence,
        findings=[finding for finding in findings(analysis) if finding.topic != ADVICE],
        advices=[(one.data.label, one.advice) for one in analysis.sets if one.advice],
        facts=facts.fact_sheet(run),
        sweep=tables.printable(json.dumps(about.get("sweep", {}), indent=1, ensure_ascii=False)),
        command=tables.printable(about.get("command") or ""),
        status_line=facts.status_line(run),
        not_run=facts.not_run(run),
        warnings=facts.warnings(run),
        errors=tables.errors(run),
    )
    page.reproductions = reproduction.sections(analysis.run, analysis.reproduced)
    page.reproduction_notes = analysis.reproduced.notes
    _speed(page, analysis)
    _quality(page, analysis)
    page.free, page.worth = _filled(free_table(analysis.worths)), _filled(worth_table(analysis.worths))
    page.asked_for_yardsticks = any(one.classical or one.linear for one in analysis.worths)
    page.worth_charts = worth_charts(analysis.worths)
    page.native = native.view(run, analysis.native)
    page.robustness = robustness.view(analysis.matrices)
    page.codes = codes.view(analysis.judged, [(one.data.label, one.judged) for one in analysis.sets])
    _tradeoff(page, analysis)
    _proof(page, analysis)
    page.environments = [facts.environment_table(key, value) for key, value in facts.environments(run).items()]
    page.statuses = tables.status_table(run.current)
    page.missing = _filled(tables.missing_table(run))
    page.stale = _filled(tables.stale_table(run.stale))
    page.pictures = [
        replace(group, title=one.data.told(group.title))
        for one in analysis.sets
        for group in pictures.groups(one.data.run)
    ]
    return page


def _speed(page: Page, analysis: Analysis) -> None:
    measured = [load for load in analysis.loads if load.standings]
    page.speed = [
        (load, charts.speed_chart(load, index), timing_tables.speed_table(load, analysis.run.about))
        for index, load in enumerate(measured)
    ]
    page.gains = tracks.gains_table(analysis.gains) if len(analysis.gains) > 1 else None
    page.peaks = _filled(timing_tables.peaks_table(analysis.run))
    page.details = [table for load in measured if len((table := timing_tables.detail_table(load)).columns) > 1]
    batches = [timing_charts.batch_chart(load, index) for index, load in enumerate(measured)]
    page.batches = [chart for chart in batches if chart]
    page.energy = timing_tables.energy_notes(measured)
    page.cold = [
        (charts.cold_chart(load, index), timing_tables.cold_table(load))
        for index, load in enumerate(measured)
        if load.has_cold_costs
    ]
    page.never_first = text.listing([load.label for load in measured if not load.has_cold_costs])
    page.started_together = any(load.started_together for load in measured)
    epoch = analysis.epoch
    page.epoch = f"{epoch.size:,} images of {epoch.dataset}" if epoch else ""
    page.starts = [
        (
            timing_charts.start_chart(start, index, epoch),
            timing_tables.breakeven_table(start, epoch),
            lead_sentence(start, epoch),
        )
        for index, start in enumerate(analysis.starts)
    ]
    page.races = [timing_tables.reach_table(one.race) for one in analysis.sets if one.race]
    page.unmeasured = [load for load in analysis.loads if not load.standings]


def _quality(page: Page, analysis: Analysis) -> None:
    found = analysis.agreed
    left_out = text.count(found.uncertain, "trial")
    page.uncertain = f"Left out: {left_out} by backends whose certificate failed." if found.uncertain else ""
    page.seeds = len(found.seeds)
    page.crossed = not all(one.trained for one in found.learned.values())
    page.agreement = _filled(quality_tables.agreement_table(found))
    for number, one in enumerate(analysis.sets):
        scored = one.quality
        if not scored.scores:
            continue
        shown = [charts.quality_chart(scored), *([latent] if (latent := charts.latent_chart(scored)) else [])]
        page.quality += [_named(chart, one, number) for chart in shown]
        tables_of = quality_tables.quality_table(scored), quality_tables.standings_table(scored)
        first, second = (replace(table, caption=_titled(table.caption, one)) for table in tables_of)
        page.quality_tables.append((first, second))


def _named(chart: Chart, one: Scored, number: int) -> Chart:
    """``chart`` under a name of its own, and with the data set that it is about, where there are several."""
    if not one.data.label:
        return chart
    return replace(chart, name=f"{chart.name}-of-{number}", title=_titled(chart.title, one))


def _titled(title: str, one: Scored) -> str:
    return f"{one.data.label}: {title}" if one.data.label else title


def _tradeoff(page: Page, analysis: Analysis) -> None:
    shown: list[Panel] = []
    for number, one in enumerate(analysis.sets):
        points, basis = frontier(one.data.run, analysis.loads, analysis.distrusted)
        if points:
            borrowed = not all(point.own for point in points)
            chart, table = _named(charts.frontier_chart(points), one, number), tables.frontier_table(points)
            table = replace(table, caption=_titled(table.caption, one))
            page.frontiers.append((chart, table, one.data.told(basis) if one.data.label else basis, borrowed))
        panes = panels(one.data.run, analysis.loads, analysis.distrusted)
        shown += [replace(pane, title=_titled(pane.title, one)) for pane in panes]
    page.curves_measured = any(panel.measured for panel in shown)
    page.curves_of = text.listing(sorted({panel.images for panel in shown}, reverse=True))
    page.curves_flat = any(panel.mean_image is not None for panel in shown)
    page.curves = [
        (curve_charts.curve_chart(panel, index, "epochs"), curve_charts.curve_chart(panel, index, "seconds"))
        for index, panel in enumerate(shown)
    ]


def _proof(page: Page, analysis: Analysis) -> None:
    if analysis.proof.records:
        wanted = [proof_tables.certificate_table(analysis.proof), proof_tables.departure_table(analysis.proof)]
        page.certificates = [table for table in wanted if table.rows]
        page.audit = _filled(proof_tables.synchronisation_table(analysis.proof))
        page.checks = proof_tables.checks_table(analysis.proof)


def _filled(table: Table) -> Table | None:
    return table if table.rows else None


def render(page: Page) -> str:
    """The HTML of ``page``, all in one: styles, scripts, charts and pictures."""
    return filled("report.html.j2", page.charts(), page=page)


def filled(template: str, shown: Sequence[Chart], **parts: Any) -> str:
    """``template`` with ``parts`` and all that a page with the charts ``shown`` needs to stand alone."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    # A page without charts needs none of the 0.9 MB that draw them.
    library = _chart_library() if shown else ""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        **parts,
        stills={chart.name: Markup(chart.still()) for chart in shown},
        specs=Markup(embedded_json({chart.name: chart.spec for chart in shown})),
        library=Markup(embedded_script(library)),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
    )


@cache
def _chart_library() -> str:
    """The JavaScript that draws charts.  Bundling it takes 1.6 s, and it is the same for all pages."""
    import vl_convert

    version = charts.vega_lite_version()
    bundle: str = vl_convert.javascript_bundle(**({"vl_version": version} if version else {}))
    return bundle


def embedded_json(value: Any) -> str:
    """JSON that can stand inside a <script>: no text in it can end the element or begin a comment."""
    data = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def embedded_script(source: str) -> str:
    """JavaScript that can stand inside a <script>; in strings and patterns the backslash changes nothing."""
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")
