"""What a container says about its own completeness, which libsndfile silently corrects."""

from __future__ import annotations

from typing import Protocol

# Writers that cannot seek back leave one of these (0, -1, or just under 2 GiB) as the length.
_UNKNOWN_FROM = 0x7FFF_0000
_OGG_PAGE_MAX = 65_307


class Seekable(Protocol):
    """What is needed of an opened file."""

    def read(self, count: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


def wav_share(file: Seekable, size: int) -> float:
    """Share of the promised data bytes that a RIFF/RF64 file of `size` bytes has, at most 1.

    1 where the length was left open by a streaming writer or there is no data chunk to judge.
    """
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        return 1.0
    long_data: int | None = None
    position = 12
    while position + 8 <= size:
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            break
        tag, length = header[:4], int.from_bytes(header[4:], "little")
        if tag == b"ds64" and head[:4] == b"RF64":
            body = file.read(16)
            if len(body) == 16:
                long_data = int.from_bytes(body[8:], "little")
        if tag == b"data":
            promised = long_data if long_data is not None and length == 0xFFFF_FFFF else length
            if promised == 0 or (long_data is None and promised >= _UNKNOWN_FROM):
                return 1.0
            return min(1.0, (size - position - 8) / promised)
        position += 8 + length + length % 2
    return 1.0


def wav_is_unfinished(file: Seekable, size: int) -> bool:
    """Whether a RIFF file of `size` bytes says that it ends before it does: its writer was stopped
    before it could fill in the lengths."""
    file.seek(0)
    head = file.read(12)
    return head[:4] == b"RIFF" and int.from_bytes(head[4:8], "little") + 8 < size


def ogg_is_closed(file: Seekable, size: int) -> bool:
    """Whether the last page of an Ogg file of `size` bytes is whole and marked as the last.

    Page layout: RFC 3533, section 6.
    """
    file.seek(max(0, size - _OGG_PAGE_MAX - 27))
    tail = file.read(_OGG_PAGE_MAX + 27)
    at = tail.rfind(b"OggS")
    while at >= 0:
        # The four letters may occur by chance inside a packet: a page has version 0.
        if len(tail) >= at + 27 and tail[at + 4] == 0:
            segments = tail[at + 26]
            table = tail[at + 27 : at + 27 + segments]
            whole = len(table) == segments and at + 27 + segments + sum(table) <= len(tail)
            return whole and bool(tail[at + 5] & 0x04)
        if len(tail) < at + 27:
            return False
        at = tail.rfind(b"OggS", 0, at)
    return False
