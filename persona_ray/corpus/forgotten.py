"""Who was forgotten: what the archive still has of customers is not taken again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Self

from persona_ray.config import RunConfig
from persona_ray.errors import CorpusError
from persona_ray.store.audit_seal import PERSONS, RECEIPTS, AuditSeal


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Persons by kind, known by keyed digests alone. Pickles without the key, for whoever shares
    the folder."""

    digests: frozenset[tuple[str, str]] = frozenset()
    seal: AuditSeal | None = field(default=None, repr=False)

    @classmethod
    def of(cls, config: RunConfig) -> Self:
        """Of the receipts in the workspace. Raises CorpusError for one that is damaged, and where
        the secret that names their persons is gone."""
        found: set[tuple[str, str]] = set()
        for path in sorted((config.workspace / RECEIPTS).glob("*.json")):
            try:
                person = json.loads(path.read_text(encoding="utf-8"))["statement"]["person"]
                found.update(person.items())
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                raise CorpusError(
                    f"{path} is no receipt: put it back, or take it away; whose it is would be "
                    "taken out of the archive again"
                ) from None
        seal = AuditSeal.of(config)
        if found and not seal.has_secret:
            raise CorpusError(
                f"{seal.folder / PERSONS} is missing, and the receipts in {seal.receipts} "
                "name persons by it: put the folder of keys back from its copy, or take the "
                "receipts away; whose they are would be taken out of the archive again"
            )
        return cls(frozenset(found), seal if found else None)

    def has(self, kind: str, name: str) -> bool:
        if self.seal is None or not name:
            return False
        return (kind, self.seal.person(kind, name)) in self.digests


NOBODY = Forgotten()
