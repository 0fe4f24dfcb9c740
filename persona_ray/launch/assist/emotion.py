"""Labelled conversations -> the emotion model: bundle, report, a version in the registry."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.corpus.conversations import by_split, fingerprint, read_conversations
from persona_ray.errors import ConfigError, CorpusError, TrainingError
from persona_ray.evaluation import emotions
from persona_ray.evaluation.emotions import FITTED, FIXED, LABELS, EmotionReport
from persona_ray.evaluation.paired import compare_paired
from persona_ray.inference.assist.emotion.examples import Labelled, labelled
from persona_ray.inference.assist.emotion.lexicon import load_lexicon
from persona_ray.launch.journal import journalled
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.text_model import TextTraining, trained, with_files
from persona_ray.launch.tracking.runs import check_tracking
from persona_ray.launch.versions import succession
from persona_ray.launch.versions.succession import Comparison, unheard
from persona_ray.launch.watching import counted
from persona_ray.progress import Progress
from persona_ray.types import Split

if TYPE_CHECKING:
    from persona_ray.corpus.conversations import Conversation
    from persona_ray.inference.assist.emotion.lexicon import Lexicon

STAGE = "emotion training"
WORDS_STAGE = "emotion training, words alone"
# In the workspace.
FOLDER, BUNDLE, WORDS_BUNDLE, REPORT = "emotion", "bundle", "words", "report.html"
_DECIDES = "accuracy on sentences"

Rows = Mapping[Split, Sequence[Labelled]]


@dataclass(frozen=True, slots=True)
class EmotionResult:
    """`registered` is the bundle's address in the registry, empty where it has none; `why` it is
    champion or not, empty where it was the champion."""

    bundle_dir: Path
    report: EmotionReport
    report_path: Path
    registered: str
    why: str = ""

    def __str__(self) -> str:
        lines = []
        for source in self.report.sentences.sources:
            scores = source.scores
            lines.append(
                f"{source.name + ':':10}macro-F1 {scores.macro_f1.value:.3f}, "
                f"accuracy {scores.accuracy.value:.3f}"
            )
        fitted = self.report.fitted
        lines.append(
            f"weights that the dev part asks for: assist.emotion.lexicon_weight={fitted:.2f} "
            f"assist.emotion.model_weight={1 - fitted:.2f}"
        )
        if self.registered:
            lines.append(f"registered: {self.registered}{self.why and f': {self.why}'}")
        return "\n".join([*lines, f"report: {self.report_path}", f"bundle: {self.bundle_dir}"])


def with_conversations(
    config: RunConfig, files: Sequence[Path], judged_by: Sequence[Path] = ()
) -> RunConfig:
    """`config` that trains on `files` and judges by `judged_by`, where any are given."""
    keys = {"assist.emotion.conversations": files, "assist.emotion.judged_by": judged_by}
    return with_files(config, keys)


@copied("emotion")
def train_emotion(
    config: RunConfig,
    progress: Progress,
    *,
    fresh: bool = False,
    promote: bool = False,
    words: bool = True,
) -> EmotionResult:
    """Train on `assist.emotion.conversations`, judge on customers held out (or on `judged_by`),
    write and register.

    The first version that is registered becomes champion, later ones where they are better than the
    champion, or with `promote`; `words` False leaves out the model without sound that the report
    shows beside it. A killed run goes on where it was, unless `fresh`. Raises ConfigError,
    CorpusError, TrainingError, ModelError.
    """
    if not config.assist.emotion.conversations:
        raise ConfigError(
            "assist.emotion.conversations names no file of labelled conversations: give one with "
            "--conversations FILE (JSON lines; `persona-ray synth conversations` makes some)"
        )
    with journalled(config, STAGE), counted(config, STAGE, progress) as job:
        return _train(config, job, fresh, promote, words)


def _train(
    config: RunConfig, progress: Progress, fresh: bool, promote: bool, words: bool
) -> EmotionResult:
    check_tracking(config)
    lexicon = load_lexicon(config.assist.emotion.lexicon)
    parts = _parts(config)
    rows = {split: labelled(part) for split, part in parts.items()}
    data = fingerprint(one for part in parts.values() for one in part)
    folder = config.workspace / FOLDER
    work = _work(config, rows, data, sound=True)
    labels = work.labels("emotion", "sentence", "assist.emotion.salt")
    if len(labels) < 2 or not rows[Split.DEV]:
        raise TrainingError(
            f"{len(labels)} labelled emotions, {len(rows[Split.DEV])} labelled sentences in the "
            "dev split: two emotions and one sentence are needed at least; give more conversations"
        )
    started = time.perf_counter()
    if words:
        bare = _work(config, rows, data, sound=False)
        with trained(config, progress, bare, labels, folder / WORDS_BUNDLE, fresh):
            pass
    with trained(config, progress, work, labels, folder / BUNDLE, fresh) as tracker:
        seconds = time.perf_counter() - started
        report = _judged(config, folder, lexicon, rows, (data, seconds, words))
        page = _written(report, folder / REPORT)
        tracker.text("emotion.html", page.read_text(encoding="utf-8"))
        tracker.text("emotion.json", report.model_dump_json(indent=1))
    test = [row for row in rows[Split.TEST] if row.place is None]
    registered, why = _register(config, folder / BUNDLE, lexicon, test, tracker.run_id, promote)
    return EmotionResult(folder / BUNDLE, report, page, registered, why)


def _parts(config: RunConfig) -> dict[Split, list[Conversation]]:
    """Conversations of each split, by customer. Raises CorpusError where one is in two."""
    section = config.assist.emotion
    learnt = read_conversations([Path(name) for name in section.conversations])
    if not section.judged_by:
        return by_split(learnt, section.test, section.dev, section.salt)
    judged = read_conversations([Path(name) for name in section.judged_by])
    both = {one.person for one in learnt} & {one.person for one in judged}
    if both:
        raise CorpusError(
            f"{len(both)} customers of assist.emotion.judged_by are learnt from too: name files "
            "of others"
        )
    dealt = by_split(judged, 1 - section.dev, section.dev, section.salt)
    return {**dealt, Split.TRAIN: learnt}


def _work(config: RunConfig, rows: Rows, data: str, sound: bool) -> TextTraining:
    section = config.assist.emotion
    return TextTraining(
        name="emotion" if sound else "emotion-words",
        stage=STAGE if sound else WORDS_STAGE,
        model=section.model,
        training=section.training,
        examples={
            split: tuple(row.example(split, sound) for row in part) for split, part in rows.items()
        },
        data=data,
        splits={"test": section.test, "dev": section.dev, "salt": section.salt},
    )


def _judged(
    config: RunConfig, folder: Path, lexicon: Lexicon, rows: Rows, about: tuple[str, float, bool]
) -> EmotionReport:
    from persona_ray.inference.assist.emotion.model import EmotionReader

    data, seconds, words = about
    model = EmotionReader.load(folder / BUNDLE)
    told = {split: emotions.told(rows[split], lexicon, model) for split in (Split.DEV, Split.TEST)}
    bare: list[emotions.Told] = []
    if words:
        without = EmotionReader.load(folder / WORDS_BUNDLE)
        bare = emotions.told(rows[Split.TEST], lexicon, without, sound=False)
    curve = emotions.weight_curve([one for one in told[Split.DEV] if one.of.place is None])
    fitted = emotions.fitted_weight(curve)
    weight = config.assist.emotion.lexicon_weight
    weights = {FIXED: weight, FITTED: fitted}
    resamples = config.evaluation.bootstrap

    def kind(keyword: bool, of: Sequence[emotions.Told]) -> list[emotions.Told]:
        return [one for one in of if (one.of.place is not None) is keyword]

    def judged(what: str, keyword: bool) -> emotions.Judged:
        of, words_of = kind(keyword, told[Split.TEST]), kind(keyword, bare)
        return emotions.judged(what, of, words_of, weights, resamples)

    return EmotionReport(
        counts={split.value: _counts(part) for split, part in rows.items()},
        weight=weight,
        fitted=fitted,
        curve=curve,
        sentences=judged("sentences", keyword=False),
        keywords=judged("keywords", keyword=True) if kind(True, told[Split.TEST]) else None,
        disagreements=tuple(emotions.disagreements(kind(False, told[Split.TEST]), fitted)),
        lexicon=lexicon.version,
        data_fingerprint=data,
        seconds=seconds,
    )


def _counts(rows: Sequence[Labelled]) -> dict[str, int]:
    keywords = sum(row.place is not None for row in rows)
    return {
        "customers": len({row.customer for row in rows}),
        "sentences": len(rows) - keywords,
        "keywords": keywords,
    }


def _written(report: EmotionReport, path: Path) -> Path:
    from persona_ray.evaluation.report.emotions import write_emotions

    return write_emotions(report, path)


def _register(
    config: RunConfig,
    bundle: Path,
    lexicon: Lexicon,
    test: Sequence[Labelled],
    run_id: str,
    force: bool,
) -> tuple[str, str]:
    """As `succession.register`: judged by sentences of customers that neither has learnt from,
    each model with the lexicon and the configured weights, as it would answer."""
    from persona_ray.inference.assist.emotion.model import EmotionReader

    weight = config.assist.emotion.lexicon_weight

    def against(champion: Path) -> Comparison:
        left = unheard(champion, test, lambda row: row.customer, "held-out customers")
        first, second = (
            emotions.predictions(
                rows := emotions.told(left, lexicon, EmotionReader.load(folder)),
                [row.combined(weight) for row in rows],
            )
            for folder in (champion, bundle)
        )
        paired = compare_paired(first, second, LABELS)
        return Comparison(paired, _DECIDES, "held-out customers")

    name = config.assist.emotion.name
    return succession.register(config, name, bundle, run_id, against, force)
