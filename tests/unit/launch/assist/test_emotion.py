"""The emotion model from labelled conversations to moods of sentences that were spoken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from persona_ray.audio.prosody import Prosody, prosody
from persona_ray.audio.vad import Span
from persona_ray.config import RunConfig, load_config
from persona_ray.conversation import Emotion, Speaker, Tone
from persona_ray.corpus.conversations import Conversation, write_conversations
from persona_ray.errors import BundleError, ConfigError, CorpusError, TrainingError
from persona_ray.inference.assist.baseline import Baseline
from persona_ray.inference.assist.emotion.combine import MoodReader, Weights
from persona_ray.inference.assist.emotion.lexicon import load_lexicon
from persona_ray.inference.assist.emotion.model import EmotionReader
from persona_ray.inference.assist.records import Mood, Sentence
from persona_ray.launch.assist.emotion import EmotionResult, train_emotion
from persona_ray.progress import SilentProgress
from persona_ray.tts.base import Voice
from persona_ray.tts.espeak import EspeakSynthesizer
from persona_ray.types import Word
from tests.unit.inference.assist.emotion import planted

EVERYDAY = ["我的身份证在家里", "卡号后面是六二八", "下午三点到五点有人", "地址是中山路十二号"]


def configured(workspace: Path, *changes: str) -> RunConfig:
    return load_config(
        None,
        [
            f"workspace={workspace}",
            f"assist.emotion.conversations=[{workspace / 'calls.jsonl'}]",
            "launch.backend=plain",
            "launch.cpus_per_worker=1",
            "evaluation.bootstrap=100",
            "assist.emotion.training.epochs=4",
            "assist.emotion.training.learning_rate=2e-2",
            "assist.emotion.training.batch_s=64",
            "assist.emotion.model.text.grams.least=2",
            *changes,
        ],
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, EmotionResult]:
    workspace = tmp_path_factory.mktemp("emotion")
    write_conversations(workspace / "calls.jsonl", planted.conversations(45))
    config = configured(workspace)
    return config, train_emotion(config, SilentProgress())


@pytest.fixture(scope="module")
def reader(trained: tuple[RunConfig, EmotionResult]) -> MoodReader:
    return MoodReader(load_lexicon(None), EmotionReader.load(trained[1].bundle_dir), Weights())


def mood(reader: MoodReader, text: str, tone: Tone) -> Mood:
    return reader.mood(Sentence(Speaker.CUSTOMER, text, 0.0, 1.0, tone))


class Customer:
    """Somebody whose voice espeak-ng gives, and whose usual sound is known from other sentences."""

    def __init__(self) -> None:
        self._engine = EspeakSynthesizer()
        self._baseline = Baseline(6.0)
        for text in EVERYDAY:
            self._baseline.add(self._sound(text))

    def says(
        self, text: str, louder_db: float = 0.0, pitch: float = 1.0, fast: float = 1.0
    ) -> Tone:
        return self._baseline.tones(self._sound(text, louder_db, pitch, fast), ())[0]

    def _sound(
        self, text: str, louder_db: float = 0.0, pitch: float = 1.0, fast: float = 1.0
    ) -> Prosody:
        samples, rate_hz = self._engine.synthesize(text, Voice("a", "female", pitch=pitch), fast)
        samples = 0.3 * samples * 10 ** (louder_db / 20)
        seconds = len(samples) / rate_hz
        words = [Word(text, 0.0, seconds)]
        return prosody(samples, rate_hz, [Span(0.0, seconds)], words)[0]


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_how_it_is_said_decides_what_busy_and_good_mean(reader: MoodReader) -> None:
    customer = Customer()
    harsh = {"louder_db": 7.0, "pitch": 1.25, "fast": 1.4}
    busy, good = "我现在很忙，别说了", "好啊真好"
    calm = mood(reader, busy, customer.says(busy))
    assert calm.emotion is Emotion.NEUTRAL
    assert mood(reader, busy, customer.says(busy, **harsh)).emotion is Emotion.ANNOYED
    assert mood(reader, good, customer.says(good, **harsh)).emotion is Emotion.ANNOYED
    denied = "我不是不满意"
    assert mood(reader, denied, customer.says(denied)).emotion is Emotion.NEUTRAL
    # The word carries what the sentence does.
    (word, *_) = calm.keywords
    assert (word.text, max(word.combined, key=word.combined.__getitem__)) == (
        "忙",
        Emotion.NEUTRAL,
    )


def test_words_and_sound_together_know_more_than_either(
    trained: tuple[RunConfig, EmotionResult],
) -> None:
    report = trained[1].report
    accuracy = {s.name: s.scores.accuracy.value for s in report.sentences.sources}
    assert accuracy["fitted"] > accuracy["lexicon"] + 0.1
    assert accuracy["model"] > accuracy["words"] + 0.1
    assert report.keywords is not None
    assert {source.name for source in report.keywords.sources} == set(accuracy)
    assert sum(part["customers"] for part in report.counts.values()) == 45
    assert min(report.curve, key=lambda point: point[1])[0] == report.fitted
    page = trained[1].report_path.read_text(encoding="utf-8")
    assert "lexicon alone" in page
    assert f"lexicon_weight={report.fitted:.2f}" in str(trained[1])
    # Nothing that anybody said stands in it.
    assert "满意" not in page
    figures = json.loads(trained[1].report_path.with_suffix(".json").read_text(encoding="utf-8"))
    assert figures["fitted"] == report.fitted


def test_the_first_is_champion_and_another_only_where_it_is_better(
    trained: tuple[RunConfig, EmotionResult],
) -> None:
    config, result = trained
    assert result.registered == "models:/emotion/1 (champion)"
    changed = configured(config.workspace, "assist.emotion.training.epochs=1")
    second = train_emotion(changed, SilentProgress(), words=False)
    assert second.registered == "models:/emotion/2 (challenger)"
    assert "accuracy on sentences" in second.why
    assert {s.name for s in second.report.sentences.sources} == {
        "lexicon",
        "model",
        "fixed",
        "fitted",
    }


def test_files_that_judge_hold_nobody_who_is_learnt_from(tmp_path: Path) -> None:
    learnt = planted.conversations(30)
    write_conversations(tmp_path / "calls.jsonl", learnt)
    write_conversations(tmp_path / "others.jsonl", planted.conversations(30, seed=1))
    changes = [f"assist.emotion.judged_by=[{tmp_path / 'others.jsonl'}]", "tracking.url=off"]
    changes.append("assist.emotion.training.epochs=1")
    report = train_emotion(configured(tmp_path, *changes), SilentProgress(), words=False).report
    assert report.counts["train"]["customers"] == 30
    assert report.counts["dev"]["customers"] + report.counts["test"]["customers"] == 30
    same = [one.model_copy(update={"id": f"again-{one.id}"}) for one in learnt]
    write_conversations(tmp_path / "others.jsonl", same)
    with pytest.raises(CorpusError, match=r"30 customers of assist\.emotion\.judged_by are learnt"):
        train_emotion(configured(tmp_path, *changes), SilentProgress())


def test_conversations_without_labels_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--conversations FILE"):
        train_emotion(load_config(None, [f"workspace={tmp_path}"]), SilentProgress())
    bare = [
        Conversation(
            id=one.id,
            customer=one.customer,
            turns=tuple(
                turn.model_copy(update={"emotion": None, "keywords": ()}) for turn in one.turns
            ),
        )
        for one in planted.conversations(12)
    ]
    write_conversations(tmp_path / "calls.jsonl", bare)
    with pytest.raises(TrainingError, match="0 labelled emotions"):
        train_emotion(configured(tmp_path, "tracking.url=off"), SilentProgress())


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(BundleError, match="is no bundle"):
        EmotionReader.load(tmp_path / "bundle")
