"""Invented dialogues: repeatable, balanced, of the promised form, with wordings held out."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.corpus.dialogues import read_dialogues
from persona_ray.errors import ConfigError
from persona_ray.synth.dialogues.composing import CALLEE, CALLER, CallDialogue, compose
from persona_ray.synth.dialogues.scenes import Part, Scene, load_scenes, of_part
from persona_ray.synth.dialogues.writing import write_dialogues

CATEGORIES = PolicyConfig().categories


@pytest.fixture(scope="module")
def dialogues() -> list[CallDialogue]:
    return list(compose(900, seed=3))


def lists_of(scene: Scene) -> list[tuple[str, ...]]:
    return [scene.fronts, scene.openings, *scene.steps]


def test_they_are_of_all_categories_evenly(dialogues: list[CallDialogue]) -> None:
    assert Counter(d.category for d in dialogues) == dict.fromkeys(CATEGORIES, 50)
    assert {d.scene for d in dialogues} == {scene.name for scene in load_scenes().scenes}


def test_caller_and_callee_take_turns(dialogues: list[CallDialogue]) -> None:
    for dialogue in dialogues:
        speakers = [turn.speaker for turn in dialogue.turns]
        assert 2 <= len(speakers) <= 8
        assert speakers == [CALLER, CALLEE, *[CALLER, CALLEE] * 3][: len(speakers)]
    assert len({len(d.turns) for d in dialogues}) >= 6


def test_every_text_is_filled(dialogues: list[CallDialogue]) -> None:
    for dialogue in dialogues:
        for turn in dialogue.turns:
            assert turn.text.strip()
            assert not re.search(r"[\[\]{}|]", turn.text), turn.text


def test_no_two_callers_say_the_same(dialogues: list[CallDialogue]) -> None:
    said = [tuple(t.text for t in d.turns if t.speaker == CALLER) for d in dialogues]
    assert len(set(said)) == len(said)


def test_the_same_seed_goes_on_where_fewer_ended(dialogues: list[CallDialogue]) -> None:
    assert list(compose(60, seed=3)) == dialogues[:60]
    assert list(compose(60, seed=4)) != dialogues[:60]


def test_a_first_turn_may_tell_nothing_yet(dialogues: list[CallDialogue]) -> None:
    first: dict[str, set[str]] = {}
    for dialogue in dialogues:
        first.setdefault(dialogue.turns[0].text, set()).add(dialogue.category)
    assert max(len(categories) for categories in first.values()) >= 5


def test_wordings_to_train_and_to_test_are_apart() -> None:
    for scene in load_scenes().scenes:
        for templates in lists_of(scene):
            train, test = of_part(templates, Part.TRAIN), of_part(templates, Part.TEST)
            assert train, scene.name
            assert test, scene.name
            assert sorted(train + test) == sorted(templates)
    train_said = {
        t.text for d in compose(720, 1, Part.TRAIN) for t in d.turns if t.speaker == CALLER
    }
    test_said = {t.text for d in compose(720, 1, Part.TEST) for t in d.turns if t.speaker == CALLER}
    assert not train_said & test_said


def test_a_wording_stays_in_its_part_when_others_come() -> None:
    few = tuple(f"句子{n}" for n in range(8))
    many = (*few, *(f"新的{n}" for n in range(3)))
    moved = set(of_part(few, Part.TEST)) - set(of_part(many, Part.TEST))
    assert len(moved) <= 2


# What a fraud asks for in the end. Honest calls may speak of it, only to warn.
ASKS = re.compile(
    r"(验证码|六位数字?|动态码).{0,6}(告诉我|报|念|读)|共享屏幕|安全账户|备用金|转到.{0,6}账户"
)


def test_honest_calls_ask_for_nothing_that_frauds_ask_for() -> None:
    fraud = [c for c, standing in CATEGORIES.items() if standing == "illegal"]
    asks = Counter(
        scene.category
        for scene in load_scenes().scenes
        for templates in lists_of(scene)
        for text in templates
        if ASKS.search(text)
    )
    assert set(asks) == set(fraud)


def test_running_out_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_ray.synth.dialogues.composing._TRIES", 0)
    with pytest.raises(ConfigError, match="lower --count"):
        list(compose(1, seed=1))


def test_the_command_writes_the_same_bytes_again(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "one.jsonl", tmp_path / "two.jsonl"]
    for file in files:
        options = ["--out", str(file), "--count", "36", "--seed", "5", "--part", "test"]
        done = CliRunner().invoke(app, ["synth", "dialogues", *options])
        assert done.exit_code == 0, done.output
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = [json.loads(line) for line in files[0].read_text(encoding="utf-8").splitlines()]
    assert len({row["id"] for row in rows}) == 36
    assert all(set(row) == {"id", "category", "turns"} for row in rows)
    assert set(rows[0]["turns"][0]) == {"speaker", "text"}


def test_they_are_read_as_dialogues_to_train_with(tmp_path: Path) -> None:
    written = list(compose(36, seed=5))
    assert write_dialogues(written, tmp_path / "d.jsonl") == 36
    read = read_dialogues([tmp_path / "d.jsonl"])
    assert [(d.id, d.category, len(d.turns)) for d in read] == [
        (d.id, d.category, len(d.turns)) for d in written
    ]


def test_an_unknown_part_is_told(tmp_path: Path) -> None:
    options = ["--out", str(tmp_path / "x"), "--part", "half"]
    done = CliRunner().invoke(app, ["synth", "dialogues", *options])
    assert isinstance(done.exception, ConfigError)
    assert "all, train, test" in str(done.exception)
