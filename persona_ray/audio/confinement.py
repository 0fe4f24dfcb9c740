"""What a process gives up before it touches bytes of strangers. Linux; elsewhere the limits alone.

Each step that the machine refuses is left out, and those that were taken are told. Namespaces are
what containers refuse, by the usual filter of system calls; Landlock they allow, and it takes files
and connections away by another way.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# linux/prctl.h, linux/sched.h, linux/capability.h, linux/landlock.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 38, 4
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x1000_0000, 0x4000_0000, 0x0800_0000
_CAPABILITY_VERSION_3 = 0x2008_0522
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _LANDLOCK_VERSION = 444, 446, 1
# Rights over files that a version of Landlock knows; the newest has all of them.
_FILE_RIGHTS, _ALL_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}, 16
_NOBODY = 65_534
_OPEN_FILES = 16


def confine(memory_mb: int) -> list[str]:
    """Gives up, for good: memory beyond `memory_mb` of addresses, more than a few open files,
    writing files, starting processes, gaining privileges, the network, the file system, other
    users' processes. Returns the names of what was given up. For a process with one thread."""
    megabytes = memory_mb * 2**20
    given_up = ["memory", "files"]
    # Finding a folder for it writes a file.
    empty = _empty_folder() if sys.platform == "linux" else None
    resource.setrlimit(resource.RLIMIT_AS, (megabytes, megabytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return given_up
    libc = ctypes.CDLL(None, use_errno=True)
    steps: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("new privileges", lambda: libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0),
        ("user", _become_nobody),
        ("network", lambda: _unshared(libc)),
        ("file system", lambda: _rooted(empty)),
        ("files and connections by Landlock", lambda: _landlocked(libc)),
        ("capabilities", lambda: _without_capabilities(libc)),
        ("processes", _alone),
        ("inspection", lambda: libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0),
    )
    return given_up + [name for name, step in steps if step()]


def limit_processor(seconds: float) -> None:
    """The system ends this process once it has computed `seconds` more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


def _empty_folder() -> int | None:
    """A folder that is in no other, opened: nothing is in it, nothing can be put there. None where
    no folder can be made."""
    try:
        path = Path(tempfile.mkdtemp())
    except OSError:
        return None
    path.chmod(0o755)
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    path.rmdir()
    return opened


def _become_nobody() -> bool:
    """Where this process is root's: as another user it can neither end nor inspect root's."""
    if os.geteuid() != 0:
        return False
    with suppress(OSError):
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        return True
    return False


def _unshared(libc: ctypes.CDLL) -> bool:
    """A network of its own without one device, in a user namespace that allows to make it."""
    return bool(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) == 0)


def _rooted(empty: int | None) -> bool:
    if empty is None:
        return False
    try:
        os.fchdir(empty)
        os.chroot(".")
    except OSError:
        return False
    finally:
        os.close(empty)
    return True


def _landlocked(libc: ctypes.CDLL) -> bool:
    """No file is opened any more. From Linux 6.7 on no TCP connection is made either, and from 6.12
    on no process outside is sent a signal."""
    version = libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    files = (1 << _FILE_RIGHTS.get(version, _ALL_FILE_RIGHTS)) - 1
    known = 1 if version < 4 else 2 if version < 6 else 3
    # Handled and granted to nothing: files, TCP (bind, connect), abstract sockets and signals.
    handled = (ctypes.c_uint64 * 3)(files, 0b11, 0b11)
    rules = libc.syscall(
        ctypes.c_long(_LANDLOCK_CREATE),
        handled,
        ctypes.c_size_t(known * ctypes.sizeof(ctypes.c_uint64)),
        0,
    )
    if rules < 0:
        return False
    restricted = bool(libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT), rules, 0) == 0)
    os.close(rules)
    return restricted


def _without_capabilities(libc: ctypes.CDLL) -> bool:
    """Those of its own namespace, too: they would let it out of its root folder again."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return bool(libc.capset(header, nothing) == 0)


def _alone() -> bool:
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return True
