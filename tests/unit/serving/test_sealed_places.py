"""All that the vault seals comes under a new key while it is used, and through a kill."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.sealing import begin_sealing
from persona_ray.errors import VaultError
from persona_ray.progress import SilentProgress
from persona_ray.serving import sealed_places
from persona_ray.serving.jobs import keep_upload, upload_place, uploads_dir
from persona_ray.serving.screening.recordings import RECORDING, Recorder, Recordings, opened
from persona_ray.serving.sealed_places import OpenTracks, Place, drop, places_of, rotate
from persona_ray.store import Store, open_store
from persona_ray.vault.keys import VARIABLE, KeyRing, ring_of
from persona_ray.vault.seal import PLAIN, Vault, sealed_by, vault_of
from tests.unit.corpus.folders import encoded, write_corpus
from tests.unit.store.screening.test_sealed import NOW, ROWS, check, fill

LATER = datetime.now(UTC) + timedelta(hours=1)
SOUND = np.linspace(-0.5, 0.5, 4000, dtype=np.float32)
CALLS = 5


class KilledError(BaseException):
    """Stands for the end of the process."""


class Filled:
    """A workspace with something in every place, and the service that goes on beside."""

    def __init__(self, config: RunConfig, store: Store, ring: KeyRing, vault: Vault) -> None:
        self.config, self.store, self.ring, self.vault = config, store, ring, vault
        self.recordings = Recordings(config.workspace)

    def fill(self) -> None:
        fill(self.store)
        for number in range(CALLS):
            self.call(f"ref{number}", self.vault).finish()
            keep_upload(uploads_dir(self.config) / "job" / str(number), b"RIFF", self.vault)
        self.config.corpus_dir.mkdir()
        begin_sealing(self.config.corpus_dir, self.config)
        write_corpus(self.config.corpus_dir, [encoded(number) for number in range(20)])

    def call(self, ref: str, vault: Vault) -> Recorder:
        folder = self.recordings.folder(self.recordings.place(ref))
        recorder = Recorder(folder, 8000, vault)
        recorder.hear(SOUND)
        recorder.flush()
        return recorder

    def places(self) -> tuple[Place, ...]:
        return places_of(self.config, self.store, self.vault)

    def rotate(self, anew: bool = False) -> str:
        return rotate(self.ring, self.places(), SilentProgress(), anew, followed_s=0)

    def drop(self, key_id: str, now: datetime = LATER) -> None:
        drop(self.ring, (*self.places(), OpenTracks(self.recordings)), key_id, now)

    def keys(self) -> set[str]:
        """Whose seals lie anywhere."""
        return {key for place in self.places() for key in place.by_key()}

    def check(self) -> None:
        """Everything is there and opens, as for a process that starts now."""
        vault = vault_of(self.config)
        with open_store(self.config.store_url, vault=vault) as store:
            check(store)
        found = sorted(self.recordings.every())
        assert len(found) >= CALLS
        for folder in found[:CALLS]:
            assert opened(folder / RECORDING, vault).startswith(b"OggS")
        uploads = sorted(uploads_dir(self.config).rglob("*"))[1:]
        assert len(uploads) == CALLS
        assert {vault.open(path.read_bytes(), upload_place(path)) for path in uploads} == {b"RIFF"}
        CorpusDataset.open(self.config.corpus_dir).samples(encoded(3).info.clip_id)


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filled]:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("persona_ray.store.screening.sealed._BATCH", 4)
    sealed = "privacy.vault.sealed=[voiceprints,recordings,clips]"
    config = load_config(None, [f"workspace={tmp_path}", sealed])
    ring = ring_of(config)
    vault = vault_of(config, ring)
    with open_store(config.store_url, vault=vault) as store:
        yield Filled(config, store, ring, vault)


def kill_after(monkeypatch: pytest.MonkeyPatch, values: int) -> None:
    """The process ends after so many values were sealed anew."""
    left = [values]
    resealed = Vault.resealed

    def counted(self: Vault, kept: bytes, about: str) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise KilledError
        return resealed(self, kept, about)

    monkeypatch.setattr(Vault, "resealed", counted)


@pytest.mark.parametrize("killed_after", [6, ROWS + 2, ROWS + 2 * CALLS])
def test_a_rotation_that_was_killed_goes_on_and_loses_nothing(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    filled.fill()
    old = filled.ring.primary().key_id
    with monkeypatch.context() as patched:
        kill_after(patched, killed_after)
        with pytest.raises(KilledError):
            filled.rotate()
    filled.check()
    new = filled.ring.primary().key_id
    assert new != old
    with pytest.raises(VaultError, match="still seals"):
        filled.drop(old)
    # It goes on with its own key.
    assert filled.rotate() == new
    assert filled.keys() == {new}
    filled.drop(old)
    assert [key.key_id for key in filled.ring.all()] == [new]
    filled.check()


def test_who_has_the_old_ring_alone_cannot_open_what_is_new(filled: Filled) -> None:
    filled.fill()
    stolen = filled.config.workspace / "stolen"
    shutil.copy(filled.ring.path, stolen)
    new = filled.rotate()
    thief = Vault(KeyRing(stolen, makes=False))
    recording = next(filled.recordings.every()) / RECORDING
    with pytest.raises(VaultError, match=new):
        opened(recording, thief)
    with (
        open_store(filled.config.store_url, vault=thief) as store,
        pytest.raises(VaultError, match=new),
    ):
        store.voices.page(NOW)


def test_a_service_that_runs_follows_and_its_open_calls_keep_their_key(filled: Filled) -> None:
    filled.fill()
    old = filled.ring.primary().key_id
    service = vault_of(filled.config)
    assert service.open(service.seal(b"", "x"), "x") == b""
    going_on = filled.call("zz", service)
    new = filled.rotate()
    # It has not looked at the ring since, and reads what is new.
    with open_store(filled.config.store_url, vault=service) as store:
        check(store)
    with pytest.raises(VaultError, match=f"key {old} still seals 1 of recordings of calls"):
        filled.drop(old)
    going_on.finish()
    filled.drop(old)
    assert filled.keys() == {new}


def test_what_was_plain_is_sealed_and_what_is_deleted_stays_so(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clips of a corpus are when it is built anew."""
    with open_store(filled.config.store_url) as store:
        fill(store)
    for number in range(CALLS):
        filled.call(f"ref{number}", PLAIN).finish()
    write_corpus(filled.config.corpus_dir, [encoded(1)])
    gone = sorted(filled.recordings.every())[2]
    resealed = Vault.resealed

    def deleting(self: Vault, kept: bytes, about: str) -> bytes:
        if gone.name in about:
            shutil.rmtree(gone)
        return resealed(self, kept, about)

    monkeypatch.setattr(Vault, "resealed", deleting)
    new = filled.rotate()
    assert not gone.exists()
    counts = {place.name: dict(place.by_key()) for place in filled.places()}
    assert counts == {
        "voiceprints": {new: ROWS},
        "recordings": {new: CALLS - 1},
        "uploads of jobs": {},
        "clips": {"": 2},
    }


def test_what_does_not_open_is_told_and_keeps_its_key(filled: Filled) -> None:
    filled.fill()
    old = filled.ring.primary().key_id
    damaged = sorted(filled.recordings.every())[1] / RECORDING
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    with pytest.raises(VaultError, match="1 of recordings stay as they are"):
        filled.rotate()
    assert filled.keys() == {old, filled.ring.primary().key_id}
    with pytest.raises(VaultError, match=f"key {old} still seals 1 of recordings"):
        filled.drop(old)
    damaged.write_bytes(content)
    filled.rotate()
    assert sealed_by(damaged.read_bytes()) == filled.ring.primary().key_id


def test_a_key_that_is_needed_or_not_yet_replaced_everywhere_is_kept(filled: Filled) -> None:
    filled.fill()
    old = filled.ring.primary().key_id
    with pytest.raises(VaultError, match="there is no key 'x'"):
        filled.drop("x")
    with pytest.raises(VaultError, match="seals now"):
        filled.drop(old)
    first = filled.rotate()
    with pytest.raises(VaultError, match=f"drop {old} in 1"):
        filled.drop(old, datetime.now(UTC))
    assert filled.rotate() != first
    assert filled.rotate(anew=True) != first
    assert sealed_places.SETTLED_S >= 60
