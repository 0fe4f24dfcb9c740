"""Corpus folders: written without a build, and compared byte by byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from persona_ray.audio.coding import encode_flac
from persona_ray.config import RunConfig
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import Manifest, corpus_settings, settings_hash, write_manifest
from persona_ray.corpus.records import CallOutcome, EncodedClip, clip_id
from persona_ray.corpus.shards import ShardWriter
from persona_ray.corpus.tables import CALL_SCHEMA, CLIP_SCHEMA, call_table, clip_table
from persona_ray.types import CallStatus, ClipInfo, QuarantineReason, Word


def encoded(number: int) -> EncodedClip:
    start_s = number * 2.0
    info = ClipInfo(
        clip_id=clip_id(f"call-{number // 3:03d}", 1, start_s, start_s + 0.5),
        call_id=f"call-{number // 3:03d}",
        customer_id=f"customer-{number // 9}",
        channel=1,
        start_s=start_s,
        end_s=start_s + 0.5,
        text="我想问一下这个产品的收益",
        words=(Word("我想问一下", start_s, start_s + 0.2), Word("这个产品的收益", 0.2, 0.5)),
        scene="fund",
        facts={"age_band": "30-39", "city": "杭州"},
        flags=("rate_16000",) if number % 2 else (),
    )
    noise = np.random.default_rng(number).uniform(-0.5, 0.5, 400 + number).astype(np.float32)
    return EncodedClip(info, encode_flac(noise, 8000))


OUTCOMES = [
    CallOutcome(
        call_id="call-000",
        customer_id="customer-0",
        audio_uri="a.ogg",
        status=CallStatus.OK,
        channel=1,
        clips=3,
        dropped={"short": 2},
        audio_s=31.5,
        speech_s=11.0,
        clips_s=1.5,
        transcript_source="archive",
        flags=("channel_swapped",),
    ),
    CallOutcome(
        call_id="call-bad",
        customer_id="",
        audio_uri="b.ogg",
        status=CallStatus.QUARANTINED,
        reason=QuarantineReason.BAD_ROW,
        detail="customer_id is null",
    ),
]


def write_corpus(folder: Path, clips: list[EncodedClip], deal: int = 1000) -> CorpusDataset:
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"rows_per_shard": 40, "rows_per_group": 16}
    with ShardWriter(folder, "clips", CLIP_SCHEMA, (), **kinds) as clip_writer:
        for start in range(0, len(clips), deal):
            clip_writer.write(clip_table(clips[start : start + deal]))
    with ShardWriter(folder, "calls", CALL_SCHEMA, (), **kinds) as call_writer:
        call_writer.write(call_table(OUTCOMES))
    settings = corpus_settings(RunConfig())
    manifest = Manifest(
        settings=settings,
        settings_hash=settings_hash(settings),
        clip_shards=clip_writer.shards,
        call_shards=call_writer.shards,
    )
    write_manifest(folder, manifest)
    return CorpusDataset.open(folder)


def digests(folder: Path) -> dict[str, str]:
    """Every file of a corpus and a hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
