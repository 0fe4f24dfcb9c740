"""Whose voice a channel holds: echoes, two who talk at once, and one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from persona_ray.audio.vad import Span
from persona_ray.config.assist import EarsConfig
from persona_ray.conversation import Speaker
from persona_ray.inference.assist.crosstalk import OwnSpeech, own_speech
from persona_ray.inference.assist.records import NotHeard
from persona_ray.serving.live.endpoint import Utterance

RATE_HZ = 8000
CONFIG = EarsConfig()
Wave = NDArray[np.float32]


def talk(seconds: float, seed: int, pitch_hz: float = 150.0) -> Wave:
    """Vowel-like sound (n,) with a wandering pitch, syllables of their own loudness and colour."""
    random = np.random.default_rng(seed)
    count, syllable = round(seconds * RATE_HZ), RATE_HZ // 5
    pitch = pitch_hz * 2 ** np.repeat(random.normal(0, 0.15, count // syllable + 1), syllable)
    phase = 2 * np.pi * np.cumsum(pitch[:count]) / RATE_HZ
    found = np.zeros(count)
    for harmonic in range(1, 16):
        strength = np.repeat(random.lognormal(0, 1, count // syllable + 1), syllable)[:count]
        found += strength * np.sin(harmonic * phase) / harmonic
    beat = np.abs(np.sin(np.pi * np.arange(count) / syllable))
    return (0.1 * found * beat / np.sqrt(np.mean(found**2))).astype(np.float32)


def silence(seconds: float) -> Wave:
    return np.zeros(round(seconds * RATE_HZ), dtype=np.float32)


def echo(samples: Wave, delay_s: float, gain_db: float) -> Wave:
    """Later, quieter, through a telephone's band and a room, with noise."""
    random = np.random.default_rng(5)
    band = butter(4, (300, 3400), "band", fs=RATE_HZ, output="sos")
    room = random.standard_normal(800) * np.exp(-np.arange(800) / 150)
    room[0] = 6
    late = np.concatenate([silence(delay_s), samples])
    found = np.convolve(sosfilt(band, late), room)[: len(late)]
    found *= np.sqrt(np.mean(samples**2) / np.mean(found**2))
    noise = 0.1 * np.sqrt(np.mean(samples**2)) * random.standard_normal(len(found))
    return ((found + noise) * 10 ** (gain_db / 20)).astype(np.float32)


def stretch(samples: Wave, *spans: tuple[float, float], start_s: float = 0.0) -> Utterance:
    spoken = spans or ((0.0, len(samples) / RATE_HZ),)
    return Utterance(samples, RATE_HZ, start_s, tuple(Span(*span) for span in spoken))


def kept(found: OwnSpeech | NotHeard) -> OwnSpeech:
    assert isinstance(found, OwnSpeech)
    return found


def reason(found: OwnSpeech | NotHeard) -> str:
    assert isinstance(found, NotHeard)
    return found.reason


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.28])
@pytest.mark.parametrize("gain_db", [-30.0, -8.0])
def test_the_agents_voice_on_the_customers_channel_is_an_echo(
    delay_s: float, gain_db: float
) -> None:
    agent = talk(3.0, seed=1)
    line = echo(agent, delay_s, gain_db)
    heard = stretch(line, (delay_s, delay_s + 3.0))
    assert reason(own_speech(Speaker.CUSTOMER, heard, stretch(agent), CONFIG)) == "echo"
    # Nor is it somebody who talks over the agent.
    said = kept(own_speech(Speaker.AGENT, stretch(agent), heard, CONFIG))
    assert said.speech == (Span(0.0, 3.0),)
    assert said.overlap < 0.1
    # It may be the agent's channel, too, that holds the other's voice.
    assert reason(own_speech(Speaker.AGENT, heard, stretch(agent), CONFIG)) == "echo"


@pytest.mark.parametrize("louder_db", [-12.0, 0.0, 12.0])
def test_two_who_talk_at_once_are_heard_both(louder_db: float) -> None:
    agent, customer = talk(3.0, seed=1), talk(3.0, seed=2) * 10 ** (louder_db / 20)
    for speaker, one, other in (
        (Speaker.CUSTOMER, customer, agent),
        (Speaker.AGENT, agent, customer),
    ):
        said = kept(own_speech(speaker, stretch(one), stretch(other), CONFIG))
        assert said.overlap == 1
        assert said.speech == (Span(0.0, 3.0),)
        np.testing.assert_array_equal(said.samples, one)


def test_of_an_answer_after_an_echo_the_answer_is_left() -> None:
    agent, answer = talk(2.0, seed=1), talk(1.5, seed=2, pitch_hz=210)
    theirs = np.concatenate([agent, silence(2.0)])
    ours = np.concatenate([echo(agent, 0.05, -10), silence(0.25), answer, silence(0.2)])
    found = own_speech(
        Speaker.CUSTOMER,
        stretch(ours, (0.05, 2.05), (2.3, 3.8), start_s=7.0),
        stretch(theirs, (0.0, 2.0), start_s=7.0),
        CONFIG,
    )
    said = kept(found)
    assert said.speech[0].start_s == pytest.approx(2.3, abs=0.15)
    assert said.speech[-1].end_s == pytest.approx(3.8, abs=0.05)
    assert said.overlap == 0
    assert not said.samples[: round(1.5 * RATE_HZ)].any()
    np.testing.assert_array_equal(said.samples[-RATE_HZ:], ours[-RATE_HZ:])


def test_each_side_may_be_heard_on_the_others_channel() -> None:
    first, then = talk(2.0, seed=1), talk(2.0, seed=2, pitch_hz=210)
    agent = np.concatenate([first, silence(0.3), silence(2.2)])
    customer = np.concatenate([silence(2.3), then, silence(0.2)])
    ours = agent + np.pad(echo(customer, 0.03, -20), (0, 40))[: len(agent)]
    theirs = customer + np.pad(echo(agent, 0.08, -15), (0, 40))[: len(customer)]
    spans = ((0.0, 2.1), (2.3, 4.35))
    for speaker, one, other, begin_s, end_s in (
        (Speaker.AGENT, ours, theirs, 0.0, 2.0),
        (Speaker.CUSTOMER, theirs, ours, 2.3, 4.3),
    ):
        said = kept(own_speech(speaker, stretch(one, *spans), stretch(other, *spans), CONFIG))
        assert said.speech[0].start_s == pytest.approx(begin_s, abs=0.2)
        assert said.speech[-1].end_s == pytest.approx(end_s, abs=0.2)
        assert said.overlap < 0.2


def test_of_one_signal_on_both_channels_the_agent_is_the_speaker() -> None:
    both = stretch(talk(2.0, seed=3))
    assert reason(own_speech(Speaker.CUSTOMER, both, both, CONFIG)) == "echo"
    assert kept(own_speech(Speaker.AGENT, both, both, CONFIG)).overlap == 0


def test_the_share_that_the_other_talks_over_is_told() -> None:
    customer = stretch(talk(4.0, seed=1), start_s=10.0)
    other = np.concatenate([silence(3.0), talk(2.0, seed=2)])
    said = kept(
        own_speech(Speaker.CUSTOMER, customer, stretch(other, (3.0, 5.0), start_s=9.5), CONFIG)
    )
    assert said.overlap == pytest.approx(1.5 / 4)


def test_without_another_channel_or_another_voice_all_is_kept() -> None:
    samples = talk(1.0, seed=1)
    quiet = Utterance(silence(1.0), RATE_HZ, 0.0, ())
    for other in (None, quiet, stretch(samples, (0.0, 1.0), start_s=40.0)):
        said = kept(own_speech(Speaker.CUSTOMER, stretch(samples), other, CONFIG))
        assert (said.speech, said.overlap) == ((Span(0.0, 1.0),), 0.0)
        assert said.samples is samples


def test_a_stretch_without_speech_is_silence() -> None:
    nothing = Utterance(silence(1.0), RATE_HZ, 3.0, ())
    assert own_speech(Speaker.CUSTOMER, nothing, None, CONFIG) == NotHeard(3.0, 4.0, "silence")


def test_of_a_short_yes_beside_a_talking_agent_nothing_is_lost() -> None:
    for seed in range(12):
        agent = talk(2.0, seed=seed)
        yes = np.concatenate([silence(0.8), talk(0.35, seed=100 + seed, pitch_hz=150)])
        found = own_speech(
            Speaker.CUSTOMER, stretch(yes * np.float32(0.3), (0.8, 1.15)), stretch(agent), CONFIG
        )
        assert kept(found).overlap == 1


def test_rates_of_sixteen_kilohertz_are_heard_alike() -> None:
    agent = np.repeat(talk(2.0, seed=1), 2)
    wide = Utterance(agent, 2 * RATE_HZ, 0.0, (Span(0.0, 2.0),))
    quieter = Utterance(agent * np.float32(0.2), 2 * RATE_HZ, 0.0, (Span(0.0, 2.0),))
    assert reason(own_speech(Speaker.CUSTOMER, quieter, wide, CONFIG)) == "echo"
