"""The ranker from conversations to what it puts up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.conversation import Emotion, Relation, Script, Speaker, Tone
from persona_ray.corpus.conversations import Conversation, ConversationTurn, write_conversations
from persona_ray.errors import ConfigError, RegistryError, TrainingError
from persona_ray.inference.assist.library import load_library, make_library, write_library
from persona_ray.inference.assist.ranking import TowerRanker
from persona_ray.launch.assist.asked import answers_of, asked_turns
from persona_ray.launch.assist.ranker import RankerResult, read_samples, train_ranker
from persona_ray.launch.assist.ranker_promotion import compare
from persona_ray.progress import SilentProgress
from persona_ray.types import Split

ASKED = {
    "fee": ("那年费多少钱", "年费怎么收"),
    "safe": ("不会泄露吧", "信息安全吗"),
    "time": ("没空啊现在", "我在开会"),
}

SAID = ("首年免", "加密保管", "稍后联系")


def scripts() -> list[Script]:
    return [
        Script(
            id=f"{topic}-{style}",
            text=f"{said}，{style}",
            answers=words,
            product="card",
            topic=topic,
            style=style,
        )
        for (topic, words), said in zip(
            ASKED.items(), ("首年免", "加密保管", "稍后联系"), strict=True
        )
        for style in ("brief", "soothing")
    ]


def conversations(count: int) -> list[Conversation]:
    """Who is calm is answered briefly, who is annoyed soothingly."""
    return [
        Conversation(
            id=f"c{number}",
            customer=f"u{number}",
            product="card",
            turns=tuple(turn for words in ASKED.values() for turn in exchange(words, number)),
        )
        for number in range(count)
    ]


def exchange(words: tuple[str, ...], number: int) -> tuple[ConversationTurn, ConversationTurn]:
    annoyed, well = number % 2 == 1, number % 3 > 0
    topic = next(topic for topic, known in ASKED.items() if known == words)
    style = "soothing" if annoyed == well else "brief"
    return (
        ConversationTurn(
            speaker=Speaker.CUSTOMER,
            text=words[number // 2 % 2],
            step="offer",
            emotion=Emotion.ANNOYED if annoyed else Emotion.NEUTRAL,
            fits=(f"{topic}-{'soothing' if annoyed else 'brief'}",),
        ),
        ConversationTurn(
            speaker=Speaker.AGENT, text="好的", script=f"{topic}-{style}", score=90 if well else 10
        ),
    )


def configured(workspace: Path, *changes: str) -> RunConfig:
    return load_config(
        None,
        [
            f"workspace={workspace}",
            f"assist.library={workspace / 'scripts.yaml'}",
            f"assist.ranker.conversations=[{workspace / 'calls.jsonl'}]",
            "assist.ranker.meaning=false",
            "assist.ranker.width=16",
            "assist.ranker.hidden=16",
            "assist.ranker.longest_gram=2",
            "assist.ranker.gram_dropout=0.2",
            "assist.ranker.batch=16",
            "assist.ranker.learning_rate=1e-2",
            "evaluation.bootstrap=50",
            "launch.cpus_per_worker=1",
            "tracking.url=off",
            *changes,
        ],
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, RankerResult]:
    workspace = tmp_path_factory.mktemp("ranker")
    write_library(make_library("test", "1", scripts()), workspace / "scripts.yaml")
    write_conversations(workspace / "calls.jsonl", conversations(60))
    config = configured(workspace)
    return config, train_ranker(config, SilentProgress())


def test_what_went_well_is_put_up_for_customers_held_out(
    trained: tuple[RunConfig, RankerResult],
) -> None:
    _, result = trained
    (table,) = result.report.tables
    alone, plain = table.row("ranker alone"), table.row("text alone, trained anew")
    assert alone.first.value == 1
    # Half of the customers are annoyed, which words do not tell here.
    assert plain.first.value < 0.7
    assert "held-out customers" in str(result)


def test_nothing_is_put_up_once_the_topic_is_taken_out(
    trained: tuple[RunConfig, RankerResult],
) -> None:
    _, result = trained
    assert result.report.gaps.fitting.value > 0.7
    assert result.report.gaps.taken_out.value < 0.1


def test_report_and_figures_stand_in_the_workspace(
    trained: tuple[RunConfig, RankerResult],
) -> None:
    _, result = trained
    page = result.report_path.read_text(encoding="utf-8")
    assert "BM25" in page
    figures = json.loads(result.report_path.with_suffix(".json").read_text(encoding="utf-8"))
    assert figures["library"].startswith("test 1 ")


def test_words_that_are_no_script_are_replies(tmp_path: Path) -> None:
    config = configured(tmp_path, "assist.ranker.replies=0.1")
    free = [
        Conversation(
            id=f"f{number}",
            turns=(
                ConversationTurn(speaker=Speaker.AGENT, text="您好"),
                ConversationTurn(speaker=Speaker.CUSTOMER, text="想修空调"),
                ConversationTurn(speaker=Speaker.AGENT, text="师傅明天上门"),
                ConversationTurn(speaker=Speaker.CUSTOMER, text="谢谢"),
            ),
        )
        for number in range(20)
    ]
    write_conversations(tmp_path / "calls.jsonl", [*conversations(6), *free])
    samples = read_samples(config)
    # Customers held out and those that say when to stop teach nothing.
    assert 10 <= len(samples.replies) < 20
    assert {(one.query.text, one.item.text) for one in samples.replies} == {
        ("想修空调\n您好", "师傅明天上门")
    }
    assert not any(one.query.features or one.item.features for one in samples.replies)
    off = read_samples(configured(tmp_path, "assist.ranker.replies=0"))
    assert not off.replies
    assert off.pairs == samples.pairs


def test_a_library_that_it_never_saw_is_ranked_by_what_it_says(
    trained: tuple[RunConfig, RankerResult],
) -> None:
    config, result = trained
    ranker = TowerRanker.load(result.bundle_dir)
    new = make_library(
        "new", "2", [Script(id="x", text="免", answers=ASKED["fee"]), *scripts()[2:]]
    )
    turn = next(asked_turns(conversations(1)))
    fits = ranker.targets(turn.information, new)
    assert max(fits, key=lambda id_: fits[id_]) == "x"
    assert ranker.targets(turn.information, load_library(config.assist.library, ())) != fits


def test_customers_whom_the_champion_learned_from_do_not_judge_it(
    trained: tuple[RunConfig, RankerResult],
) -> None:
    config, result = trained
    samples, library = read_samples(config), load_library(config.assist.library, ())
    test = samples.turns[Split.TEST]
    found = compare(config, result.bundle_dir, result.bundle_dir, test, library)
    assert found.paired.deciding.difference.interval == (0, 0)
    assert not found.better
    with pytest.raises(RegistryError, match="0 of"):
        compare(config, result.bundle_dir, result.bundle_dir, samples.turns[Split.TRAIN], library)


def test_turns_are_read_as_in_a_call() -> None:
    said = ConversationTurn(speaker=Speaker.CUSTOMER, text="这个安全吗？", tone=Tone(rate=1.0))
    again = ConversationTurn(speaker=Speaker.CUSTOMER, text="我再问一遍，这个安全吗？")
    good = ConversationTurn(speaker=Speaker.AGENT, text="安全", script="a", score=70)
    call = Conversation(id="c", colour="red", product="card", turns=(said, good, again))
    first, second = asked_turns([call])
    assert first.information.relation is Relation.QUESTION
    assert not first.information.sentence.overlapped
    assert first.information.colour == {"red": 1.0}
    assert (first.script, first.score, first.customer) == ("a", 70, "c")
    assert answers_of(first, 60) == {"a"}
    assert answers_of(first, 80) == frozenset()
    assert second.information.relation is Relation.REPETITION
    assert [turn.text for turn in second.information.before] == ["这个安全吗？", "安全"]
    # A tone that nobody labelled says nothing.
    assert second.information.sentence.overlapped
    assert second.pair is None


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ("assist.ranker.conversations=[]", ConfigError, "names no file of conversations"),
        ("assist.feedback.threshold=95", TrainingError, "fewer than two scripts scored 95"),
    ],
)
def test_what_cannot_be_trained_on(
    trained: tuple[RunConfig, RankerResult], change: str, error: type[Exception], said: str
) -> None:
    config, _ = trained
    with pytest.raises(error, match=said):
        train_ranker(configured(config.workspace, change), SilentProgress())
