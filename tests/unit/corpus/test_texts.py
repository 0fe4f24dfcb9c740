"""Dialogues out of files of every shape that is read, and what is said of the others."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.corpus.texts import Dialogues, dialogues_of_clips, sentences
from persona_ray.errors import CorpusError
from persona_ray.types import ClipInfo

EXPECTED = [("您好，请问找谁？", "我找李经理。", "稍等。"), ("喂？", "打错了。")]

TURNS = st.text(alphabet="我你好吗了号ab1 ，。？！、；：”", max_size=60)


def as_txt() -> str:
    return "\n\n".join("\n".join(turns) for turns in EXPECTED)


def as_jsonl(shape: Callable[[tuple[str, ...]], object]) -> str:
    return "\n".join(json.dumps(shape(turns), ensure_ascii=False) for turns in EXPECTED)


SHAPES: dict[str, Callable[[tuple[str, ...]], object]] = {
    "strings": list,
    "turns": lambda turns: {"id": 7, "turns": list(turns)},
    "objects": lambda turns: {"dialogue": [{"speaker": "A", "text": turn} for turn in turns]},
    "messages": lambda turns: {
        "messages": [
            {"role": "system", "content": "你是客服。"},
            *({"role": "user", "content": turn} for turn in turns),
        ]
    },
    "sharegpt": lambda turns: {"conversations": [{"from": "x", "value": turn} for turn in turns]},
    "sides": lambda turns: {"caller": turns[::2], "callee": turns[1::2], "fraud": True},
    "one text": lambda turns: {"dialogue": "\n".join(turns)},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_shape_gives_the_same_dialogues(tmp_path: Path, shape: str, packed: bool) -> None:
    lines = tmp_path / ("a.jsonl" + ".gz" * packed)
    content = ("\ufeff" + as_jsonl(SHAPES[shape]) + "\n\n").encode()
    lines.write_bytes(gzip.compress(content) if packed else content)
    assert list(Dialogues([str(lines)])) == EXPECTED
    whole = tmp_path / "b.json"
    tree = [SHAPES[shape](turns) for turns in EXPECTED]
    for wrapped in (tree, {"dialogues": tree}, {"data": tree}):
        whole.write_text(json.dumps(wrapped, ensure_ascii=False), encoding="utf-8")
        assert list(Dialogues([str(whole)])) == EXPECTED


@pytest.mark.parametrize("tree", [list(EXPECTED[0]), [{"text": turn} for turn in EXPECTED[0]]])
def test_a_json_file_may_be_one_dialogue(tmp_path: Path, tree: object) -> None:
    (tmp_path / "one.json").write_text(json.dumps(tree), encoding="utf-8")
    assert list(Dialogues([str(tmp_path / "one.json")])) == EXPECTED[:1]


def test_plain_lines_and_globs_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(as_txt().replace("\n", "\r\n").encode())
    (tmp_path / "b.txt").write_text("第三个。\n", encoding="utf-8")
    found = Dialogues([str(tmp_path / "b.txt"), str(tmp_path / "*.txt")])
    assert list(found) == [("第三个。",), *EXPECTED]
    assert list(found) == [("第三个。",), *EXPECTED], "a second pass reads anew"


def test_a_dialogue_is_learned_once_and_its_sentences_as_often_as_they_are_said(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.txt").write_text(
        "好的。\n好的。\n\n再见。\n\n好的。\n好的。\n", encoding="utf-8"
    )
    dialogues = Dialogues([str(tmp_path / "a.txt")])
    assert list(dialogues) == [("好的。", "好的。"), ("再见。",)]
    assert (dialogues.report.repeats, dialogues.report.turns) == (1, 3)
    assert "1 repeated dialogues left out" in str(dialogues.report)


def test_a_broken_line_in_many_is_left_out_and_counted(tmp_path: Path) -> None:
    good = [json.dumps([f"第{n}通电话。"]) for n in range(300)]
    lines = [line.encode() for line in good]
    lines[40] = b'{"turns": ["' + "截断".encode()
    lines[41] = json.dumps({"id": 3, "score": 0.5}).encode()
    lines[200] = "打扰了".encode("gb18030")
    (tmp_path / "big.jsonl").write_bytes(b"\n".join(lines))
    dialogues = Dialogues([str(tmp_path / "big.jsonl")])
    assert len(list(dialogues)) == 297
    assert sum(dialogues.report.broken.values()) == 3
    said = str(dialogues.report)
    for hint in ("line 41", "line 42", "line 201", "not UTF-8", "under id, score"):
        assert hint in said, said


def test_half_an_emoji_and_a_number_without_end_cost_no_file(tmp_path: Path) -> None:
    lines = [b'{"id": 1%s, "turns": ["a"]}' % (b"0" * 5_000), b'["\\ud83d\xe5\xa5\xbd"]']
    lines += [f'["第{n}"]'.encode() for n in range(150)]
    (tmp_path / "odd.jsonl").write_bytes(b"\n".join(lines))
    dialogues = Dialogues([str(tmp_path / "odd.jsonl")])
    found = list(dialogues)
    assert (len(found), found[0]) == (151, ("?好",))
    assert dialogues.report.broken == {"a number is too long": 1}


BAD_FILES = {
    "gb.txt": ("打扰了。\n再见。\n".encode("gb18030"), r"gb\.txt, line 1: not UTF-8.*GB18030"),
    "gb.json": (b'["a",\n"' + "再见".encode("gb18030") + b'"]', r"line 2: not UTF-8"),
    "wide.txt": ("再见。".encode("utf-16"), "line 1: not UTF-8 but UTF-16"),
    "cut.json": (b'{"turns": [\n"a",', "line 2: not JSON"),
    "cut.jsonl": (b'["a"]\n["b"\n', r"line 2: not JSON.*1 of 2 lines"),
    "long.json": (b'{"id": 1%s}' % (b"0" * 5_000), "a number in it is too long"),
    "number.jsonl": (b"7\n", "line 1: a dialogue cannot be a number"),
    "turn.json": (b'{"turns": [{"speaker": "A"}]}', "dialogue 1: a turn has no text under speaker"),
    "empty.jsonl": (b'{"turns": []}', "line 1: no text"),
    "keys.jsonl": (b'{"foo": ["a"]}', "no turns under foo: expected a list under one of turns"),
    "plain.txt.gz": (b"no gzip", "not compressed with gzip"),
    "short.txt.gz": (gzip.compress("再见。".encode() * 50)[:-9], "damaged"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message) as raised:
        list(Dialogues([str(tmp_path / name)]))
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_are_not_there_or_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("a,b\n")
    with pytest.raises(CorpusError, match=r"'.*none\*\.txt': there is no such file"):
        Dialogues([str(tmp_path / "none*.txt")])
    with pytest.raises(CorpusError, match=r"calls\.csv is of no kind that is read: \.txt"):
        Dialogues([str(tmp_path / "*.csv")])


def clip(call: str, start_s: float, text: str) -> ClipInfo:
    return ClipInfo(
        clip_id=f"{call}-{start_s}",
        call_id=call,
        customer_id="c",
        channel=0,
        start_s=start_s,
        end_s=start_s + 1,
        text=text,
    )


def test_clips_of_a_call_are_a_dialogue_in_order_of_time() -> None:
    clips = [
        clip("k1", 9.0, "二"),
        clip("k1", 2.0, "一"),
        clip("k2", 1.0, " "),
        clip("k3", 0.0, "三"),
    ]
    assert list(dialogues_of_clips(clips)) == [("一", "二"), ("三",)]


@given(TURNS, st.integers(1, 20))
def test_sentences_lose_nothing_and_fit(turn: str, longest: int) -> None:
    parts = list(sentences(turn, longest))
    assert "".join("".join(parts).split()) == "".join(turn.split())
    assert all(0 < len(part) <= longest and part == part.strip() for part in parts)


def test_sentences_end_where_people_end_them() -> None:
    turn = "他说：“好的。”那就这样吧！真的吗？？嗯"
    assert list(sentences(turn, 50)) == ["他说：“好的。”", "那就这样吧！", "真的吗？？", "嗯"]
    # Too long for 12: at the pause nearest to it, and not after the first word.
    assert list(sentences("喂，我想问一下基金，还有保险的事情", 12)) == [
        "喂，我想问一下基金，",
        "还有保险的事情",
    ]


def test_real_dialogues_alternate_between_caller_and_callee(shared_data: Path) -> None:
    file = shared_data / "teleantifraud" / "dialogues.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        first = json.loads(next(lines))
        second = json.loads(next(lines))
    dialogues = Dialogues([str(file)])
    found = list(dialogues)
    assert found[0] == (first["caller"][0], first["callee"][0])
    assert found[1][:3] == (second["caller"][0], second["callee"][0], second["caller"][1])
    report = dialogues.report
    assert len(found) == report.dialogues > 7_000
    assert report.dialogues + report.repeats + sum(report.broken.values()) == 7_948
