"""The voice libraries as one replica holds them: asked whose voice speaks, followed, added to."""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.errors import StoreError, VaultError
from persona_ray.inference.screening.records import (
    Channel,
    NotEnoughSpeech,
    Origin,
    Standing,
    VoiceMatch,
    VoiceUnknown,
    VoiceVerdict,
)
from persona_ray.inference.screening.voice_scores import surprise
from persona_ray.store.screening.records import lasts
from persona_ray.store.screening.voice_records import Marking, VoiceEntry, VoiceSample, VoiceState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.config.screening import VoiceConfig
    from persona_ray.inference.screening.voice_index import Neighbour, VoiceIndex
    from persona_ray.inference.screening.voice_scores import Calibration
    from persona_ray.inference.screening.voiceprint import Voiceprint, Voiceprinter
    from persona_ray.store.screening.changes import Change
    from persona_ray.store.screening.voices import VoiceRepository
    from persona_ray.types import Samples

_LOG = logging.getLogger(__name__)
# How old what a replica knows may be, in seconds, when it is asked.
_FRESH_S = 0.25
_PAGE = 5000
_NEAREST = 8
# Where strangers are as near no more often than this, a new voice may be a known person's.
_NEAR = 0.05
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a voice that was to be added: it is `voice_id` now. `joined`: a person who
    was there; `near` (empty: none): a person it is so near to that an operator has to decide."""

    voice_id: str
    joined: bool
    near: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    standing: Standing
    category: str
    expires_at: datetime | None


class VoiceLibrary:
    """Implements Voices. Plain and thread-safe; what the store says is read again when it is older
    than a quarter of a second, so that every replica knows a change within a second."""

    def __init__(
        self,
        printer: Voiceprinter,
        calibration: Calibration,
        index: VoiceIndex,
        voices: VoiceRepository,
        config: VoiceConfig,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.printer = printer
        self._calibration = calibration
        self._index = index
        self._voices = voices
        self._config = config
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._sequence = -1
        self._read_at = -math.inf
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def model(self) -> str:
        """Name and version of what makes the voiceprints."""
        return self.printer.encoder.name

    async def whose(self, samples: Samples, rate_hz: int, channel: Channel) -> VoiceVerdict:
        """See Voices."""
        return await asyncio.to_thread(self.verdict, samples, rate_hz, channel)

    def verdict(self, samples: Samples, rate_hz: int, channel: Channel) -> VoiceVerdict:
        """As `whose`, in the caller's thread. A store that fails leaves what is known; StoreError
        where nothing was ever read."""
        heard = self.printer.hear(samples, rate_hz)
        if isinstance(heard, NotEnoughSpeech):
            return heard
        self.refresh()
        found = self._nearest(heard.vector)
        if not found:
            return VoiceUnknown(None)
        best = found[0]
        chance = self._chance(heard, best, channel)
        margin = best.cosine - found[1].cosine if len(found) > 1 else 1.0
        known = self._known.get(best.voice_id)
        certain = chance <= self._config.false_matches and margin >= self._config.margin
        if known is None or not certain:
            return VoiceUnknown(best.cosine)
        score = surprise(chance)
        return VoiceMatch(best.voice_id, known.category, known.standing, score, margin)

    def add(
        self,
        voice: Voiceprint,
        call_id: str,
        channel: Channel,
        marking: Marking,
    ) -> Added:
        """Put a caller's voice into the libraries: into the entry of the same person, beside one it
        is near to for an operator to decide, or as a new person's.

        Compared and written at one state of the libraries, whoever else adds. StoreError where the
        store fails, or others never stop adding.
        """
        sample = VoiceSample(call_id, _kept(voice.vector).tobytes(), voice.speech_s)
        for _ in range(_ATTEMPTS):
            self.catch_up()
            added = self._try(voice, sample, channel, marking)
            if added is not None:
                self.catch_up()
                return added
        raise StoreError(
            f"a voice could not be added: the libraries changed {_ATTEMPTS} times meanwhile; "
            "add it again"
        )

    def catch_up(self) -> None:
        """Apply what the store says that is not known here; read all anew where its log no longer
        goes back so far. Raises StoreError."""
        with self._lock:
            state = self._voices.state()
            if self._sequence < state.floor or self._sequence < 0:
                self._rebuild()
            while changes := self._voices.since(self._sequence, _PAGE):
                for change in changes:
                    self._apply(change)
                self._sequence = changes[-1].sequence
            self._read_at = time.monotonic()

    async def follow(self) -> None:
        """Catch up again and again, so that a replica that nobody asks forgets too. Never ends."""
        while True:
            await asyncio.to_thread(self.refresh)
            await asyncio.sleep(_FRESH_S)

    def refresh(self) -> None:
        """`catch_up`, where the last time is a quarter of a second ago. A store that fails, or a
        new key of the vault that has not come here yet, leaves what is known; StoreError or
        VaultError where nothing was ever read."""
        if time.monotonic() - self._read_at < _FRESH_S:
            return
        try:
            self.catch_up()
        except (StoreError, VaultError) as error:
            if self._sequence < 0:
                raise
            # Asked again by the next caller; until then the libraries are what they were.
            self._read_at = time.monotonic()
            kind = type(error).__name__
            _LOG.warning("the voice libraries could not be read (%s): what is known is used", kind)

    def _nearest(self, vector: Samples) -> list[Neighbour]:
        """Voices that have not expired, nearest first."""
        now = self._clock()

        def stands(voice_id: str) -> bool:
            known = self._known.get(voice_id)
            return known is not None and lasts(known.expires_at, now)

        found = self._index.search(vector, _NEAREST)
        return [neighbour for neighbour in found if stands(neighbour.voice_id)]

    def _chance(self, heard: Voiceprint, best: Neighbour, channel: Channel) -> float:
        try:
            vector = self._index.vectors([best.voice_id])[0]
        except KeyError:
            return 1.0  # Forgotten a moment ago.
        voices = max(1, len(self._index))
        return self._calibration.chance(heard.vector, vector, channel, voices)

    def _try(
        self, voice: Voiceprint, sample: VoiceSample, channel: Channel, marking: Marking
    ) -> Added | None:
        """`add` at the state that is known here; None where the store has moved on."""
        now, seen = self._clock(), self._sequence
        until = None
        if marking.origin in (Origin.CALL, Origin.REPORTS):
            until = now + timedelta(days=self._config.expires_days)
        found = self._nearest(voice.vector)
        chance = self._chance(voice, found[0], channel) if found else 1.0
        margin = found[0].cosine - found[1].cosine if len(found) > 1 else 1.0
        if chance <= self._config.false_matches and margin >= self._config.margin:
            known = found[0].voice_id
            joined = self._voices.join(known, sample, seen, now, until, marking)
            return Added(known, joined=True) if joined else None
        near = found[0].voice_id if chance <= _NEAR else ""
        waiting = self._waiting(voice, channel, now) if near else ""
        if waiting:
            joined = self._voices.join(waiting, sample, seen, now, until)
            return Added(waiting, joined=True, near=near) if joined else None
        entry = VoiceEntry(
            voice_id=uuid.uuid4().hex,
            engine=self.model,
            voiceprint=sample.voiceprint,
            standing=marking.standing,
            category=marking.category,
            origin=marking.origin,
            state=VoiceState.SET_ASIDE if near else VoiceState.LISTED,
            near=near,
            expires_at=until,
        )
        put = self._voices.put(entry, [sample], seen, now)
        return Added(entry.voice_id, joined=False, near=near) if put else None

    def _waiting(self, voice: Voiceprint, channel: Channel, now: datetime) -> str:
        """The voice of the same person among those set aside; empty for none."""
        aside = [
            entry
            for entry in self._voices.page(now, limit=_PAGE, state=VoiceState.SET_ASIDE)
            if entry.engine == self.model
        ]
        chances = {
            entry.voice_id: self._calibration.chance(
                voice.vector, _vector(entry.voiceprint), channel, len(aside)
            )
            for entry in aside
        }
        best = min(chances, key=lambda voice_id: chances[voice_id], default="")
        return best if best and chances[best] <= self._config.false_matches else ""

    def _rebuild(self) -> None:
        # Read first: a change that comes meanwhile is then applied twice, and never missed.
        sequence = self._voices.state().sequence
        ids: list[str] = []
        prints: list[bytes] = []
        known: dict[str, _Known] = {}
        now, after, others = self._clock(), "", 0
        while page := self._voices.page(now, after, _PAGE):
            after = page[-1].voice_id
            ours = [entry for entry in page if entry.engine == self.model]
            others += len(page) - len(ours)
            ids += [entry.voice_id for entry in ours]
            prints.append(b"".join(entry.voiceprint for entry in ours))
            for entry in ours:
                known[entry.voice_id] = _Known(
                    Standing(entry.standing), entry.category, entry.expires_at
                )
        if others:
            _LOG.warning("%d voices are of another engine and are not searched", others)
        vectors = np.frombuffer(b"".join(prints), "<f2").astype(np.float16, copy=False)
        size = self.printer.encoder.size
        self._index.load(ids, vectors.reshape(len(ids), size))
        self._known, self._sequence = known, sequence

    def _apply(self, change: Change) -> None:
        payload = change.payload
        if payload is None or payload["engine"] != self.model:
            self._known.pop(change.key, None)
            self._index.remove(change.key)
            return
        vector = np.frombuffer(base64.b64decode(payload["voiceprint"]), "<f2")
        self._index.put(change.key, vector.astype(np.float16, copy=False))
        self._known[change.key] = _told(payload)


def _told(payload: Mapping[str, Any]) -> _Known:
    until = payload["expires_at"]
    expires_at = None if until is None else datetime.fromisoformat(until)
    return _Known(Standing(payload["standing"]), payload["category"], expires_at)


def _kept(vector: Samples) -> NDArray[np.float16]:
    kept: NDArray[np.float16] = vector.astype("<f2")
    return kept


def _vector(voiceprint: bytes) -> Samples:
    return np.frombuffer(voiceprint, "<f2").astype(np.float32)


def build_voice_library(
    config: VoiceConfig, printer: Voiceprinter, voices: VoiceRepository
) -> VoiceLibrary:
    """With the index and calibration that a configuration names; empty until it is first asked or
    `catch_up` is called. Raises ConfigError, EngineUnavailableError."""
    from persona_ray.inference.screening.voice_index import build_index
    from persona_ray.inference.screening.voice_scores import build_calibration

    calibration = build_calibration(config, printer.encoder.name)
    index = build_index(config.index, printer.encoder.size)
    return VoiceLibrary(printer, calibration, index, voices, config)
