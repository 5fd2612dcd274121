"""Which yardsticks a sweep's networks are to be judged by.

The trials are projected onto the images that they see: what a classical denoiser makes of an image depends on no
network.  Trials with fresh noise, or with several copies of the training set, share their test images with those
without: so one set of yardsticks is for all of them.

Those that cost nothing are always there: whoever is asked which network to take has to know whether a filter of nine
pixels would do.  The others take minutes, and a sweep says that it wants them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from bench.cells import TrialCell
from bench.yardsticks import PLAIN, TONED, YardstickCell
from results.yardsticks import FREE, LINEAR, MEAN_IMAGE

COSTLY = ("tv", "nlm", "nlm-slow", "wavelet")
"""Nine tenths of the time goes to these: where there is one with a gain and an offset, which can do all that the plain
one can, that one alone is scored."""
_SHARED = tuple(field.name for field in fields(YardstickCell) if field.name not in ("method", "rank"))


def yardsticks_for(trials: Iterable[TrialCell], *, full: bool) -> list[YardstickCell]:
    """What costs nothing, and if ``full`` all classical denoisers and the linear optimum at every size of code, for all
    images that ``trials`` score; those of the same images behind each other, what costs nothing first.

    A gain and an offset make sense where noise is clipped, which shifts the mean.  Whole images have neither a mean
    image nor a linear optimum, which are made for images of one size.
    """
    ranks: dict[tuple[object, ...], set[int]] = {}
    for trial in trials:
        found = ranks.setdefault(tuple(getattr(trial, name) for name in _SHARED), set())
        if trial.evaluate == "patches":
            values = trial.height * trial.width * trial.channels
            # A code of more numbers than the image has holds all ranks there are, and so does a network without one.
            found.add(min(trial.latent or values, values))
    cells = []
    for shared, wanted in ranks.items():
        images: dict[str, Any] = dict(zip(_SHARED, shared, strict=True))
        methods = [name for name in FREE if name != MEAN_IMAGE or images["evaluate"] == "patches"]
        if full and images["clip"]:
            methods += [*(name for name in PLAIN if name not in COSTLY), *TONED]
        elif full:
            methods += PLAIN
        cells += [YardstickCell.from_axes({**images, "method": method}) for method in dict.fromkeys(methods)]
        if full:
            cells += [YardstickCell.from_axes({**images, "method": LINEAR, "rank": rank}) for rank in sorted(wanted)]
    return cells
