"""What the page of models needs of a registry, whoever keeps it.

Serving knows no registry: `persona_ray.apps.models_desk` wires the one that training writes to.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from persona_ray.progress import Progress


class VersionView(BaseModel):
    """A registered bundle. `figures` are its contract's, from the dev split when training ended;
    `evaluated` are the last evaluation's, on held-out customers. `evaluated`, `judgement` and
    `rolled_back` are empty where there are none."""

    number: int
    aliases: list[str]
    registered_at: datetime
    labels: list[str]
    modality: str
    customers: int | None = Field(description="heard in training; null where nobody knows")
    forgotten: int = Field(0, description="of them, who were forgotten since")
    figures: dict[str, float]
    evaluated: dict[str, float]
    judgement: dict[str, Any]
    rolled_back: dict[str, Any]
    bundle: str = Field(description="SHA-256 of its bundle.json")


class ChangeView(BaseModel):
    """A change of the champion. `before` is null for the first."""

    action: str
    before: int | None
    after: int
    at: datetime
    details: dict[str, Any]


class RegistryView(BaseModel):
    """All versions, the newest first, and the champion's changes, the oldest first."""

    model: str
    versions: list[VersionView]
    history: list[ChangeView]


class DetailView(BaseModel):
    """What is kept beside a version: figures of its evaluation, names of its plots."""

    number: int
    figures: dict[str, float]
    plots: list[str]


class FigureView(BaseModel):
    """One figure of two bundles on the same clips; the interval is 95 % of the difference."""

    name: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None


class ComparisonView(BaseModel):
    """Two bundles on clips of customers whom neither has heard; the first figure decides."""

    first: str
    second: str
    customers: int
    clips: int
    figures: list[FigureView]
    notes: list[str]
    second_is_worse: bool = Field(description="beyond noise")


class PromotionView(BaseModel):
    """`version` is champion now."""

    version: int
    before: int | None
    decision: str
    reason: str
    comparison: ComparisonView | None
    not_compared: str = Field(description="why there is no comparison")


class RollbackView(BaseModel):
    """`version` is champion again, `left` is not."""

    version: int
    left: int


class ModelsDesk(Protocol):
    """A registry. Everything blocks; comparing and promoting for minutes.

    Raises RegistryError for what cannot be done, PromotionError for a version that is worse,
    TrackingError where the registry cannot be reached, BundleError for a damaged bundle.
    """

    def registry(self) -> RegistryView: ...

    def detail(self, number: int) -> DetailView: ...

    def plot(self, number: int, name: str) -> bytes:
        """An SVG document, one of `DetailView.plots`."""
        ...

    def compare(self, first: int, second: int, progress: Progress) -> ComparisonView: ...

    def promote(
        self, number: int, reason: str, force: bool, progress: Progress
    ) -> PromotionView: ...

    def rollback(self, reason: str) -> RollbackView: ...
