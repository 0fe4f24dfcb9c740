"""The doctor looks at tokens, keys, rings and certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from persona_ray.config import load_config
from persona_ray.launch.doctor.finding import Outcome
from persona_ray.store import open_store
from persona_ray.store.database import Database
from persona_ray.vault.keys import MADE, KeyRing, new_key, ring_of
from persona_ray.vault.seal import vault_of
from tests.unit.launch.test_doctor import look, no_cluster
from tests.unit.store.screening.test_sealed import fill

__all__ = ["no_cluster"]


def test_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.1.2.3:6379")
    found = look("token", tmp_path)
    assert found.outcome is Outcome.WARNING
    assert "whoever reaches 10.1.2.3:6379 can run code" in found.said
    token = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    assert "RAY_AUTH_TOKEN_PATH" in look("token", tmp_path).fix
    token.write_text("s3cret")
    token.chmod(0o644)
    assert look("token", tmp_path).fix == f"chmod 600 {token}"
    token.chmod(0o600)
    found = look("token", tmp_path)
    assert found.outcome is Outcome.OK
    assert "s3cret" not in found.said


def test_keys_of_others_and_rings_that_are_gone(tmp_path: Path) -> None:
    found = look("keys", tmp_path, "serving.keys.required=false", "serving.host=0.0.0.0")
    assert found.outcome is Outcome.FAILED
    found = look("vault", tmp_path, f"privacy.vault.keys={tmp_path / 'ring'}")
    assert found.outcome is Outcome.FAILED
    assert "put it back" in found.fix


def test_a_ring_that_is_gone_and_sealed_nothing_that_is_kept(tmp_path: Path) -> None:
    """Uploads end with their jobs; the service seals no next one until the ring is back."""
    assert look("vault", tmp_path).outcome is Outcome.NOT_APPLICABLE
    ring = ring_of(load_config(None, [f"workspace={tmp_path}"]))
    ring.primary()
    ring.path.unlink()
    found = look("vault", tmp_path)
    assert found.outcome is Outcome.FAILED
    assert f"{ring.path} is gone" in found.said
    assert f"remove {ring.path.with_name(MADE)}" in found.fix


def test_keys_end_by_the_clock_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(None, [f"workspace={tmp_path}"])
    with open_store(config.store_url) as store:
        store.keys.create("desk", ["recognise"], lifetime=timedelta(minutes=5))
    assert look("keys", tmp_path).said == "1 valid key(s)"
    later = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(Database, "now", lambda _: later)
    assert look("keys", tmp_path).outcome is Outcome.WARNING


def test_a_ring_that_does_not_open_what_is_sealed(tmp_path: Path) -> None:
    config = load_config(None, [f"workspace={tmp_path}"])
    with open_store(config.store_url, vault=vault_of(config)) as store:
        fill(store)
    assert look("vault", tmp_path).outcome is Outcome.OK
    other = KeyRing(tmp_path / "other", makes=False)
    other.add(new_key())
    found = look("vault", tmp_path, f"privacy.vault.keys={other.path}")
    assert found.outcome is Outcome.FAILED
    assert f"key {ring_of(config).primary().key_id} is not in the key ring" in found.said
    assert "vault status" in found.fix
    ring_of(config).path.unlink()
    assert look("vault", tmp_path).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("days", "outcome"),
    [(-1, Outcome.FAILED), (5, Outcome.WARNING), (300, Outcome.OK)],
)
def test_a_certificates_end(tmp_path: Path, days: int, outcome: Outcome) -> None:
    overrides = certificate(tmp_path, timedelta(days=days))
    found = look("tls", tmp_path, *overrides)
    assert found.outcome is outcome
    assert bool(found.fix) == (outcome is not Outcome.OK)


def test_another_certificates_key(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (_, key), (mine, _) = (
        certificate(folder, timedelta(days=300)) for folder in (tmp_path / "other", tmp_path)
    )
    found = look("tls", tmp_path, mine, key)
    assert found.outcome is Outcome.FAILED
    assert "is another certificate's key" in found.said
    assert "tls.crt was made with" in found.fix
    path = Path(key.partition("=")[2])
    path.write_text("no key")
    assert "is no key in PEM" in look("tls", tmp_path, mine, key).said
    path.chmod(0o644)
    assert "may be read by others" in look("tls", tmp_path, mine, key).said


def certificate(folder: Path, left: timedelta) -> tuple[str, str]:
    """One and its key, as the configuration names them."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "calls.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + left)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "tls.crt").write_bytes(made.public_bytes(pem))
    (folder / "tls.key").touch(0o600)
    (folder / "tls.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return f"serving.tls.certificate={folder / 'tls.crt'}", f"serving.tls.key={folder / 'tls.key'}"
