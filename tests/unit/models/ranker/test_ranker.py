"""The two towers: what they read, what they learn, what is kept of them."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path

import pytest
import torch

from persona_ray.config.assist import RankerConfig
from persona_ray.conversation import Emotion, Relation, Scene, Script, Tone
from persona_ray.errors import BundleError, TrainingError
from persona_ray.models.bundle import load_bundle
from persona_ray.models.lineage import Heard, Lineage, Use
from persona_ray.models.manifest import MANIFEST, read_contract
from persona_ray.models.ranker.bundle import load_ranker, ranker_contract, save_ranker
from persona_ray.models.ranker.columns import columns_of, standardised
from persona_ray.models.ranker.network import TwoTowers
from persona_ray.models.ranker.records import Item, Pair, Query, Reply, item_of, query_of, reply_of
from persona_ray.training.ranker import fit_ranker

CONFIG = RankerConfig(
    meaning=False,
    width=16,
    hidden=16,
    epochs=12,
    batch=16,
    longest_gram=2,
    gram_dropout=0.5,
    unknown=0.0,
)
ITEMS = [
    Item(f"{topic}-{style}", f"{words}\n{topic}{style}", {f"topic={topic}": 1, f"style={style}": 1})
    for topic, words in (("fee", "年费多少"), ("safe", "会不会泄露"), ("time", "现在没空"))
    for style in ("brief", "soothing")
]

ASKED = {"fee": "那年费多少钱", "safe": "不会泄露吧", "time": "没空啊现在"}


def pairs(customers: int) -> list[Pair]:
    """Who is calm is answered briefly, who is annoyed soothingly; the other way goes badly."""
    found = []
    for number in range(customers):
        for topic, words in ASKED.items():
            for mood, style in (("neutral", "brief"), ("annoyed", "soothing")):
                other = "soothing" if style == "brief" else "brief"
                query = Query(words, {f"emotion.{mood}": 1.0})
                found.append(Pair(query, f"{topic}-{style}", 90, f"u{number}"))
                found.append(Pair(query, f"{topic}-{other}", 10, f"u{number}"))
    return found


@pytest.fixture(scope="module")
def trained() -> TwoTowers:
    return fit_ranker(pairs(12), pairs(2), ITEMS, CONFIG, threshold=60)[0]


def best(model: TwoTowers, query: Query) -> str:
    with torch.inference_mode():
        queries = model.query_vectors(model.read_queries([query]))
        items = model.item_vectors(model.read_items(ITEMS))
        return ITEMS[int(model.scores(queries, items).argmax())].key


@pytest.mark.parametrize(("mood", "style"), [("neutral", "brief"), ("annoyed", "soothing")])
@pytest.mark.parametrize(("words", "topic"), [("年费多少", "fee"), ("没空", "time")])
def test_it_learns_topic_by_words_and_style_by_mood(
    trained: TwoTowers, mood: str, style: str, words: str, topic: str
) -> None:
    assert best(trained, Query(words, {f"emotion.{mood}": 1.0})) == f"{topic}-{style}"


def test_the_same_pairs_give_the_same_towers(trained: TwoTowers) -> None:
    state = torch.random.get_rng_state()
    again, _ = fit_ranker(pairs(12), pairs(2), ITEMS, CONFIG, threshold=60)
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), again.parameters()))  # noqa: B905
    assert torch.equal(state, torch.random.get_rng_state())


# What customers and agents say of four things, without a character in common.
SPOKEN = {
    "修空调洗衣": "安排师傅上门",
    "坐公交进城": "路线换乘站牌",
    "订餐厅包厢": "预留座位菜品",
    "寄快递文件": "取货派送运费",
}


def replies(first: int, count: int) -> list[Reply]:
    """Numbers say which characters are used: each exchange has a wording of its own."""
    found = []
    for number in range(first, first + count):
        draw = random.Random(number)
        for asked, said in SPOKEN.items():
            words = ["".join(draw.sample(part, 3)) for part in (asked, said)]
            found.append(reply_of(Query(words[0], {}), words[1], f"r{number}"))
    return found


@pytest.mark.parametrize(("weight", "least", "most"), [(0.5, 0.8, 1.0), (0.0, 0.0, 0.5)])
def test_replies_without_a_script_teach_what_follows_on_what(
    weight: float, least: float, most: float
) -> None:
    config = CONFIG.model_copy(update={"replies": weight, "epochs": 20, "learning_rate": 1e-2})
    # Scripts that nobody said: the characters are known then, and not what follows on what.
    lines = [line for exchange in SPOKEN.items() for line in exchange]
    unsaid = [Item(line + end, line + end, {}) for line in lines for end in ("", "吗")]
    taught = replies(0, 30)
    model, _ = fit_ranker(pairs(12), [], [*ITEMS, *unsaid], config, 60, replies=taught)
    known = {(one.query.text, one.item.text) for one in taught}
    right = []
    for number in range(100, 120):
        heard = replies(number, 1)
        with torch.inference_mode():
            queries = model.query_vectors(model.read_queries([one.query for one in heard]))
            items = model.item_vectors(model.read_items([one.item for one in heard]))
            found = model.scores(queries, items).argmax(dim=1).tolist()
        right += [
            place == at
            for at, (place, one) in enumerate(zip(found, heard, strict=True))
            if (one.query.text, one.item.text) not in known
        ]
    # One of four by chance.
    assert least <= sum(right) / len(right) <= most


@pytest.mark.parametrize(("weight", "count"), [(0.5, 0), (0.0, 3)])
def test_without_replies_or_their_weight_nothing_changes(
    trained: TwoTowers, weight: float, count: int
) -> None:
    config = CONFIG.model_copy(update={"replies": weight})
    other, _ = fit_ranker(pairs(12), pairs(2), ITEMS, config, 60, replies=replies(0, count))
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), other.parameters()))  # noqa: B905


def test_untrained_towers_are_near_where_words_are_common() -> None:
    model, _ = fit_ranker(
        pairs(1), [], ITEMS, CONFIG.model_copy(update={"epochs": 1, "learning_rate": 1e-9}), 60
    )
    assert best(model, Query("会不会泄露", {})).startswith("safe")


def test_nothing_can_be_learned_without_two_scripts_that_went_well() -> None:
    with pytest.raises(TrainingError, match="fewer than two scripts scored 95"):
        fit_ranker(pairs(2), [], ITEMS, CONFIG, threshold=95)
    with pytest.raises(TrainingError, match="of 0 pairs with a script of the library"):
        fit_ranker(pairs(2), [], [Item("other", "别的\n别的", {})], CONFIG, threshold=60)


def test_a_bundle_gives_the_same_scores_back(trained: TwoTowers, tmp_path: Path) -> None:
    bundle = save(trained, tmp_path)
    loaded, contract = load_ranker(bundle)
    assert (contract.slope, contract.offset) == (2.0, -1.0)
    queries = [Query("年费\n你好", {"emotion.annoyed": 0.7, "unheard.of": 3.0}), Query("", {})]
    with torch.inference_mode():
        for model in (trained, loaded):
            assert not model.training
        one, other = (
            model.scores(
                model.query_vectors(model.read_queries(queries)),
                model.item_vectors(model.read_items(ITEMS)),
            )
            for model in (trained, loaded)
        )
    assert torch.equal(one, other)
    assert Lineage.read(bundle).customers().keys() == {"u1"}


def test_a_ranker_is_no_model_of_labels(trained: TwoTowers, tmp_path: Path) -> None:
    bundle = save(trained, tmp_path)
    with pytest.raises(BundleError, match="ranks scripts and knows no labels"):
        read_contract(bundle)
    with pytest.raises(BundleError, match="ranks scripts and knows no labels"):
        load_bundle(bundle)


def test_a_changed_bundle_is_refused(trained: TwoTowers, tmp_path: Path) -> None:
    bundle = save(trained, tmp_path)
    with (bundle / "towers.safetensors").open("ab") as file:
        file.write(b"0")
    with pytest.raises(BundleError, match=r"'towers.safetensors' was changed or damaged"):
        load_ranker(bundle)
    shutil.rmtree(bundle)
    bundle.mkdir()
    (bundle / MANIFEST).write_text('{"contract": {"kind": "ranker"}, "files": {}}')
    with pytest.raises(BundleError, match=r"bundle.json is damaged: contract.version"):
        load_ranker(bundle)


def test_who_does_not_know_a_group_stands_at_its_mean() -> None:
    rows = [{"colour.red": 1.0, "step=offer": 1.0}, {"colour.blue": 1.0}, {"step=needs": 1.0}]
    columns = columns_of(rows)
    table = standardised([*rows, {"tone.rate": 9.0}], columns)
    by_name = {column.name: table[:, at] for at, column in enumerate(columns)}
    # Of two rows that know the colour, one is red.
    assert by_name["colour.red"].tolist() == pytest.approx([1.0, -1.0, 0.0, 0.0])
    assert by_name["step=needs"].tolist() == pytest.approx([-1.0, 0.0, 1.0, 0.0])
    assert "tone.rate" not in by_name


def test_what_both_towers_read() -> None:
    shares = {Emotion.ANNOYED: 0.7, Emotion.NEUTRAL: 0.3}
    scene = Scene("card", "offer")
    query = query_of("太 贵\n了", ["一", "二", "三"], scene, Relation.OBJECTION, shares, None, {})
    assert query.text == "太 贵 了\n三\n二"
    assert query.features == {
        "product=card": 1.0,
        "step=offer": 1.0,
        "relation=objection": 1.0,
        "emotion.annoyed": 0.7,
        "emotion.neutral": 0.3,
    }
    heard = query_of("贵", [], scene, Relation.OBJECTION, shares, Tone(rate=0.5), {"red": 1.0})
    assert heard.features["tone.rate"] == 0.5
    assert heard.features["colour.red"] == 1.0
    item = item_of(Script(id="a", text="首年免\n年费", answers=("太贵", "多少钱"), topic="fee"))
    assert item == Item("a", "太贵，多少钱\n首年免 年费", {"topic=fee": 1.0}, ("太贵", "多少钱"))


def save(model: TwoTowers, folder: Path) -> Path:
    contract = ranker_contract(model, (2.0, -1.0), "data", {"loss": 0.1}, {})
    lineage = Lineage.of([Heard("a", "u1", Use.TRAIN, "fee-brief")])
    save_ranker(model, folder / "bundle", contract, lineage)
    return folder / "bundle"


def test_damaged_metrics_are_not_written(trained: TwoTowers) -> None:
    with pytest.raises(BundleError, match="metrics"):
        ranker_contract(trained, (1.0, 0.0), "data", {"loss": math.nan}, {})
