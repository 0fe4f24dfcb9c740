"""The section of storage that outlives a cluster."""

from __future__ import annotations

from pydantic import Field

from persona_ray.config.base import Section


class StorageConfig(Section):
    """Where what a job made is kept, beside the workspace."""

    artefacts: str = Field(
        "",
        description="folder or fsspec URI such as s3://bucket/persona-ray that finished work of "
        "the workspace is copied to, and that a job on an empty workspace goes on from; empty: "
        "the workspace alone",
    )
