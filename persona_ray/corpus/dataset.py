"""Reading a finished corpus: clips in order, or one at a time, never all of them in memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from persona_ray.audio.coding import decode_flac
from persona_ray.corpus.manifest import Manifest, Shard, read_manifest, sha256_file
from persona_ray.corpus.records import CallOutcome
from persona_ray.corpus.tables import INFO_COLUMNS, call_outcome, clip_info
from persona_ray.errors import CorpusError
from persona_ray.types import Clip, ClipInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

# Row groups (64 clips, 1-2 MB) kept for random access.
_CACHED_GROUPS = 16


class CorpusDataset:
    """The clips and calls of one corpus folder, as its manifest stood when it was opened.

    Clips come in the order of their calls. Pickles as its path: another process opens it anew.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path = path
        self._manifest = manifest
        self._index: _ClipIndex | None = None
        self._files: dict[str, Any] = {}
        self._groups: OrderedDict[tuple[int, int], pa.Array] = OrderedDict()

    @classmethod
    def open(cls, path: Path | str) -> CorpusDataset:
        """CorpusError where `path` holds no finished corpus, or a shard is missing or cut short."""
        # Absolute, because workers of a cluster run in other folders.
        path = Path(path).absolute()
        manifest = read_manifest(path)
        for shard in (*manifest.clip_shards, *manifest.call_shards):
            file = path / shard.name
            if not file.is_file():
                raise CorpusError(f"shard {file} is missing: restore it, or build with --fresh")
            size = file.stat().st_size
            if size != shard.size_bytes:
                raise _damaged(file, f"it has {size} bytes instead of {shard.size_bytes}")
        return cls(path, manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._path, self._manifest)

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
        for shard in self._manifest.clip_shards:
            for row in self._rows(shard, INFO_COLUMNS):
                yield clip_info(row)

    def clips(self, clip_ids: Collection[str] | None = None) -> Iterator[Clip]:
        """Every clip with its audio, or those of `clip_ids`, in the order of the corpus.

        KeyError names a clip id that the corpus does not have, after the last clip.
        """
        wanted = None if clip_ids is None else set(clip_ids)
        for number, shard in enumerate(self._manifest.clip_shards):
            file = self._file(shard)
            for group in range(file.num_row_groups):
                rows = self._read_group(shard, group, INFO_COLUMNS).to_pylist()
                if wanted is not None and not any(row["clip_id"] in wanted for row in rows):
                    continue
                audio = self._audio(number, group)
                for row, data in zip(rows, audio, strict=True):
                    if wanted is None or row["clip_id"] in wanted:
                        yield self._with_audio(clip_info(row), data.as_py(), shard)
                        if wanted is not None:
                            wanted.discard(row["clip_id"])
        if wanted:
            raise KeyError(f"corpus {self._path} has no clip {min(wanted)}")

    def samples(self, clip_id: str) -> Samples:
        """Samples (samples,) of one clip; KeyError for an unknown clip."""
        data, shard = self._find(clip_id)
        return self._decode(data, shard)

    def digest(self, clip_id: str) -> str:
        """SHA-256 of the FLAC bytes of one clip; KeyError for an unknown clip."""
        return hashlib.sha256(self._find(clip_id)[0]).hexdigest()

    def calls(self) -> Iterator[CallOutcome]:
        """What became of every call."""
        for shard in self._manifest.call_shards:
            for row in self._rows(shard, None):
                yield call_outcome(row)

    def verify(self) -> None:
        """Compare every shard with its hash; CorpusError names the first that differs."""
        for shard in (*self._manifest.clip_shards, *self._manifest.call_shards):
            file = self._path / shard.name
            if sha256_file(file) != shard.sha256:
                raise _damaged(file, "its bytes do not match the hash in corpus.json")

    def _with_audio(self, info: ClipInfo, data: bytes, shard: Shard) -> Clip:
        return Clip(
            clip_id=info.clip_id,
            call_id=info.call_id,
            customer_id=info.customer_id,
            channel=info.channel,
            start_s=info.start_s,
            end_s=info.end_s,
            text=info.text,
            words=info.words,
            scene=info.scene,
            facts=info.facts,
            flags=info.flags,
            samples=self._decode(data, shard),
            sample_rate_hz=self.sample_rate_hz,
        )

    def _find(self, clip_id: str) -> tuple[bytes, Shard]:
        """FLAC bytes of one clip, and where they lie."""
        if self._index is None:
            self._index = self._build_index()
        number, row = self._index.find(clip_id, self._path)
        group, row = self._index.group_of(number, row)
        data: bytes = self._audio(number, group)[row].as_py()
        return data, self._manifest.clip_shards[number]

    def _decode(self, data: bytes, shard: Shard) -> Samples:
        try:
            samples, _ = decode_flac(data)
        except Exception as error:
            raise _damaged(self._path / shard.name, str(error)) from None
        return samples

    def _rows(self, shard: Shard, columns: list[str] | None) -> Iterator[dict[str, Any]]:
        for group in range(self._file(shard).num_row_groups):
            yield from self._read_group(shard, group, columns).to_pylist()

    def _audio(self, number: int, group: int) -> pa.ChunkedArray:
        """FLAC bytes (clips of the row group,), kept while recently used."""
        key = (number, group)
        if key in self._groups:
            self._groups.move_to_end(key)
            return self._groups[key]
        shard = self._manifest.clip_shards[number]
        audio = self._read_group(shard, group, ["audio"]).column("audio")
        self._groups[key] = audio
        while len(self._groups) > _CACHED_GROUPS:
            self._groups.popitem(last=False)
        return audio

    def _read_group(self, shard: Shard, group: int, columns: list[str] | None) -> pa.Table:
        try:
            return self._file(shard).read_row_group(group, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self._path / shard.name, str(error)) from None

    def _file(self, shard: Shard) -> Any:
        if shard.name not in self._files:
            file = self._path / shard.name
            try:
                self._files[shard.name] = pq.ParquetFile(file, memory_map=False)
            except FileNotFoundError:
                raise CorpusError(
                    f"shard {file} is missing: restore it, or build with --fresh"
                ) from None
            except (pa.ArrowException, OSError) as error:
                raise _damaged(file, str(error)) from None
        return self._files[shard.name]

    def _build_index(self) -> _ClipIndex:
        ids, groups = [], []
        for shard in self._manifest.clip_shards:
            metadata = self._file(shard).metadata
            sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            groups.append(np.cumsum([0, *sizes]))
            for group in range(len(sizes)):
                column = self._read_group(shard, group, ["clip_id"]).column("clip_id")
                ids.append(np.array(column.to_pylist(), dtype="S20"))
        return _ClipIndex(np.concatenate(ids) if ids else np.empty(0, dtype="S20"), groups)


class _ClipIndex:
    """Where each clip stands, in 28 bytes a clip: ids sorted, and the row each one has."""

    def __init__(self, ids: NDArray[np.bytes_], groups: list[NDArray[np.int64]]) -> None:
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]
        self._groups = groups
        self._firsts = np.cumsum([0, *(starts[-1] for starts in groups)])

    def find(self, clip_id: str, path: Path) -> tuple[int, int]:
        """(number of the shard, row in it)."""
        place = int(np.searchsorted(self._ids, clip_id.encode()))
        if place == len(self._ids) or self._ids[place] != clip_id.encode():
            raise KeyError(f"corpus {path} has no clip {clip_id}")
        row = int(self._order[place])
        shard = int(np.searchsorted(self._firsts, row, side="right")) - 1
        return shard, row - int(self._firsts[shard])

    def group_of(self, shard: int, row: int) -> tuple[int, int]:
        """(row group, row in it)."""
        starts = self._groups[shard]
        group = int(np.searchsorted(starts, row, side="right")) - 1
        return group, row - int(starts[group])


def _reopen(path: Path, manifest: Manifest) -> CorpusDataset:
    return CorpusDataset(path, manifest)


def _damaged(file: Path, why: str) -> CorpusError:
    reason = " ".join(why.split())
    return CorpusError(f"shard {file} is damaged ({reason}): restore it, or build with --fresh")
