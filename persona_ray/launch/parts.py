"""The parts of a report, from what a run left in its workspace."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path

from persona_ray.config import RunConfig, describe
from persona_ray.corpus.annotation.resolve import Resolution
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.leakage import LeakageReport
from persona_ray.corpus.records import DropReason
from persona_ray.evaluation.quality import Quality, measure_quality
from persona_ray.evaluation.report.data import (
    AnnotationPart,
    CorpusPart,
    Epoch,
    LeakagePart,
    NearDuplicate,
    QuarantinedCall,
    Setting,
    SplitSize,
    TrainingRun,
)
from persona_ray.evaluation.report.pretraining import (
    PretrainingPart,
    PretrainingRun,
    pretraining_runs,
)
from persona_ray.launch.units import noted_units
from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.finetune.history import History, Phase
from persona_ray.training.pretrain.curve import read_curves
from persona_ray.types import CallStatus, Example, Split

# Pairs of alike texts that a person will look at.
_SHOWN_DUPLICATES = 20


def corpus_part(
    config: RunConfig, dataset: CorpusDataset, figures: Mapping[str, float]
) -> CorpusPart:
    """`figures` of the corpus stage as journalled."""
    calls = list(dataset.calls())
    statuses = Counter(call.status for call in calls)
    customers, clips, clip_audio_s = set(), 0, 0.0
    for info in dataset.infos():
        customers.add(info.customer_id)
        clips += 1
        clip_audio_s += info.duration_s
    sources = Counter(call.transcript_source for call in calls if call.transcript_source)
    return CorpusPart(
        calls=len(calls),
        ok=statuses[CallStatus.OK],
        nothing_usable=statuses[CallStatus.NOTHING_USABLE],
        quarantined=tuple(
            QuarantinedCall(call_id=call.call_id, reason=call.reason, detail=call.detail)
            for call in calls
            if call.reason is not None
        ),
        clips=clips,
        customers=len(customers),
        clip_audio_s=clip_audio_s,
        call_audio_s=sum(call.audio_s for call in calls),
        dropped_short=sum(call.dropped.get(DropReason.SHORT, 0) for call in calls),
        min_chars=config.cut.min_chars,
        flags=dict(Counter(flag for call in calls for flag in call.flags)),
        recogniser=", ".join(name for name, _ in sources.most_common()),
        recognised_anew=int(figures["recognised"]) if "recognised" in figures else None,
        audio_s_per_s=figures.get("audio_s_per_s"),
        wall_s=figures.get("wall_s"),
        workers=config.corpus.workers,
        quality=_quality(config, dataset),
    )


def _quality(config: RunConfig, dataset: CorpusDataset) -> Quality | None:
    if not config.corpus.truth:
        return None
    truth = Path(config.corpus.truth)
    return measure_quality(truth, dataset, config.cut.min_chars, config.cut.pad_s)


def annotation_part(resolution: Resolution, examples: Iterable[Example]) -> AnnotationPart:
    rows = list(examples)
    agreement = resolution.agreement
    return AnnotationPart(
        annotators=len(agreement.annotators),
        annotations=sum(figures.clips for figures in agreement.annotators),
        annotated_clips=len(resolution.labels)
        + len(resolution.uncertain)
        + len(resolution.conflicts),
        labelled_clips=len(resolution.labels),
        uncertain_clips=len(resolution.uncertain),
        conflicts=len(resolution.conflicts),
        alpha=agreement.alpha,
        splits=tuple(
            SplitSize(
                split=split,
                customers=len({row.customer_id for row in rows if row.split == split}),
                clips=sum(row.split == split for row in rows),
                audio_s=sum(row.duration_s for row in rows if row.split == split),
                labels=dict(sorted(Counter(r.label for r in rows if r.split == split).items())),
            )
            for split in Split
        ),
    )


def leakage_part(report: LeakageReport) -> LeakagePart:
    return LeakagePart(
        customers_in_two_splits=tuple(str(leak) for leak in report.customers),
        texts_in_two_splits=tuple(str(leak) for leak in report.texts),
        clips_dropped=len(report.dropped),
        near_duplicates=tuple(
            NearDuplicate(
                text=pair.held_out,
                split=pair.held_out_split,
                other_text=pair.other,
                other_split=pair.other_split,
                similarity=pair.similarity,
            )
            for pair in report.near_duplicates[:_SHOWN_DUPLICATES]
        ),
        near_duplicates_found=report.near_duplicate_pairs,
    )


def pretraining_part(config: RunConfig) -> PretrainingPart | None:
    """Of the encoders that this run's fine-tuning started from; None without any."""
    runs: dict[str, tuple[PretrainingRun, ...]] = {}
    units = {run: str(info) for run, info in noted_units(config).items()}
    for encoder in config.pretraining.encoders:
        path = config.workspace / "pretraining" / f"{encoder}.json"
        if path.is_file():
            runs[encoder] = pretraining_runs(read_curves(path), units)
    return PretrainingPart(**runs) if any(runs.values()) else None


def training_run(
    config: RunConfig, history: History, model: BimodalModel, layer_parts: Sequence[float] = ()
) -> TrainingRun:
    """`model` is the trained one; `layer_parts` those of `evaluation.layers`."""
    best = history.best
    chosen = best if config.training.keep == "best" and best is not None else history.last
    weights: Sequence[float] = ()
    if model.featurizer is not None:
        weights = model.featurizer.weights().tolist()
    return TrainingRun(
        epochs=tuple(
            Epoch(
                epoch=epoch.epoch,
                frozen=epoch.phase == Phase.FROZEN,
                loss=epoch.loss,
                dev_loss=None if epoch.dev is None else epoch.dev.loss,
                dev_accuracy=None if epoch.dev is None else epoch.dev.clip_accuracy,
                learning_rate=epoch.learning_rate,
                wall_s=epoch.seconds,
            )
            for epoch in history.epochs
        ),
        stopped="" if history.ended is None else history.ended.reason,
        chosen_epoch=chosen.epoch,
        layer_weights=tuple(weights),
        layer_parts=tuple(layer_parts),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        speech_encoder=_encoder(config.model.speech.path, model.speech is not None, "HuBERT"),
        text_encoder=_encoder(config.model.text.path, model.text is not None, "BERT"),
        backend=config.launch.backend,
        workers=config.launch.workers,
    )


def _encoder(path: str, used: bool, small: str) -> str:
    if not used:
        return ""
    return path or f"small {small}, built here"


def changed_settings(config: RunConfig) -> tuple[Setting, ...]:
    """Keys of the run whose value is not the default."""
    trees = (config.model_dump(mode="json"), RunConfig().model_dump(mode="json"))
    changed = []
    for key, _, _ in describe():
        value, default = (reduce(lambda tree, part: tree[part], key.split("."), t) for t in trees)
        if value != default:
            shown = [json.dumps(v, ensure_ascii=False).strip('"') for v in (value, default)]
            changed.append(Setting(key=key, value=shown[0], default=shown[1]))
    return tuple(changed)
