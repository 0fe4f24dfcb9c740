"""The bundle on customers it never heard, and the report of the run."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from persona_ray import __version__
from persona_ray.config import RunConfig
from persona_ray.errors import CorpusError
from persona_ray.evaluation.compare import ArmPredictions, FoldUnit
from persona_ray.evaluation.layers import listening
from persona_ray.evaluation.report import write_report
from persona_ray.evaluation.report.card import model_card, write_card
from persona_ray.evaluation.report.data import (
    Comparison,
    HeldOut,
    ModalityScores,
    RecognisedCall,
    RecognisedSentence,
    ReportData,
    SplitGap,
    Stage,
)
from persona_ray.evaluation.scores import Prediction, majority, score_clips, score_customers
from persona_ray.inference.clips import ClipInput, combine
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.launch.compare import compare_modalities
from persona_ray.launch.corpus import STAGE as CORPUS_STAGE
from persona_ray.launch.encoders import unpretrained
from persona_ray.launch.finetune import HISTORY
from persona_ray.launch.journal import journalled, read_journal
from persona_ray.launch.judgement import check_facts, judge
from persona_ray.launch.labelled import LabelledCorpus, open_labelled
from persona_ray.launch.parts import (
    annotation_part,
    changed_settings,
    corpus_part,
    leakage_part,
    pretraining_part,
    training_run,
)
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.versions.kept import keep_evaluation
from persona_ray.launch.watching import counted
from persona_ray.models.manifest import digest, read_contract
from persona_ray.progress import Progress
from persona_ray.training.finetune.history import History
from persona_ray.training.finetune.vectors import VectorCache
from persona_ray.types import Clip, Modality, NothingUsable, Recognition, Split

REPORT = "report.html"
STAGE = "evaluate"


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """`data` is what the report at `report` shows; `card` is the model card."""

    report: Path
    card: Path
    data: ReportData

    def __str__(self) -> str:
        held_out = self.data.held_out
        lines = []
        if held_out is not None:
            clips, customers = held_out.clips, held_out.customers
            lines.append(
                f"unheard customers ({held_out.split}): {customers.right} of {customers.count} "
                f"recognised, clips {clips.accuracy.value:.1%} of {clips.count}"
            )
        if self.data.comparison is not None:
            lines += [
                f"{arm.modality:>6} over {self.data.comparison.folds} rotated folds: "
                f"customers {arm.customers.accuracy.value:.1%} of {arm.customers.count}, "
                f"clips {arm.clips.accuracy.value:.1%}"
                for arm in self.data.comparison.modalities
            ]
        lines += [
            f"calibration, {part.basis}: expected calibration error "
            f"{part.before.ece.value:.1%} -> {part.after.ece.value:.1%}"
            for part in self.data.calibration
        ]
        return "\n".join([*lines, f"model card: {self.card}", f"report: {self.report}"])


@copied("report", "bundle", needs=("corpus", "encoders"))
def evaluate_run(config: RunConfig, progress: Progress) -> EvaluationResult:
    """Judge the workspace's bundle; write report.html, report.json beside it, and the model card
    into the bundle's folder.

    Raises CorpusError without a corpus or a history of training, TrainingError for one that is
    damaged, BundleError without a bundle, ConfigError for a fact that is not there.
    """
    with journalled(config, STAGE), counted(config, STAGE, progress) as job:
        data = open_labelled(config)
        report = _report(config, data, job)
    # Read when the stage has ended, so that it is among them.
    report = report.model_copy(update={"stages": tuple(_stages(config))})
    path = config.workspace / REPORT
    write_report(report, path)
    contract = read_contract(config.bundle_dir)
    card = model_card(report, contract, digest(config.bundle_dir))
    keep_evaluation(config, report, card)
    return EvaluationResult(path, write_card(card, config.bundle_dir), report)


def _report(config: RunConfig, data: LabelledCorpus, progress: Progress) -> ReportData:
    history = config.workspace / HISTORY
    # Before hours of folds are trained for nothing.
    if not history.is_file():
        raise CorpusError(f"{history} is missing: run `persona-ray finetune` in this workspace")
    check_facts(config, data.dataset)
    contract = read_contract(config.bundle_dir)
    recognizer = PersonalityRecognizer.load(config.bundle_dir, config)
    labels = _customer_labels(data, config.annotation.labels)
    with listening(recognizer.model.featurizer) as blocks:
        calls, predictions = _recognise(recognizer, data, labels, progress)
    vectors = VectorCache(config.vectors_dir.absolute())
    arms = compare_modalities(unpretrained(config), data.examples, data.dataset, progress, vectors)
    judgement = judge(config, data, contract, predictions, arms, labels, progress)
    return ReportData(
        subtitle=f"Workspace {config.workspace.name}",
        made_at=datetime.now(UTC),
        version=__version__,
        command="persona-ray evaluate",
        labels=config.annotation.labels,
        held_out=_held_out(config, data, predictions, labels),
        calls=calls,
        comparison=_comparison(config, arms),
        split_gap=_gap(config, arms),
        calibration=judgement.calibration,
        evidence=judgement.evidence,
        stopping=judgement.stopping,
        slices=judgement.slices,
        pretraining=pretraining_part(config),
        training=training_run(config, History.read(history), recognizer.model, blocks.mean),
        corpus=corpus_part(config, data.dataset, read_journal(config).get(CORPUS_STAGE, {})),
        annotation=annotation_part(data.resolution, data.examples),
        leakage=leakage_part(data.leakage),
        settings=changed_settings(config),
        versions={"python": platform.python_version(), **contract.packages},
        machine=f"{platform.system()} {platform.machine()}",
        synthetic=bool(config.corpus.truth),
    )


def _recognise(
    recognizer: PersonalityRecognizer,
    data: LabelledCorpus,
    labels: Mapping[str, str],
    progress: Progress,
) -> tuple[tuple[RecognisedCall, ...], list[Prediction]]:
    """Every call of the test customers, and a prediction for each of their usable clips, labelled
    or not: whoever uses the model has no annotators to pick the clear ones."""
    held_out = {example.clip_id: example for example in data.of(Split.TEST)}
    customers = {example.customer_id for example in held_out.values()}
    ids = [info.clip_id for info in data.dataset.infos() if info.customer_id in customers]
    calls: list[RecognisedCall] = []
    predictions: list[Prediction] = []
    with progress.stage("recognising held-out calls", total=len(ids)) as stage:
        for _, group in groupby(data.dataset.clips(ids), key=lambda clip: clip.call_id):
            clips = list(group)
            call, results = _call(recognizer, clips, labels)
            calls.append(call)
            for clip, result in zip(clips, results, strict=True):
                if isinstance(result, Recognition):
                    example = held_out.get(clip.clip_id)
                    label = "" if example is None else example.label
                    predictions.append(
                        Prediction(clip.clip_id, clip.customer_id, label, result.probabilities)
                    )
            stage.advance(len(clips))
    heard = {call.call_id for call in calls}
    calls += [
        RecognisedCall(
            call_id=call.call_id,
            customer_id=call.customer_id,
            label=labels.get(call.customer_id, ""),
            reason=call.detail or call.status.value,
        )
        for call in data.dataset.calls()
        if call.customer_id in customers and call.call_id not in heard
    ]
    return tuple(sorted(calls, key=lambda call: (call.customer_id, call.call_id))), predictions


def _call(
    recognizer: PersonalityRecognizer, clips: Sequence[Clip], labels: Mapping[str, str]
) -> tuple[RecognisedCall, list[Recognition | NothingUsable]]:
    inputs = [ClipInput(clip.samples, clip.sample_rate_hz, clip.text) for clip in clips]
    results = [recognition.result for recognition in recognizer.clips(inputs)]
    whole = combine(results)
    first = clips[0]
    sentences = tuple(
        RecognisedSentence(
            start_s=clip.start_s,
            end_s=clip.end_s,
            text=clip.text,
            probabilities=dict(result.probabilities),
        )
        for clip, result in zip(clips, results, strict=True)
        if isinstance(result, Recognition)
    )
    call = RecognisedCall(
        call_id=first.call_id,
        customer_id=first.customer_id,
        scene=first.scene,
        label=labels.get(first.customer_id, ""),
        probabilities=dict(whole.probabilities) if isinstance(whole, Recognition) else None,
        reason=whole.reason if isinstance(whole, NothingUsable) else "",
        sentences=sentences,
    )
    return call, results


def _customer_labels(data: LabelledCorpus, labels: Sequence[str]) -> dict[str, str]:
    """The label that most of a customer's clips have."""
    found: dict[str, list[str]] = defaultdict(list)
    for example in data.examples:
        found[example.customer_id].append(example.label)
    return {customer_id: majority(own, labels) for customer_id, own in found.items()}


def _held_out(
    config: RunConfig,
    data: LabelledCorpus,
    predictions: Sequence[Prediction],
    customer_labels: Mapping[str, str],
) -> HeldOut | None:
    """Clips are judged where they have a label (`Prediction.label` is not empty), customers by all
    their usable clips."""
    labelled = [prediction for prediction in predictions if prediction.label]
    if not labelled:
        return None
    labels, resamples = config.annotation.labels, config.evaluation.bootstrap
    train = data.of(Split.TRAIN)
    return HeldOut(
        split=Split.TEST,
        clips=score_clips(labelled, labels, resamples),
        customers=score_customers(predictions, labels, customer_labels, resamples),
        train_clips=len(train),
        train_customers=len({example.customer_id for example in train}),
        train_audio_s=sum(example.duration_s for example in train),
        held_out_audio_s=sum(example.duration_s for example in data.of(Split.TEST)),
    )


def _comparison(config: RunConfig, arms: Iterable[ArmPredictions]) -> Comparison | None:
    labels, resamples = config.annotation.labels, config.evaluation.bootstrap
    rows = tuple(
        ModalityScores(
            modality=answers.arm.modality,
            clips=score_clips(answers.predictions, labels, resamples),
            customers=score_customers(answers.predictions, labels, resamples=resamples),
        )
        for answers in arms
        if answers.arm.unit == FoldUnit.CUSTOMER
    )
    return Comparison(folds=config.evaluation.folds, modalities=rows) if rows else None


def _gap(config: RunConfig, arms: Iterable[ArmPredictions]) -> SplitGap | None:
    both = {a.arm.unit: a.predictions for a in arms if a.arm.modality == Modality.BOTH}
    if set(both) != {FoldUnit.CUSTOMER, FoldUnit.SENTENCE}:
        return None
    labels, resamples = config.annotation.labels, config.evaluation.bootstrap
    return SplitGap(
        by_customer=score_clips(both[FoldUnit.CUSTOMER], labels, resamples),
        by_sentence=score_clips(both[FoldUnit.SENTENCE], labels, resamples),
    )


def _stages(config: RunConfig) -> Iterable[Stage]:
    for name, figures in read_journal(config).items():
        yield Stage(name=name, wall_s=figures["wall_s"])
