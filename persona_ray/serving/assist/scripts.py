"""The scripts that calls are answered from: those of a file, else the version that the store says
is current, else the shipped ones."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from persona_ray.errors import StoreError
from persona_ray.inference.assist.library import from_dict, load_library
from persona_ray.store.assist.records import UnknownLibraryError
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.config.assist import AssistConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.store.assist.libraries import ScriptLibraryRepository

# How often the store is asked whether another version is current.
_LOOK_EVERY_S = 10.0


class Scripts:
    """Of one replica: implements ScriptsInUse. Raises LibraryError where the configured file is
    none."""

    def __init__(self, config: AssistConfig, kept: ScriptLibraryRepository) -> None:
        self._kept = kept
        self._named = bool(config.library)
        self._library = self._first = load_library(config.library, config.steps)
        self._digest = ""
        self._looked_at = float("-inf")

    async def current(self) -> ScriptLibrary:
        """Those of now; where the store does not answer, those of before."""
        now = time.monotonic()
        if not self._named and now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            try:
                await asyncio.to_thread(self._look)
            except StoreError as error:
                log_exception("the current script library was not read", error)
        return self._library

    async def begun_with(self, name: str, version: str) -> ScriptLibrary:
        """See ScriptsInUse. Raises StoreError."""
        current = await self.current()
        if (current.name, current.version) == (name, version):
            return current
        try:
            stored = await asyncio.to_thread(self._kept.get, name, version)
        except UnknownLibraryError:
            return current
        return from_dict(stored.content)

    def _look(self) -> None:
        digest = self._kept.current_digest()
        if digest == self._digest:
            return
        stored = self._kept.current()
        # Between the two questions another may have become current, or none.
        self._digest = "" if stored is None else stored.digest
        self._library = self._first if stored is None else from_dict(stored.content)
