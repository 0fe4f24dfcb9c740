"""Sections of screening: what is illegal, whose voice it is, how the robot talks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from persona_ray.config.base import Section

# As records.Standing; the configuration imports nothing above it.
StandingName = Literal["normal", "abnormal", "illegal"]

_STANDINGS: dict[str, StandingName] = {
    "impersonation_fraud": "illegal",
    "investment_fraud": "illegal",
    "prize_fraud": "illegal",
    "account_fraud": "illegal",
    "kidnapping_fraud": "illegal",
    "refund_fraud": "illegal",
    "promotion": "abnormal",
    "loans": "abnormal",
    "investment": "abnormal",
    "property": "abnormal",
    "education": "abnormal",
    "survey": "abnormal",
    "delivery": "normal",
    "ride": "normal",
    "appointment": "normal",
    "service": "normal",
    "personal": "normal",
    "other": "normal",
}


class PolicyConfig(Section):
    """What becomes of a call by what it is about."""

    categories: dict[str, StandingName] = Field(
        _STANDINGS, description="standing of each category that the model knows"
    )
    wanted: tuple[str, ...] = Field(
        ("delivery", "ride", "appointment"),
        description="categories that get through, for users who have not chosen",
    )
    false_hang_up_cost: float = Field(
        20.0, gt=0, description="cost of hanging up on a call that was not illegal"
    )
    fraud_turn_cost: float = Field(
        1.0, gt=0, description="cost of each further turn that an illegal caller is listened to"
    )


class VoiceConfig(Section):
    """Voiceprints."""

    engine: str = Field("ge2e", description="ge2e, or package.module:Name of a Voiceprinter")
    weights: str = Field("", description="of the engine; empty: those that come with it")
    min_speech_s: float = Field(
        3.0, gt=0, description="speech that a verdict needs, in seconds, silence left out"
    )
    margin: float = Field(
        0.05, ge=0, description="by how much a match is above any other person's voice"
    )


class DialogueConfig(Section):
    """The dialogue robot."""

    enabled: bool = Field(True, description="false: the caller is listened to, nothing is said")
    set: str = Field("", description="a dialogue set (YAML); empty: the one that comes with it")
    max_turns: int = Field(6, ge=1, description="turns of the caller, then the call is ended")
    silence_s: float = Field(6.0, gt=0, description="silence after which the robot asks again")
    max_silences: int = Field(2, ge=1, description="in a row, then the call is ended")
    max_call_s: float = Field(180.0, gt=0, description="longest screened call, in seconds")
    voice: str = Field("espeak", description="espeak, kokoro, or tone (no speech: for tests)")


class ReportsConfig(Section):
    """What it takes before reports change a shared set."""

    min_reporters: int = Field(5, ge=1, description="distinct persons, whatever they weigh")
    min_weight: float = Field(3.0, gt=0, description="sum of their weights, after decay")
    half_life_days: float = Field(30.0, gt=0, description="after which a report counts half")
    expires_days: float = Field(90.0, gt=0, description="of an entry that reports made")


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
        16, ge=8, le=32, description="of a number's hash that a private look-up tells"
    )


class ScreeningConfig(Section):
    """Screening of unknown calls."""

    bundle: str = Field(
        "", description="category model: a folder or models:/category@champion; empty: the latter"
    )
    policy: PolicyConfig = PolicyConfig()
    voice: VoiceConfig = VoiceConfig()
    dialogue: DialogueConfig = DialogueConfig()
    reports: ReportsConfig = ReportsConfig()
    records: RecordsConfig = RecordsConfig()
    distribution: DistributionConfig = DistributionConfig()
    webhooks: tuple[str, ...] = Field((), description="URLs that hear of verdicts, signed")
