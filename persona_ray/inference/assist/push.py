"""Which suggestions leave for a device or a customer: none too late, too often, or twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from persona_ray.config.assist import PushConfig

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Leaves:
    """It is sent, and is worth showing for `expires_in_s` more seconds."""

    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """It is not sent: `late`, as it has expired or a later sentence was answered already; `often`,
    as the minute has had its pushes; `repeated`, as the same script left a while ago."""

    reason: Literal["late", "often", "repeated"]


class PushPolicy:
    """Of one call. All times are in seconds of one clock, the same for every replica (such as
    seconds since 1970): a call that another replica goes on with is told the `state` of the first.
    """

    def __init__(self, config: PushConfig, state: Mapping[str, Any] | None = None) -> None:
        self._config = config
        kept = state or {}
        # When what left, oldest first, for as long as it forbids something.
        self._left: deque[tuple[float, str]] = deque(
            (float(at_s), str(script_id)) for at_s, script_id in kept.get("left", ())
        )
        self._answered_s = float(kept.get("answered_s", "-inf"))

    def consider(self, script_id: str, said_s: float, now_s: float) -> Leaves | Held:
        """Whether `script_id`, the large one, leaves now for a sentence that ended at `said_s`.
        What leaves is remembered."""
        if self._left:
            # A clock that was set back brings nothing forward.
            now_s = max(now_s, self._left[-1][0])
        self._forget(now_s)
        left_s = said_s + self._config.expires_s - now_s
        if left_s <= 0 or said_s < self._answered_s:
            return Held("late")
        if any(
            one == script_id and now_s - at_s < self._config.same_again_s
            for at_s, one in self._left
        ):
            return Held("repeated")
        if sum(now_s - at_s < _MINUTE_S for at_s, _ in self._left) >= self._config.per_minute:
            return Held("often")
        self._left.append((now_s, script_id))
        self._answered_s = said_s
        return Leaves(left_s)

    def state(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = {"left": [list(one) for one in self._left]}
        # JSON has no infinity.
        return found | ({"answered_s": self._answered_s} if self._left else {})

    def _forget(self, now_s: float) -> None:
        longest_s = max(_MINUTE_S, self._config.same_again_s)
        # The last one stays: it says how far clock and answers have come.
        while len(self._left) > 1 and now_s - self._left[0][0] >= longest_s:
            self._left.popleft()
