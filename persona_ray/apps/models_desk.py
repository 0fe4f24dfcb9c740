"""The registry that training writes to, as the page of models sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.errors import TrackingError
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

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.launch.versions.paired import BundleComparison
    from persona_ray.launch.versions.records import Version
    from persona_ray.progress import Progress


class RegistryDesk:
    """ModelsDesk over MLflow. Opened anew for each question: nothing is asked of it until somebody
    looks at the page."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def registry(self) -> RegistryView:
        from persona_ray.launch.tracking.runs import OFF, has_store
        from persona_ray.launch.versions.registry import Registry

        if self._config.tracking.url == OFF:
            raise TrackingError("tracking.url is off, so there is no registry: leave it empty")
        if not has_store(self._config):
            return RegistryView(model=self._config.tracking.model, versions=[], history=[])
        registry = Registry.open(self._config)
        return RegistryView(
            model=registry.model,
            versions=[_version(version) for version in registry.versions()],
            history=[
                ChangeView(
                    action=change.action,
                    before=change.before,
                    after=change.after,
                    at=change.at,
                    details=dict(change.details),
                )
                for change in registry.history()
            ],
        )

    def detail(self, number: int) -> DetailView:
        from persona_ray.launch.versions import kept

        version = self._find(number)
        return DetailView(
            number=number,
            figures=kept.figures(self._config, version),
            plots=kept.plots(self._config, version),
        )

    def plot(self, number: int, name: str) -> bytes:
        from persona_ray.launch.versions import kept

        return kept.plot(self._config, self._find(number), name)

    def compare(self, first: int, second: int, progress: Progress) -> ComparisonView:
        from persona_ray.launch.versions.promotion import compare

        return _comparison(compare(self._config, str(first), str(second), progress))

    def promote(self, number: int, reason: str, force: bool, progress: Progress) -> PromotionView:
        from persona_ray.launch.versions.promotion import promote

        done = promote(self._config, str(number), progress, force, reason)
        compared = None if isinstance(done.comparison, str) else _comparison(done.comparison)
        return PromotionView(
            version=done.version.number,
            before=None if done.before is None else done.before.number,
            decision=done.decision,
            reason=done.reason,
            comparison=compared,
            not_compared=done.comparison if isinstance(done.comparison, str) else "",
        )

    def rollback(self, reason: str) -> RollbackView:
        from persona_ray.launch.versions.promotion import rollback

        former, left = rollback(self._config, reason)
        return RollbackView(version=former.number, left=left.number)

    def _find(self, number: int) -> Version:
        from persona_ray.launch.versions.registry import Registry

        return Registry.open(self._config).find(str(number))


def _version(version: Version) -> VersionView:
    from persona_ray.launch.versions.records import JUDGEMENT, ROLLED_BACK

    customers = version.tags.get("customers", "")
    return VersionView(
        number=version.number,
        aliases=list(version.aliases),
        registered_at=version.registered_at,
        labels=[label for label in version.tags.get("labels", "").split(",") if label],
        modality=version.tags.get("modality", ""),
        customers=int(customers) if customers.isdigit() else None,
        forgotten=version.forgotten,
        figures={
            name: float(value)
            for name, value in version.details("metrics").items()
            if isinstance(value, int | float)
        },
        evaluated=version.evaluated,
        judgement=version.details(JUDGEMENT),
        rolled_back=version.details(ROLLED_BACK),
        bundle=version.digest,
    )


def _comparison(found: BundleComparison) -> ComparisonView:
    figures = []
    for figure in found.paired.figures:
        low, high = figure.difference.interval or (None, None)
        figures.append(
            FigureView(
                name=figure.name,
                first=figure.first,
                second=figure.second,
                difference=figure.difference.value,
                low=low,
                high=high,
            )
        )
    return ComparisonView(
        first=found.first,
        second=found.second,
        customers=found.paired.customers,
        clips=found.paired.clips,
        figures=figures,
        notes=found.notes,
        second_is_worse=found.paired.second_is_worse,
    )
