"""By number, by voice, by words: what the issue of a call is, and what it never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.inference.screening.early import Step
from persona_ray.inference.screening.policy import (
    Action,
    Policy,
    Wishes,
    illegal_probability,
)
from persona_ray.inference.screening.records import (
    CategoryJudgement,
    Known,
    NotEnoughSpeech,
    NotListed,
    Origin,
    Standing,
    VoiceMatch,
    VoiceUnknown,
)

CONFIG = PolicyConfig()
POLICY = Policy(CONFIG)
GO_ON = Step(hang_up=False, armed=False, threshold=0.9)
STOP = Step(hang_up=True, armed=True, threshold=0.9)


def known(standing: Standing, category: str = "", owner: str = "") -> Known:
    return Known("+861", standing, category, "Li", owner, Origin.USER, None)


def voice(standing: Standing, category: str) -> VoiceMatch:
    return VoiceMatch("v", category, standing, 0.9, 0.1)


def judged(**probabilities: float) -> CategoryJudgement:
    rest = 1 - sum(probabilities.values())
    return CategoryJudgement({**probabilities, "other": rest}, 1, "m 1")


@pytest.mark.parametrize(
    ("source", "action"),
    [
        (known(Standing.NORMAL), Action.PASS),
        (known(Standing.ILLEGAL), Action.REJECT),
        (known(Standing.ABNORMAL, "loans"), Action.ASK),
        (known(Standing.ABNORMAL, "delivery"), Action.PASS),
        # Whoever is in the illegal set says what he likes.
        (known(Standing.ILLEGAL, "delivery"), Action.REJECT),
        (NotListed(), Action.SCREEN),
    ],
)
def test_source(source: Known | NotListed, action: Action) -> None:
    assert POLICY.by_source(source).action is action


def test_a_known_caller_is_shown_with_the_reason() -> None:
    decision = POLICY.by_source(known(Standing.ABNORMAL, "loans", owner="u1"))
    assert (decision.name, decision.category) == ("Li", "loans")
    assert "your own abnormal set for loans" in decision.reason


def test_a_user_who_wants_messages_gets_messages() -> None:
    wishes = Wishes(frozenset({"loans"}), Action.MESSAGE)
    policy = Policy(CONFIG, wishes)
    assert policy.by_source(known(Standing.ABNORMAL, "loans")).action is Action.MESSAGE
    assert policy.by_source(known(Standing.ABNORMAL, "delivery")).action is Action.ASK
    assert policy.by_category(judged(loans=0.95), GO_ON).action is Action.MESSAGE


def test_no_wish_makes_a_fraud_pass() -> None:
    policy = Policy(CONFIG, Wishes(frozenset({"refund_fraud"}), Action.PASS))
    assert policy.by_source(known(Standing.ABNORMAL, "refund_fraud")).action is Action.ASK
    assert policy.by_category(judged(refund_fraud=0.97), GO_ON).action is Action.SCREEN


@pytest.mark.parametrize("verdict", [NotEnoughSpeech(1, 3), VoiceUnknown(0.4), VoiceUnknown(None)])
def test_no_match_decides_nothing(verdict: NotEnoughSpeech | VoiceUnknown) -> None:
    decision = POLICY.by_voice(verdict)
    assert (decision.action, decision.standing) == (Action.SCREEN, None)


@pytest.mark.parametrize("choice", ["message", "screen", "end"])
def test_voices(choice: str) -> None:
    policy = Policy(PolicyConfig.model_validate({"on_abnormal_voice": choice}))
    assert policy.by_voice(voice(Standing.ILLEGAL, "delivery")).action is Action.HANG_UP
    abnormal = policy.by_voice(voice(Standing.ABNORMAL, "promotion"))
    assert (abnormal.action, abnormal.category) == (Action(choice), "promotion")
    assert "score 0.90, 0.10 above any other" in abnormal.reason
    assert policy.by_voice(voice(Standing.NORMAL, "personal")).action is Action.SCREEN
    assert policy.by_voice(voice(Standing.NORMAL, "delivery")).action is Action.PASS


def test_words_of_an_abnormal_voice_do_not_put_it_through() -> None:
    said = judged(delivery=0.97)
    assert POLICY.by_category(said, GO_ON).action is Action.PASS
    abnormal = voice(Standing.ABNORMAL, "promotion")
    assert POLICY.by_category(said, GO_ON, abnormal).action is Action.MESSAGE


@pytest.mark.parametrize(
    ("said", "action", "standing"),
    [
        (judged(delivery=0.6, ride=0.3), Action.PASS, Standing.NORMAL),
        (judged(delivery=0.9, refund_fraud=0.06), Action.SCREEN, None),
        (judged(promotion=0.5, loans=0.4), Action.END, Standing.ABNORMAL),
        (judged(promotion=0.5, personal=0.4), Action.SCREEN, None),
        (judged(personal=0.9), Action.MESSAGE, Standing.NORMAL),
        (judged(account_fraud=0.99), Action.SCREEN, None),
        # That it is nothing in particular is no reason to stop asking.
        (judged(personal=0.1), Action.SCREEN, None),
        (judged(a_new_category=1.0), Action.SCREEN, None),
    ],
)
def test_categories(said: CategoryJudgement, action: Action, standing: Standing | None) -> None:
    decision = POLICY.by_category(said, GO_ON)
    assert (decision.action, decision.standing) == (action, standing)


def test_hanging_up_names_the_likeliest_fraud() -> None:
    decision = POLICY.by_category(judged(refund_fraud=0.4, account_fraud=0.3, delivery=0.3), STOP)
    assert decision.action is Action.HANG_UP
    assert (decision.standing, decision.category) == (Standing.ILLEGAL, "refund_fraud")
    assert "refund_fraud or another fraud with probability 0.70" in decision.reason


@given(st.dictionaries(st.sampled_from(sorted(CONFIG.categories)), st.floats(0.001, 1), min_size=1))
def test_words_hang_up_by_the_early_rule_alone(weights: dict[str, float]) -> None:
    total = sum(weights.values())
    said = CategoryJudgement({name: w / total for name, w in weights.items()}, 1, "m 1")
    assert POLICY.by_category(said, GO_ON).action is not Action.HANG_UP
    decision = POLICY.by_category(said, GO_ON)
    if decision.action is Action.PASS:
        assert illegal_probability(said.probabilities, CONFIG) < CONFIG.pass_illegal_below
