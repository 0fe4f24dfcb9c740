"""The demo of assistance: what it makes of a call that was played."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_ray.apps.assist_demo import DemoResult as Result
from persona_ray.apps.assist_demo import _shown, check
from persona_ray.apps.assist_demo_calls import Arrived, PlayedCall, fitting, read_planted
from persona_ray.conversation import Emotion, Speaker
from persona_ray.errors import ConfigError, ServiceError
from persona_ray.evaluation.report.assisted import AssistedPage, render_assisted
from persona_ray.serving.assist.protocol import (
    CallEnded,
    KeywordFelt,
    Pushed,
    ShownScript,
    TurnHeard,
)
from persona_ray.synth.assist.calls import read_calls

CALLS = Path("demo/assist")
TIMINGS = {"ended": 0.6, "hearing": 0.2}


def played(emotion: Emotion | None = None, fits: bool = True) -> PlayedCall:
    """The first shipped call as a perfect service hears it; `emotion`: what it always finds."""
    script = read_calls(CALLS).calls[0]
    call = PlayedCall(script, read_planted(CALLS, script.id))
    seq = 0
    for row in call.planted:
        if row.speaker is Speaker.AGENT:
            continue
        seq += 2
        found = emotion or Emotion(row.emotion)
        felt = KeywordFelt(text="好", start=1, end=2, emotion=Emotion.PLEASED, probability=0.9)
        turn = TurnHeard(
            seq=seq - 1,
            speaker=row.speaker,
            text="<好>",
            start_s=row.start_s + 0.1,
            end_s=row.end_s + 0.2,
            emotion=found,
            valence=-0.5,
            keywords=(felt,),
        )
        names = ("x", row.fits[0]) if fits else ("x", "y")
        shown = tuple(ShownScript(script_id=n, text=n, topic="", style="") for n in names)
        push = Pushed(
            seq=seq,
            push_id=f"p{seq}",
            turn_seq=seq - 1,
            scripts=shown,
            because=("relation=question",),
            expires_in_s=5,
            timings_s=TIMINGS,
        )
        call.arrived += [Arrived(turn), Arrived(push, 0.9 + seq / 1000)]
    call.arrived.append(Arrived(CallEnded(seq=seq + 1, duration_s=51.0, turns=seq, pushes=seq)))
    return call


def test_a_call_as_it_was_planted_is_shown_as_it_was_and_nothing_is_wrong() -> None:
    call = _shown(played())
    assert call.wrong == []
    page = AssistedPage([call], "models", 1.0)
    assert page.moods == (len(call.moods), len(call.moods))
    assert page.fitting == (len(call.pushes), len(call.pushes))
    assert {push.fits for push in call.pushes} == {2}
    first = call.pushes[0]
    assert first.stages_s == pytest.approx({**TIMINGS, "device": first.after_s - 0.8})
    # Of six pushes the slowest is the one within which 95 % came.
    assert page.within_s(0.95) == max(push.after_s for push in call.pushes)
    html = render_assisted(page)
    assert '&lt;<span class="felt pleased" title="pleased">好</span>&gt;' in html


def test_what_went_otherwise_is_told_and_the_command_fails() -> None:
    wrong = _shown(played(Emotion.ANGRY, fits=False))
    told = " ".join(wrong.wrong)
    assert "more moods as planted than 0" in told
    assert "more scripts that suit than after 0" in told
    deaf = played()
    deaf.arrived = deaf.arrived[:2]
    assert any("sentences of the customer, not 1" in one for one in _shown(deaf).wrong)
    assert "that its end is told" in _shown(deaf).wrong
    with pytest.raises(ServiceError, match="more moods"):
        check(Result(AssistedPage([wrong], "", 1.0), Path("report.html")))


def test_whether_a_script_suits_is_not_known_of_what_nobody_planted() -> None:
    (push,) = [one.event for one in played().arrived if isinstance(one.event, Pushed)][:1]
    assert fitting(push, None) is None


def test_a_folder_without_truth_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="synth assist-calls"):
        read_planted(tmp_path, "busy")
