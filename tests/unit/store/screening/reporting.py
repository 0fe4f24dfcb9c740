"""What tests of reports say, and what comes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from persona_ray.config.screening import ReportsConfig
from persona_ray.inference.screening.reports import ReportJudge
from persona_ray.store import Store
from persona_ray.store.screening.changes import NUMBERS
from persona_ray.store.screening.records import Judgement, Report

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NUMBER = "+8613800000001"
RULES = ReportsConfig()
# Everybody counts in full at once: for tests of what follows from a decision.
PLAIN = ReportsConfig(
    min_reporters=3,
    min_weight=2.5,
    newcomer_weight=1,
    contradiction_cost=9,
    maturity_days=0,
    proven_after=0,
    burst_hours=0,
)
JUDGE = ReportJudge(PLAIN)


def say(
    store: Store,
    person: str,
    at: datetime = NOW,
    key: str = NUMBER,
    standing: str = "illegal",
    judge: ReportJudge = JUDGE,
    **values: Any,
) -> Judgement:
    found = Report(
        report_id=f"{person}:{key}:{at.isoformat()}",
        kind=values.pop("kind", NUMBERS),
        key=key,
        reporter=person,
        category={"illegal": "prize_fraud", "abnormal": "loans", "normal": "delivery"}[standing],
        standing=standing,
        at=at,
        **values,
    )
    return store.reports.add(found, judge, per_day=RULES.per_day)


def listed(store: Store, at: datetime = NOW, key: str = NUMBER) -> str:
    found = store.numbers.look_up(key, "", at)
    return "" if found is None else found.standing


def settle(store: Store, standing: str, at: datetime, key: str = NUMBER) -> None:
    with store._database.write() as session:
        store.reports.settle(session, NUMBERS, key, standing, "", "op", "found", JUDGE, at)


def record(store: Store, person: str) -> tuple[int, int, int]:
    found = store.reports.record(person)
    assert found is not None
    return found.agreed, found.contradicted, found.withdrawn
