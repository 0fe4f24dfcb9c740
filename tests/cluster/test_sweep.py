"""Sweeps on a real cluster: the same numbers as runs from scratch, once each, however they end."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from persona_ray.config import RunConfig, load_config
from persona_ray.config.space import with_values
from persona_ray.errors import ConfigError
from persona_ray.launch.sweep import job as command
from persona_ray.launch.sweep.job import sweep
from persona_ray.launch.sweep.journal import SweepJournal
from persona_ray.progress import SilentProgress
from persona_ray.training.context import PlainContext
from persona_ray.training.finetune.run import Known, fit
from persona_ray.training.finetune.vectors import VectorCache
from persona_ray.types import Example, Split
from tests.unit.training.toys import LABELS, Tones, examples, model_config, training_config

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_cluster", "toys")]

CPU = torch.device("cpu")
TRAIN, DEV = tuple(examples(24)), tuple(examples(9, Split.DEV, first=24))


@dataclass(frozen=True)
class Toys(Tones):
    fingerprint: str = "toys"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[Split, tuple[Example, ...]] = {Split.TRAIN: TRAIN, Split.DEV: DEV, Split.TEST: ()}
    data = SimpleNamespace(
        dataset=Toys(), labels_fingerprint="labels", examples=(*TRAIN, *DEV), of=parts.__getitem__
    )
    monkeypatch.setattr(command, "open_labelled", lambda _: data)


def config(workspace: Path, **changes: Any) -> RunConfig:
    tree = RunConfig(workspace=workspace).model_dump(mode="json")
    tree["model"] = model_config().model_dump(mode="json")
    tree["training"] = training_config(3, 1).model_dump(mode="json")
    tree["tracking"]["url"] = "off"
    tree["annotation"]["labels"] = list(LABELS)
    tree["sweep"] |= {
        "space": {
            "training.frozen_epochs": {"grid": [1, 2, 3]},
            "training.decay_rate": {"grid": [0.5, 1.0]},
        },
        **changes,
    }
    return RunConfig.model_validate(tree)


def from_scratch(run: RunConfig, values: dict[str, Any], cache: Path) -> list[Any]:
    """The epochs of a run of its own, with nothing shared but vectors on the disk."""
    from persona_ray.launch.workers.job import TrainingJob

    its = with_values(run, values)
    job = TrainingJob(its.model, its.training, LABELS, TRAIN, DEV, Toys())
    torch.set_num_threads(1)
    history = fit(
        job.build_model(), TRAIN, DEV, Toys(), its.training, PlainContext(device=CPU),
        known=Known(cache=VectorCache(cache)),
    )  # fmt: skip
    return [(epoch.epoch, epoch.phase, epoch.loss, epoch.dev) for epoch in history.epochs]


def test_a_sweep_gives_the_numbers_of_runs_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = config(tmp_path)
    result = sweep(run, SilentProgress())
    assert (result.trained, result.found, len(result.rows)) == (6, 0, 6)
    assert all(row.whole and row.runs == 1 for row in result.rows)
    losses = [row.score for row in result.rows]
    assert losses == sorted(losses)
    # What trials say is what runs of their own say, to the last bit.
    journal = SweepJournal(tmp_path / "sweep" / "runs")
    kept = {
        tuple((e.epoch, e.phase, e.loss, e.dev) for e in history.epochs)
        for path in journal.folder.iterdir()
        if (known := journal.read(path.stem, "")) and (history := known.history)
    }
    for row in result.rows:
        assert tuple(from_scratch(run, dict(row.values), tmp_path / "vectors")) in kept
    with (tmp_path / "sweep" / "sweep.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == pytest.approx(losses, abs=1e-6)
    assert "<svg" in (tmp_path / "sweep" / "sweep.html").read_text(encoding="utf-8")
    best = load_config(tmp_path / "sweep" / "best.yaml")
    assert best == with_values(run, result.best.values)
    # Nothing is trained again; what is new is.
    finals: list[RunConfig] = []

    def finetuned(its: RunConfig, *_: object, parent: object) -> object:
        finals.append(its)
        return parent

    monkeypatch.setattr("persona_ray.launch.finetune.finetune", finetuned)
    again = sweep(run, SilentProgress(), final=True)
    assert (again.trained, again.found) == (0, 6)
    assert [row.score for row in again.rows] == losses
    assert finals == [best]
    more = sweep(config(tmp_path, seeds=(0, 1)), SilentProgress())
    assert (more.trained, more.found) == (6, 6)
    assert all(row.runs == 2 and row.spread is not None for row in more.rows)


def test_customers_are_rotated(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    space = {"training.frozen_epochs": {"grid": [3]}}
    result = sweep(config(tmp_path, space=space, folds=3), SilentProgress())
    (row,) = result.rows
    assert (row.runs, result.trained) == (3, 3)
    assert "11 customers (3 rotated folds)" in result.notes[0]
    # Nothing of Tune's own stands between the bars.
    assert capfd.readouterr().out == ""


def test_the_scheduler_gives_up_and_is_believed(tmp_path: Path) -> None:
    """What was given up is not trained again, and counts as no result."""
    run = config(
        tmp_path,
        space={"training.learning_rate": {"grid": [0.05, 1e-9, 1e-8, 1e-7, 1e-6]}},
        scheduler="asha",
        grace_epochs=1,
        reduction=2,
        max_concurrent=1,
    )
    result = sweep(run, SilentProgress())
    given_up = [row for row in result.rows if not row.whole]
    assert given_up
    assert all(row.epochs < 3 for row in given_up)
    assert result.best.values == {"training.learning_rate": 0.05}
    again = sweep(run, SilentProgress())
    assert again.trained == 0
    assert again.rows == result.rows


def test_a_sweep_that_cannot_fit_says_so_at_once(tmp_path: Path) -> None:
    tree = config(tmp_path).model_dump(mode="json")
    tree["launch"] |= {"workers": 64, "gpus_per_worker": 1}
    with pytest.raises(ConfigError, match=r"needs 64 workers of 2 CPU and 1 GPU.*room for 0"):
        sweep(RunConfig.model_validate(tree), SilentProgress())


def test_a_trial_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Toys(sample_rate_hz=0)
    parts = {Split.TRAIN: TRAIN, Split.DEV: DEV}
    data = SimpleNamespace(dataset=broken, labels_fingerprint="labels", of=parts.__getitem__)
    monkeypatch.setattr(command, "open_labelled", lambda _: data)
    space = {"training.frozen_epochs": {"grid": [0]}}
    with pytest.raises(Exception, match=r"^[^\n]+$") as caught:
        sweep(config(tmp_path, space=space), SilentProgress())
    assert type(caught.value).__name__ in ("TrainingError", "ModelError", "EncoderError")


def test_optuna_goes_on_from_what_was_evaluated(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="pip install 'persona-ray[optuna]'")
    space = {
        "training.frozen_epochs": {"randint": [2, 3]},
        "training.learning_rate": {"loguniform": [1e-4, 0.1]},
        "training.kept_frozen": {"choice": [["speech"], ["speech", "text"]]},
    }
    few = config(tmp_path, space=space, search="optuna", samples=3, max_concurrent=1)
    result = sweep(few, SilentProgress())
    assert (result.trained, len(result.rows)) == (3, 3)
    for row in result.rows:
        assert row.values["training.frozen_epochs"] in (2, 3)
        assert row.values["training.kept_frozen"] in (["speech"], ["speech", "text"])
    more = sweep(
        config(tmp_path, space=space, search="optuna", samples=5, max_concurrent=1),
        SilentProgress(),
    )
    assert (more.found, more.trained, len(more.rows)) == (3, 2, 5)
    old = {str(row.values): row.score for row in result.rows}
    assert old.items() <= {str(row.values): row.score for row in more.rows}.items()
    assert load_config(tmp_path / "sweep" / "best.yaml").training.learning_rate == pytest.approx(
        more.best.values["training.learning_rate"]
    )
