"""The base of everything that stands in a report."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Strict and frozen: a misspelt key fails, and figures do not change after they are made."""

    model_config = ConfigDict(extra="forbid", frozen=True)
