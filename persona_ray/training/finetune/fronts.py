"""A front that stays frozen hears each clip once, however many epochs its encoder is trained.

On processors the front is a large part of an encoder's work, and what it gives never changes while
it is frozen. Unlike the vectors of frozen towers, its frames are too many for memory: they are kept
on disk and read batch by batch, in the format of matrix products.

The key stands for all that frames depend on but the clip: the front's weights, preprocessing, where
clips are cut, and the number format. A clip is known by the digest of its audio. Frames that are
damaged are computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from persona_ray.errors import TrainingError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.tower import SpeechTower
from persona_ray.training.finetune.encode import Pass
from persona_ray.training.finetune.front_cache import ClipFrames, FrontCache, Place, Reader
from persona_ray.training.finetune.inputs import LabelledClips
from persona_ray.training.plan import plan_passes

# Raised when the code behind a frame changes what it says.
VERSION = 1
# Frames that wait in memory to be written together.
FILE_BYTES = 128 * 2**20


def with_fronts(
    parts: tuple[LabelledClips, LabelledClips], how: Pass, cache: FrontCache
) -> tuple[LabelledClips, LabelledClips]:
    """`parts`, both for one model, fed with front frames instead of audio. Those that are not there
    are computed now, each worker its share. Every worker calls this, before the model is handed to
    an engine. Raises TrainingError where they find no room."""
    clips = replace(parts[0], examples=[one for part in parts for one in part.examples])
    worker, agreement, products_in = how.worker, how.agreement, how.products_in
    key = key_of(clips.model, products_in)
    position_of = {
        clips.source.digest(example.clip_id): at for at, example in enumerate(clips.examples)
    }
    digests = sorted(position_of)

    def compute(missing: Sequence[str]) -> dict[str, Place]:
        if not missing:
            return {}
        positions = [position_of[digest] for digest in missing]
        return _compute(clips, positions, missing, how, cache, key)

    there = cache.places(key, digests)
    # Each clip's are read by one worker before all rely upon them.
    looked_at = _damaged(there, digests[worker.rank :: worker.world_size])
    damaged = {name for names in agreement.gathered(looked_at) for name in names}
    found = _whole(there, damaged)
    # Workers on machines without a common file system find different clips.
    missing = agreement.gathered([digest for digest in digests if digest not in found])
    nowhere = sorted(set.intersection(*(set(part) for part in missing)))
    found |= compute(nowhere[worker.rank :: worker.world_size])
    agreement.gathered(True)  # all have written
    found |= _whole(cache.places(key, [one for one in digests if one not in found]), damaged)
    found |= compute([digest for digest in digests if digest not in found])
    train, dev = (
        replace(part, front=FrontFrames(part, found, cache, key, products_in)) for part in parts
    )
    return train, dev


def key_of(model: BimodalModel, products_in: torch.dtype) -> str:
    """For the front of `model` as it is now."""
    parts = {
        "version": VERSION,
        "front": _hearing(model).front_fingerprint(),
        "cut": model.max_clip_s,
        "products_in": str(products_in),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class FrontFrames:
    """Front frames of `clips` as their batches need them. What cannot be read is computed again, by
    a copy of the front as it was when this was made: an engine may hold the model in pieces."""

    def __init__(
        self,
        clips: LabelledClips,
        places: Mapping[str, Place],
        cache: FrontCache,
        key: str,
        products_in: torch.dtype,
    ) -> None:
        """`places` by digest."""
        source = clips.source
        self._clips = clips
        self._places = [places[source.digest(example.clip_id)] for example in clips.examples]
        self._cache, self._key, self._products_in = cache, key, products_in
        self._front = _hearing(clips.model).front_alone()
        self._reader = Reader()

    def batch(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """`front` (batch, frames, channels), zero beyond a clip's own, and its `lengths` (batch,)
        in samples."""
        read = [self._read(position) for position in positions]
        return {
            "front": pad_sequence([one.frames for one in read], batch_first=True),
            "lengths": torch.tensor([one.samples for one in read]),
        }

    def _read(self, position: int) -> ClipFrames:
        try:
            return self._reader.read(self._places[position])
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            logging.getLogger(__name__).warning(
                "front frames of clip %s in %s are computed again: %s",
                self._clips.examples[position].clip_id, self._places[position].file, reason,
            )  # fmt: skip
        (again,) = _run_front(self._front, self._clips, [position], self._products_in)
        digest = self._places[position].digest
        try:
            self._places[position] = self._cache.add(self._key, {digest: again})[digest]
        except OSError:
            return again  # and so in the next epoch
        self._reader.forget(self._places[position].file)
        return again


def _compute(
    clips: LabelledClips,
    positions: Sequence[int],
    digests: Sequence[str],
    how: Pass,
    cache: FrontCache,
    key: str,
) -> dict[str, Place]:
    """Frames of the clips at `positions`, which have `digests`, into `cache`."""
    speech = _hearing(clips.model).to(how.worker.device)
    sizes = [clips.sizes()[position] for position in positions]
    places: dict[str, Place] = {}
    waiting: dict[str, ClipFrames] = {}
    for batch in plan_passes(sizes, how.batch_s, 1)[0]:
        at = [positions[one] for one in batch]
        frames = _run_front(speech, clips, at, how.products_in)
        waiting |= dict(zip((digests[one] for one in batch), frames, strict=True))
        if not places and len(waiting) == len(batch):
            bytes_a_second = sum(_bytes(one) for one in frames) / sum(sizes[one] for one in batch)
            _check_room(cache, bytes_a_second * sum(sizes))
        if sum(_bytes(one) for one in waiting.values()) >= FILE_BYTES:
            places |= _written(cache, key, waiting)
            waiting = {}
    return places | (_written(cache, key, waiting) if waiting else {})


def _run_front(
    speech: SpeechTower, clips: LabelledClips, positions: Sequence[int], products_in: torch.dtype
) -> list[ClipFrames]:
    device = next(speech.parameters()).device
    heard = {name: value.to(device) for name, value in clips.heard(positions).items()}
    in_bf16 = products_in == torch.bfloat16
    # Not in inference mode: the frames go into what is trained.
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=in_bf16):
        front = speech.front(heard["waves"], heard["lengths"]).to(products_in).cpu()
    counts = speech.frames(heard["lengths"]).tolist()
    return [
        ClipFrames(row[:count].clone(), samples)
        for row, count, samples in zip(front, counts, heard["lengths"].tolist(), strict=True)
    ]


def _damaged(places: Mapping[str, Sequence[Place]], digests: Sequence[str]) -> list[str]:
    reader, damaged = Reader(), []
    for place in (place for digest in digests for place in places.get(digest, ())):
        try:
            reader.read(place)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            logging.getLogger(__name__).warning(
                "front frames in %s are passed over: %s", place.file, reason
            )
            damaged.append(_name(place))
    return damaged


def _whole(places: Mapping[str, Sequence[Place]], damaged: Collection[str]) -> dict[str, Place]:
    """By digest, the first place that is not among those `damaged`."""
    good = {
        digest: [place for place in those if _name(place) not in damaged]
        for digest, those in places.items()
    }
    return {digest: those[0] for digest, those in good.items() if those}


def _name(place: Place) -> str:
    return f"{place.file.name} {place.start} {place.digest}"


def _bytes(clip: ClipFrames) -> int:
    return clip.frames.numel() * clip.frames.element_size()


def _check_room(cache: FrontCache, needed: float) -> None:
    cache.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache.folder).free
    if needed > free:
        raise TrainingError(
            f"training.cache_front needs {needed / 1e9:.1f} GB in {cache.folder}, which has "
            f"{free / 1e9:.1f} GB: make room, or set it to false"
        )


def _written(cache: FrontCache, key: str, frames: Mapping[str, ClipFrames]) -> dict[str, Place]:
    try:
        return cache.add(key, frames)
    except OSError as error:
        raise TrainingError(
            f"training.cache_front: front frames cannot be kept in {cache.folder} ({error}): make "
            "room, or set it to false"
        ) from None


def _hearing(model: BimodalModel) -> SpeechTower:
    assert model.speech is not None
    return model.speech
