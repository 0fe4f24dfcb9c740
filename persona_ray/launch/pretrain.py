"""Continued pretraining of the text and the speech encoder on the archive itself, unlabelled."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.errors import CorpusError
from persona_ray.launch.chain import Chain, Link, finished, run_chain
from persona_ray.launch.cluster import connected
from persona_ray.launch.corpus import no_clips
from persona_ray.launch.encoders import Tower, absolute, check_starts, content
from persona_ray.launch.journal import journalled
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.tracking.runs import check_tracking
from persona_ray.launch.unlabelled import UnlabelledClips, open_unlabelled
from persona_ray.launch.watching import counted
from persona_ray.launch.workspace import check_workspace
from persona_ray.progress import Progress

if TYPE_CHECKING:
    from persona_ray.objectives.speech_task import SpeechTask
    from persona_ray.objectives.text_runs import NamedTask
    from persona_ray.objectives.text_task import TextTask
    from persona_ray.training.pretrain.curve import Curve, CurvePoint
    from persona_ray.training.pretrain.settings import PretrainSettings

STAGES: dict[Tower, str] = {"text": "pretrain text", "speech": "pretrain speech"}


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """`learned_from` and `notes` are for people; `before` says that nothing was left to do."""

    encoder_dir: Path
    curves: tuple[Curve, ...]
    learned_from: str
    notes: tuple[str, ...]
    before: bool

    def __str__(self) -> str:
        lines = [f"learned from {self.learned_from}", *(f"note: {note}" for note in self.notes)]
        lines += [_told(curve) for curve in self.curves]
        if self.before:
            lines.append("nothing to do: this was learned before (--fresh starts over)")
        return "\n".join([*lines, f"encoder: {self.encoder_dir}"])


@copied("encoders", needs=("corpus",))
def pretrain_text(config: RunConfig, progress: Progress, fresh: bool = False) -> PretrainResult:
    """Masked whole words on the clips' texts and on `pretraining.text.files`.

    Leaves `config.encoder_dir("text")`. A killed or stopped run goes on where it was, a finished
    one does nothing, unless `fresh`. Raises CorpusError, EncoderError, ConfigError, TrainingError,
    TrackingError.
    """
    # Before libraries that take seconds to load.
    config = _in_place(config, "text")
    from persona_ray.corpus.texts import Dialogues
    from persona_ray.objectives.text_runs import text_tasks
    from persona_ray.objectives.text_start import Checkpoint

    settings = config.pretraining.text
    clips = open_unlabelled(config) if settings.corpus else None
    if clips is not None and not settings.files:
        _check_clips(config, clips)
    dialogues = Dialogues(settings.files, None if clips is None else lambda: clips.infos)
    with progress.stage("texts to learn from", total=None) as stage:
        named = text_tasks(config, dialogues)
        stage.advance(len(named[-1].task.sizes()))

    def link(at: int, one: NamedTask) -> Link:
        def make(start: str) -> tuple[TextTask, PretrainSettings]:
            # The first starts from the checkpoint, each other one from what was left before it.
            task = replace(one.task, start=Checkpoint(start)) if at else one.task
            return task, _settings(one)

        return Link(one.settings.epochs, make)

    def learned_from() -> str:
        sizes = named[-1].task.sizes()
        return f"{sum(sizes):,.0f} tokens in {len(sizes):,} pieces; {dialogues.report}"

    chain = Chain(
        "text",
        _digest([[one.task.fingerprint, _settings(one).identity()] for one in named]),
        config.model.text.path,
        [link(at, one) for at, one in enumerate(named)],
        heard=clips.infos if clips else (),
    )
    notes = [clips.note if clips else "", *(one.message for one in named)]
    return _pretrain(config, chain, progress, fresh, notes, learned_from)


@copied("encoders", needs=("corpus",))
def pretrain_speech(config: RunConfig, progress: Progress, fresh: bool = False) -> PretrainResult:
    """Masked units on the clips' audio; for each iteration units, then a run.

    Leaves `config.encoder_dir("speech")`. A killed or stopped run goes on where it was, a finished
    one does nothing, unless `fresh`. Raises CorpusError, EncoderError, ConfigError, TrainingError,
    TrackingError.
    """
    # Before libraries that take seconds to load.
    config = _in_place(config, "speech")
    from persona_ray.corpus.units import clips_fingerprint
    from persona_ray.launch.units import note_units, noted_units, prepare_units
    from persona_ray.objectives.speech_task import speech_task
    from persona_ray.training.pretrain.settings import PretrainSettings

    settings = config.pretraining.speech
    clips = open_unlabelled(config)
    _check_clips(config, clips)
    source, infos = clips.dataset, clips.infos

    def link(iteration: int) -> Link:
        name = f"speech, iteration {iteration + 1}" if len(settings.iterations) > 1 else "speech"

        def make(start: str) -> tuple[SpeechTask, PretrainSettings]:
            units = prepare_units(
                config, iteration, start, infos, source, source.fingerprint, progress, fresh
            )
            note_units(config, name, units.info)
            task = speech_task(config, iteration, start, infos, source, units)
            return task, PretrainSettings.of(settings, name)

        return Link(settings.epochs, make)

    # Neither what decides how fast, nor what a run may be given more of.
    left_out = {"epochs", "micro_batch_s", "checkpoint_updates", "log_updates"}
    depends_on = [
        settings.model_dump(mode="json", exclude=left_out),
        PretrainSettings.of(settings).identity(),
        config.model.speech.model_dump(mode="json"),
        content(config.model.speech.path),
        config.model.max_clip_s,
        source.fingerprint,
        clips_fingerprint(info.clip_id for info in infos),
    ]
    chain = Chain(
        "speech",
        _digest(depends_on),
        config.model.speech.path,
        [link(iteration) for iteration in range(len(settings.iterations))],
        heard=infos,
    )

    def learned_from() -> str:
        told = [f"{run}: {info}" for run, info in noted_units(config).items()]
        return "\n".join([_clips(clips), *told])

    return _pretrain(config, chain, progress, fresh, [clips.note], learned_from)


def _pretrain(
    config: RunConfig,
    chain: Chain,
    progress: Progress,
    fresh: bool,
    notes: Sequence[str],
    learned_from: Callable[[], str],
) -> PretrainResult:
    said = tuple(note for note in notes if note)
    curves = () if fresh else finished(config, chain)
    before = bool(curves)
    if not before:
        for note in said:
            logging.getLogger(__name__).warning("%s", note)
        stage = STAGES[chain.tower]
        with (
            journalled(config, stage) as figures,
            counted(config, stage, progress) as job,
            connected(config.launch),
        ):
            curves = run_chain(config, chain, job, fresh)
            figures["updates"] = sum(curve.updates for curve in curves)
            figures["training_s"] = round(sum(curve.last.seconds for curve in curves), 2)
    return PretrainResult(config.encoder_dir(chain.tower), curves, learned_from(), said, before)


def _in_place(config: RunConfig, tower: Tower) -> RunConfig:
    """With the path of the starting encoder as workers need it. Raises at once what would
    otherwise be found out after the data are read: ConfigError, EncoderError, TrackingError."""
    check_workspace(config)
    check_starts(config, [tower])
    check_tracking(config)
    part = getattr(config.model, tower)
    part = part.model_copy(update={"path": absolute(part.path)})
    return config.model_copy(update={"model": config.model.model_copy(update={tower: part})})


def _check_clips(config: RunConfig, clips: UnlabelledClips) -> None:
    """Raises CorpusError where there is nothing to learn from, and says why."""
    if clips.infos:
        return
    if not clips.held_out:
        raise CorpusError(no_clips(config.corpus_dir))
    raise CorpusError(
        f"all {clips.held_out} clips of {config.corpus_dir} are of dev and test customers: build a "
        "larger corpus, or learn from them too (pretraining.hold_out=false)"
    )


def _settings(named: NamedTask) -> PretrainSettings:
    from persona_ray.training.pretrain.settings import PretrainSettings

    return PretrainSettings.of(named.settings, named.name)


def _digest(tree: object) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _clips(clips: UnlabelledClips) -> str:
    aside = f" ({clips.held_out} clips of dev and test customers left aside)"
    return (
        f"{len(clips.infos):,} clips, {clips.audio_s / 60:.1f} min of audio"
        f"{aside if clips.held_out else ''}"
    )


def _told(curve: Curve) -> str:
    def at(point: CurvePoint) -> str:
        shares = [f"{name} {share:.1%}" for name, share in point.accuracy.items()]
        return ", ".join([f"loss {point.loss:.3f}", *shares])

    return (
        f"{curve.name}: {curve.updates} updates, {at(curve.points[0])} -> {at(curve.last)} right, "
        f"{curve.last.size_per_s:.1f} {curve.unit}/s"
    )
