"""One channel of an assisted call: where sentences end, and recognition that begins before it is
sure that they have."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from persona_ray.audio.vad import Span
from persona_ray.inference.assist.crosstalk import BESIDE_S
from persona_ray.serving.live.endpoint import Endpointer, Utterance
from persona_ray.serving.live.tape import Tape

if TYPE_CHECKING:
    from persona_ray.audio.vad import VoiceActivity
    from persona_ray.config import RunConfig
    from persona_ray.conversation import Speaker
    from persona_ray.inference.assist.crosstalk import OwnSpeech
    from persona_ray.inference.assist.hearing import Heard
    from persona_ray.inference.assist.records import NotHeard
    from persona_ray.serving.live.endpoint import Checkpoint, Cut
    from persona_ray.types import Samples

# Ends of speech that differ by less are one.
_SAME_S = 1e-3
# Sound and speech that the other channel is compared with go back so far.
_KEPT_S = 30.0

# What is said in an utterance, and what was heard of it; or why nothing was.
Caught = tuple["OwnSpeech", "Heard"]
Hear = Callable[["Utterance"], Coroutine[Any, Any, "Caught | NotHeard"]]
Hearing = asyncio.Task["Caught | NotHeard"]


class ChannelEar:
    """Sound in, cuts out. `begin`: number of the first sample that is pushed."""

    def __init__(
        self,
        speaker: Speaker,
        voice: VoiceActivity,
        config: RunConfig,
        begin: int,
        checkpoint: Checkpoint | None,
        hear: Hear,
    ) -> None:
        self.speaker = speaker
        ears = config.assist.ears
        live = config.serving.live.model_copy(update={"end_gap_s": ears.end_gap_s})
        self._rate_hz = config.audio.sample_rate_hz
        self._pad_s = config.vad.pad_s
        self._guess_gap_s = ears.guess_gap_s
        self._endpointer = Endpointer(voice, live, self._rate_hz, begin, checkpoint)
        self._tape = Tape(begin)
        self._said: deque[Span] = deque()
        self._hear = hear
        self._guess: Hearing | None = None
        self._guessed: Utterance | None = None

    @property
    def guessing(self) -> bool:
        """A guess is under way."""
        return self._guess is not None and not self._guess.done()

    def push(self, samples: Samples) -> list[Cut]:
        """Samples (n,) that follow on the last -> what ended with them."""
        self._tape.append(samples)
        self._tape.forget(self._tape.end - round(_KEPT_S * self._rate_hz))
        return self._noted(self._endpointer.push(samples))

    def finish(self) -> list[Cut]:
        """The call is over."""
        return self._noted(self._endpointer.finish())

    def beside(self, utterance: Utterance) -> Utterance:
        """What this channel holds while `utterance` is on the other, and a little around it."""
        begin_s = utterance.start_s - BESIDE_S
        end_s = utterance.start_s + len(utterance.samples) / self._rate_hz + BESIDE_S
        start = max(round(begin_s * self._rate_hz), self._tape.begin)
        sound = self._tape.cut(start, round(end_s * self._rate_hz))
        start_s = start / self._rate_hz
        goes_on = self._endpointer.so_far()
        spans = [*self._said, *([] if goes_on is None else _spans(goes_on))]
        speech = tuple(
            Span(max(span.start_s - start_s, 0.0), span.end_s - start_s)
            for span in spans
            if span.end_s > start_s and span.start_s < end_s
        )
        return Utterance(sound, self._rate_hz, start_s, speech)

    def said_until_s(self, utterance: Utterance) -> float:
        """Second of the call at which the last word ends."""
        return utterance.start_s + utterance.speech[-1].end_s - self._pad_s

    def consider(self) -> None:
        """Begin to recognise what was said, where it may have ended."""
        quiet_s = self._endpointer.quiet_s
        if quiet_s == 0.0:
            # It goes on: what was guessed is worth nothing.
            self.cancel()
        elif quiet_s >= self._guess_gap_s and self._guess is None:
            self._guessed = self._endpointer.so_far()
            if self._guessed is not None:
                self._guess = asyncio.create_task(self._hear(self._guessed))
                self._guess.add_done_callback(_failed)

    def ended(self, utterance: Utterance) -> Hearing:
        """What is heard of an utterance that has ended: the guess, if it was about just that."""
        guess, guessed = self._guess, self._guessed
        self._guess = self._guessed = None
        if guess is not None and guessed is not None:
            if self._is(guessed, utterance) and not _failed(guess):
                return guess
            guess.cancel()
        return asyncio.create_task(self._hear(utterance))

    def cancel(self) -> None:
        """No guess is under way any more."""
        if self._guess is not None:
            self._guess.cancel()
        self._guess = self._guessed = None

    def _noted(self, cuts: list[Cut]) -> list[Cut]:
        for cut in cuts:
            if cut.utterance is not None:
                self._said += _spans(cut.utterance)
        while self._said and self._said[0].end_s < self._endpointer.heard_s - _KEPT_S:
            self._said.popleft()
        return cuts

    def _is(self, guessed: Utterance, utterance: Utterance) -> bool:
        ends = self.said_until_s(guessed) - self.said_until_s(utterance)
        return guessed.start_s == utterance.start_s and abs(ends) < _SAME_S


def _spans(utterance: Utterance) -> list[Span]:
    """Its speech, in seconds of the call."""
    by_s = utterance.start_s
    return [Span(span.start_s + by_s, span.end_s + by_s) for span in utterance.speech]


def _failed(guess: Hearing) -> bool:
    return guess.done() and (guess.cancelled() or guess.exception() is not None)
