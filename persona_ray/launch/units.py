"""Units of the clips of a corpus, on Ray Data or plain, with the same result.

some clips -> frames (tasks) -> k-means (here) -> codebook
all clips, in packets -> frames -> nearest centres (tasks) -> units.parquet (here)
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.config import RunConfig
from persona_ray.corpus.units import (
    UnitsInfo,
    UnitsKey,
    UnitStore,
    clips_fingerprint,
    units_dir,
    write_units,
)
from persona_ray.errors import ConfigError, CorpusError, PersonaRayError
from persona_ray.files import write_whole
from persona_ray.objectives.clustering import find_centres, nearest
from persona_ray.objectives.frame_features import FrameFeatures
from persona_ray.objectives.speech_start import EncoderSource, grid_of
from persona_ray.progress import Progress
from persona_ray.types import ClipInfo, SampleSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.config.learning import LaunchConfig
    from persona_ray.config.pretraining import UnitsConfig

# In the workspace.
NOTES = "pretraining/units.json"
# Clips that a task takes at a time.
_PACKET_CLIPS = 64
_FRAMES_STAGE, _UNITS_STAGE = "frames for units", "units"


def prepare_units(
    config: RunConfig,
    iteration: int,
    encoder_path: str,
    infos: Sequence[ClipInfo],
    source: SampleSource,
    fingerprint: str,
    progress: Progress,
    fresh: bool = False,
) -> UnitStore:
    """Units of the clips `infos` for `config.pretraining.speech.iterations[iteration]`.

    `encoder_path` is the encoder as the iteration before left it, empty for the small one;
    `fingerprint` is that of the corpus. Units that are there already are taken, unless `fresh`.
    With the backend ray a cluster must be connected. Raises CorpusError, ConfigError,
    EncoderError, TrainingError.
    """
    if not infos:
        raise CorpusError("no clip is left to compute units of: build a larger corpus")
    settings = config.pretraining.speech
    units = settings.iterations[iteration]
    encoder = EncoderSource.of(
        config.model.speech, encoder_path, source.sample_rate_hz, settings.seed
    )
    loaded = encoder.load()
    features = FrameFeatures(units, encoder, grid_of(loaded), config.model.max_clip_s)
    _check_iterations(settings.iterations, iteration, loaded.layers, _frames(infos, features))
    of_layer = loaded.fingerprint() if units.features == "layer" else ""
    ids = [info.clip_id for info in infos]
    key = _key(features, of_layer, fingerprint, ids)
    folder = units_dir(config.corpus_dir, key)
    if folder.is_dir() and not fresh:
        return UnitStore.open(folder, key)
    del loaded
    sampled = _sampled(infos, features, units.sampled_frames, settings.seed)
    with progress.stage(_FRAMES_STAGE, total=len(sampled)) as stage:
        parts = []
        for _, frames in _through(_Work(features, source, None), sampled, config.launch):
            parts.append(frames)
            stage.advance(1)
    # The last clip that was drawn may go beyond the bound.
    centres = find_centres(
        np.concatenate(parts)[: units.sampled_frames], units.clusters, settings.seed
    )
    with progress.stage(_UNITS_STAGE, total=len(ids)) as stage:

        def rows() -> Iterator[tuple[str, NDArray[np.uint16]]]:
            for row in _through(_Work(features, source, centres), ids, config.launch):
                stage.advance(1)
                yield row

        return write_units(folder, key, centres, rows())


def _key(features: FrameFeatures, encoder: str, corpus: str, clip_ids: Sequence[str]) -> UnitsKey:
    """`encoder` and `corpus` are fingerprints."""
    units, grid = features.units, features.grid
    return UnitsKey(
        features=units.features,
        layer=units.layer,
        clusters=units.clusters,
        sampled_frames=units.sampled_frames,
        seed=features.encoder.seed,
        encoder=encoder,
        rate_hz=grid.rate_hz,
        window=grid.window,
        stride=grid.stride,
        source_hz=features.encoder.source_hz,
        longest_s=features.longest_s,
        corpus=corpus,
        clips=clips_fingerprint(clip_ids),
    )


def note_units(config: RunConfig, run: str, info: UnitsInfo) -> None:
    """Keep in the workspace which units the pretraining run `run` learns to tell."""
    path = config.workspace / NOTES
    notes = {name: old.model_dump(mode="json") for name, old in noted_units(config).items()}
    notes[run] = info.model_dump(mode="json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(notes, indent=1))


def noted_units(config: RunConfig) -> dict[str, UnitsInfo]:
    """By run; empty where nothing is noted."""
    try:
        notes = json.loads((config.workspace / NOTES).read_text(encoding="utf-8"))
        return {run: UnitsInfo.model_validate(info) for run, info in notes.items()}
    except (OSError, ValueError):
        # A note for people is not worth a failed run.
        return {}


def _check_iterations(
    iterations: Sequence[UnitsConfig], first: int, layers: int, frames: int
) -> None:
    """Raises ConfigError where one from `first` on asks for more than there is, before hours are
    spent on those before it."""
    for number, units in enumerate(iterations[first:], start=first):
        key = f"pretraining.speech.iterations[{number}]"
        if units.clusters > frames:
            raise ConfigError(
                f"{key}.clusters {units.clusters}: the clips have {frames} frames in all, fewer "
                "than units: lower clusters, or build a larger corpus"
            )
        if units.layer > layers:
            raise ConfigError(
                f"{key}.layer {units.layer}: the encoder has {layers} blocks: name a lower one"
            )


def _frames(infos: Sequence[ClipInfo], features: FrameFeatures) -> int:
    return sum(_frames_of(info, features) for info in infos)


def _frames_of(info: ClipInfo, features: FrameFeatures) -> int:
    seconds = min(info.duration_s, features.longest_s)
    return features.grid.frames(int(seconds * features.grid.rate_hz))


def _sampled(
    infos: Sequence[ClipInfo], features: FrameFeatures, frames: int, seed: int
) -> list[str]:
    """Clips drawn at random until they have so many frames, in the order of the corpus."""
    chosen, found = [], 0
    for number in np.random.default_rng(seed).permutation(len(infos)).tolist():
        if found >= frames:
            break
        chosen.append(number)
        found += _frames_of(infos[number], features)
    return [infos[number].clip_id for number in sorted(chosen)]


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker does with a packet of clip ids: frames, or with `centres` their units."""

    features: FrameFeatures
    source: SampleSource
    centres: NDArray[np.float32] | None


class _Worker:
    """Holds the encoder for all its packets."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._extract = work.features.extractor()

    def finish(self, clip_ids: Sequence[str]) -> list[tuple[str, NDArray[Any]]]:
        frames = self._extract([self._work.source.samples(clip_id) for clip_id in clip_ids])
        centres = self._work.centres
        if centres is not None:
            return [
                (clip_id, nearest(part, centres))
                for clip_id, part in zip(clip_ids, frames, strict=True)
            ]
        return list(zip(clip_ids, frames, strict=True))


def _through(
    work: _Work, clip_ids: Sequence[str], launch: LaunchConfig
) -> Iterator[tuple[str, NDArray[Any]]]:
    """(clip id, what came of it) in the order of `clip_ids`."""
    packets = [
        list(clip_ids[first : first + _PACKET_CLIPS])
        for first in range(0, len(clip_ids), _PACKET_CLIPS)
    ]
    if launch.backend == "plain":
        worker = _Worker(work)
        for packet in packets:
            yield from worker.finish(packet)
    else:
        yield from _on_ray(work, packets, launch)


def _on_ray(
    work: _Work, packets: list[list[str]], launch: LaunchConfig
) -> Iterator[tuple[str, NDArray[Any]]]:
    import pyarrow as pa
    import ray
    from ray.data import DataContext

    from persona_ray.corpus.pipeline_ray import quiet_data

    table = pa.table({"packet": pa.array([pickle.dumps(packet) for packet in packets])})
    context = DataContext.get_current().copy()
    # Rows are written in the order of the corpus, as they come.
    context.execution_options.preserve_order = True
    with quiet_data(context):
        done = (
            ray.data.from_arrow(table)
            .repartition(len(packets))
            .map_batches(
                _Actor,
                fn_constructor_args=(ray.put(work),),
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=launch.workers),
                num_cpus=launch.cpus_per_worker,
                num_gpus=launch.gpus_per_worker or None,
            )
        )
        for batch in done.iter_batches(batch_size=None, batch_format="pyarrow"):
            for data in batch.column("result").to_pylist():
                result = pickle.loads(data)
                if isinstance(result, PersonaRayError):
                    raise result
                yield from result


class _Actor:
    """The worker as Ray Data calls it. An error comes back as a value: what is raised in a task
    comes out wrapped and lengthened by Ray."""

    def __init__(self, work: Any) -> None:
        import ray

        self._work: _Work = ray.get(work)
        self._worker: _Worker | None = None

    def __call__(self, batch: Any) -> Any:
        import pyarrow as pa

        results = []
        for data in batch.column("packet").to_pylist():
            try:
                self._worker = self._worker or _Worker(self._work)
                results.append(pickle.dumps(self._worker.finish(pickle.loads(data))))
            except PersonaRayError as error:
                results.append(pickle.dumps(error))
        return pa.table({"result": pa.array(results, pa.binary())})
