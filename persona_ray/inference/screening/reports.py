"""What reports come to: whom they convince, and of what. Pure: no store, no clock.

A report weighs trust x maturity x decay, in [0, 1]:

- trust = (agreed + newcomer_weight * prior) / (agreed + undone + prior), where undone =
  contradiction_cost * contradicted + withdrawal_cost * withdrawn. It is the mean of a beta
  distribution whose prior is worth `prior_reports` findings;
- maturity rises from 1/4 to 1 in the first `maturity_days` that a person is known;
- decay = 2 ** (-age / half_life).

One person counts once, and so does one device. Persons without a record can together not reach
the needed weight, nor can the reports of one burst. Reports of `normal` weigh against the others;
they never put a number among the normal ones, where its calls would be let through.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from persona_ray.store.screening.records import Judgement, Report, ReporterRecord

if TYPE_CHECKING:
    from persona_ray.config.screening import ReportsConfig

_NEWEST = 0.25
_DAY_S = 86_400.0
# Sums of floats: seven reports of weight 3/7 are enough for 3.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Said:
    """One person's report with its weight in [0, 1]; `proven`: his record is good enough."""

    report: Report
    weight: float
    proven: bool


def undone(record: ReporterRecord, rules: ReportsConfig) -> float:
    """How many right reports a person's wrong ones cost him."""
    wrong = rules.contradiction_cost * record.contradicted
    return wrong + rules.withdrawal_cost * record.withdrawn


def trust(record: ReporterRecord, rules: ReportsConfig) -> float:
    """How far a person is believed, in (0, 1); `newcomer_weight` without findings."""
    prior = rules.prior_reports
    right = record.agreed + rules.newcomer_weight * prior
    return right / (record.agreed + undone(record, rules) + prior)


def is_proven(record: ReporterRecord, rules: ReportsConfig) -> bool:
    """Whether a person has been right often enough to convince."""
    return record.agreed - undone(record, rules) >= rules.proven_after


def maturity(known_for: timedelta, rules: ReportsConfig) -> float:
    """In [1/4, 1]: accounts made for the purpose are young."""
    if rules.maturity_days == 0:
        return 1.0
    share = known_for.total_seconds() / (rules.maturity_days * _DAY_S)
    return _NEWEST + (1 - _NEWEST) * min(max(share, 0.0), 1.0)


def decay(age: timedelta, rules: ReportsConfig) -> float:
    """In (0, 1]: half after each half-life; 1 for what is still to come."""
    lives = max(age.total_seconds(), 0.0) / (rules.half_life_days * _DAY_S)
    return float(2.0**-lives)


def weigh(report: Report, record: ReporterRecord, now: datetime, rules: ReportsConfig) -> Said:
    """A report with what it weighs at `now`."""
    weight = trust(record, rules) * maturity(report.at - record.since, rules)
    weight *= decay(now - report.at, rules)
    return Said(report, weight, is_proven(record, rules))


def once_each(said: Iterable[Said]) -> list[Said]:
    """One report for each person (the last) and each device (the heaviest), oldest first."""
    persons: dict[str, Said] = {}
    for item in sorted(said, key=lambda item: (item.report.at, item.report.report_id)):
        persons[item.report.reporter] = item
    devices: dict[tuple[str, str], Said] = {}
    for item in persons.values():
        device = item.report.device
        # A report without a device stands for a device of its person's own.
        key = ("device", device) if device else ("person", item.report.reporter)
        if key not in devices or item.weight > devices[key].weight:
            devices[key] = item
    return sorted(devices.values(), key=lambda item: (item.report.at, item.report.report_id))


def burst_limited(said: Sequence[Said], rules: ReportsConfig) -> float:
    """The weight of reports (oldest first) of which any span of `burst_hours` counts at most
    `burst_share` of the needed weight.

    It is the largest sum of parts of the weights that keeps to the limit in every span: taking as
    much as fits from the oldest on reaches it, as spans of one length end in the order they begin.
    """
    if rules.burst_hours == 0:
        return sum(item.weight for item in said)
    limit, span = rules.burst_share * rules.min_weight, timedelta(hours=rules.burst_hours)
    times = [item.report.at for item in said]
    # sums[i]: what was taken of the first i reports.
    sums = [0.0]
    for place, item in enumerate(said):
        begin = bisect_right(times, item.report.at - span, 0, place)
        room = max(limit - (sums[place] - sums[begin]), 0.0)
        sums.append(sums[place] + min(item.weight, room))
    return sums[-1]


def total(said: Sequence[Said], rules: ReportsConfig) -> float:
    """The weight of one side's reports (oldest first), with all limits."""
    unproven = burst_limited([item for item in said if not item.proven], rules)
    proven = burst_limited([item for item in said if item.proven], rules)
    most = rules.unproven_share * rules.min_weight
    return min(burst_limited(said, rules), min(unproven, most) + proven)


def judge(
    reports: Sequence[Report],
    reporters: Mapping[str, ReporterRecord],
    now: datetime,
    rules: ReportsConfig,
) -> Judgement:
    """What the reports on one key come to at `now`.

    Illegal: where those who say so suffice by themselves and are the heavier part; abnormal: where
    they suffice together with those who say that. Retracted reports and those of persons without a
    record are left out.
    """
    said = [
        weigh(report, reporters[report.reporter], now, rules)
        for report in reports
        if report.retracted_at is None and report.reporter in reporters
    ]
    against = total(_of(said, {"normal"}), rules)
    bad, illegal = _of(said, {"abnormal", "illegal"}), _of(said, {"illegal"})
    weight, worst = total(bad, rules) - against, total(illegal, rules)
    heavier = worst >= total(_of(said, {"abnormal"}), rules)
    standing, chosen = "", bad
    if _suffice(bad, weight, rules):
        convinced = heavier and _suffice(illegal, worst - against, rules)
        standing, chosen = ("illegal", illegal) if convinced else ("abnormal", bad)
    by_category = _by_category(chosen)
    return Judgement(
        standing=standing,
        category=max(by_category, key=lambda name: by_category[name], default=""),
        persons=len(bad),
        weight=weight,
        reason=_reason(len(bad), weight, standing, rules),
        expires_at=now + timedelta(days=rules.expires_days),
        by_category=_by_category(once_each(said)),
    )


class ReportJudge:
    """`judge` under fixed rules; a persona_ray.store Judge."""

    def __init__(self, rules: ReportsConfig) -> None:
        self._rules = rules

    def __call__(
        self,
        reports: Sequence[Report],
        reporters: Mapping[str, ReporterRecord],
        now: datetime,
    ) -> Judgement:
        return judge(reports, reporters, now, self._rules)


def _of(said: Iterable[Said], standings: Collection[str]) -> list[Said]:
    return once_each(item for item in said if item.report.standing in standings)


def _suffice(said: Sequence[Said], weight: float, rules: ReportsConfig) -> bool:
    return len(said) >= rules.min_reporters and weight >= rules.min_weight - _SLACK


def _by_category(said: Iterable[Said]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in said:
        category = item.report.category
        weights[category] = weights.get(category, 0.0) + item.weight
    return weights


def _reason(persons: int, weight: float, standing: str, rules: ReportsConfig) -> str:
    said = f"{persons} persons of weight {weight:.2f}"
    if standing:
        return f"reported by {said}"
    return f"{said} report it; {rules.min_reporters} and {rules.min_weight:.2f} are needed"
