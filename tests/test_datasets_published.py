"""MNIST and Fashion-MNIST: the idx format, damaged files, and the download from a server on this machine."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import ssl
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import datasets
from bench.datasets import DataError, cache, download, idx, published
from bench.datasets.published import File, Publication

REAL = os.environ.get("DAEBENCH_DATA")
TRAIN, TEST = 30, 10


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DAEBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def idx_bytes(magic: int, sizes: tuple[int, ...], content: bytes) -> bytes:
    return struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + content


def small_mnist() -> dict[str, bytes]:
    """Files as the published ones, with a few random images."""
    rng = np.random.default_rng(0)
    files = {}
    for stem, count in (("train", TRAIN), ("t10k", TEST)):
        images, labels = rng.bytes(count * 28 * 28), rng.integers(0, 10, count, np.uint8).tobytes()
        files[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(idx.IMAGES, (count, 28, 28), images))
        files[f"{stem}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(idx.LABELS, (count,), labels))
    return files


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_folder_named_by_the_environment_is_read(data_folder: Path) -> None:
    files = small_mnist()
    write(data_folder / "mnist", files)
    datasets.check("mnist")
    data = datasets.load("mnist")
    assert data.train.shape == (TRAIN, 28, 28, 1)
    assert data.test.shape == (TEST, 28, 28, 1)
    assert data.train.tobytes() == gzip.decompress(files["train-images-idx3-ubyte.gz"])[16:]
    assert data.test_labels is not None
    assert data.test_labels.astype(np.uint8).tobytes() == gzip.decompress(files["t10k-labels-idx1-ubyte.gz"])[8:]
    # They can be read, but are not the published ones, and the record will say so.
    assert len(data.notes) == 4
    assert "SHA-256 differs" in data.notes[0]


def test_subsets_take_images_and_labels_together(data_folder: Path) -> None:
    write(data_folder / "mnist", small_mnist())
    everything, few = datasets.load("mnist"), datasets.load("mnist", train=7, test=2)
    assert len(few.train) == 7
    assert everything.train_labels is not None
    assert few.train_labels is not None
    labels = {image.tobytes(): label for image, label in zip(everything.train, everything.train_labels, strict=True)}
    assert [labels[image.tobytes()] for image in few.train] == list(few.train_labels)
    with pytest.raises(DataError, match="train=31 is more than there is: mnist has 30 train images"):
        datasets.load("mnist", train=31)
    with pytest.raises(DataError, match="test=11 is more than there is: mnist has 10 test images"):
        datasets.check("mnist", test=11)


IMAGES = bytes(range(256)) * 49  # 16 images of 28x28
GOOD = idx_bytes(idx.IMAGES, (16, 28, 28), IMAGES)
# Without the time of day: processes that share the tests out must find the same ones.
packed = partial(gzip.compress, mtime=0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed(GOOD)[:-400], "ends in the middle of the compressed data"),
        (packed(GOOD)[:5], "ends in the middle"),
        (GOOD, "not a whole gzip file"),
        (b"<html>404 not found</html>", "not a whole gzip file"),
        (packed(GOOD)[:-8] + bytes(8), "not a whole gzip file"),  # a wrong CRC
        (packed(GOOD)[:200] + b"\xff" * 50 + packed(GOOD)[250:], "not a whole gzip file"),
        (packed(GOOD) + b"trailing", "not a whole gzip file"),
        (packed(GOOD[:-1]), r"promises 16x28x28 = 12,544 bytes, but 12,543 follow, fewer"),
        (packed(GOOD + b"x"), r"12,545 follow, more"),
        (packed(idx_bytes(idx.IMAGES, (2**31, 2**31, 2**31), IMAGES)), "fewer than that"),
        (packed(idx_bytes(idx.LABELS, (16,), IMAGES[:16])), "magic number is 0x00000801 instead of 0x00000803"),
        (packed(GOOD[:3]), "3 bytes are too few for the header of 16"),
        (packed(b""), "0 bytes are too few"),
        (b"", "0 bytes are too few"),
        (packed(idx_bytes(idx.IMAGES, (0, 28, 28), b"")), "it is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_damaged_idx_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        idx.read(path, idx.IMAGES)
    assert str(path) in str(caught.value)
    assert "get the data set again" in str(caught.value)


def test_a_good_idx_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(GOOD))
    images = idx.read(path, idx.IMAGES)
    assert images.shape == (16, 28, 28)
    assert images.tobytes() == IMAGES


def test_a_small_file_can_not_unpack_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "LIMIT", 10_000)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(GOOD))
    with pytest.raises(DataError, match="more than 10,000 bytes"):
        idx.read(path, idx.IMAGES)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (
            "train-images-idx3-ubyte.gz",
            idx_bytes(idx.IMAGES, (TRAIN, 14, 56), bytes(TRAIN * 784)),
            "14x56 instead of 28x28",
        ),
        ("t10k-labels-idx1-ubyte.gz", idx_bytes(idx.LABELS, (9,), bytes(9)), "10 images, but there are 9 labels"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(data_folder: Path, file: str, content: bytes, words: str) -> None:
    write(data_folder / "mnist", small_mnist() | {file: gzip.compress(content)})
    for verb in (datasets.load, datasets.check):
        with pytest.raises(DataError, match=words):
            verb("mnist")


def test_a_missing_file_means_that_the_data_set_is_not_here(data_folder: Path) -> None:
    write(data_folder / "mnist", small_mnist())
    (data_folder / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="daebench data get mnist"):
        datasets.check("mnist")


def test_the_download_folder_is_looked_into_too(tmp_path: Path) -> None:
    write(tmp_path / "cache" / "datasets" / "mnist", small_mnist())
    assert len(datasets.load("mnist").train) == TRAIN
    assert {info.name: info for info in datasets.describe()}["mnist"].present


@pytest.mark.skipif(REAL is None, reason="DAEBENCH_DATA names no folder with mnist/*.gz and fashion-mnist/*.gz")
@pytest.mark.parametrize(("name", "mean"), [("mnist", 0.1307), ("fashion-mnist", 0.2860)])
def test_the_published_files(monkeypatch: pytest.MonkeyPatch, name: str, mean: float) -> None:
    monkeypatch.setenv("DAEBENCH_DATA", str(REAL))
    if not published.find(name):
        pytest.skip(f"DAEBENCH_DATA has no {name}")
    datasets.check(name, train=60_000, test=10_000)
    with pytest.raises(DataError, match="has 60,000 train images"):
        datasets.check(name, train=60_001)
    data = datasets.load(name)
    assert data.train.shape == (60_000, 28, 28, 1)
    assert data.test.shape == (10_000, 28, 28, 1)
    assert data.notes == ()
    # The mean that everybody's normalisation of these data sets uses, to its four digits.
    assert datasets.as_float(data.train).mean(dtype=np.float64) == pytest.approx(mean, abs=5e-5)
    assert data.train_labels is not None
    assert len(np.unique(data.train_labels)) == 10


# --- downloading ------------------------------------------------------------------------------------------------------

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def whole(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def interrupted(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def altered(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    whole(handler, content[:-1] + bytes([content[-1] ^ 1]))


def endless(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    whole(handler, content * 3)


def login_page(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    whole(handler, b"<html>please log in</html>")


def not_found(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_error(404)


def hang_up(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.connection.close()


class Mirror:
    """A server that answers as it is told, and remembers what was asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, behaviour, name = self.path.split("/")
                mirror.asked.append(f"{behaviour}/{name}")
                answer: Answer = globals()[behaviour]
                answer(self, files[name])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, behaviour: Answer) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{behaviour.__name__}/"


@pytest.fixture
def files() -> dict[str, bytes]:
    return small_mnist()


@pytest.fixture
def mirror(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirror = Mirror(files)
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()


@pytest.fixture
def publication(files: dict[str, bytes]) -> Publication:
    about = {name: File(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
    return Publication("small", "this test", about, ())


def test_a_data_set_is_fetched_verified_and_then_there(
    mirror: Mirror, files: dict[str, bytes], publication: Publication, tmp_path: Path
) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(name: str, done: int, size: int) -> None:
        seen.setdefault(name, []).append((done, size))

    got = download.get("mnist", progress, mirrors=[mirror.url(whole)], publication=publication)
    assert got.folder == tmp_path / "cache" / "datasets" / "mnist"
    assert set(got.fetched) == set(files)
    assert {path.name: path.read_bytes() for path in got.folder.iterdir()} == files
    assert {name: calls[-1] for name, calls in seen.items()} == {n: (len(c), len(c)) for n, c in files.items()}
    assert "4 files fetched and verified" in str(got)
    assert len(datasets.load("mnist").train) == TRAIN

    asked = len(mirror.asked)
    again = download.get("mnist", mirrors=[mirror.url(whole)], publication=publication)
    assert again.fetched == ()
    assert "already present and verified" in str(again)
    assert len(mirror.asked) == asked


def test_files_in_the_persons_data_folder_are_not_fetched(
    files: dict[str, bytes], publication: Publication, data_folder: Path
) -> None:
    write(data_folder / "mnist", files)
    got = download.get("mnist", mirrors=["http://127.0.0.1:9/"], publication=publication)
    assert got.folder == data_folder / "mnist"
    assert got.fetched == ()


@pytest.mark.parametrize(
    "bad", [interrupted, altered, endless, login_page, not_found, hang_up], ids=lambda f: f.__name__
)
def test_the_next_mirror_helps_out(
    mirror: Mirror, files: dict[str, bytes], publication: Publication, bad: Answer
) -> None:
    got = download.get("mnist", mirrors=[mirror.url(bad), mirror.url(whole)], publication=publication)
    assert {path.name: path.read_bytes() for path in got.folder.iterdir()} == files
    assert len(mirror.asked) == 8


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (interrupted, "after"),
        (altered, "its SHA-256 is"),
        (endless, "it sends more than"),
        (login_page, "the connection ended after 26 of"),
        (not_found, "Not Found"),
        (hang_up, "hang_up/train-images"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_no_mirror_can_give_is_said_and_leaves_nothing(
    mirror: Mirror, publication: Publication, tmp_path: Path, bad: Answer, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        download.get("mnist", mirrors=[mirror.url(bad), mirror.url(not_found)], publication=publication)
    assert words in str(caught.value)
    assert "train-images-idx3-ubyte.gz could not be fetched from any mirror" in str(caught.value)
    assert str(caught.value).count("http://") == 2
    assert list((tmp_path / "cache" / "datasets" / "mnist").iterdir()) == []


def test_what_was_fetched_before_is_kept_and_what_is_damaged_is_fetched_again(
    mirror: Mirror, files: dict[str, bytes], publication: Publication
) -> None:
    got = download.get("mnist", mirrors=[mirror.url(whole)], publication=publication)
    damaged = got.folder / "t10k-images-idx3-ubyte.gz"
    damaged.write_bytes(bytes(len(files[damaged.name])))
    again = download.get("mnist", mirrors=[mirror.url(whole)], publication=publication)
    assert again.fetched == (damaged.name,)
    assert len(again.present) == 3
    assert damaged.read_bytes() == files[damaged.name]
    assert "1 file fetched and verified, 3 already present" in str(again)


def test_an_interrupt_leaves_nothing_half_done(mirror: Mirror, publication: Publication, tmp_path: Path) -> None:
    def progress(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.get("mnist", progress, mirrors=[mirror.url(whole)], publication=publication)
    assert list((tmp_path / "cache" / "datasets" / "mnist").iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_who_may_read_a_data_set_is_what_the_umask_says(
    mirror: Mirror, publication: Publication, umask: int, mode: int
) -> None:
    """Several people may share a cache folder."""
    before = os.umask(umask)
    try:
        got = download.get("mnist", mirrors=[mirror.url(whole)], publication=publication)
        drawn = cache.arrays("drawn", "key", lambda: {"a": np.zeros(3)})
    finally:
        os.umask(before)
    assert len(drawn) == 1
    files = [*got.folder.iterdir(), *(got.folder.parents[1] / "drawn").iterdir()]
    assert {path.name: path.stat().st_mode & 0o777 for path in files} == {
        **dict.fromkeys(publication.files, mode),
        "key.npz": mode,
    }


def test_a_folder_that_can_not_be_written_is_not_blamed_on_the_mirrors(
    mirror: Mirror, publication: Publication, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match="can not be written"):
        download.get("mnist", mirrors=[mirror.url(whole)], publication=publication)
    assert mirror.asked == []


@pytest.mark.parametrize(
    "error", [ssl.SSLError("decryption failed"), OSError(errno.EHOSTUNREACH, "No route to host")], ids=["tls", "route"]
)
def test_a_connection_that_fails_is_not_blamed_on_the_disk(
    mirror: Mirror, publication: Publication, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise error

    ask = urllib.request.urlopen

    def open_url(request: urllib.request.Request, timeout: float) -> Any:
        return Failing() if "interrupted" in request.full_url else ask(request, timeout=timeout)

    monkeypatch.setattr(urllib.request, "urlopen", open_url)
    got = download.get("mnist", mirrors=[mirror.url(interrupted), mirror.url(whole)], publication=publication)
    assert len(got.fetched) == 4
    got.folder.joinpath(got.fetched[0]).unlink()
    with pytest.raises(DataError, match="could not be fetched from any mirror") as caught:
        download.get("mnist", mirrors=[mirror.url(interrupted)], publication=publication)
    assert str(error) in str(caught.value)


def test_a_full_disk_is_not_blamed_on_the_mirrors(
    mirror: Mirror, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(DataError, match="can not be written: No space left"):
        download.get("mnist", mirrors=[mirror.url(whole), mirror.url(whole)], publication=publication)
    assert len(mirror.asked) == 1


def test_other_names_can_not_be_fetched() -> None:
    with pytest.raises(DataError, match="'glyphs' can not be fetched; possible are mnist, fashion-mnist"):
        download.get("glyphs")


def test_the_published_sums_and_mirrors_are_complete() -> None:
    assert set(download.names()) == {"mnist", "fashion-mnist"}
    for about in published.PUBLICATIONS.values():
        assert len(about.files) == 4
        assert all(len(file.sha256) == 64 and file.size > 4000 for file in about.files.values())
        assert len(about.mirrors) >= 2
        assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in about.mirrors)
