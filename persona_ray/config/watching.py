"""The section of how running work is seen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from persona_ray.config.base import Section


class TracesConfig(Section):
    """OpenTelemetry spans. The environment has a collector's token: OTEL_EXPORTER_OTLP_HEADERS."""

    endpoint: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="URL of an OTLP collector over HTTP, such as http://localhost:4318; empty: "
        "no spans are made",
    )
    share: float = Field(
        1.0, ge=0, le=1, description="share of traces that are kept, where the caller did not say"
    )


class WatchingConfig(Section):
    """How jobs and services are seen."""

    traces: TracesConfig = TracesConfig()
    logs: Literal["text", "json"] = Field(
        "text",
        description="what jobs and commands write to standard error: text for a terminal, or one "
        "JSON object per line for a cluster's collector of logs; the service's are always JSON",
    )
