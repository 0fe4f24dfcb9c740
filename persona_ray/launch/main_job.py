"""The main job: from the archive to the report, stage after stage."""

from __future__ import annotations

import shutil
from pathlib import Path

from persona_ray.config import RunConfig, write_config
from persona_ray.errors import ConfigError
from persona_ray.launch.annotate import import_annotations
from persona_ray.launch.cluster import connected
from persona_ray.launch.corpus import build_corpus, check_clips
from persona_ray.launch.encoders import check_starts, fed
from persona_ray.launch.evaluate import EvaluationResult, evaluate_run
from persona_ray.launch.finetune import finetune
from persona_ray.launch.pretrain import pretrain_speech, pretrain_text
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.tracking.runs import check_tracking
from persona_ray.launch.workspace import check_workspace
from persona_ray.progress import Progress
from persona_ray.watch.process import watched

# What a run writes into its workspace and `fresh` may therefore remove.
OWN = (
    "bundle",
    "corpus",
    "encoders",
    "history.json",
    "metrics",
    "pretraining",
    "report.html",
    "report.json",
    "run.yaml",
    "stages.json",
    "store.sqlite",
    "store.sqlite-shm",
    "store.sqlite-wal",
    "training",
    "vectors",
)

_PRETRAIN = {"speech": pretrain_speech, "text": pretrain_text}


@copied("corpus", "encoders", "bundle", "report")
def run_main_job(config: RunConfig, progress: Progress, fresh: bool = False) -> EvaluationResult:
    """Corpus, annotation, pretraining of `pretraining.encoders`, fine-tuning, evaluation.

    `fresh` starts over; otherwise each stage goes on with what the workspace holds. All stages
    share one cluster.
    """
    if not config.annotation.files:
        raise ConfigError(
            "annotation.files is empty: name the annotators' files (CSV, Label Studio JSON), or "
            "run the steps one by one (`persona-ray corpus build`, `annotate export`, ...)"
        )
    for name in config.annotation.files:
        if not Path(name).is_file():
            raise ConfigError(f"annotation.files: {name} does not exist")
    check_workspace(config)
    check_starts(config, {*fed(config), *config.pretraining.encoders})
    check_tracking(config)
    if fresh:
        for name in OWN:
            path = config.workspace / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    write_config(config, config.workspace / "run.yaml")
    with watched(config.watching, "main job"), connected(config.launch):
        return _stages(config, progress)


def _stages(config: RunConfig, progress: Progress) -> EvaluationResult:
    check_clips(build_corpus(config, progress))
    import_annotations(config, [Path(name) for name in config.annotation.files], progress)
    for tower in config.pretraining.encoders:
        _PRETRAIN[tower](config, progress)
    finetune(config, progress)
    return evaluate_run(config, progress)
