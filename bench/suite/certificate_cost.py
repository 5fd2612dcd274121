"""What certificates cost in processor time, from an empty cache; beside another checkout:

    python -m bench.suite.certificate_cost --base ../another/checkout
    python -m bench.suite.certificate_cost --base ../another/checkout --what all --backend torch --architecture conv

Processor time of all processes, references included.  Where a machine has something else to do it grows too, since
threads share cores and caches.  So both checkouts run at the same time, each on half of the cores, which they swap from
round to round.  A checkout runs by its own ``.venv`` if it has one, else by this interpreter.  A round of quick takes
some minutes, one of all half an hour or more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.process import ROOT, distinct_cores

# Runs in either checkout, so it asks for nothing that only one of them has.
_PROGRAM = """
import json, os, resource, sys
from collections import Counter

def spent():
    return [sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]

if __name__ == "__main__":
    what, backends, networks, cores = json.loads(sys.argv[1])
    if cores:
        os.sched_setaffinity(0, cores)  # before anything asks how many there are
    from bench.certifying import run_certificates
    if what == "all":
        from bench.cli_facts import certificate_cells
        others = dict.fromkeys(("loss", "optimizer", "precision", "track"))
        cells = certificate_cells(backend=backends or None, architecture=networks or None, device="cpu", **others)
    else:
        from bench.plan import make_plan
        from bench.sweep import load_sweep
        cells = make_plan(load_sweep(what)).certificates
        cells = [cell for cell in cells if not backends or cell.backend in backends]
        cells = [cell for cell in cells if not networks or cell.architecture in networks]
    before = spent()
    records = run_certificates(cells, use_cache=False)
    after = spent()
    statuses = Counter(record["status"] for record in records)
    seconds = [late - early for early, late in zip(before, after)]
    print(json.dumps({"seconds": sum(seconds), "supervisor": seconds[0], "statuses": statuses}))
"""


@dataclass(frozen=True)
class Choice:
    """``what``: a shipped sweep, or "all" that `daebench verify` would prove; of these the given backends and networks,
    or all."""

    what: str = "quick"
    backends: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


def processor_seconds(root: Path, choice: Choice, cores: Sequence[int] = ()) -> dict[str, Any]:
    """``seconds`` of processor time that the certificates of ``choice`` take the checkout ``root`` from an empty cache,
    on ``cores`` or on all; ``supervisor``: its own part; ``statuses``: how many ended how."""
    own = root / ".venv" / "bin" / "python"
    request = json.dumps([choice.what, choice.backends, choice.networks, list(cores)])
    with tempfile.TemporaryDirectory(prefix="daebench-cost-") as folder:
        program = Path(folder) / "program.py"
        program.write_text(_PROGRAM, encoding="utf-8")
        done = subprocess.run(
            [str(own) if own.exists() else sys.executable, str(program), request],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "DAEBENCH_CACHE": str(Path(folder) / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{root}: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.suite.certificate_cost", description="processor time")
    parser.add_argument("--base", type=Path, help="a checkout to compare with")
    parser.add_argument("--what", default="quick", help="a shipped sweep, or all (default: quick)")
    parser.add_argument("--backend", action="append", default=[], help="only those of this backend (repeatable)")
    parser.add_argument("--architecture", action="append", default=[], help="only those of this network (repeatable)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured (default: 2)")
    options = parser.parse_args(arguments)
    choice = Choice(options.what, tuple(options.backend), tuple(options.architecture))
    sides = {"base": options.base.resolve(), "here": ROOT} if options.base else {"here": ROOT}
    available = distinct_cores()
    if len(available) < len(sides):
        parser.error("two checkouts side by side need two cores")
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(options.rounds):
        # Every other core, from another first one each round.
        shares = [available[(place + turn) % len(sides) :: len(sides)] for place in range(len(sides))]
        with ThreadPoolExecutor(len(sides)) as pool:
            results = list(pool.map(processor_seconds, sides.values(), itertools.repeat(choice), shares))
        for side, found in zip(sides, results, strict=True):
            seconds[side].append(found["seconds"])
            told = ", ".join(f"{count} {status}" for status, count in sorted(found["statuses"].items()))
            print(f"round {turn + 1}, {side}: {found['seconds']:.1f} s of processor time ({told})", flush=True)
    for side, values in seconds.items():
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{side}: {statistics.median(values):.1f} s, {spread} ({sides[side]})")
    if options.base:
        ratios = [here / base for here, base in zip(seconds["here"], seconds["base"], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"here / base: {statistics.median(ratios):.2f}, {spread} (round by round)")


if __name__ == "__main__":
    main()
