"""Voiceprints in the database: sealed to their rows, moved to new keys, never half."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import select, update

from persona_ray.config.privacy import Sealed
from persona_ray.errors import VaultError
from persona_ray.store import Store, open_store
from persona_ray.store.screening.changes import VOICES
from persona_ray.store.screening.sealed import SealedPrints
from persona_ray.store.screening.tables import ChangeRow
from persona_ray.store.screening.voice_records import VoiceEntry, VoiceSample
from persona_ray.store.screening.voice_tables import VoiceRow, VoiceSampleRow
from persona_ray.vault.keys import Key, new_key
from persona_ray.vault.seal import PLAIN, Vault
from tests.unit.store.screening.test_voices import NOW
from tests.unit.vault.fixed import FixedKeys

VOICES_IN_ALL = 7
# A voice, its sample, its change.
ROWS = 3 * VOICES_IN_ALL


def prints(number: int) -> bytes:
    vector = np.random.default_rng(number).normal(size=256)
    return (vector / np.linalg.norm(vector)).astype("<f2").tobytes()


def fill(store: Store) -> None:
    for number in range(VOICES_IN_ALL):
        sample = VoiceSample(f"c{number}", prints(number), 3.0)
        entry = VoiceEntry(
            voice_id=f"v{number}",
            engine="e",
            voiceprint=sample.voiceprint,
            standing="abnormal",
            category="loans",
            origin="call",
        )
        assert store.voices.put(entry, [sample], None, NOW)


def vault_of(*keys: Key) -> Vault:
    return Vault(FixedKeys(*keys), tuple(Sealed))


def told(store: Store) -> list[bytes]:
    """All voiceprints as they lie in the database."""
    with store._database.read() as session:
        rows = [*session.scalars(select(VoiceRow.voiceprint))]
        rows += session.scalars(select(VoiceSampleRow.voiceprint))
        payloads = session.scalars(select(ChangeRow.payload))
        return rows + [(payload or {})["voiceprint"].encode() for payload in payloads]


def check(store: Store) -> None:
    """Everything opens to what it was made of."""
    entries = store.voices.page(NOW)
    assert [entry.voiceprint for entry in entries] == [prints(n) for n in range(VOICES_IN_ALL)]
    for number, change in enumerate(store.voices.since(0, 100)):
        assert change.payload == entries[number].payload()
        (sample,) = store.voices.samples(change.key)
        assert sample.voiceprint == prints(number)


def parts(store: Store, vault: Vault, key: Key) -> Iterator[int]:
    return SealedPrints(store._database, vault).reseal(key.key_id)


def test_what_was_plain_is_sealed_while_others_read_it(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_ray.store.screening.sealed._BATCH", 3)
    key = new_key()
    vault = vault_of(key)
    with open_store(store_url) as plain, open_store(store_url, vault=vault) as store:
        fill(plain)
        assert prints(0) in told(plain)
        check(store)
        assert store.sealed_prints.by_key() == {"": ROWS}
        # Killed after a part.
        assert next(parts(store, vault, key)) == 3
        check(store)
        assert store.sealed_prints.by_key() == {"": ROWS - 3, key.key_id: 3}
        assert sum(parts(store, vault, key)) == ROWS - 3
        assert store.sealed_prints.by_key() == {key.key_id: ROWS}
        check(store)
        assert sum(parts(store, vault, key)) == 0
        assert not {prints(number) for number in range(VOICES_IN_ALL)} & set(told(store))
        with pytest.raises(VaultError, match=key.key_id):
            plain.voices.page(NOW)


def test_a_new_key_takes_over_and_the_old_one_can_go(store_url: str) -> None:
    old, new = new_key(), new_key()
    with open_store(store_url, vault=vault_of(old)) as store:
        fill(store)
    both = vault_of(old, new)
    with open_store(store_url, vault=both) as store:
        assert sum(parts(store, both, new)) == ROWS
    with open_store(store_url, vault=vault_of(new)) as store:
        store.sealed_prints.require_keys()
        check(store)
    with open_store(store_url, vault=vault_of(old)) as store:
        with pytest.raises(VaultError, match=new.key_id):
            store.sealed_prints.require_keys()
        with pytest.raises(VaultError, match=new.key_id):
            store.voices.page(NOW)


def test_a_voiceprint_opens_in_its_own_row_alone(store: Store) -> None:
    fill(store)
    with store._database.write() as session:
        other = session.get_one(VoiceRow, "v1").voiceprint
        session.get_one(VoiceRow, "v0").voiceprint = other
        payload = session.get_one(ChangeRow, (VOICES, "", 2)).payload
        session.execute(update(ChangeRow).where(ChangeRow.sequence == 1).values(payload=payload))
    assert store.voices.get("v1") is not None
    with pytest.raises(VaultError):
        store.voices.get("v0")
    with pytest.raises(VaultError):
        store.voices.since(0, 1)


def test_what_is_not_to_be_sealed_stays_plain_and_what_was_goes_on(store_url: str) -> None:
    old, new = new_key(), new_key()
    with open_store(store_url, vault=vault_of(old)) as store:
        fill(store)
        store.voices.remove("v6", NOW)
    off = Vault(FixedKeys(old, new))
    with open_store(store_url, vault=off) as store:
        fill_one = VoiceSample("c9", prints(9), 3.0)
        assert store.voices.join("v5", fill_one, None, NOW)
        plain = store.sealed_prints.by_key()[""]
        assert plain == 3
        list(parts(store, off, new))
        assert set(store.sealed_prints.by_key()) == {"", new.key_id}
        assert store.sealed_prints.by_key()[""] == plain


def test_a_store_without_voices_asks_for_no_key(store_url: str) -> None:
    with open_store(store_url, vault=PLAIN) as store:
        store.sealed_prints.require_keys()
        assert list(store.sealed_prints.by_key()) == []
