"""Sections that turn a call archive into an annotated, split data set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from persona_ray.config.base import Section

DEFAULT_QUERY = """\
SELECT c.call_id, c.customer_id, c.audio_uri, c.scene, c.customer_channel, c.channels,
       c.duration_s, t.channel AS transcript_channel, t.words AS transcript_words,
       u.name AS fact_name, u.sex AS fact_sex,
       u.age_band AS fact_age_band, u.occupation AS fact_occupation, u.city AS fact_city,
       u.product_held AS fact_product_held, u.complaint_count AS fact_complaint_count
FROM calls c JOIN customers u ON u.customer_id = c.customer_id
LEFT JOIN transcripts t ON t.call_id = c.call_id
"""


class ArchiveConfig(Section):
    """Where the calls are."""

    url: str = Field(
        "sqlite:///demo/archive/business.sqlite",
        description="SQLAlchemy URL of the business database; ${NAME} is taken from the "
        "environment, so that no password stands in a file",
    )
    query: str = Field(
        DEFAULT_QUERY,
        description="SELECT with the columns call_id, customer_id, audio_uri, customer_channel "
        "and, where the database has them: channels, duration_s, scene, transcript_channel, "
        "transcript_words (JSON list of {text, start_s, end_s}) and any fact_* for annotators",
    )
    audio_root: str = Field(
        "demo/archive", description="fsspec URI that relative audio URIs are resolved against"
    )
    mono: Literal["quarantine", "customer"] = Field(
        "quarantine",
        description="what a file with one channel is where two are promised: set aside, or taken "
        "as the customer alone",
    )
    agent_phrases: tuple[str, ...] = Field(
        (
            "工号",
            "为您服务",
            "请问有什么可以帮",
            "感谢来电",
            "祝您愉快",
            "给您说明",
            "系统显示",
            "我来跟进",
        ),
        description="phrases that only agents say: two of them on the customer's channel mean "
        "that the channels are swapped; from four characters on, one in four may be misheard",
    )
    max_call_s: float = Field(7200.0, gt=0, description="longest call that is read, in seconds")
    page_size: int = Field(64, ge=1, description="calls per page read from the database")


class AudioConfig(Section):
    """What calls are converted to."""

    sample_rate_hz: int = Field(
        8000, description="rate of the clips in Hz; telephone speech has nothing above 4 kHz"
    )
    min_level_db: float = Field(
        -60.0, description="a channel whose loudest 20 ms stay below this level (dBFS) is silent"
    )
    truncated_below: float = Field(
        0.9,
        gt=0,
        le=1,
        description="a file with less than this share of its promised length is truncated",
    )


class VadConfig(Section):
    """Voice activity detection (silero)."""

    threshold: float = Field(0.5, gt=0, lt=1, description="speech probability that counts")
    min_speech_s: float = Field(0.2, ge=0, description="shorter speech is ignored, in seconds")
    min_silence_s: float = Field(0.25, ge=0, description="shorter silence is bridged, in seconds")
    pad_s: float = Field(0.08, ge=0, description="kept before and after speech, in seconds")


class AsrConfig(Section):
    """Speech recognition."""

    engine: Literal["whisper", "funasr"] = Field("whisper", description="which recogniser")
    model: str = Field(
        "base",
        description="'base' is the Whisper that is installed with the product; otherwise a folder "
        "or a model name that the engine can load (large-v3, paraformer-zh, ...)",
    )
    language: str = Field("zh", description="language code of the calls")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs")
    compute_type: str = Field("int8", description="CTranslate2 type: int8, float16, ...")
    threads: int = Field(1, ge=1, description="processor threads per recogniser")
    beam_size: int = Field(1, ge=1, description="beam width; 1 is greedy")
    prompt: str = Field(
        "以下是普通话的电话录音，请用简体中文。",
        description="text given to the recogniser before the call, for script and domain words",
    )
    reuse_transcripts: bool = Field(
        True, description="take the archive's own transcript where a call has one with times"
    )


class CutConfig(Section):
    """From words to sentences."""

    min_chars: int = Field(
        10, ge=1, description="a clip with fewer characters (punctuation not counted) is dropped"
    )
    max_clip_s: float = Field(12.0, gt=0, description="longest clip, in seconds")
    sentence_gap_s: float = Field(
        0.45,
        gt=0,
        description="silence between words that ends a sentence, in s; twice that after a comma",
    )
    pad_s: float = Field(0.1, ge=0, description="kept before and after a clip, in seconds")


class CorpusConfig(Section):
    """How the corpus job runs."""

    workers: int = Field(2, ge=1, description="recognisers side by side")
    gpus_per_worker: float = Field(
        0, ge=0, description="GPUs of one recogniser on Ray, a share is fine (asr.device = cuda)"
    )
    clips_per_shard: int = Field(2048, ge=1, description="clips in one Parquet file")
    truth: str = Field(
        "",
        description="folder of planted truth (synthetic archives only): the report then says how "
        "well recognition, cutting and quarantine did",
    )


class StoreConfig(Section):
    """The product's own database."""

    url: str = Field(
        "",
        description="SQLAlchemy URL; empty means SQLite in the workspace; ${NAME} is taken from "
        "the environment",
    )


class AnnotationConfig(Section):
    """Labels and how several annotators become one."""

    labels: tuple[str, ...] = Field(
        ("red", "blue", "yellow", "green"), description="the labels a model learns, in its order"
    )
    files: tuple[str, ...] = Field(
        (), description="annotation files (CSV, Label Studio JSON) that `run` imports"
    )
    uncertain: str = Field("uncertain", description="label that is kept but never trained on")
    resolution: Literal["majority", "adjudicated"] = Field(
        "majority",
        description="majority: most votes win, a tie is a conflict; adjudicated: only clips that "
        "the adjudicator labelled or all annotators agree on",
    )
    adjudicator: str = Field("adjudicator", description="annotator whose label always wins")
    min_overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="an annotation without clip_id belongs to the clip of its call whose time "
        "overlaps it by at least this share (intersection over union)",
    )

    @model_validator(mode="after")
    def _labels_make_sense(self) -> AnnotationConfig:
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
            raise ValueError(f"labels {list(self.labels)} must be at least two different names")
        if self.uncertain in self.labels:
            raise ValueError(
                f"uncertain '{self.uncertain}' is one of labels: take it out of labels, "
                "or name the uncertain label otherwise"
            )
        return self


class SplitConfig(Section):
    """Who is trained on and who is kept for judging."""

    train: float = Field(0.8, gt=0, lt=1, description="share of customers")
    dev: float = Field(0.1, gt=0, lt=1, description="share of customers")
    test: float = Field(0.1, gt=0, lt=1, description="share of customers")
    unit: Literal["customer", "sentence"] = Field(
        "customer",
        description="customer: all clips of a customer share a split; sentence: clips are dealt "
        "one by one, which leaks the speaker and is there to show how much",
    )
    salt: str = Field("persona-ray", description="changes which customers fall where")
    repeated_text: Literal["fail", "drop"] = Field(
        "fail",
        description="one text in two splits: fail the job, or drop its clips from dev and test",
    )
    near_duplicate: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity of character pairs that is reported"
    )

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> SplitConfig:
        total = self.train + self.dev + self.test
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"train + dev + test = {total:g}: the shares must sum to 1")
        return self
