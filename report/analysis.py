"""Everything that a report says, aggregated once: of each set of images by itself, and of what is about none."""

from __future__ import annotations

from dataclasses import dataclass, field

from report import codes, inputs, learned, native, reproduction, robustness, yardsticks
from report.advice import Advice, advise
from report.certification import Certification, certification
from report.data_sets import DataSet, data_sets
from report.quality import Quality, quality
from report.reach import Race, race
from report.speed import Workload, workloads
from report.start import Epoch, Start, epoch_of, start
from report.tracks import Gain, gains
from results.completeness import Completeness, completeness
from results.loading import Run
from results.roles import figures


@dataclass(frozen=True)
class Scored:
    """What a run says of one set of images: nothing in here is a mean or a rank over two (:mod:`report.data_sets`)."""

    data: DataSet
    quality: Quality
    race: Race | None
    advice: Advice | None
    worths: tuple[yardsticks.Worth, ...] = ()
    matrices: tuple[robustness.Matrix, ...] = ()
    judged: tuple[codes.Judged, ...] = ()
    native: tuple[native.Effect, ...] = ()

    @property
    def lessons(self) -> list[tuple[str, learned.Learned]]:
        return [*self.quality.lessons(), *native.lessons(self.native)]


@dataclass(frozen=True)
class Analysis:
    """All that the findings and the page are made from.  ``run`` has no native cells: ``native`` is about those.

    ``sets``: at least one.  ``worths``, ``matrices``, ``judged`` and ``native`` are of all of them, each entry of its
    own images, and named so.  ``agreed``: all trials, for what is about backends whatever the images.
    """

    run: Run
    proof: Certification
    loads: list[Workload]
    sets: tuple[Scored, ...]
    agreed: Quality
    starts: list[Start]
    epoch: Epoch | None
    reproduced: reproduction.Found
    worths: tuple[yardsticks.Worth, ...] = ()
    matrices: tuple[robustness.Matrix, ...] = ()
    judged: tuple[codes.Judged, ...] = ()
    native: tuple[native.Effect, ...] = ()
    gains: tuple[Gain, ...] = ()
    given: inputs.Inputs = inputs.NONE
    distrusted: frozenset[str] = frozenset()
    """Ids of trials by backends that compute something else."""
    done: Completeness = field(default_factory=Completeness)

    @property
    def quality(self) -> Quality:
        """Of the first set of images, which most runs have alone."""
        return self.sets[0].quality

    @property
    def race(self) -> Race | None:
        """Of the first set of images."""
        return self.sets[0].race

    @property
    def advice(self) -> Advice | None:
        """Of the only set of images; None where there are several, which are never one answer."""
        return self.sets[0].advice if len(self.sets) == 1 else None


def analyse(run: Run) -> Analysis:
    """Aggregate a run once for all sections."""
    done = completeness(run)
    whole, run = run, run.matched
    proof = certification(run)
    wrong = frozenset(
        record["id"] for record in run.of("trial", "ok") if (proof.doubt(record) or "").endswith("parity failed")
    )
    loads = workloads(run, proof)
    starts = [found for load in loads if (found := start(load)) is not None]
    sets = tuple(_scored(one, loads, wrong) for one in data_sets(whole))
    every = sets[0] if len(sets) == 1 else _scored(DataSet("", whole), loads, wrong)
    return Analysis(
        run,
        proof,
        loads,
        sets,
        every.quality,
        starts,
        epoch_of(run),
        reproduction.found_in(run),
        every.worths,
        every.matrices,
        every.judged,
        every.native,
        tuple(gains(loads)),
        inputs.inputs(whole),
        wrong,
        done,
    )


def _scored(data: DataSet, loads: list[Workload], wrong: frozenset[str]) -> Scored:
    run = data.run.matched
    found = quality(run, wrong)
    stands = figures(run, wrong)
    return Scored(
        DataSet(data.label, run),
        found,
        race(stands, loads, wrong),
        advise(stands, found, loads, wrong),
        tuple(yardsticks.worths(stands, wrong)),
        tuple(robustness.matrices(stands, wrong)),
        tuple(codes.judged(stands, wrong)),
        tuple(native.effects(data.run, wrong)),
    )
