"""Files of secrets: made once however many processes want them, and read by their owner alone."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from persona_ray.errors import ConfigError


def kept(path: Path, make: Callable[[], str]) -> str:
    """The text of the file, made of `make` where there is none. Raises ConfigError as `read`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        put_new(path, make())
    return read(path)


def put_new(path: Path, text: str) -> bool:
    """Make the file, unless another process has made it; whether this one did. Raises OSError."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        _write(draft, text)
        # Unlike a rename, this never takes the place of what is there.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def replace(path: Path, text: str) -> None:
    """The file has this text, or still the one before. Raises OSError."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        _write(draft, text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read(path: Path) -> str:
    """Raises ConfigError where others than its owner may read it, or it cannot be read."""
    try:
        with path.open(encoding="ascii") as file:
            about = os.fstat(file.fileno())
            # A mounted Secret is root's: only by its group can a service read it.
            others = 0o077 if about.st_uid == os.geteuid() else 0o007
            if stat.S_IMODE(about.st_mode) & others:
                raise ConfigError(f"{path} may be read by others than its owner: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is damaged: put it back from a backup") from None


def _write(draft: Path, text: str) -> None:
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
