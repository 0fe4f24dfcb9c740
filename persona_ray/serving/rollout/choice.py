"""Which requests the challenger answers, and which both models see."""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_LIVE_CALL: ContextVar[str] = ContextVar("persona_ray_live_call", default="")
# Live calls that are remembered; of older ones nothing is expected any more.
REMEMBERED = 10_000


@contextmanager
def live_call(call_id: str) -> Iterator[None]:
    """Within it all requests belong to one live call: one model answers them."""
    token = _LIVE_CALL.set(call_id)
    try:
        yield
    finally:
        _LIVE_CALL.reset(token)


@dataclass(frozen=True, slots=True)
class Choice:
    """`canary`: the challenger answers. `both`: the other model sees the request too. `call` is
    the live call that it belongs to, empty outside of one."""

    canary: bool
    both: bool
    call: str = ""


class Chooser:
    """Requests by chance, live calls by a hash of their id: every replica chooses alike."""

    def __init__(self, shadow_share: float, canary_share: float, seed: int | None = None) -> None:
        self._shadow_share = shadow_share
        self._canary_share = canary_share
        self._chance = random.Random(seed)
        # What was chosen for a live call stands; True: the canary.
        self._calls: OrderedDict[str, bool] = OrderedDict()

    def choose(self) -> Choice:
        """For one request. What the challenger answers, the champion sees too: a canary is small,
        and without it nobody would know how often they differ."""
        call = _LIVE_CALL.get()
        canary = self._canary_of(call) if call else self._chance.random() < self._canary_share
        return Choice(canary, canary or self._chance.random() < self._shadow_share, call)

    def _canary_of(self, call: str) -> bool:
        canary = self._calls.get(call)
        if canary is None:
            canary = share_of(call) < self._canary_share
        self._remember(call, canary)
        return canary

    def stay(self) -> None:
        """The champion answers now: the rest of the live call, if it is one, is its too."""
        call = _LIVE_CALL.get()
        if call:
            self._remember(call, False)

    def _remember(self, call: str, canary: bool) -> None:
        self._calls[call] = canary
        self._calls.move_to_end(call)
        if len(self._calls) > REMEMBERED:
            self._calls.popitem(last=False)


class Once:
    """Sentences of one live call are alike, and no evidence apart: each question takes one."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def first(self, call: str, question: str) -> bool:
        """Whether this call was not counted for this question before. Empty: always."""
        if not call:
            return True
        if (call, question) in self._seen:
            return False
        self._seen[call, question] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


def share_of(call: str) -> float:
    """In [0, 1), spread evenly over ids."""
    return int.from_bytes(hashlib.sha256(call.encode()).digest()[:8]) / 2**64
