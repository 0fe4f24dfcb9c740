"""The whole configuration tree."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from persona_ray.config.assist import AssistConfig
from persona_ray.config.base import Section
from persona_ray.config.corpus import (
    AnnotationConfig,
    ArchiveConfig,
    AsrConfig,
    AudioConfig,
    CorpusConfig,
    CutConfig,
    SplitConfig,
    StoreConfig,
    VadConfig,
)
from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import EvaluationConfig, LaunchConfig, ModelConfig, TrainingConfig
from persona_ray.config.pretraining import PretrainingConfig
from persona_ray.config.privacy import PrivacyConfig
from persona_ray.config.recognition import RecognitionConfig
from persona_ray.config.screening import ScreeningConfig
from persona_ray.config.serving import ServingConfig
from persona_ray.config.space import check_space
from persona_ray.config.storage import StorageConfig
from persona_ray.config.sweep import SweepConfig
from persona_ray.config.tracking import TrackingConfig
from persona_ray.config.watching import WatchingConfig


class RunConfig(Section):
    """Everything one run of the product needs to know; users write only what differs."""

    workspace: Path = Field(Path("runs/default"), description="folder that everything goes into")
    archive: ArchiveConfig = ArchiveConfig()
    audio: AudioConfig = AudioConfig()
    vad: VadConfig = VadConfig()
    asr: AsrConfig = AsrConfig()
    cut: CutConfig = CutConfig()
    corpus: CorpusConfig = CorpusConfig()
    store: StoreConfig = StoreConfig()
    annotation: AnnotationConfig = AnnotationConfig()
    splits: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    training: TrainingConfig = TrainingConfig()
    engine: EngineConfig = EngineConfig()
    launch: LaunchConfig = LaunchConfig()
    sweep: SweepConfig = SweepConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tracking: TrackingConfig = TrackingConfig()
    recognition: RecognitionConfig = RecognitionConfig()
    serving: ServingConfig = ServingConfig()
    screening: ScreeningConfig = ScreeningConfig()
    assist: AssistConfig = AssistConfig()
    storage: StorageConfig = StorageConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    watching: WatchingConfig = WatchingConfig()

    @property
    def corpus_dir(self) -> Path:
        return self.workspace / "corpus"

    @property
    def bundle_dir(self) -> Path:
        return self.workspace / "bundle"

    @property
    def bundle_cache_dir(self) -> Path:
        """Copies of bundles that are served or compared, each by its version or digest."""
        return Path(self.tracking.cache or self.workspace / "bundles").absolute()

    @property
    def vectors_dir(self) -> Path:
        """What frozen speech encoders said of clips, kept from stage to stage."""
        return self.workspace / "vectors"

    def encoder_dir(self, tower: Literal["speech", "text"]) -> Path:
        """The Hugging Face folder that continued pretraining leaves."""
        return self.workspace / "encoders" / tower

    @property
    def sweep_dir(self) -> Path:
        """Results of a sweep's trials, its table and the best configuration."""
        return self.workspace / "sweep"

    @property
    def recognitions_dir(self) -> Path:
        """Colours of the archive, a folder for each model."""
        return self.workspace / "recognitions"

    @property
    def store_url(self) -> str:
        return self.store.url or f"sqlite:///{self.workspace / 'store.sqlite'}"

    @model_validator(mode="after")
    def _clip_fits_model(self) -> RunConfig:
        if self.cut.max_clip_s > self.model.max_clip_s:
            raise ValueError(
                f"cut.max_clip_s {self.cut.max_clip_s:g} > model.max_clip_s "
                f"{self.model.max_clip_s:g}: the model would not hear the end of long clips; "
                "raise model.max_clip_s or lower cut.max_clip_s"
            )
        return self

    @model_validator(mode="after")
    def _swept_keys_are_there(self) -> RunConfig:
        try:
            check_space(RunConfig, self.sweep.space)
        except ValueError as error:
            raise ValueError(f"sweep.{error}") from None
        return self
