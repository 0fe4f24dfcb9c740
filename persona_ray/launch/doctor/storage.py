"""Where files lie: the workspace, the archive's audio, copies of finished work."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError
from persona_ray.launch.doctor.finding import NotWellError, not_applicable, warning
from persona_ray.launch.workspace import check_workspace
from persona_ray.remote import Fault, fault_of, filesystem

# A checkpoint of a small model: what is slower than this writes large ones for minutes.
_BYTES, _SLOW_S = 4 << 20, 2.0


def workspace(config: RunConfig) -> str:
    """It can be written, and what was written is on the disk."""
    check_workspace(config)
    folder = config.workspace.absolute()
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        seconds = written(folder)
        if made:
            folder.rmdir()
    except OSError as error:
        raise NotWellError(
            f"workspace '{config.workspace}': {error.strerror}",
            "free some room, change its rights, or --set workspace=FOLDER",
        ) from None
    said = f"{folder}: {_BYTES >> 20} MiB written and synced in {seconds:.2f} s"
    if seconds > _SLOW_S:
        raise warning(said, "slow storage: training waits for its checkpoints")
    return said


def written(folder: Path) -> float:
    """Seconds that a file took until it was on the disk; it is gone again. OSError."""
    path = folder / f".doctor-{secrets.token_hex(6)}"
    begun = time.perf_counter()
    try:
        with path.open("wb") as file:
            file.write(bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        return time.perf_counter() - begun
    finally:
        path.unlink(missing_ok=True)


def audio(config: RunConfig) -> str:
    """One object of the archive's audio can be read."""
    root = config.archive.audio_root
    if not root:
        raise not_applicable("archive.audio_root is empty: each call names its own place")
    files, place = _opened("archive.audio_root", root)
    try:
        for folder, _, names in files.walk(place, maxdepth=4):
            for name in names:
                with files.open(f"{str(folder).rstrip('/')}/{name}", "rb") as file:
                    file.read(1024)
                return f"archive.audio_root {shown(root)}: one file was read"
    except Exception as error:
        raise _refused("archive.audio_root", root, error) from None
    if not files.exists(place):
        raise NotWellError(
            f"archive.audio_root {shown(root)} is not there",
            "mend the address; a folder must be mounted here, a bucket made",
        )
    raise warning(f"archive.audio_root {shown(root)} holds no file", "is it the right place?")


def artefacts(config: RunConfig) -> str:
    """The place of copies can be written, read and cleared."""
    root = config.storage.artefacts
    if not root:
        raise not_applicable("storage.artefacts is empty: finished work stays in the workspace")
    files, place = _opened("storage.artefacts", root)
    path = f"{place.rstrip('/')}/.doctor-{secrets.token_hex(6)}"
    content = secrets.token_bytes(64)
    try:
        if isinstance(files.protocol, str) or "file" in files.protocol:
            files.makedirs(place, exist_ok=True)
        files.pipe_file(path, content)
        try:
            same = files.cat_file(path) == content
        finally:
            files.rm_file(path)
    except Exception as error:
        raise _refused("storage.artefacts", root, error) from None
    if not same:
        raise NotWellError(
            f"storage.artefacts {shown(root)} gave back other bytes than it was given",
            "do not keep anything there: the storage is damaged",
        )
    return f"storage.artefacts {shown(root)}: written, read and removed"


def _opened(key: str, root: str) -> tuple[Any, str]:
    try:
        return filesystem(root)
    except ValueError as error:
        raise NotWellError(f"{key} {shown(root)}: {error}", "mend the address") from None


def shown(uri: str) -> str:
    """Without a name and password."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _refused(key: str, root: str, error: Exception) -> Exception:
    if isinstance(error, ConfigError | NotWellError):
        return error
    fixes = {
        Fault.ABSENT: "make the bucket or folder, or mend the address",
        Fault.ADDRESS: "mend the address",
        Fault.REFUSED: "is the bucket there, and do AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "of the environment open it?",
        Fault.AWAY: "is the storage up, and AWS_ENDPOINT_URL right?",
    }
    fault = fault_of(error, root)
    said = " ".join(str(error).split())[:200] or type(error).__name__
    fix = fixes.get(fault, "mend the address")
    if "://" not in root:
        fix = "change its rights, or name another place"
    return NotWellError(f"{key} {shown(root)}: {said}", fix)
