"""Labelled dialogues -> the category model: bundle, report, a version in the registry."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.corpus.dialogues import Dialogue, deal, fingerprint, prefix, read_dialogues
from persona_ray.errors import ConfigError
from persona_ray.evaluation.categories import ALL, CategoryReport
from persona_ray.launch.journal import journalled
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.text_model import TextTraining, trained, with_files
from persona_ray.launch.tracking.runs import check_tracking
from persona_ray.launch.versions.category import register
from persona_ray.launch.watching import counted
from persona_ray.progress import Progress
from persona_ray.types import Example, Split

STAGE = "category training"
# In the workspace.
FOLDER, BUNDLE, REPORT = "category", "bundle", "report.html"


@dataclass(frozen=True, slots=True)
class CategoryResult:
    """`registered` is the bundle's address in the registry, empty where it has none; `why` it is
    champion or not, empty where it was the champion."""

    bundle_dir: Path
    report: CategoryReport
    report_path: Path
    registered: str
    why: str = ""

    def __str__(self) -> str:
        lines = [f"dialogues: {', '.join(f'{k} {v}' for k, v in self.report.counts.items())}"]
        for row in self.report.after:
            name = "all turns" if row.turns == ALL else f"after turn {row.turns}"
            lines.append(
                f"{name + ':':16}macro-F1 {row.scores.macro_f1.value:.3f}, "
                f"accuracy {row.scores.accuracy.value:.3f}"
            )
        lines += [
            f"TF-IDF with logistic regression, {plain.reads}: "
            f"macro-F1 {plain.scores.macro_f1.value:.3f}"
            for plain in self.report.baselines
        ]
        if self.registered:
            lines.append(f"registered: {self.registered}{self.why and f': {self.why}'}")
        return "\n".join([*lines, f"report: {self.report_path}", f"bundle: {self.bundle_dir}"])


def with_dialogues(config: RunConfig, files: Sequence[Path]) -> RunConfig:
    """`config` that trains on `files`, where any are given."""
    return with_files(config, {"screening.category.dialogues": files})


@copied("category")
def train_category(
    config: RunConfig,
    progress: Progress,
    *,
    fresh: bool = False,
    promote: bool = False,
    baseline: bool = True,
) -> CategoryResult:
    """Train on `screening.category.dialogues`, judge on those held out, write and register.

    Each dialogue of training is read twice: as the caller has opened, and whole, so that one model
    answers after any turn. The first version that is registered becomes champion, later ones where
    they are better than the champion, or with `promote`; `baseline` False leaves TF-IDF with
    logistic regression out. A killed run goes on where it was, unless `fresh`. Raises ConfigError,
    CorpusError, TrainingError, ModelError.
    """
    if not config.screening.category.dialogues:
        raise ConfigError(
            "screening.category.dialogues names no file of labelled dialogues: give one with "
            "--dialogues FILE (JSON lines; `persona-ray synth dialogues` makes some)"
        )
    with journalled(config, STAGE), counted(config, STAGE, progress) as job:
        return _train(config, job, fresh, promote, baseline)


def _train(
    config: RunConfig, progress: Progress, fresh: bool, promote: bool, baseline: bool
) -> CategoryResult:
    check_tracking(config)
    section = config.screening.category
    dialogues = read_dialogues([Path(name) for name in section.dialogues])
    splits = deal(dialogues, section.test, section.dev, section.salt)
    by_split = {
        split: [dialogue for dialogue in dialogues if splits[dialogue.id] is split]
        for split in Split
    }
    work = TextTraining(
        name="category",
        stage=STAGE,
        model=section.model,
        training=section.training,
        examples={split: _examples(part, split) for split, part in by_split.items()},
        data=fingerprint(dialogues),
        splits={"test": section.test, "dev": section.dev, "salt": section.salt},
    )
    labels = work.labels("category", "dialogue", "screening.category.salt")
    bundle = config.workspace / FOLDER / BUNDLE
    started = time.perf_counter()
    with trained(config, progress, work, labels, bundle, fresh) as tracker:
        seconds = time.perf_counter() - started
        report = _judged(config, bundle, by_split, work.data, seconds, baseline)
        page = _written(report, config.workspace / FOLDER / REPORT)
        tracker.text("category.html", page.read_text(encoding="utf-8"))
        tracker.text("category.json", report.model_dump_json(indent=1))
    test = by_split[Split.TEST]
    registered, why = register(config, bundle, test, tracker.run_id, promote)
    return CategoryResult(bundle, report, page, registered, why)


def _examples(dialogues: Sequence[Dialogue], split: Split) -> tuple[Example, ...]:
    """Each as it opens, and whole."""
    return tuple(
        prefix(dialogue, turns, split)
        for dialogue in dialogues
        for turns in sorted({1, len(dialogue.caller)})
    )


def _judged(
    config: RunConfig,
    bundle: Path,
    by_split: Mapping[Split, Sequence[Dialogue]],
    data: str,
    seconds: float,
    baseline: bool,
) -> CategoryReport:
    from persona_ray.evaluation.categories import after_turns, baselines, turn_evidence
    from persona_ray.inference.screening.categories import CategoryReader

    reader = CategoryReader.load(bundle)
    test = by_split[Split.TEST]
    plain = baselines(by_split[Split.TRAIN], test, reader.labels) if baseline else []
    policy = config.screening.policy
    illegal = frozenset(
        name for name in reader.labels if policy.categories.get(policy.name_of(name)) == "illegal"
    )
    return CategoryReport(
        labels=reader.labels,
        counts={split.value: len(part) for split, part in by_split.items()},
        after=tuple(
            after_turns(
                test, reader.probabilities, reader.labels, resamples=config.evaluation.bootstrap
            )
        ),
        baselines=tuple(plain),
        turn_evidence=turn_evidence(test, reader.probabilities, illegal),
        data_fingerprint=data,
        seconds=seconds,
    )


def _written(report: CategoryReport, path: Path) -> Path:
    from persona_ray.evaluation.report.categories import write_categories

    return write_categories(report, path)
