"""Whether the charts of a page are what Vega-Lite takes; the report itself does not check them, which takes seconds."""

from __future__ import annotations

import json

import altair

BEGIN = '<script type="application/json" id="specs">'


def check_charts(html: str) -> int:
    """jsonschema.ValidationError for the first that is not; the number of charts."""
    specs = json.loads(html.split(BEGIN)[1].split("</script>")[0])
    for spec in specs.values():
        altair.TopLevelSpec.validate(spec)
    return len(specs)
