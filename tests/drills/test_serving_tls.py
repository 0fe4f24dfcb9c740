"""The proxies of Ray Serve under `serving.tls`: what they hand to uvicorn is what is configured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from persona_ray.serving.trust import trusting
from tests.conftest import REPOSITORY
from tests.drills.nodes import free_port
from tests.unit.serving.certificates import Authority, authority

pytestmark = pytest.mark.drill


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


@pytest.fixture
def port(ca: Authority) -> Iterator[int]:
    """Of a service that wants certificates of `ca`."""
    certificate, key = ca.sign("service")
    found = free_port()
    overrides = {"port": found, "tls.certificate": certificate, "tls.key": key}
    overrides["tls.client_ca"] = ca.file
    named = [f"serving.{name}={value}" for name, value in overrides.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.drills.slow_tls", *named],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert any(line == "ready\n" for line in running.stdout), "it did not start"
        yield found
        assert running.stdin is not None
        running.stdin.close()


def test_the_proxy_answers_over_tls_those_alone_who_show_a_certificate(
    port: int, ca: Authority
) -> None:
    def answer(client: httpx2.Client, scheme: str = "https") -> str:
        with client:
            return client.get(f"{scheme}://127.0.0.1:{port}/").text

    assert answer(httpx2.Client(verify=trusting(ca.file, ca.sign("client")[0]))) == "there"
    for refused in (trusting(ca.file), trusting()):
        with pytest.raises(httpx2.HTTPError):
            answer(httpx2.Client(verify=refused))
    with pytest.raises(httpx2.HTTPError):
        answer(httpx2.Client(), "http")
