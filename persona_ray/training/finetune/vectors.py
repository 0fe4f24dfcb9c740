"""What frozen speech towers said of clips, kept in the workspace so that no clip is heard twice.

    <folder>/<key>/<name>.safetensors    vectors (clips, layers, features) float32, with the ids

The key stands for all that a vector depends on but the clip: the tower's weights and preprocessing,
where clips are cut, the device's number format, and the corpus, whose clips the ids name. Files are
added whole or not at all and never changed, so several processes may write at once. A file that is
damaged or of another key is passed over, and its clips are heard again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.context import TrainContext
from persona_ray.training.finetune.encode import encode_once
from persona_ray.training.finetune.feeds import Feed, SpeechVectors, Vectors, speech_of
from persona_ray.training.finetune.parallel import computes_bf16, gathered
from persona_ray.types import Example

# Raised when the code behind a vector changes what it says.
VERSION = 1


@dataclass(frozen=True, slots=True)
class VectorCache:
    """Vectors of the clips of one corpus; `corpus` is its fingerprint."""

    folder: Path
    corpus: str

    def read(self, key: str, clip_ids: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """Those of `clip_ids` that are known, each (layers, features)."""
        wanted = set(clip_ids)
        known: dict[str, NDArray[np.float32]] = {}
        for file in sorted((self.folder / key).glob("*.safetensors")):
            if not wanted:
                break
            try:
                ids, vectors = _read(file, key)
            except (OSError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())
                logging.getLogger(__name__).warning("%s is passed over: %s", file, reason)
                continue
            known |= {name: vectors[at] for at, name in enumerate(ids) if name in wanted}
            wanted -= set(ids)
        return known

    def add(self, key: str, vectors: SpeechVectors) -> None:
        """Keep `vectors`, all of one tower."""
        from safetensors.numpy import save_file

        ids = sorted(vectors)
        if not ids:
            return
        rows = np.stack([np.asarray(vectors[name], dtype=np.float32) for name in ids])
        about = {"key": key, "clip_ids": json.dumps(ids), "sha256": _sha256(rows)}
        name = hashlib.sha256("\0".join(ids).encode()).hexdigest()[:16]
        file = self.folder / key / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        writing = file.with_name(f".{name}.{os.getpid()}.{threading.get_ident()}")
        save_file({"vectors": rows}, writing, metadata=about)
        writing.replace(file)

    def key(self, model: BimodalModel, device: torch.device) -> str:
        """For the speech tower of `model` as it is now."""
        assert model.speech is not None
        parts = {
            "version": VERSION,
            "tower": model.speech.fingerprint(),
            "max_clip_s": model.max_clip_s,
            "bf16": computes_bf16(device),
            "corpus": self.corpus,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def heard(
    feed: Feed, batch_s: float, context: TrainContext, cache: VectorCache | None
) -> SpeechVectors:
    """By clip id, the vectors of all clips of `feed` by the speech tower of its model as it is now:
    from `cache` where it has them, else heard here, each worker its share, and kept."""
    examples, key = feed.examples, ""
    known: dict[str, NDArray[np.float32]] = {}
    if cache is not None:
        key = cache.key(feed.model, context.device)
        found = cache.read(key, [example.clip_id for example in examples])
        # Workers on machines without a common file system know different clips.
        common = set.intersection(*(set(ids) for ids in gathered(list(found), context)))
        known = {name: found[name] for name in common}
    missing = [example for example in examples if example.clip_id not in known]
    if not missing:
        return known
    fresh = _hear(feed, missing, batch_s, context)
    if cache is not None and context.rank == 0:
        cache.add(key, fresh)
    return known | fresh


def encoded(
    feed: Feed, batch_s: float, context: TrainContext, cache: VectorCache | None
) -> Vectors:
    """`encode_once` with the speech vectors by way of `cache`."""
    if cache is not None and feed.model.speech is not None and feed.vectors.speech is None:
        known = heard(feed, batch_s, context, cache)
        feed = feed.with_vectors(speech_of(feed.examples, known))
    return encode_once(feed, batch_s, context)


def _hear(
    feed: Feed, examples: Sequence[Example], batch_s: float, context: TrainContext
) -> dict[str, NDArray[np.float32]]:
    text = None
    if feed.model.text is not None:
        # It is not asked here: one vector a clip that nobody reads.
        text = torch.zeros(len(examples), feed.model.text.features)
    part = Feed(examples, feed.source, feed.model, feed.device, Vectors(text=text))
    speech = encode_once(part, batch_s, context).speech
    assert speech is not None
    return {e.clip_id: row for e, row in zip(examples, speech.numpy(), strict=True)}


def _read(file: Path, key: str) -> tuple[list[str], NDArray[np.float32]]:
    """Raises OSError, ValueError or KeyError for a file that is damaged or of another key."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stored:
            about = stored.metadata() or {}
            vectors: NDArray[np.float32] = stored.get_tensor("vectors")
    except SafetensorError as error:
        raise ValueError(f"damaged ({error})") from None
    ids = json.loads(about["clip_ids"])
    if about["key"] != key:
        raise ValueError("it is of another tower or corpus")
    if vectors.ndim != 3 or len(vectors) != len(ids) or _sha256(vectors) != about["sha256"]:
        raise ValueError("its vectors are not those that were written")
    return ids, vectors


def _sha256(vectors: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest()
