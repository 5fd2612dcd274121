"""Fetching ``mnist`` and ``fashion-mnist``: the only place where this suite uses the network, and only when asked."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datasets.base import DataError
from bench.datasets.cache import part_of
from bench.datasets.published import PUBLICATIONS, File, Publication, download_folder, folders, sha256

Progress = Callable[[str, int, int], None]
"""Called with the name of a file, the bytes that have come, and the bytes it has."""

TIMEOUT = 30.0  # seconds without a byte
BLOCK = 2**16


@dataclass(frozen=True)
class Download:
    """What ``get`` did: the folder, and the files that were fetched and that were there before."""

    folder: Path
    fetched: tuple[str, ...]
    present: tuple[str, ...]

    def __str__(self) -> str:
        if not self.fetched:
            return f"already present and verified: {self.folder}"
        kept = f", {len(self.present)} already present" if self.present else ""
        count = "1 file" if len(self.fetched) == 1 else f"{len(self.fetched)} files"
        return f"{count} fetched and verified{kept}: {self.folder}"


def names() -> tuple[str, ...]:
    """The data sets that can be fetched."""
    return tuple(PUBLICATIONS)


def get(
    name: str,
    progress: Progress | None = None,
    *,
    mirrors: Sequence[str] | None = None,
    publication: Publication | None = None,
) -> Download:
    """Fetch a data set into the cache folder; a file appears there whole and verified, or not at all.

    Every file is asked for at the ``mirrors`` (URLs of folders; those of the publication by default) until one gives
    the bytes with the published SHA-256.  DataError for an unknown name, and, with what each mirror answered, for a
    file that none could give; the files fetched before stay.
    """
    if publication is None:
        if name not in PUBLICATIONS:
            raise DataError(f"dataset {name!r} can not be fetched; possible are {', '.join(PUBLICATIONS)}")
        publication = PUBLICATIONS[name]
    for folder in folders(name):
        if all(_verified(folder / file, about) for file, about in publication.files.items()):
            return Download(folder, (), tuple(publication.files))
    folder = download_folder(name)
    fetched, present = [], []
    for file, about in publication.files.items():
        if _verified(folder / file, about):
            present.append(file)
            continue
        _fetch(folder / file, about, publication.mirrors if mirrors is None else mirrors, progress)
        fetched.append(file)
    return Download(folder, tuple(fetched), tuple(present))


def _verified(path: Path, about: File) -> bool:
    return path.is_file() and path.stat().st_size == about.size and sha256(path) == about.sha256


def _fetch(path: Path, about: File, mirrors: Sequence[str], progress: Progress | None) -> None:
    answers = []
    for mirror in mirrors:
        url = mirror.rstrip("/") + "/" + path.name
        try:
            _fetch_from(url, path, about, progress)
        except _NoFile as error:
            answers.append(f"{url}: {error}")
        except OSError as error:  # not the network's fault: a full disk, a folder that can not be written
            raise DataError(f"{path} can not be written: {error.strerror or error}") from None
        else:
            return
    listed = "".join(f"\n  {answer}" for answer in answers)
    raise DataError(
        f"{path.name} could not be fetched from any mirror; try again later, or put the file into {path.parent} "
        f"yourself:{listed}"
    )


class _NoFile(Exception):
    """A mirror could not be reached, or what it sent is not the published file."""


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Nearly any OSError may come out of a connection (of TLS, of a route that is gone): here none is the disk's."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise _NoFile(str(getattr(error, "reason", None) or error or type(error).__name__)) from None


def _asked(request: urllib.request.Request) -> http.client.HTTPResponse:
    with _asking():
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    return answer


def _next(answer: http.client.HTTPResponse) -> bytes:
    with _asking():
        return answer.read(BLOCK)


def _fetch_from(url: str, path: Path, about: File, progress: Progress | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    request = urllib.request.Request(url, headers={"User-Agent": "daebench"})
    part = part_of(path)
    try:
        digest, done = hashlib.sha256(), 0
        with part.open("xb") as file, _asked(request) as answer:
            while block := _next(answer):
                done += len(block)
                if done > about.size:
                    raise _NoFile(f"it sends more than the {about.size:,} bytes of the file")
                digest.update(block)
                file.write(block)
                if progress is not None:
                    progress(path.name, done, about.size)
        if done < about.size:
            raise _NoFile(f"the connection ended after {done:,} of {about.size:,} bytes")
        if digest.hexdigest() != about.sha256:
            raise _NoFile(f"its SHA-256 is {digest.hexdigest()} instead of {about.sha256}")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)  # it is there only if something went wrong
