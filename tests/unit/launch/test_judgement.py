"""From a workspace to a judged bundle: temperature, report and model card."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_ray.config import RunConfig
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.errors import ConfigError
from persona_ray.evaluation.assess import BUNDLE, FOLDS
from persona_ray.evaluation.calibration import temperature_of, with_temperature
from persona_ray.evaluation.report import ReportData
from persona_ray.evaluation.report.card import CARD
from persona_ray.evaluation.scores import Prediction
from persona_ray.launch.evaluate import EvaluationResult, evaluate_run
from persona_ray.launch.finetune import finetune
from persona_ray.launch.labelled import open_labelled
from persona_ray.launch.predict import predict_clips
from persona_ray.models.manifest import digest, read_contract, verify
from persona_ray.objectives.temperature import LEAST_ANSWERS
from persona_ray.progress import SilentProgress
from persona_ray.store import Annotation, open_store
from persona_ray.types import Modality, Split
from tests.unit.launch.registered import workspace
from tests.unit.training.toys import LABELS, model_config

QUIET = SilentProgress()


def learning(folder: Path, **splits: float) -> RunConfig:
    """A text model that learns in a second from the customers of `registered.workspace`."""
    tree = workspace(folder).model_dump(mode="json")
    tree["model"] = model_config(Modality.TEXT).model_dump(mode="json")
    tree["training"] |= {"epochs": 8, "frozen_epochs": 1, "learning_rate": 0.01, "batch_s": 6}
    tree["tracking"]["url"] = "off"
    tree["evaluation"] |= {"folds": 3, "bootstrap": 40, "sentence_split": False}
    tree["splits"] |= splits
    return RunConfig.model_validate(tree)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    found = learning(tmp_path_factory.mktemp("judged"), train=0.4, dev=0.4, test=0.2)
    # One label in five is another than the words say: nobody can be sure and right of all.
    infos = list(CorpusDataset.open(found.corpus_dir).infos())
    with open_store(found.store_url) as store:
        store.annotations.save(
            Annotation(annotator="adjudicator", label=LABELS[at % 4], clip_id=info.clip_id)
            for at, info in enumerate(infos)
            if at % 5 == 0
        )
    finetune(found, QUIET)
    return found


@pytest.fixture(scope="module")
def result(config: RunConfig) -> EvaluationResult:
    return evaluate_run(config, QUIET)


def test_the_bundle_carries_the_temperature_of_its_dev_split(config: RunConfig) -> None:
    contract = read_contract(config.bundle_dir)
    assert contract.temperature != 1.0
    assert contract.temperature_note == ""
    assert contract.metrics["dev_temperature"] == contract.temperature
    data = open_labelled(config)
    dev = {example.clip_id: example for example in data.of(Split.DEV)}
    assert len(dev) >= LEAST_ANSWERS
    answers = predict_clips(config, data.dataset, QUIET, clip_ids=list(dev))
    cooled = [
        Prediction(name, dev[name].customer_id, dev[name].label, found.probabilities)
        for name, found in answers.items()
    ]
    # What recognition says already is as calibrated on those clips as a temperature can make it.
    assert temperature_of(cooled, contract.labels).value == pytest.approx(1.0, abs=1e-3)
    plain = with_temperature(cooled, contract.labels, 1 / contract.temperature)
    found = temperature_of(plain, contract.labels)
    assert found.value == pytest.approx(contract.temperature, rel=1e-3)


def test_a_small_dev_split_leaves_the_probabilities_alone(tmp_path: Path) -> None:
    config = learning(tmp_path)
    finetune(config, QUIET)
    contract = read_contract(config.bundle_dir)
    dev = len(open_labelled(config).of(Split.DEV))
    assert contract.temperature == 1.0
    assert contract.temperature_note == f"{dev} dev clips, at least {LEAST_ANSWERS} are needed"


def test_both_sets_of_answers_are_judged(result: EvaluationResult, config: RunConfig) -> None:
    report = result.data
    data = open_labelled(config)
    for parts in (report.calibration, report.evidence, report.stopping, report.slices):
        assert [part.basis for part in parts] == [BUNDLE, FOLDS]
    bundle, folds = report.calibration
    contract = read_contract(config.bundle_dir)
    assert bundle.temperatures == (contract.temperature,)
    assert bundle.count == len(data.of(Split.TEST))
    assert folds.count == len(data.examples)
    assert len(folds.temperatures) == config.evaluation.folds
    # Customers of the evidence are those of the scores, and the sum is what recognition says.
    assert report.held_out is not None
    sums = report.evidence[0].curves[0]
    assert sums.points[-1].accuracy.value == report.held_out.customers.accuracy.value
    assert report.comparison is not None
    (text,) = [m for m in report.comparison.modalities if m.modality == Modality.TEXT]
    assert folds.customers == text.customers.count
    assert ReportData.model_validate_json(result.report.with_suffix(".json").read_bytes()) == report


def test_the_card_lies_in_the_bundle_and_names_it(
    result: EvaluationResult, config: RunConfig
) -> None:
    assert result.card == config.bundle_dir / CARD
    text = result.card.read_text(encoding="utf-8")
    assert digest(config.bundle_dir) in text
    verify(config.bundle_dir)
    assert str(result.card) in str(result)
    assert "expected calibration error" in str(result)


def test_slices_speak_of_what_the_corpus_knows(result: EvaluationResult) -> None:
    _, folds = result.data.slices
    # All are silent and of one second; the first of the calls is known to be a file of its own.
    assert {"clip length", "call condition"} <= set(folds.alike)
    (codec,) = folds.dimensions
    assert codec.name == "codec"
    assert [part.name for part in codec.slices] == ["unknown"]
    assert codec.left_out == ("ogg",)
    assert folds.clips == codec.slices[0].clips + codec.left_out_clips


def test_a_fact_that_no_clip_has_is_refused_at_once(config: RunConfig) -> None:
    asked = config.evaluation.model_copy(update={"slice_facts": ("sex",)})
    with pytest.raises(ConfigError, match=r"slice_facts: no clip has the fact 'sex' \(they have"):
        evaluate_run(config.model_copy(update={"evaluation": asked}), QUIET)
