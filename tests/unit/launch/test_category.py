"""The category model from dialogues to a registered bundle that answers."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from persona_ray.config import RunConfig, load_config
from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.corpus.dialogues import Dialogue, Said, Side, deal, write_dialogues
from persona_ray.errors import BundleError, ConfigError, TrainingError
from persona_ray.inference.screening.categories import (
    BundleCategories,
    CategoryReader,
    policy_names,
)
from persona_ray.inference.screening.records import Speaker, Turn
from persona_ray.launch.category import CategoryResult, train_category
from persona_ray.launch.versions.category import register
from persona_ray.launch.versions.registry import Registry, resolve_bundle
from persona_ray.progress import SilentProgress
from persona_ray.types import Split

OPENINGS = {
    "delivery": ["您好，您的快递到了", "快递放门口可以吗", "您有一个包裹"],
    "loans": ["您好，需要贷款吗", "我们的贷款利息很低", "贷款额度已经批了"],
    "account_fraud": ["您好，您的账户异常", "银行卡被冻结了", "请提供验证码"],
}
ENDS = ["请问现在方便吗", "麻烦您了", "打扰一下", "好不好", "您听一下", "我是小李", "我姓王"]


def made(count: int) -> list[Dialogue]:
    """Openings that tell the category, and turns that do not."""
    drawn = random.Random(0)
    found = []
    for number in range(count):
        category = sorted(OPENINGS)[number % 3]
        opening = f"{drawn.choice(OPENINGS[category])}，{drawn.choice(ENDS)}{number}"
        turns = [Said(Side.CALLER, opening), Said(Side.CALLEE, "嗯")]
        turns += [Said(Side.CALLER, drawn.choice(ENDS)) for _ in range(drawn.randrange(3))]
        found.append(Dialogue(f"d{number}", category, tuple(turns)))
    return found


def configured(workspace: Path, *changes: str) -> RunConfig:
    return load_config(
        None,
        [
            f"workspace={workspace}",
            f"screening.category.dialogues=[{workspace / 'calls.jsonl'}]",
            "launch.backend=plain",
            "launch.cpus_per_worker=1",
            "evaluation.bootstrap=50",
            "screening.category.training.epochs=2",
            "screening.category.training.learning_rate=1e-2",
            *changes,
        ],
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, CategoryResult]:
    workspace = tmp_path_factory.mktemp("category")
    write_dialogues(workspace / "calls.jsonl", made(180))
    config = configured(workspace)
    return config, train_category(config, SilentProgress())


def turn(text: str, speaker: Speaker = Speaker.CALLER) -> Turn:
    return Turn(speaker, text, 0.0, 1.0)


def test_it_tells_held_out_dialogues_apart_and_says_so_turn_by_turn(
    trained: tuple[RunConfig, CategoryResult],
) -> None:
    _, result = trained
    report = result.report
    assert report.labels == ("account_fraud", "delivery", "loans")
    assert sum(report.counts.values()) == 180
    assert [row.turns for row in report.after] == [1, 2, 3, 4, 5, 0]
    assert report.at(1).scores.macro_f1.value > 0.9
    assert [plain.turns for plain in report.baselines] == [1, 0]
    assert report.turn_evidence is not None
    page = result.report_path.read_text(encoding="utf-8")
    assert "TF-IDF" in page
    assert "account_fraud" in page
    figures = json.loads(result.report_path.with_suffix(".json").read_text(encoding="utf-8"))
    assert figures["counts"] == report.counts
    assert "macro-F1" in str(result)


def test_the_first_version_is_champion_and_is_what_the_seam_loads(
    trained: tuple[RunConfig, CategoryResult],
) -> None:
    config, result = trained
    assert result.registered == "models:/category/1 (champion)"
    bundle = resolve_bundle(config, "models:/category@champion")
    model = BundleCategories.load(bundle, PolicyConfig(), "category 1")
    said = [turn("您好，您的快递到了"), turn("贷款", Speaker.ROBOT)]
    judgement = asyncio.run(model.judge(said))
    assert judgement.category == "delivery"
    assert sum(judgement.probabilities.values()) == pytest.approx(1)
    assert (judgement.turns, judgement.model) == (1, "category 1")
    # What the robot says changes nothing.
    assert asyncio.run(model.judge(said[:1])) == judgement
    more = asyncio.run(model.judge([*said, turn("请提供验证码")]))
    assert more.turns == 2
    assert more.probabilities != judgement.probabilities
    with pytest.raises(ValueError, match="needs a turn of the caller"):
        asyncio.run(model.judge(said[1:]))


def test_words_that_nobody_knows_are_judged_as_any_call(
    trained: tuple[RunConfig, CategoryResult],
) -> None:
    model = BundleCategories.load(trained[1].bundle_dir, PolicyConfig())
    judgement = asyncio.run(model.judge([turn("……")]))
    assert sum(judgement.probabilities.values()) == pytest.approx(1)
    assert max(judgement.probabilities.values()) < 0.9


def test_the_same_again_is_no_new_version_and_another_is_challenger(
    trained: tuple[RunConfig, CategoryResult],
) -> None:
    config, result = trained
    again = train_category(config, SilentProgress(), baseline=False)
    assert again.registered == "models:/category/1 (champion)"
    assert again.report.baselines == ()
    assert again.report.after == result.report.after
    changed = configured(config.workspace, "screening.category.training.seed=1")
    second = train_category(changed, SilentProgress(), baseline=False)
    assert second.registered == "models:/category/2 (challenger)"
    # The same bundle once more, made champion.
    assert "accuracy after one turn and after all" in str(second)
    third, _ = register(changed, second.bundle_dir, (), "", force=True)
    assert third.startswith("models:/category/2 (")
    assert "champion" in third
    history = Registry.open(config, "category").history()
    assert [change.after for change in history] == [1, 2]


def test_a_version_that_is_better_than_the_champion_takes_its_place(
    trained: tuple[RunConfig, CategoryResult], tmp_path: Path
) -> None:
    good, dialogues = trained[1].bundle_dir, made(180)
    # Who has learnt it the wrong way round is the first, and champion.
    swapped = {"delivery": "loans", "loans": "delivery"}
    wrong = [replace(one, category=swapped.get(one.category, one.category)) for one in dialogues]
    write_dialogues(tmp_path / "calls.jsonl", wrong)
    config = configured(tmp_path)
    poor = train_category(config, SilentProgress(), baseline=False)
    assert poor.registered == "models:/category/1 (champion)"
    section = config.screening.category
    splits = deal(dialogues, section.test, section.dev, section.salt)
    test = [dialogue for dialogue in dialogues if splits[dialogue.id] is Split.TEST]
    address, why = register(config, good, test, "", force=False)
    assert address == "models:/category/2 (champion)", why
    assert f"over {len(test)} held-out dialogues" in why
    again, why = register(config, poor.bundle_dir, test, "", force=False)
    assert again == "models:/category/1 (challenger)"
    assert "--promote" in why
    # What the champion has learnt from shows nothing.
    learnt = [dialogue for dialogue in dialogues if splits[dialogue.id] is Split.TRAIN]
    assert "0 of" in register(config, poor.bundle_dir, learnt, "", force=False)[1]


def test_a_model_of_another_data_set_answers_in_the_policys_categories(
    trained: tuple[RunConfig, CategoryResult],
) -> None:
    reader = CategoryReader.load(trained[1].bundle_dir)
    others = {"categories": {"fraud": "illegal", "loans": "abnormal"}, "wanted": []}
    with pytest.raises(ConfigError, match="'account_fraud', which is no category of the policy"):
        BundleCategories(reader, PolicyConfig.model_validate(others))
    aliases = {"account_fraud": "fraud", "delivery": "loans"}
    model = BundleCategories(reader, PolicyConfig.model_validate({**others, "aliases": aliases}))
    said = asyncio.run(model.judge([turn("您有一个包裹")])).probabilities
    plain = reader.probabilities(["您有一个包裹"])[0]
    assert set(said) == {"fraud", "loans"}
    assert said["loans"] == pytest.approx(plain["loans"] + plain["delivery"])
    shipped = PolicyConfig()
    assert set(policy_names(list(shipped.aliases), shipped)) == set(shipped.aliases)
    with pytest.raises(ValidationError, match="'lift' leads to 'fare', which is none"):
        PolicyConfig.model_validate({"aliases": {"lift": "fare"}})


def test_a_category_that_nobody_is_judged_by_is_told(tmp_path: Path) -> None:
    rare = Dialogue("rare", "ride", (Said(Side.CALLER, "司机到了"),))
    write_dialogues(tmp_path / "calls.jsonl", [*made(60), rare])
    with pytest.raises(TrainingError, match="category 'ride' has no dialogue in the"):
        train_category(configured(tmp_path, "tracking.url=off"), SilentProgress())


def test_without_dialogues_it_says_how_to_name_some(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--dialogues FILE"):
        train_category(load_config(None, [f"workspace={tmp_path}"]), SilentProgress())


def test_a_model_that_hears_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="modality 'speech'"):
        configured(tmp_path, "screening.category.model.modality=speech")
    (tmp_path / "bundle").mkdir()
    with pytest.raises(BundleError, match="is no bundle"):
        BundleCategories.load(tmp_path / "bundle", PolicyConfig())
