"""Ray Train and the plain launcher run the same loop: same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from persona_ray.config.learning import LaunchConfig
from persona_ray.config.watching import TracesConfig
from persona_ray.errors import TrainingError
from persona_ray.launch.finetune_run import Finetuned, fit_on_ray, fit_plain
from persona_ray.launch.workers.job import TrainingJob
from persona_ray.training.finetune.history import EpochResult, Phase
from persona_ray.types import Split
from persona_ray.watch import spans
from tests.collector import collecting
from tests.unit.training.toys import (
    LABELS,
    QuietJob,
    Tones,
    examples,
    model_config,
    training_config,
)

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_cluster")]

ONE = LaunchConfig(cpus_per_worker=1)
TWO = LaunchConfig(workers=2, cpus_per_worker=1)


def job(kind: type[TrainingJob] = TrainingJob) -> TrainingJob:
    return kind(
        model=model_config(),
        training=training_config(4, 2),
        labels=LABELS,
        train=tuple(examples(40)),
        dev=tuple(examples(9, Split.DEV, first=60)),
        source=Tones(),
    )


def assert_same(one: Finetuned, other: Finetuned, tolerance: float) -> None:
    for mine, its in zip(one.history.epochs, other.history.epochs, strict=True):
        assert (mine.epoch, mine.phase) == (its.epoch, its.phase)
        assert mine.loss == pytest.approx(its.loss, abs=tolerance)
        assert mine.learning_rate == its.learning_rate
        assert mine.dev is not None
        assert its.dev is not None
        assert mine.dev.loss == pytest.approx(its.dev.loss, abs=tolerance)
    found, weights = one.model().state_dict(), other.model().state_dict()
    for name in ("classifier.weight", "featurizer.layer_weights"):
        torch.testing.assert_close(found[name], weights[name], atol=1e-3, rtol=0)


def test_ray_gives_the_plain_launchers_numbers(tmp_path: Path) -> None:
    told: list[EpochResult] = []
    with collecting() as collector:
        spans.set_up(TracesConfig(endpoint=collector.endpoint), "test")
        with spans.work("fine-tuning"):
            on_ray = fit_on_ray(job(), ONE, tmp_path / "ray", told.append)
        (worker,), (stage,) = collector.named("worker"), collector.named("fine-tuning")
        spans.close()
    assert (worker.trace_id, worker.parent_span_id) == (stage.trace_id, stage.span_id)
    plain = fit_plain(job(), ONE, tmp_path / "plain", lambda _: None)
    assert_same(on_ray, plain, 1e-4)
    assert [result.epoch for result in told] == [1, 2, 3, 4]
    assert on_ray.history.last.phase == Phase.FULL


def test_two_workers_are_one_worker(tmp_path: Path) -> None:
    two = fit_on_ray(job(QuietJob), TWO, tmp_path / "two", lambda _: None)
    one = fit_plain(job(QuietJob), ONE, tmp_path / "one", lambda _: None)
    assert_same(two, one, 1e-4)


@pytest.mark.drill
def test_a_failing_worker_is_one_line(tmp_path: Path) -> None:
    broken = TrainingJob(
        model=model_config(),
        training=training_config(1, 1),
        labels=LABELS,
        train=tuple(examples(6, first=0)),
        dev=(),
        source=Tones(sample_rate_hz=0),
    )
    launch = LaunchConfig(cpus_per_worker=1, max_failures=0)
    with pytest.raises(TrainingError, match=r"^training on Ray failed: [^\n]+$"):
        fit_on_ray(broken, launch, tmp_path / "broken", lambda _: None)
