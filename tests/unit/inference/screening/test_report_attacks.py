"""Attacks on the shared sets by reports: what stops each, under the shipped rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.report_attacks import ATTACKS, BUILT_UP, HONEST, LEFT_OUT, needed
from persona_ray.config.screening import ScreeningConfig
from persona_ray.inference.screening.records import Standing
from persona_ray.inference.screening.reporting import ReportDesk
from persona_ray.store import Store, open_store
from persona_ray.store.screening.changes import NUMBERS

VICTIM, FRAUD, OTHER = "+8613800000001", "+8613800000002", "+8613800000003"
MANY = 64


@pytest.mark.parametrize(
    ("attack", "defence"),
    [
        ("accounts made for it today", "cap on newcomers"),
        ("accounts made a year ago, never used", "cap on newcomers"),
        ("one proven person, many devices", "persons"),
        ("proven accounts on one device", "devices"),
        ("burst: proven persons within an hour", "bursts"),
        ("slow collusion, 1 right report each", "cap on newcomers"),
        ("  again after 3 appeals", "cost of wrong"),
    ],
)
def test_an_attack_fails_and_would_succeed_without_the_defence(attack: str, defence: str) -> None:
    assert needed(ATTACKS[attack], LEFT_OUT["shipped"], most=MANY) is None
    assert needed(ATTACKS[attack], LEFT_OUT[defence], most=MANY) is not None
    assert needed(ATTACKS[attack], BUILT_UP["5 reports"], most=MANY) == 5


def test_weight_takes_more_than_five_of_those_who_were_seldom_right() -> None:
    shipped = LEFT_OUT["shipped"]
    counts = [
        needed(ATTACKS[f"slow collusion, {right} right reports each"], shipped, most=MANY)
        for right in (3, 10, 20)
    ]
    assert counts == [7, 5, 5]
    vouched = needed(ATTACKS["  where 5 proven persons vouch"], shipped, most=MANY)
    assert vouched is not None
    assert vouched > 5


def test_the_defences_do_not_keep_honest_persons_from_listing_a_fraud() -> None:
    shipped = LEFT_OUT["shipped"]
    counts = [needed(attack, shipped, most=MANY) for attack in HONEST.values()]
    assert [count is not None and count <= 8 for count in counts] == [True] * 3


class World:
    """A store under the shipped rules, and a clock that moves with every report."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.desk = ReportDesk(store, ScreeningConfig(), lambda: self.now)

    def say(self, number: str, *persons: str, category: str = "prize_fraud") -> list[str]:
        """Two hours apart; the reports' ids."""
        ids = []
        for person in persons:
            self.now += timedelta(hours=2)
            said = self.desk.report(NUMBERS, number, person, category, f"{person}'s phone")
            ids.append(said.report.report_id)
        return ids

    def prove(self, persons: list[str], times: int) -> None:
        """Known for long, and right so often about numbers that were confirmed later."""
        for person in persons:
            self.store.reports.meet(person, self.now - timedelta(days=99))
        for time in range(times):
            for first in range(0, len(persons), 4):
                number = f"+86139{time:04}{first:04}"
                self.say(number, *persons[first : first + 4])
                self.now += timedelta(hours=2)
                self.desk.confirm(NUMBERS, number, Standing.ILLEGAL, "op")

    def listed(self, number: str) -> bool:
        return self.store.numbers.look_up(number, "", self.now) is not None


@pytest.fixture
def world() -> Iterator[World]:
    with open_store("sqlite://") as store:
        yield World(store)


def ring(size: int) -> list[str]:
    return [f"ring {place}" for place in range(size)]


def test_fresh_accounts_list_nobody_and_hide_nobody(world: World) -> None:
    sybils = [f"sybil {place}" for place in range(40)]
    world.say(VICTIM, *sybils)
    world.say(FRAUD, *sybils, category="delivery")
    assert not world.listed(VICTIM)
    honest = [f"honest {place}" for place in range(8)]
    world.prove(honest, times=5)
    world.say(FRAUD, *honest)
    assert world.listed(FRAUD)


def test_a_ring_pays_for_a_false_report_with_all_it_has_listed(world: World) -> None:
    liars = ring(7)
    world.prove(liars, times=4)
    world.say(VICTIM, *liars)
    world.say(OTHER, *liars)
    assert world.listed(VICTIM)
    assert world.listed(OTHER)
    appeal = world.desk.appeal(NUMBERS, VICTIM, "shop", "we sell shoes")
    world.desk.decide(appeal.appeal_id, True, "op", "they do")
    assert not world.listed(VICTIM)
    assert not world.listed(OTHER)
    world.say(VICTIM, *liars)
    assert not world.listed(VICTIM)


def test_listing_and_retracting_in_turn_wears_a_ring_out(world: World) -> None:
    liars = ring(7)
    world.prove(liars, times=4)
    rounds = 0
    while world.say(VICTIM, *liars) and world.listed(VICTIM):
        rounds += 1
        assert rounds < 4
        reports = world.store.reports.of_key(NUMBERS, VICTIM)
        for report in reports:
            if report.retracted_at is None:
                world.desk.retract(report.report_id, report.reporter)
        assert not world.listed(VICTIM)
    assert rounds >= 1


def test_repeating_what_the_sets_say_earns_no_record(world: World) -> None:
    world.desk.confirm(NUMBERS, FRAUD, Standing.ILLEGAL, "op")
    world.say(FRAUD, "parrot")
    world.desk.confirm(NUMBERS, FRAUD, Standing.ILLEGAL, "op")
    record = world.store.reports.record("parrot")
    assert record is not None
    assert record.agreed == 0
