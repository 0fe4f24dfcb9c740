"""Where utterances end, found while the call goes on.

The spans of speech are those that `VoiceActivity.speech` finds in the whole call, and an utterance
is what no pause of `end_gap_s` divides. Where `end_gap_s` is at least twice what a recogniser hears
around an utterance, and as long as the longest pause within a sentence, an utterance is recognised
and cut into sentences alone as it is within its call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.asr.utterances import quietest
from persona_ray.audio.resample import StreamResampler
from persona_ray.audio.vad import Span, SpanFinder, native_rate, widened
from persona_ray.audio.vad_stream import VoiceStream
from persona_ray.serving.live.tape import Tape

if TYPE_CHECKING:
    from persona_ray.audio.vad import State, VoiceActivity
    from persona_ray.config.corpus import VadConfig
    from persona_ray.config.serving import LiveConfig
    from persona_ray.types import Samples

# Sound around an utterance's speech that its recogniser is given.
MARGIN_S = 0.48
# How often silence is settled, so that a client need not keep it for long.
SETTLE_EVERY_S = 10.0
# Resumption wants sound before the place where voice activity goes on.
_BEFORE_S = 0.25
# Sums of times differ by this much at most.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Utterance:
    """What was said between two pauses: `samples` (n,) from `start_s` of the call on.

    `speech` is in seconds from there.
    """

    samples: Samples
    sample_rate_hz: int
    start_s: float
    speech: tuple[Span, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Where a call can be gone on with: by what was heard before, with sound from sample
    `position` on."""

    position: int
    frames: int
    state: State
    start_s: float | None
    quiet_since_s: float | None
    cut: bool
    spans: tuple[Span, ...]
    last_end_s: float | None


@dataclass(frozen=True, slots=True)
class Cut:
    """An utterance (None: a stretch of silence), and where the call goes on after it."""

    utterance: Utterance | None
    checkpoint: Checkpoint


class Endpointer:
    """One call's sound at `rate_hz`, in pieces of any size -> its utterances as they end."""

    def __init__(
        self,
        voice: VoiceActivity,
        live: LiveConfig,
        rate_hz: int,
        begin: int = 0,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """`begin`: number of the first sample that is pushed, not after the checkpoint's."""
        self._vad: VadConfig = voice.config
        self._live = live
        self._rate_hz = rate_hz
        self._tape = Tape(begin)
        native_hz = native_rate(rate_hz)
        self._converter = StreamResampler(rate_hz, native_hz, begin)
        self._finder: SpanFinder
        self._spans: list[Span] = []
        # Where the speech before these spans ended.
        self._last_end_s: float | None = None
        if checkpoint is None:
            self._stream = VoiceStream(voice, native_hz)
            self._finder = SpanFinder(self._stream.frame_s, self._vad)
        else:
            self._stream = VoiceStream(voice, native_hz, checkpoint.frames, checkpoint.state)
            self._finder = SpanFinder(self._stream.frame_s, self._vad)
            self._finder.frames = checkpoint.frames
            self._finder.start_s = checkpoint.start_s
            self._finder.quiet_since_s = checkpoint.quiet_since_s
            self._finder.cut = checkpoint.cut
            self._spans = list(checkpoint.spans)
            self._last_end_s = checkpoint.last_end_s
        self._settled_s = self._finder.heard_s
        # Padded speech that is this far apart is divided.
        self._end_gap_s = live.end_gap_s + 2 * self._vad.pad_s - _ROUNDING_S

    @property
    def heard_s(self) -> float:
        """Seconds of the call that were taken in."""
        return self._tape.end / self._rate_hz

    def push(self, samples: Samples) -> list[Cut]:
        """Samples (n,) that follow on the last -> what ended with them."""
        self._tape.append(samples)
        position = self._converter.position
        cuts: list[Cut] = []
        pending = self._stream.wanted
        native = self._converter.push(samples)
        # Sound before the place where voice activity goes on is there for the tape alone.
        if position + len(native) <= pending:
            return cuts
        # Frame by frame, so that a checkpoint holds what the network knew at its place.
        width = self._stream.width
        at = max(position, pending)
        native = native[at - position :]
        for offset in range(0, len(native), width):
            for probability in self._stream.push(native[offset : offset + width], at + offset):
                cuts += self._frame(float(probability))
        return cuts

    def finish(self) -> list[Cut]:
        """The call is over: what was being said is the last utterance."""
        position = self._converter.position
        cuts: list[Cut] = []
        rest = self._converter.finish()
        probabilities = [*self._stream.push(rest, position)] if len(rest) else []
        for probability in [*probabilities, *self._stream.finish()]:
            cuts += self._frame(float(probability))
        span = self._finder.finish(self.heard_s)
        if span is not None:
            self._spans.append(span)
        utterance = self._utterance(self._spans, None, self.heard_s) if self._spans else None
        self._spans = []
        return [*cuts, self._cut(utterance)]

    def so_far(self) -> Utterance | None:
        """What has been said of the utterance that goes on; None in a pause."""
        spans = self._with_open()
        return self._utterance(spans, None, self._finder.heard_s) if spans else None

    @property
    def speech_s(self) -> float:
        """Speech in the utterance that goes on."""
        return sum(span.duration_s for span in self._with_open())

    @property
    def talking_s(self) -> float:
        """For how long somebody has been speaking without a pause; 0 in one. What is too short to
        be speech counts, too: it is not known yet how long it gets."""
        finder = self._finder
        if finder.start_s is None or finder.quiet_since_s is not None:
            return 0.0
        return finder.heard_s - finder.start_s

    @property
    def quiet_s(self) -> float:
        """Silence after what has been said of the utterance that goes on; 0 while somebody speaks,
        and where nothing was said."""
        finder = self._finder
        if finder.start_s is not None and finder.quiet_since_s is None:
            return 0.0
        spans = self._with_open()
        return finder.heard_s - spans[-1].end_s if spans else 0.0

    def _with_open(self) -> list[Span]:
        finder = self._finder
        if finder.start_s is not None:
            end_s = finder.heard_s if finder.quiet_since_s is None else finder.quiet_since_s
            if finder.cut or end_s - finder.start_s > self._vad.min_speech_s:
                return [*self._spans, Span(finder.start_s, end_s)]
        return self._spans

    def _frame(self, probability: float) -> list[Cut]:
        span = self._finder.push(probability)
        if span is not None:
            self._spans.append(span)
        finder, now_s = self._finder, self._finder.heard_s
        if finder.start_s is None:
            if self._spans and now_s - self._spans[-1].end_s >= self._end_gap_s:
                return [self._ended(len(self._spans), None)]
            if not self._spans and now_s - self._settled_s >= SETTLE_EVERY_S:
                return [self._cut(None)]
            return []
        first_s = self._spans[0].start_s if self._spans else finder.start_s
        until_s = now_s if finder.quiet_since_s is None else finder.quiet_since_s
        if until_s - first_s >= self._live.max_utterance_s:
            return [self._forced(first_s, finder.start_s, until_s)]
        return []

    def _forced(self, first_s: float, open_s: float, until_s: float) -> Cut:
        """Speech that does not end is cut at its widest pause, or where it is quietest, in the
        last half of what fits."""
        rate_hz = self._rate_hz
        middle_s = first_s + self._live.max_utterance_s / 2
        starts = [*(span.start_s for span in self._spans), open_s]
        gaps = [
            (start_s - span.end_s, number)
            for number, (span, start_s) in enumerate(zip(self._spans, starts[1:], strict=True), 1)
            if (start_s + span.end_s) / 2 >= middle_s
        ]
        if gaps:
            _, count = max(gaps)
            return self._ended(count, starts[count])
        start = round(max(middle_s, open_s) * rate_hz)
        sound = self._tape.cut(start, round(until_s * rate_hz))
        at_s = start / rate_hz + quietest(sound, rate_hz, Span(0.0, len(sound) / rate_hz))
        before = self._finder.split(at_s)
        if before is not None:
            self._spans.append(before)
        return self._ended(len(self._spans), at_s)

    def _ended(self, count: int, following_s: float | None) -> Cut:
        """The first `count` spans are an utterance; speech goes on at `following_s`."""
        spans, self._spans = self._spans[:count], self._spans[count:]
        utterance = self._utterance(spans, following_s, self._finder.heard_s)
        self._last_end_s = spans[-1].end_s
        return self._cut(utterance)

    def _utterance(
        self, spans: Sequence[Span], following_s: float | None, heard_s: float
    ) -> Utterance:
        """`spans` widened and with the sound around them, up to the middle between neighbours."""
        rate_hz = self._rate_hz
        padded = self._padded(spans, following_s)
        start = self._origin(padded[0].start_s)
        end_s = min(padded[-1].end_s + MARGIN_S, heard_s)
        if following_s is not None:
            following_s = max(following_s - self._vad.pad_s, (spans[-1].end_s + following_s) / 2)
            end_s = min(end_s, (padded[-1].end_s + following_s) / 2)
        samples = self._tape.cut(start, round(end_s * rate_hz))
        start_s = start / rate_hz
        last_s = start_s + len(samples) / rate_hz
        speech = tuple(
            Span(span.start_s - start_s, min(span.end_s, last_s) - start_s) for span in padded
        )
        return Utterance(samples, rate_hz, start_s, speech)

    def _padded(self, spans: Sequence[Span], following_s: float | None) -> tuple[Span, ...]:
        before = [] if self._last_end_s is None else [Span(self._last_end_s, self._last_end_s)]
        after = [] if following_s is None else [Span(following_s, following_s)]
        widest = widened([*before, *spans, *after], self._vad.pad_s, math.inf)
        return widest[len(before) : len(before) + len(spans)]

    def _origin(self, speech_s: float) -> int:
        """Sample from which on an utterance is heard whose speech begins at `speech_s`."""
        start_s = max(0.0, speech_s - MARGIN_S)
        if self._last_end_s is not None:
            pad_s = min(self._vad.pad_s, (speech_s - self._last_end_s) / 2)
            start_s = max(start_s, (self._last_end_s + pad_s + speech_s) / 2)
        # In whole milliseconds, so that times are rounded as they are within the call.
        step = self._rate_hz // 1000 if self._rate_hz % 1000 == 0 else 1
        return math.floor(start_s * self._rate_hz / step + _ROUNDING_S) * step

    def _cut(self, utterance: Utterance | None) -> Cut:
        finder = self._finder
        self._settled_s = finder.heard_s
        # The earliest that anything can be wanted of that is said from now on, or is being said.
        next_s = self._spans[0].start_s if self._spans else finder.start_s
        if next_s is None:
            next_s = finder.heard_s
        from_s = min(next_s - self._vad.pad_s - MARGIN_S, finder.heard_s - _BEFORE_S)
        if self._last_end_s is not None:
            # Nothing before the speech that is settled, but for what voice activity wants.
            from_s = max(from_s, min(self._last_end_s, finder.heard_s - _BEFORE_S))
        position = max(0, math.floor(from_s * self._rate_hz))
        self._tape.forget(position)
        checkpoint = Checkpoint(
            position=position,
            frames=finder.frames,
            state=np.array(self._stream.state, dtype=np.float32),
            start_s=finder.start_s,
            quiet_since_s=finder.quiet_since_s,
            cut=finder.cut,
            spans=tuple(self._spans),
            last_end_s=self._last_end_s,
        )
        return Cut(utterance, checkpoint)
