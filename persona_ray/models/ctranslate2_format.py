"""Reader of CTranslate2's model.bin (version 6), by numpy alone.

Little-endian, strings with a u16 length that counts their closing NUL:

    u32 version, string spec, u32 revision
    u32 arrays, each: string name, u8 rank, u32 per dimension, u8 type, u32 bytes, data
    u32 aliases, each: string alias, string name

as CTranslate2 4.8 reads it (src/models/model.cc). Every length is checked against the file before
it is used, so that a damaged file gives a ValueError and never a strange array.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32] | NDArray[np.generic]

VERSION = 6
# Data types by their number in the file; bfloat16 (5) has no counterpart in numpy.
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_MAX_RANK = 8


def read_arrays(path: Path, wanted: Callable[[str], bool]) -> dict[str, Array]:
    """The arrays of `path` whose name `wanted` accepts, copied, in their own types.

    Raises ValueError for what is no whole model.bin of version 6, OSError where it cannot be read.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ValueError(f"{path} is empty") from None
        with data:
            return _Reader(data, path).arrays(wanted)


class _Reader:
    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data, self._path, self._at = data, path, 0

    def arrays(self, wanted: Callable[[str], bool]) -> dict[str, Array]:
        version = self._u32("version")
        if version != VERSION:
            raise ValueError(
                f"{self._path} has version {version} of CTranslate2's format, read is {VERSION}"
            )
        self._string("specification")
        self._u32("revision")
        found: dict[str, Array] = {}
        for _ in range(self._u32("number of arrays")):
            name = self._string("name of an array")
            array = self._array(name, wanted(name))
            if array is not None:
                found[name] = array
        for _ in range(self._u32("number of aliases")):
            alias, name = self._string("alias"), self._string("name behind an alias")
            if wanted(alias) and name in found:
                found[alias] = found[name]
        if self._at != len(self._data):
            raise self._damaged(f"{len(self._data) - self._at} bytes follow its end")
        return found

    def _array(self, name: str, wanted: bool) -> Array | None:
        rank = self._take(1, name)[0]
        if rank > _MAX_RANK:
            raise self._damaged(f"'{name}' has {rank} dimensions")
        shape = struct.unpack(f"<{rank}I", self._take(4 * rank, name))
        number = self._take(1, name)[0]
        size = self._u32(name)
        if not wanted:
            self._skip(size, name)
            return None
        if number not in _TYPES:
            raise self._damaged(f"'{name}' has the data type {number}, which is not known")
        dtype = np.dtype(_TYPES[number])
        if size != math.prod(shape) * dtype.itemsize:
            raise self._damaged(f"'{name}' of shape {shape} and type {dtype} has {size} bytes")
        return np.frombuffer(self._take(size, name), dtype=dtype).reshape(shape)

    def _string(self, what: str) -> str:
        (length,) = struct.unpack("<H", self._take(2, what))
        raw = self._take(length, what)
        if not raw.endswith(b"\0"):
            raise self._damaged(f"{what} at byte {self._at - length} does not end with NUL")
        try:
            return raw[:-1].decode("utf-8")
        except UnicodeDecodeError:
            raise self._damaged(f"{what} at byte {self._at - length} is no text") from None

    def _u32(self, what: str) -> int:
        (value,) = struct.unpack("<I", self._take(4, what))
        return int(value)

    def _take(self, size: int, what: str) -> bytes:
        start = self._at
        self._skip(size, what)
        return self._data[start : self._at]

    def _skip(self, size: int, what: str) -> None:
        if size > len(self._data) - self._at:
            raise self._damaged(f"it ends at byte {len(self._data)}, within {what}")
        self._at += size

    def _damaged(self, why: str) -> ValueError:
        return ValueError(f"{self._path} is no whole CTranslate2 model: {why}")
