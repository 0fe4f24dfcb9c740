"""What the owner of scripts is told."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from persona_ray.conversation import Script
    from persona_ray.errors import LibraryError
    from persona_ray.inference.assist.shelf import LibraryChange
    from persona_ray.store.assist.records import StoredLibrary
    from persona_ray.store.assist.script_use import ScriptUse


class LibraryVersion(BaseModel):
    """A version of the store; calls begin with the one that is `current`."""

    name: str
    version: str
    digest: str
    scripts: int
    made_at: datetime
    made_by: str
    current: bool


class LibraryAnswer(BaseModel):
    """What calls begin with, and the versions of the store, the latest first. `origin`: `file` that
    the configuration names, `store`, or `shipped`."""

    name: str
    version: str
    digest: str
    scripts: int
    origin: str
    versions: list[LibraryVersion]


class ImportAnswer(BaseModel):
    """Ids of scripts, by what becomes of them; `imported` false: it was a preview. `mistakes`
    of the file, each with its place: only a preview has them, and then nothing else."""

    name: str
    version: str
    added: list[str]
    changed: list[str]
    removed: list[str]
    imported: bool
    mistakes: list[str] = []


class UseRequest(BaseModel):
    """A version of the store."""

    name: str = Field(min_length=1, max_length=100)
    version: str = Field(min_length=1, max_length=100)


class ScriptAnswer(BaseModel):
    """A script with its use since `since` of the answer. `success` is the share of judged feedback
    above the threshold with its 95 % interval (Wilson 1927); null where nothing was judged.
    `in_library` false: it was pushed, and is in another version."""

    script_id: str
    product: str
    topic: str
    style: str
    text: str
    in_library: bool
    chosen: int
    seen: int
    used: int
    edited: int
    dismissed: int
    judged: int
    mean_score: float | None
    success: float | None
    success_interval: tuple[float, float] | None


class ScriptsAnswer(BaseModel):
    """All scripts of the current library, and those of others that were pushed."""

    since: datetime
    scripts: list[ScriptAnswer]


class GapAnswer(BaseModel):
    """Sentences of customers that are alike and found no script; some of them."""

    count: int
    product: str
    examples: list[str]


class GapsAnswer(BaseModel):
    """The most frequent first, among the latest `looked_at` sentences of customers."""

    since: datetime
    looked_at: int
    gaps: list[GapAnswer]


def version_answer(one: StoredLibrary) -> LibraryVersion:
    return LibraryVersion(
        name=one.name,
        version=one.version,
        digest=one.digest,
        scripts=len(one.content["scripts"]),
        made_at=one.made_at,
        made_by=one.made_by,
        current=one.current,
    )


def import_answer(name: str, version: str, change: LibraryChange, imported: bool) -> ImportAnswer:
    return ImportAnswer(
        name=name,
        version=version,
        added=list(change.added),
        changed=list(change.changed),
        removed=list(change.removed),
        imported=imported,
    )


def wrong_answer(error: LibraryError) -> ImportAnswer:
    """Of a preview."""
    mistakes = list(error.mistakes) or [" ".join(str(error).split())]
    nothing: dict[str, list[str]] = {"added": [], "changed": [], "removed": []}
    return ImportAnswer(name="", version="", **nothing, imported=False, mistakes=mistakes)


def script_answer(script: Script | None, use: ScriptUse) -> ScriptAnswer:
    judged = use.judged > 0
    return ScriptAnswer(
        script_id=use.script_id,
        product="" if script is None else script.product,
        topic="" if script is None else script.topic,
        style="" if script is None else script.style,
        text="" if script is None else script.text,
        in_library=script is not None,
        chosen=use.chosen,
        seen=use.seen,
        used=use.used,
        edited=use.edited,
        dismissed=use.dismissed,
        judged=use.judged,
        mean_score=round(use.mean_score, 1) if judged else None,
        success=round(use.positive / use.judged, 3) if judged else None,
        success_interval=wilson(use.positive, use.judged) if judged else None,
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), which small counts do not make certain."""
    z = 1.959964
    share, unsure = successes / trials, z * z / trials
    middle = (share + unsure / 2) / (1 + unsure)
    half = z / (1 + unsure) * ((share * (1 - share) + unsure / 4) / trials) ** 0.5
    return round(max(0.0, middle - half), 3), round(min(1.0, middle + half), 3)
