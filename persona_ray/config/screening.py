"""Sections of screening: whose voice it is, how the robot talks, what reports weigh, what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from persona_ray.config.base import Section
from persona_ray.config.category import CategoryConfig
from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.config.serving import ScaleConfig


class VoiceConfig(Section):
    """Voiceprints."""

    engine: str = Field(
        "ge2e",
        description="ge2e, or package.module:Name of a SpeakerEncoder, made as Name(weights)",
    )
    weights: str = Field("", description="of the engine; empty: those that come with it")
    calibration: str = Field(
        "", description="what strangers reach with this engine; empty: as measured for ge2e"
    )
    index: Literal["exact", "usearch"] = Field(
        "exact", description="exact: in memory, to a million voices; usearch: approximate, beyond"
    )
    min_speech_s: float = Field(
        3.0, gt=0, description="speech that a verdict needs, in seconds, silence left out"
    )
    false_matches: float = Field(
        0.005,
        gt=0,
        lt=1,
        description="share of callers in no library that may be taken for somebody in one",
    )
    margin: float = Field(
        0.02, ge=0, description="cosine by which a match is above any other person's voice"
    )
    expires_days: float = Field(
        90.0, gt=0, description="of a voice that a call brought into a library"
    )


class DialogueConfig(Section):
    """The dialogue robot."""

    enabled: bool = Field(True, description="false: the caller is listened to, nothing is said")
    set: str = Field("", description="a dialogue set (YAML); empty: the one that comes with it")
    max_turns: int = Field(6, ge=1, description="turns of the caller, then the call is ended")
    silence_s: float = Field(6.0, gt=0, description="silence after which the robot asks again")
    max_silences: int = Field(2, ge=1, description="in a row, then the call is ended")
    max_call_s: float = Field(180.0, gt=0, description="longest screened call, in seconds")
    message_s: float = Field(60.0, gt=0, description="longest message, in seconds")
    part_s: float = Field(
        8.0,
        gt=0,
        description="how long a model may think about a turn; then the call goes on without it",
    )
    sentences: str = Field(
        "both",
        description="what a caller's words are compared by: both, meaning, ngrams, or "
        "package.module:Name of a SentenceVectors",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="nearness below which no exchange is meant and the caller is asked to go on; "
        "empty: that of the sentence vectors",
    )
    steering: float = Field(
        0.1,
        ge=0,
        le=1,
        description="what a category of probability 1 adds to the nearness of its exchanges",
    )
    voice: Literal["espeak", "kokoro", "tone"] = Field(
        "espeak", description="espeak, kokoro, or tone (no speech: for tests)"
    )
    voices_folder: Path | None = Field(
        None, description="of kokoro: package/voices of `npm pack kokoro-js@1.2.1`"
    )
    speed: float = Field(1.0, gt=0.3, lt=3, description="of speech, a ratio")
    spoken: int = Field(
        512,
        ge=1,
        description="pieces of answers whose sound is kept, made when the service starts; "
        "about 0.3 MB each",
    )


class ReportsConfig(Section):
    """What it takes before reports change a shared set, and what a report weighs.

    One of a person that proved right before weighs nearly 1, a newcomer's `newcomer_weight`.
    """

    min_reporters: int = Field(5, ge=1, description="distinct persons, whatever they weigh")
    min_weight: float = Field(3.0, gt=0, description="sum of their weights, after decay")
    half_life_days: float = Field(30.0, gt=0, description="after which a report counts half")
    expires_days: float = Field(90.0, gt=0, description="of an entry that reports made")
    newcomer_weight: float = Field(
        0.2, ge=0, le=1, description="of a person whose reports nothing has been found about"
    )
    prior_reports: float = Field(
        5.0, gt=0, description="findings that it takes to move a person's weight half-way"
    )
    contradiction_cost: float = Field(
        6.0, ge=0, description="reports found right that one found wrong undoes"
    )
    withdrawal_cost: float = Field(
        2.0, ge=0, description="the same, of a report taken back after it had helped to list"
    )
    proven_after: float = Field(
        3.0, ge=0, description="reports found right, less what wrong ones undo, of a proven person"
    )
    unproven_share: float = Field(
        0.5, ge=0, le=1, description="of min_weight that persons not proven can reach, all together"
    )
    maturity_days: float = Field(
        14.0, ge=0, description="a person known for less than this at the report weighs less"
    )
    burst_hours: float = Field(
        1.0, ge=0, description="what is reported within this time is one burst; 0: no limit"
    )
    burst_share: float = Field(
        0.6, gt=0, description="of min_weight that the reports of one burst can reach"
    )
    per_day: int = Field(20, ge=1, description="reports of one person that are taken in 24 hours")
    mark_days: float = Field(
        30.0, gt=0, description="how long a user's own sets hold the number of an illegal call"
    )
    keep_days: float = Field(
        300.0, gt=0, description="a report is deleted after this; its reporter's record stays"
    )


class RecordsConfig(Section):
    """What is kept of a screened call."""

    keep_days: float = Field(30.0, gt=0, description="recordings and transcripts")
    link_s: float = Field(600.0, gt=0, description="how long a signed link opens them")


class DistributionConfig(Section):
    """Sets and libraries for devices."""

    page: int = Field(1000, ge=1, le=10_000, description="entries of one answer")
    keep_versions_days: float = Field(
        30.0, gt=0, description="changes older than this are had as a snapshot"
    )
    prefix_bits: int = Field(
        16, ge=8, le=32, description="of a number's hash that a private look-up tells, at most"
    )
    crowd: int = Field(
        16, ge=1, description="listed numbers, on average, that a private look-up hides among"
    )
    keys: str = Field(
        "",
        description="folder of the signing keys, shared by all replicas; empty: keys/screening in "
        "the workspace",
    )


class PartsConfig(Section):
    """Deployments of the models of screening. The ingress, limits, live calls and keys are those of
    `serving`."""

    layout: Literal["whole", "split"] = Field(
        "whole",
        description="whole: all models in each replica, quickest on one machine; split: each apart",
    )
    whole: ScaleConfig = ScaleConfig()
    ears: ScaleConfig = ScaleConfig()
    voices: ScaleConfig = ScaleConfig()
    categories: ScaleConfig = ScaleConfig()
    robot: ScaleConfig = ScaleConfig()
    mouth: ScaleConfig = ScaleConfig()


class ScreeningConfig(Section):
    """Screening of unknown calls."""

    region: str = Field(
        "CN",
        pattern="^[A-Z]{2}$",
        description="ISO 3166 country whose numbers are written without a country code",
    )
    bundle: str = Field(
        "", description="category model: a folder or models:/category@champion; empty: the latter"
    )
    category: CategoryConfig = CategoryConfig()
    policy: PolicyConfig = PolicyConfig()
    voice: VoiceConfig = VoiceConfig()
    dialogue: DialogueConfig = DialogueConfig()
    reports: ReportsConfig = ReportsConfig()
    records: RecordsConfig = RecordsConfig()
    distribution: DistributionConfig = DistributionConfig()
    parts: PartsConfig = PartsConfig()
    gone_s: float = Field(
        20.0,
        gt=0,
        description="how long a call whose line broke, or that nobody connected, is waited for; "
        "then it ends with the verdict so far",
    )
    webhooks: tuple[str, ...] = Field((), description="URLs that hear of verdicts, signed")
    webhooks_private: bool = Field(
        False, description="webhooks may be at private addresses, such as 10.0.0.5 or 127.0.0.1"
    )
