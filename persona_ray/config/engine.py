"""The section of the engine that carries out training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from persona_ray.config.base import Section


class EngineConfig(Section):
    """What carries out the training steps, on any number of workers."""

    kind: Literal["torch", "deepspeed"] = Field(
        "torch", description="torch: one process, or DistributedDataParallel; deepspeed: ZeRO"
    )
    zero_stage: int = Field(
        0,
        ge=0,
        le=3,
        description="DeepSpeed shares out over the workers: 0 nothing, 1 optimizer state, "
        "2 gradients too, 3 weights too",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on GPUs that compute in it, fp32 elsewhere"
    )
    activation_checkpointing: bool = Field(
        False, description="blocks are run again in the backward pass instead of being remembered"
    )

    @model_validator(mode="after")
    def _zero_needs_deepspeed(self) -> EngineConfig:
        if self.kind == "torch" and self.zero_stage:
            raise ValueError(
                f"zero_stage {self.zero_stage} needs engine.kind deepspeed; torch keeps whole "
                "replicas (zero_stage 0)"
            )
        return self
