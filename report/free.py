"""Does a network beat what costs nothing?  The noisy input, the mean training image, a 3x3 median, a Gaussian filter.

Whoever asks which network to take has to know first that a filter of nine pixels would do better.  What stands beside
a network is the one with the highest mean PSNR; the lead over it is paired by image, see :mod:`report.yardsticks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from report import text
from report.pairing import Condition, Configuration
from report.yardsticks import EQUAL, Rival, Worth
from results.yardsticks import FREE, GAUSSIAN, IDENTITY, MEAN_IMAGE, MEDIAN_3X3

NAMES = {
    IDENTITY: "the noisy input",
    MEAN_IMAGE: "the mean training image",
    MEDIAN_3X3: "a 3x3 median filter",
    GAUSSIAN: "a Gaussian filter",
}
"""What they are called in a sentence."""
WORST = 2
"""Cases that a sentence names; the table has all."""


def best_free(found: Iterable[Worth], condition: Condition, configuration: Configuration) -> Rival | None:
    """The best of what costs nothing under ``condition``, and the paired lead of ``configuration`` over it in dB (both
    as :class:`report.quality.Quality` has them); None where nothing is known of them.  :data:`NAMES` says what it is
    called, :attr:`~report.yardsticks.Rival.beaten` whether the network is better."""
    wanted = condition, configuration
    return next((one.best_free for one in found if (one.condition, one.configuration) == wanted), None)


def not_beating(found: Iterable[Worth]) -> list[Worth]:
    """Those that do not measurably beat what costs nothing, the furthest behind first."""
    return sorted((one for one in found if not one.best_free.beaten), key=lambda one: one.best_free.gain.value)


def said(found: Sequence[Worth]) -> tuple[str, str] | None:
    """(headline, detail): which networks do not beat what costs nothing.  None where all do: that goes without
    saying."""
    lost = not_beating(found)
    if not lost:
        return None
    several = len({one.data for one in found}) > 1
    if len(lost) == 1:
        (one,) = lost
        verb = "does not measurably beat" if one.best_free.verdict == EQUAL else "does not beat"
        rival = one.best_free
        notes = "; ".join(filter(None, [_behind(rival), _images(lost)]))
        headline = f"{one.network} {verb} {NAMES[rival.name]} {_where(one, several)}"
        return headline, f"{text.fixed(one.psnr)} against {text.fixed(rival.psnr)} dB ({notes})"
    there = {rival.name for one in found for rival in one.free}
    names = [name for name in FREE if name in there]
    what = NAMES[names[0]] if len(names) == 1 else f"the best of {text.listing([short(name) for name in names])}"
    networks, concerned = (len({one.configuration for one in cases}) for cases in (found, lost))
    headline = f"In {len(lost)} of {len(found)} cases ({concerned} of {text.count(networks, 'network')}), a network "
    headline += f"does not beat {what}"
    if len(lost) == len(found):
        headline = f"No network beats {what}, in any of {len(found)} cases"
    named = [f"{one.network} {_where(one, several)}, {_figures(one)}" for one in lost[:WORST]]
    rest = f"; and {len(lost) - WORST} more" if len(lost) > WORST else ""
    images = f" ({_images(lost)})" if _images(lost) else ""
    lead = "furthest behind are " if rest else ""
    return headline, f"{lead}{'; '.join(named)}{rest}{images}"


def short(name: str) -> str:
    """What it is called without its article: "3x3 median filter"."""
    return NAMES[name].split(" ", 1)[1]


def _where(one: Worth, several: bool) -> str:
    return f"under {one.corruption}" + (f" on {one.data}" if several else "")


def _figures(one: Worth) -> str:
    """ "10.10 against 15.60 dB of a 3x3 median filter (5.50 behind, 5.41 to 5.59)"."""
    rival = one.best_free
    return f"{text.fixed(one.psnr)} against {text.fixed(rival.psnr)} dB of {NAMES[rival.name]} ({_behind(rival)})"


def _behind(rival: Rival) -> str:
    gain = rival.gain
    if not gain.known:
        return f"{text.fixed(-gain.value)} behind, no interval is known"
    if rival.verdict == EQUAL:
        return f"no measurable difference, {text.decibels(gain)}"
    return f"{text.fixed(-gain.value)} behind, {text.fixed(-gain.high)} to {text.fixed(-gain.low)}"


def _images(cases: Sequence[Worth]) -> str:
    """How many test images that rests on, and seeds."""
    counts = sorted({one.best_free.images for one in cases if one.best_free.images})
    seeds = max(one.seeds for one in cases)
    images = f"{text.count(counts[0], 'test image')}" if len(counts) == 1 else ""
    return ", ".join(filter(None, [images, f"mean over {seeds} seeds" if seeds > 1 else ""]))
