"""The corpus folder as readers see it: order, random access, memory, damage."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from persona_ray.audio.coding import decode_flac, encode_flac
from persona_ray.config import RunConfig
from persona_ray.corpus import dataset
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import Manifest, corpus_settings, settings_hash, write_manifest
from persona_ray.corpus.records import CallOutcome, EncodedClip, clip_id
from persona_ray.corpus.shards import ShardWriter
from persona_ray.corpus.tables import CALL_SCHEMA, CLIP_SCHEMA, call_table, clip_table
from persona_ray.errors import CorpusError
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
    kinds = {"rows_per_shard": 40, "rows_per_group": 16, "first": 0}
    with ShardWriter(folder, "clips", CLIP_SCHEMA, **kinds) as clip_writer:
        for start in range(0, len(clips), deal):
            clip_writer.write(clip_table(clips[start : start + deal]))
    with ShardWriter(folder, "calls", CALL_SCHEMA, **kinds) as call_writer:
        call_writer.write(call_table(OUTCOMES))
    settings = corpus_settings(RunConfig())
    manifest = Manifest(
        settings=settings,
        settings_hash=settings_hash(settings),
        clip_shards=tuple(clip_writer.shards),
        call_shards=tuple(call_writer.shards),
    )
    write_manifest(folder, manifest)
    return CorpusDataset.open(folder)


@pytest.fixture(scope="module")
def clips() -> list[EncodedClip]:
    return [encoded(number) for number in range(100)]


@pytest.fixture
def corpus(tmp_path: Path, clips: list[EncodedClip]) -> CorpusDataset:
    return write_corpus(tmp_path / "corpus", clips)


def test_what_is_written_comes_back_in_order(
    corpus: CorpusDataset, clips: list[EncodedClip]
) -> None:
    assert list(corpus.infos()) == [clip.info for clip in clips]
    assert list(corpus.calls()) == OUTCOMES
    assert len(corpus) == 100
    assert [shard.rows for shard in corpus.manifest.clip_shards] == [40, 40, 20]


def test_random_access_equals_the_walk(corpus: CorpusDataset, clips: list[EncodedClip]) -> None:
    for number in np.random.default_rng(0).permutation(100):
        wanted, rate_hz = decode_flac(clips[number].audio)
        np.testing.assert_array_equal(corpus.samples(clips[number].info.clip_id), wanted)
        assert rate_hz == corpus.sample_rate_hz
    for clip, source in zip(corpus.clips(), clips, strict=True):
        np.testing.assert_array_equal(clip.samples, decode_flac(source.audio)[0])


def test_a_subset_is_read_and_an_unknown_clip_is_named(
    corpus: CorpusDataset, clips: list[EncodedClip]
) -> None:
    wanted = [clips[n].info.clip_id for n in (77, 3, 41)]
    assert [clip.clip_id for clip in corpus.clips(wanted)] == [wanted[1], wanted[2], wanted[0]]
    with pytest.raises(KeyError, match="no clip 0123"):
        corpus.samples("0123")
    with pytest.raises(KeyError, match="no clip 0123"):
        list(corpus.clips([wanted[0], "0123"]))


def test_the_same_rows_give_the_same_bytes_however_dealt(
    tmp_path: Path, clips: list[EncodedClip]
) -> None:
    corpora = [write_corpus(tmp_path / str(deal), clips, deal) for deal in (1, 7, 1000)]
    assert len({corpus.fingerprint for corpus in corpora}) == 1
    other = write_corpus(tmp_path / "other", clips[:-1])
    assert other.fingerprint != corpora[0].fingerprint


def test_it_is_read_in_another_process(corpus: CorpusDataset, clips: list[EncodedClip]) -> None:
    corpus.samples(clips[0].info.clip_id)
    data = pickle.dumps(corpus)
    assert len(data) < 10_000
    again = pickle.loads(data)
    np.testing.assert_array_equal(
        again.samples(clips[9].info.clip_id), corpus.samples(clips[9].info.clip_id)
    )


def test_random_access_keeps_few_row_groups(tmp_path: Path) -> None:
    many = [encoded(number) for number in range(16 * 30)]
    corpus = write_corpus(tmp_path / "many", many)
    for clip in many[::16]:
        corpus.samples(clip.info.clip_id)
    assert corpus._audio.cache_info().currsize == 16


def test_a_corpus_of_many_shards_keeps_few_files_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [encoded(number) for number in range(40 * 6)]
    corpus = write_corpus(tmp_path / "many", many)
    monkeypatch.setattr(dataset, "_OPEN_FILES", 2)
    corpus = CorpusDataset.open(corpus.path)

    def opened() -> int:
        links = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
        return sum(link.readlink().is_relative_to(corpus.path) for link in links)

    for clip in many[::40]:
        corpus.samples(clip.info.clip_id)
        assert 0 < opened() <= 2
    assert sum(1 for _ in corpus.clips()) == len(many)
    assert opened() <= 2


def test_missing_and_damaged_shards_are_named(corpus: CorpusDataset) -> None:
    shard = corpus.path / "clips-00001.parquet"
    data = bytearray(shard.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 0xFF
    shard.write_bytes(data)
    with pytest.raises(CorpusError, match=r"clips-00001\.parquet is damaged"):
        CorpusDataset.open(corpus.path).verify()
    shard.write_bytes(data[:-1])
    with pytest.raises(CorpusError, match=r"clips-00001\.parquet is damaged .* bytes instead of"):
        CorpusDataset.open(corpus.path)
    shard.write_bytes(b"x" * corpus.manifest.clip_shards[1].size_bytes)
    with pytest.raises(CorpusError, match=r"clips-00001\.parquet is damaged"):
        list(CorpusDataset.open(corpus.path).infos())
    shard.unlink()
    with pytest.raises(CorpusError, match=r"clips-00001\.parquet is missing"):
        CorpusDataset.open(corpus.path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no finished corpus"),
        (b"{", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"format_version": \xff}', "is damaged"),
        (b'{"format_version": 99}', "has format 99"),
        (b'{"format_version": 1}', "is damaged"),
    ],
)
def test_a_folder_of_another_make_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "corpus.json").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        CorpusDataset.open(tmp_path)
