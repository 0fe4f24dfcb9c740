"""Files and folders that are there whole or not at all, whenever a process is killed.

Each is written beside its place under a name of its own, flushed to the disk and renamed:

    .report.html.1f3a9c02-4711-5be0d2a1-3.draft
     its name    host     pid  process  number

What a killed process left is removed by the next one that writes there; the name tells whether the
writer still lives. Writers on other hosts are let be.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_DRAFT, _REPLACED = "draft", "replaced"
# Of Linux, which Python has no call for.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_numbers = itertools.count()


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes | str) -> None:
    """Text in UTF-8. The folder must be there, as for all that is written here."""
    with draft(path) as file:
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def rewrite_whole(path: Path, content: bytes | str) -> bool:
    """Other content for a file that is there. False, and nothing is written, where it has gone
    meanwhile: what somebody deletes does not come back."""
    settle(path)
    beside = _beside(path, _DRAFT)
    try:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
        _flush(beside)
        if _exchange(beside, path):
            return True
        if not path.exists():
            return False
        # The file system cannot exchange two names: what is deleted this moment comes back.
        beside.replace(path)
        return True
    except FileNotFoundError:
        return False
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Where the block writes what is to be the file `path` once it ends; a block that fails leaves
    `path` as it was."""
    settle(path)
    beside = _beside(path, _DRAFT)
    try:
        yield beside
        put_file(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """The same for a folder, empty at first. Whatever is at `path` goes when the new one comes."""
    with scratch_folder(path) as beside:
        yield beside
        put_folder(beside, path)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, for what is made on the way to it. After the block it is gone,
    but for what was moved away."""
    settle(path)
    beside = _beside(path, _DRAFT)
    beside.mkdir()
    try:
        yield beside
    finally:
        _remove(beside)


def put_file(written: Path, path: Path) -> None:
    """Rename the file `written` to `path`, once it is on the disk."""
    _flush(written)
    written.replace(path)


def put_folder(written: Path, path: Path) -> None:
    """Rename the folder `written` to `path`, once its files are on the disk; what was there goes.

    Somebody who reads finds the old or the new folder. Only where the file system cannot exchange
    two names is there nothing for a moment; a process killed just then leaves the old folder to
    `settle`.
    """
    for file in written.rglob("*"):
        if file.is_file():
            _flush(file)
    if not os.path.lexists(path):
        written.rename(path)
    elif _exchange(written, path):
        _remove(written)
    else:
        aside = _beside(path, _REPLACED)
        path.rename(aside)
        try:
            written.rename(path)
        except BaseException:
            aside.rename(path)
            raise
        _remove(aside)


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """The file `path`, made where it is missing, is this block's alone, among all processes.

    Where another has it: waits, or raises BlockingIOError. The lock goes with the process, however
    it ends.
    """
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def settle(path: Path) -> None:
    """Put back what a killed process had moved away from `path`, and remove what else it left."""
    start = f".{path.name}.{_host()}-"
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(start)]
    except OSError:
        # Who writes or reads there is told what is wrong with the folder.
        return
    for name in names:
        writer, _, kind = name.removeprefix(start).rpartition(".")
        pid, _, rest = writer.partition("-")
        if kind not in (_DRAFT, _REPLACED) or not pid.isdecimal():
            continue
        if _lives(int(pid), rest.partition("-")[0]):
            continue
        leftover = path.with_name(name)
        if kind == _REPLACED and not os.path.lexists(path):
            # Another process may be putting it back at the same time.
            with suppress(OSError):
                leftover.rename(path)
        else:
            _remove(leftover)


def _beside(path: Path, kind: str) -> Path:
    writer = f"{_host()}-{os.getpid()}-{_process()}-{next(_numbers)}"
    return path.with_name(f".{path.name}.{writer}.{kind}")


@cache
def _host() -> str:
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:8]


@cache
def _process() -> str:
    """In a container that was started anew, a process often has the number of the killed one."""
    return uuid.uuid4().hex[:8]


def _lives(pid: int, process: str) -> bool:
    if pid == os.getpid():
        return process == _process()
    try:
        # Another user's process may not be asked, but lives.
        with suppress(PermissionError):
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _exchange(one: Path, other: Path) -> bool:
    """The names of two folders, in one step; False where the system cannot."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    ends = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return not renameat2(*ends, _RENAME_EXCHANGE)


def _flush(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    """What cannot be removed now is removed by the next who writes there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
