"""A corpus whose clips are sealed reads as any other, and without the ring not at all."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.corpus.building import open_build
from persona_ray.corpus.compaction import compact
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.finished import FinishedCalls
from persona_ray.corpus.forgetting import Gone, forget_calls
from persona_ray.corpus.records import CallResult
from persona_ray.corpus.sealing import KEY, SealedCorpus, begin_sealing
from persona_ray.corpus.staging import Staging
from persona_ray.corpus.tables import result_table
from persona_ray.errors import CorpusError, VaultError
from persona_ray.progress import SilentProgress
from persona_ray.vault.keys import VARIABLE, new_key, ring_of
from persona_ray.vault.seal import vault_of
from tests.unit.corpus.folders import OUTCOMES, encoded, write_corpus

CLIPS = [encoded(number) for number in range(50)]
# Of every clip, what must not be read off the disk.
NEEDLES = [b"customer-", b"call-00", "产品".encode(), *(clip.audio[40:80] for clip in CLIPS)]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.delenv(VARIABLE, raising=False)
    return load_config(None, [f"workspace={tmp_path}", "privacy.vault.sealed=[clips]"])


def written(config: RunConfig) -> CorpusDataset:
    config.corpus_dir.mkdir()
    begin_sealing(config.corpus_dir, config)
    return write_corpus(config.corpus_dir, CLIPS)


def shown(folder: Path) -> list[str]:
    """Files of which something can be read."""
    files = [path for path in folder.rglob("*.parquet") if path.is_file()]
    return [p.name for p in files if any(needle in p.read_bytes() for needle in NEEDLES)]


def check(dataset: CorpusDataset) -> None:
    dataset.verify()
    assert list(dataset.infos()) == [clip.info for clip in CLIPS]
    assert [call.call_id for call in dataset.calls()] == ["call-000", "call-bad"]
    last = CLIPS[-1].info.clip_id
    (clip,) = dataset.clips([last])
    np.testing.assert_array_equal(dataset.samples(last), clip.samples)


def test_nothing_can_be_read_off_the_disk_and_everything_by_the_dataset(config: RunConfig) -> None:
    dataset = written(config)
    assert shown(config.corpus_dir) == []
    check(dataset)
    check(pickle.loads(pickle.dumps(dataset)))
    finished = FinishedCalls(config.corpus_dir, dataset.manifest.call_shards)
    assert finished.among(["call-000", "call-001"]) == {"call-000"}
    assert shown(write_corpus(config.workspace / "plain", CLIPS).path)


def test_a_build_seals_what_it_stages_and_goes_on_with_a_plain_corpus(config: RunConfig) -> None:
    settings = load_config(None, [f"workspace={config.workspace}"])
    plain = write_corpus(settings.corpus_dir, CLIPS[:10])
    outcome = replace(OUTCOMES[0], call_id="call-900")
    clip = replace(CLIPS[40], info=replace(CLIPS[40].info, call_id="call-900"))
    with open_build(config) as work:
        work.staging.commit(result_table(CallResult(outcome, (clip,))))
        assert shown(work.staging.folder) == []
        with SilentProgress().stage("shards", 1) as stage:
            compact(work.folder, work.staging, work.manifest, 40, stage)
    dataset = CorpusDataset.open(config.corpus_dir)
    assert [one.call_id for one in dataset.infos()][9:] == ["call-003", "call-900"]
    kept = SealedCorpus(config.corpus_dir, vault_of(config)).by_key()
    assert kept == {"": len(plain.manifest.clip_shards) + 1, ring_of(config).primary().key_id: 3}
    with open_build(config, fresh=True):
        assert SealedCorpus(config.corpus_dir, vault_of(config)).by_key().keys() != {""}


def test_who_is_forgotten_leaves_a_sealed_corpus_too(config: RunConfig) -> None:
    dataset = written(config)
    staging = Staging(config.corpus_dir / "staging" / "0")
    staging.folder.mkdir(parents=True)
    staging.commit(result_table(CallResult(OUTCOMES[0], (CLIPS[0],))))
    forget_calls(dataset.path, Gone(customers=frozenset({"customer-0"})))
    assert staging.count() == 0
    after = CorpusDataset.open(config.corpus_dir)
    assert list(after.infos()) == [clip.info for clip in CLIPS[9:]]
    assert shown(config.corpus_dir) == []


def test_a_new_key_of_the_vault_changes_no_shard(config: RunConfig) -> None:
    dataset = written(config)
    ring, vault = ring_of(config), vault_of(config)
    old, new = ring.primary(), new_key()
    ring.add(new)
    place = SealedCorpus(config.corpus_dir, vault)
    # Units are plain by design, and no clips that a build could seal.
    (config.corpus_dir / "units" / "v1").mkdir(parents=True)
    (config.corpus_dir / "units" / "v1" / "units.parquet").write_bytes(b"PAR1")
    files = len(dataset.manifest.clip_shards) + 2
    assert place.by_key() == {old.key_id: files}
    assert list(place.reseal(new.key_id)) == [files]
    assert place.by_key() == {new.key_id: files}
    assert list(place.reseal(new.key_id)) == []
    ring.drop(old.key_id)
    again = CorpusDataset.open(config.corpus_dir)
    assert again.fingerprint == dataset.fingerprint
    check(again)


def test_without_the_ring_or_the_data_key_it_says_what_is_missing(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, ring = written(config), ring_of(config)
    moved = config.workspace / "elsewhere"
    ring.path.rename(moved)
    with pytest.raises(VaultError, match=r"is not in the key ring .*vault\.keys"):
        next(CorpusDataset.open(dataset.path).infos())
    monkeypatch.setenv(VARIABLE, str(moved))
    check(CorpusDataset.open(dataset.path))
    (dataset.path / KEY).unlink()
    with pytest.raises(CorpusError, match=KEY):
        next(CorpusDataset.open(dataset.path).infos())


def test_a_ring_that_is_named_from_one_folder_is_found_from_another(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.workspace)
    vault = config.privacy.vault.model_copy(update={"keys": "secret/ring"})
    named = config.model_copy(
        update={"privacy": config.privacy.model_copy(update={"vault": vault})}
    )
    ring_of(named).add(new_key())
    dataset = written(named)
    monkeypatch.chdir("/")
    check(dataset)
