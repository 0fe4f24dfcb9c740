"""A recording, heard as a call: who, when, and what cannot be heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from persona_ray.audio.decode import DecodedAudio
from persona_ray.audio.prosody import prosody
from persona_ray.config import RunConfig
from persona_ray.conversation import Emotion, Relation, Speaker
from persona_ray.errors import ChannelError, PersonaRayError, SilentError
from persona_ray.inference.assist.hearing import Heard
from persona_ray.inference.assist.records import Mood, NotHeard, Sentence
from persona_ray.serving.assist.recording import HeardTurn, hear_recording
from persona_ray.types import Word
from tests.unit.corpus.calls import RATE_HZ, track

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.types import Samples

Wave = NDArray[np.float32]
CUSTOMER = track([3.5], 10.0, talk_s=2.0, pitch_hz=210.0)
AGENT = track([0.5, 7.0], 10.0, talk_s=2.0, pitch_hz=120.0)


def hear(samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Heard:
    """Whoever speaks asks what it costs."""
    words = (Word("多", speech[0].start_s, speech[0].end_s), Word("少", 9.0, 9.1))
    sound, sounds = prosody(samples, rate_hz, speech, words)
    return Heard(words, sounds, sound)


def feel(sentence: Sentence) -> Mood:
    assert sentence.speaker is Speaker.CUSTOMER
    sure = {emotion: float(emotion is Emotion.DOUBTFUL) for emotion in Emotion}
    return Mood(combined=sure, lexicon=sure, model={}, valence=-0.3)


def heard(*channels: Wave, customer: int = 1, rate_hz: int = RATE_HZ) -> list[HeardTurn]:
    audio = DecodedAudio(np.stack(channels), rate_hz)
    return list(hear_recording(audio, "call.ogg", customer, hear, RunConfig(), feel))


def test_both_sides_are_heard_in_turn() -> None:
    turns = heard(AGENT, CUSTOMER)
    assert [turn.speaker.value for turn in turns] == ["agent", "customer", "agent"]
    assert [turn.said.start_s for turn in turns] == pytest.approx([0.5, 3.5, 7.0], abs=0.2)
    assert [turn.said.end_s for turn in turns] == pytest.approx([2.5, 5.5, 9.0], abs=0.25)
    agent, customer, _ = turns
    assert (agent.relation, agent.mood) == (None, None)
    assert customer.relation is Relation.QUESTION
    assert customer.mood is not None
    assert customer.mood.emotion is Emotion.DOUBTFUL


def test_the_agents_echo_on_the_customers_channel_is_told_not_recognised() -> None:
    echo = np.roll(AGENT, round(0.06 * RATE_HZ)) * np.float32(0.1)
    turns = heard(AGENT, CUSTOMER + echo)
    customer = [turn.said for turn in turns if turn.speaker is Speaker.CUSTOMER]
    assert [said.reason for said in customer if isinstance(said, NotHeard)] == ["echo", "echo"]
    assert len([said for said in customer if isinstance(said, Sentence)]) == 1


def test_the_channels_may_be_the_other_way_round_and_of_another_rate() -> None:
    wide = [np.repeat(one, 2) for one in (CUSTOMER, AGENT)]
    turns = heard(*wide, customer=0, rate_hz=2 * RATE_HZ)
    assert [turn.speaker.value for turn in turns] == ["agent", "customer", "agent"]


def test_of_mono_the_customer_alone_is_heard() -> None:
    assert [turn.speaker.value for turn in heard(CUSTOMER, customer=0)] == ["customer"]


SILENT = np.zeros_like(CUSTOMER)


@pytest.mark.parametrize(
    ("channels", "customer", "error", "words"),
    [
        ((AGENT, SILENT), 1, SilentError, "channel 1 never rises above"),
        ((AGENT, SILENT + 1e-2), 1, SilentError, "nobody speaks on the customer's channel 1"),
        ((AGENT, AGENT), 1, ChannelError, "one signal in both channels"),
        ((AGENT, CUSTOMER, SILENT), 1, ChannelError, "3 channels"),
        ((CUSTOMER,), 1, ChannelError, "1 channel(s), none of them"),
        ((CUSTOMER,), -1, ChannelError, "customer's channel -1"),
    ],
)
def test_what_cannot_be_heard_says_why(
    channels: tuple[Wave, ...], customer: int, error: type[PersonaRayError], words: str
) -> None:
    with pytest.raises(error) as caught:
        heard(*channels, customer=customer)
    assert words in str(caught.value)
    assert str(caught.value).startswith("call.ogg")
