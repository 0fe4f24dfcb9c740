"""One process that decodes, as seen by the process that started it: nothing it says is believed
before it is checked."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np

import persona_ray
from persona_ray import errors
from persona_ray.audio.apart_worker import LENGTH
from persona_ray.audio.decode import (
    BUDGET_SAMPLES_PER_S,
    MAX_CHANNELS,
    MAX_RATE_HZ,
    DecodedAudio,
)
from persona_ray.errors import CallError, DecoderError, ServiceError
from persona_ray.remote import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

_START = (
    "import importlib, sys; sys.path.insert(0, sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(int(sys.argv[3]), int(sys.argv[4]))"
)
_STARTS_S = 120.0
# A process that waits for the processor is not one that computes without end.
_CLOCK_PER_PROCESSOR_S = 4.0
_LONGEST_ANSWER = 65_536
_LONGEST_NAME = 2_048
BLOCK = 2**20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process may take: `memory_mb` of addresses, and `seconds` of processor time for one
    recording (four times as much by the clock)."""

    memory_mb: int
    seconds: float


class KilledError(Exception):
    """A process ended while it was asked. `signal`: 0 where it ended by itself."""

    def __init__(self, code: int) -> None:
        self.signal = -code if code < 0 else 0
        said = signal.Signals(self.signal).name if self.signal else f"exit status {code}"
        super().__init__(said)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a process about an opened file."""

    file: IO[bytes]
    name: str
    max_s: float
    truncated_below: float
    header_only: bool = False


class DecodingProcess:
    """One process and the line to it; used by one thread at a time."""

    def __init__(self, entry: str, bounds: Bounds) -> None:
        self._bounds = bounds
        self._line, theirs = socket.socketpair()
        root = Path(persona_ray.__file__).resolve().parent.parent
        told = (str(theirs.fileno()), str(bounds.memory_mb))
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-c", _START, str(root), entry, *told],
                    pass_fds=[theirs.fileno()],
                    # No secret of this process's environment: how many threads there are, no more.
                    env=dict.fromkeys(_THREADS, "1"),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    # Ctrl-C at the terminal is for this process, which answers what was begun.
                    start_new_session=True,
                )
        except OSError as error:
            self._line.close()
            raise _no_process(error) from None
        self._until = time.monotonic() + _STARTS_S
        try:
            self.confined: list[str] = [str(name) for name in self._said()["confined"]]
        except (OSError, EOFError, ValueError, KeyError) as error:
            self._kill()
            raise _no_process(error) from None

    @property
    def alive(self) -> bool:
        return self._process.poll() is None and self._line.fileno() >= 0

    def end(self) -> None:
        self._line.close()
        self._process.wait()

    def ask(self, asked: Asked) -> DecodedAudio | None:
        """None where only the header was to be looked at. Raises CallError, KilledError."""
        seconds = self._bounds.seconds
        self._until = time.monotonic() + seconds * _CLOCK_PER_PROCESSOR_S
        try:
            self._send(asked)
            answer = self._said()
            if "error" in answer:
                raise self._refused(asked.name, answer)
            return None if asked.header_only else self._samples(asked, answer)
        except TimeoutError:
            self._kill()
            raise DecoderError(
                f"{asked.name} takes more than {seconds:g} s to decode (serving.limits.decode_s)"
            ) from None
        except (EOFError, OSError):
            self._killed(asked.name)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            # Whoever answers so is not the program that was started.
            self._kill()
            raise DecoderError(f"{asked.name} made its decoder answer nonsense") from None
        except CallError:
            raise
        except BaseException:
            # Half an answer may be on the line.
            self._kill()
            raise

    def _killed(self, name: str) -> NoReturn:
        self._line.close()
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._kill()
            code = 1
        if -code == signal.SIGXCPU:
            raise DecoderError(
                f"{name} takes more than {self._bounds.seconds:g} s to decode "
                "(serving.limits.decode_s)"
            ) from None
        raise KilledError(code) from None

    def _kill(self) -> None:
        self._line.close()
        self._process.kill()
        self._process.wait()

    def _refused(self, name: str, answer: Mapping[str, Any]) -> CallError:
        if answer["error"] == "memory":
            self._kill()
            return DecoderError(
                f"{name} takes more than {self._bounds.memory_mb} MB to decode "
                "(serving.limits.decode_memory_mb)"
            )
        kind = getattr(errors, str(answer["error"]), None)
        if not (isinstance(kind, type) and issubclass(kind, CallError)):
            raise ValueError("no error of a recording")
        detail = str(answer["detail"])
        return kind("".join(one if one.isprintable() else "?" for one in detail))

    def _send(self, asked: Asked) -> None:
        request = {
            "name": asked.name[:_LONGEST_NAME],
            "max_s": asked.max_s,
            "truncated_below": asked.truncated_below,
            "header_only": asked.header_only,
            "seconds": self._bounds.seconds,
        }
        text = json.dumps(request).encode()
        self._wait()
        socket.send_fds(self._line, [LENGTH.pack(len(text))], [asked.file.fileno()])
        self._line.sendall(text)

    def _said(self) -> dict[str, Any]:
        head = bytearray(LENGTH.size)
        self._fill(memoryview(head))
        (length,) = LENGTH.unpack(head)
        if length > _LONGEST_ANSWER:
            raise ValueError("a long answer")
        text = bytearray(length)
        self._fill(memoryview(text))
        said = json.loads(bytes(text))
        if not isinstance(said, dict):
            raise ValueError("no object")
        return said

    def _samples(self, asked: Asked, answer: Mapping[str, Any]) -> DecodedAudio:
        frames, channels, rate_hz = (
            int(answer[name]) for name in ("frames", "channels", "rate_hz")
        )
        most = asked.max_s * BUDGET_SAMPLES_PER_S + MAX_CHANNELS
        if not (0 < frames * channels <= most and 0 < channels <= MAX_CHANNELS):
            raise ValueError("more samples than can be")
        if not 0 < rate_hz <= MAX_RATE_HZ:
            raise ValueError("no such rate")
        samples: NDArray[np.float32] = np.empty((frames, channels), np.float32)
        self._fill(memoryview(samples.data).cast("B"))
        flags = tuple(str(flag)[:_LONGEST_NAME] for flag in answer["flags"])
        return DecodedAudio(samples.T, rate_hz, flags)

    def _fill(self, buffer: memoryview) -> None:
        while buffer:
            self._wait()
            count = self._line.recv_into(buffer, min(len(buffer), BLOCK))
            if count == 0:
                raise EOFError("it ended")
            buffer = buffer[count:]

    def _wait(self) -> None:
        left_s = self._until - time.monotonic()
        # However often it says something: it may have given itself all of the processor's time.
        if left_s <= 0:
            raise TimeoutError
        self._line.settimeout(left_s)


def _no_process(error: Exception) -> ServiceError:
    return ServiceError(
        f"no process to decode audio in can be started: {one_line(error)}; "
        "serving.limits.decode_memory_mb may be too little"
    )
