"""The doctor: what is broken for real is told, with what to do."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from persona_ray import __version__
from persona_ray.cli.app import app
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError
from persona_ray.launch.doctor import cluster, collectives, examine, machine
from persona_ray.launch.doctor.cluster import Cluster, NodeReport
from persona_ray.launch.doctor.databases import apart
from persona_ray.launch.doctor.examine import NAMES, ON_CLUSTER
from persona_ray.launch.doctor.finding import Finding, NotWellError, Outcome
from persona_ray.store import open_store
from persona_ray.vault.keys import VARIABLE
from tests.services import S3, s3, s3_server

__all__ = ["s3", "s3_server"]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    for name in (*ray, VARIABLE):
        monkeypatch.delenv(name, raising=False)


def look(check: str, folder: Path, *overrides: str) -> Finding:
    (found,) = examine.examine(load_config(None, [f"workspace={folder}", *overrides]), [check])
    assert found.check == check
    return found


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_encoders_that_are_not_to_be_pretrained_are_loaded_at_once(tmp_path: Path) -> None:
    found = look("encoders", tmp_path)
    assert (found.outcome, "none is named" in found.said) == (Outcome.NOT_APPLICABLE, True)
    found = look("encoders", tmp_path, f"model.text.path={tmp_path / 'bert'}")
    assert found.outcome is Outcome.FAILED
    assert str(tmp_path / "bert") in found.said
    found = look("encoders", tmp_path, "pretraining.encoders=[text]")
    assert found.outcome is Outcome.NOT_APPLICABLE
    assert found.said == "text not pretrained yet: `persona-ray pretrain`"


def test_a_laptop_without_a_cluster_is_well(tmp_path: Path) -> None:
    quick = set(NAMES) - set(ON_CLUSTER) - {"recogniser", "gpus", "ports", "packages", "disk"}
    asked = [part for name in quick for part in ("--only", name)]
    setting = ["--set", f"workspace={tmp_path / 'new'}", "--json"]
    answer = CliRunner().invoke(app, ["doctor", *setting, *asked])
    found = {one["check"]: one["outcome"] for one in json.loads(answer.stdout)}
    assert answer.exit_code == 0, answer.stdout
    assert found.keys() == quick
    assert {found[name] for name in ("python", "workspace")} == {"ok"}
    assert {found[name] for name in ("ray", "database", "registry", "tls")} == {"not applicable"}
    # Nothing is left behind.
    assert not (tmp_path / "new").exists()


def test_what_fails_ends_with_one_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    setting = ["--set", f"workspace={tmp_path / 'file'}", "--only", "workspace"]
    answer = CliRunner().invoke(app, ["doctor", *setting], env={"COLUMNS": "400"})
    assert answer.exit_code == 1
    assert "failed" in answer.stdout
    assert "is a file: name a folder" in answer.stdout
    with pytest.raises(ConfigError, match=r"no check 'disc': there are python, packages, disk"):
        examine.examine(RunConfig(), ["disc"])


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk with half a megabyte."""
    if os.geteuid() != 0:
        pytest.skip("a small disk is mounted by root alone")
    mounted = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk(full: Path) -> None:
    found = look("workspace", full)
    assert found.outcome is Outcome.FAILED
    assert "No space left" in found.said
    assert "free some room" in found.fix
    assert list(full.iterdir()) == []
    with pytest.raises(NotWellError, match=r"0\.0 GB free"):
        machine.room(full)


def test_little_room_in_one_place_hides_none_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {tmp_path: 10e9, Path("/dev/shm"): 0.5e9, Path("/tmp"): 100e9}
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    found = look("disk", tmp_path)
    assert found.outcome is Outcome.FAILED
    assert "/dev/shm: 0.5 GB free" in found.said
    assert "larger /dev/shm" in found.fix
    free[Path("/dev/shm")] = 2e9
    found = look("disk", tmp_path)
    assert found.outcome is Outcome.WARNING
    assert f"{tmp_path}: 10.0 GB free" in found.said


def test_a_database_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "secret")
    url = f"postgresql://me:${{PASSWORD}}@127.0.0.1:{closed_port()}/calls"
    found = look("database", tmp_path, f"store.url={url}")
    assert found.outcome is Outcome.FAILED
    assert "refused" in found.said
    assert "secret" not in found.said
    assert "is the server up" in found.fix
    (tmp_path / "store.sqlite").write_text("no database " * 100)
    for check in ("database", "keys", "vault"):
        found = look(check, tmp_path)
        assert found.outcome is Outcome.FAILED
        assert "backup restore" in found.fix


def test_postgresql_answers_in_its_encoding_with_a_right_clock(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE", postgres_url)
    setting = "store.url=${DATABASE}"
    assert "it is empty" in look("database", tmp_path, setting).said
    open_store(postgres_url).close()
    assert look("database", tmp_path, setting).outcome is Outcome.OK
    assert look("database-clock", tmp_path, setting).outcome is Outcome.OK
    found = look("keys", tmp_path, setting)
    assert found.outcome is Outcome.WARNING
    assert "persona-ray keys create" in found.fix

    latin = make_url(postgres_url).set(database="latin", query={})
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    engine.dispose()
    monkeypatch.setenv("DATABASE", latin.render_as_string(hide_password=False))
    found = look("database", tmp_path, setting)
    assert found.outcome is Outcome.FAILED
    assert "LATIN1" in found.said
    assert "ENCODING 'UTF8'" in found.fix


def test_an_older_schema_is_a_warning(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    open_store(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0009'")
    engine.dispose()
    found = look("database", tmp_path, f"store.url={url}")
    assert found.outcome is Outcome.WARNING
    assert "its schema is 0009" in found.said
    assert "backup" in found.fix


def test_an_mlflow_server_that_is_not_there(tmp_path: Path) -> None:
    found = look("registry", tmp_path, f"tracking.url=http://127.0.0.1:{closed_port()}")
    assert found.outcome is Outcome.FAILED
    assert "start it (`mlflow server`)" in found.said


def test_a_bucket_that_is_there_and_one_that_is_not(tmp_path: Path, s3: S3) -> None:
    found = look("artefacts", tmp_path, f"storage.artefacts={s3.uri}/finished")
    assert found.outcome is Outcome.OK, found
    assert s3.keys() == []
    for check, key in (("artefacts", "storage.artefacts"), ("audio", "archive.audio_root")):
        found = look(check, tmp_path, f"{key}=s3://no-such-bucket/finished")
        assert found.outcome is Outcome.FAILED
        assert "bucket" in found.fix


def test_a_bundle_that_was_changed(tmp_path: Path) -> None:
    folder = load_config(None, [f"workspace={tmp_path}"]).bundle_dir
    folder.mkdir()
    (folder / "bundle.json").write_text("{}")
    found = look("bundle", tmp_path)
    assert found.outcome is Outcome.FAILED
    assert "copy the whole folder again" in found.fix


def test_gpus_that_are_asked_for_and_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look("gpus", tmp_path, "launch.gpus_per_worker=1")
    assert found.outcome is Outcome.FAILED
    assert "launch.gpus_per_worker=0" in found.fix


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = look("ports", tmp_path, f"serving.port={port}")
    assert found.outcome is Outcome.WARNING
    assert f"{port} (serving.port)" in found.said


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    config = load_config(
        None, [f"workspace={tmp_path}", f"launch.address=127.0.0.1:{closed_port()}"]
    )
    reached, nodes = examine.examine(config, ["ray", "nodes"])
    assert reached.outcome is Outcome.FAILED
    assert "no Ray cluster answers" in reached.said
    assert "ray status" in reached.fix
    assert nodes.outcome is Outcome.NOT_APPLICABLE


def test_what_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(config: RunConfig) -> str:
        del config
        time.sleep(60)
        return ""

    monkeypatch.setattr(examine, "ALONE", {**examine.ALONE, "tls": hang})
    begun = time.monotonic()
    (found,) = examine.examine(load_config(None, [f"workspace={tmp_path}"]), ["tls"], 0.2)
    assert time.monotonic() - begun < 5
    assert found.outcome is Outcome.FAILED
    assert found.said == "no answer in 0.2 s"
    assert "--timeout" in found.fix


def test_workers_that_do_not_find_each_other_say_so_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lonely(config: RunConfig, there: Cluster, wait_s: float) -> str:
        del config, there
        # Workers are started first.
        time.sleep(0.1 + wait_s)
        raise NotWellError("they did not find each other", "network policies?")

    monkeypatch.setattr(collectives, "collectives", lonely)
    monkeypatch.setattr(Cluster, "reach", lambda *_: Cluster("10.0.0.1:6379"))
    config = load_config(None, [f"workspace={tmp_path}"])
    _, found = examine.examine(config, ["ray", "collectives"], 0.3)
    assert found.said == "they did not find each other"


def test_clocks_that_are_apart() -> None:
    assert "0.30 s ahead" in apart("10.1.2.3", timedelta(seconds=0.4), timedelta(seconds=0.2))
    # It took so long to say that nobody knows.
    apart("10.1.2.3", timedelta(seconds=3), timedelta(seconds=6))
    for ahead_s in (-1.4, 1.6):
        with pytest.raises(NotWellError, match=r"10\.1\.2\.3 is 1\.50 s") as caught:
            apart("10.1.2.3", timedelta(seconds=ahead_s), timedelta(seconds=0.2))
        assert "NTP" in caught.value.fix


def node(ip: str, **values: Any) -> NodeReport:
    """One that is as this machine, but for `values`."""
    import ray

    alike = NodeReport(
        ip=ip,
        python=platform.python_version(),
        ray=ray.__version__,
        product=__version__,
        gpus=(),
        wrote="",
        marks=("a",),
        free=(),
        low=(),
    )
    return replace(alike, **values)


def test_nodes_that_are_not_alike(tmp_path: Path) -> None:
    config = load_config(None, [f"workspace={tmp_path}", "launch.gpus_per_worker=2"])
    there = Cluster("10.0.0.1:6379", [node("10.0.0.1"), node("10.0.0.2")])
    assert "2 node(s)" in cluster.nodes(there)
    assert "is one folder" in cluster.shared_workspace(config, there)

    there.reports[1] = node("10.0.0.2", ray="2.9.0", marks=("b",), low=("/tmp: 0.1 GB free",))
    for check, said, fix in (
        (lambda: cluster.nodes(there), "10.0.0.2 has", "one image for all"),
        (lambda: cluster.shared_workspace(config, there), "another folder", "ReadWriteMany"),
        (lambda: cluster.object_store(there), "10.0.0.2: /tmp", "larger volume"),
        (lambda: cluster.gpus(config, there), "asks for 2 GPUs", "fewer launch.workers"),
    ):
        with pytest.raises(NotWellError, match=said) as caught:
            check()
        assert fix in caught.value.fix
    there.reports[1] = node("10.0.0.2", wrote="Permission denied")
    with pytest.raises(NotWellError, match=r"10\.0\.0\.2: Permission denied"):
        cluster.shared_workspace(config, there)
    there.silent = ["10.0.0.3"]
    with pytest.raises(NotWellError, match=r"no worker answers at 10\.0\.0\.3"):
        cluster.nodes(there)
