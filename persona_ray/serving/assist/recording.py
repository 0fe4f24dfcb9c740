"""A recorded call as an assisted call would hear it: cut, told apart and read alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.audio.channels import loudest_db, same_signal
from persona_ray.audio.resample import resample
from persona_ray.audio.vad import Span, VoiceActivity
from persona_ray.conversation import Relation, Speaker
from persona_ray.errors import ChannelError, SilentError
from persona_ray.inference.assist.crosstalk import BESIDE_S, own_speech
from persona_ray.inference.assist.records import NotHeard, Sentence
from persona_ray.inference.assist.relations import relation_of
from persona_ray.inference.assist.turns import Turns
from persona_ray.serving.live.endpoint import Endpointer, Utterance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_ray.audio.decode import DecodedAudio
    from persona_ray.config import RunConfig
    from persona_ray.inference.assist.hearing import Heard
    from persona_ray.inference.assist.records import Mood
    from persona_ray.types import Samples

# Words and sound of samples (n,) at a rate, within spans of speech.
Hear = Callable[["Samples", int, "Sequence[Span]"], "Heard"]
Feel = Callable[[Sentence], "Mood"]


@dataclass(frozen=True, slots=True)
class HeardTurn:
    """A stretch of one side. `relation` and `mood`: of the customer's sentences alone."""

    speaker: Speaker
    said: Sentence | NotHeard
    relation: Relation | None = None
    mood: Mood | None = None


def hear_recording(
    audio: DecodedAudio,
    name: str,
    customer_channel: int,
    hear: Hear,
    config: RunConfig,
    feel: Feel | None = None,
) -> Iterator[HeardTurn]:
    """Turns in the order in which they ended. `name` stands in messages; `feel` None: no moods.

    With one channel it is the customer who is heard. Raises ChannelError (no such channel, more
    than two, or one signal in both), SilentError where the customer never speaks, RecognitionError.
    """
    tracks = _tracks(audio, name, customer_channel, config)
    voice = VoiceActivity(config.vad)
    rate_hz = config.audio.sample_rate_hz
    said = {speaker: _utterances(track, voice, config) for speaker, track in tracks.items()}
    if not said[Speaker.CUSTOMER]:
        raise SilentError(f"{name}: nobody speaks on the customer's channel {customer_channel}")
    turns, before = Turns(config.assist.ears), list[Sentence]()
    stretches = [(speaker, one) for speaker, found in said.items() for one in found]
    for speaker, utterance in sorted(stretches, key=lambda pair: _end_s(pair[1])):
        beside = _beside(utterance, speaker, tracks, said, rate_hz)
        own = own_speech(speaker, utterance, beside, config.assist.ears)
        if isinstance(own, NotHeard):
            yield HeardTurn(speaker, own)
            continue
        turn = turns.turn(speaker, own, hear(own.samples, own.sample_rate_hz, own.speech))
        if isinstance(turn, Sentence) and speaker is Speaker.CUSTOMER:
            relation = relation_of(turn.text, before)
            yield HeardTurn(speaker, turn, relation, feel(turn) if feel else None)
        else:
            yield HeardTurn(speaker, turn)
        if isinstance(turn, Sentence):
            before.append(turn)


def _tracks(
    audio: DecodedAudio, name: str, customer_channel: int, config: RunConfig
) -> dict[Speaker, Samples]:
    """Samples (n,) of each side, at the rate that calls are heard at."""
    if not 0 <= customer_channel < audio.channels:
        raise ChannelError(
            f"{name} has {audio.channels} channel(s), none of them the customer's channel "
            f"{customer_channel} (counted from 0)"
        )
    if audio.channels > 2:
        raise ChannelError(
            f"{name} has {audio.channels} channels: a call has two, the customer's and the agent's"
        )
    level_db = loudest_db(audio.samples[customer_channel], audio.sample_rate_hz)
    if level_db < config.audio.min_level_db:
        raise SilentError(
            f"{name} channel {customer_channel} never rises above {level_db:.0f} dBFS "
            f"(audio.min_level_db {config.audio.min_level_db:g})"
        )
    if audio.channels == 2 and same_signal(audio.samples, customer_channel):
        raise ChannelError(
            f"{name} holds one signal in both channels: customer and agent cannot be told apart; "
            "record them apart, or give the customer's side as a file with one channel"
        )
    channels = {Speaker.CUSTOMER: customer_channel}
    if audio.channels == 2:
        channels[Speaker.AGENT] = 1 - customer_channel
    return {
        speaker: resample(audio.samples[channel], audio.sample_rate_hz, config.audio.sample_rate_hz)
        for speaker, channel in channels.items()
    }


def _utterances(track: Samples, voice: VoiceActivity, config: RunConfig) -> list[Utterance]:
    live = config.serving.live.model_copy(update={"end_gap_s": config.assist.ears.end_gap_s})
    endpointer = Endpointer(voice, live, config.audio.sample_rate_hz)
    cuts = [*endpointer.push(track), *endpointer.finish()]
    return [cut.utterance for cut in cuts if cut.utterance is not None]


def _beside(
    utterance: Utterance,
    speaker: Speaker,
    tracks: Mapping[Speaker, Samples],
    said: Mapping[Speaker, Sequence[Utterance]],
    rate_hz: int,
) -> Utterance | None:
    """The other channel over the same time, and a little around it; None where there is none."""
    others = [one for one in tracks if one is not speaker]
    if not others:
        return None
    end_s = utterance.start_s + len(utterance.samples) / rate_hz + BESIDE_S
    first = max(round((utterance.start_s - BESIDE_S) * rate_hz), 0)
    start_s = first / rate_hz
    speech = tuple(
        Span(span.start_s + one.start_s - start_s, span.end_s + one.start_s - start_s)
        for one in said[others[0]]
        if one.start_s < end_s and _end_s(one) > start_s
        for span in one.speech
    )
    return Utterance(tracks[others[0]][first : round(end_s * rate_hz)], rate_hz, start_s, speech)


def _end_s(utterance: Utterance) -> float:
    return utterance.start_s + utterance.speech[-1].end_s
