"""What decodes apart gives what decodes here, and bears what would end it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.audio.apart import Apart
from persona_ray.audio.apart_process import Bounds
from persona_ray.audio.decoder import Decoder, Here
from persona_ray.errors import CallError, DecoderError, ServiceError, UnreadableError
from tests.unit.audio.planted import ATTEMPTS, succeeds
from tests.unit.serving.sounds import broken, encoded, good, tone

ENTRY = "tests.unit.audio.planted"
SECRET = "PLANTED_PASSWORD"


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    made = Apart(1, Bounds(4096, 60.0))
    yield made
    made.close()


@pytest.fixture(scope="module")
def planted() -> Iterator[Apart]:
    made = Apart(2, Bounds(1024, 60.0), ENTRY)
    yield made
    made.close()


def outcome(decoder: Decoder, data: bytes) -> tuple[object, ...]:
    try:
        audio = decoder.upload(data, "a", 60.0)
    except CallError as error:
        return type(error), error.detail
    samples = audio.samples
    return samples.tobytes(), samples.shape, samples.strides, audio.sample_rate_hz, audio.flags


def same(data: bytes, first: Decoder, second: Decoder) -> bool:
    one, other = (outcome(decoder, data) for decoder in (first, second))
    return one == other


def test_what_is_decoded_apart_is_what_is_decoded_here(apart: Apart, tmp_path: Path) -> None:
    here = Here()
    whole = {form: encoded(tone(channels=2), form) for form in ("WAV", "FLAC", "OGG", "MP3")}
    for name, data in {**broken(), **whole}.items():
        assert same(data, here, apart), name
    path = tmp_path / "a.wav"
    path.write_bytes(good(channels=2))
    stored = fsspec.filesystem("memory")
    stored.pipe("/calls/a.wav", good(channels=2))
    wanted = here.upload(good(channels=2), "a", 60.0).samples
    for uri in (str(path), "memory://calls/a.wav"):
        audio = apart.read(uri, 60.0)
        assert (audio.samples == wanted).all()
        assert audio.samples.strides == wanted.strides
    with pytest.raises(UnreadableError, match=r"absent\.wav"):
        apart.read(str(tmp_path / "absent.wav"), 60.0)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_mutation_makes_a_difference(apart: Apart, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64"]))
    recording = bytearray(encoded(tone(0.2), form))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(recording) - 1))
        recording[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
    assert same(bytes(recording), Here(), apart)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"ABORT", "SIGABRT"),
        (b"CRASH", "SIGSEGV"),
        (b"EXIT", "exit status 0"),
        (b"KILLED", "SIGKILL"),
        (b"GROW", "1024 MB"),
        (b"NONSENSE", "nonsense"),
        (b"DEEP", "nonsense"),
        (b"MANY", "nonsense"),
    ],
)
def test_a_recording_that_ends_its_decoder_is_refused_and_the_next_is_read(
    planted: Apart, file: bytes, said: str
) -> None:
    with pytest.raises(DecoderError, match=f"bad.wav .*{said}"):
        planted.upload(file, "bad.wav", 60.0)
    assert planted.upload(good(), "good.wav", 60.0).duration_s == 1.0


@pytest.mark.parametrize("file", [b"LOOP", b"SLEEP"])
def test_time_is_bounded_and_others_go_on_meanwhile(file: bytes) -> None:
    pool = Apart(2, Bounds(1024, 0.4), ENTRY)
    with pool._process(), pool._process():
        # Both are there.
        pass
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        stuck = beside.submit(pool.upload, file, "bad.wav", 60.0)
        time.sleep(0.1)
        assert pool.upload(good(), "good.wav", 60.0).duration_s == 1.0
        assert not stuck.done()
        with pytest.raises(DecoderError, match=r"bad\.wav takes more than 0\.4 s"):
            stuck.result()
    assert time.monotonic() - begun < 20
    pool.close()


def test_time_is_up_even_for_one_that_never_stops_answering(
    apart: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, apart._process() as process:
        theirs.send(b"and so on")
        with monkeypatch.context() as patch:
            patch.setattr(process, "_line", ours)
            patch.setattr(process, "_until", time.monotonic())
            with pytest.raises(TimeoutError):
                process._said()


@pytest.mark.parametrize("entry", [ENTRY, "tests.unit.audio.planted_container"])
def test_what_decodes_reaches_nothing(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "planted")
    files = {"read", "list", "write"}
    given_up = {
        "files": {"secret"},
        "user": {"signal"},
        "network": {"connect"},
        "file system": files,
        # Connections where its version knows them, since Linux 6.7.
        "files and connections by Landlock": files,
        "processes": {"fork"},
    }
    # What is not given up can be done.
    assert all(succeeds(ATTEMPTS[name]) for name in ("secret", "connect", "read", "list"))
    pool = Apart(1, Bounds(1024, 60.0), entry)
    kept = pool.confined()
    done = set(pool.upload(b"TRY", "try.wav", 60.0).flags)
    pool.close()
    assert {"memory", "files", "new privileges"} <= set(kept)
    assert entry == ENTRY or not {"network", "file system"} & set(kept)
    # A container may refuse a step; what it grants holds.
    assert done.isdisjoint(set().union(*(given_up.get(name, set()) for name in kept)))


def test_one_that_somebody_ended_is_replaced(apart: Apart) -> None:
    apart.upload(good(), "a", 60.0)
    process = apart._places.queue[-1]
    assert process is not None
    os.kill(process._process.pid, signal.SIGKILL)
    assert apart.upload(good(), "a", 60.0).duration_s == 1.0


def test_one_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match="no process to decode audio in"):
        Apart(1, Bounds(4096, 1.0), "persona_ray.no_such_module").upload(good(), "a", 60.0)
    # Nor where the machine has no room for another process.
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(ServiceError, match="no process to decode audio in"):
        Apart(1, Bounds(4096, 1.0)).upload(good(), "a", 60.0)
