"""The main job on a slice of the shipped archive, from the database to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config import RunConfig, load_config, write_config
from persona_ray.config.corpus import DEFAULT_QUERY
from persona_ray.errors import CorpusError
from persona_ray.evaluation.assess import BUNDLE, FOLDS
from persona_ray.evaluation.report import ReportData
from persona_ray.launch import evaluate
from persona_ray.launch.evaluate import EvaluationResult, evaluate_run
from persona_ray.launch.journal import read_journal
from persona_ray.launch.labelled import open_labelled
from persona_ray.launch.main_job import run_main_job
from persona_ray.progress import SilentProgress
from persona_ray.synth.truth import read_calls
from persona_ray.types import Split

CUSTOMERS_PER_COLOUR = 3


@pytest.fixture(scope="module")
def config(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    archive = repository / "demo" / "archive"
    chosen: dict[str, list[str]] = {}
    with_loss = {call.customer_id for call in read_calls(archive) if call.expected != "ok"}
    for call in read_calls(archive):
        same = chosen.setdefault(call.colour, [])
        enough = len(same) >= CUSTOMERS_PER_COLOUR
        if call.customer_id not in (*same, *with_loss) and not enough:
            same.append(call.customer_id)
    names = ", ".join(f"'{name}'" for group in chosen.values() for name in group)
    small = {"hidden_size": 16, "layers": 2, "heads": 2}
    return load_config(
        repository / "configs" / "demo.yaml",
        [
            f"workspace={tmp_path_factory.mktemp('run')}",
            f"archive.url=sqlite:///{archive / 'business.sqlite'}",
            f"archive.audio_root={archive}",
            f"corpus.truth={archive / 'truth'}",
            f"annotation.files=[{archive / 'annotations.csv'}]",
            # The demo hears with an encoder that masked units cannot train.
            "model.speech.path=",
            f"model.speech.small={json.dumps({**small, 'conv_channels': 18})}",
            f"model.text.small={json.dumps(small)}",
            "pretraining.encoders=[text, speech]",
            "pretraining.text.epochs=2",
            "pretraining.speech.epochs=1",
            "pretraining.speech.iterations=[{clusters: 8}]",
            "tracking.url=off",
            "training.epochs=3",
            "training.frozen_epochs=2",
            "evaluation.folds=2",
            "evaluation.bootstrap=20",
            # One word of SQL is enough to run on some customers.
            f"archive.query={json.dumps(DEFAULT_QUERY + f' WHERE c.customer_id IN ({names})')}",
        ],
    )


@pytest.fixture(scope="module")
def result(config: RunConfig, ray_cluster: str) -> EvaluationResult:  # noqa: ARG001
    return run_main_job(config, SilentProgress())


@pytest.mark.cluster
def test_report_holds_what_the_run_did(result: EvaluationResult, config: RunConfig) -> None:
    data = result.data
    assert data.corpus is not None
    assert data.corpus.calls == 4 * CUSTOMERS_PER_COLOUR * 3
    assert data.corpus.customers == 4 * CUSTOMERS_PER_COLOUR
    assert data.corpus.quality is not None
    assert data.corpus.quality.character_error_rate is not None
    assert data.held_out is not None
    assert {call.customer_id for call in data.calls if call.label} == {
        call.customer_id for call in data.calls
    }
    assert data.comparison is not None
    assert {arm.modality for arm in data.comparison.modalities} == {"both", "speech", "text"}
    # Every labelled clip was held out once, in each arm.
    assert data.annotation is not None
    labelled = sum(size.clips for size in data.annotation.splits)
    assert {arm.clips.count for arm in data.comparison.modalities} == {labelled}
    for judged in (data.calibration, data.evidence, data.stopping, data.slices):
        assert [part.basis for part in judged] == [BUNDLE, FOLDS]
    assert data.slices[1].clips == labelled
    known = {part.name for part in data.slices[1].dimensions} | set(data.slices[1].alike)
    assert {"scene", "codec", "voice (median pitch)", "sex", "planted dirt"} <= known
    assert data.training is not None
    assert sum(data.training.layer_parts) == pytest.approx(1.0)
    assert [epoch.frozen for epoch in data.training.epochs] == [True, True, False]
    html = (config.workspace / "report.html").read_text(encoding="utf-8")
    assert all(call.call_id in html for call in data.calls)
    card = result.card.read_text(encoding="utf-8")
    assert result.card.parent == config.bundle_dir
    assert not [call for call in data.calls if call.customer_id in card]
    # What the caller is told is what was written, the last stage included.
    assert ReportData.model_validate_json((config.workspace / "report.json").read_bytes()) == data
    assert data.stages[-1].name == "evaluate"


@pytest.mark.cluster
def test_encoders_were_pretrained_without_the_held_out(
    result: EvaluationResult, config: RunConfig
) -> None:
    from persona_ray.corpus.units import UnitStore

    (folder,) = (config.corpus_dir / "units").iterdir()
    units = UnitStore.open(folder)
    data = open_labelled(config)
    customers = {split: {e.customer_id for e in data.of(split)} for split in Split}
    for info in data.dataset.infos():
        held_out = info.customer_id in customers[Split.DEV] | customers[Split.TEST]
        if held_out:
            with pytest.raises(KeyError):
                units.units(info.clip_id)
        else:
            assert len(units.units(info.clip_id))
    assert all(customers.values())
    assert {"pretrain text", "pretrain speech"} <= set(read_journal(config))
    assert result.data.pretraining is not None
    assert len(result.data.pretraining.speech) == len(result.data.pretraining.text) == 1


@pytest.mark.cluster
def test_what_evaluation_lacks_is_said_before_folds_are_trained(
    result: EvaluationResult,  # noqa: ARG001
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in config.workspace.absolute().iterdir():
        if path.name != "history.json":
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(evaluate, "compare_modalities", lambda *_: pytest.fail("folds are trained"))
    with pytest.raises(CorpusError, match=r"history\.json is missing"):
        evaluate_run(config.model_copy(update={"workspace": tmp_path}), SilentProgress())


@pytest.mark.cluster
def test_second_run_does_nothing_twice(result: EvaluationResult, config: RunConfig) -> None:
    before = (config.corpus_dir / "corpus.json").read_bytes()
    again = run_main_job(config, SilentProgress())
    assert (config.corpus_dir / "corpus.json").read_bytes() == before
    assert again.data.held_out == result.data.held_out
    assert again.data.comparison == result.data.comparison


@pytest.mark.cluster
def test_command_line_recognises_what_the_report_says(
    result: EvaluationResult, config: RunConfig
) -> None:
    reported = result.data.calls[0]
    path = config.workspace / "as-run.yaml"
    write_config(config, path)
    arguments = ["recognize", "--call", reported.call_id, "--json", "--config", str(path)]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    tree = json.loads(answer.stdout)
    assert tree["together"]["probabilities"] == pytest.approx(reported.probabilities, abs=1e-5)
    assert sum(tree["together"]["probabilities"].values()) == pytest.approx(1.0)
    assert len(tree["results"][0]["sentences"]) == len(reported.sentences)
