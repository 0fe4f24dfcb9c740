"""What lies on the disk of a screened call is sealed, from its first second on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from persona_ray.config.privacy import Sealed
from persona_ray.errors import VaultError
from persona_ray.serving.opened_file import OpenedFile
from persona_ray.serving.screening.recordings import RECORDING, Recorder, mix_down, opened
from persona_ray.serving.screening.tracks import files, read
from persona_ray.vault.keys import new_key
from persona_ray.vault.seal import HEADER_BYTES, PLAIN, TAG_BYTES, Vault, sealed_by
from tests.unit.vault.fixed import FixedKeys, a_vault

RATE_HZ = 8000


def noise(samples: int, seed: int) -> np.ndarray:
    heard = np.random.default_rng(seed).uniform(-0.5, 0.5, samples)
    return heard.astype(np.float32)


def pcm(samples: np.ndarray) -> np.ndarray:
    return np.rint(samples * 32_768).astype(np.int16)


def test_nothing_plain_is_written_and_a_kill_takes_what_was_not_settled(tmp_path: Path) -> None:
    vault, heard = a_vault(), noise(4000, 1)
    recorder = Recorder(tmp_path / "ref", RATE_HZ, vault)
    recorder.hear(heard[:2000])
    recorder.flush()
    recorder.hear(heard[2000:])
    recorder.flush()
    (journal,) = files(tmp_path / "ref")
    kept = journal.read_bytes()
    assert pcm(heard)[:50].tobytes() not in kept
    # Killed while it wrote: any end of the file is an end of what was written before.
    last = 4 + HEADER_BYTES + 9 + 2 * 2000 + TAG_BYTES
    for missing in (last, last - 1, last - 4, last - 5, last - 40, 16, 1):
        journal.write_bytes(kept[:-missing])
        np.testing.assert_array_equal(read(tmp_path / "ref", vault)[0], pcm(heard[:2000]))
    journal.write_bytes(kept)
    again = Recorder(tmp_path / "ref", RATE_HZ, vault, 1000)
    again.hear(heard[:500])
    again.flush()
    # Who was superseded and does not know it yet writes for nobody.
    recorder.hear(heard)
    recorder.flush()
    expected = pcm(np.concatenate([heard[:1000], heard[:500]]))
    np.testing.assert_array_equal(read(tmp_path / "ref", vault)[0], expected)


def test_a_piece_that_was_changed_or_moved_opens_nothing(tmp_path: Path) -> None:
    vault = a_vault()
    for ref in ("a", "b"):
        recorder = Recorder(tmp_path / ref, RATE_HZ, vault)
        recorder.hear(noise(100, 1))
        recorder.flush()
    (journal,), (other,) = files(tmp_path / "a"), files(tmp_path / "b")
    kept = journal.read_bytes()
    journal.write_bytes(other.read_bytes())
    with pytest.raises(VaultError):
        mix_down(tmp_path / "a", RATE_HZ, vault)
    # The second piece again, as a third.
    first = 4 + int.from_bytes(kept[:4], "little")
    journal.write_bytes(kept + kept[first:])
    with pytest.raises(VaultError):
        read(tmp_path / "a", vault)
    # What does not open is not thrown away.
    assert files(tmp_path / "a") == [journal]


def test_a_call_over_an_upgrade_and_a_new_key(tmp_path: Path) -> None:
    """Tracks of a release that sealed nothing go on sealed, under whatever key is the newest."""
    folder, heard = tmp_path / "ref", noise(3000, 2)
    folder.mkdir()
    (folder / "caller.pcm").write_bytes(pcm(heard[:1500]).tobytes())
    (folder / "robot.pcm").write_bytes(b"")
    old, new = new_key(), new_key()
    for keys, start in (((old,), 1000), ((old, new), 2000)):
        recorder = Recorder(folder, RATE_HZ, Vault(FixedKeys(*keys), tuple(Sealed)), start)
        recorder.hear(heard[start : start + 1000])
        recorder.flush()
    vault = Vault(FixedKeys(old, new), tuple(Sealed))
    np.testing.assert_array_equal(read(folder, vault)[0], pcm(heard))
    mix_down(folder, RATE_HZ, vault)
    assert [path.name for path in folder.iterdir()] == [RECORDING]
    kept = (folder / RECORDING).read_bytes()
    assert sealed_by(kept) == new.key_id
    sound, _ = soundfile.read(io.BytesIO(opened(folder / RECORDING, vault)))
    assert len(sound) == len(heard)
    with pytest.raises(VaultError, match=new.key_id):
        opened(folder / RECORDING, Vault(FixedKeys(old), tuple(Sealed)))


def test_where_recordings_are_not_to_be_sealed_they_are_plain(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "ref", RATE_HZ, PLAIN)
    recorder.hear(noise(3000, 3))
    recorder.finish()
    assert (tmp_path / "ref" / RECORDING).read_bytes().startswith(b"OggS")


def test_a_player_may_ask_for_parts_of_what_is_sealed(tmp_path: Path) -> None:
    kept, content = tmp_path / "kept", bytes(range(256)) * 1000
    kept.write_bytes(b"sealed")

    async def answer(_: object) -> OpenedFile:
        return OpenedFile(content, kept, "audio/ogg", {"cache-control": "no-store"})

    client = TestClient(Starlette(routes=[Route("/", answer)]))
    whole = client.get("/")
    assert whole.content == content
    assert whole.headers["content-length"] == str(len(content))
    for asked, start, end in (("100-199", 100, 200), ("255990-", 255_990, 256_000)):
        ranged = {"range": f"bytes={asked}", "if-range": whole.headers["etag"]}
        part = client.get("/", headers=ranged)
        assert part.status_code == 206
        assert part.content == content[start:end]
    assert client.get("/", headers={"range": "bytes=256000-"}).status_code == 416
