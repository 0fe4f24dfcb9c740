"""A call over the seams: what goes on beside each other, and what stops at once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.screening_fakes import RATE_HZ
from persona_ray.config.screening import DialogueConfig, ScreeningConfig
from persona_ray.inference.screening import steps
from persona_ray.inference.screening.call import ScreeningCall
from persona_ray.inference.screening.records import (
    Known,
    Origin,
    Outcome,
    Standing,
)
from persona_ray.inference.screening.speaking import AHEAD_S, FRAME_S, pieces
from persona_ray.inference.screening.voice_so_far import VoiceSoFar
from tests.unit.inference.screening.phone import LONG, Parts, Phone, play, silent, sound
from tests.unit.inference.screening.played import CALL, ILLEGAL_VOICE

# --- the robot's voice -------------------------------------------------------------------------


@pytest.mark.parametrize("keeping_s", [0.0, 5.0])
def test_an_interrupted_robot_is_silent_within_200_ms(keeping_s: float) -> None:
    """Also where the store is slow just then."""
    began: list[float] = []

    async def interrupts(call: ScreeningCall, phone: Phone) -> None:
        while len(phone.frames) < 30:
            await asyncio.sleep(0.01)
        phone.keeping_s = keeping_s
        call.utterance(sound(1.0))
        await asyncio.sleep(2 * FRAME_S)
        began.append(phone.now_s())
        call.caller_speaks()
        await asyncio.sleep(20.0)
        phone.keeping_s = 0.0
        call.caller_left()

    verdict, phone, _ = play(interrupts)
    heard_until = max(at for at, one in phone.frames if one.saying == 1) + FRAME_S + AHEAD_S
    assert heard_until - began[0] <= 0.2
    assert phone.cleared
    # What had begun to sound is what was said.
    assert LONG.startswith(verdict.turns[0].text)
    assert 0 < len(verdict.turns[0].text) < len(LONG)


def test_sound_is_sent_hardly_sooner_than_it_is_heard() -> None:
    _, phone, _ = play(silent)
    first_s = phone.frames[0][0]
    sent_s = 0.0
    for at, one in phone.frames:
        if one.saying == 1:
            sent_s += len(one.samples) / one.rate_hz
            assert sent_s - (at - first_s) <= AHEAD_S + FRAME_S + 1e-6
    assert sent_s == pytest.approx(0.2 * len(LONG))


def test_goodbye_is_not_interrupted() -> None:
    async def talks_over_goodbye(call: ScreeningCall, phone: Phone) -> None:
        while "goodbye。" not in phone.said():
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        call.caller_speaks()

    verdict, _, _ = play(talks_over_goodbye)
    assert verdict.turns[-1].text == "goodbye。"
    assert verdict.outcome is Outcome.SCREENED


@given(st.text("您好，。？！、;abc ", min_size=1, max_size=60))
def test_pieces_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


# --- beside each other -------------------------------------------------------------------------


def test_a_voice_is_known_while_the_caller_still_talks() -> None:
    parts = Parts()
    parts.voice = ILLEGAL_VOICE

    async def talks(call: ScreeningCall, _: Phone) -> None:
        await asyncio.sleep(1.0)
        call.caller_speaks()
        for tenth in range(1, 100):
            await asyncio.sleep(0.1)
            call.so_far(sound(tenth / 10))

    verdict, phone, _ = play(talks, parts)
    assert verdict.outcome is Outcome.HUNG_UP
    assert verdict.decided_s == pytest.approx(4.0, abs=0.2)
    assert isinstance(phone.events[-2], steps.HangUp)


def test_a_voice_is_known_while_the_words_are_being_recognised() -> None:
    parts = Parts()
    parts.voice = ILLEGAL_VOICE
    parts.takes_s = {"ears": 5.0, "voices": 0.5}

    async def talks(call: ScreeningCall, _: Phone) -> None:
        await asyncio.sleep(1.0)
        call.utterance(sound(3.5))

    verdict, _, _ = play(talks, parts)
    assert verdict.decided_s == pytest.approx(1.5, abs=0.1)
    # The verdict waits for the words.
    assert [turn.text for turn in verdict.turns][-1] == "喂"


def test_what_was_found_before_the_call_is_not_asked_again() -> None:
    known = Known(CALL.number, Standing.ABNORMAL, "loans", "", "", Origin.REPORTS, None)
    choice = steps.Choice.MESSAGE
    verdict, phone, parts = play(silent, known=known, choice=choice)
    assert "sources" not in parts.asked
    assert [type(one) for one in phone.events][:2] == [steps.PickUp, steps.TakeMessage]
    assert verdict.category == "loans"


# --- what fails --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", ["sources", "voices", "ears", "categories", "robot", "mouth", "lines"]
)
@pytest.mark.parametrize("how", ["raises", "hangs"])
def test_no_part_is_needed(part: str, how: str) -> None:
    parts = Parts()
    if how == "raises":
        parts.raises = {part}
    else:
        parts.takes_s = {part: 1e9}

    async def talks(call: ScreeningCall, _: Phone) -> None:
        for _turn in range(8):
            await asyncio.sleep(12.0)
            call.utterance(sound(2.0))

    verdict, _, _ = play(talks, parts)
    assert verdict.outcome in (Outcome.SCREENED, Outcome.MESSAGE)
    # A set without lines is silent, too; it takes no time, so that it cannot hang.
    missing = "mouth" if part == "lines" else part
    assert (f"missing_{missing}" in verdict.evidence) == ((part, how) != ("lines", "hangs"))


def test_a_mistake_of_ours_breaks_the_call_off() -> None:
    parts = Parts()
    parts.judgement = "no judgement"

    async def talks(call: ScreeningCall, _: Phone) -> None:
        call.utterance(sound(2.0))
        await asyncio.sleep(1.0)
        call.utterance(sound(2.0))

    verdict, phone, _ = play(talks, parts)
    assert verdict.outcome is Outcome.BROKEN_OFF
    assert "the service failed" in verdict.reason
    assert isinstance(phone.events[-2], steps.EndCall)


def test_a_line_that_is_gone_is_a_caller_who_has_left() -> None:
    async def is_cut_off(_: ScreeningCall, phone: Phone) -> None:
        await asyncio.sleep(1.0)
        phone.gone = True

    verdict, _, _ = play(is_cut_off)
    assert verdict.outcome is Outcome.CALLER_LEFT
    assert "missing_mouth" not in verdict.evidence


def test_a_call_that_another_replica_has_is_left_to_it() -> None:
    async def goes_elsewhere(call: ScreeningCall, phone: Phone) -> None:
        await asyncio.sleep(1.0)
        phone.superseded = True
        call.utterance(sound(2.0))

    phone = Phone()
    with pytest.raises(RuntimeError, match="another replica"):
        play(goes_elsewhere, phone=phone)
    assert not any(isinstance(one, steps.Conclude) for one in phone.events)


def test_another_replica_goes_on_from_what_was_kept() -> None:
    async def talks(call: ScreeningCall, _: Phone) -> None:
        await asyncio.sleep(9.0)
        call.utterance(sound(2.0))
        await asyncio.sleep(3.0)
        call.caller_left()

    _, phone, _ = play(talks)
    middle = [state for state in phone.states if state["phase"] == "talking"][-1]

    async def goes_on(call: ScreeningCall, _: Phone) -> None:
        assert call.now_s >= middle["now_s"]
        await asyncio.sleep(4.0)
        call.utterance(sound(2.0))
        await asyncio.sleep(1.0)
        call.caller_left()

    verdict, _, parts = play(goes_on, kept=middle)
    assert [turn.text for turn in verdict.turns].count("喂") == 2
    assert LONG in [turn.text for turn in verdict.turns]
    assert "sources" not in parts.asked
    assert verdict.duration_s > middle["now_s"]


def test_what_comes_too_late_does_not_put_off_the_end() -> None:
    """The clock counts, however much there is to hear."""
    config = ScreeningConfig(dialogue=DialogueConfig(max_call_s=20.0))

    async def coughs(call: ScreeningCall, _: Phone) -> None:
        while True:
            call.caller_speaks()
            call.caller_quiet()
            await asyncio.sleep(0.05)

    verdict, _, _ = play(coughs, config=config)
    assert 20.0 <= verdict.duration_s <= 22.0


# --- the voice so far --------------------------------------------------------------------------


def test_a_voice_is_asked_for_when_there_is_more_of_it() -> None:
    voice = VoiceSoFar(3.0)
    assert voice.so_far(sound(2.9)) is None
    first = voice.so_far(sound(3.0))
    assert first is not None
    assert len(first) == 3 * RATE_HZ
    # One question at a time.
    assert voice.so_far(sound(9.0)) is None
    assert voice.answered(known=False) is None
    assert voice.so_far(sound(4.0)) is None
    assert voice.so_far(sound(4.6)) is not None
    assert voice.utterance(sound(5.0)) is None
    # It ended meanwhile, and is asked with as soon as the answer is there.
    again = voice.answered(known=False)
    assert again is not None
    assert len(again) == 5 * RATE_HZ
    assert voice.answered(known=True) is None
    assert voice.utterance(sound(5.0)) is None


def test_a_short_utterance_is_asked_with_and_a_long_call_is_not_heard_whole() -> None:
    voice = VoiceSoFar(3.0)
    asked = voice.utterance(sound(1.0))
    assert asked is not None
    for _ in range(9):
        voice.answered(known=False)
        asked = voice.utterance(sound(4.0))
    assert asked is not None
    assert len(asked) == 20 * RATE_HZ
