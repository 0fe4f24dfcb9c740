"""What a session makes of parts that give no answer, and of a replica that died."""

from __future__ import annotations

import json

import pytest

from persona_ray.errors import RequestError
from persona_ray.inference.screening import steps
from persona_ray.inference.screening.reasons import Reason, ReasonCode
from persona_ray.inference.screening.records import (
    CategoryJudgement,
    LineKind,
    Outcome,
    Standing,
    VoiceMatch,
)
from persona_ray.inference.screening.session import Session, end_so_far
from persona_ray.inference.screening.steps import Choice, Command, Part
from tests.unit.inference.screening.played import ABNORMAL_VOICE, CALL, Played, kinds, known

# --- parts that fail ---------------------------------------------------------------------------


def test_a_deaf_recogniser_leaves_a_message() -> None:
    play = Played().picked_up()
    play.feed(steps.UtteranceEnded, 1, 1.0, 2.0)
    assert play.feed(steps.PartFailed, Part.EARS, 1)[0] == steps.Say(2, LineKind.REPEAT, "")
    play.spoken()
    play.feed(steps.UtteranceEnded, 2, 1.0, 2.0)
    assert kinds(play.feed(steps.PartFailed, Part.EARS, 2)) == [steps.TakeMessage, steps.Say]
    play.feed(steps.UtteranceEnded, 3, 5.0, 6.0)
    play.feed(steps.CallerLeft)
    play.feed(steps.PartFailed, Part.EARS, 3)
    assert play.verdict.outcome is Outcome.MESSAGE
    assert play.verdict.evidence["missing_ears"] == 3


def test_the_talk_goes_on_without_model_robot_or_mouth() -> None:
    play = Played().picked_up()
    play.says("喂")
    failed = play.feed(steps.PartFailed, Part.CATEGORIES, play.last(steps.Judge).judging)
    assert kinds(failed) == [steps.ChooseAnswer]
    failed = play.feed(steps.PartFailed, Part.ROBOT, play.last(steps.ChooseAnswer).answering)
    assert failed == (steps.Say(2, LineKind.REPEAT, ""),)
    assert kinds(play.feed(steps.PartFailed, Part.MOUTH, 2)) == [steps.Listen]
    play.feed(steps.PartFailed, Part.VOICES, 0)
    play.feed(steps.CallerLeft)
    assert play.verdict.category == ""
    assert "without an answer from: categories, mouth, robot, voices" in play.verdict.reason


def test_numbers_that_are_none_are_no_answer() -> None:
    play = Played().picked_up()
    play.says("喂")
    broken = CategoryJudgement({"account_fraud": float("nan"), "other": 0.1}, 1, "m 1")
    number = play.last(steps.Judge).judging
    assert kinds(play.feed(steps.CategoryJudged, number, broken)) == [steps.ChooseAnswer]
    match = VoiceMatch("v1", "account_fraud", Standing.ILLEGAL, float("nan"), 0.2)
    assert play.feed(steps.VoiceJudged, match) == ()
    play.feed(steps.CallerLeft)
    assert {"missing_categories", "missing_voices"} <= set(play.verdict.evidence)


def test_an_answer_that_never_comes_is_not_waited_for() -> None:
    play = Played(dialogue={"part_s": 2.0}).picked_up()
    play.says("喂")
    assert kinds(play.feed(steps.Ticked, after_s=3.1)) == [steps.ChooseAnswer]
    assert play.feed(steps.Ticked, after_s=3.1) == (steps.Say(2, LineKind.REPEAT, ""),)


def test_the_verdict_waits_for_what_was_said_last_but_not_for_ever() -> None:
    play = Played(dialogue={"part_s": 2.0}).picked_up()
    play.feed(steps.UtteranceEnded, 1, 1.0, 2.0)
    assert play.feed(steps.CallerLeft) == ()
    assert play.feed(steps.Ticked, after_s=2.9) == ()
    play.feed(steps.Ticked, after_s=0.2)
    assert play.verdict.outcome is Outcome.CALLER_LEFT
    assert play.verdict.evidence["missing_ears"] == 1


# --- replicas that die -------------------------------------------------------------------------


def revived(play: Played) -> tuple[Command, ...]:
    kept = json.loads(json.dumps(play.session.dump(), allow_nan=False))
    play.session, commands = Session.resume(kept, play.config)
    play.all += commands
    return commands


def test_another_replica_goes_on_where_the_dead_one_was() -> None:
    play = Played()
    assert revived(play) == (steps.LookUp(),)
    play.feed(steps.SourceFound, known(Standing.ABNORMAL, "loans"))
    play.feed(steps.Ticked, after_s=5.0)
    (asked,) = revived(play)
    assert isinstance(asked, steps.AskUser)
    assert asked.longest_s == 15.0
    play.feed(steps.UserAnswered, Choice.SCREEN)
    play.feed(steps.Speaking, 1, "您")
    assert revived(play) == (steps.Say(2, LineKind.OPENING, ""),)
    play.spoken("您好")
    play.says("喂")
    assert kinds(revived(play)) == [steps.Judge]
    play.judged(promotion=0.6)
    assert kinds(revived(play)) == [steps.ChooseAnswer]
    play.answered("哪位？")
    assert revived(play) == (steps.Say(4, None, "哪位？"),)
    play.spoken("哪位？")
    play.feed(steps.VoiceJudged, ABNORMAL_VOICE)
    assert revived(play) == (steps.Listen(),)
    play.feed(steps.CallerLeft)
    verdict = play.verdict
    assert [turn.text for turn in verdict.turns] == ["您好", "喂", "哪位？"]
    assert (verdict.voice, verdict.category) == (ABNORMAL_VOICE, "promotion")
    assert verdict.call == CALL


def test_an_utterance_that_died_with_its_replica_is_listened_for_again() -> None:
    play = Played().picked_up()
    play.feed(steps.UtteranceEnded, 1, 1.0, 2.0)
    assert revived(play) == (steps.Listen(),)
    assert play.session.last_utterance == 1
    play.utterances = 1
    assert kinds(play.says("再说一遍")) == [steps.NoteTurn, steps.Judge]


def test_the_verdict_of_a_call_that_nobody_goes_on_with() -> None:
    play = Played().picked_up()
    play.says("喂")
    last = end_so_far(play.session.dump(), play.config, ReasonCode.LINE_LOST)[-1]
    assert isinstance(last, steps.Conclude)
    verdict = last.verdict
    assert verdict.outcome is Outcome.BROKEN_OFF
    assert verdict.reasons == (Reason(ReasonCode.LINE_LOST),)
    assert [turn.text for turn in verdict.turns] == ["请讲", "喂"]


def test_what_another_release_kept_is_refused() -> None:
    play = Played()
    with pytest.raises(RequestError, match="changed since the call began"):
        Session.resume({**play.session.dump(), "version": 0}, play.config)
    with pytest.raises(RequestError, match="changed since the call began"):
        Session.resume({"phase": "talking"}, play.config)


def test_a_call_that_has_ended_gives_its_verdict_once_more() -> None:
    play = Played().picked_up()
    play.says("喂")
    play.judged(promotion=0.5)
    play.feed(steps.CallerLeft)
    before = play.verdict
    kept = json.loads(json.dumps(play.session.dump()))
    session, (again,) = Session.resume(kept, play.config, None, {"voice": "ge2e 1"})
    assert again == steps.Conclude(before)
    assert session.feed(steps.CallerLeft(99.0)) == ()
    (once_more,) = end_so_far(kept, play.config, ReasonCode.LINE_LOST)
    assert isinstance(once_more, steps.Conclude)
    assert once_more.verdict.outcome is Outcome.CALLER_LEFT
