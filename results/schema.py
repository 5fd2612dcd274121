"""What a record is: its version, kinds and statuses, and the check that every record passes before it is kept.

``record.schema.json`` beside this file is the one source of truth; README.md explains it to people.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SCHEMA_VERSION = 1
CONTENTS_SEPARATOR = "."
"""Between the versions of a fingerprint and, where images come from a folder, the hash of its contents."""
SCHEMA_FILE = Path(__file__).with_name("record.schema.json")

Kind = Literal["certificate", "trial", "yardstick", "timing"]
Status = Literal["ok", "unsupported", "parity_failed", "diverged", "out_of_memory", "timeout", "crashed", "skipped"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STATUSES: tuple[Status, ...] = get_args(Status)

Record = dict[str, Any]

LATER_AXES: dict[Kind, dict[str, Any]] = {
    "trial": {
        "repeats": 1,
        "validation": "noisy",
        "evaluate": "patches",
        "cross_noise": "",
        "codes": False,
        "keep_weights": False,
        "val": "test",
        "until": "epochs",
        "max_seconds": None,
    },
    "yardstick": {"evaluate": "patches", "val": "test"},
}
"""Axes that came after the first records, with the value that every cell had before: a record without them is read
as one with these, and a cell at these values keeps the key that it had."""


class RecordError(ValueError):
    """A record is not what record.schema.json says.  The message names the field and what is allowed."""


def load_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a record."""
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


@cache
def _validator() -> Validator:
    # Late: importing jsonschema takes a tenth of a second, and `daebench --help` should not pay for it.
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema())


def validate(record: object) -> None:
    """RecordError, naming the field, unless ``record`` is a plain JSON object that the schema allows."""
    if not isinstance(record, dict):
        raise RecordError(f"a record is a JSON object, not {type(record).__name__}")
    version = record.get("schema")
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"schema = {version!r}: this version of daebench reads and writes schema {SCHEMA_VERSION}; "
            "use the version that wrote the run, or start a new one"
        )
    _refuse_what_json_lacks(record, "")
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(record))
    if error is not None:
        place = _place(error.absolute_path) or "record"
        raise RecordError(f"{place}: {error.message}")


def dumps(value: object) -> str:
    """Strict JSON on one line, keys in the order given; RecordError on NaN, Infinity and what is no JSON at all."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        _refuse_what_json_lacks(value, "")  # finds the field, which json does not name
        raise


def loads(text: str | bytes) -> Any:
    """Strict JSON: ValueError on anything else, NaN and Infinity and numbers beyond float64 included."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _place(path: Any) -> str:
    """``samples.rounds[0].train`` from the parts of a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _refuse_what_json_lacks(value: object, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise RecordError(f"{place or 'record'}: key {key!r} is not a string")
            _refuse_what_json_lacks(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_what_json_lacks(item, f"{place}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise RecordError(
                f"{place}: {value} is not JSON; leave the field out, or give null, and say why in the reason"
            )
    elif value is not None and not isinstance(value, str | int | bool):
        raise RecordError(f"{place}: {type(value).__name__} is not JSON; convert it to a plain number, string or list")
