"""Labelled dialogues: what is read, what is refused, and who is judged by whom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from persona_ray.corpus.dialogues import (
    Dialogue,
    Said,
    Side,
    deal,
    fingerprint,
    prefix,
    read_dialogues,
    write_dialogues,
)
from persona_ray.errors import CorpusError
from persona_ray.types import Split

GOOD = {
    "id": "a",
    "category": "delivery",
    "turns": [
        {"speaker": "caller", "text": "您好，快递到了"},
        {"speaker": "robot", "text": "请讲"},
        {"speaker": "caller", "text": "放门口\n可以吗"},
    ],
}


def dialogue(name: str, opening: str) -> Dialogue:
    return Dialogue(name, "x", (Said(Side.CALLER, opening), Said(Side.CALLEE, "嗯")))


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.jsonl.gz"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    made = [dialogue("a", "您好"), dialogue("b", "喂")]
    write_dialogues(tmp_path / name, made)
    assert read_dialogues([tmp_path / name]) == made


def test_the_robot_is_the_callee_and_other_keys_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text(json.dumps({**GOOD, "lineage": {"source": "correction"}}) + "\n\n")
    (read,) = read_dialogues([file])
    assert [turn.speaker for turn in read.turns] == [Side.CALLER, Side.CALLEE, Side.CALLER]
    assert read.caller == ("您好，快递到了", "放门口\n可以吗")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[]", "an object with id, category and turns"),
        (json.dumps({**GOOD, "id": 3}), "'id' must be a word, found a int"),
        (json.dumps({**GOOD, "category": " "}), "'category' must be a word"),
        (json.dumps({**GOOD, "turns": []}), "a list of 1 to 1000 turns"),
        (json.dumps({**GOOD, "turns": ["hm"]}), "turn 1: a turn is an object"),
        (
            json.dumps({**GOOD, "turns": [{"speaker": "agent", "text": "嗯"}]}),
            "'speaker' must be caller or callee, found 'agent'",
        ),
        (
            json.dumps({**GOOD, "turns": [{"speaker": "caller", "text": "……"}]}),
            "'text' must have words",
        ),
        (
            json.dumps({**GOOD, "turns": [{"speaker": "callee", "text": "嗯"}]}),
            "the caller says nothing",
        ),
        (json.dumps(GOOD), "id 'a' stands in"),
    ],
)
def test_a_line_that_is_no_dialogue_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text(json.dumps(GOOD) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError) as raised:
        read_dialogues([file])
    assert f"{file}, line 2" in str(raised.value)
    assert said in str(raised.value)
    assert "快递" not in str(raised.value)


def test_files_that_are_not_there_or_hold_nothing_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"there is no .*none.jsonl"):
        read_dialogues([tmp_path / "none.jsonl"])
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(CorpusError, match=r"no dialogue in .*empty.jsonl"):
        read_dialogues([tmp_path / "empty.jsonl"])
    (tmp_path / "plain.gz").write_text("{}")
    with pytest.raises(CorpusError, match=r"plain.gz cannot be read"):
        read_dialogues([tmp_path / "plain.gz"])


def test_no_dialogue_moves_when_others_come_and_like_openings_stay_together() -> None:
    some = [dialogue(f"d{n}", f"开场第{n}句") for n in range(400)]
    splits = deal(some, 0.2, 0.1, "s")
    shares = {split: list(splits.values()).count(split) / 400 for split in Split}
    assert shares[Split.TEST] == pytest.approx(0.2, abs=0.07)
    assert shares[Split.DEV] == pytest.approx(0.1, abs=0.05)
    # The same words with other punctuation, first in the list.
    more = [dialogue(f"e{n}", f"开场，第 {n} 句！") for n in range(400)]
    again = deal([*more, *some], 0.2, 0.1, "s")
    assert {name: again[name] for name in splits} == splits
    assert all(again[f"e{n}"] is splits[f"d{n}"] for n in range(400))
    assert deal(some, 0.2, 0.1, "t") != splits


def test_a_prefix_has_the_turns_so_far_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps(GOOD))
    (read,) = read_dialogues([tmp_path / "one.jsonl"])
    assert prefix(read, 1, Split.TEST).text == "您好，快递到了"
    whole = prefix(read, 9, Split.TEST)
    assert whole.text == "您好，快递到了\n放门口 可以吗"
    assert (whole.clip_id, whole.customer_id, whole.label) == ("a/2", "a", "delivery")


def test_the_fingerprint_is_of_content_and_not_of_order() -> None:
    one, other = dialogue("a", "您好"), dialogue("b", "喂")
    assert fingerprint([one, other]) == fingerprint([other, one])
    assert fingerprint([one, other]) != fingerprint([one, dialogue("b", "喂喂")])
