"""The keys that sign, and the form of what is signed."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from persona_ray.errors import ConfigError
from persona_ray.vault.signing import SigningKeys
from persona_ray.vault.statements import canonical


def test_the_key_is_its_owners_and_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    ring = SigningKeys(folder)
    assert SigningKeys(folder).key_id == ring.key_id
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    ring.rotate()
    # The old private key is nowhere any more; both processes sign with the new one.
    assert json.loads(file.read_text())["private"] is None
    assert SigningKeys(folder).sign({"a": 1}).key_id == ring.sign({"a": 1}).key_id == ring.key_id
    newest = folder / "0002.key"
    newest.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        SigningKeys(folder)
    newest.chmod(0o600)
    content = json.loads(newest.read_text())
    content["private"] = json.loads(newest.read_text())["signed"]["statement"]["public"]
    newest.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="damaged"):
        SigningKeys(folder)


def test_replicas_that_start_at_once_share_the_first_key(tmp_path: Path) -> None:
    for turn in range(5):
        folder, start = tmp_path / str(turn), threading.Barrier(6)

        def begin(folder: Path = folder, start: threading.Barrier = start) -> str:
            start.wait()
            return SigningKeys(folder).key_id

        with ThreadPoolExecutor(6) as pool:
            ids = {task.result() for task in [pool.submit(begin) for _ in range(6)]}
        assert len(ids) == 1
        assert [file.name for file in folder.iterdir()] == ["0001.key"]


def test_canonical_json_is_written_in_one_way() -> None:
    assert canonical({"b": [1, None, True], "a": 'é\n\u0001"/'}) == (
        '{"a":"é\\n\\u0001\\"/","b":[1,null,true]}'.encode()
    )
    for wrong in (0.5, {"a": float("nan")}, 2**53, {1: "a"}, {"é": 1}, b"", ["\ud800"]):
        with pytest.raises(ValueError):
            canonical(wrong)
