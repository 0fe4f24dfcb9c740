"""Real programs beside the product, on free loopback ports: S3 (moto) and an MLflow server.

`s3` gives an empty bucket; its `front` stands between clients and moto and can be told to fail.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.postgres import free_port

_START_S = 120.0
_BLOCK = 64 * 1024
_HOP_BY_HOP = ("transfer-encoding", "connection", "keep-alive")
_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>ServiceUnavailable</Code><Message>no</Message></Error>"
)
_DENIED = (
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)


@dataclass
class Trouble:
    """What the front does to requests: `status` answers with that, `cut` ends every body in its
    middle, `wait_s` answers later. `only`: to those whose path contains it."""

    status: int = 0
    cut: bool = False
    wait_s: float = 0.0
    only: str = ""


@dataclass
class Front:
    """A proxy before a server. `asked` are the requests so far, `METHOD path`."""

    behind: int
    trouble: Trouble = field(default_factory=Trouble)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def serve(self) -> ThreadingHTTPServer:
        front = self

        class Handler(_Passing):
            def do(self) -> None:
                front.asked.append(f"{self.command} {self.path.partition('?')[0]}")
                self.passed(front.behind, front.trouble)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do  # noqa: N815

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    @contextlib.contextmanager
    def failing(self, **trouble: Any) -> Iterator[None]:
        self.trouble = Trouble(**trouble)
        try:
            yield
        finally:
            self.trouble = Trouble()

    def fail_for(self, seconds: float, **trouble: Any) -> None:
        """From now on, and well again after so many seconds."""
        self.trouble = Trouble(**trouble)
        threading.Timer(seconds, setattr, (self, "trouble", Trouble())).start()


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def passed(self, behind: int, trouble: Trouble) -> None:
        body = self._body()
        hit = trouble.only in self.path
        if hit and trouble.wait_s:
            time.sleep(trouble.wait_s)
        if hit and trouble.status:
            said = (
                b"" if self.command == "HEAD" else _DENIED if trouble.status == 403 else _SLOW_DOWN
            )
            self._answer(trouble.status, {"Content-Length": str(len(said))}, said)
            return
        there = HTTPConnection("127.0.0.1", behind, timeout=60)
        there.request(self.command, self.path, body, dict(self.headers))
        answer = there.getresponse()
        content = answer.read()
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP}
        if self.command != "HEAD":
            headers["Content-Length"] = str(len(content))
        if hit and trouble.cut and self.command == "GET" and len(content) > 1:
            content = content[: len(content) // 2]
            self.close_connection = True
        self._answer(answer.status, headers, content)
        there.close()

    def _body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            del self.headers["Transfer-Encoding"]
            whole = b"".join(parts)
            self.headers["Content-Length"] = str(len(whole))
            return whole
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length) if length else None

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@dataclass(frozen=True)
class S3:
    """A bucket behind `front`. `environment` is what a process needs to reach it."""

    bucket: str
    front: Front
    environment: dict[str, str]

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}"

    def client(self) -> Any:
        return _client(self.environment["AWS_ENDPOINT_URL"])

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client().get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(row["Key"] for page in found for row in page.get("Contents", ()))

    def contents(self) -> list[bytes]:
        client = self.client()
        return [
            client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in self.keys()
        ]

    def upload(self, folder: Path, prefix: str) -> None:
        client = self.client()
        for path in folder.rglob("*"):
            if path.is_file():
                name = f"{prefix}/{path.relative_to(folder)}"
                client.upload_file(str(path), self.bucket, name)


@cache
def _client(endpoint: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=endpoint)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[int]:
    """The port of a moto server in a process of its own."""
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("moto_server")),
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with _program(command, f"http://127.0.0.1:{port}/moto-api/data.json"):
        yield port


@pytest.fixture(scope="session")
def s3_front(s3_server: int) -> Iterator[Front]:
    """One for all tests: clients that are made once reach every bucket through it."""
    front = Front(s3_server)
    server = front.serve()
    yield front
    server.shutdown()
    server.server_close()


@pytest.fixture
def s3(s3_front: Front, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An empty bucket; this process and those it starts reach it."""
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_front.port}",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret-of-tester",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3_front.trouble = Trouble()
    s3_front.asked.clear()
    place = S3(f"bucket-{uuid.uuid4().hex[:8]}", s3_front, environment)
    place.client().create_bucket(Bucket=place.bucket)
    return place


@contextlib.contextmanager
def mlflow_server(database: str, artifacts: str, log: Path) -> Iterator[str]:
    """The address of an MLflow server that keeps runs in `database` and serves files of `artifacts`
    itself: clients need no keys for these."""
    port = free_port()
    command = [
        *(str(Path(sys.executable).with_name("mlflow")), "server"),
        *("--backend-store-uri", database, "--artifacts-destination", artifacts),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--serve-artifacts"),
    ]
    # Its own jobs (evaluations by language models) would keep eight more processes busy.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with _program(command, f"http://127.0.0.1:{port}/health", log, settings):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _program(
    command: Sequence[str],
    answers: str,
    log: Path | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[None]:
    """Run until the block ends, once `answers` does. `settings`: besides this environment."""
    path = os.devnull if log is None else str(log)
    environment = {**os.environ, **settings}
    with Path(path).open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, start_new_session=True, env=environment
        )
        try:
            _wait(process, answers, path)
            yield
        finally:
            # Its workers, too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], answers: str, log: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended at once: {Path(log).read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(answers, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing answers at {answers}") from None
            time.sleep(0.2)
