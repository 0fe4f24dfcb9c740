"""What frozen towers said of clips, kept in the workspace so that no clip is heard or read twice.

    <folder>/<key>/<name>.safetensors    vectors (clips, ...) float32, with the digests of the clips

The key stands for all that a vector depends on but the clip: the tower's weights and preprocessing,
where clips are cut, and the device's number format. A clip is known by the digest of its audio or
text: a corpus that grows, or is built anew, keeps what its clips have. Files are added whole or not
at all and never changed, so several processes may write at once. A file that is damaged or of
another key is passed over, and its clips are heard again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from persona_ray.files import draft
from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.finetune.encode import Pass, encode_once
from persona_ray.training.finetune.inputs import LabelledClips, SpeechVectors, Vectors

# Raised when the code behind a vector changes what it says.
VERSION = 2

Tower = Literal["speech", "text"]
Known = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class VectorCache:
    folder: Path

    def read(self, key: str, digests: Collection[str]) -> Known:
        """By digest, those of `digests` that are known."""
        wanted = set(digests)
        known: Known = {}
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

    def add(self, key: str, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep `vectors`, by digest, all of one tower."""
        from safetensors.numpy import save_file

        ids = sorted(vectors)
        if not ids:
            return
        rows = np.stack([np.asarray(vectors[name], dtype=np.float32) for name in ids])
        about = {"key": key, "digests": json.dumps(ids), "sha256": _sha256(rows)}
        name = hashlib.sha256("\0".join(ids).encode()).hexdigest()[:16]
        file = self.folder / key / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        with draft(file) as writing:
            save_file({"vectors": rows}, writing, metadata=about)

    def forget(self, digests: Collection[str]) -> int:
        """Delete what is known of clips, under every key; how many vectors. A file that is damaged
        goes whole: its clips are heard again."""
        gone, deleted = set(digests), 0
        for file in sorted(self.folder.glob("*/*.safetensors")):
            try:
                ids, vectors = _read(file, file.parent.name)
            except (OSError, ValueError, KeyError):
                file.unlink(missing_ok=True)
                continue
            left = {name: vectors[at] for at, name in enumerate(ids) if name not in gone}
            if len(left) < len(ids):
                self.add(file.parent.name, left)
                file.unlink()
                deleted += len(ids) - len(left)
        return deleted


def key_of(tower: Tower, model: BimodalModel, products_in: torch.dtype) -> str:
    """For a tower of `model` as it is now."""
    encoder = model.speech if tower == "speech" else model.text
    assert encoder is not None
    parts = {
        "version": VERSION,
        "tower": encoder.fingerprint(),
        "cut": model.max_clip_s if tower == "speech" else model.text and model.text.max_tokens,
        "products_in": str(products_in),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def heard(clips: LabelledClips, how: Pass, cache: VectorCache | None) -> SpeechVectors:
    """By clip id, the vectors of all clips by the speech tower of their model as it is now."""
    known = _through("speech", clips, how, cache)
    ids = [example.clip_id for example in clips.examples]
    return dict(zip(ids, (row.numpy() for row in known), strict=True))


def encoded(clips: LabelledClips, how: Pass, cache: VectorCache | None) -> Vectors:
    """Vectors of all clips by both towers as they are now: those that `clips` has, those in
    `cache`, and the rest from the towers, each worker its share; what is new is kept."""
    vectors = clips.vectors
    for tower in ("speech", "text"):
        there = getattr(clips.model, tower) is not None
        if there and getattr(vectors, tower) is None:
            found = _through(tower, clips, how, cache)
            vectors = replace(vectors, **{tower: found})
    return vectors


def _through(tower: Tower, clips: LabelledClips, how: Pass, cache: VectorCache | None) -> Tensor:
    if cache is None:
        return _encode(tower, clips, how)
    digests = _digests(tower, clips)
    key = key_of(tower, clips.model, how.products_in)
    found = cache.read(key, digests)
    # Workers on machines without a common file system know different clips.
    common = set.intersection(*(set(names) for names in how.agreement.gathered(list(found))))
    known = {name: found[name] for name in common}
    first_at = {digest: at for at, digest in reversed(list(enumerate(digests)))}
    missing = sorted(at for digest, at in first_at.items() if digest not in known)
    if missing:
        part = replace(clips, examples=[clips.examples[at] for at in missing])
        rows = _encode(tower, part, how).numpy()
        fresh = {digests[at]: row for at, row in zip(missing, rows, strict=True)}
        if how.worker.rank == 0:
            cache.add(key, fresh)
        known |= fresh
    return torch.tensor(np.stack([known[digest] for digest in digests]))


def _encode(tower: Tower, clips: LabelledClips, how: Pass) -> Tensor:
    # The other tower is not asked: it is said to have said nothing.
    nothing = torch.zeros(len(clips.examples), 0)
    other = Vectors(text=nothing) if tower == "speech" else Vectors(speech=nothing)
    vectors = encode_once(clips.with_vectors(other), how)
    rows = vectors.speech if tower == "speech" else vectors.text
    assert rows is not None
    return rows


def _digests(tower: Tower, clips: LabelledClips) -> Sequence[str]:
    if tower == "speech":
        return [clips.source.digest(example.clip_id) for example in clips.examples]
    return [hashlib.sha256(example.text.encode()).hexdigest() for example in clips.examples]


def _read(file: Path, key: str) -> tuple[list[str], NDArray[np.float32]]:
    """Raises OSError, ValueError or KeyError for a file that is damaged or of another key."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stored:
            about = stored.metadata() or {}
            vectors: NDArray[np.float32] = stored.get_tensor("vectors")
    except SafetensorError as error:
        raise ValueError(f"damaged ({error})") from None
    ids = json.loads(about["digests"])
    if about["key"] != key:
        raise ValueError("it is of another tower")
    if len(vectors) != len(ids) or _sha256(vectors) != about["sha256"]:
        raise ValueError("its vectors are not those that were written")
    return ids, vectors


def _sha256(vectors: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest()
