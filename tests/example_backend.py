"""The backend of docs/examples, as whoever wrote it would load it."""

from __future__ import annotations

from pathlib import Path

from implementations.backend_files import classes

FILE = Path(__file__).parent.parent / "docs" / "examples" / "numpy_backend.py"
(NumPy,) = classes(FILE)
