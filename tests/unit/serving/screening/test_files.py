"""Links, secrets, recordings: what lies outside the database."""

from __future__ import annotations

import io
import stat
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import soundfile

from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError, RequestError, ServiceError
from persona_ray.serving.screening.links import Links, secret_path, shared_secret
from persona_ray.serving.screening.recordings import (
    RECORDING,
    Recorder,
    Recordings,
    mix_down,
    opened,
)
from persona_ray.serving.screening.tracks import read
from persona_ray.vault.seal import sealed_by
from tests.unit.vault.fixed import a_vault

RATE_HZ = 8000
VAULT = a_vault()


def taken(link: str) -> tuple[str, str, int, str]:
    """What, ref, expiry and signature of a link."""
    parts = urlsplit(link)
    *_, ref, what = parts.path.split("/")
    query = parse_qs(parts.query)
    return what, ref, int(query["expires"][0]), query["signature"][0]


def test_a_link_opens_one_thing_until_it_expires() -> None:
    now = [1000.0]
    links = Links(b"k" * 32, 60, lambda: now[0])
    what, ref, expires, signature = taken(links.make("recording", "abc"))
    links.check(what, ref, expires, signature)
    now[0] = 1060
    links.check(what, ref, expires, signature)
    now[0] = 1061
    with pytest.raises(RequestError) as late:
        links.check(what, ref, expires, signature)
    assert (late.value.status, late.value.code) == (410, "link.expired")
    now[0] = 1000
    for changed in (
        ("transcript", ref, expires, signature),
        (what, "abd", expires, signature),
        (what, ref, expires + 1, signature),
        (what, ref, expires, signature[:-1]),
        (what, ref, expires, "ä"),
    ):
        with pytest.raises(RequestError) as refused:
            links.check(*changed)
        assert refused.value.status == 403
    with pytest.raises(RequestError):
        Links(b"x" * 32, 60, lambda: 1000).check(what, ref, expires, signature)


def test_a_secret_is_the_owners_alone_and_the_same_for_all(
    screening: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shared_secret(screening, "links")
    assert shared_secret(screening, "links") == first != shared_secret(screening, "webhooks")
    path = secret_path(screening, "links")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        shared_secret(screening, "links")
    monkeypatch.setenv("PERSONA_RAY_LINKS_SECRET", "short")
    with pytest.raises(ConfigError, match="PERSONA_RAY_LINKS_SECRET has 5"):
        shared_secret(screening, "links")
    monkeypatch.setenv("PERSONA_RAY_LINKS_SECRET", "s" * 32)
    assert shared_secret(screening, "links") == b"s" * 32


def tone(seconds: float, level: float) -> np.ndarray:
    return np.full(round(seconds * RATE_HZ), level, dtype=np.float32)


def tracks(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    caller, robot = read(folder, VAULT)
    return caller / 32768, robot / 32768


def test_the_robot_sounds_where_the_caller_is_by_then(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a", RATE_HZ, VAULT)
    recorder.hear(tone(1.0, 0.5))
    recorder.say(tone(0.5, 0.25))
    recorder.say(tone(0.5, 0.125))
    recorder.hear(tone(0.25, 0.5))
    recorder.flush()
    caller, robot = tracks(tmp_path / "a")
    assert len(caller) == 1.25 * RATE_HZ
    expected = np.concatenate([tone(1.0, 0), tone(0.5, 0.25), tone(0.5, 0.125)])
    np.testing.assert_allclose(robot, expected, atol=1e-4)
    # The caller speaks: what was written of the robot has not sounded.
    recorder.clear()
    recorder.hear(tone(0.5, 0.5))
    recorder.flush()
    assert len(tracks(tmp_path / "a")[1]) == 1.25 * RATE_HZ
    recorder.say(tone(0.1, 0.25))
    recorder.finish()
    kept = tmp_path / "a" / RECORDING
    assert sealed_by(kept.read_bytes())
    sound, rate_hz = soundfile.read(io.BytesIO(opened(kept, VAULT)))
    assert (rate_hz, sound.shape) == (RATE_HZ, (round(1.85 * RATE_HZ), 2))
    assert [path.name for path in kept.parent.iterdir()] == [RECORDING]


def test_who_goes_on_with_a_call_goes_on_with_its_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a", RATE_HZ, VAULT)
    recorder.hear(tone(1.0, 0.5))
    recorder.say(tone(1.0, 0.25))
    recorder.flush()
    # Half a second was settled; the rest comes again.
    again = Recorder(tmp_path / "a", RATE_HZ, VAULT, RATE_HZ // 2)
    again.hear(tone(1.0, 0.125))
    again.flush()
    caller, robot = tracks(tmp_path / "a")
    np.testing.assert_allclose(
        caller, np.concatenate([tone(0.5, 0.5), tone(1.0, 0.125)]), atol=1e-4
    )
    assert len(robot) <= RATE_HZ // 2


def test_only_recordings_are_deleted(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    place = recordings.place("abcdef")
    Recorder(recordings.folder(place), RATE_HZ, VAULT).flush()
    (tmp_path / "keep").mkdir()
    for wrong in ("keep", "", "screening/recordings/../../keep", "screening/recordings"):
        with pytest.raises(ServiceError):
            recordings.delete([wrong])
    recordings.delete([place, place])
    assert not recordings.folder(place).exists()
    assert (tmp_path / "keep").exists()


def test_a_call_without_sound_has_no_recording(tmp_path: Path) -> None:
    Recorder(tmp_path / "a", RATE_HZ, VAULT).finish()
    assert not (tmp_path / "a" / RECORDING).exists()
    # Twice does no harm.
    mix_down(tmp_path / "a", RATE_HZ, VAULT)
