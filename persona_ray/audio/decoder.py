"""Where audio is decoded: in this process, or apart from it.

Decoders of compressed audio are C code that reads bytes of strangers. What serves strangers asks
`decoder_of`; a recording of one's own may as well be decoded here.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Protocol

from persona_ray.audio.decode import DecodedAudio, decode_bytes, read_audio
from persona_ray.audio.length import check_length

if TYPE_CHECKING:
    from persona_ray.config.serving import LimitsConfig


class Decoder(Protocol):
    """Thread-safe. Each method raises as its namesake in `audio.decode`, and DecoderError where
    decoding fails in a way that no file should make it fail."""

    @property
    def threads(self) -> ThreadPoolExecutor | None:
        """What asynchronous callers wait in, as many as can be served at a time; None: any."""
        ...

    def check_length(self, data: bytes, name: str, max_s: float) -> None:
        """Raises TooLongError where the header of a file in memory claims more than `max_s`
        seconds. What it does not say, decoding finds out."""
        ...

    def upload(
        self, data: bytes, name: str, max_s: float, truncated_below: float = 0.9
    ) -> DecodedAudio:
        """A file that is in memory; `name` stands in messages."""
        ...

    def read(self, uri: str, max_s: float, truncated_below: float = 0.9) -> DecodedAudio:
        """A recording at an fsspec URI or absolute path, opened by this process."""
        ...


class Here:
    """Decodes in this process."""

    threads = None

    def check_length(self, data: bytes, name: str, max_s: float) -> None:
        check_length(data, name, max_s)

    def upload(
        self, data: bytes, name: str, max_s: float, truncated_below: float = 0.9
    ) -> DecodedAudio:
        # Decoding names the limit of archives.
        check_length(data, name, max_s)
        return decode_bytes(data, name, max_s, truncated_below)

    def read(self, uri: str, max_s: float, truncated_below: float = 0.9) -> DecodedAudio:
        return read_audio(uri, max_s=max_s, truncated_below=truncated_below)


def decoder_of(limits: LimitsConfig) -> Decoder:
    """The one decoder of this process with these limits; its processes start when first needed."""
    if limits.decode_processes == 0:
        return Here()
    return _apart(limits.decode_processes, limits.decode_memory_mb, limits.decode_s)


@cache
def _apart(processes: int, memory_mb: int, seconds: float) -> Decoder:
    from persona_ray.audio.apart import Apart
    from persona_ray.audio.apart_process import Bounds

    return Apart(processes, Bounds(memory_mb, seconds))
