"""What fine-tuning leaves."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import TrainingError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.checkpoint import BEST, WEIGHTS, put_weights, read_weights
from persona_ray.training.finetune.classifier import Classifier, set_phase
from persona_ray.training.finetune.history import EpochResult, History
from persona_ray.training.finetune.progress import Progress


def load_finetuned(
    folder: Path, model: BimodalModel, config: TrainingConfig, best: bool = False
) -> History:
    """Put a checkpoint's weights (those of the best epoch, where `best`) into `model`, built as the
    run built it. Raises TrainingError for a damaged checkpoint, and for `best` without dev
    clips."""
    progress = Progress.read(folder, None)
    phase, file = progress.phase, folder / WEIGHTS
    if best:
        if progress.history.best is None:
            raise TrainingError("no epoch was judged: the dev split is empty")
        phase, file = progress.history.best.phase, folder / BEST
    set_phase(model, phase, config)
    classifier = Classifier(model)
    put_weights(classifier, read_weights(file, classifier))
    return progress.history


def metrics_of(result: EpochResult) -> dict[str, float]:
    """Flat, as launchers and trackers take them."""
    dev = {} if result.dev is None else {f"dev_{k}": v for k, v in asdict(result.dev).items()}
    return {"epoch": float(result.epoch), "loss": result.loss, **dev}
