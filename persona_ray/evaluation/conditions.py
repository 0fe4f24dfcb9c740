"""Under what conditions each clip was recorded, for accuracy to be broken down by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.types import Clip

# Flags of the corpus that name the telephone coding of a file; the others are call conditions.
_CODINGS = ("mulaw", "alaw", "gsm")
_LENGTH_S = (3.0, 4.0, 6.0)
_NOISE_DB = (15.0, 25.0, 40.0)
_VOICE_HZ = (165.0, 220.0)


@dataclass(frozen=True, slots=True)
class Condition:
    """`dimension` (scene, codec, ...) is what is broken down by, `value` where this clip falls;
    values of one dimension are shown in the order of their `rank`."""

    dimension: str
    value: str
    rank: int = 0


def clip_conditions(
    dataset: CorpusDataset, clip_ids: Collection[str], truth: str = "", facts: Sequence[str] = ()
) -> dict[str, tuple[Condition, ...]]:
    """By clip id, as far as they are known. Every clip of `clip_ids` is read once, for its noise
    and its voice.

    `truth`: folder of planted truth, whose dirt is then a dimension; `facts` of customers to break
    down by. Raises ArchiveError where there is no truth, KeyError for an unknown clip.
    """
    uris = {call.call_id: call.audio_uri for call in dataset.calls()}
    planted = _planted_dirt(truth)
    known: dict[str, list[Condition]] = {}
    pitches: dict[str, list[float]] = defaultdict(list)
    owner = {}
    for clip in dataset.clips(clip_ids):
        found = [
            *([Condition("scene", clip.scene)] if clip.scene else []),
            Condition("codec", codec(uris.get(clip.call_id, ""), clip.flags)),
            band("clip length", clip.duration_s, _LENGTH_S, "s"),
            *_sounds(clip),
            Condition("call condition", _mended(clip.flags)),
            *([Condition("planted dirt", planted.get(clip.call_id, "none"))] if truth else []),
            *(
                Condition(name.replace("_", " "), clip.facts[name])
                for name in facts
                if clip.facts.get(name)
            ),
        ]
        known[clip.clip_id] = found
        owner[clip.clip_id] = clip.customer_id
        if (hz := _pitch_hz(clip)) is not None:
            pitches[clip.customer_id].append(hz)
    # One voice has one pitch, so that a customer's clips stay together.
    for clip_id, customer_id in owner.items():
        if heard := pitches.get(customer_id):
            known[clip_id].append(band("voice (median pitch)", median(heard), _VOICE_HZ, "Hz"))
    return {clip_id: tuple(found) for clip_id, found in known.items()}


def codec(uri: str, flags: Sequence[str]) -> str:
    """Of a recording: the kind of file, and its telephone coding where it has one."""
    kind = PurePosixPath(urlsplit(uri).path).suffix.lstrip(".").lower() or "unknown"
    coding = [flag for flag in flags if flag in _CODINGS]
    return " ".join([kind, *coding])


def band(dimension: str, value: float, edges: Sequence[float], unit: str) -> Condition:
    """Where `value` falls between `edges`; an edge belongs to the band above it."""
    rank = sum(value >= edge for edge in edges)
    if rank == 0:
        name = f"under {edges[0]:g} {unit}"
    elif rank == len(edges):
        name = f"{edges[-1]:g} {unit} and over"
    else:
        name = f"{edges[rank - 1]:g} to {edges[rank]:g} {unit}"
    return Condition(dimension, name, rank)


def _mended(flags: Sequence[str]) -> str:
    mended = sorted(flag.replace("_", " ") for flag in flags if flag not in _CODINGS)
    return ", ".join(mended) or "as recorded"


def _sounds(clip: Clip) -> list[Condition]:
    from persona_ray.audio.tone import level_range_db

    level_range = level_range_db(clip.samples, clip.sample_rate_hz)
    if level_range is None:
        return []
    return [band("speech over background", level_range, _NOISE_DB, "dB")]


def _pitch_hz(clip: Clip) -> float | None:
    from persona_ray.audio.tone import pitch_hz

    return pitch_hz(clip.samples, clip.sample_rate_hz)


def _planted_dirt(truth: str) -> Mapping[str, str]:
    """By call id."""
    from persona_ray.synth.truth import read_calls

    if not truth:
        return {}
    folder = Path(truth)
    archive = folder.parent if folder.name == "truth" else folder
    return {
        call.call_id: ", ".join(sorted(name.replace("_", " ") for name in call.dirt)) or "none"
        for call in read_calls(archive)
    }
