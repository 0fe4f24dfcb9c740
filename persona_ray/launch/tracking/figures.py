"""Plots and figures that MLflow keeps beside a run's curves.

Plots and numbers alone: the report holds what customers said, and stays in the workspace.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.errors import PersonaRayError
from persona_ray.evaluation.assess import BUNDLE, FOLDS
from persona_ray.evaluation.report.card import CARD
from persona_ray.launch.tracking.runs import OFF
from persona_ray.launch.versions.records import EVALUATED
from persona_ray.launch.versions.registry import Registry
from persona_ray.models import manifest as bundles

if TYPE_CHECKING:
    from persona_ray.evaluation.report import ReportData
    from persona_ray.evaluation.report.data import TrainingRun
    from persona_ray.evaluation.scores import Scores
    from persona_ray.launch.finetune_run import Finetuned

_SETS = {BUNDLE: "bundle", FOLDS: "folds"}


def training_plots(config: RunConfig, tuned: Finetuned) -> dict[str, str]:
    """SVG documents by name: the curves, and the weights of the speech encoder's layers. None where
    nothing is kept, since drawing takes a second."""
    if config.tracking.url == OFF:
        return {}
    from persona_ray.launch.parts import training_run

    best = config.training.keep == "best" and tuned.history.best is not None
    return _training_plots(training_run(config, tuned.history, tuned.model(best)))


def keep_evaluation(config: RunConfig, report: ReportData, card: str) -> None:
    """Put the report's figures and plots, and the model card, beside the run of the workspace's
    bundle, where that is registered. Both are written: MLflow that fails now costs a warning."""
    if config.tracking.url == OFF:
        return
    try:
        registry = Registry.open(config)
        digest = bundles.digest(config.bundle_dir)
        for version in registry.versions():
            if version.digest == digest:
                texts = {**evaluation_plots(report), CARD: card}
                figures = evaluation_figures(report)
                registry.keep(version, texts, figures)
                at = datetime.now(UTC).isoformat(timespec="seconds")
                registry.note(version, EVALUATED, json.dumps({"at": at, "figures": figures}))
                return
    except PersonaRayError as error:
        logging.getLogger(__name__).warning("MLflow keeps no figures of the evaluation: %s", error)


def evaluation_figures(report: ReportData) -> dict[str, float]:
    """Of the bundle, on held-out clips and customers."""
    if report.held_out is None:
        return {}
    kinds = {"clip": report.held_out.clips, "customer": report.held_out.customers}
    figures = {
        f"{report.held_out.split}_{kind}_{name}": value
        for kind, scores in kinds.items()
        for name, value in _values(scores).items()
    }
    for part in report.calibration:
        if part.basis == BUNDLE:
            figures[f"{report.held_out.split}_clip_calibration_error"] = part.after.ece.value
    return figures


def evaluation_plots(report: ReportData) -> dict[str, str]:
    from persona_ray.evaluation.report.curves import (
        calibration_plot,
        evidence_plot,
        stopping_plot,
    )
    from persona_ray.evaluation.report.plots import comparison_plot, split_gap_plot
    from persona_ray.evaluation.report.standalone import standalone

    plots = {} if report.training is None else _training_plots(report.training)
    if report.comparison is not None:
        plots["plots/modalities.svg"] = standalone(comparison_plot(report.comparison))
    if report.split_gap is not None:
        plots["plots/leakage.svg"] = standalone(split_gap_plot(report.split_gap))
    for calibration in report.calibration:
        name = f"calibration-{_SETS[calibration.basis]}"
        plots[f"plots/{name}.svg"] = standalone(calibration_plot(calibration, name))
    for evidence in report.evidence:
        name = f"evidence-{_SETS[evidence.basis]}"
        plots[f"plots/{name}.svg"] = standalone(evidence_plot(evidence, name))
    for stopping in report.stopping:
        name = f"stopping-{_SETS[stopping.basis]}"
        plots[f"plots/{name}.svg"] = standalone(stopping_plot(stopping, name))
    return plots


def _training_plots(run: TrainingRun) -> dict[str, str]:
    from persona_ray.evaluation.report.plots import layer_weights_plot, training_plot
    from persona_ray.evaluation.report.standalone import standalone

    plots = {"plots/training.svg": standalone(training_plot(run))}
    if run.layer_weights:
        layers = layer_weights_plot(run.layer_weights, run.layer_parts)
        plots["plots/layers.svg"] = standalone(layers)
    return plots


def _values(scores: Scores) -> dict[str, float]:
    return {
        "accuracy": scores.accuracy.value,
        "macro_f1": scores.macro_f1.value,
        "unweighted_recall": scores.unweighted_recall.value,
        "top_two": scores.top_two.value,
    }
