"""What the registry keeps of a bundle, and of the champion's changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from persona_ray.errors import RegistryError

SCHEME = "models:/"
_URI = re.compile(r"models:/([A-Za-z0-9_.-]+)(?:/([0-9]+)|@([A-Za-z0-9_.-]+))")


class Alias(StrEnum):
    """Names of versions that move."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


class Action(StrEnum):
    """How the champion came to change."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


# Tags of a version: how it was last judged, and why the champion before it was left.
JUDGEMENT, ROLLED_BACK = "judgement", "rolled_back"
# Tag of a version that was evaluated: when, and the figures on held-out customers.
EVALUATED = "evaluated"
# Tags of a version, one for each person who was forgotten after it had learned of them.
FORGOTTEN = "forgotten."


@dataclass(frozen=True, slots=True)
class Version:
    """One registered bundle. `tags` without their prefix."""

    model: str
    number: int
    aliases: tuple[str, ...]
    run_id: str
    registered_at: datetime
    tags: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of its bundle.json; empty where something else registered it."""
        return self.tags.get("bundle", "")

    @property
    def uri(self) -> str:
        return f"{SCHEME}{self.model}/{self.number}"

    def details(self, tag: str) -> dict[str, Any]:
        """A tag that holds JSON; empty where there is none, or somebody changed it by hand."""
        try:
            found = json.loads(self.tags[tag])
        except (KeyError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def evaluated(self) -> dict[str, float]:
        """Figures of the last evaluation, on held-out customers; empty where there was none."""
        found = self.details(EVALUATED).get("figures")
        named = found if isinstance(found, dict) else {}
        return {name: value for name, value in named.items() if isinstance(value, float)}

    @property
    def forgotten(self) -> int:
        """How many persons it learned of were forgotten since."""
        return sum(name.startswith(FORGOTTEN) for name in self.tags)

    def __str__(self) -> str:
        return f"version {self.number}"


@dataclass(frozen=True, slots=True)
class Change:
    """The champion was `before` (None: there was none) and became `after`. `details` are JSON."""

    action: Action
    before: int | None
    after: int
    at: datetime
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names sort as the changes followed."""
        return f"{self.at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"

    def to_json(self) -> str:
        tree = {
            "action": self.action,
            "before": self.before,
            "after": self.after,
            "at": self.at.isoformat(timespec="seconds"),
            **self.details,
        }
        return json.dumps(tree, ensure_ascii=False)

    @classmethod
    def from_json(cls, name: str, text: str) -> Change:
        """RegistryError names the tag `name` that somebody has changed."""
        try:
            tree = json.loads(text)
            return cls(
                action=Action(tree.pop("action")),
                before=tree.pop("before"),
                after=int(tree.pop("after")),
                at=datetime.fromisoformat(tree.pop("at")),
                details=tree,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RegistryError(
                f"tag {name} of the registered model was changed by hand and cannot be read: "
                "mend or delete it"
            ) from None


def champions_before(current: int, history: Iterable[Change]) -> list[int]:
    """The champions that `current` came after, the last one first.

    What was taken back is not among them. Nor is a change that was told, but broken off before the
    alias moved: the next change says from which champion it started.
    """
    line: list[int] = []
    for change in history:
        if change.before is not None:
            line = [*_up_to(line, change.before), change.before]
        if change.action is Action.PROMOTE:
            line.append(change.after)
        else:
            line = [*_up_to(line, change.after), change.after]
    return _up_to(line, current)[::-1]


def _up_to(line: list[int], version: int) -> list[int]:
    """What stands before the last `version`; nothing where it never was champion."""
    if version not in line:
        return []
    last = len(line) - 1 - line[::-1].index(version)
    return line[:last]


def parse_reference(text: str) -> tuple[str, str]:
    """The model's name, and a version's number or alias. Raises RegistryError."""
    found = _URI.fullmatch(text)
    if found is None:
        raise RegistryError(
            f"'{text}' names no registered bundle: write models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    return found[1], found[2] or found[3]
