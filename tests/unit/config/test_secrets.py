"""Passwords are in the environment, and in nothing that is written or said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config import RunConfig, load_config, write_config
from persona_ray.corpus.archive import CallArchive
from persona_ray.errors import ConfigError, PersonaRayError
from persona_ray.launch.tracking.description import environment, flatten
from persona_ray.launch.tracking.place import TrackingStore
from persona_ray.launch.tracking.place import open_store as open_tracking
from persona_ray.store import open_store

PLANTED = "Gr8-pläntéd/secret"
NOWHERE = "postgresql://me:${PLANTED_SECRET}@127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("store.url", "postgresql://me:hush@db/calls", "postgresql://user:${PASSWORD}@host"),
        ("archive.url", "mssql+pyodbc://me:hu/sh@db/calls", "${NAME}"),
        ("archive.url", "postgresql://db/calls?user=me&password=hush", "'password' in an address"),
        ("archive.url", "postgresql://me:x${NAME}hush@db/calls", "${NAME}"),
        ("archive.url", "postgresql://db/calls?token=${NAME}&password=hush", "'password' in an"),
        ("archive.audio_root", "s3://AKIA:hush@bucket/calls", "AWS_SECRET_ACCESS_KEY"),
        ("storage.artefacts", "s3://AKIA:${NAME}@bucket", "AWS_SECRET_ACCESS_KEY"),
        ("tracking.url", "https://me:hush@mlflow.example", "MLFLOW_TRACKING_PASSWORD"),
        ("tracking.url", "https://mlflow.example/?token=hush", "'token' in an address"),
        ("serving.limits.uri_roots", "[/calls, 's3://AKIA:hush@bucket/calls']", "uri_roots[1]"),
    ],
)
def test_a_secret_in_a_configuration_is_refused_with_the_way_it_goes(
    tmp_path: Path, key: str, value: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(None, [f"{key}={value}"])
    said = str(refused.value)
    assert key in said
    assert fix in said
    assert "hush" not in said
    *sections, last = key.split(".")
    text = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(sections))
    path = tmp_path / "run.yaml"
    path.write_text(f"{text}{'  ' * len(sections)}{last}: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="address"):
        load_config(path)


@pytest.mark.parametrize(
    "value",
    [
        "postgresql+psycopg://me:${PASSWORD}@db:5432/calls",
        "postgresql://me@db/calls?sslmode=verify-full",
        "${DATABASE_URL}",
        "sqlite:////calls/at:home/a@b.sqlite",
    ],
)
def test_what_holds_none_is_taken(value: str) -> None:
    assert load_config(None, [f"store.url={value}"]).store.url == value


def secretive(folder: Path) -> RunConfig:
    keys = ("archive.url", "store.url", "tracking.url")
    return load_config(None, [f"workspace={folder}", *(f"{key}={NOWHERE}" for key in keys)])


def test_what_is_written_and_shown_holds_the_variables_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_SECRET", PLANTED)
    config = secretive(tmp_path)
    write_config(config, tmp_path / "run.yaml")
    written = (tmp_path / "run.yaml").read_text(encoding="utf-8")
    shown = CliRunner().invoke(app, ["config", "show", "-c", str(tmp_path / "run.yaml")]).stdout
    sections = {name: getattr(config, name) for name in ("archive", "store", "tracking")}
    tracked = str(flatten(sections)) + environment()
    for text in (written, shown, tracked, repr(config)):
        assert PLANTED not in text
    assert written.count("${PLANTED_SECRET}") == shown.count("${PLANTED_SECRET}") == 3


def test_no_error_and_no_line_of_the_log_holds_what_stood_in_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PLANTED_SECRET", PLANTED)
    config = secretive(tmp_path)
    said = []
    with caplog.at_level(logging.DEBUG):
        for work in (
            lambda: CallArchive(config.archive).check(),
            lambda: open_store(config.store_url),
            lambda: open_tracking(config),
        ):
            with pytest.raises(PersonaRayError) as refused:
                work()
            said.append(str(refused.value) + repr(refused.value.__context__))
        commands = (["corpus", "build"], ["keys", "list"], ["models", "list"])
        write_config(config, tmp_path / "run.yaml")
        for command in commands:
            done = CliRunner().invoke(app, [*command, "-c", str(tmp_path / "run.yaml")])
            assert done.exit_code != 0
            said.append(done.output + repr(done.exception))
    said.append(repr(TrackingStore(PLANTED, "sqlite://", "x", None)))
    spellings = (PLANTED, "Gr8-pl%C3%A4nt%C3%A9d", "nt\\xe9d")
    for text in (*said, caplog.text):
        assert not any(one in text for one in spellings)
