"""A registry in memory, at the seam between the page of models and MLflow."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from persona_ray.errors import PromotionError, RegistryError
from persona_ray.progress import Progress
from persona_ray.serving.models_desk import (
    ChangeView,
    ComparisonView,
    DetailView,
    FigureView,
    PromotionView,
    RegistryView,
    RollbackView,
    VersionView,
)

LABELS = ["red", "blue", "yellow", "green"]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 60"><path d="M5 55 85 9"/></svg>'


class FakeDesk:
    """Versions 1 to 3; 2 is champion, and 1 was before it. Promoting waits for `go`; version 3 is
    refused where `worse` says so."""

    def __init__(self, worse: bool = False) -> None:
        self.worse = worse
        self.go = threading.Event()
        self.go.set()
        self.champion = 2
        self.history = [change("promote", None, 1, "the first"), change("promote", 1, 2, "better")]

    def registry(self) -> RegistryView:
        versions = [self._version(number) for number in (3, 2, 1)]
        return RegistryView(model="persona", versions=versions, history=self.history)

    def detail(self, number: int) -> DetailView:
        if number > 3:
            raise RegistryError(f"'persona' has no version or alias '{number}': there are 1, 2, 3")
        return DetailView(
            number=number, figures={"test_customer_accuracy": 0.75}, plots=["evidence-bundle.svg"]
        )

    def plot(self, number: int, name: str) -> bytes:
        if name != "evidence-bundle.svg":
            raise RegistryError(f"version {number} has no plot '{name}'")
        return SVG

    def compare(self, first: int, second: int, progress: Progress) -> ComparisonView:
        with progress.stage("recognising clips", total=8) as stage:
            stage.advance(4)
            assert self.go.wait(timeout=30)
            stage.advance(4)
        figures = [
            FigureView(
                name="clip accuracy", first=0.6, second=0.5, difference=-0.1, low=-0.2, high=-0.01
            )
        ]
        return ComparisonView(
            first=f"version {first}",
            second=f"version {second}",
            customers=24,
            clips=260,
            figures=figures,
            notes=["260 clips of 24 customers of the test split"],
            second_is_worse=self.worse,
        )

    def promote(self, number: int, reason: str, force: bool, progress: Progress) -> PromotionView:
        if number == self.champion:
            raise RegistryError(f"version {number} is the champion already")
        found = self.compare(self.champion, number, progress)
        if self.worse and not force:
            raise PromotionError(f"version {number} is worse than the champion beyond noise")
        before, self.champion = self.champion, number
        self.history = [*self.history, change("promote", before, number, reason)]
        return PromotionView(
            version=number,
            before=before,
            decision="forced" if force else "not worse",
            reason=reason,
            comparison=found,
            not_compared="",
        )

    def rollback(self, reason: str) -> RollbackView:
        left, self.champion = self.champion, 1
        self.history = [*self.history, change("rollback", left, 1, reason)]
        return RollbackView(version=1, left=left)

    def _version(self, number: int) -> VersionView:
        alias = {3: ["challenger"], self.champion: ["champion"]}.get(number, [])
        return VersionView(
            number=number,
            aliases=alias,
            registered_at=datetime(2026, 3, number, 9, 30, tzinfo=UTC),
            labels=LABELS,
            modality="both",
            customers=40 + number,
            figures={"dev_clip_accuracy": 0.5 + number / 20, "dev_customer_accuracy": 0.7},
            evaluated={"test_clip_accuracy": 0.612} if number == 3 else {},
            judgement={"decision": "not worse", "reason": "better"} if number == 2 else {},
            rolled_back={},
            bundle=f"{number}" * 64,
        )


def change(action: str, before: int | None, after: int, reason: str) -> ChangeView:
    return ChangeView(
        action=action,
        before=before,
        after=after,
        at=datetime(2026, 4, after, tzinfo=UTC),
        details={"reason": reason, "decision": "not worse"},
    )
