"""The file of keys: made once, read strictly, followed when it changes, never shown."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError, VaultError
from persona_ray.vault import private_file
from persona_ray.vault.keys import FILE, MADE, VARIABLE, KeyRing, new_key, ring_of

GOOD = f"5f0c21aa 2026-11-23T08:00:00+00:00 {'ab' * 32}"


def written(path: Path, *lines: str) -> KeyRing:
    path.write_text("\n".join(["persona-ray vault keys 1", *lines]) + "\n")
    path.chmod(0o600)
    return KeyRing(path, makes=True)


def test_one_ring_is_made_however_many_want_it(tmp_path: Path) -> None:
    rings = [KeyRing(tmp_path / "w" / "vault.keys", makes=True) for _ in range(8)]
    assert rings[0].all() == ()
    assert not rings[0].path.exists()
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(KeyRing.primary, rings))
    assert len(keys) == 1
    assert stat.S_IMODE(rings[0].path.stat().st_mode) == 0o600
    assert {path.name for path in (tmp_path / "w").iterdir()} == {FILE, MADE}


@pytest.mark.parametrize("change", [KeyRing.primary, lambda ring: ring.add(new_key())])
def test_a_ring_that_is_gone_is_asked_for_and_no_other_made(
    tmp_path: Path, change: Callable[[KeyRing], object]
) -> None:
    ring = KeyRing(tmp_path / FILE, makes=True)
    first = ring.primary()
    kept = ring.path.rename(tmp_path / "elsewhere")
    with pytest.raises(VaultError, match=r"is gone: put it back .* remove .*vault\.made"):
        change(KeyRing(ring.path, makes=True))
    assert not ring.path.exists()
    kept.rename(ring.path)
    assert KeyRing(ring.path, makes=True).primary() == first
    ring.path.unlink()
    (tmp_path / MADE).unlink()
    assert KeyRing(ring.path, makes=True).primary() != first


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("",),
        (GOOD, ""),
        (GOOD + " ",),
        (GOOD.upper(),),
        (GOOD[:-2],),
        (GOOD.replace("+00:00", ""),),
        (GOOD.replace("2026-11-23", "2026-11-43"),),
        (GOOD, GOOD),
    ],
)
def test_a_ring_is_read_strictly_and_never_quoted(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        written(tmp_path / "vault.keys", *lines).primary()
    assert "abab" not in str(refused.value).lower()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.keys"
    for content in (b"", b"secret\n", b"\xff\xfe"):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigError):
            KeyRing(path, makes=True).primary()


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660])
def test_a_ring_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    ring = written(tmp_path / "vault.keys", GOOD)
    ring.path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        ring.primary()


def test_the_last_key_seals_and_the_others_are_kept(tmp_path: Path) -> None:
    ring = written(tmp_path / "vault.keys", GOOD)
    later = new_key()
    ring.add(later)
    assert ring.primary() == later
    assert KeyRing(ring.path, makes=False).key("5f0c21aa").material == b"\xab" * 32
    ring.drop("5f0c21aa")
    with pytest.raises(VaultError, match="key 5f0c21aa is not in the key ring"):
        ring.key("5f0c21aa")


def test_of_keys_that_are_added_at_once_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service may have sealed by one already."""
    ring = written(tmp_path / "vault.keys", GOOD)
    other, second = KeyRing(ring.path, makes=False), new_key()
    replace, threads = private_file.replace, list[threading.Thread]()

    def meanwhile(path: Path, text: str) -> None:
        if not threads:
            threads.append(threading.Thread(target=other.add, args=(second,)))
            threads[0].start()
            threads[0].join(timeout=0.1)
        replace(path, text)

    monkeypatch.setattr(private_file, "replace", meanwhile)
    first = new_key()
    ring.add(first)
    threads[0].join()
    assert {key.key_id for key in ring.all()} == {"5f0c21aa", first.key_id, second.key_id}


def test_others_follow_at_once_for_an_unknown_key_and_within_a_second_to_seal(
    tmp_path: Path,
) -> None:
    now = [0.0]
    ring = written(tmp_path / "vault.keys", GOOD)
    other = KeyRing(ring.path, makes=False, clock=lambda: now[0])
    first = other.primary()
    second = new_key()
    ring.add(second)
    assert other.primary() == first
    now[0] = 1.0
    assert other.primary() == second
    third = new_key()
    ring.add(third)
    assert other.key(third.key_id) == third
    # A volume that is away for a moment takes no key away.
    ring.path.unlink()
    now[0] = 2.0
    assert other.primary() == third


def test_which_file_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    config: RunConfig = load_config(None, [f"workspace={tmp_path}"])
    assert ring_of(config).path == tmp_path / FILE
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mounted"))
    ring = ring_of(config)
    assert ring.path == tmp_path / "mounted"
    # A ring that was named is never made: the name may be wrong.
    with pytest.raises(VaultError, match="there is no key ring"):
        ring.primary()
    named = load_config(None, [f"workspace={tmp_path}", f"privacy.vault.keys={tmp_path / 'k'}"])
    assert ring_of(named).path == tmp_path / "k"


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    ring = written(tmp_path / "vault.keys", GOOD)
    shown = f"{ring.primary()!r} {ring!r} {ring.all()}"
    assert "abab" not in shown
    assert "\\xab" not in shown
