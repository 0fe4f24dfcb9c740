"""The script libraries of the store: which is current, what a new one would change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_ray.errors import LibraryError
from persona_ray.inference.assist.library import from_dict, load_library, to_dict
from persona_ray.store.assist.records import (
    LibraryExistsError,
    StoredLibrary,
    UnknownLibraryError,
)

if TYPE_CHECKING:
    from persona_ray.config.assist import AssistConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.store import Store


@dataclass(frozen=True, slots=True)
class LibraryChange:
    """Ids of scripts, by what becomes of them."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def __str__(self) -> str:
        if not (self.added or self.changed or self.removed):
            return "the same scripts"
        counts = {"added": self.added, "changed": self.changed, "removed": self.removed}
        return ", ".join(f"{len(ids)} {name}" for name, ids in counts.items())


def change_between(old: ScriptLibrary, new: ScriptLibrary) -> LibraryChange:
    """What is in `new` that `old` has otherwise or not."""
    before, after = old.scripts, new.scripts
    return LibraryChange(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(sorted(i for i in after.keys() & before.keys() if after[i] != before[i])),
        removed=tuple(sorted(before.keys() - after.keys())),
    )


class LibraryShelf:
    """Versions of script libraries; one of them is what calls begin with."""

    def __init__(
        self,
        store: Store,
        config: AssistConfig,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._config = config
        self._clock = clock

    def current(self) -> ScriptLibrary:
        """The file of `assist.library`, else the store's current version, else the shipped one.
        Raises LibraryError."""
        if not self._config.library:
            stored = self._store.script_libraries.current()
            if stored is not None:
                return from_dict(stored.content)
        return load_library(self._config.library, self._config.steps)

    def put(self, library: ScriptLibrary, by: str) -> bool:
        """Keep it and make it current; whether it is new. With the first, what calls began with
        until then is kept, too, so that one can go back. Raises LibraryError where the store has
        other scripts as this version."""
        if not self.versions():
            self._keep(self.current(), "persona-ray", current=False)
        return self._keep(library, by, current=True)

    def _keep(self, library: ScriptLibrary, by: str, *, current: bool) -> bool:
        kept = StoredLibrary(
            name=library.name,
            version=library.version,
            digest=library.digest,
            content=to_dict(library),
            made_at=self._clock(),
            made_by=by,
            current=current,
        )
        try:
            return self._store.script_libraries.put(kept)
        except LibraryExistsError:
            raise LibraryError(
                f"version {library.version} of '{library.name}' is in the store with other "
                "scripts, and suggestions name it: give the file another version"
            ) from None

    def use(self, name: str, version: str) -> None:
        """From now on calls begin with it. Raises LibraryError."""
        try:
            self._store.script_libraries.make_current(name, version)
        except UnknownLibraryError:
            raise self._unknown(name, version) from None

    def get(self, name: str, version: str) -> ScriptLibrary:
        """Raises LibraryError."""
        try:
            return from_dict(self._store.script_libraries.get(name, version).content)
        except UnknownLibraryError:
            raise self._unknown(name, version) from None

    def versions(self) -> Sequence[StoredLibrary]:
        """Those of the store, the latest first."""
        return self._store.script_libraries.versions()

    def _unknown(self, name: str, version: str) -> LibraryError:
        kept = ", ".join(f"{one.name} {one.version}" for one in self.versions()[:10])
        return LibraryError(f"the store has no library '{name} {version}', but {kept or 'none'}")
