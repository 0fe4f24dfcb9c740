"""What an assisted call makes of what it hears: moods, relations, suggestions."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from persona_ray.conversation import Scene, Speaker
from persona_ray.errors import PersonaRayError
from persona_ray.inference.assist.records import (
    NoSuggestion,
    NotHeard,
    Sentence,
    SpeechInformation,
)
from persona_ray.inference.assist.relations import relation_of
from persona_ray.inference.assist.turns import Turns
from persona_ray.serving.assist.protocol import SceneTold, Unheard
from persona_ray.serving.assist.pushing import Decided, Pushing
from persona_ray.serving.assist.scenes import told
from persona_ray.serving.assist.state import MindState
from persona_ray.serving.assist.telling import turn_heard
from persona_ray.serving.failures import failure_of, unexpected
from persona_ray.serving.live.judging import patiently
from persona_ray.serving.live.protocol import Failed
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.records import Mood
    from persona_ray.serving.assist.ear import Caught
    from persona_ray.serving.assist.protocol import Kept
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.store.assist.records import AssistCall, NewSuggestion

# Turns that the relation and the ranker look back on.
_BEFORE = 12


@dataclass(slots=True)
class Clock:
    """Of one sentence: seconds of `time.monotonic` at which it was said, and how long each stage
    took after that. Their sum is the time since."""

    said_at: float
    stages: dict[str, float] = field(default_factory=dict)

    def passed(self, stage: str) -> None:
        """A stage ends now."""
        took = time.monotonic() - self.said_at - sum(self.stages.values())
        self.stages[stage] = max(0.0, took)

    @property
    def timings_s(self) -> dict[str, float]:
        return {stage: round(took, 4) for stage, took in self.stages.items()}


@dataclass(slots=True)
class Considered:
    """What follows from one stretch: events in order, and what was decided, if anything was."""

    events: list[Kept] = field(default_factory=list)
    suggestion: NewSuggestion | None = None


class Mind:
    """Of one call. Asked about one stretch after the other."""

    def __init__(
        self,
        services: AssistServices,
        record: AssistCall,
        state: MindState,
        library: ScriptLibrary,
    ) -> None:
        """`library`: the scripts that the call began with."""
        self._library = library
        self._services = services
        self._record = record
        ears = services.config.assist.ears
        self._turns = Turns.read(ears, state.turns) if state.turns else Turns(ears)
        self._before = deque(state.before, _BEFORE)
        self._scene = state.scene
        self._colour: Mapping[str, float] = dict(state.colour)
        self._pushing = Pushing(services.config.assist.push, state.pushes, state.shown)
        self.heard = state.heard
        self.pushed = state.pushed

    @property
    def scene(self) -> Scene:
        return self._scene

    def dump(self) -> MindState:
        """For another replica, or this one later."""
        scene = self._scene
        return MindState(
            product=scene.product,
            step=scene.step,
            campaign=scene.campaign,
            library=(self._library.name, self._library.version),
            colour=dict(self._colour),
            before=tuple(replace(one, words=(), tones=()) for one in self._before),
            turns=self._turns.dump(),
            pushes=self._pushing.dump(),
            shown=dict(self._pushing.shown),
            heard=self.heard,
            pushed=self.pushed,
        )

    def move(self, scene: Scene | None, seq: int) -> list[Kept]:
        """The call is there from now on; None: where it was. What is told of it, as event `seq`,
        where it is news."""
        if scene is None or scene == self._scene:
            return []
        self._scene = scene
        return [SceneTold(seq=seq, scene=told(scene))]

    def learn(self, colour: Mapping[str, float]) -> None:
        """The customer's, from now on."""
        self._colour = dict(colour)

    async def consider(
        self, speaker: Speaker, caught: Caught | NotHeard, clock: Clock, seq: int
    ) -> Considered:
        """A stretch that was heard; its first event is number `seq`. What fails is told in the
        place of what it would have given."""
        made = Considered()
        turn = caught if isinstance(caught, NotHeard) else self._turns.turn(speaker, *caught)
        if isinstance(turn, NotHeard):
            made.events.append(
                Unheard(
                    seq=seq,
                    speaker=speaker,
                    start_s=round(turn.start_s, 3),
                    end_s=round(turn.end_s, 3),
                    reason=turn.reason,
                )
            )
            return made
        self.heard += 1
        if speaker is Speaker.CUSTOMER:
            await self._answer(turn, clock, seq, made)
        else:
            made.events.append(turn_heard(turn, seq, clock.timings_s))
        self._before.append(turn)
        return made

    async def _answer(self, turn: Sentence, clock: Clock, seq: int, made: Considered) -> None:
        advisor = self._services.parts.advisor
        try:
            mood = await patiently(lambda: advisor.mood(turn))
        except Exception as error:
            made.events.append(turn_heard(turn, seq, clock.timings_s))
            made.events.append(_failed(turn, error, seq + 1))
            return
        information = self._information(turn, mood)
        clock.passed("feeling")
        made.events.append(turn_heard(turn, seq, clock.timings_s, mood, information.relation))
        try:
            decided = await self._decide(information, clock, seq)
        except Exception as error:
            made.events.append(_failed(turn, error, seq + 1))
            return
        made.events.append(decided.event)
        made.suggestion = decided.suggestion
        self.pushed += decided.pushed

    def _information(self, turn: Sentence, mood: Mood) -> SpeechInformation:
        before = tuple(self._before)
        relation = relation_of(turn.text, before)
        return SpeechInformation(turn, self._scene, relation, mood, before, dict(self._colour))

    async def _decide(self, information: SpeechInformation, clock: Clock, seq: int) -> Decided:
        library = self._library
        advisor = self._services.parts.advisor
        draw, shown = self._draw(seq), dict(self._pushing.shown)
        made = await patiently(lambda: advisor.advise(information, library, shown, draw))
        clock.passed("choosing")
        names = f"{library.name} {library.version} {library.digest}"
        if isinstance(made, NoSuggestion):
            return self._pushing.without(information, made.reason, names, seq)
        return self._pushing.decide(information, made, clock.said_at, clock.timings_s, seq)

    def _draw(self, seq: int) -> float:
        """0 to 1, the same for the same sentence of the same call."""
        record = self._record
        name = f"{record.agent_id}\0{record.call_id}\0{record.started_at.isoformat()}\0{seq}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]) / 2**56


def _failed(turn: Sentence, error: Exception, seq: int) -> Failed:
    failure = failure_of(error)
    if failure is None or not isinstance(error, PersonaRayError):
        log_exception("a sentence of an assisted call failed", error)
        failure = failure or unexpected()
    return Failed(
        seq=seq,
        error=failure.detail(),
        start_s=round(turn.start_s, 3),
        end_s=round(turn.end_s, 3),
    )
