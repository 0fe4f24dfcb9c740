"""What is kept beside a version's run: figures of its evaluation, plots, the model card.

Plots and numbers alone: the report holds what customers said, and stays in the workspace.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.errors import PersonaRayError, RegistryError
from persona_ray.evaluation.assess import BUNDLE, FOLDS
from persona_ray.evaluation.report.card import CARD
from persona_ray.launch.tracking.place import open_store
from persona_ray.launch.tracking.plots import plots_of
from persona_ray.launch.tracking.runs import OFF, mlflow_client
from persona_ray.launch.versions.records import EVALUATED
from persona_ray.launch.versions.registry import Registry, failures_named
from persona_ray.models import manifest as bundles

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.evaluation.report import ReportData
    from persona_ray.evaluation.scores import Scores
    from persona_ray.launch.versions.records import Version

_SETS = {BUNDLE: "bundle", FOLDS: "folds"}
_PLOTS = "plots"
_NAME = re.compile(r"[A-Za-z0-9_-]+\.svg")
# Judged on customers who were held out; the rest of a run's figures are of its training.
_EVALUATED = "test_"


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
                texts = {**_plots_of(report), CARD: card}
                figures = _figures_of(report)
                registry.keep(version, texts, figures)
                at = datetime.now(UTC).isoformat(timespec="seconds")
                registry.note(version, EVALUATED, json.dumps({"at": at, "figures": figures}))
                return
    except PersonaRayError as error:
        logging.getLogger(__name__).warning("MLflow keeps no figures of the evaluation: %s", error)


def figures(config: RunConfig, version: Version) -> dict[str, float]:
    """Of the evaluation; none where there was none. Raises TrackingError."""
    store = open_store(config)
    with failures_named(store):
        metrics = mlflow_client(store).get_run(version.run_id).data.metrics
    return {name: float(metrics[name]) for name in sorted(metrics) if name.startswith(_EVALUATED)}


def plots(config: RunConfig, version: Version) -> list[str]:
    """Names of the SVG documents. Raises TrackingError."""
    store = open_store(config)
    with failures_named(store):
        found = mlflow_client(store).list_artifacts(version.run_id, _PLOTS)
    names = (str(entry.path).rpartition("/")[2] for entry in found)
    return sorted(name for name in names if _NAME.fullmatch(name))


def plot(config: RunConfig, version: Version, name: str) -> bytes:
    """An SVG document. RegistryError where the version has none of that name."""
    if not _NAME.fullmatch(name) or name not in plots(config, version):
        raise RegistryError(f"{version} has no plot '{name}'")
    store = open_store(config)
    with tempfile.TemporaryDirectory() as folder, failures_named(store):
        client = mlflow_client(store)
        return Path(
            client.download_artifacts(version.run_id, f"{_PLOTS}/{name}", folder)
        ).read_bytes()


def _figures_of(report: ReportData) -> dict[str, float]:
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


def _plots_of(report: ReportData) -> dict[str, str]:
    from persona_ray.evaluation.report.curves import (
        calibration_plot,
        evidence_plot,
        stopping_plot,
    )
    from persona_ray.evaluation.report.plots import comparison_plot, split_gap_plot
    from persona_ray.evaluation.report.standalone import standalone

    plots = {} if report.training is None else plots_of(report.training)
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


def _values(scores: Scores) -> dict[str, float]:
    return {
        "accuracy": scores.accuracy.value,
        "macro_f1": scores.macro_f1.value,
        "unweighted_recall": scores.unweighted_recall.value,
        "top_two": scores.top_two.value,
    }
