"""Pretraining runs one after the other, each from the encoder that the one before left.

workspace/pretraining/speech/
  chain             fingerprint of configuration and data that the rest belongs to
  encoder-1/        what the first run left, when it is whole
  run-2/            checkpoints of the run under way
workspace/pretraining/speech.json    curves, once all runs are done
workspace/encoders/speech/           the last run's encoder; beside it pretraining.json, and in
                                     lineage.parquet whom it heard
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from persona_ray.config import RunConfig
from persona_ray.errors import TrainingError
from persona_ray.files import draft_folder, put_folder
from persona_ray.launch.encoders import Tower
from persona_ray.launch.pretrain_run import Trained, pretrain_on_ray, pretrain_plain
from persona_ray.models.lineage import LINEAGE, Heard, Lineage, Use, heard_before
from persona_ray.models.pretrained import PRETRAINING, check_left
from persona_ray.training.pretrain.curve import Curve, CurvePoint, write_curves
from persona_ray.training.run_folder import RunFolder
from persona_ray.types import ClipInfo
from persona_ray.watch import spans

if TYPE_CHECKING:
    from persona_ray.objectives.base import PretrainingTask
    from persona_ray.training.pretrain.settings import PretrainSettings
    from persona_ray.watch.jobs import JobWatch


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """One run of `epochs`. `make` is given the encoder's folder (or name, or nothing for a small
    one)."""

    epochs: int
    make: Callable[[str], tuple[PretrainingTask, PretrainSettings]]


@dataclass(frozen=True, slots=True)
class Chain:
    """All runs of one tower; `fingerprint` of all that the outcome depends on but the epochs, of
    which an unfinished run may be given more. `heard`: the clips that all runs learn from."""

    tower: Tower
    fingerprint: str
    start: str
    links: Sequence[Link]
    heard: Sequence[ClipInfo] = ()


def finished(config: RunConfig, chain: Chain) -> tuple[Curve, ...]:
    """The curves of the encoder in `config.encoder_dir`, if it came of just this chain; otherwise
    none. Raises EncoderError, TrainingError where it is damaged."""
    folder = config.encoder_dir(chain.tower)
    if not (folder / PRETRAINING).is_file():
        return ()
    note = _read_note(folder)
    same = (note.chain, note.epochs) == (chain.fingerprint, _epochs(chain.links))
    if not same:
        return ()
    check_left(chain.tower, folder)
    if not (folder / LINEAGE).is_file():
        # Of an older release; the same fingerprint means the same clips.
        _lineage(chain).write(folder)
    return note.curves


def run_chain(
    config: RunConfig, chain: Chain, progress: JobWatch, fresh: bool = False
) -> tuple[Curve, ...]:
    """Run what is not done yet and put the last encoder into `config.encoder_dir`.

    A killed chain goes on where it was, unless `fresh`. With the backend ray a cluster must be
    connected. Raises TrainingError for an unfinished chain of another configuration.
    """
    folder = config.workspace.absolute() / "pretraining" / chain.tower
    _claim(folder, chain.fingerprint, fresh)
    curves: tuple[Curve, ...] = ()
    start = chain.start
    for number, link in enumerate(chain.links, start=1):
        left = folder / f"encoder-{number}"
        epochs = _epochs(chain.links[:number])
        if not left.is_dir() or _read_note(left).epochs != epochs:
            task, settings = link.make(start)
            run = folder / f"run-{number}"
            trained = _train(config, task, settings, run, progress, chain.tower)
            curves = (*curves, trained.curve)
            note = _Note(chain.fingerprint, epochs, curves)
            _write_encoder(left, task, trained, note, _lineage(chain))
            shutil.rmtree(run, ignore_errors=True)
        curves = _read_note(left).curves
        start = str(left)
    target = config.encoder_dir(chain.tower)
    if target.exists():
        _log.warning("%s was of other settings: it is replaced", target)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_curves(curves, folder.with_suffix(".json"))
    put_folder(Path(start), target)
    # The encoder is whole: what a rerun would go on from is no longer needed.
    _discard(folder)
    return curves


def _claim(folder: Path, fingerprint: str, fresh: bool) -> None:
    """Raises TrainingError where an unfinished run of another configuration has got somewhere:
    days of training are not thrown away for a mistyped setting."""
    mark = folder / "chain"
    known = mark.read_text(encoding="utf-8", errors="replace") if mark.is_file() else ""
    if known == fingerprint and not fresh:
        return
    got_somewhere = [*folder.glob("encoder-*"), *folder.glob("run-*/*checkpoint*")]
    if got_somewhere and not fresh:
        whose = (
            "of another configuration or other data: go back to those to go on with it, "
            if known
            else f"and nothing tells of which configuration ({mark} is lost): "
        )
        raise TrainingError(
            f"{folder} holds an unfinished pretraining {whose}start over with --fresh, or name "
            "another workspace"
        )
    _discard(folder)
    folder.mkdir(parents=True)
    mark.write_text(fingerprint, encoding="utf-8")


def _discard(folder: Path) -> None:
    """At once: what a kill leaves of a folder that is being removed would look like an unfinished
    run."""
    gone = folder.with_name(f"removing-{folder.name}")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.is_dir():
        folder.replace(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _train(
    config: RunConfig,
    task: PretrainingTask,
    settings: PretrainSettings,
    folder: Path,
    progress: JobWatch,
    tower: Tower,
) -> Trained:
    from persona_ray.launch.tracking.runs import tracked

    launch = pretrain_plain if config.launch.backend == "plain" else pretrain_on_ray
    section: BaseModel = getattr(config.pretraining, tower)
    parameters = {
        f"pretraining.{tower}": section,
        f"model.{tower}": getattr(config.model, tower),
        "engine": config.engine,
        "launch": config.launch,
    }
    stage_name = f"pretraining {settings.name}"
    newest = RunFolder(folder).newest()
    if newest is not None:
        _log.warning("%s goes on from %s", stage_name, newest)
    with (
        spans.span(stage_name),
        tracked(config, stage_name, folder, parameters, {"task": task.fingerprint}) as tracker,
        progress.stage(stage_name, total=settings.course(task.sizes()).updates) as stage,
    ):
        done = 0

        def tell(point: CurvePoint) -> None:
            nonlocal done
            stage.advance(point.update - done, **_figures(point, task))
            done = point.update
            tracker.metrics(point.update, _point_metrics(point))
            progress.checkpoint(RunFolder(folder).newest())

        return launch(task, settings, config.engine, config.launch, folder, tell)


def _point_metrics(point: CurvePoint) -> dict[str, float]:
    """All figures of a point but its step."""
    from persona_ray.training.pretrain.meter import as_metrics

    metrics = as_metrics(point)
    del metrics["update"]
    return metrics


def _figures(point: CurvePoint, task: PretrainingTask) -> dict[str, float]:
    shown = next(iter(task.weights))
    figures = {"loss": point.loss}
    if shown in point.accuracy:
        figures["accuracy"] = point.accuracy[shown]
    return figures | {
        f"{task.unit}_per_s": point.size_per_s,
        "padding": point.padding_share,
        "utilisation": point.utilisation,
    }


@dataclass(frozen=True, slots=True)
class _Note:
    """What an encoder came of: `epochs` and `curves` of each run so far."""

    chain: str
    epochs: tuple[int, ...]
    curves: tuple[Curve, ...]


def _epochs(links: Sequence[Link]) -> tuple[int, ...]:
    return tuple(link.epochs for link in links)


def _lineage(chain: Chain) -> Lineage:
    """Whom the encoders of the chain have heard, the one it starts from included."""
    rows = [Heard(info.clip_id, info.customer_id, Use.PRETRAINING) for info in chain.heard]
    return Lineage.of([*heard_before(chain.start), *rows])


def _write_encoder(
    target: Path, task: PretrainingTask, trained: Trained, note: _Note, lineage: Lineage
) -> None:
    from persona_ray.training.checkpoint import load_trained

    module = task.build()
    load_trained(trained.checkpoint, module)
    tree = {
        "chain": note.chain,
        "epochs": note.epochs,
        "curves": [curve.as_json() for curve in note.curves],
    }
    with draft_folder(target) as folder:
        task.save(module, folder)
        (folder / PRETRAINING).write_text(json.dumps(tree, indent=1), encoding="utf-8")
        lineage.write(folder)


def _read_note(folder: Path) -> _Note:
    path = folder / PRETRAINING
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        curves = tuple(Curve.from_json(curve) for curve in tree["curves"])
        return _Note(tree["chain"], tuple(tree["epochs"]), curves)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is damaged ({error!r}): start over with --fresh") from None
