"""The same figures by Ray, for processes of a cluster: each node's metrics agent exports them, with
`ray_` before their names."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from persona_ray.watch.instruments import Instrument, Kind

PREFIX = "ray_"
# An agent forgets a gauge that was not set for two of its intervals of 10 s.
_AGAIN_S = 5.0


class RayInstruments:
    """Made without a cluster, too: figures are told from the time on when there is one.

    A gauge is set again and again while this lives: it stands until it becomes something else.
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        from ray.util import metrics

        made: dict[str, Any] = {}
        for one in instruments:
            match one.kind:
                case Kind.COUNTER:
                    made[one.name] = metrics.Counter(one.name, one.meaning, one.labels)
                case Kind.HISTOGRAM:
                    made[one.name] = metrics.Histogram(
                        one.name, one.meaning, list(one.bounds), one.labels
                    )
                case Kind.GAUGE:
                    made[one.name] = metrics.Gauge(one.name, one.meaning, one.labels)
        self._made = made
        self._gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._lock = threading.Lock()
        self._again: threading.Thread | None = None

    def record(self, instrument: Instrument, value: float, labels: Mapping[str, str]) -> None:
        made, tags = self._made[instrument.name], dict(labels)
        match instrument.kind:
            case Kind.COUNTER:
                # Ray's counters take nothing that is not above zero.
                if value > 0:
                    made.inc(value, tags)
            case Kind.HISTOGRAM:
                # Nor its histograms.
                made.observe(max(value, 1e-9), tags)
            case Kind.GAUGE:
                made.set(value, tags)
                with self._lock:
                    self._gauges[instrument.name, tuple(tags.items())] = value
                    self._keep_setting()

    def set_again(self) -> None:
        """All gauges, to what they were last."""
        with self._lock:
            gauges = list(self._gauges.items())
        for (name, tags), value in gauges:
            self._made[name].set(value, dict(tags))

    def _keep_setting(self) -> None:
        if self._again is None:
            self._again = threading.Thread(
                target=_set_again, args=(weakref.ref(self),), name="gauges", daemon=True
            )
            self._again.start()


def _set_again(owner: weakref.ref[RayInstruments]) -> None:
    while True:
        time.sleep(_AGAIN_S)
        instruments = owner()
        if instruments is None:
            return
        instruments.set_again()
        # Not held while it sleeps: whoever made it decides how long it lives.
        del instruments
