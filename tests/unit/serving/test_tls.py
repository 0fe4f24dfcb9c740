"""TLS: who is answered, who is refused, on both sides of a line."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization

from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError, RequestError, ServiceLostError
from persona_ray.serving.in_thread import served_in_thread
from persona_ray.serving.live.client import LiveClient, paced
from persona_ray.serving.live.protocol import Sound
from persona_ray.serving.tls import harden, http_options
from persona_ray.serving.trust import trusting
from persona_ray.store import Store
from tests.unit.serving.certificates import Authority, authority
from tests.unit.serving.live.lines import Listener, application
from tests.unit.serving.sounds import RATE_HZ, tone


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


def settings(ca: Authority, *more: str) -> RunConfig:
    certificate, key = ca.sign("service")
    named = [f"serving.tls.certificate={certificate}", f"serving.tls.key={key}"]
    return load_config(None, [f"workspace={ca.folder}", *named, *more])


@contextmanager
def served(config: RunConfig, store: Store, look_every_s: float = 30.0) -> Iterator[str]:
    harden(look_every_s)
    app = application(config, Listener(), store)
    with served_in_thread(app, tls=http_options(config.serving.tls)) as url:
        yield url


def ask(url: str, trust: ssl.SSLContext) -> int:
    with httpx2.Client(verify=trust) as client:
        return client.get(f"{url}/v1/live").status_code


def call(url: str, trust: ssl.SSLContext, key: str) -> str:
    client = LiveClient(
        url, "call", Sound(sample_rate_hz=RATE_HZ), key=key, trust=trust, patience_s=0.3
    )
    ended = asyncio.run(client.stream(paced(tone()[:, 0], RATE_HZ, 0), lambda _: None))
    return ended.type


def test_https_and_wss_for_those_who_trust_its_authority(
    ca: Authority, store: Store, tmp_path: Path
) -> None:
    key = store.keys.create("line", ["live"]).token
    with served(settings(ca), store) as url:
        assert url.startswith("https://")
        trust = trusting(ca.file)
        assert ask(url, trust) == 426
        assert call(url, trust, key) == "end"
        for stranger in (trusting(), trusting(authority(tmp_path, "other").file)):
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                ask(url, stranger)
            # At once: to come again would not help.
            with pytest.raises(RequestError, match=r"--ca-file|issuer certificate"):
                call(url, stranger, key)
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(url.replace("https:", "http:"))
        old = trusting(ca.file)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(httpx2.ConnectError):
            ask(url, old)


def test_clients_show_a_certificate_where_an_authority_is_named(
    ca: Authority, store: Store, tmp_path: Path
) -> None:
    key = store.keys.create("line", ["live"]).token
    known, unknown = ca.sign("client")[0], authority(tmp_path, "other").sign("stranger")[0]
    with served(settings(ca, f"serving.tls.client_ca={ca.file}"), store) as url:
        trust = trusting(ca.file, known)
        assert ask(url, trust) == 426
        assert call(url, trust, key) == "end"
        for refused in (trusting(ca.file), trusting(ca.file, unknown)):
            with pytest.raises(httpx2.HTTPError):
                ask(url, refused)
            # TLS 1.3 refuses after the client's side stands: it may see no more than an end.
            with pytest.raises((RequestError, ServiceLostError)):
                call(url, refused, key)


def test_a_renewed_certificate_is_taken_up_without_a_restart(ca: Authority, store: Store) -> None:
    config = settings(ca)
    with served(config, store, look_every_s=0.02) as url:
        other = authority(ca.folder, "new")
        other.sign("service")
        trust, until = trusting(other.file), time.monotonic() + 10
        while True:
            try:
                assert ask(url, trust) == 426
                break
            except httpx2.ConnectError:
                assert time.monotonic() < until


def test_half_of_a_renewed_certificate_takes_nothing_from_the_old_one(
    ca: Authority, store: Store
) -> None:
    config = settings(ca)
    with served(config, store, look_every_s=0.02) as url:
        certificate, key = ca.sign("next")
        # Its key comes later.
        certificate.replace(config.serving.tls.certificate)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            assert ask(url, trusting(ca.file)) == 426
        key.replace(config.serving.tls.key)


def test_files_that_cannot_serve_are_named_before_anything_starts(
    ca: Authority, tmp_path: Path
) -> None:
    certificate, key = ca.sign("service")
    other = ca.sign("other")[1]
    text = tmp_path / "text.pem"
    text.write_text("none")

    def said(*overrides: str) -> str:
        with pytest.raises(ConfigError) as refused:
            http_options(load_config(None, [f"serving.tls.{one}" for one in overrides]).serving.tls)
        return str(refused.value)

    both = (f"certificate={certificate}", f"key={key}")
    assert "stand together" in said(both[0])
    assert "name all three" in said(f"client_ca={certificate}")
    assert "absent.pem is no file" in said(f"certificate={tmp_path}/absent.pem", both[1])
    assert "no certificate and its key" in said(both[0], f"key={other}")
    assert "holds no certificate" in said(*both, f"client_ca={text}")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"a phrase")
    key.write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    # Nobody is there to type it.
    assert "without a passphrase" in said(f"certificate={ca.sign('third')[0]}", both[1])
    key.chmod(0o644)
    assert "chmod 600" in said(*both)
    assert http_options(load_config(None, []).serving.tls) == {}
