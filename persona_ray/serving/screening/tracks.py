"""The two tracks of a call while it goes on: journals of what was written, sealed piece by piece.

    tracks.1    length, 4 bytes | piece | length | piece ...
    piece       what, 1 byte | sample, 8 bytes | PCM of 16 bits ...     (opened)

Whoever holds the call writes a journal of his own and begins it with the sample that he goes on
from; journals are read in their order. So what one who was superseded still adds is taken back,
and a kill can cut off the last piece of a journal alone, which was never settled.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.config.privacy import Sealed
from persona_ray.vault.seal import sealed_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.vault.seal import Vault

_JOURNAL = re.compile(r"^tracks\.([0-9]+)$")
# Of releases that did not seal: the tracks themselves.
_PLAIN = ("caller.pcm", "robot.pcm")
_LENGTH, _HEAD = struct.Struct("<I"), struct.Struct("<BQ")
_SAMPLE_BYTES = 2


class What(IntEnum):
    """What a piece does at its sample."""

    CALLER = 0
    ROBOT = 1
    # The robot's track ends there, or both do.
    CUT = 2
    BACK = 3


class Journal:
    """The next journal of a call. Not for several threads."""

    def __init__(self, folder: Path, vault: Vault) -> None:
        """Makes its file. Raises FileNotFoundError where the folder is gone."""
        self._vault = vault
        # As far as it was written whole.
        self._pieces = self._end = 0
        number = max((number for number, _ in _journals(folder)), default=0)
        while True:
            number += 1
            self._path = folder / f"tracks.{number}"
            try:
                self._path.open("xb").close()
            except FileExistsError:
                continue
            return

    def add(self, pieces: list[tuple[What, int, bytes]]) -> None:
        """Raises FileNotFoundError where the recording was deleted, VaultError without a key."""
        written = b""
        for number, (what, sample, pcm) in enumerate(pieces, start=self._pieces):
            plain = _HEAD.pack(what, sample) + pcm
            piece = self._vault.kept(Sealed.RECORDINGS, plain, _about(self._path, number))
            written += _LENGTH.pack(len(piece)) + piece
        # Not made anew: a file that is gone was deleted with its call.
        with self._path.open("r+b") as file:
            file.seek(self._end)
            file.truncate()
            file.write(written)
        self._pieces, self._end = self._pieces + len(pieces), self._end + len(written)


def files(folder: Path) -> list[Path]:
    """What the tracks of a call lie in, in order."""
    plain = [folder / name for name in _PLAIN]
    return [path for path in plain if path.is_file()] + [path for _, path in _journals(folder)]


def read(folder: Path, vault: Vault) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """The samples (n,), (m,) of caller and robot. Raises VaultError."""
    caller, robot = (bytearray(_bytes(folder / name)) for name in _PLAIN)
    for _, path in _journals(folder):
        for what, sample, pcm in _pieces(path, vault):
            at = sample * _SAMPLE_BYTES
            if what in (What.CALLER, What.ROBOT):
                track = caller if what is What.CALLER else robot
                track.extend(bytes(max(0, at - len(track))))
                track[at : at + len(pcm)] = pcm
            else:
                del robot[at:]
                if what is What.BACK:
                    del caller[at:]
    return np.frombuffer(caller, "<i2"), np.frombuffer(robot, "<i2")


def sealed_by_keys(path: Path) -> set[str]:
    """Ids of the keys that sealed pieces of a journal; an empty one of those that are plain."""
    return {sealed_by(piece) for piece in _kept(path)}


def _pieces(path: Path, vault: Vault) -> Iterator[tuple[What, int, bytes]]:
    for number, kept in enumerate(_kept(path)):
        piece = vault.open(kept, _about(path, number))
        what, sample = _HEAD.unpack_from(piece)
        yield What(what), sample, piece[_HEAD.size :]


def _kept(path: Path) -> Iterator[bytes]:
    """Whole pieces as they lie there."""
    kept, at = path.read_bytes(), 0
    while at + _LENGTH.size <= len(kept):
        (length,) = _LENGTH.unpack_from(kept, at)
        at += _LENGTH.size
        if at + length > len(kept):
            return
        yield kept[at : at + length]
        at += length


def _about(path: Path, piece: int) -> str:
    return f"screening_recordings {path.parent.name} {path.name} {piece}"


def _journals(folder: Path) -> list[tuple[int, Path]]:
    found = ((_JOURNAL.match(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
