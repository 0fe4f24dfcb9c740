"""The page of an assistance demo: calls as their agent saw them, and how soon each push came."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_ray.evaluation.report.page import environment
from persona_ray.files import write_whole

# What it must be, for 95 % of the pushes, in seconds.
PROMISED_S = 1.5


@dataclass(frozen=True, slots=True)
class ShownPush:
    """Scripts as they stood on the device, the large one first. `after_s`: seconds from the end of
    the customer's sentence until the device had it; `stages_s`: each one's part. `fits`: the place
    of the first script that suits, from 1; 0: none does; None: it is not known. `did`: what the
    agent did with it."""

    scripts: Sequence[str]
    because: str
    after_s: float
    stages_s: Mapping[str, float]
    fits: int | None
    did: str


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """What one side said. Of a customer's turn: its mood as it was found and as it was planted
    (empty: not known), words that carry one as (text, emotion; empty: none), in order, and what was
    put before the agent: a push, or in `without` why there is none."""

    speaker: str
    start_s: float
    pieces: Sequence[tuple[str, str]]
    emotion: str = ""
    valence: float = 0.0
    relation: str = ""
    planted: str = ""
    push: ShownPush | None = None
    without: str = ""

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.pieces)


@dataclass(frozen=True, slots=True)
class ShownCall:
    """`wrong` says what was expected instead, empty where all holds."""

    call_id: str
    about: str
    product: str
    duration_s: float
    turns: Sequence[ShownTurn]
    wrong: Sequence[str]

    @property
    def pushes(self) -> list[ShownPush]:
        return [turn.push for turn in self.turns if turn.push is not None]

    @property
    def moods(self) -> list[ShownTurn]:
        """Turns of the customer."""
        return [turn for turn in self.turns if turn.emotion]


@dataclass(frozen=True, slots=True)
class AssistedPage:
    """All calls of a demo."""

    calls: Sequence[ShownCall]
    models: str
    seconds: float

    @property
    def pushes(self) -> list[ShownPush]:
        return [push for call in self.calls for push in call.pushes]

    def within_s(self, share: float) -> float:
        """Seconds within which `share` of the pushes stood on the device; NaN without any."""
        took = sorted(push.after_s for push in self.pushes)
        return took[math.ceil(share * len(took)) - 1] if took else math.nan

    @property
    def moods(self) -> tuple[int, int]:
        """Sentences whose planted mood was found, and how many there are."""
        known = [turn for call in self.calls for turn in call.turns if turn.planted]
        return sum(turn.emotion == turn.planted for turn in known), len(known)

    @property
    def fitting(self) -> tuple[int, int]:
        """Pushes with a script that suits, and how many of which that is known."""
        known = [push for push in self.pushes if push.fits is not None]
        return sum(bool(push.fits) for push in known), len(known)


def write_assisted(page: AssistedPage, path: Path) -> Path:
    """Write `path` (HTML); gives `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render_assisted(page))
    return path


def render_assisted(page: AssistedPage) -> str:
    """The page as HTML."""
    template = environment().get_template("assisted.html.j2")
    return template.render(page=page, promised_s=PROMISED_S, stages=list(stages_of(page.pushes)))


def stages_of(pushes: Sequence[ShownPush]) -> Iterator[str]:
    """Names of stages, in their order."""
    seen: dict[str, None] = {}
    for push in pushes:
        seen.update(dict.fromkeys(push.stages_s))
    yield from seen
