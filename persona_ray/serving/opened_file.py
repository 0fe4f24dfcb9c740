"""A file that is sealed on the disk, answered as it was before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.responses import FileResponse

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class OpenedFile(FileResponse):
    """Ranges, dates and all, of bytes that lie in memory alone."""

    def __init__(
        self, content: bytes, kept: Path, media_type: str, headers: Mapping[str, str]
    ) -> None:
        """`kept`: the sealed file, which is as old."""
        about = kept.stat()
        # What it opens to cannot change while it does not, however often it is asked for.
        headers = {**headers, "etag": f'"{about.st_mtime_ns:x}-{about.st_size:x}"'}
        size = os.stat_result((*about[:6], len(content), *about[7:10]))
        super().__init__(kept, headers=headers, media_type=media_type, stat_result=size)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = os.memfd_create("opened", os.MFD_CLOEXEC)
        try:
            await asyncio.to_thread(_write, file, self._content)
            self.path = f"/proc/self/fd/{file}"
            await super().__call__(scope, receive, send)
        finally:
            os.close(file)


def _write(file: int, content: bytes) -> None:
    with os.fdopen(file, "wb", closefd=False) as opened:
        opened.write(content)
