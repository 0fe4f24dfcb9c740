"""Scoring of reports: properties on generated reports, limits against a linear programme."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from persona_ray.config.screening import ReportsConfig
from persona_ray.inference.screening.reports import (
    Said,
    burst_limited,
    decay,
    judge,
    maturity,
    once_each,
    total,
    trust,
)
from persona_ray.store.screening.records import Judgement, Report, ReporterRecord

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = ReportsConfig()
STRENGTH = {"": 0, "abnormal": 1, "illegal": 2}


def _said(drawn: int) -> tuple[ReporterRecord, str, datetime]:
    """A person, a standing and a time out of one drawn number: quicker than drawing each."""
    chance = random.Random(drawn)
    since = NOW - timedelta(days=chance.choice([0, 1, 7, 15, 200]))
    agreed, wrong = chance.choice([0, 0, 2, 4, 30]), chance.choice([0, 0, 0, 1, 4])
    record = ReporterRecord("", since, agreed, wrong, chance.choice([0, 0, 1]))
    hours = chance.choice([0.0, 0.5, 1.0, chance.uniform(0, 3), chance.uniform(0, 960)])
    standing = chance.choice(["illegal", "illegal", "abnormal", "normal"])
    return record, standing, NOW - timedelta(hours=hours)


says = st.integers(0, 2**32).map(_said)
records = says.map(lambda said: said[0])


def report(person: str, standing: str = "illegal", at: datetime = NOW, device: str = "") -> Report:
    category = {"illegal": "prize_fraud", "abnormal": "loans", "normal": "delivery"}[standing]
    return Report(
        report_id=f"{person}@{at.isoformat()}",
        kind="numbers",
        key="+8613800138000",
        reporter=person,
        category=category,
        standing=standing,
        at=at,
        device=device,
    )


def proven(agreed: int = 20, days: float = 100) -> ReporterRecord:
    return ReporterRecord("", NOW - timedelta(days=days), agreed=agreed)


def judged(
    reports: list[Report], people: dict[str, ReporterRecord], at: datetime = NOW
) -> Judgement:
    return judge(reports, people, at, RULES)


def crowd(
    said: list[tuple[ReporterRecord, str, datetime]],
) -> tuple[list[Report], dict[str, ReporterRecord]]:
    people = {f"p{place}": record for place, (record, _, _) in enumerate(said)}
    return [report(f"p{n}", standing, at) for n, (_, standing, at) in enumerate(said)], people


def spread(count: int) -> list[Report]:
    """Reports of p0, p1, ... on days of their own, the last one now."""
    return [report(f"p{n}", at=NOW - timedelta(hours=2 * (count - 1 - n))) for n in range(count)]


@given(records)
@settings(max_examples=50)
def test_trust_rises_with_agreement_and_falls_with_contradiction(record: ReporterRecord) -> None:
    assert 0 < trust(record, RULES) < 1
    assert trust(replace(record, agreed=record.agreed + 1), RULES) > trust(record, RULES)
    worse = replace(record, contradicted=record.contradicted + 1)
    assert trust(worse, RULES) < trust(record, RULES)
    assert trust(replace(record, withdrawn=record.withdrawn + 1), RULES) < trust(record, RULES)
    assert trust(ReporterRecord("", NOW), RULES) == pytest.approx(RULES.newcomer_weight)


def test_a_report_halves_with_each_half_life_and_a_person_matures() -> None:
    half = timedelta(days=RULES.half_life_days)
    assert [decay(half * n, RULES) for n in (-1, 0, 1, 2, 3)] == [1, 1, 0.5, 0.25, 0.125]
    grown = timedelta(days=RULES.maturity_days)
    assert [maturity(grown * n, RULES) for n in (-1, 0, 1, 2)] == [0.25, 0.25, 1, 1]
    assert maturity(grown / 3, RULES) == pytest.approx(0.5)


@given(st.lists(says, max_size=25), says)
@settings(max_examples=100, deadline=None)
def test_a_further_person_against_a_number_never_helps_it(
    said: list[tuple[ReporterRecord, str, datetime]],
    further: tuple[ReporterRecord, str, datetime],
) -> None:
    record, _, at = further
    before = judged(*crowd(said))
    illegal = judged(*crowd([*said, (record, "illegal", at)]))
    assert STRENGTH[illegal.standing] >= STRENGTH[before.standing]
    assert illegal.persons == before.persons + 1
    assert illegal.weight >= before.weight - 1e-9
    normal = judged(*crowd([*said, (record, "normal", at)]))
    assert STRENGTH[normal.standing] <= STRENGTH[before.standing]
    assert normal.weight <= before.weight + 1e-9


@given(st.lists(says, max_size=15), says, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_retraction_undoes_a_report_and_the_order_of_arrival_does_not_count(
    said: list[tuple[ReporterRecord, str, datetime]],
    further: tuple[ReporterRecord, str, datetime],
    chance: random.Random,
) -> None:
    reports, people = crowd([*said, further])
    taken = [*reports[:-1], replace(reports[-1], retracted_at=NOW)]
    assert judged(taken, people) == judged(reports[:-1], people)
    shuffled = list(reports)
    chance.shuffle(shuffled)
    assert judged(shuffled, people) == judged(reports, people)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.floats(0, 99)), max_size=12),
)
@settings(max_examples=40, deadline=None)
def test_a_person_and_a_device_count_once(said: list[tuple[int, int, float]]) -> None:
    """Whatever one person says on however many devices, and whoever speaks from one device."""
    reports = [
        report(f"p{person}", at=NOW - timedelta(hours=age), device=f"d{device}")
        for person, device, age in said
    ]
    people = {f"p{person}": proven() for person in range(6)}
    found = judged(reports, people)
    assert found.persons <= len({person for person, _, _ in said})
    assert found.persons <= len({device for _, device, _ in said})
    kept = once_each(Said(item, 1.0, True) for item in reports)
    assert len({item.report.device for item in kept}) == len(kept)
    assert len({item.report.reporter for item in kept}) == len(kept)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 8)), max_size=9))
@settings(max_examples=40, deadline=None)
def test_the_limit_of_bursts_is_the_best_that_keeps_it(said: list[tuple[float, float]]) -> None:
    """Against a linear programme over all spans."""
    said = sorted(said, key=lambda item: -item[1])
    items = [
        Said(report(f"p{n}", at=NOW - timedelta(hours=age)), weight, True)
        for n, (weight, age) in enumerate(said)
    ]
    found = burst_limited(items, RULES)
    if not items:
        assert found == 0
        return
    span, limit = timedelta(hours=RULES.burst_hours), RULES.burst_share * RULES.min_weight
    spans = [
        [float(item.report.at - span < other.report.at <= item.report.at) for other in items]
        for item in items
    ]
    best = linprog(
        -np.ones(len(items)),
        A_ub=np.array(spans),
        b_ub=np.full(len(items), limit),
        bounds=[(0, item.weight) for item in items],
    )
    assert found == pytest.approx(-best.fun, abs=1e-7)


@given(st.integers(0, 300), st.floats(1, 2000))
@settings(max_examples=15, deadline=None)
def test_persons_without_a_record_never_suffice_however_many(count: int, days: float) -> None:
    fresh = ReporterRecord("", NOW - timedelta(days=days))
    people = {f"p{n}": fresh for n in range(count)}
    found = judged(spread(count), people)
    assert found.standing == ""
    assert found.weight <= RULES.unproven_share * RULES.min_weight + 1e-9


@given(st.integers(0, 60), st.floats(0, 0.99))
@settings(max_examples=20, deadline=None)
def test_one_burst_never_suffices_however_proven(count: int, hours: float) -> None:
    reports = [
        report(f"p{n}", at=NOW - timedelta(hours=hours * n / max(count, 1))) for n in range(count)
    ]
    found = judged(reports, {f"p{n}": proven(30) for n in range(count)})
    assert found.standing == ""


def test_both_thresholds_are_needed() -> None:
    strong = proven(500)
    four = judged(spread(4), {f"p{n}": strong for n in range(4)})
    assert four.weight >= RULES.min_weight
    assert (four.standing, four.persons) == ("", 4)
    weak = proven(3)
    five = judged(spread(5), {f"p{n}": weak for n in range(5)})
    assert (five.standing, five.persons) == ("", 5)
    assert five.reason.startswith("5 persons of weight 2.4")
    listed = judged(spread(5), {f"p{n}": strong for n in range(5)})
    assert (listed.standing, listed.category) == ("illegal", "prize_fraud")
    assert listed.expires_at == NOW + timedelta(days=RULES.expires_days)


def test_persons_who_call_it_promotion_make_it_abnormal_not_illegal() -> None:
    people = {f"p{n}": proven() for n in range(12)}
    loans = [replace(item, standing="abnormal", category="loans") for item in spread(6)]
    assert (judged(loans, people).standing, judged(loans, people).category) == ("abnormal", "loans")
    mixed = [*loans[:3], *spread(6)[3:]]
    assert judged(mixed, people).standing == "abnormal"
    ring = [replace(item, reporter=f"p{6 + n}") for n, item in enumerate(spread(5))]
    assert judged([*loans, *ring], people).standing == "abnormal"


def test_persons_who_know_the_number_weigh_against() -> None:
    people = {f"p{n}": proven() for n in range(12)}
    assert judged(spread(6), people).standing == "illegal"
    good = [
        replace(item, reporter=f"p{6 + n}", standing="normal", category="delivery")
        for n, item in enumerate(spread(4))
    ]
    assert judged([*spread(6), *good], people).standing == ""
    only_good = judged(good, people)
    assert (only_good.standing, only_good.weight < 0) == ("", True)


def test_reports_of_persons_nobody_knows_are_left_out() -> None:
    assert judged(spread(9), {}).persons == 0
    assert total([], RULES) == 0
