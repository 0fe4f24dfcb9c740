"""corpus.json: what a corpus folder holds. Writing it is what makes shards part of the corpus."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from persona_ray.config import RunConfig
from persona_ray.corpus.tables import FORMAT_VERSION
from persona_ray.errors import CorpusError
from persona_ray.files import write_whole

MANIFEST = "corpus.json"


class Shard(BaseModel):
    """One Parquet file of the corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rows: int
    size_bytes: int
    sha256: str


class Manifest(BaseModel):
    """The content of corpus.json. It holds no times and no paths: same calls, same bytes.

    `settings` are those parts of the configuration that decide what clips look like;
    `generation` counts the builds that added calls.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    settings_hash: str
    settings: dict[str, Any]
    generation: int = 0
    counts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    clip_shards: tuple[Shard, ...] = ()
    call_shards: tuple[Shard, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Changes with any byte of any shard."""
        digests = [shard.sha256 for shard in (*self.clip_shards, *self.call_shards)]
        text = "\n".join([str(self.format_version), self.settings_hash, *digests])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def sample_rate_hz(self) -> int:
        return int(self.settings["audio"]["sample_rate_hz"])


def corpus_settings(config: RunConfig) -> dict[str, Any]:
    """The settings that decide what clips look like, and thus whether a corpus may grow on.

    Where the calls are and how fast they are read is left out: a database may move.
    """
    return {
        "archive": config.archive.model_dump(
            mode="json", include={"mono", "agent_phrases", "max_call_s"}
        ),
        "audio": config.audio.model_dump(mode="json"),
        "vad": config.vad.model_dump(mode="json"),
        "asr": config.asr.model_dump(mode="json", exclude={"device", "threads"}),
        "cut": config.cut.model_dump(mode="json"),
    }


def settings_hash(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`cut.max_clip_s 12.0 -> 8.0` for every setting that differs."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key} {before.get(key)!r} -> {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def read_manifest(folder: Path) -> Manifest:
    """CorpusError where `folder` holds no corpus, or one of another make."""
    path = folder / MANIFEST
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        version = tree["format_version"]
    except FileNotFoundError:
        raise CorpusError(
            f"{folder} holds no finished corpus ({MANIFEST} is missing): "
            "run `persona-ray corpus build` first"
        ) from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise CorpusError(f"{path} is damaged: build the corpus again with --fresh") from None
    if version != FORMAT_VERSION:
        raise CorpusError(
            f"{path} has format {version}, this program reads {FORMAT_VERSION}: "
            "build the corpus again with --fresh"
        )
    try:
        return Manifest.model_validate(tree)
    except ValidationError:
        raise CorpusError(f"{path} is damaged: build the corpus again with --fresh") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Atomic: readers see the old corpus or the new one."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False)
    write_whole(folder / MANIFEST, text + "\n")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
