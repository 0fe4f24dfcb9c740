"""Calibration, evidence, stopping and slices: of the bundle, and of the models of rotated folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persona_ray.config import RunConfig
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.errors import ConfigError
from persona_ray.evaluation.assess import BUNDLE, FOLDS, Assessment, assess_bundle, assess_folds
from persona_ray.evaluation.calibration import Calibration
from persona_ray.evaluation.compare import ArmPredictions, FoldUnit, deal_customers
from persona_ray.evaluation.conditions import clip_conditions
from persona_ray.evaluation.evidence import Evidence
from persona_ray.evaluation.scores import Prediction
from persona_ray.evaluation.slices import Slices, measure_slices
from persona_ray.evaluation.stopping import Stopping
from persona_ray.launch.labelled import LabelledCorpus
from persona_ray.launch.predict import predict_clips
from persona_ray.models.contract import Contract
from persona_ray.progress import Progress
from persona_ray.types import Split


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of each set of answers that has a labelled clip: those of the bundle, those of the folds."""

    calibration: tuple[Calibration, ...]
    evidence: tuple[Evidence, ...]
    stopping: tuple[Stopping, ...]
    slices: tuple[Slices, ...]


def judge(
    config: RunConfig,
    data: LabelledCorpus,
    contract: Contract,
    test: Sequence[Prediction],
    arms: Sequence[ArmPredictions],
    customer_labels: Mapping[str, str],
    progress: Progress,
) -> Judgement:
    """`test`: the bundle's answers for the test customers, in the order of their calls; `arms`: of
    rotated folds, may be none."""
    labels, resamples = config.annotation.labels, config.evaluation.bootstrap
    sets: list[tuple[str, Sequence[Prediction]]] = []
    assessed: list[Assessment] = []
    if any(row.label for row in test):
        sets.append((BUNDLE, test))
        dev = _dev(config, data, progress)
        assessed.append(
            assess_bundle(
                test,
                dev,
                labels,
                customer_labels,
                contract.temperature,
                contract.temperature_note,
                resamples,
            )
        )
    rotated = next((arm.predictions for arm in arms if _of_bundle(config, arm)), ())
    if rotated:
        sets.append((FOLDS, rotated))
        fold_of = deal_customers(data.examples, config.evaluation.folds, config.splits.salt)
        assessed.append(assess_folds(rotated, labels, fold_of, resamples))
    return Judgement(
        calibration=tuple(part.calibration for part in assessed),
        evidence=tuple(part.evidence for part in assessed),
        stopping=tuple(part.stopping for part in assessed),
        slices=_slices(config, data, sets, progress),
    )


def check_facts(config: RunConfig, dataset: CorpusDataset) -> None:
    """Raises ConfigError for a fact to break down by that no clip of the corpus has."""
    if not config.evaluation.slice_facts:
        return
    known = {name for info in dataset.infos() for name in info.facts}
    for name in config.evaluation.slice_facts:
        if name not in known:
            there = f"they have {', '.join(sorted(known))}" if known else "they have none"
            raise ConfigError(
                f"evaluation.slice_facts: no clip has the fact '{name}' ({there}): take it out, or "
                f"select it as fact_{name} in archive.query and build the corpus anew"
            )


def _of_bundle(config: RunConfig, arm: ArmPredictions) -> bool:
    """Trained as the bundle was, on other customers."""
    return arm.arm.modality == config.model.modality and arm.arm.unit == FoldUnit.CUSTOMER


def _dev(config: RunConfig, data: LabelledCorpus, progress: Progress) -> list[Prediction]:
    """The bundle's answers for all usable clips of the dev customers."""
    label_of = {example.clip_id: example.label for example in data.of(Split.DEV)}
    customers = {example.customer_id for example in data.of(Split.DEV)}
    owner = {
        info.clip_id: info.customer_id
        for info in data.dataset.infos()
        if info.customer_id in customers
    }
    answers = predict_clips(config, data.dataset, progress, clip_ids=list(owner))
    return [
        Prediction(clip_id, owner[clip_id], label_of.get(clip_id, ""), answer.probabilities)
        for clip_id, answer in answers.items()
    ]


def _slices(
    config: RunConfig,
    data: LabelledCorpus,
    sets: Sequence[tuple[str, Sequence[Prediction]]],
    progress: Progress,
) -> tuple[Slices, ...]:
    ids = {row.clip_id for _, rows in sets for row in rows if row.label}
    if not ids:
        return ()
    with progress.stage("conditions of the judged clips", total=len(ids)) as stage:
        conditions = clip_conditions(
            data.dataset, ids, config.corpus.truth, config.evaluation.slice_facts
        )
        stage.advance(len(ids))
    return tuple(
        measure_slices(basis, rows, conditions, config.evaluation.bootstrap) for basis, rows in sets
    )
