"""Options that several commands have.

Nothing heavy is imported at the top: bench/cli.py imports this module for its help.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _announced(paths: list[Path] | None) -> list[Path] | None:
    """The backends in these files are known from here on, to worker processes too."""
    if paths:
        from implementations.backend_files import BackendFileError, announce

        try:
            announce(paths)
        except BackendFileError as error:
            raise BackendFileError(f"--backend-file {error}") from error
    return paths


BackendFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--backend-file",
        callback=_announced,
        help="A Python file with a backend of your own, docs/add-a-backend.md (repeatable).",
        metavar="FILE",
    ),
]
"""Done when it is read: no command has to look at it."""
