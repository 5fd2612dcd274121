"""Whether the charts of a page are what Vega-Lite takes; the report itself does not check them, which takes seconds."""

from __future__ import annotations

import json
from typing import Any

import altair

BEGIN = '<script type="application/json" id="specs">'


def specs_of(html: str) -> dict[str, Any]:
    """The specifications of a page's charts, by name."""
    specs: dict[str, Any] = json.loads(html.split(BEGIN)[1].split("</script>")[0])
    return specs


def check_charts(html: str) -> int:
    """jsonschema.ValidationError for the first that is not; the number of charts."""
    specs = specs_of(html)
    for spec in specs.values():
        altair.TopLevelSpec.validate(spec)
    return len(specs)
