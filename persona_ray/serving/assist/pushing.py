"""From a suggestion to a push, or to why there is none; and how both are logged."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from persona_ray.inference.assist.journal import candidate_json, context_json
from persona_ray.inference.assist.push import Held, PushPolicy
from persona_ray.serving.assist.protocol import NotPushed, Pushed
from persona_ray.serving.assist.telling import shown_scripts
from persona_ray.store.assist.records import NewPush, NewSuggestion

if TYPE_CHECKING:
    from persona_ray.config.assist import PushConfig
    from persona_ray.inference.assist.records import SpeechInformation, Suggestion


@dataclass(frozen=True, slots=True)
class Decided:
    """What the line is told, and what the log keeps."""

    event: Pushed | NotPushed
    suggestion: NewSuggestion

    @property
    def pushed(self) -> bool:
        return isinstance(self.event, Pushed)


class Pushing:
    """Of one call. `shown`: how often each script was put before the agent."""

    def __init__(
        self, config: PushConfig, kept: Mapping[str, Any], shown: Mapping[str, int]
    ) -> None:
        self._policy = PushPolicy(config, kept)
        self._channel = config.channel
        self.shown = Counter(shown)

    def dump(self) -> dict[str, Any]:
        """For another replica."""
        return self._policy.state()

    def without(
        self, information: SpeechInformation, reason: str, library: str, turn: int
    ) -> Decided:
        """Nothing was suggested after event `turn`."""
        suggestion = NewSuggestion(
            turn=turn,
            at=datetime.now(UTC),
            product=information.scene.product,
            context=context_json(information),
            library=library,
            ranker="",
            reason=reason,
        )
        return Decided(NotPushed(seq=turn + 1, turn_seq=turn, reason=reason), suggestion)

    def decide(
        self,
        information: SpeechInformation,
        made: Suggestion,
        said_at: float,
        timings_s: Mapping[str, float],
        turn: int,
    ) -> Decided:
        """`said_at`: seconds of `time.monotonic` at which the sentence ended."""
        now_s = time.time()
        said_s = now_s - (time.monotonic() - said_at)
        found = self._policy.consider(made.first.script.id, said_s, now_s)
        if isinstance(found, Held):
            event = NotPushed(seq=turn + 1, turn_seq=turn, reason=found.reason)
            return Decided(event, _logged(information, made, turn, found.reason, None))
        scripts = shown_scripts(made)
        push = NewPush(
            push_id=uuid.uuid4().hex,
            channel=self._channel,
            scripts=tuple(one.script_id for one in scripts),
            expires_at=datetime.now(UTC) + timedelta(seconds=found.expires_in_s),
        )
        self.shown[made.first.script.id] += 1
        pushed = Pushed(
            seq=turn + 1,
            push_id=push.push_id,
            turn_seq=turn,
            scripts=scripts,
            because=made.because,
            expires_in_s=round(found.expires_in_s, 3),
            timings_s=dict(timings_s),
        )
        return Decided(pushed, _logged(information, made, turn, "", push))


def _logged(
    information: SpeechInformation,
    made: Suggestion,
    turn: int,
    reason: str,
    push: NewPush | None,
) -> NewSuggestion:
    return NewSuggestion(
        turn=turn,
        at=datetime.now(UTC),
        product=information.scene.product,
        context=context_json(information),
        library=made.library,
        ranker=made.ranker,
        reason=reason,
        candidates=[candidate_json(one) for one in made.candidates],
        shown=made.shown,
        chosen=made.first.script.id,
        explored=made.explored,
        push=push,
    )
