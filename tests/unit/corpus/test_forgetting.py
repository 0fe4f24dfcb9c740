"""Calls that go from a corpus: nothing of them is left, and the rest is as it was."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona_ray.corpus import forgetting
from persona_ray.corpus.building import alone_in
from persona_ray.corpus.compaction import compact
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.forgetting import EXPIRED, Gone, expire_calls, forget_calls, traces
from persona_ray.corpus.manifest import read_manifest
from persona_ray.corpus.records import CallResult, EncodedClip
from persona_ray.corpus.staging import Staging
from persona_ray.corpus.tables import result_table
from persona_ray.errors import CorpusError
from persona_ray.progress import SilentProgress
from tests.unit.corpus.folders import OUTCOMES, encoded, write_corpus

GONE = Gone(customers=frozenset({"customer-0"}))


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def clips() -> list[EncodedClip]:
    return [encoded(number) for number in range(100)]


@pytest.fixture
def corpus(tmp_path: Path, clips: list[EncodedClip]) -> CorpusDataset:
    return write_corpus(tmp_path / "corpus", clips)


def _left(folder: Path, clips: list[EncodedClip]) -> list[str]:
    """Files that still hold a customer's id, call or sound."""
    needles = [b"customer-0\n", b"customer-0,", b"a.ogg", *(clip.audio for clip in clips[:9])]
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    ]


def _check(folder: Path, clips: list[EncodedClip]) -> None:
    dataset = CorpusDataset.open(folder)
    dataset.verify()
    assert list(dataset.infos()) == [clip.info for clip in clips[9:]]
    assert [call.call_id for call in dataset.calls()] == ["call-bad"]
    assert dataset.manifest.counts["calls"] == 1
    assert _left(folder, clips) == []
    np.testing.assert_array_equal(
        dataset.samples(clips[50].info.clip_id),
        next(clip.samples for clip in dataset.clips([clips[50].info.clip_id])),
    )


def test_a_customer_goes_and_the_rest_is_as_it_was(
    corpus: CorpusDataset, clips: list[EncodedClip]
) -> None:
    assert _left(corpus.path, clips)
    before = (corpus.path / corpus.manifest.clip_shards[0].name).stat().st_mtime_ns
    found = traces(corpus.path, GONE)
    assert found.clips == {clip.info.clip_id for clip in clips[:9]}
    assert found.calls == {"call-000", "call-001", "call-002"}
    assert corpus.digest(clips[0].info.clip_id) in found.digests
    deleted = forget_calls(corpus.path, GONE)
    assert (deleted.clips, deleted.calls) == (9, 1)
    _check(corpus.path, clips)
    manifest = read_manifest(corpus.path)
    assert manifest.fingerprint != corpus.fingerprint
    assert manifest.clip_shards[1:] == corpus.manifest.clip_shards[1:]
    # By its time its age is told.
    after = (corpus.path / manifest.clip_shards[0].name).stat().st_mtime_ns
    assert abs(after - before) < 1_000_000
    assert forget_calls(corpus.path, GONE) == forgetting.Deleted()


@pytest.mark.parametrize("at", ["_put", "write_set_aside", "write_manifest", "sweep"])
def test_killed_anywhere_the_same_call_ends_it(
    corpus: CorpusDataset, clips: list[EncodedClip], at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, at, killed)
        with pytest.raises(KilledError):
            forget_calls(corpus.path, GONE)
    # Old or new, it is whole.
    CorpusDataset.open(corpus.path).verify()
    forget_calls(corpus.path, GONE)
    _check(corpus.path, clips)


def test_a_corpus_that_lost_a_customer_grows_on(
    corpus: CorpusDataset, clips: list[EncodedClip]
) -> None:
    whole = Gone(customers=frozenset(clip.info.customer_id for clip in clips))
    forget_calls(corpus.path, whole)
    manifest = read_manifest(corpus.path)
    assert sum(shard.rows for shard in manifest.clip_shards) == 0
    staging = Staging(corpus.path / "staging" / "0")
    staging.folder.mkdir(parents=True)
    outcome = replace(OUTCOMES[0], call_id="call-900", customer_id="customer-900")
    info = replace(clips[0].info, call_id="call-900", customer_id="customer-900")
    staging.commit(result_table(CallResult(outcome, (replace(clips[0], info=info),))))
    with SilentProgress().stage("compacting", 1) as stage:
        compact(corpus.path, staging, manifest, 40, stage)
    dataset = CorpusDataset.open(corpus.path)
    dataset.verify()
    assert [clip.call_id for clip in dataset.infos()] == ["call-900"]


def test_staged_calls_go_and_a_build_at_work_is_waited_for(
    corpus: CorpusDataset, clips: list[EncodedClip]
) -> None:
    staging = Staging(corpus.path / "staging" / "0")
    staging.folder.mkdir(parents=True)
    staging.commit(result_table(CallResult(OUTCOMES[0], (clips[0],))))
    assert traces(corpus.path, GONE).calls >= {"call-000"}
    with (
        alone_in(corpus.path, "build"),
        pytest.raises(CorpusError, match="another build is at work"),
    ):
        forget_calls(corpus.path, GONE)
    forget_calls(corpus.path, GONE)
    assert staging.count() == 0


def test_what_is_too_old_leaves_only_that_it_was_heard(corpus: CorpusDataset) -> None:
    expire_calls(corpus.path, frozenset({"call-000"}))
    dataset = CorpusDataset.open(corpus.path)
    dataset.verify()
    call = next(iter(dataset.calls()))
    assert (call.call_id, call.customer_id, call.words, call.clips) == ("call-000", "", (), 0)
    assert call.flags == (EXPIRED,)
    assert "a.ogg" not in os.fsdecode(
        b"".join(path.read_bytes() for path in corpus.path.glob("calls*.parquet"))
    )
    assert next(clip.call_id for clip in dataset.infos()) == "call-001"
