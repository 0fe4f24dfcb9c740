"""What a backup says of itself: every file of it by its content, and what it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Self

from persona_ray.errors import BackupError
from persona_ray.launch.storage.object_store import ObjectStore, StoredFile

_NAME = re.compile(r"^backup-\d{8}T\d{6}Z$")


@dataclass(frozen=True, slots=True)
class StorePart:
    """The store at `revision`, with so many rows of each table."""

    revision: str
    tables: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RegistryPart:
    """Numbers of the versions of each registered model; `left_out`: why a version is not there."""

    models: Mapping[str, tuple[int, ...]]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backup:
    """`files` by their path in the backup; a part that is None was not asked for."""

    made_at: datetime
    product: str
    store: StorePart | None
    registry: RegistryPart | None
    files: Mapping[str, StoredFile] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"backup-{self.made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())

    def below(self, folder: str) -> dict[str, StoredFile]:
        """Files below `folder`, by their path there."""
        start = f"{folder}/"
        return {p.removeprefix(start): f for p, f in self.files.items() if p.startswith(start)}

    def to_json(self) -> bytes:
        tree = asdict(self)
        tree["made_at"] = self.made_at.isoformat()
        return json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, name: str, content: bytes) -> Self:
        """Raises BackupError for a document that is damaged."""
        try:
            tree = json.loads(content)
            store, registry = tree["store"], tree["registry"]
            return cls(
                made_at=datetime.fromisoformat(tree["made_at"]),
                product=str(tree["product"]),
                store=None if store is None else StorePart(store["revision"], store["tables"]),
                registry=None
                if registry is None
                else RegistryPart(
                    {model: tuple(numbers) for model, numbers in registry["models"].items()},
                    tuple(registry["left_out"]),
                ),
                files={path: StoredFile(**file) for path, file in tree["files"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BackupError(f"{name}.json is damaged: take another backup") from None


def names(place: ObjectStore) -> list[str]:
    """Of the backups at a place, the oldest first."""
    return [name for name in place.documents() if _NAME.match(name)]


def read(place: ObjectStore, name: str = "") -> Backup:
    """The backup of that name, or the newest. Raises BackupError where there is none."""
    there = names(place)
    if not there:
        raise BackupError(f"{place.uri} holds no backup: `persona-ray backup create` makes one")
    wanted = name or there[-1]
    if wanted not in there:
        raise BackupError(f"{place.uri} has no backup '{wanted}': there are {', '.join(there)}")
    return Backup.from_json(wanted, place.read(wanted))
