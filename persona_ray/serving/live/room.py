"""How many calls a replica of the ingress holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from persona_ray.errors import RequestError

if TYPE_CHECKING:
    from persona_ray.serving.metrics import Metrics


class Room:
    """For at most `most` calls."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self._count = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A place for one more. Raises RequestError (503) where there is none."""
        if self._count >= self._most:
            raise RequestError(
                "service.busy",
                f"this replica holds {self._most} calls, as many as it takes",
                status=503,
                fix="connect again: another replica may have room",
                retry_after_s=1.0,
            )
        self._note(+1)
        try:
            yield
        finally:
            self._note(-1)

    def _note(self, change: int) -> None:
        self._count += change
        self._metrics.live_calls(self._count)
