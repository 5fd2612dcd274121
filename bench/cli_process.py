"""The process of the command line: what it writes to may go away, and who ends it lets it clean up.

Nothing heavy is imported at the top: bench/cli.py imports this module for its help.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO, cast


class _Stream:
    """A stream whose reader may leave (``| head``, or tee after Ctrl-C): what is written from then on is dropped.

    Rich and typer would end the process with exit code 1, which means that a cell failed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._or_nowhere():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._or_nowhere():
            self._stream.flush()

    @contextlib.contextmanager
    def _or_nowhere(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # What is still in its buffer goes there as well: else it would be tried again when Python ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _interrupt(number: int, _: object) -> None:
    # `timeout` sends it twice; a second one must not end what the first has begun, such as the report.
    signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """While a command runs: no closed pipe ends it, what can not be printed is printed as an escape, and SIGTERM
    (``timeout``, ``docker stop``, a CI job that is cancelled) is what Ctrl-C is."""
    before = sys.stdout, sys.stderr
    for stream in before:
        # Names of files need not be UTF-8.  Streams that somebody has put there may not know how.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # None where the process was started without the stream: print says nothing then.
    sys.stdout, sys.stderr = (cast("TextIO", _Stream(stream)) if stream is not None else stream for stream in before)
    ended_by = signal.getsignal(signal.SIGTERM)
    # Only the main thread may; and who was told to ignore it, as under some supervisors, does.
    listens = threading.current_thread() is threading.main_thread() and ended_by == signal.SIG_DFL
    if listens:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if listens:
            signal.signal(signal.SIGTERM, ended_by)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.flush()
        sys.stdout, sys.stderr = before
