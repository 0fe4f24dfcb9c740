"""Sections of continued pretraining: masked words, masked units."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from persona_ray.config.base import Section

# Units are stored in 16 bits.
MOST_UNITS = 65_536


class _Schedule(Section):
    """What both objectives share."""

    epochs: int = Field(60, ge=1, description="passes over the data")
    learning_rate: float = Field(1e-5, gt=0, description="Adam's")
    warmup_updates: int = Field(0, ge=0, description="the rate rises from zero over these updates")
    final_rate_share: float = Field(
        1.0, ge=0, le=1, description="the rate falls linearly to this share of it; 1: constant"
    )
    weight_decay: float = Field(0.0, ge=0, description="decoupled, not for biases and norms")
    max_gradient_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this")
    checkpoint_updates: int = Field(200, ge=1, description="updates between two checkpoints")
    log_updates: int = Field(10, ge=1, description="updates between two points of the curves")
    seed: int = Field(0, ge=0, description="of weights, order of batches, masks and dropout")


class PretrainTextConfig(_Schedule):
    """Masked whole words."""

    batch_tokens: int = Field(
        16384, ge=1, description="tokens of one update over all workers, padding included"
    )
    micro_batch_tokens: int = Field(
        4096, ge=1, description="tokens that one worker holds at a time; the rest accumulates"
    )
    mask_share: float = Field(0.15, gt=0, lt=1, description="tokens to predict, by whole words")
    next_sentence: bool = Field(
        False,
        description="also tell neighbouring sentences of a call from foreign ones (BERT-wwm was "
        "trained so, RoBERTa-wwm-ext was not)",
    )
    user_dictionary: str = Field(
        "", description="jieba dictionary of business terms: `word [frequency] [tag]` a line"
    )
    files: tuple[str, ...] = Field(
        (),
        description="more text: .txt (a sentence a line, blank line between dialogues), .json, "
        ".jsonl (dialogues), each also .gz; globs are allowed",
    )
    corpus: bool = Field(True, description="the texts of the workspace's clips are learned from")
    head_epochs: int = Field(
        1,
        ge=0,
        description="where the checkpoint has no masked-word head: epochs that train a new one "
        "with the encoder frozen, before the others",
    )


class UnitsConfig(Section):
    """What the frames of one iteration are clustered by."""

    features: Literal["mfcc", "layer"] = Field(
        "mfcc", description="mfcc: 13 with deltas; layer: a block's output of the current encoder"
    )
    layer: int = Field(0, ge=0, description="block, from 1, for features: layer")
    clusters: int = Field(100, ge=2, le=MOST_UNITS, description="k of k-means: the number of units")
    sampled_frames: int = Field(
        1_000_000, ge=100, description="frames that the centres are found from"
    )

    @model_validator(mode="after")
    def _layer_is_named(self) -> UnitsConfig:
        if (self.features == "layer") != (self.layer > 0):
            raise ValueError(
                f"features {self.features} with layer {self.layer}: name a block (from 1) for "
                "features: layer, and none for mfcc"
            )
        return self

    @model_validator(mode="after")
    def _every_unit_has_a_frame(self) -> UnitsConfig:
        if self.clusters > self.sampled_frames:
            raise ValueError(
                f"clusters {self.clusters} > sampled_frames {self.sampled_frames}: raise "
                "sampled_frames or lower clusters, since each unit needs a frame"
            )
        return self


class PretrainSpeechConfig(_Schedule):
    """Masked units, as HuBERT was made (Hsu et al. 2021, arXiv 2106.07447)."""

    batch_s: float = Field(
        240.0, gt=0, description="audio seconds of one update over all workers, padding included"
    )
    micro_batch_s: float = Field(
        60.0, gt=0, description="audio seconds that one worker holds at a time"
    )
    iterations: tuple[UnitsConfig, ...] = Field(
        (UnitsConfig(),),
        min_length=1,
        description="units of each iteration; each trains `epochs` epochs on what the one before "
        "left",
    )
    mask_start: float = Field(
        0.08, gt=0, le=1, description="probability of a frame to begin a masked span"
    )
    mask_length: int = Field(10, ge=1, description="frames in a span")
    masked_weight: float = Field(1.0, ge=0, description="of the cross entropy on masked frames")
    unmasked_weight: float = Field(0.0, ge=0, description="of the cross entropy on the others")
    feature_penalty: float = Field(
        10.0, ge=0, description="of the mean square of the convolutional front's output"
    )
    temperature: float = Field(0.1, gt=0, description="cosines are divided by it")
    projection: int = Field(
        256, ge=1, description="width in which frames and units are compared (large: 768)"
    )
    freeze_front: bool = Field(False, description="the convolutional front is not trained")


class PretrainingConfig(Section):
    """Continued pretraining on the archive itself, without labels."""

    encoders: tuple[Literal["speech", "text"], ...] = Field(
        (),
        description="encoders that `run` trains further and `finetune` then starts from; empty: "
        "the encoders of the model section as they are",
    )
    hold_out: bool = Field(
        True, description="customers of the dev and test splits are not learned from"
    )
    text: PretrainTextConfig = PretrainTextConfig()
    speech: PretrainSpeechConfig = PretrainSpeechConfig()
