"""Reading a finished corpus: clips in order, or one at a time, never all of them in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from persona_ray.audio.coding import decode_flac
from persona_ray.corpus.manifest import Manifest, Shard, read_manifest
from persona_ray.corpus.records import CallOutcome
from persona_ray.corpus.sealing import KEY, is_sealed, reads
from persona_ray.corpus.shards import call_bounds
from persona_ray.corpus.tables import INFO_COLUMNS, call_outcome, clip_info
from persona_ray.errors import CorpusError, NotAudioError
from persona_ray.files import sha256_file
from persona_ray.types import Clip, ClipInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

# Row groups (64 clips, 1-2 MB) kept for random access.
_CACHED_GROUPS = 16
# A process may open about a thousand files, of all corpora together.
_OPEN_FILES = 128
# Clip ids are 20 hexadecimal digits.
_ID_TYPE = "S20"


class CorpusDataset:
    """The clips and calls of one corpus folder, as its manifest stood when it was opened.

    Clips come in the order of their calls. Pickles as its path: another process opens it anew.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path = path
        self._manifest = manifest
        self._audio = lru_cache(maxsize=_CACHED_GROUPS)(self._read_audio)
        self._file = lru_cache(maxsize=_OPEN_FILES)(self._open_file)

    @classmethod
    def open(cls, path: Path | str) -> CorpusDataset:
        """CorpusError where `path` holds no finished corpus, or a shard is missing or cut short."""
        # Absolute, because workers of a cluster run in other folders.
        path = Path(path).absolute()
        manifest = read_manifest(path)
        for shard in (*manifest.clip_shards, *manifest.call_shards):
            file = path / shard.name
            if not file.is_file():
                raise _missing(file)
            size = file.stat().st_size
            if size != shard.size_bytes:
                raise _damaged(file, f"it has {size} bytes instead of {shard.size_bytes}")
        return cls(path, manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        return CorpusDataset, (self._path, self._manifest)

    @property
    def path(self) -> Path:
        return self._path

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def fingerprint(self) -> str:
        """Changes with any clip or call of the corpus."""
        return self._manifest.fingerprint

    @property
    def sample_rate_hz(self) -> int:
        return self._manifest.sample_rate_hz

    def __len__(self) -> int:
        return sum(shard.rows for shard in self._manifest.clip_shards)

    def infos(self) -> Iterator[ClipInfo]:
        """Every clip without its audio."""
        for name, group in self._groups(self._manifest.clip_shards):
            yield from self._infos(name, group)

    def clips(self, clip_ids: Collection[str] | None = None) -> Iterator[Clip]:
        """Every clip with its audio, or those of `clip_ids`, in the order of the corpus.

        KeyError names a clip id that the corpus does not have, after the last clip.
        """
        wanted = None if clip_ids is None else set(clip_ids)
        for name, group in self._groups(self._manifest.clip_shards):
            if wanted is not None and not wanted:
                return
            infos = self._infos(name, group)
            for row, info in enumerate(infos):
                if wanted is None or info.clip_id in wanted:
                    yield Clip(
                        **{field.name: getattr(info, field.name) for field in fields(info)},
                        samples=self._samples(name, group, row),
                        sample_rate_hz=self.sample_rate_hz,
                    )
            if wanted is not None:
                wanted.difference_update(info.clip_id for info in infos)
        if wanted:
            raise KeyError(f"corpus {self._path} has no clip {min(wanted)}")

    def samples(self, clip_id: str) -> Samples:
        """Samples (samples,) of one clip; KeyError for an unknown clip."""
        return self._samples(*self._index.find(clip_id))

    def digest(self, clip_id: str) -> str:
        """SHA-256 of the FLAC bytes of one clip; KeyError for an unknown clip."""
        name, group, row = self._index.find(clip_id)
        return hashlib.sha256(self._audio(name, group)[row].as_py()).hexdigest()

    def calls(self) -> Iterator[CallOutcome]:
        """What became of every call."""
        for name, group in self._groups(self._manifest.call_shards):
            yield from map(call_outcome, self.read_group(name, group, None).to_pylist())

    def call_bounds(self, shards: Iterable[Shard]) -> Iterator[tuple[str, int, str, str]]:
        """(name of the shard, row group, first and last call id in it) of clip or call shards."""
        for shard in shards:
            for bounds in call_bounds(self._file(shard.name)):
                yield shard.name, *bounds

    def verify(self) -> None:
        """Compare every shard with its hash; CorpusError names the first that differs."""
        for shard in (*self._manifest.clip_shards, *self._manifest.call_shards):
            file = self._path / shard.name
            if sha256_file(file) != shard.sha256:
                raise _damaged(file, "its bytes do not match the hash in corpus.json")

    def _groups(self, shards: Iterable[Shard]) -> Iterator[tuple[str, int]]:
        """(name of the shard, number of the row group), in order."""
        for shard in shards:
            for group in range(self._file(shard.name).num_row_groups):
                yield shard.name, group

    def _infos(self, name: str, group: int) -> list[ClipInfo]:
        rows = self.read_group(name, group, INFO_COLUMNS).to_pylist()
        return [clip_info(row) for row in rows]

    def _samples(self, name: str, group: int, row: int) -> Samples:
        try:
            samples, _ = decode_flac(self._audio(name, group)[row].as_py())
        except NotAudioError as error:
            raise _damaged(self._path / name, str(error)) from None
        return samples

    def _read_audio(self, name: str, group: int) -> pa.ChunkedArray:
        """FLAC bytes (clips of the row group,)."""
        return self.read_group(name, group, ["audio"]).column("audio")

    def read_group(self, name: str, group: int, columns: list[str] | None) -> pa.Table:
        """A row group of a shard; CorpusError where it is damaged. `columns` None: all."""
        try:
            return self._file(name).read_row_group(group, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self._path / name, str(error)) from None

    def _open_file(self, name: str) -> Any:
        file = self._path / name
        try:
            return pq.ParquetFile(file, memory_map=False, **reads(self._path))
        except FileNotFoundError:
            raise _missing(file) from None
        except (pa.ArrowException, OSError) as error:
            if is_sealed(file) and not (self._path / KEY).exists():
                raise _missing(self._path / KEY) from None
            raise _damaged(file, str(error)) from None

    @cached_property
    def _index(self) -> _ClipIndex:
        ids = {
            (name, group): np.array(
                self.read_group(name, group, ["clip_id"])["clip_id"].to_pylist(), dtype=_ID_TYPE
            )
            for name, group in self._groups(self._manifest.clip_shards)
        }
        return _ClipIndex(self._path, ids)


class _ClipIndex:
    """Where each clip stands, in 28 bytes a clip: ids sorted, and the row each one has."""

    def __init__(self, path: Path, ids: Mapping[tuple[str, int], NDArray[np.bytes_]]) -> None:
        """`ids` by name of the shard and number of the row group, in order."""
        self._path = path
        self._groups = list(ids)
        self._starts = np.cumsum([0, *(len(part) for part in ids.values())])
        every = np.concatenate([*ids.values(), np.empty(0, dtype=_ID_TYPE)])
        self._rows = np.argsort(every, kind="stable")
        self._ids = every[self._rows]

    def find(self, clip_id: str) -> tuple[str, int, int]:
        """(name of the shard, number of the row group, row in it)."""
        key = clip_id.encode()
        place = int(np.searchsorted(self._ids, key))
        if place == len(self._ids) or self._ids[place] != key:
            raise KeyError(f"corpus {self._path} has no clip {clip_id}")
        row = int(self._rows[place])
        at = int(np.searchsorted(self._starts, row, side="right")) - 1
        return *self._groups[at], row - int(self._starts[at])


def _missing(file: Path) -> CorpusError:
    return CorpusError(f"{file} is missing: restore it, or build with --fresh")


def _damaged(file: Path, why: str) -> CorpusError:
    reason = " ".join(why.split())
    return CorpusError(f"shard {file} is damaged ({reason}): restore it, or build with --fresh")
