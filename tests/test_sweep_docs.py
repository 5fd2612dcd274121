"""docs/sweeps.md names every axis and field of a sweep file with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tomllib

from bench.sweep import DEFAULTS, Scoring, Timing, _File

PAGE = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text()
ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]*) \|", re.MULTILINE)


def told(title: str) -> dict[str, str]:
    """By name, the default in the table of a section."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return {name: default.strip() for names, default in ROW.findall(section) for name in re.findall(r"`(\w+)`", names)}


def value(text: str) -> Any:
    """`"all"` -> "all"."""
    assert re.fullmatch(r"`[^`]+`", text), text
    return tomllib.loads(f"value = {text.strip('`')}")["value"]


def test_every_axis_has_its_default() -> None:
    found = told("Axes")
    assert list(found) == list(DEFAULTS)
    for name, default in DEFAULTS.items():
        said = value(found[name])
        assert (said if isinstance(said, list) else [said]) == default, name


def test_every_field_of_timing_has_its_default() -> None:
    found = told("Timing")
    assert set(found) == set(Timing.model_fields)
    for name, default in Timing().model_dump().items():
        if name == "threads":
            assert (found[name], default) == ("those of `[axes]`", None)
            continue
        said = value(found[name])
        assert (said if not isinstance(default, list) or isinstance(said, list) else [said]) == default, name


def test_every_field_at_the_top_has_its_default() -> None:
    found = told("At the top of the file")
    assert set(found) == set(_File.model_fields) - {"axes", "grid", "timing"}
    for name in set(found) - {"name"}:
        assert value(found[name]) == _File.model_fields[name].default, name
    assert set(list(found)[-len(Scoring.model_fields) :]) == set(Scoring.model_fields), "the last can be set"


@pytest.mark.parametrize("variable", ["DAEBENCH_DATA", "DAEBENCH_CACHE", "DAEBENCH_BACKENDS"])
def test_the_variables_that_there_are(variable: str) -> None:
    assert f"| `{variable}` |" in PAGE
