"""Screened calls, step by step: who speaks when, and how each ends."""

from __future__ import annotations

from typing import Any

import pytest

from persona_ray.inference.screening import steps
from persona_ray.inference.screening.policy import Action, Wishes
from persona_ray.inference.screening.reasons import in_english
from persona_ray.inference.screening.records import (
    LineKind,
    NotEnoughSpeech,
    NotListed,
    Outcome,
    Standing,
    VoiceUnknown,
)
from persona_ray.inference.screening.steps import Choice, Part
from tests.unit.inference.screening.played import (
    ABNORMAL_VOICE,
    ILLEGAL_VOICE,
    Played,
    kinds,
    known,
)

# --- by number ---------------------------------------------------------------------------------


def test_a_contact_is_put_through_and_shown() -> None:
    play = Played()
    shown = play.feed(steps.SourceFound, known(Standing.NORMAL))[0]
    assert isinstance(shown, steps.Pass)
    assert (shown.name, shown.category) == ("Li", "")
    assert in_english(shown.reasons) == "the number is in the shared normal set"
    assert play.verdict.outcome is Outcome.PASSED
    assert play.verdict.decided_s == 1.0


def test_an_illegal_number_is_not_answered() -> None:
    play = Played()
    play.feed(steps.SourceFound, known(Standing.ILLEGAL, "refund_fraud"))
    assert play.count(steps.PickUp) == 0
    assert (play.verdict.outcome, play.verdict.category) == (Outcome.REJECTED, "refund_fraud")


@pytest.mark.parametrize(
    ("choice", "outcome"), [(Choice.PASS, Outcome.PASSED), (Choice.REJECT, Outcome.REJECTED)]
)
def test_the_user_is_asked_with_the_reason(choice: Choice, outcome: Outcome) -> None:
    play = Played()
    (asked,) = play.feed(steps.SourceFound, known(Standing.ABNORMAL, "loans"))
    assert isinstance(asked, steps.AskUser)
    assert (asked.category, asked.name, asked.longest_s) == ("loans", "Li", 20.0)
    assert in_english(asked.reasons) == "the number is in the shared abnormal set for loans"
    play.feed(steps.UserAnswered, choice)
    assert play.verdict.outcome is outcome
    assert play.verdict.standing is Standing.ABNORMAL


def test_a_user_who_was_asked_before_is_not_asked_again() -> None:
    play = Played()
    given = play.feed(steps.SourceFound, known(Standing.ABNORMAL), Choice.SCREEN)
    assert kinds(given) == [steps.PickUp, steps.Say]


@pytest.mark.parametrize(
    ("no_answer", "expected"),
    [
        ("screen", [steps.PickUp, steps.Say]),
        ("message", [steps.PickUp, steps.TakeMessage, steps.Say]),
        ("pass", [steps.Pass, steps.Conclude]),
        ("reject", [steps.Reject, steps.Conclude]),
    ],
)
def test_a_user_who_does_not_answer(no_answer: str, expected: list[type[Any]]) -> None:
    play = Played(policy={"on_no_answer": no_answer})
    play.feed(steps.SourceFound, known(Standing.ABNORMAL))
    assert play.feed(steps.Ticked, after_s=19.9) == ()
    assert kinds(play.feed(steps.Ticked, after_s=0.2)) == expected


def test_sets_that_are_away_screen_the_call() -> None:
    play = Played()
    assert kinds(play.feed(steps.PartFailed, Part.SOURCES)) == [steps.PickUp, steps.Say]
    play.feed(steps.CallerLeft)
    assert play.verdict.evidence["missing_sources"] == 1
    assert play.verdict.reason.endswith("without an answer from: sources")


# --- the dialogue ------------------------------------------------------------------------------


def test_a_dialogue_up_to_its_limit() -> None:
    play = Played(dialogue={"max_turns": 2}).picked_up()
    assert kinds(play.says("喂")) == [steps.NoteTurn, steps.Judge]
    assert kinds(play.judged(promotion=0.5)) == [steps.ChooseAnswer]
    assert play.answered() == (steps.Say(2, None, "请您接着说。"),)
    assert kinds(play.spoken("请您接着说。")) == [steps.NoteTurn, steps.Listen]
    play.says("有个活动")
    (goodbye,) = play.judged(promotion=0.7)
    assert goodbye == steps.Say(3, LineKind.GOODBYE, "")
    play.spoken("再见")
    verdict = play.verdict
    assert [turn.text for turn in verdict.turns] == [
        "请讲",
        "喂",
        "请您接着说。",
        "有个活动",
        "再见",
    ]
    assert (verdict.outcome, verdict.category) == (Outcome.SCREENED, "promotion")
    # It is what the call seems to be; nothing was decided.
    assert verdict.decided_s is None
    assert verdict.models == {"voice": "ge2e 1", "category": "m 1"}


def test_the_caller_interrupts_the_robot() -> None:
    play = Played().picked_up()
    play.says("喂")
    play.judged(promotion=0.5)
    play.answered("请问您找谁？有什么事情？")
    play.feed(steps.Speaking, 2, "请问您找谁？")
    stopped = play.feed(steps.CallerSpeaks)
    assert stopped[0] == steps.StopSpeaking(2)
    # What had begun to sound is what the caller heard.
    assert isinstance(stopped[1], steps.NoteTurn)
    assert stopped[1].turn.text == "请问您找谁？"
    assert play.feed(steps.Spoken, 2) == ()
    play.utterances += 1
    play.feed(steps.UtteranceEnded, 2, 8.0, 9.0)
    assert kinds(play.feed(steps.Recognized, 2, "找您")) == [steps.NoteTurn, steps.Judge]


def test_an_answer_that_comes_while_the_caller_talks_is_left_out() -> None:
    play = Played().picked_up()
    play.says("喂")
    play.judged(promotion=0.5)
    play.feed(steps.CallerSpeaks)
    assert play.answered() == ()
    # He had only coughed: the answer is chosen anew.
    assert kinds(play.feed(steps.CallerQuiet)) == [steps.ChooseAnswer]


def test_what_is_said_while_an_answer_is_chosen_is_answered_with_it() -> None:
    play = Played().picked_up()
    play.says("喂")
    play.judged(promotion=0.5)
    first = play.last(steps.ChooseAnswer)
    play.says("您的快递到了")
    assert play.feed(steps.RobotAnswered, first.answering, "您好") == ()
    play.judged(promotion=0.5)
    assert [turn.text for turn in play.last(steps.ChooseAnswer).turns][1:] == ["喂", "您的快递到了"]


def test_utterances_recognised_out_of_order_are_turns_in_order() -> None:
    play = Played().picked_up()
    play.feed(steps.UtteranceEnded, 1, 2.0, 3.0)
    play.feed(steps.UtteranceEnded, 2, 4.0, 5.0)
    play.feed(steps.Recognized, 2, "second")
    play.feed(steps.Recognized, 1, "first")
    assert [turn.text for turn in play.last(steps.Judge).turns] == ["请讲", "first", "second"]


def test_silence_is_asked_about_and_then_ended() -> None:
    play = Played().picked_up()
    assert play.feed(steps.Ticked, after_s=5.9) == ()
    assert play.feed(steps.Ticked, after_s=0.2) == (steps.Say(2, LineKind.SILENCE, ""),)
    play.spoken("您还在吗")
    assert play.feed(steps.Ticked, after_s=6.0) == (steps.Say(3, LineKind.GOODBYE, ""),)
    play.spoken("再见")
    assert play.verdict.outcome is Outcome.SCREENED
    assert "the caller said nothing more" in play.verdict.reason


def test_words_begin_the_count_of_silences_anew() -> None:
    play = Played().picked_up()
    play.feed(steps.Ticked, after_s=6.0)
    play.spoken()
    play.says("在")
    play.judged(promotion=0.5)
    play.answered()
    play.spoken()
    assert play.feed(steps.Ticked, after_s=6.0)[0] == steps.Say(4, LineKind.SILENCE, "")


def test_what_was_not_made_out_is_asked_for_again() -> None:
    play = Played().picked_up()
    assert play.says("  ") == (steps.Say(2, LineKind.REPEAT, ""),)


def test_the_longest_call_is_ended_with_a_goodbye() -> None:
    play = Played(dialogue={"max_call_s": 30.0, "silence_s": 60.0}).picked_up()
    assert play.feed(steps.Ticked, after_s=31.0) == (steps.Say(2, LineKind.GOODBYE, ""),)


# --- decisions ---------------------------------------------------------------------------------


def test_an_illegal_voice_is_hung_up_on_in_mid_sentence() -> None:
    play = Played()
    play.feed(steps.SourceFound, NotListed())
    play.feed(steps.Speaking, 1, "您好")
    given = play.feed(steps.VoiceJudged, ILLEGAL_VOICE)
    assert kinds(given) == [
        steps.Tell,
        steps.StopSpeaking,
        steps.NoteTurn,
        steps.HangUp,
        steps.Conclude,
    ]
    assert play.verdict.outcome is Outcome.HUNG_UP
    assert play.verdict.evidence["voice_margin"] == 0.2


def test_what_an_illegal_caller_said_last_is_in_the_verdict() -> None:
    play = Played().picked_up()
    play.feed(steps.UtteranceEnded, 1, 2.0, 3.0)
    given = play.feed(steps.VoiceJudged, ILLEGAL_VOICE)
    assert kinds(given) == [steps.Tell, steps.HangUp]
    assert kinds(play.feed(steps.Recognized, 1, "转账")) == [steps.NoteTurn, steps.Judge]
    play.judged(account_fraud=0.9)
    assert [turn.text for turn in play.verdict.turns] == ["请讲", "转账"]


def test_an_unknown_voice_changes_nothing_and_a_match_stays() -> None:
    play = Played().picked_up()
    assert play.feed(steps.VoiceJudged, NotEnoughSpeech(1, 3)) == ()
    assert play.feed(steps.VoiceJudged, VoiceUnknown(0.4)) == ()
    (told,) = play.feed(steps.VoiceJudged, ABNORMAL_VOICE)
    assert isinstance(told, steps.Tell)
    assert (told.standing, told.category) == (Standing.ABNORMAL, "promotion")
    assert play.feed(steps.VoiceJudged, NotEnoughSpeech(1, 3)) == ()
    play.feed(steps.CallerLeft)
    assert play.verdict.voice == ABNORMAL_VOICE


def test_an_abnormal_voice_goes_on_by_policy() -> None:
    play = Played(policy={"on_abnormal_voice": "message"}).picked_up()
    given = play.feed(steps.VoiceJudged, ABNORMAL_VOICE)
    assert kinds(given) == [steps.Tell, steps.TakeMessage, steps.Say]


def test_fraud_is_hung_up_on_once_it_is_worth_it() -> None:
    play = Played().picked_up()
    play.says("您好")
    assert kinds(play.judged(account_fraud=0.6)) == [steps.ChooseAnswer]
    play.answered()
    play.spoken()
    play.says("请转账")
    assert kinds(play.judged(account_fraud=0.98))[-2:] == [steps.HangUp, steps.Conclude]
    verdict = play.verdict
    assert (verdict.outcome, verdict.category) == (Outcome.HUNG_UP, "account_fraud")
    assert verdict.decided_s == play.at_s
    assert verdict.evidence["p_illegal"] > verdict.evidence["hang_up_from"]


def test_a_wanted_category_is_put_through() -> None:
    play = Played().picked_up()
    play.says("您的快递")
    assert isinstance(play.judged(delivery=0.95)[1], steps.Pass)
    assert play.verdict.outcome is Outcome.PASSED


def test_or_leaves_a_message() -> None:
    play = Played(Wishes(frozenset({"delivery"}), Action.MESSAGE)).picked_up()
    play.says("您的快递")
    given = play.judged(delivery=0.95)
    assert kinds(given) == [steps.Tell, steps.TakeMessage, steps.Say]
    play.spoken("请留言")
    play.says("放在门口了")
    assert kinds(play.judged(delivery=0.97)) == [steps.Listen]
    assert play.feed(steps.Ticked, after_s=6.0) == (steps.Say(3, LineKind.GOODBYE, ""),)
    play.spoken("再见")
    assert play.verdict.outcome is Outcome.MESSAGE


def test_who_is_asked_for_a_message_and_leaves_has_left_none() -> None:
    play = Played(Wishes(frozenset({"delivery"}), Action.MESSAGE)).picked_up()
    play.says("您的快递")
    play.judged(delivery=0.95)
    play.feed(steps.CallerLeft)
    assert play.verdict.outcome is Outcome.CALLER_LEFT


def test_the_user_may_take_or_end_the_call_at_any_time() -> None:
    for choice, outcome in ((Choice.PASS, Outcome.PASSED), (Choice.REJECT, Outcome.REJECTED)):
        play = Played().picked_up()
        play.feed(steps.UserAnswered, choice)
        assert play.verdict.outcome is outcome
