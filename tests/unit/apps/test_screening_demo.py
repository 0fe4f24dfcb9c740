"""The demo of screening: its script, what it makes of calls, the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile

from persona_ray.apps import screening_here, screening_models
from persona_ray.apps.screening_demo import PAGE, DemoResult, check, run_demo, told_of, wrong_of
from persona_ray.apps.screening_demo_calls import MadeCall, Player
from persona_ray.config import load_config
from persona_ray.errors import ConfigError, ServiceError
from persona_ray.evaluation.report.screened import ScreenedPage, ScreenedRow, render_screened
from persona_ray.progress import SilentProgress
from persona_ray.serving.screening.models import Models, VoiceSeen
from persona_ray.store import open_store
from persona_ray.synth.callers import CallScript, ScriptedCall, read_script, read_turn, turn_files
from tests.unit.serving.live.sounds import talk
from tests.unit.serving.screening.conftest import loud
from tests.unit.serving.screening.parts import FRAUD as FRAUD_TEXT
from tests.unit.serving.screening.parts import FakeVoices, fakes

__all__ = ["loud"]

Told = Sequence[tuple[str, dict[str, Any]]]
VERDICT: Told = [("verdict", {})]


def made(
    expect: dict[str, Any],
    detail: dict[str, Any],
    notices: Told = VERDICT,
    recording: bytes = b"OggS",
    connections: int = 1,
    answer: str = "",
) -> MadeCall:
    call = ScriptedCall.model_validate(
        {"id": "k", "about": "", "number": "", "answer": answer, "expect": expect}
    )
    whole = {"outcome": "", "standing": "", "category": "", "voice": None, "probabilities": None}
    return MadeCall(call, {}, whole | detail, notices, recording, connections)


FRAUD = {"outcome": "hung_up", "standing": "illegal", "category": "account_fraud"}
ILLEGAL_VOICE = {"kind": "VoiceMatch", "standing": "illegal"}


@pytest.mark.parametrize(
    ("by", "detail", "connections", "answer"),
    [
        ("words", {"probabilities": {"account_fraud": 0.9}}, 1, ""),
        ("voice", {"voice": ILLEGAL_VOICE, "probabilities": {"delivery": 0.9}}, 1, ""),
        ("number", {}, 0, ""),
        ("user", {}, 1, "reject"),
    ],
)
def test_a_call_that_went_as_expected_has_nothing_wrong(
    by: str, detail: dict[str, Any], connections: int, answer: str
) -> None:
    call = made(FRAUD | {"by": by}, FRAUD | detail, connections=connections, answer=answer)
    assert list(wrong_of(call)) == []


def test_what_went_otherwise_is_named() -> None:
    """Each of the expectations can fail by itself."""
    heard = FRAUD | {"probabilities": {"account_fraud": 0.9}}
    words = FRAUD | {"by": "words"}
    assert list(wrong_of(made(words, heard | {"outcome": "passed"}))) == ["outcome hung_up"]
    assert list(wrong_of(made(words, heard | {"category": "loans"}))) == ["category account_fraud"]
    assert list(wrong_of(made(FRAUD | {"by": "voice"}, heard))) == ["decided by voice, not words"]
    unknown = made(words | {"voice": "abnormal"}, heard | {"voice": {"kind": "VoiceUnknown"}})
    assert list(wrong_of(unknown)) == ["an abnormal voice of the libraries"]
    assert list(wrong_of(made(words, heard, [("screen", {})]))) == [
        "the user is told of the verdict"
    ]
    assert list(wrong_of(made(words, heard, recording=b""))) == ["a recording behind its link"]


def test_what_the_user_is_told_is_said_once() -> None:
    verdict = {"outcome": "message", "standing": "normal", "category": "delivery", "reason": "B"}
    notices: Told = [
        ("ask", {"category": "promotion", "name": "", "reason": "R"}),
        ("screen", {"category": "promotion", "standing": "abnormal", "reason": "A"}),
        ("screen", {"category": "delivery", "standing": "normal", "reason": "B"}),
        ("verdict", verdict),
    ]
    call = made(FRAUD | {"by": "words"}, {}, notices)
    shown = MadeCall(call.script, {"name": "妈妈"}, call.detail, notices, b"", 1)
    assert list(told_of(shown)) == [
        "妈妈 is calling",
        "what shall be done? R",
        "taken for promotion: A",
        "message (normal delivery): B",
    ]


class LearningVoices(FakeVoices):
    """Notes whose voices are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.learnt: list[str] = []

    async def learn(self, samples: Any, rate_hz: int, seen: VoiceSeen) -> bool:
        assert len(samples) > rate_hz
        self.learnt.append(seen.category)
        return True


@pytest.mark.usefixtures("loud")
def test_calls_are_made_over_the_services_own_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fraud with sound, then the same number again, which is known by then; models are fakes."""
    config = load_config(None, [f"workspace={tmp_path / 'out'}"])
    (tmp_path / "out").mkdir()
    soundfile.write(tmp_path / "fraud-1.ogg", talk((0.5, 2.0)), 8000)
    fraud = {"about": "", "number": "+8613800138011", "caller": "anna"}
    script = CallScript.model_validate(
        {
            "user": "li",
            "callers": {"anna": {"sex": "female", "timbre": {"zf_xiaobei": 1.0}}},
            "calls": [
                fraud | {"id": "fraud", "says": ["x"], "expect": FRAUD | {"by": "words"}},
                fraud
                | {
                    "id": "again",
                    "round": 2,
                    "expect": FRAUD | {"outcome": "rejected", "by": "number"},
                },
            ],
        }
    )
    fake, voices = fakes(config, FRAUD_TEXT), LearningVoices()
    names = dict.fromkeys(("ears", "voices", "categories", "robot", "mouth"), "fake 1")
    models = Models(names, fake.ears, voices, fake.categories, fake.robot, fake.mouth)
    monkeypatch.setattr(screening_here, "choose_category", lambda _: None)
    monkeypatch.setattr(screening_here, "find_bundle", lambda *_: None)
    monkeypatch.setattr(screening_models, "load_models", lambda *_: models)
    with open_store(config.store_url) as store:
        key = store.keys.create("li", ("screen", "screening")).token
    with (
        screening_here.screening_here(config) as address,
        SilentProgress().stage("calls", 2) as stage,
    ):
        player = Player(address, key, script, tmp_path, 2)
        calls = asyncio.run(player.play(stage))
    assert [list(wrong_of(call)) for call in calls] == [[], []]
    assert calls[0].connections == 1
    assert voices.learnt == ["account_fraud"]


def row(**changes: Any) -> ScreenedRow:
    fields: dict[str, Any] = {
        "call_id": "k",
        "about": "a <b>fraud</b>",
        "outcome": "hung up",
        "standing": "illegal",
        "category": "account_fraud",
        "decided_s": 12.34,
        "told": ["hung up"],
        "turns": [("caller", "<script>alert(1)</script>")],
        "recording": "recordings/k.ogg",
        "wrong": [],
    }
    return ScreenedRow(**fields | changes)


def test_the_page_shows_calls_and_runs_nothing_that_was_said() -> None:
    page = render_screened(ScreenedPage([row()], {"ears": "whisper base"}, ["a note"], 60.0))
    assert "All went as expected" in page
    assert "12.3 s" in page
    assert 'src="recordings/k.ogg"' in page
    assert "<script>" not in page
    otherwise = render_screened(ScreenedPage([row(wrong=["outcome passed"])], {}, [], 60.0))
    assert "expected: outcome passed" in otherwise
    assert "All went as expected" not in otherwise


def test_a_call_that_went_otherwise_fails_the_demo() -> None:
    check(DemoResult(ScreenedPage([row()], {}, [], 1.0), Path(PAGE), "li"))
    wrong = ScreenedPage([row(), row(call_id="k2", wrong=["outcome passed"])], {}, [], 1.0)
    with pytest.raises(ServiceError, match=r"k2 \(outcome passed\)"):
        check(DemoResult(wrong, Path(PAGE), "li"))


def test_the_shipped_script_has_its_sound(repository: Path) -> None:
    folder = repository / "demo" / "calls"
    script = read_script(folder)
    assert len(script.calls) >= 12
    files = [path for one in script.speaking for path in turn_files(folder, one)]
    assert files
    for path in files:
        samples, rate_hz = read_turn(path)
        assert rate_hz == 8000
        assert 2.0 < len(samples) / rate_hz < 15.0
        assert 0.05 < abs(samples).max() <= 1.0
    assert {path.name for path in folder.glob("*.ogg")} == {path.name for path in files}


def test_a_folder_of_something_else_is_left_alone(repository: Path, tmp_path: Path) -> None:
    """The demo empties its store: never that of a workspace."""
    store = tmp_path / "store.sqlite"
    store.write_bytes(b"somebody's")
    with pytest.raises(ConfigError, match="--out"):
        run_demo(tmp_path, repository / "demo" / "calls", (), SilentProgress())
    assert store.read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"caller": "nobody"}, "'nobody' is none of anna"),
        ({"id": "Two Words"}, "id"),
        ({"expects": {}}, "expect"),
    ],
)
def test_a_mistake_of_the_script_is_told(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    call = {
        "id": "k",
        "about": "x",
        "number": "+8613800138000",
        "caller": "anna",
        "says": ["您好"],
        "expect": FRAUD | {"by": "words"},
    }
    script = {
        "user": "li",
        "callers": {"anna": {"sex": "female", "timbre": {"zf_xiaobei": 1.0}}},
        "calls": [call | change],
    }
    (tmp_path / "calls.yaml").write_text(json.dumps(script), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        read_script(tmp_path)


def test_a_turn_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="persona-ray synth callers"):
        read_turn(tmp_path / "k-1.ogg")
