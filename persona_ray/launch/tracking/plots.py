"""Plots that MLflow keeps beside a run's curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.launch.tracking.runs import OFF

if TYPE_CHECKING:
    from persona_ray.evaluation.report.data import TrainingRun
    from persona_ray.launch.finetune_run import Finetuned


def training_plots(config: RunConfig, tuned: Finetuned) -> dict[str, str]:
    """SVG documents by name: the curves, and the weights of the speech encoder's layers. None where
    nothing is kept, since drawing takes a second."""
    if config.tracking.url == OFF:
        return {}
    from persona_ray.launch.parts import training_run

    best = config.training.keep == "best" and tuned.history.best is not None
    return plots_of(training_run(config, tuned.history, tuned.model(best)))


def plots_of(run: TrainingRun) -> dict[str, str]:
    """The same, of a training as reports have it."""
    from persona_ray.evaluation.report.plots import layer_weights_plot, training_plot
    from persona_ray.evaluation.report.standalone import standalone

    plots = {"plots/training.svg": standalone(training_plot(run))}
    if run.layer_weights:
        layers = layer_weights_plot(run.layer_weights, run.layer_parts)
        plots["plots/layers.svg"] = standalone(layers)
    return plots
