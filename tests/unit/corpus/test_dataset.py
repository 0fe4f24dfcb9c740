"""The corpus folder as readers see it: order, random access, memory, damage."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from persona_ray.audio.coding import decode_flac
from persona_ray.corpus import dataset
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.records import EncodedClip
from persona_ray.errors import CorpusError
from tests.unit.corpus.folders import OUTCOMES, encoded, write_corpus


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
