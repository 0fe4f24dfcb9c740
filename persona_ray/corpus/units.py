"""Units of clips, stored beside them: corpus/units/<version>/.

    units.parquet          clip_id, units (uint16 each): one a frame of the encoder
    codebook.safetensors   centres (clusters, features)
    units.json             what they were made of, how evenly they are used; hashes of the others

The folder is renamed into place when it is whole: a version is there or is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from persona_ray.errors import CorpusError
from persona_ray.files import draft_folder, sha256_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Units = NDArray[np.uint16]

FORMAT_VERSION = 1
INFO, TABLE, CODEBOOK = "units.json", "units.parquet", "codebook.safetensors"
_CENTRES = "centres"
_SCHEMA = pa.schema([("clip_id", pa.string()), ("units", pa.list_(pa.uint16()))])
# 256 clips of 4 s are 100 kB of units.
_GROUP_ROWS = 256
_CACHED_GROUPS = 64


class UnitsKey(BaseModel):
    """All that units depend on.

    `encoder` is the fingerprint of the encoder whose block `layer` they come from, empty for MFCC,
    which need no more of it than the grid of its frames: `rate_hz`, `window` and `stride` in
    samples. `source_hz` is the rate of the clips, cut to `longest_s`. `corpus` and `clips` are the
    fingerprints of the corpus and of the ids of those of its clips that have units.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    features: Literal["mfcc", "layer"]
    layer: int
    clusters: int
    sampled_frames: int
    seed: int
    encoder: str
    rate_hz: int
    window: int
    stride: int
    source_hz: int
    longest_s: float
    corpus: str
    clips: str

    @property
    def version(self) -> str:
        """16 hexadecimal digits."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class UnitsInfo(BaseModel):
    """The content of units.json.

    `used` is the share of clusters that frames have, `perplexity` how many evenly used ones would
    tell as much, `most_common` the share of frames in the largest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: UnitsKey
    clips: int
    frames: int
    used: float
    perplexity: float
    most_common: float
    sha256: dict[str, str]

    def __str__(self) -> str:
        source = "MFCC" if self.key.features == "mfcc" else f"block {self.key.layer}"
        return (
            f"{self.key.clusters} units of {source}: {self.used:.0%} used, perplexity "
            f"{self.perplexity:.1f}, the most common {self.most_common:.1%} of {self.frames} frames"
        )


class UnitStore:
    """Units by clip id, read as they are asked for. Pickles as its path."""

    def __init__(self, path: Path, info: UnitsInfo) -> None:
        self._path = path
        self._info = info
        self._group = lru_cache(maxsize=_CACHED_GROUPS)(self._read_group)

    @classmethod
    def open(cls, path: Path | str, key: UnitsKey | None = None) -> UnitStore:
        """CorpusError where `path` holds no units, damaged ones, or others than those of `key`."""
        path = Path(path).absolute()
        info = _read_info(path)
        if key is not None and info.key != key:
            raise CorpusError(
                f"{path} holds units of another make ({_difference(info.key, key)}): "
                "delete the folder, and they are computed anew"
            )
        for name, digest in info.sha256.items():
            file = path / name
            if not file.is_file() or sha256_file(file) != digest:
                raise _damaged(file, "its bytes do not match the hash in units.json")
        return cls(path, info)

    def __reduce__(self) -> tuple[Any, ...]:
        return UnitStore, (self._path, self._info)

    def __len__(self) -> int:
        return self._info.clips

    @property
    def path(self) -> Path:
        return self._path

    @property
    def info(self) -> UnitsInfo:
        return self._info

    @property
    def version(self) -> str:
        return self._info.key.version

    def units(self, clip_id: str) -> Units:
        """Units (frames,) of one clip; KeyError for a clip that has none."""
        place = self._places.get(clip_id)
        if place is None:
            raise KeyError(f"{self._path} has no units of clip {clip_id}")
        group, row = place
        # A copy: the group may go.
        return np.array(self._group(group)[row].values, dtype=np.uint16)

    def centres(self) -> NDArray[np.float32]:
        """The codebook (clusters, features)."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self._path / CODEBOOK)[_CENTRES]
        except (OSError, KeyError, SafetensorError) as error:
            raise _damaged(self._path / CODEBOOK, str(error)) from None

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """Row group of each clip, and the row in it."""
        return {
            clip_id: (group, row)
            for group in range(self._table.num_row_groups)
            for row, clip_id in enumerate(self._column(group, "clip_id").to_pylist())
        }

    def _read_group(self, group: int) -> pa.Array:
        return self._column(group, "units").combine_chunks()

    def _column(self, group: int, name: str) -> pa.ChunkedArray:
        try:
            return self._table.read_row_group(group, columns=[name]).column(name)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self._path / TABLE, str(error)) from None

    @cached_property
    def _table(self) -> Any:
        try:
            return pq.ParquetFile(self._path / TABLE, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self._path / TABLE, str(error)) from None


def units_dir(corpus_dir: Path, key: UnitsKey) -> Path:
    """Where the units of `key` are, or will be."""
    return corpus_dir / "units" / key.version


def clips_fingerprint(clip_ids: Iterable[str]) -> str:
    """SHA-256 of clip ids in their order."""
    digest = hashlib.sha256()
    for clip_id in clip_ids:
        digest.update(clip_id.encode() + b"\n")
    return digest.hexdigest()


def write_units(
    path: Path, key: UnitsKey, centres: NDArray[np.float32], rows: Iterable[tuple[str, Units]]
) -> UnitStore:
    """Write (clip id, units) `rows` as they come to the folder `path`, replacing what is there."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_folder(path) as folder:
        counts, clips = _write_table(folder / TABLE, rows, key.clusters)
        save_file({_CENTRES: np.ascontiguousarray(centres)}, folder / CODEBOOK)
        if counts.sum() == 0:
            raise CorpusError(f"no clip of {path.parent.parent} is left to compute units of")
        shares = counts[counts > 0] / counts.sum()
        info = UnitsInfo(
            key=key,
            clips=clips,
            frames=int(counts.sum()),
            used=float(np.mean(counts > 0)),
            perplexity=float(np.exp(-np.sum(shares * np.log(shares)))),
            most_common=float(shares.max()),
            sha256={name: sha256_file(folder / name) for name in (TABLE, CODEBOOK)},
        )
        text = json.dumps(info.model_dump(mode="json"), indent=1)
        (folder / INFO).write_text(text + "\n", encoding="utf-8")
    return UnitStore(path.absolute(), info)


def _write_table(
    file: Path, rows: Iterable[tuple[str, Units]], clusters: int
) -> tuple[NDArray[np.int64], int]:
    """Frames of each cluster (clusters,), and the number of clips."""
    counts, clips = np.zeros(clusters, dtype=np.int64), 0
    waiting: list[tuple[str, Units]] = []
    with pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        for row in rows:
            waiting.append(row)
            counts += np.bincount(row[1], minlength=clusters)
            clips += 1
            if len(waiting) == _GROUP_ROWS:
                writer.write_table(_table_of(waiting))
                waiting = []
        if waiting:
            writer.write_table(_table_of(waiting))
    return counts, clips


def _table_of(rows: list[tuple[str, Units]]) -> pa.Table:
    ids, units = zip(*rows, strict=True)
    offsets = np.cumsum([0, *(len(row) for row in units)], dtype=np.int32)
    lists = pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(units), pa.uint16()))
    return pa.table([pa.array(ids, pa.string()), lists], schema=_SCHEMA)


def _read_info(path: Path) -> UnitsInfo:
    file = path / INFO
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        version = tree["key"]["format_version"]
    except FileNotFoundError:
        raise CorpusError(
            f"{path} holds no units ({INFO} is missing): compute them first"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged(file, "it is no description of units") from None
    if version != FORMAT_VERSION:
        raise _damaged(file, f"it has format {version}, this program reads {FORMAT_VERSION}")
    try:
        return UnitsInfo.model_validate(tree)
    except ValidationError:
        raise _damaged(file, "it is no description of units") from None


def _difference(old: UnitsKey, new: UnitsKey) -> str:
    before, after = old.model_dump(), new.model_dump()
    return ", ".join(
        f"{name} {before[name]} instead of {after[name]}"
        for name in before
        if before[name] != after[name]
    )


def _damaged(file: Path, why: str) -> CorpusError:
    reason = " ".join(why.split())
    return CorpusError(
        f"units {file} are damaged ({reason}): delete the folder, and they are computed anew"
    )
