"""The decoding process with a decoder that does what its file says: harm, for the most part."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from persona_ray.audio import apart_worker
from persona_ray.audio.decode import DecodedAudio, decode_file


def main(descriptor: int, memory_mb: int) -> None:
    apart_worker.main(descriptor, memory_mb, decode)


def decode(file: IO[bytes], name: str, max_s: float, truncated_below: float) -> DecodedAudio:
    file.seek(0)
    match file.read(16).strip():
        case b"ABORT":
            os.abort()
        case b"CRASH":
            ctypes.string_at(0)
        case b"EXIT":
            os._exit(0)
        case b"KILLED":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"LOOP":
            while True:
                pass
        case b"SLEEP":
            time.sleep(600)
        case b"GROW":
            held = []
            while True:
                held.append(np.empty(2**24))
        case b"NONSENSE":
            os.write(int(sys.argv[3]), b"\xff" * 64)
        case b"DEEP":
            os.write(int(sys.argv[3]), apart_worker.LENGTH.pack(60_000) + b"[" * 60_000)
        case b"MANY":
            return DecodedAudio(np.zeros((1, 100_000_000), np.float32), 8_000)
        case b"TRY":
            done = tuple(name for name, attempt in ATTEMPTS.items() if succeeds(attempt))
            return DecodedAudio(np.zeros((1, 1), np.float32), 8_000, done)
    return decode_file(file, name, max_s, truncated_below)


def succeeds(attempt: Callable[[], object]) -> bool:
    try:
        return bool(attempt())
    except OSError:
        return False


def connects() -> bool:
    """Whether the socket is refused by this machine's network, and not for want of one."""
    with socket.socket() as one:
        try:
            one.connect(("127.0.0.1", 9))
        except ConnectionRefusedError:
            return True
    return True


def forks() -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def signals() -> bool:
    os.kill(os.getppid(), 0)
    return True


ATTEMPTS: dict[str, Callable[[], object]] = {
    "secret": lambda: [name for name in os.environ if name.startswith("PLANTED")],
    "connect": connects,
    "fork": forks,
    "signal": signals,
    "read": lambda: Path("/etc/passwd").read_bytes(),
    "list": lambda: os.listdir("/"),  # noqa: PTH208
    "write": lambda: Path("/written").write_bytes(b"x"),
}
