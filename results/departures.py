"""What a failed certificate means for somebody who trains in that way: by what departs first, in a sentence.

A certificate says by how much a backend is off, and in which tensor.  That is exact, and tells nobody whether to mind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from results.schema import Record

_MEANINGS = (
    ("synchronisation", "it says that it is done before it is: rates and latencies would be too good to be true"),
    ("gradient", "it follows other gradients than those of the network: what it learns may pass for good, and is not "
                 "what the others learn from the same settings"),
    ("output", "the same weights give other images: a network that another framework trained is not the same here"),
    ("code", "the same weights give other codes: what reads them elsewhere does not read them here"),
    ("loss", "it reports another loss than that of the network: its curves can not be set beside the others'"),
    ("mean loss", "the same steps have other losses: it does not learn what the others learn"),
    ("moving statistics", "its statistics of batch normalisation move otherwise: it denoises by others than the rest"),
    ("weights without gradient", "weights that should rest move"),
    ("weights after differentiating", "asking for gradients changes its weights"),
    ("weights after", "its optimizer takes other steps: the same settings lead to another network"),
    ("weights as loaded", "it does not keep the weights that it is given"),
    ("parameter count", "it builds another network"),
    ("trainable parameter count", "it trains other weights than the specification has it"),
)  # fmt: skip
"""(how the quantity begins, what it means); the first that fits."""
_BIAS = (
    "outside of XLA, TensorFlow adds up the gradient of a bias in bfloat16 on a CPU, and of a sum over many pixels 1 "
    "to 3 % is left: biases hardly learn"
)


def meaning(record: Record) -> str:
    """Of a certificate that is ``parity_failed``: what it means for who trains so; "" where nothing is known."""
    failed = [check for check in record.get("checks", []) if not check["ok"]]
    if not failed:
        return ""
    cell, first = record["cell"], failed[0]
    if _is_bias_in_bfloat16(cell, first):
        return f"{_BIAS}; {_instead(cell)}"
    quantity = str(first["quantity"])
    said = next((text for begins, text in _MEANINGS if quantity.startswith(begins)), "")
    if not said:
        return ""
    coarse = cell.get("precision") not in (None, "float32", "float64")
    return f"{said}; in float32 it may hold" if coarse and not quantity.startswith("synchronisation") else said


def sentence(record: Record) -> str:
    """Who fails where, why, and what that means: "keras[tensorflow] idiomatic, conv in bfloat16: ..."."""
    cell = record["cell"]
    found = meaning(record)
    where = f"{cell['backend']} {cell['track']}, {cell['architecture']} in {cell['precision']}"
    reason = f"{where}: {record.get('reason') or 'departs from the specification'}"
    return f"{reason}. For who trains so: {found}" if found else reason


def _is_bias_in_bfloat16(cell: Mapping[str, Any], check: Mapping[str, Any]) -> bool:
    return (
        cell.get("backend") == "keras[tensorflow]"
        and cell.get("precision") == "bfloat16"
        and cell.get("device") == "cpu"
        and str(check["quantity"]).startswith("gradient")
        and str(check.get("tensor") or "").endswith(".bias")
    )


def _instead(cell: Mapping[str, Any]) -> str:
    if cell.get("track") == "idiomatic":
        return (
            "`fit` does not compile on a CPU (jit_compile='auto'): train with jit_compile=True, which is slow for "
            "convolutions, in float32, or as the tuned track does, which sums in float32"
        )
    return "train in float32"
