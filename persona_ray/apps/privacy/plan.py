"""Who is being forgotten, and what is known of the person's calls while that goes on.

    <workspace>/privacy/forgetting/<digests>.json

Once a corpus has lost its rows, nothing tells any more which caches and reports knew them. So what
finds them is written down before anything is deleted, for the owner alone, and goes at the end: a
forgetting that was killed is gone on with by the same command.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from persona_ray.errors import ConfigError, StoreError
from persona_ray.files import draft
from persona_ray.inference.screening.numbers import normalise

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

_FOLDER = "privacy/forgetting"


class Person(BaseModel):
    """By what a person is known; empty: by nothing of the kind. `customer` is an id of the archive
    and of assisted calls; `user` of screening, `number` a caller's, `voice` of a library."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer: str = ""
    user: str = ""
    number: str = ""
    voice: str = ""

    def named(self) -> dict[str, str]:
        """Name by kind. Raises ConfigError for nobody."""
        found = {kind: name for kind, name in self.model_dump().items() if name}
        if not found:
            raise ConfigError(
                "nobody is named: --customer ID, --user ID, --number NUMBER or --voice ID"
            )
        return found

    def as_kept(self, config: RunConfig) -> Self:
        """The number in the form in which it is kept: a person has one digest, however the number
        is written. Raises RequestError for what is no number."""
        number = normalise(self.number, config.screening.region) if self.number else ""
        return self.model_copy(update={"number": number})

    def digests(self, digest: Callable[[str, str], str]) -> dict[str, str]:
        """How receipts and the audit log name the person, by kind: `AuditRepository.digest`, or
        for whoever names nobody anew `AuditSeal.person`."""
        return {kind: digest(kind, name) for kind, name in self.named().items()}


class Plan(BaseModel):
    """`calls`, `uris`, `clips`, `digests` and `texts` are those of `corpus.forgetting.Traces`;
    `texts` has what was said in screened calls, too, and `screened` their ids, which another user's
    may share. `deleted`: what went so far, by place."""

    model_config = ConfigDict(extra="forbid")

    person: Person
    asked_at: datetime
    calls: set[str] = set()
    uris: set[str] = set()
    clips: set[str] = set()
    digests: set[str] = set()
    texts: set[str] = set()
    screened: set[str] = set()
    deleted: dict[str, int] = {}

    @property
    def names(self) -> set[str]:
        """What files and calls of jobs may be called by."""
        return self.calls | self.uris | {Path(uri).name for uri in self.uris}

    @classmethod
    def begun(cls, path: Path, person: Person, now: datetime) -> Self:
        """The one that was broken off, or a new one. Raises StoreError for one that is damaged."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls(person=person, asked_at=now)
        except ValidationError:
            raise StoreError(
                f"{path} is damaged: delete it, and give the same command again"
            ) from None

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with draft(path) as written:
            os.close(os.open(written, os.O_CREAT | os.O_WRONLY, 0o600))
            written.write_text(self.model_dump_json(), encoding="utf-8")


def plan_path(config: RunConfig, digests: dict[str, str]) -> Path:
    return config.workspace / _FOLDER / f"{'-'.join(d[:16] for d in digests.values())}.json"
