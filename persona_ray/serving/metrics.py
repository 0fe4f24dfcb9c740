"""What the service counts, for Prometheus.

The ingress gives its figures at /metrics (`prometheus_client`). Deployments run in other processes,
maybe on other machines: there the same instruments are Ray's (`RayInstruments`), which the metrics
agent of each node exports, and an ingress on Ray counts into both. Several ingress replicas behind
one address each answer /metrics for themselves; on a cluster scrape Ray's agents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.audio.sound import sound_of
from persona_ray.types import NothingUsable, Recognition
from persona_ray.watch import catalogue
from persona_ray.watch.catalogue import DRIFTS, SERVICE
from persona_ray.watch.drift import Find, Population, Reference
from persona_ray.watch.instruments import Instrument, Instruments, PrometheusInstruments
from persona_ray.watch.textfile import JobFiles

if TYPE_CHECKING:
    from persona_ray.serving.service import ServedModel
    from persona_ray.types import Samples

# What ingress and deployments tell; jobs tell the rest.
INSTRUMENTS = (*SERVICE, *DRIFTS)


def _unknown(digest: str) -> Mapping[Instrument, Reference]:  # noqa: ARG001
    """Nothing is known of any bundle."""
    return {}


class Metrics:
    """What the service counts.

    Drift is told against what `find` gives for a bundle's digest; it is asked with the first answer
    of each. `jobs`: the folder of the jobs' figures, which are told, too.
    """

    def __init__(
        self,
        also: Sequence[Instruments] = (),
        find: Find = _unknown,
        jobs: Path | None = None,
    ) -> None:
        self._own = PrometheusInstruments(INSTRUMENTS)
        if jobs is not None:
            self._own.registry.register(JobFiles(jobs))
        self._all: tuple[Instruments, ...] = (self._own, *also)
        self._population = Population(find)

    def text(self) -> bytes:
        """This process's figures in Prometheus' text format."""
        return self._own.text()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self._record(catalogue.REQUESTS, 1, route=route, method=method, status=str(status))
        self._record(catalogue.REQUEST_SECONDS, seconds, route=route)

    def refused(self, code: str) -> None:
        self._record(catalogue.REFUSED, 1, code=code)

    def stages(self, timings_s: Mapping[str, float]) -> None:
        for stage, seconds in timings_s.items():
            self._record(catalogue.STAGE_SECONDS, seconds, stage=stage)

    def audio(self, kind: str, seconds: float) -> None:
        """`kind`: clip, call or live."""
        self._record(catalogue.AUDIO_SECONDS, seconds, kind=kind)

    def live_calls(self, count: int) -> None:
        self._record(catalogue.LIVE_CALLS, count)

    def rollout(self, event: str) -> None:
        """`event`: a field of the rollout's `Counts`, or rolled_back."""
        self._record(catalogue.ROLLOUT, 1, event=event)

    def screened(self, outcome: str, decided_s: float | None) -> None:
        """A screened call has ended; `decided_s` None: nothing was decided."""
        self._record(catalogue.SCREENED, 1, outcome=outcome)
        if decided_s is not None:
            self._record(catalogue.DECISION_SECONDS, decided_s)

    def pushes(self, state: str, count: int = 1) -> None:
        """Of assistance; `state`: sent, seen, late or failed."""
        self._record(catalogue.ASSIST_PUSHES, count, state=state)

    def feedback(self, action: str) -> None:
        """Of an agent, that was new."""
        self._record(catalogue.ASSIST_FEEDBACK, 1, action=action)

    def heard(self, samples: Samples, rate_hz: int, model: ServedModel) -> None:
        """What a caller said, samples (n,): how it sounds is compared with the training clips."""
        sound = sound_of(samples, rate_hz)
        self._population.see(catalogue.LEVEL_DRIFT, sound.level_dbfs, model.digest)
        self._population.see(catalogue.SILENCE_DRIFT, sound.silence, model.digest)
        self._population.see(catalogue.CLIPPING_DRIFT, sound.clipping, model.digest)

    def recognised(self, text: str | None, seconds: float, model: ServedModel) -> None:
        """The text of a sentence that took so long; None: none was asked for."""
        if text is not None and seconds > 0:
            rate = len(text) / seconds
            self._population.see(catalogue.SPEECH_RATE_DRIFT, rate, model.digest)

    def answers(self, results: Iterable[Recognition | NothingUsable], model: ServedModel) -> None:
        """Results of single sentences: evaluation measured their confidence, too."""
        for result in results:
            if isinstance(result, NothingUsable):
                self._record(catalogue.COLOURS, 1, colour="none")
                continue
            confidence = result.probabilities[result.primary]
            self._record(catalogue.COLOURS, 1, colour=result.primary)
            self._record(catalogue.CONFIDENCE, confidence)
            self._population.see(catalogue.CONFIDENCE_DRIFT, confidence, model.digest)
            self._population.see(catalogue.COLOUR_DRIFT, result.primary, model.digest)
        for kind, against, index in self._population.told():
            self._record(kind, index, against=against)

    def _record(self, instrument: Instrument, value: float, **labels: str) -> None:
        for instruments in self._all:
            instruments.record(instrument, value, labels)
