"""What a person sees while a run goes on: a line for each cell, how far it is, and when it will be done.

Nothing is drawn by a thread: the screen changes between requests only, never beside a measurement.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from results import convergence
from results.schema import Record

if TYPE_CHECKING:
    import rich.progress

    from bench.cells import Point

SILENT_SECONDS = 30.0
"""So long is nothing said where there is no terminal, while something goes on that ends later."""
TRUSTED_SHARE = 0.1
"""Of a phase: from then on its pace alone says how long it takes, before that less and less what was expected."""

NOUNS = {"certificates": "certificate", "trials": "trial", "yardsticks": "yardstick", "sessions": "timed contestant"}
"""What the cells of a phase are called."""
NAMED = ("backend", "device", "precision", "defaults", "architecture", "latent", "corruption", "loss")
"""Axes that a line names in words of its own, where its cell has them."""


@dataclass(frozen=True)
class Expected:
    """Of a phase: ``seconds`` in all, and those of each cell by itself (in any unit), by which the phase is shared out
    among them: slow ones that come first shall not make the others look slow."""

    seconds: float
    cells: Mapping[Point, float]


@dataclass
class _Phase:
    left: dict[str, float]
    """By cell that has not ended: how much of the phase it was expected to be."""
    scale: float
    """Seconds of a unit of that, as expected."""
    done: float = 0.0
    """In that unit, what has been run to its end."""
    worked: float = 0.0
    """Seconds of the cells that are done, added up: more than have passed where cells run side by side."""
    ahead: float = 0.0
    """Of what is left, as much as is done already of cells that come all at once, at the end of their session."""
    began: float | None = None
    running: dict[str, float] = field(default_factory=dict)
    """By cell that has said how long it will take yet: when it will be done."""

    def remaining(self, moment: float) -> float:
        """Seconds, by the pace of this phase once there is one: from a tenth of it on that alone counts."""
        left = sum(self.left.values())
        if self.began is None:
            return self.scale * left
        said = max(self.running.values(), default=moment) - moment
        done = self.done + self.ahead
        if not done:
            # What is running has said for itself how long it takes; of the others only the expectation is known.
            return said + self.scale * (left - sum(self.left.get(key, 0.0) for key in self.running))
        left -= self.ahead
        passed = moment - self.began
        if not self.ahead:
            # Of cells that come all at once, the time that has passed says too much about the first.
            passed = min(passed, self.worked)
        trust = min(done / (done + left) / TRUSTED_SHARE, 1.0)
        return max((trust * passed / done + (1 - trust) * self.scale) * left, said)


class Progress:
    """Counts the cells of ``phases`` (by name what is expected of them), which come one after another.

    On a terminal a bar stands below the lines.  ``enabled=False`` keeps it silent.
    """

    def __init__(self, phases: Mapping[str, Expected], *, enabled: bool = True, stream: TextIO | None = None) -> None:
        self._phases = {
            name: _Phase(
                {_key(cell.axes()): share for cell, share in expected.cells.items()},
                expected.seconds / (sum(expected.cells.values()) or 1.0),
            )
            for name, expected in phases.items()
        }
        self._further = {name: _telling_apart(expected.cells) for name, expected in phases.items()}
        self._total = sum(len(phase.left) for phase in self._phases.values())
        self._done = 0
        self._enabled = enabled
        self._stream = stream or sys.stderr
        self._said = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self._task: Any = None
        if enabled and self._stream.isatty():
            self._open_bar()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("ETA {task.fields[eta]}"),
            TextColumn("{task.description}", markup=False),
            console=Console(file=self._stream),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task("", total=self._total, eta="?")
        self._bar.start()

    def revise(self, phase: str, expected: Expected) -> None:
        """What is left of ``phase`` now: who trains what is decided anew as a run goes on."""
        left = {_key(cell.axes()): share for cell, share in expected.cells.items()}
        found = self._phases[phase]
        self._total += len(left) - len(found.left)
        found.left = left
        found.scale = expected.seconds / (sum(left.values()) or 1.0)
        self._further[phase] = sorted({*self._further[phase], *_telling_apart(expected.cells)})

    def begin(self, phase: str) -> None:
        """The first cell of ``phase`` is about to start."""
        self._phases[phase].began = time.monotonic()

    def ahead(self, phase: str, cells: Iterable[Point], share: float) -> None:
        """This ``share`` is done of those ``cells`` of ``phase`` that go on: of a session, whose cells all end with
        it."""
        left = self._phases[phase].left
        self._phases[phase].ahead = share * sum(left.get(_key(cell.axes()), 0.0) for cell in cells)

    def cell(self, phase: str, record: Record) -> None:
        """A cell of ``phase`` has left ``record``."""
        self._done += 1
        among, key = self._phases[phase], _key(record["cell"])
        among.running.pop(key, None)
        part = among.left.pop(key, 0.0)
        if record["seconds"]:  # and not decided without being run, or cached, which says nothing of the pace
            among.done += part
            among.worked += record["seconds"]
            among.ahead = max(among.ahead - part, 0.0)
        width = len(str(self._total))
        left = f"[{self._done:>{width}}/{self._total}]"
        self.line(f"{left} {describe(record, self._further[phase])}   ETA {duration(self.remaining())}")

    def skipped(self, phase: str, cells: Sequence[Point], reason: str) -> None:
        """None of these ``cells`` of ``phase`` is run: one line for all."""
        if not cells:
            return
        among = self._phases[phase]
        self._done += sum(among.left.pop(_key(cell.axes()), None) is not None for cell in cells)
        noun = NOUNS.get(phase, phase)
        width = len(str(self._total))
        words = f"{len(cells)} {noun if len(cells) == 1 else noun + 's'} not run: {reason}"
        self.line(f"[{self._done:>{width}}/{self._total}] {words}   ETA {duration(self.remaining())}")

    def notice(self, phase: str, cell: Point, facts: Mapping[str, Any]) -> None:
        """A training of ``phase`` has come as far as ``facts`` say (``epoch``, ``epochs``, ``psnr``,
        ``seconds_left``)."""
        self._phases[phase].running[_key(cell.axes())] = time.monotonic() + facts["seconds_left"]
        how_far = f"epoch {facts['epoch']} of {facts['epochs']}, psnr {facts['psnr']:.1f} dB"
        name = _named("trial", cell.axes(), self._further[phase])
        text = f"{name}  {how_far}, {duration(facts['seconds_left'])} to go"
        if self._bar is not None:
            self.step(text)
        else:
            self._aside(text)

    def remaining(self) -> float:
        """Seconds until all is done, as far as one can tell."""
        moment = time.monotonic()
        return sum(phase.remaining(moment) for phase in self._phases.values() if phase.left)

    def step(self, text: str) -> None:
        """What goes on now: always on a terminal, elsewhere once nothing has been said for :data:`SILENT_SECONDS`."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, eta=duration(self.remaining()), description=text)
            self._bar.refresh()
        elif time.monotonic() - self._said >= SILENT_SECONDS:
            self._aside(text)

    def _aside(self, text: str) -> None:
        """A line without a number: nothing has ended."""
        self.line(f"{'':{2 * len(str(self._total)) + 3}} {text}   ETA {duration(self.remaining())}")

    def line(self, text: str) -> None:
        """A line that stays."""
        if not self._enabled:
            return
        self._said = time.monotonic()
        if self._bar is None:
            print(text, file=self._stream, flush=True)
            return
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.step("")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def describe(record: Record, further: Iterable[str] = ()) -> str:
    """One line for a record: what was done, what came out, how long it took.  ``further``: axes that are named besides
    those that always are."""
    cell = record["cell"]
    if record["kind"] == "yardstick":
        rank = "" if cell["rank"] is None else f" rank={cell['rank']}"
        text = f"yardstick {cell['method']}{rank} {cell['dataset']} {cell['corruption']}  {_outcome(record)}"
        return f"{text}  {record['seconds']:.1f} s" if record["seconds"] else text
    text = f"{_named(record['kind'], cell, further)}  {_outcome(record)}"
    return f"{text}  {record['seconds']:.1f} s" if record["seconds"] else text


def _telling_apart(cells: Iterable[Point]) -> list[str]:
    """Axes to name besides those that always are, so that no two lines say the same of two cells: as few as do."""
    rows = [{axis: repr(value) for axis, value in cell.axes().items()} for cell in cells]
    if not rows:
        return []
    said = [axis for axis in NAMED if axis in rows[0]]
    if "corruption" not in said:  # lines of trials say this, lines of others that
        said.append("track")
    further = [axis for axis in rows[0] if axis not in said and len({row[axis] for row in rows}) > 1]

    def lines(axes: Iterable[str]) -> int:
        return len({tuple(row[axis] for axis in axes) for row in rows})

    distinct = lines([*said, *further])
    for axis in reversed(further):  # what names come with (epochs, with a network) stands behind them
        rest = [other for other in further if other != axis]
        if lines([*said, *rest]) == distinct:
            further = rest
    return further


def _named(kind: str, cell: Mapping[str, Any], further: Iterable[str]) -> str:
    words = [kind, cell["backend"]]
    if kind != "trial":
        words.append(cell["track"])
    words += [name for name in (cell["device"], cell["precision"]) if name not in ("cpu", "float32")]
    if cell["defaults"] != "matched":
        words.append(cell["defaults"])
    words.append(cell["architecture"])
    if cell["latent"] is not None:
        words.append(f"latent={cell['latent']}")
    if kind == "trial":
        words += [cell["corruption"]]
    words.append(cell["loss"])
    usual = _switches()
    words += [f"{axis}={cell[axis]}" for axis in further if axis not in usual or cell[axis] is not usual[axis]]
    return " ".join(words)


@cache
def _switches() -> dict[str, bool]:
    """Axes that are true or false, as they are unless somebody asks: lines are short of what goes without saying."""
    from bench.cells import TrialCell

    return {field.name: field.default for field in fields(TrialCell) if isinstance(field.default, bool)}


def _key(axes: Mapping[str, Any]) -> str:
    return json.dumps(axes, sort_keys=True)


def _outcome(record: Record) -> str:
    metrics = record.get("metrics", {})
    if record["status"] != "ok":
        return f"{record['status']}: {record['reason']}"
    if record["kind"] in ("trial", "yardstick"):
        word = convergence.state(record) if record["kind"] == "trial" else None
        told = "" if word in (None, "converged") else f", {word}"
        return f"psnr {metrics['psnr']:.1f} dB ({metrics['psnr_gain']:+.1f}){told}"
    if record["kind"] == "certificate":
        return f"ok, at {100 * metrics.get('worst_ratio', 0):.2g} % of the tolerances"
    rate = metrics["train_samples_per_second"]
    text = f"{rate:,.0f} samples/s"
    if "train_samples_per_second_high" in metrics:
        spread = 50 * (metrics["train_samples_per_second_high"] - metrics["train_samples_per_second_low"]) / rate
        text += f" (±{spread:.1f} %)" if spread < 100 else " (rounds too few or too unlike to say more)"
    if "latency_seconds" in metrics:
        text += f", latency {1e3 * metrics['latency_seconds']:.2f} ms"
    return text


def duration(seconds: float) -> str:
    """45s, 1m20s, 2h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"
