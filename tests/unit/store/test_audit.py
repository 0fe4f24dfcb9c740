"""The audit log: what is written, and that nothing of it can be changed unseen."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from persona_ray.errors import AuditError
from persona_ray.store import Store, open_store
from persona_ray.store.audit import Entry, verify
from persona_ray.store.audit_seal import HEAD, AuditHead, AuditSeal
from persona_ray.vault.statements import base64_text, canonical

ENTRIES = 6


@pytest.fixture
def seal(tmp_path: Path) -> AuditSeal:
    return AuditSeal(tmp_path / "keys")


@pytest.fixture
def audited(store_url: str, seal: AuditSeal) -> Iterator[Store]:
    with open_store(store_url, seal) as opened:
        yield opened


def test_entries_stand_in_the_transaction_they_tell_of(audited: Store) -> None:
    with audited.write() as session:
        audited.audit.append(session, "user:root", "keys.create", "key:1", details={"calls": 2})
    with pytest.raises(ValueError, match="no scope"), audited.write() as session:
        _fail_after(audited.audit.append(session, "user:root", "keys.create", "key:2"))
    audited.audit.note("user:root", "keys.revoke", "key:1")
    found = [(entry.number, entry.action, entry.about) for entry in audited.audit.entries()]
    assert found == [(1, "keys.create", "key:1"), (2, "keys.revoke", "key:1")]
    verified = audited.audit.verify()
    assert (verified.entries, verified.first, verified.last) == (2, 1, 2)
    assert audited.audit.seal.head() == AuditHead(number=2, hash=verified.hash)


def _fail_after(entry: Entry) -> None:
    raise ValueError(f"no scope: entry {entry.number}")


def test_writers_at_the_same_time_make_one_chain(audited: Store) -> None:
    def write() -> None:
        for _ in range(5):
            audited.audit.note("user:root", "test")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audited.audit.verify().last == 20
    assert audited.audit.seal.head().number == 20


def _note_ten(audited: Store) -> None:
    with audited.write() as session:
        for _ in range(10):
            audited.audit.append(session, "user:root", "test")


@pytest.mark.parametrize(
    ("damage", "entry"),
    [
        ("UPDATE audit_log SET outcome = 'refused' WHERE number = 3", 3),
        ("DELETE FROM audit_log WHERE number = 4", 4),
        ("DELETE FROM audit_log WHERE number <= 2", 2),
        ("DELETE FROM audit_log WHERE number > 4", 5),
        ("DELETE FROM audit_log", 1),
        ("UPDATE audit_log SET hash = previous, previous = hash WHERE number = 7", 7),
        ("UPDATE audit_log SET number = 0 WHERE number = 1", 0),
        ("UPDATE audit_log SET number = -3 WHERE number = 10", -3),
    ],
)
def test_who_writes_to_the_database_is_found_out(audited: Store, damage: str, entry: int) -> None:
    _note_ten(audited)
    with audited.write() as session:
        session.execute(text(damage))
    with pytest.raises(AuditError, match=f"entry {entry} "):
        audited.audit.verify()
    # The log goes on, and hides nothing.
    _note_ten(audited)
    with pytest.raises(AuditError, match="audit log: entry"):
        audited.audit.verify()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Entry], AuditSeal]:
    folder = tmp_path_factory.mktemp("audit")
    seal = AuditSeal(folder / "keys")
    with open_store(f"sqlite:///{folder}/store.sqlite", seal) as store:
        for number in range(ENTRIES // 2):
            store.audit.note("user:root", "forget", store.audit.person("customer", f"C{number}"))
        # A successor signs the rest.
        seal.keys.rotate()
        for number in range(ENTRIES // 2):
            store.audit.note("key:1", "models.promote", details={"version": number})
        return list(store.audit.entries()), seal


def _edited(entries: list[Entry], data: st.DataObject) -> list[Entry]:
    at = data.draw(st.integers(0, len(entries) - 1))
    row = {name: getattr(entries[at], name) for name in Entry.__dataclass_fields__}
    name = data.draw(st.sampled_from([name for name in row if name != "number"]))
    others = [getattr(entry, name) for entry in entries]
    new = data.draw(
        st.one_of(st.sampled_from(others), st.text(max_size=8), st.just(row[name] + " "))
    )
    row[name] = new
    return [*entries[:at], Entry(**row), *entries[at + 1 :]]


def _without(entries: list[Entry], data: st.DataObject) -> list[Entry]:
    first = data.draw(st.integers(0, len(entries) - 1))
    last = data.draw(st.integers(first + 1, len(entries)))
    return entries[:first] + entries[last:]


def _swapped(entries: list[Entry], data: st.DataObject) -> list[Entry]:
    order = data.draw(st.permutations(entries))
    renumber = data.draw(st.booleans())
    rows = [{name: getattr(e, name) for name in Entry.__dataclass_fields__} for e in order]
    if renumber:
        rows = [{**row, "number": number} for number, row in enumerate(rows, 1)]
    return [Entry(**row) for row in rows]


def _inserted(entries: list[Entry], data: st.DataObject) -> list[Entry]:
    """An entry made by somebody who knows everything but the keys."""
    at = data.draw(st.integers(0, len(entries)))
    previous = entries[at - 1].hash if at else ""
    like = entries[min(at, len(entries) - 1)]
    new = Entry(
        number=at + 1,
        at=like.at,
        actor=data.draw(st.sampled_from(["user:root", "key:9"])),
        action=like.action,
        about=like.about,
        outcome=like.outcome,
        details=like.details,
        previous=previous,
        hash="",
        key_id=like.key_id,
        signature=data.draw(st.sampled_from([like.signature, base64_text(bytes(64))])),
    )
    return [*entries[:at], _rehashed(new), *entries[at:]]


def _rewritten(entries: list[Entry], data: st.DataObject) -> list[Entry]:
    """One is edited, and all hashes after it are made to fit."""
    edited = _edited(entries, data)
    previous, rows = "", []
    for entry in edited:
        row = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
        rows.append(_rehashed(Entry(**{**row, "previous": previous})))
        previous = rows[-1].hash
    return rows


def _rehashed(entry: Entry) -> Entry:
    row = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
    digest = hashlib.sha256(canonical(entry.statement())).hexdigest()
    return Entry(**{**row, "hash": digest})


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    change=st.sampled_from([_edited, _without, _swapped, _inserted, _rewritten]),
)
def test_any_change_is_found(
    whole: tuple[list[Entry], AuditSeal],
    data: st.DataObject,
    change: Callable[[list[Entry], st.DataObject], list[Entry]],
) -> None:
    entries, seal = whole
    assert verify(iter(entries), seal, [seal.head()]).entries == ENTRIES
    changed = change(entries, data)
    if changed == entries:
        return
    with pytest.raises(AuditError, match="audit log: entry"):
        verify(iter(changed), seal, [seal.head()])


def test_what_is_pruned_is_told_and_the_rest_verifies(audited: Store) -> None:
    for _ in range(5):
        audited.audit.note("user:root", "test")
    assert audited.audit.prune(datetime.now(UTC) - timedelta(days=1), "user:root") == 0
    assert audited.audit.prune(datetime.now(UTC) + timedelta(days=1), "user:root") == 4
    verified = audited.audit.verify()
    assert (verified.first, verified.last) == (5, 6)


def test_a_store_that_was_put_back_says_where_its_head_was(tmp_path: Path, seal: AuditSeal) -> None:
    with open_store(f"sqlite:///{tmp_path}/old.sqlite", seal) as store:
        for _ in range(3):
            store.audit.note("user:root", "test")
    with open_store(f"sqlite:///{tmp_path}/restored.sqlite", seal) as store:
        with pytest.raises(AuditError, match="once reached 3"):
            store.audit.verify()
        with store.write() as session:
            entry = store.audit.rewound(session, "user:root")
        assert entry.told()["details"]["head"] == 3
        assert store.audit.verify().last == 1


def test_a_head_that_was_changed_and_a_reader_that_writes(audited: Store, seal: AuditSeal) -> None:
    audited.audit.note("user:root", "test")
    head = seal.folder / HEAD
    head.write_text(head.read_text().replace('"number":1', '"number":0'))
    with pytest.raises(AuditError, match="not as it was signed"):
        audited.audit.verify()
    with (
        open_store("sqlite://") as reader,
        pytest.raises(AuditError, match="open it by open_audited"),
    ):
        reader.audit.note("user:root", "test")


@pytest.mark.parametrize(("kept", "cut"), [(0, False), (3, False), (2, True)])
def test_a_head_that_is_gone_or_cut_is_told_until_the_store_is_put_back(
    audited: Store, seal: AuditSeal, kept: int, cut: bool
) -> None:
    for _ in range(3):
        audited.audit.note("user:root", "test")
    with audited.write() as session:
        session.execute(text(f"DELETE FROM audit_log WHERE number > {kept}"))
    head = seal.folder / HEAD
    if cut:
        head.write_text(head.read_text()[:-9])
    else:
        head.unlink()
    for _ in range(2):
        said = "not as it was signed" if cut else "missing"
        with pytest.raises(AuditError, match=f"{HEAD} is {said}"):
            audited.audit.verify()
        # The log goes on, and makes no other head.
        audited.audit.note("user:root", "test")
    with audited.write() as session:
        audited.audit.rewound(session, "user:root")
    assert audited.audit.verify().last == kept + 3


def test_an_installation_that_wrote_no_entry_is_whole(audited: Store, seal: AuditSeal) -> None:
    assert audited.audit.verify().entries == 0
    assert not seal.folder.exists()
    with pytest.raises(ValueError, match="no scope"), audited.write() as session:
        _fail_after(audited.audit.append(session, "user:root", "keys.create"))
    assert audited.audit.verify().entries == 0


def test_persons_have_digests_that_only_this_installation_makes(
    seal: AuditSeal, tmp_path: Path
) -> None:
    again, other = AuditSeal(seal.folder), AuditSeal(tmp_path / "other")
    for one in (seal, other):
        one.begin_persons()
    mine = seal.person("customer", "C00001")
    assert mine == again.person("customer", "C00001") != seal.person("customer", "C00002")
    assert mine not in (other.person("customer", "C00001"), seal.person("user", "C00001"))
