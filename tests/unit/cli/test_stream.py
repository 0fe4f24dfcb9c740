"""`persona-ray stream` before and between lines: what a user has to do is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from persona_ray.cli.app import app
from persona_ray.errors import ConfigError, RequestError, ServiceLostError
from persona_ray.serving.live.client import LiveClient
from persona_ray.serving.live.protocol import Sound


def stream(folder: Path, channels: int, *arguments: str) -> Result:
    file = folder / "call.wav"
    soundfile.write(file, np.zeros((800, channels)), 8000)
    return CliRunner().invoke(app, ["stream", str(file), "--url", "127.0.0.1:1", *arguments])


def test_nobody_guesses_who_of_two_is_the_customer(tmp_path: Path) -> None:
    error = stream(tmp_path, 2).exception
    assert isinstance(error, ConfigError)
    assert "has 2 channels: name the customer's" in str(error)


@pytest.mark.parametrize("status", [401, 403])
def test_who_has_no_key_is_told_where_one_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    async def refused(*_: object) -> None:
        raise RequestError("key.missing", "no key", status=status)

    monkeypatch.setattr(LiveClient, "stream", refused)
    error = stream(tmp_path, 1).exception
    assert isinstance(error, RequestError)
    assert str(error).startswith("no key: name one by --key or PERSONA_RAY_KEY; `persona-ray keys")


def test_while_nobody_answers_it_says_that_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = LiveClient.__init__

    def begun(self: LiveClient, url: str, call_id: str, sound: Sound, **others: object) -> None:
        impatient(self, url, call_id, sound, **{**others, "patience_s": 0.5})  # type: ignore[arg-type]

    monkeypatch.setattr(LiveClient, "__init__", begun)
    shown = stream(tmp_path, 1)
    assert isinstance(shown.exception, ServiceLostError)
    # Once, however often it tries.
    assert shown.stderr.count("trying again: is `persona-ray serve` running?") == 1
