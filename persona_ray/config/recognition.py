"""The section of the job that recognises the whole archive."""

from __future__ import annotations

from pydantic import Field

from persona_ray.config.base import Section


class RecognitionConfig(Section):
    """How the archive's calls are recognised."""

    bundle: str = Field(
        "", description="a folder or models:/persona@champion; empty: the workspace's bundle"
    )
    workers: int = Field(2, ge=1, description="recognisers side by side, on Ray")
    gpus_per_worker: float = Field(
        0, ge=0, description="GPUs of one recogniser on Ray, a share is fine"
    )
    threads: int = Field(
        1,
        ge=1,
        description="processor threads of one recogniser's model; another number changes "
        "the last digits of probabilities",
    )
    reuse_corpus: bool = Field(
        True,
        description="sentences of calls that the workspace's corpus has, made with the same "
        "settings, are taken from it instead of being recognised anew",
    )
    texts: bool = Field(False, description="what was said is kept in the sentences' files")
    sentences_per_shard: int = Field(65_536, ge=1, description="sentences in one Parquet file")
