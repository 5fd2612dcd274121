"""What could take the noise out of a picture: trained networks that are kept, classical denoisers, or nothing at all.

Which of them does it best is estimated on the picture itself (:mod:`bench.trained.risk`), since no record knows this
picture: on parts of it, if it is large.  Nothing at all is among them, and so the answer is never "some network".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cells import TrialCell
from bench.trained import compute, risk, tiles
from bench.trained import found as records
from bench.trained.fitting import trained_for
from bench.trained.pictures import Picture
from bench.yardsticks.text import Chosen, parse_method
from results.schema import LATER_AXES, Record

MOST_NETWORKS = 6
"""Networks that are tried on a picture, those nearest to its noise: each takes seconds."""
PART = 256
"""Of a larger picture four parts of that many pixels in each direction are tried, before the best denoises all."""
AS_IT_IS = "the picture as it is"
CLASSICAL: dict[str, tuple[float, ...]] = {
    "nlm-slow(h={:.4g}, sigma_over_h=1, patch_size=5, patch_distance=5)": (0.7, 1.0, 1.35),
    "nlm(h={:.4g}, sigma_over_h=1, patch_size=5, patch_distance=5)": (0.6, 0.85),
}
"""Classical denoisers, and what their setting in braces is in standard deviations of the noise: several to choose from,
for flat pictures bear more than those full of detail.  Calibration on photographs finds values among these."""
NAMES = tuple(dict.fromkeys(text.partition("(")[0] for text in CLASSICAL))


@dataclass(frozen=True)
class Candidate:
    """``name`` as it is printed; ``denoise`` takes a picture (h, w, c) of any size."""

    name: str
    denoise: risk.Denoise


@dataclass(frozen=True)
class Tried:
    """A candidate and what is estimated of it on the picture."""

    candidate: Candidate
    risk: risk.Risk


class Networks:
    """Those that are kept in the folders ``runs`` (by default below results/), loaded when they are first tried."""

    def __init__(self, runs: Sequence[Path], backend: str | None, threads: int) -> None:
        self._known = [(_cell(record), record, folder) for record, folder in records.all_kept(runs)]
        if backend is not None:
            compute.check(backend)
        self.backend = backend or compute.common()
        self._threads = threads
        self._loaded: dict[str, Candidate | str] = {}

    def __len__(self) -> int:
        return len(self._known)

    def for_noise(self, sigma: float, picture: Picture) -> tuple[list[Candidate], list[str]]:
        """Networks that were trained for noise of ``sigma`` on ``picture``, the nearest :data:`MOST_NETWORKS`; and
        sentences about those that were to be tried and cannot be loaded."""
        ranked = []
        for cell, record, folder in self._known:
            wanted = trained_for(cell.corruption, picture)
            if wanted is not None and wanted.fits(sigma):
                colours = cell.channels != picture.shape[2]
                ranked.append((wanted.distance(sigma), colours, -record["metrics"]["psnr_gain"], record, folder))
        ranked.sort(key=lambda one: (*one[:3], one[3]["id"]))
        tried = [self._load(record, folder) for *_, record, folder in ranked[:MOST_NETWORKS]]
        return [one for one in tried if isinstance(one, Candidate)], [one for one in tried if isinstance(one, str)]

    def _load(self, record: Record, folder: Path) -> Candidate | str:
        if record["id"] not in self._loaded:
            self._loaded[record["id"]] = self._made(record, folder)
        return self._loaded[record["id"]]

    def _made(self, record: Record, folder: Path) -> Candidate | str:
        try:
            trained = records.load(record, folder)
            computer = compute.Computer(trained, self.backend, self._threads)
        except (ValueError, OSError) as error:
            return f"network {record['id']} in {folder} is left out: {error}"
        applied = tiles.Applied(trained.architecture, computer.denoiser)
        cell = trained.cell
        return Candidate(f"network {trained.name} (trained on {cell.dataset} for {cell.corruption})", applied)


def _cell(record: Record) -> TrialCell:
    return TrialCell.from_axes({**LATER_AXES["trial"], **record["cell"]})


def of_method(chosen: Chosen) -> Candidate:
    """A classical denoiser with its settings."""
    return Candidate(str(chosen), lambda picture: chosen.denoise(picture[None])[0])


def classical(sigma: float, picture: Picture) -> list[Candidate]:
    """Classical denoisers for noise of ``sigma`` that ``picture`` is large enough for."""
    chosen = [parse_method(text.format(sigma * one)) for text, strengths in CLASSICAL.items() for one in strengths]
    shape = picture.shape[0], picture.shape[1], picture.shape[2]
    return [of_method(one) for one in chosen if one.method.allowed(one.parameters, shape)]


def parts(picture: Picture) -> list[Picture]:
    """The picture, or the middles of its four quarters if it is much larger than they are."""
    height, width = picture.shape[:2]
    if height * width <= 4 * PART**2 or min(height, width) < 2 * PART:
        return [picture]
    return [
        picture[top : top + PART, left : left + PART]
        for top in ((height - 2 * PART) // 4, (3 * height - 2 * PART) // 4)
        for left in ((width - 2 * PART) // 4, (3 * width - 2 * PART) // 4)
    ]


def best_first(candidates: Sequence[Candidate], picture: Picture, sigma: float) -> list[Tried] | None:
    """``candidates`` and the picture as it is, from the best on; None where no estimate can be had."""
    some = parts(picture)
    every = [*candidates, Candidate(AS_IT_IS, lambda picture: picture)]
    found = [(one, risk.estimate(one.denoise, some, sigma)) for one in every]
    tried = [Tried(one, estimated) for one, estimated in found if estimated is not None]
    return sorted(tried, key=lambda one: one.risk.error) or None
