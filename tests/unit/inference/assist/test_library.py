"""Libraries of scripts: what is read is what was written, and every mistake is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.conversation import Conditions, Emotion, Relation, Script, ScriptLibrary
from persona_ray.errors import LibraryError
from persona_ray.inference.assist.library import (
    from_dict,
    library_bytes,
    load_library,
    make_library,
    parse_library,
    to_dict,
    write_library,
)

STEPS = ("opening", "offer", "closing")
YAML = """\
name: retail
version: "7"
scripts:
  - id: fee-soothing
    product: credit_card
    topic: fee
    style: soothing
    text: 您别着急，首年年费是免的。
    answers: [年费太贵了]
    when: {steps: [offer], never: [pleased]}
  - id: hello
    text: 您好，我是您的客户经理。
    answers: [你是谁, 哪位]
"""

texts = (
    st.text("年费太贵了，吗？=+-@' ab", min_size=1, max_size=12).filter(str.strip).map(str.strip)
)
names = st.text("abcé费 ", max_size=6).map(str.strip)
some = st.lists


def conditions() -> st.SearchStrategy[Conditions]:
    emotions = st.permutations(list(Emotion)).map(lambda order: tuple(order[:3]))
    return st.builds(
        lambda steps, relations, order, colours, split: Conditions(
            steps=tuple(steps),
            relations=tuple(relations),
            emotions=order[:split],
            never=order[split:],
            colours=tuple(colours),
        ),
        some(st.sampled_from(STEPS), unique=True),
        some(st.sampled_from(list(Relation)), unique=True, max_size=2),
        emotions,
        some(st.sampled_from(["red", "blue"]), unique=True),
        st.integers(0, 3),
    )


def libraries() -> st.SearchStrategy[ScriptLibrary]:
    script = st.builds(
        Script,
        id=st.just("x"),
        text=texts,
        answers=some(texts, min_size=1, max_size=3, unique=True).map(tuple),
        product=names,
        topic=names,
        style=names,
        conditions=conditions(),
        max_uses=st.integers(1, 9),
    )
    unique = some(script, min_size=1, max_size=4, unique_by=lambda one: (one.product, one.text))
    return unique.map(
        lambda found: make_library(
            "shop", "3", (replace(one, id=f"s{number}") for number, one in enumerate(found))
        )
    )


@settings(max_examples=60)
@given(library=libraries())
def test_what_is_written_is_read_back(library: ScriptLibrary) -> None:
    for form in (".yaml", ".csv"):
        assert parse_library(library_bytes(library, form), f"shop-3{form}", STEPS) == library
    assert from_dict(json.loads(json.dumps(to_dict(library)))) == library


def test_a_file_is_read_and_its_digest_is_of_the_content(tmp_path: Path) -> None:
    library = parse_library(YAML.encode(), "retail.yaml", STEPS)
    assert library.scripts["fee-soothing"].conditions.never == (Emotion.PLEASED,)
    write_library(library, tmp_path / "retail-7.csv")
    again = load_library(str(tmp_path / "retail-7.csv"), STEPS)
    assert (again.name, again.version, again.digest) == ("retail", "7", library.digest)
    other = parse_library(YAML.replace("首年", "前两年").encode(), "retail.yaml", STEPS)
    assert other.digest != library.digest


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("id: hello", "id: fee-soothing"),
            "retail.yaml:11: the id 'fee-soothing' is also",
        ),
        (("steps: [offer]", "steps: [ofer]"), "unknown step 'ofer': assist.steps has opening"),
        (("never: [pleased]", "never: [glad]"), "when.never.0 = glad"),
        (
            ("never:", "emotions: [pleased], never:"),
            "needs 'pleased' and is never said after it",
        ),
        (("never: [pleased]", "colours: [pink]"), "unknown colour 'pink'"),
        (("您好，", "您好，{姓名}，"), "a gap that nothing fills"),
        (("topic: fee", "topc: fee"), "retail.yaml:6: unknown key 'topc'"),
        (("answers: [你是谁, 哪位]", "answers: []"), "answers is empty"),
        (("answers: [你是谁, 哪位]", "answers: [哪位, 哪位]"), "stands twice among its answers"),
        (("    text: 您好，我是您的客户经理。\n", ""), "'text' is missing"),
        (("product: credit_card", "product: [a"), "not YAML"),
        (("name: retail", "title: retail"), "'name' is missing"),
    ],
)
def test_a_mistake_is_told_with_its_place(change: tuple[str, str], told: str) -> None:
    assert change[0] in YAML
    with pytest.raises(LibraryError, match="retail") as caught:
        parse_library(YAML.replace(*change).encode(), "retail.yaml", STEPS)
    assert told in str(caught.value)


def test_all_mistakes_of_a_sheet_are_told_at_once() -> None:
    sheet = (
        "ID;Text;Answers;Steps;Max_uses;Owner\n"
        "a;您好;你是谁;ofer;;Li\n"
        "b;;年费;;;\n"
        "a;再见;;;often;\n"
        "c;您请说;喂|喂;;2;\n"
    )
    with pytest.raises(LibraryError) as caught:
        parse_library(sheet.encode("gb18030"), "night-2.csv", STEPS)
    told = "\n".join(caught.value.mistakes)
    assert "row 2: 'a': unknown step 'ofer'" in told
    assert "row 3: text" in told
    assert "row 4: max_uses = -1" in told
    assert "row 4: answers is empty" in told
    assert "row 5: 'c': one sentence stands twice" in told
    assert len(caught.value.mistakes) == 5


def test_same_words_twice_under_the_same_conditions_are_a_mistake() -> None:
    twin = YAML + "  - {id: hello-2, text: 您好，我是您的客户经理。, answers: [喂]}\n"
    with pytest.raises(LibraryError, match="what 'hello' says"):
        parse_library(twin.encode(), "retail.yaml", STEPS)
    under_others = twin.replace("[喂]", "[喂], when: {steps: [closing]}")
    assert len(parse_library(under_others.encode(), "retail.yaml", STEPS).scripts) == 3


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"", "must be a .yaml or .csv"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"id,text\n", "needs the columns answers, id, text"),
        ("a.csv", b"\x00\x01", "no text"),
        ("a.yaml", b"\xff\xfe\x00", "no text in UTF-8"),
        ("a.yaml", b"- 1", "the file"),
    ],
)
def test_what_is_no_library_is_refused(name: str, data: bytes, told: str) -> None:
    with pytest.raises(LibraryError, match=told):
        parse_library(data, name, STEPS)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(LibraryError, match=r"none.yaml cannot be read: No such file"):
        load_library("none.yaml", STEPS)
