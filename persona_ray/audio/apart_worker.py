"""The process that decodes: one recording after the other, from a file that it is handed.

Over the socket that it is started with come a length (4 bytes), a JSON object and an opened file;
back go a length, a JSON object and the samples as float32. It writes nothing else anywhere.
"""

from __future__ import annotations

import io
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from persona_ray.audio.confinement import confine, limit_processor
from persona_ray.audio.decode import DecodedAudio, decode_file
from persona_ray.audio.length import check_length
from persona_ray.errors import CallError

LENGTH = struct.Struct("!I")
Decode = Callable[[Any, str, float, float], DecodedAudio]
_LONGEST_DETAIL = 2_000


def main(descriptor: int, memory_mb: int, decode: Decode = decode_file) -> None:
    """Answers until the other end of the socket `descriptor` is closed."""
    with socket.socket(fileno=descriptor) as line:
        _load_everything()
        _say(line, {"confined": confine(memory_mb)})
        while True:
            head, files, _, _ = socket.recv_fds(line, LENGTH.size, 1)
            if not head:
                return
            with os.fdopen(files[0], "rb") as file:
                asked = json.loads(_exactly(line, LENGTH.unpack(head)[0]))
                limit_processor(asked["seconds"])
                if not _answer(line, asked, file, decode):
                    return


def _answer(line: socket.socket, asked: dict[str, Any], file: Any, decode: Decode) -> bool:
    """Whether this process is as good as it was before."""
    name, max_s = asked["name"], asked["max_s"]
    try:
        file.seek(0)
        check_length(file, name, max_s)
        if asked["header_only"]:
            _say(line, {})
            return True
        audio = decode(file, name, max_s, asked["truncated_below"])
    except CallError as error:
        detail = error.detail[:_LONGEST_DETAIL]
        _say(line, {"error": type(error).__name__, "detail": detail})
        return True
    except MemoryError:
        _say(line, {"error": "memory"})
        return False
    # (frames, channels) as libsndfile lays them.
    samples = np.ascontiguousarray(audio.samples.T)
    said = {
        "rate_hz": audio.sample_rate_hz,
        "frames": samples.shape[0],
        "channels": samples.shape[1],
        "flags": audio.flags,
    }
    _say(line, said)
    line.sendall(samples.data)
    return True


def _say(line: socket.socket, said: dict[str, Any]) -> None:
    text = json.dumps(said).encode()
    line.sendall(LENGTH.pack(len(text)) + text)


def _exactly(line: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        part = line.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return bytes(found)


def _load_everything() -> None:
    """Once confined, this process opens no file: what is imported late must be there already."""
    import soundfile

    for form in ("WAV", "FLAC", "OGG", "MP3"):
        file = io.BytesIO()
        soundfile.write(file, np.zeros((800, 1), np.float32), 8_000, format=form)
        decode_file(file, form, 1.0, 0.9)
