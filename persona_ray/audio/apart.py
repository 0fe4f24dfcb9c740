"""Audio decoded in processes of their own: what a recording makes of its decoder, it makes there.

A process is handed an opened file and gives samples back. It starts without this one's environment,
where secrets are, and gives up what `confinement` lists before it sees the first file. One that
crashes or takes too much is ended and replaced; the recording is refused and others wait for
nothing.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO

from persona_ray.audio.apart_process import BLOCK, Asked, Bounds, DecodingProcess, KilledError
from persona_ray.audio.decode import BUDGET_SAMPLES_PER_S, DecodedAudio, open_audio, unreadable
from persona_ray.errors import CallError, DecoderError, TooLongError

_ENTRY = "persona_ray.audio.apart_worker"
# Eight bytes for a sample is the most that a file spends on one.
_SAMPLE_BYTES = 8
_HEADER_BYTES = 2**20


class Apart:
    """Decoder that decodes in up to `processes` processes, begun when they are needed."""

    def __init__(self, processes: int, bounds: Bounds, entry: str = _ENTRY) -> None:
        """`entry`: the module whose `main` the processes run; for tests."""
        self.threads = ThreadPoolExecutor(processes, thread_name_prefix="decoding")
        self._bounds = bounds
        self._entry = entry
        self._places: queue.LifoQueue[DecodingProcess | None] = queue.LifoQueue()
        for _ in range(processes):
            self._places.put(None)

    def check_length(self, data: bytes, name: str, max_s: float) -> None:
        with _held(data) as file:
            self._ask(Asked(file, name, max_s, 0.0, header_only=True))

    def upload(
        self, data: bytes, name: str, max_s: float, truncated_below: float = 0.9
    ) -> DecodedAudio:
        with _held(data) as file:
            return self._decoded(Asked(file, name, max_s, truncated_below))

    def read(self, uri: str, max_s: float, truncated_below: float = 0.9) -> DecodedAudio:
        with open_audio(uri) as opened, _with_descriptor(opened, uri, max_s) as file:
            return self._decoded(Asked(file, uri, max_s, truncated_below))

    def confined(self) -> list[str]:
        """What a process has given up, by the names of `confinement`."""
        with self._process() as process:
            return process.confined

    def close(self) -> None:
        """End the processes, once each is done with what it has."""
        for _ in range(self._places.qsize()):
            process = self._places.get()
            if process is not None:
                process.end()
        self.threads.shutdown(wait=False)

    def _decoded(self, asked: Asked) -> DecodedAudio:
        audio = self._ask(asked)
        if audio is None:
            raise DecoderError(f"{asked.name}: its decoder gave no samples")
        return audio

    def _ask(self, asked: Asked) -> DecodedAudio | None:
        for last in (False, True):
            with self._process() as process:
                try:
                    return process.ask(asked)
                except KilledError as killed:
                    # By another's hand, or for want of memory on the machine: not by this file.
                    if last or killed.signal != signal.SIGKILL:
                        raise DecoderError(
                            f"{asked.name} ended its decoder ({killed}): it is damaged, or made to "
                            "do harm"
                        ) from None
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _process(self) -> Iterator[DecodingProcess]:
        """One that nobody else uses, waited for."""
        process = self._places.get()
        try:
            if process is None or not process.alive:
                process = DecodingProcess(self._entry, self._bounds)
            yield process
        finally:
            alive = process is not None and process.alive
            self._places.put(process if alive else None)


@contextmanager
def _held(data: bytes) -> Iterator[IO[bytes]]:
    """A file with `data`, in memory where the system has such files."""
    with _file() as file:
        file.write(data)
        file.flush()
        yield file


@contextmanager
def _with_descriptor(opened: IO[bytes], uri: str, max_s: float) -> Iterator[IO[bytes]]:
    """`opened` itself where it is a file of this machine, else a copy on disk: the process that
    decodes has no network, and none of the credentials."""
    try:
        opened.fileno()
    except (OSError, AttributeError):
        pass
    else:
        yield opened
        return
    most = int(max_s * BUDGET_SAMPLES_PER_S * _SAMPLE_BYTES) + _HEADER_BYTES
    with tempfile.TemporaryFile() as file:
        try:
            if opened.seek(0, os.SEEK_END) > most:
                raise TooLongError(f"{uri} has more than {most / 1e6:g} MB")
            opened.seek(0)
            shutil.copyfileobj(opened, file, BLOCK)
        except CallError:
            raise
        except Exception as error:  # network back ends raise what they like
            raise unreadable(f"{uri} cannot be read", error, uri) from None
        file.flush()
        yield file


def _file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("recording"), "w+b")
    return tempfile.TemporaryFile()
