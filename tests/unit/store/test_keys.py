"""Keys of the service, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from persona_ray.store import Store, open_store


def test_a_key_is_found_by_its_token_alone(store: Store) -> None:
    one = store.keys.create("desk", ["recognise", "live"], requests_per_minute=5)
    other = store.keys.create("desk", ["jobs"])
    assert one.token != other.token
    found = store.keys.find(one.token)
    assert found == one.key
    assert found.scopes == {"recognise", "live"}
    assert found.state(datetime.now(UTC)) == "valid"
    # The id alone, another secret and nothing at all are no key.
    stranger = f"{one.token.rsplit('_', 1)[0]}_{other.token.rsplit('_', 1)[1]}"
    for wrong in (stranger, one.token[:-1], f"pr_{one.key.key_id}_", one.key.key_id, "", "pr__x"):
        assert store.keys.find(wrong) is None


def test_the_database_does_not_hold_the_token(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 's.sqlite'}") as store:
        token = store.keys.create("desk", ["admin"]).token
    secret = token.split("_", 2)[2].encode()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"desk" in held
    assert secret not in held


def test_revoked_and_expired_keys_are_told_apart(store: Store) -> None:
    gone = store.keys.create("a", ["recognise"])
    short = store.keys.create("b", ["recognise"], lifetime=timedelta(hours=1))
    assert store.keys.revoke(key_id=gone.key.key_id) == 1
    assert store.keys.revoke(key_id=gone.key.key_id) == 0
    assert store.keys.revoke(key_id="no-such-key") == 0
    now = datetime.now(UTC)
    states = {key.name: (key.state(now), key.state(now + timedelta(hours=2))) for key in
              store.keys.all()}  # fmt: skip
    assert states == {"a": ("revoked", "revoked"), "b": ("valid", "expired")}
    found = store.keys.find(short.token)
    assert found is not None
    assert found.expires_at is not None


def test_all_keys_of_a_name_are_revoked_at_once(store: Store) -> None:
    for name in ("session", "session", "desk"):
        store.keys.create(name, ["admin"])
    assert store.keys.revoke(name="session") == 2
    now = datetime.now(UTC)
    assert [key.name for key in store.keys.all() if key.state(now) == "valid"] == ["desk"]


@pytest.mark.parametrize(
    ("scopes", "said"), [(["recognize"], "unknown scope 'recognize': choose from"), ([], "a scope")]
)
def test_scopes_are_checked(store: Store, scopes: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        store.keys.create("desk", scopes)
    assert store.keys.all() == []


def test_admin_may_do_everything(store: Store) -> None:
    admin = store.keys.create("a", ["admin"]).key
    desk = store.keys.create("b", ["recognise"]).key
    assert (admin.allows("jobs"), desk.allows("jobs"), desk.allows("recognise")) == (
        True, False, True
    )  # fmt: skip
