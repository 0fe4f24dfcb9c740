"""What a report is made of. Every part may be absent: a report of the corpus alone is a report.

The same data is written as report.json beside the HTML, so that figures can be read by machines
and an old report can be drawn again.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, model_validator

from persona_ray.evaluation.calibration import Calibration
from persona_ray.evaluation.evidence import Evidence
from persona_ray.evaluation.part import Part
from persona_ray.evaluation.quality import Quality
from persona_ray.evaluation.report.pretraining import PretrainingPart
from persona_ray.evaluation.scores import Scores
from persona_ray.evaluation.slices import Slices
from persona_ray.evaluation.stopping import Stopping
from persona_ray.types import Modality, Split


class RecognisedSentence(Part):
    """One clip of a recognised call; `probabilities` sum to 1."""

    start_s: float
    end_s: float
    text: str
    probabilities: dict[str, float] = Field(min_length=2)


class RecognisedCall(Part):
    """A held-out call. A call with nothing usable has `reason` and no probabilities."""

    call_id: str
    customer_id: str
    scene: str = ""
    label: str = Field("", description="the customer's colour by annotation or truth; may be empty")
    probabilities: dict[str, float] | None = None
    reason: str = ""
    sentences: tuple[RecognisedSentence, ...] = ()

    @model_validator(mode="after")
    def _colour_or_reason(self) -> RecognisedCall:
        if (self.probabilities is None) != bool(self.reason):
            raise ValueError(
                f"call {self.call_id}: give either probabilities, or the reason for having none"
            )
        return self


class HeldOut(Part):
    """The bundle's scores on a split whose customers it never heard."""

    split: Split = Split.TEST
    clips: Scores
    customers: Scores
    train_clips: int
    train_customers: int
    train_audio_s: float
    held_out_audio_s: float


class ModalityScores(Part):
    """Scores of one modality, every customer held out once."""

    modality: Modality
    clips: Scores
    customers: Scores


class Comparison(Part):
    """Text, speech and both over a rotation of held-out folds of customers."""

    folds: int
    modalities: tuple[ModalityScores, ...]


class SplitGap(Part):
    """Clip scores with customers kept apart, and with clips dealt one by one (which leaks)."""

    modality: Modality = Modality.BOTH
    by_customer: Scores
    by_sentence: Scores


class Epoch(Part):
    """One pass over the training clips; `epoch` counts from 1."""

    epoch: int
    frozen: bool
    loss: float
    dev_loss: float | None = None
    dev_accuracy: float | None = None
    learning_rate: float | None = None
    wall_s: float | None = None


class TrainingRun(Part):
    """How the bundle was trained. `layer_weights` (layers,) are after the softmax, sum 1;
    `layer_parts` (layers,) are those of `evaluation.layers` on the test customers, sum 1."""

    epochs: tuple[Epoch, ...]
    stopped: str = Field("", description="why training ended: `the epochs were out`")
    chosen_epoch: int | None = None
    layer_weights: tuple[float, ...] = ()
    layer_parts: tuple[float, ...] = ()
    parameters: int | None = None
    speech_encoder: str = ""
    text_encoder: str = ""
    backend: str = ""
    workers: int | None = None


class QuarantinedCall(Part):
    call_id: str
    reason: str
    detail: str


class CorpusPart(Part):
    """What the corpus job made of the archive."""

    calls: int
    ok: int
    nothing_usable: int
    quarantined: tuple[QuarantinedCall, ...]
    clips: int
    customers: int
    clip_audio_s: float
    call_audio_s: float
    dropped_short: int
    min_chars: int
    flags: dict[str, int] = Field(default_factory=dict, description="calls by flag")
    recogniser: str = ""
    recognised_anew: int | None = Field(
        None, description="calls recognised in this run; the others had a transcript"
    )
    audio_s_per_s: float | None = Field(None, description="throughput of the job")
    wall_s: float | None = None
    workers: int | None = None
    quality: Quality | None = None


class SplitSize(Part):
    split: Split
    customers: int
    clips: int
    audio_s: float
    labels: dict[str, int] = Field(description="clips by label")


class AnnotationPart(Part):
    """Labels and what they were made from. `alpha` is Krippendorff's, nominal."""

    annotators: int
    annotations: int
    annotated_clips: int
    labelled_clips: int
    uncertain_clips: int
    conflicts: int
    alpha: float | None = None
    splits: tuple[SplitSize, ...] = ()


class NearDuplicate(Part):
    """Two alike texts in two splits; `similarity` is Jaccard's over character pairs."""

    text: str
    split: Split
    other_text: str
    other_split: Split
    similarity: float


class LeakagePart(Part):
    """What stood in two splits. Repeated texts are mended by dropping their held-out clips."""

    customers_in_two_splits: tuple[str, ...] = ()
    texts_in_two_splits: tuple[str, ...] = ()
    clips_dropped: int = 0
    near_duplicates: tuple[NearDuplicate, ...] = ()
    near_duplicates_found: int = 0

    @property
    def clean(self) -> bool:
        mended = self.clips_dropped > 0
        return not self.customers_in_two_splits and (mended or not self.texts_in_two_splits)


class Stage(Part):
    name: str
    wall_s: float


class Setting(Part):
    key: str
    value: str
    default: str


class ReportData(Part):
    """The whole report."""

    title: str = "Personality colours of callers"
    subtitle: str = ""
    made_at: datetime
    version: str
    command: str = Field("", description="what produced the report")
    labels: tuple[str, ...]
    held_out: HeldOut | None = None
    calls: tuple[RecognisedCall, ...] = ()
    comparison: Comparison | None = None
    split_gap: SplitGap | None = None
    calibration: tuple[Calibration, ...] = Field((), description="one for each set of answers")
    evidence: tuple[Evidence, ...] = ()
    stopping: tuple[Stopping, ...] = ()
    slices: tuple[Slices, ...] = ()
    pretraining: PretrainingPart | None = None
    training: TrainingRun | None = None
    corpus: CorpusPart | None = None
    annotation: AnnotationPart | None = None
    leakage: LeakagePart | None = None
    stages: tuple[Stage, ...] = ()
    settings: tuple[Setting, ...] = Field((), description="the settings that differ from defaults")
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""
    synthetic: bool = Field(False, description="the calls are synthetic, with planted truth")
