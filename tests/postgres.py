"""A real PostgreSQL server for tests: `postgres_url` gives the URL of an empty schema of it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

PASSWORD = "p@ss/w:ord"
_START_S = 60.0


@dataclass
class Postgres:
    """A server on a loopback port; `url` with `{database}` open."""

    url: str
    command: list[str]
    folder: Path
    user: pwd.struct_passwd | None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.folder, **_as(self.user)
            )
        _wait(self.process, self.url.format(database="postgres"), self.folder / "log")

    def stop(self) -> None:
        """As a crash: a polite end would wait for idle connections."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=30)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server of its own, running; skips where there is no PostgreSQL.

    The server refuses to run as root; then it runs as `postgres` or `nobody`.
    """
    tools = {name: _find(name) for name in ("initdb", "postgres")}
    missing = [name for name, path in tools.items() if path is None]
    if missing:
        pytest.skip(f"no PostgreSQL server here: {', '.join(missing)} not found")
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="persona-ray-pg-"))
    data, secret = folder / "data", folder / "password"
    secret.write_text(PASSWORD)
    if user is not None:
        for path in (folder, secret):
            os.chown(path, user.pw_uid, user.pw_gid)
    port = free_port()
    start = f"{tools['postgres']} -D {data} -p {port} -k {folder} -c fsync=off"
    url = f"postgresql://tester:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/{{database}}"
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", "autovacuum=off"]
    server = Postgres(url, [*start.split(), *settings], folder, user)
    try:
        make = f"{tools['initdb']} -D {data} -U tester --pwfile {secret} --no-sync"
        _run([*make.split(), "--auth", "scram-sha-256", "--encoding", "UTF8"], user, folder)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server that all tests share, `{database}` open."""
    with postgres() as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """URL of an empty schema of its own."""
    return new_schema(postgres_server)


def new_schema(server: str) -> str:
    """URL of an empty schema. A database for each test would be 300 files each."""
    import psycopg

    name, database = f"test_{uuid.uuid4().hex[:12]}", server.format(database="postgres")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {name}")
    return f"{database}?options=-csearch_path%3D{name}"


def _find(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or next((str(path) for path in places), None)


def _unprivileged() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("no PostgreSQL server here: it does not run as root, and there is no other user")


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run(command: list[str], user: pwd.struct_passwd | None, folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, **_as(user))
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + _START_S
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"postgres ended at once: {log.read_text()}")
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"postgres does not answer: {log.read_text()}") from None
            time.sleep(0.1)
        else:
            return
