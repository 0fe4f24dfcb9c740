"""What a frozen front said of clips, on disk: frames, which take too much room for memory.

    <folder>/<key>/<name>.safetensors    frames (of all its clips, channels); of each clip its
                                         digest, samples, the end of its frames, a checksum

Files are added whole or not at all and never changed, so several processes may write at once. They
are memory-mapped: what a batch needs is read, and the system keeps what it has room for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from persona_ray.files import draft


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """`frames` (T, channels) of a clip with so many `samples`."""

    frames: Tensor
    samples: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a clip's frames lie: rows `start` to `end` of a file."""

    file: Path
    digest: str
    start: int
    end: int
    samples: int
    checksum: int


@dataclass(frozen=True, slots=True)
class FrontCache:
    folder: Path

    def places(self, key: str, digests: Collection[str]) -> dict[str, list[Place]]:
        """By digest, where those of `digests` lie that are there: usually once, more often where
        two processes were at work. Files that are damaged or of another key are passed over."""
        wanted = frozenset(digests)
        found: dict[str, list[Place]] = {}
        for file in sorted((self.folder / key).glob("*.safetensors")):
            try:
                inside = list(_contents(file, key))
            except (OSError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())
                logging.getLogger(__name__).warning(
                    "%s is passed over and may be deleted: %s", file, reason
                )
                continue
            for place in inside:
                if place.digest in wanted:
                    found.setdefault(place.digest, []).append(place)
        return found

    def add(self, key: str, clips: Mapping[str, ClipFrames]) -> dict[str, Place]:
        """Keep the frames of `clips`, by digest, in a file: where they lie now. Raises OSError."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        digests = sorted(clips)
        ends = torch.tensor([len(clips[name].frames) for name in digests]).cumsum(0)
        samples = [clips[name].samples for name in digests]
        checksums = [_checksum(name, clips[name].samples, clips[name].frames) for name in digests]
        tensors = {
            "frames": torch.cat([clips[name].frames for name in digests]),
            "ends": ends,
            "samples": torch.tensor(samples),
            "checksums": torch.tensor(checksums),
        }
        identity = json.dumps([key, digests, checksums])
        name = hashlib.sha256(identity.encode()).hexdigest()[:16]
        file = self.folder / key / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft(file) as writing:
                save_file(tensors, writing, metadata={"key": key, "digests": json.dumps(digests)})
        except SafetensorError as error:
            raise OSError(str(error)) from None
        return {place.digest: place for place in _contents(file, key)}

    def forget(self, digests: Collection[str]) -> int:
        """Delete files that know any of the clips, under every key; how many files. Frames take too
        much room to be written anew: the other clips are heard again."""
        gone, deleted = set(digests), 0
        for file in sorted(self.folder.glob("*/*.safetensors")):
            try:
                hit = any(place.digest in gone for place in _contents(file, file.parent.name))
            except (OSError, ValueError, KeyError):
                hit = True
            if hit:
                file.unlink(missing_ok=True)
                deleted += 1
        return deleted


class Reader:
    """Reads frames, and keeps files open."""

    def __init__(self) -> None:
        self._open: dict[Path, Any] = {}

    def read(self, place: Place) -> ClipFrames:
        """Raises ValueError for frames that are not those that were written, or OSError."""
        from safetensors import SafetensorError, safe_open

        try:
            if place.file not in self._open:
                opened: Any = safe_open(place.file, framework="pt")
                self._open[place.file] = opened.get_slice("frames")
            frames: Tensor = self._open[place.file][place.start : place.end]
        except (SafetensorError, IndexError) as error:
            raise ValueError(f"damaged ({error})") from None
        if _checksum(place.digest, place.samples, frames) != place.checksum:
            raise ValueError("they are not those that were written")
        return ClipFrames(frames, place.samples)

    def forget(self, file: Path) -> None:
        """It was written anew."""
        self._open.pop(file, None)


def _contents(file: Path, key: str) -> Iterator[Place]:
    """Raises OSError, ValueError or KeyError for a file that is damaged or of another key."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as stored:
            about = stored.metadata() or {}
            rows = stored.get_slice("frames").get_shape()[0]
            ends, samples, checksums = (
                stored.get_tensor(name).tolist() for name in ("ends", "samples", "checksums")
            )
    except SafetensorError as error:
        raise ValueError(f"damaged ({error})") from None
    if about["key"] != key:
        raise ValueError("it is of another front")
    digests = json.loads(about["digests"])
    starts = [0, *ends[:-1]]
    if rows != (ends[-1] if ends else 0) or sorted(ends) != ends:
        raise ValueError("damaged (its clips do not fill it)")
    rowwise = zip(digests, starts, ends, samples, checksums, strict=True)
    return (Place(file, *row) for row in rowwise)


def _checksum(digest: str, samples: int, frames: Tensor) -> int:
    # A view of the bytes, whatever their format: NumPy has no bfloat16.
    content = frames.contiguous().view(torch.uint8).numpy()
    return zlib.crc32(content.data, zlib.crc32(f"{digest} {samples}".encode()))
