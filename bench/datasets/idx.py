"""The idx format of MNIST: a big-endian header (magic, then one size per dimension) and then the bytes, gzipped.

Magic 0x00000803 is unsigned bytes in three dimensions (images), 0x00000801 in one (labels); see the section "FILE
FORMATS" of the original MNIST page.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets.base import DataError

IMAGES, LABELS = 0x803, 0x801
LIMIT = 2**30
"""No more than this many bytes are unpacked: a small file can claim to be, and even unpack to, any size."""


def read(path: Path, magic: int) -> NDArray[np.uint8]:
    """The array in a gzipped idx file: (n, h, w) for magic IMAGES, (n,) for LABELS.

    DataError if the file is missing, is not gzip, ends too early, has another magic, holds fewer or more bytes than
    its header says, or nothing at all.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(LIMIT + 1)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except EOFError:
        raise _error(path, "it ends in the middle of the compressed data (an interrupted download?)") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _error(path, f"it is not a whole gzip file ({error})") from None
    except OSError as error:
        raise _error(path, str(error)) from None
    if len(content) > LIMIT:
        raise _error(path, f"it unpacks to more than {LIMIT:,} bytes")
    rank = magic & 0xFF
    start = 4 + 4 * rank
    if len(content) < start:
        raise _error(path, f"{len(content)} bytes are too few for the header of {start}")
    found, *sizes = struct.unpack(f">{1 + rank}I", content[:start])
    if found != magic:
        raise _error(path, f"its magic number is 0x{found:08x} instead of 0x{magic:08x}")
    expected, there = math.prod(sizes), len(content) - start
    if expected != there:
        words = "x".join(map(str, sizes))
        less = "fewer" if there < expected else "more"
        raise _error(path, f"its header promises {words} = {expected:,} bytes, but {there:,} follow, {less} than that")
    if not expected:
        raise _error(path, "it is empty")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


def _error(path: Path, reason: str) -> DataError:
    return DataError(f"{path} can not be read: {reason}; delete it and get the data set again")
