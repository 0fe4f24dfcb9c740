"""From report data to one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from persona_ray.evaluation.report import curves, findings, plots, words
from persona_ray.evaluation.report.data import ReportData
from persona_ray.evaluation.report.page import environment
from persona_ray.evaluation.stopping import SHOWN
from persona_ray.files import write_whole

# The four colours of FPA; labels of other models take the rest in turn.
_KNOWN = {"red": "#d8453e", "blue": "#2f74d0", "yellow": "#d9a400", "green": "#2f9e5b"}
_OTHERS = ("#8e5bd0", "#1fa3a3", "#d0589a", "#8a7a4f", "#5f7d95", "#b86a2c")
# A page with thousands of rows helps nobody; the .json has them all.
_SHOWN_CALLS = 100
_SHOWN_SENTENCES = 12


def write_report(data: ReportData, path: Path) -> Path:
    """Write `path` (HTML) and, beside it under the same name, the data as .json; gives `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path.with_suffix(".json"), data.model_dump_json(indent=1))
    write_whole(path, render(data))
    return path


def render(data: ReportData) -> str:
    """The report as HTML. Texts are escaped: transcripts are what strangers said."""
    from markupsafe import Markup

    made = environment()
    made.globals.update(
        colour=palette(data.labels),
        ranked=ranked,
        words=words,
        findings=findings,
        stop_thresholds=SHOWN,
        shown_calls=_SHOWN_CALLS,
        shown_sentences=_SHOWN_SENTENCES,
    )
    return made.get_template("report.html.j2").render(
        data=data,
        plots={name: Markup(svg) for name, svg in _plots(data).items()},
        headline=words.headline(data),
        lead=words.lead(data),
    )


def palette(labels: Sequence[str]) -> Mapping[str, str]:
    """A CSS colour for each label."""
    others = [label for label in labels if label not in _KNOWN]
    taken = {label: _OTHERS[i % len(_OTHERS)] for i, label in enumerate(others)}
    return {label: _KNOWN.get(label) or taken[label] for label in labels}


def ranked(probabilities: Mapping[str, float]) -> list[str]:
    """Labels from the most probable down; of equals the first stays first."""
    return sorted(probabilities, key=lambda label: -probabilities[label])


def _plots(data: ReportData) -> dict[str, str]:
    """SVG by name, empty where there is nothing to draw."""
    names = ("comparison", "split_gap", "training", "layers", "cut")
    drawn = dict.fromkeys((*names, "pretraining_text", "pretraining_speech"), "")
    if data.comparison:
        drawn["comparison"] = plots.comparison_plot(data.comparison)
    if data.split_gap:
        drawn["split_gap"] = plots.split_gap_plot(data.split_gap)
    if data.pretraining and data.pretraining.text:
        drawn["pretraining_text"] = plots.pretraining_plot(data.pretraining.text, "text")
    if data.pretraining and data.pretraining.speech:
        drawn["pretraining_speech"] = plots.pretraining_plot(data.pretraining.speech, "speech")
    if data.training and data.training.epochs:
        drawn["training"] = plots.training_plot(data.training)
    if data.training and data.training.layer_weights:
        training = data.training
        drawn["layers"] = plots.layer_weights_plot(training.layer_weights, training.layer_parts)
    if data.corpus and data.corpus.quality and data.corpus.quality.cut:
        drawn["cut"] = plots.cut_error_plot(data.corpus.quality.cut)
    for at, calibration in enumerate(data.calibration):
        name = f"calibration_{at}"
        drawn[name] = curves.calibration_plot(calibration, name)
    for at, evidence in enumerate(data.evidence):
        name = f"evidence_{at}"
        drawn[name] = curves.evidence_plot(evidence, name)
    for at, stopping in enumerate(data.stopping):
        name = f"stopping_{at}"
        drawn[name] = curves.stopping_plot(stopping, name)
    return drawn
