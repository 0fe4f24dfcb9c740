"""What a synthetic archive is made of. Every strength is a knob; 0 plants nothing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from persona_ray.config.base import Section


class Engine(StrEnum):
    """Which synthesiser speaks."""

    KOKORO = "kokoro"
    ESPEAK = "espeak"
    TONE = "tone"


class DirtCounts(Section):
    """How many calls get each kind of dirt. A call gets at most one kind."""

    long_silence: int = Field(3, ge=0, description="Calls with ten seconds of silence inside.")
    swapped_channels: int = Field(
        3, ge=0, description="Calls whose database row names the agent's channel as customer's."
    )
    overlap: int = Field(4, ge=0, description="Calls where customer and agent talk at once.")
    noise: int = Field(
        6, ge=0, description="Calls with background noise at 5-15 dB below the customer's speech."
    )
    mulaw_wav: int = Field(3, ge=0, description="Calls stored as mu-law WAV at 8000 Hz.")
    flac_16k: int = Field(2, ge=0, description="Calls stored as FLAC at 16000 Hz.")
    mp3: int = Field(1, ge=0, description="Calls stored as MP3.")
    truncated: int = Field(
        2, ge=0, description="Files cut at 60 % of their bytes: Ogg and WAV in turn."
    )
    not_audio: int = Field(1, ge=0, description="Files whose bytes are no audio.")
    empty_file: int = Field(1, ge=0, description="Files of 0 bytes.")
    missing_file: int = Field(
        1, ge=0, description="Files that the database names but do not exist."
    )
    mono: int = Field(2, ge=0, description="Calls with both voices mixed into one channel.")
    silent_customer: int = Field(1, ge=0, description="Calls whose customer channel is silent.")

    def kinds(self) -> list[str]:
        """One entry per dirty call, kind by kind."""
        return [kind for kind, count in self.model_dump().items() for _ in range(count)]


class Strengths(Section):
    """How strongly a colour shows, and how wide people scatter around it."""

    text: float = Field(
        4.0,
        ge=0,
        description="How sharply a sentence's leaning picks clause kinds: a kind's odds are "
        "exp(strength x fit). 0: texts say nothing of the colour.",
    )
    prosody: float = Field(
        1.0, ge=0, description="Scale of the lean of rate, pitch, level, effort and pauses."
    )
    primary: float = Field(
        0.50, ge=0, le=1, description="Share of sentences that lean to the primary colour."
    )
    secondary: float = Field(
        0.15, ge=0, le=1, description="Share of sentences that lean to the secondary colour."
    )
    speaker_jitter: float = Field(
        1.0, ge=0, description="Scale of the scatter of prosody between customers of one colour."
    )
    sentence_jitter: float = Field(
        1.0, ge=0, description="Scale of the scatter of prosody between sentences of one customer."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.primary + self.secondary > 1:
            raise ValueError(
                f"primary ({self.primary}) + secondary ({self.secondary}) exceed 1: "
                "lower one, the rest of the sentences is neutral"
            )
        return self


class Annotators(Section):
    """Three simulated annotators: how often they find the customer's colour."""

    primary: float = Field(0.80, ge=0, le=1, description="Chance of the primary colour.")
    secondary: float = Field(0.08, ge=0, le=1, description="Chance of the secondary colour.")
    uncertain: float = Field(0.08, ge=0, le=1, description="Chance of `uncertain`.")
    sloppy_loss: float = Field(
        0.15, ge=0, le=1, description="What the third annotator loses of the primary chance."
    )
    skip: float = Field(
        0.4, ge=0, le=1, description="Share of sentences that one of the three does not label."
    )
    adjudicated: float = Field(
        0.8, ge=0, le=1, description="Share of tied sentences that an adjudicator settles."
    )

    @model_validator(mode="after")
    def _chances_fit(self) -> Self:
        total = self.primary + self.secondary + self.uncertain
        if total > 1 + 1e-9:
            raise ValueError(f"primary + secondary + uncertain = {total:.2f}: must not exceed 1")
        if self.sloppy_loss > self.primary:
            raise ValueError("sloppy_loss must not exceed primary")
        return self


class SynthConfig(Section):
    """A synthetic archive of calls with planted truth."""

    seed: int = Field(5, ge=0, description="Same seed and sizes: same truth, same database.")
    customers_per_colour: int = Field(20, ge=1, description="Customers of each primary colour.")
    calls_per_customer: int = Field(3, ge=1, description="Calls of each customer.")
    agents: int = Field(5, ge=1, le=5, description="Agents who answer.")
    sentences_per_call: tuple[int, int] = Field(
        (4, 5), description="Fewest and most customer sentences in a call, fillers not counted."
    )
    filler_rate: float = Field(
        0.3, ge=0, le=1, description="Chance of a filler under ten characters in a call."
    )
    sentence_characters: tuple[int, int] = Field(
        (12, 22), description="Fewest and most characters of a customer sentence, no punctuation."
    )
    engine: Engine = Field(Engine.KOKORO, description="Which synthesiser speaks.")
    voices_folder: Path | None = Field(
        None, description="Folder of Kokoro voices (zf_*.bin, zm_*.bin); needed by kokoro only."
    )
    speech_cache: Path = Field(
        Path(".cache/synth"), description="Folder where spoken sentences are kept between runs."
    )
    workers: int = Field(2, ge=1, description="Processes that synthesise speech.")
    sample_rate_hz: int = Field(
        8000, ge=8000, le=48_000, description="Rate of the recordings in Hz."
    )
    strengths: Strengths = Field(default_factory=Strengths, description="How colours show.")
    dirt: DirtCounts = Field(default_factory=DirtCounts, description="Dirty calls by kind.")
    annotators: Annotators = Field(
        default_factory=Annotators, description="Simulated annotators of annotations.csv."
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        for name in ("sentences_per_call", "sentence_characters"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ValueError(f"{name} = ({low}, {high}): give the smaller first, at least 1")
        if self.sentence_characters[0] < 10:
            raise ValueError("sentence_characters starts under 10: such clips would be dropped")
        customers, calls = self.customers, self.customers * self.calls_per_customer
        dirty = len(self.dirt.kinds())
        losing = sum(kind in LOSING for kind in self.dirt.kinds())
        if dirty > calls or losing > customers:
            raise ValueError(
                f"{dirty} dirty calls ({losing} unusable) do not fit {customers} customers with "
                f"{calls} calls: at most one unusable call a customer; lower `dirt` or add calls"
            )
        return self

    @property
    def customers(self) -> int:
        """Customers in all."""
        return self.customers_per_colour * 4


# Dirt that makes a call unusable, with the reason a corpus job should give.
LOSING: dict[str, str] = {
    "truncated": "truncated",
    "not_audio": "not_audio",
    "empty_file": "empty_file",
    "missing_file": "unreadable",
    "mono": "mono",
    "silent_customer": "silent",
}
