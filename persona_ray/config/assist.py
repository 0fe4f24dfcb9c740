"""Sections of the assistant: what is heard, felt, put before the agent, learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from persona_ray.config.base import Section
from persona_ray.config.category import (
    CategoryModelConfig,
    CategoryTextConfig,
    CategoryTrainingConfig,
)
from persona_ray.config.learning import GramsConfig
from persona_ray.config.serving import ScaleConfig


class EarsConfig(Section):
    """When a sentence of a call has ended, and what of it can be trusted."""

    end_gap_s: float = Field(
        0.5, gt=0.1, le=3, description="silence of a channel that ends a sentence"
    )
    guess_gap_s: float = Field(
        0.25, gt=0, le=3, description="silence after which recognition begins, in case it has ended"
    )
    baseline_s: float = Field(
        6.0, gt=0, description="speech of a speaker on which a baseline rests fully"
    )
    overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a sentence that the other side talks over; its tone "
        "counts for nothing then",
    )
    echo: float = Field(
        0.4,
        gt=0,
        le=1,
        description="share of a channel's power that follows from the other's, from which on it "
        "holds the other's voice",
    )


class EmotionGramsConfig(GramsConfig):
    """The n-grams of a text of a few characters: its first line says how it sounds."""

    later: int = Field(
        3, ge=0, le=8, description="longest n-gram of its other lines; 0: they are not read"
    )
    later_weight: float = Field(
        0.7, gt=0, le=1, description="what the other lines weigh beside the first"
    )
    features: int = Field(32, ge=2, description="width of the vector of a text")
    dropout: float = Field(
        0.7, ge=0, lt=1, description="share of a text's n-grams that are left out in training"
    )


class EmotionTextConfig(CategoryTextConfig):
    """What reads how a sentence sounds (its first line), and what was said."""

    grams: EmotionGramsConfig = EmotionGramsConfig()


class EmotionModelConfig(CategoryModelConfig):
    """The model: it reads a keyword in its context, and how both sound in letters."""

    text: EmotionTextConfig = EmotionTextConfig()


class EmotionTrainingConfig(CategoryTrainingConfig):
    """Its training: texts are short and many."""

    epochs: int = Field(6, ge=1, description="passes over the training texts")
    learning_rate: float = Field(5e-3, gt=0, description="Adam's, in the first epoch")
    batch_s: float = Field(128.0, gt=0, description="texts of one update, over all workers")
    micro_batch_s: float = Field(
        128.0, gt=0, description="texts that a worker passes through the model at a time"
    )


class EmotionConfig(Section):
    """Emotion of keywords and sentences: a lexicon and a trained model."""

    lexicon: Path | None = Field(None, description="YAML file; empty: the shipped one")
    lexicon_weight: float = Field(0.4, ge=0, le=1, description="of the lexicon's probabilities")
    model_weight: float = Field(0.6, ge=0, le=1, description="of the model's probabilities")
    bundle: str = Field("", description="folder or registry address; empty: the champion")
    name: str = Field("emotion", description="of the registered model")
    conversations: tuple[str, ...] = Field(
        (), description="files of conversations with planted or labelled emotions (JSON lines)"
    )
    judged_by: tuple[str, ...] = Field(
        (),
        description="files of other wordings: `dev` of their customers say when to stop and how to "
        "weigh, the others judge; empty: customers of `conversations` do",
    )
    test: float = Field(0.2, gt=0, lt=0.5, description="share of customers that is judged by")
    dev: float = Field(0.1, gt=0, lt=0.5, description="share that says when to stop")
    salt: str = Field("emotion", description="changes which customers fall where")
    model: EmotionModelConfig = EmotionModelConfig()
    training: EmotionTrainingConfig = EmotionTrainingConfig()

    @model_validator(mode="after")
    def _weights_make_one(self) -> Self:
        if abs(self.lexicon_weight + self.model_weight - 1) > 1e-6:
            raise ValueError(
                f"lexicon_weight {self.lexicon_weight:g} + model_weight {self.model_weight:g} must "
                "be 1"
            )
        return self


class RankerConfig(Section):
    """The target model: which script fits what was said and how."""

    bundle: str = Field("", description="folder or registry address; empty: the champion")
    name: str = Field("script-ranker", description="of the registered model")
    conversations: tuple[str, ...] = Field(
        (), description="files of conversations with what followed (JSON lines)"
    )
    judged_by: tuple[str, ...] = Field(
        (), description="files of conversations that nothing is learned from: judged by alone"
    )
    test: float = Field(0.2, gt=0, lt=0.5, description="share of customers that is judged by")
    dev: float = Field(0.1, gt=0, lt=0.5, description="share that says when to stop")
    salt: str = Field("ranker", description="changes which customers fall where")
    width: int = Field(128, ge=8, description="of the vectors of both towers")
    hidden: int = Field(256, ge=8, description="units of each tower's hidden layer")
    meaning: bool = Field(
        True, description="a published multilingual sentence encoder reads beside the n-grams"
    )
    longest_gram: int = Field(
        4, ge=1, le=8, description="characters of the longest n-gram of a sentence that is read"
    )
    gram_dropout: float = Field(
        0.8, ge=0, lt=1, description="share of a text's n-grams that are left out in training"
    )
    unknown: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="share of mood, tone, colour and the like that is left out in training, so "
        "that a call of which it is not known is none that the model never met",
    )
    epochs: int = Field(20, ge=1, description="passes over the training pairs, at most")
    batch: int = Field(64, ge=2, description="pairs of one update: the others are its negatives")
    hard_negatives: int = Field(4, ge=0, description="of each pair")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's")
    temperature: float = Field(0.07, gt=0, description="of the contrastive loss, at first")
    outcome_weight: float = Field(
        0.5, ge=0, description="of the loss that what went badly adds, beside the contrastive one"
    )
    replies: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="weight of agents' words that are no script of the library, as replies to what "
        "was said before them; a script with a score has 1; 0: they teach nothing",
    )
    seed: int = Field(7, ge=0, description="of weights and batches")


class ChoiceConfig(Section):
    """From candidates to what is shown."""

    candidates: int = Field(8, ge=1, le=50, description="scripts that are ranked for a decision")
    shown: int = Field(3, ge=1, le=5, description="of them on the device: one large, others small")
    scene_bonus: float = Field(0.5, ge=0, description="for a script written for this very step")
    relation_bonus: float = Field(0.5, ge=0, description="for one written for this relation")
    emotion_bonus: float = Field(0.5, ge=0, description="for one written for this emotion")
    colour_bonus: float = Field(0.5, ge=0, description="for one written for this colour")
    repeated: float = Field(1.0, ge=0, description="taken off for each time it was shown before")
    least: float = Field(
        -3.0,
        description="the ranker's log-odds that a script fits, below which it is not pushed; where "
        "none reaches it the library has a gap",
    )
    unsure: float = Field(
        0.0,
        description="the same log-odds, below which the best script counts as a gap for the "
        "owner, though it was pushed",
    )
    explore: float = Field(
        0.05, ge=0, le=0.5, description="share of pushes drawn evenly from the candidates"
    )
    temperature: float = Field(0.2, gt=0, description="of the softmax that the others follow")


class PushConfig(Section):
    """What reaches a device or a customer."""

    expires_s: float = Field(8.0, gt=0, description="after the sentence's end it is too late")
    per_minute: int = Field(10, ge=1, description="pushes to one call in a minute, at most")
    same_again_s: float = Field(60.0, ge=0, description="within it the same script is not repeated")
    channel: Literal["device", "customer"] = Field(
        "device", description="whom pushes are for: the agent's devices, or customers by `webhook`"
    )
    webhook: str = Field("", description="URL of the channel that reaches customers; empty: none")
    webhook_private: bool = Field(
        False, description="it may be at a private address, such as 10.0.0.5 or 127.0.0.1"
    )
    webhook_timeout_s: float = Field(3.0, gt=0, description="for one try")
    webhook_tries: int = Field(2, ge=1, le=10, description="until it counts as failed")

    @model_validator(mode="after")
    def _customers_are_reached(self) -> Self:
        if self.channel == "customer" and not self.webhook:
            raise ValueError("channel 'customer' needs the URL of a webhook: set webhook")
        return self


class FeedbackConfig(Section):
    """What agents and calls say of pushes: 0 to 100."""

    ratings: dict[Literal["excellent", "good", "fair", "poor"], float] = Field(
        {"excellent": 80.0, "good": 65.0, "fair": 50.0, "poor": 10.0},
        description="points of an agent's word",
    )
    actions: dict[Literal["used", "edited", "dismissed"], float] = Field(
        {"used": 70.0, "edited": 62.0, "dismissed": 20.0},
        description="points of what was done, where nothing was said",
    )
    outcomes: dict[Literal["agreed", "callback", "declined", "hung_up"], float] = Field(
        {"agreed": 20.0, "callback": 10.0, "declined": -5.0, "hung_up": -15.0},
        description="added for what the call came to",
    )
    threshold: float = Field(
        60.0, ge=0, le=100, description="above it a pair is a sample, below it a negative"
    )
    late_s: float = Field(
        86_400.0, gt=0, description="after the call feedback is kept, but no longer counted"
    )

    @model_validator(mode="after")
    def _better_is_more(self) -> Self:
        _falling("ratings", self.ratings, ("excellent", "good", "fair", "poor"), 0, 100)
        _falling("actions", self.actions, ("used", "edited", "dismissed"), 0, 100)
        best_first = ("agreed", "callback", "declined", "hung_up")
        _falling("outcomes", self.outcomes, best_first, -100, 100)
        return self


def _falling(
    name: str, points: Mapping[Any, float], best_first: Sequence[str], least: float, most: float
) -> None:
    missing = [one for one in best_first if one not in points]
    if missing:
        raise ValueError(f"{name} says nothing of '{missing[0]}': name all of {best_first}")
    given = [points[one] for one in best_first]
    if given != sorted(given, reverse=True) or given[0] > most or given[-1] < least:
        raise ValueError(
            f"{name} must fall from '{best_first[0]}' to '{best_first[-1]}', within {least:g} to "
            f"{most:g}: {given}"
        )


class RetrainingConfig(Section):
    """When the ranker is trained anew, and when the new one may answer."""

    after_samples: int = Field(200, ge=1, description="new samples that make it due")
    after_days: float = Field(7.0, gt=0, description="days that make it due, with any new sample")
    held_out: float = Field(0.3, gt=0, lt=1, description="share of customers that judge only")
    least_samples: int = Field(100, ge=10, description="held-out pushes that a release needs")
    least_coverage: float = Field(
        0.3,
        ge=0,
        le=1,
        description="share of what the new ranker would do that was tried at all; below it the log "
        "says too little",
    )
    most_samples: int = Field(
        2000, ge=10, description="held-out pushes that judge: the newest, as customers change"
    )
    mood_harm: float = Field(
        0.1, ge=0, description="by which the customers' mood may fall, -1 to 1"
    )
    clip: float = Field(20.0, gt=1, description="largest importance weight")


class AssistPartsConfig(Section):
    """Which models live together, and how many replicas."""

    layout: Literal["whole", "split"] = Field(
        "split", description="split: each in its own deployment; whole: all in one"
    )
    ears: ScaleConfig = ScaleConfig()
    advisor: ScaleConfig = ScaleConfig()
    whole: ScaleConfig = ScaleConfig()


class AssistRecordsConfig(Section):
    """What is kept of an assisted call."""

    keep_days: float = Field(
        180.0, gt=0, description="transcripts, suggestions, feedback and the samples made of them"
    )
    missed_s: float = Field(
        3600.0, gt=0, description="how far back a device that comes again is told what it missed"
    )


class AssistConfig(Section):
    """The assistant of a sales agent."""

    steps: tuple[str, ...] = Field(
        ("opening", "needs", "offer", "objection", "closing"), description="of a call, in order"
    )
    library: str = Field(
        "",
        description="YAML or CSV file of scripts; empty: the store's current version, or else "
        "the shipped one",
    )
    ears: EarsConfig = EarsConfig()
    emotion: EmotionConfig = EmotionConfig()
    ranker: RankerConfig = RankerConfig()
    choice: ChoiceConfig = ChoiceConfig()
    push: PushConfig = PushConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    retraining: RetrainingConfig = RetrainingConfig()
    records: AssistRecordsConfig = AssistRecordsConfig()
    parts: AssistPartsConfig = AssistPartsConfig()
