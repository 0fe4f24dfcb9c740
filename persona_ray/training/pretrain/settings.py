"""What the loop must know of the configuration, the same for text and speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from persona_ray.config.pretraining import PretrainSpeechConfig, PretrainTextConfig
from persona_ray.training.feed import Course


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """`update_size` and `micro_size` are in the task's unit (tokens or audio seconds), padding
    included; the other fields are those of the configuration. `name` is what curves are called."""

    name: str
    epochs: int
    learning_rate: float
    warmup_updates: int
    final_rate_share: float
    weight_decay: float
    max_gradient_norm: float
    update_size: float
    micro_size: float
    checkpoint_updates: int
    log_updates: int
    seed: int

    @classmethod
    def of(
        cls, config: PretrainTextConfig | PretrainSpeechConfig, name: str | None = None
    ) -> PretrainSettings:
        if isinstance(config, PretrainTextConfig):
            default, update, micro = "text", config.batch_tokens, config.micro_batch_tokens
            sizes = (float(update), float(micro))
        else:
            default, sizes = "speech", (config.batch_s, config.micro_batch_s)
        return cls(
            name=name or default,
            epochs=config.epochs,
            learning_rate=config.learning_rate,
            warmup_updates=config.warmup_updates,
            final_rate_share=config.final_rate_share,
            weight_decay=config.weight_decay,
            max_gradient_norm=config.max_gradient_norm,
            update_size=sizes[0],
            micro_size=sizes[1],
            checkpoint_updates=config.checkpoint_updates,
            log_updates=config.log_updates,
            seed=config.seed,
        )

    def rate(self, update: int, updates: int) -> float:
        """Learning rate of update `update` (from 1) of `updates`: a function of these alone, so
        that every worker and every resumed run has the same."""
        if update <= self.warmup_updates:
            return self.learning_rate * update / self.warmup_updates
        rest = max(1, updates - self.warmup_updates - 1)
        gone = (update - self.warmup_updates - 1) / rest
        return self.learning_rate * (1.0 + (self.final_rate_share - 1.0) * gone)

    def course(self, sizes: Sequence[float]) -> Course:
        """The updates over items of `sizes`, in the task's unit."""
        return Course(
            f"pretraining {self.name}",
            sizes,
            self.update_size,
            self.micro_size,
            self.seed,
            self.epochs,
        )

    def identity(self) -> dict[str, Any]:
        """What a run must keep when it goes on from a checkpoint. A run at a constant rate may be
        prolonged; micro-batches, intervals, engine and workers may always change."""
        matters: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "warmup_updates": self.warmup_updates,
            "final_rate_share": self.final_rate_share,
            "weight_decay": self.weight_decay,
            "max_gradient_norm": self.max_gradient_norm,
            "update_size": self.update_size,
            "seed": self.seed,
        }
        if self.final_rate_share != 1.0:
            matters["epochs"] = self.epochs
        return matters
