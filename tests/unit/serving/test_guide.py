"""The guide's curl commands do what they say."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import load_config
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.failures import ErrorAnswer
from persona_ray.serving.routes.jobs import jobs
from persona_ray.serving.routes.recognitions import recognitions
from persona_ray.store import Store
from persona_ray.store.jobs import JobCall
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.sounds import good

# What stands for URIs that nobody can open here.
FORBIDDEN = "uri.not_allowed"


def section(repository: Path) -> str:
    guide = (repository / "docs" / "guide.md").read_text(encoding="utf-8")
    return guide.split("## 7. The service over HTTP")[1].split("\n## ")[0]


def curls(text: str) -> list[str]:
    return re.findall(r"^curl .+$", text.replace("\\\n", " "), flags=re.MULTILINE)


def request_of(command: str, variables: dict[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Method, path and the arguments of the client, of a curl command."""
    for name, value in variables.items():
        command = command.replace(f"${name}", value)
    words = shlex.split(command)[1:]
    headers: dict[str, str] = {}
    parts: list[tuple[str, Any]] = []
    path, method, body = "", "", None
    while words:
        match words.pop(0):
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-F":
                name, _, value = words.pop(0).partition("=")
                file = (Path(value[1:]).name, good(channels=2)) if value[:1] == "@" else None
                parts.append((name, file or (None, value)))
            case "-d":
                body = json.loads(words.pop(0))
            case "-X":
                method = words.pop(0)
            case word:
                path = word
    sent: dict[str, Any] = {"headers": headers}
    if parts:
        sent["files"] = parts
    if body is not None:
        sent["json"] = body
    return method or ("POST" if parts or body is not None else "GET"), path, sent


def test_the_commands_work(repository: Path, store: Store, tmp_path: Path) -> None:
    text = section(repository)
    commands = curls(text)
    assert len(commands) >= 7
    config = load_config(
        None, [f"workspace={tmp_path}", "serving.limits.uri_roots=['s3://elsewhere/calls']"]
    )
    services = Services(config, FakeService(), store)
    client = TestClient(build_app(services, [recognitions, jobs]), base_url="http://127.0.0.1:8600")
    issued = store.keys.create("guide", ["recognise", "jobs"])
    (job_id,) = set(re.findall(r"/v1/jobs/([0-9a-f]{16})", text))
    calls = [JobCall("a", "s3://elsewhere/calls/a.wav", 0)]
    store.jobs.create(job_id, issued.key.key_id, calls, datetime.now(UTC))
    (call,) = re.findall(r"CALL=(\S+)", text)
    assert (repository / call).is_file()
    variables = {"KEY": issued.token, "API": "", "CALL": call}
    for command in commands:
        method, path, sent = request_of(command, variables)
        # A clip of two channels wants one named; the guide's are of one.
        if path.endswith("clips"):
            sent["files"] = [
                (name, (part[0], good()) if part[0] else part) for name, part in sent["files"]
            ]
        answer = client.request(method, path, **sent)
        if "s3://" in command:
            assert answer.json()["error"]["code"] == FORBIDDEN
        else:
            assert answer.status_code in (200, 202), (command, answer.text)


def test_the_shape_of_errors_is_as_shown(repository: Path) -> None:
    (shown,) = re.findall(r"```json\n(.+?)```", section(repository), flags=re.DOTALL)
    assert ErrorAnswer.model_validate_json(shown).error.code == "audio.truncated"


@pytest.mark.parametrize("prefix", ["key", "request", "uri", "job", "audio", "clip", "service"])
def test_every_code_is_in_the_guide(repository: Path, prefix: str) -> None:
    """Codes are what programs rely on: those in the source are those of the table."""
    table = set(re.findall(r"`([a-z_]+\.[a-z_*]+)`", section(repository)))
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("", "routes")
        for path in (repository / "persona_ray" / "serving" / folder).glob("*.py")
    )
    used = set(re.findall(rf'"({prefix}\.[a-z_]+)"', source))
    assert used
    missing = {code for code in used if code not in table and f"{prefix}.*" not in table}
    assert missing == set()
