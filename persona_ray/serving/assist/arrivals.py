"""When what was said was said, by the clock of whoever hears it."""

from __future__ import annotations

from bisect import bisect_left

# Sound that is older than this nobody asks about: an utterance, and what waits before it.
_KEPT_S = 120.0


class Arrivals:
    """Of one connection: sound came up to second `heard_s` of the call at `now`, in seconds of any
    clock that does not go back.

    Where a call is gone on with (`resumed`) the client sends again what was not settled, faster
    than it was spoken: sound is then as old as the sound that came after it says.
    """

    def __init__(self, resumed: bool) -> None:
        self._resumed = resumed
        self._heard_s: list[float] = []
        self._at: list[float] = []

    def came(self, heard_s: float, now: float) -> None:
        """A frame."""
        self._heard_s.append(heard_s)
        self._at.append(now)
        if self._heard_s[0] < heard_s - 2 * _KEPT_S:
            old = bisect_left(self._heard_s, heard_s - _KEPT_S)
            del self._heard_s[:old], self._at[:old]

    def said_at(self, moment_s: float) -> float:
        """When second `moment_s` of the call was said. Raises LookupError before the first
        frame."""
        if not self._at:
            raise LookupError("nothing has come")
        first = min(bisect_left(self._heard_s, moment_s), len(self._at) - 1)
        came = self._at[first]
        if not self._resumed:
            return came
        later = zip(self._at[first:], self._heard_s[first:], strict=True)
        return min(came, min(at - heard_s for at, heard_s in later) + moment_s)
