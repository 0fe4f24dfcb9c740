"""Sets and reports as a call, a user and an operator meet them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from persona_ray.config.screening import ReportsConfig, ScreeningConfig
from persona_ray.errors import RequestError
from persona_ray.inference.screening.records import (
    CallEvent,
    Known,
    NotListed,
    Origin,
    Standing,
)
from persona_ray.inference.screening.reporting import ReportDesk
from persona_ray.inference.screening.sources import StoredSources
from persona_ray.store import Store, open_store
from persona_ray.store.screening.changes import NUMBERS, VOICES
from persona_ray.store.screening.records import Settled

CONFIG = ScreeningConfig(
    reports=ReportsConfig(
        min_reporters=3, min_weight=2.5, newcomer_weight=1, proven_after=0, per_day=4
    )
)
NUMBER = "+8613800138000"


class Time:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://") as opened:
        yield opened


@pytest.fixture
def sources(store: Store, clock: Time) -> StoredSources:
    return StoredSources(store, CONFIG, clock)


@pytest.fixture
def desk(store: Store, clock: Time) -> ReportDesk:
    return ReportDesk(store, CONFIG, clock)


def call(sources: StoredSources, number: str, user: str = "ann") -> Known | NotListed:
    event = CallEvent("c1", user, number, datetime(2026, 3, 1, tzinfo=UTC))
    return asyncio.run(sources.look_up(event))


def meet(store: Store, clock: Time, *persons: str) -> None:
    for person in persons:
        store.reports.meet(person, clock.now - timedelta(days=99))


def test_a_call_is_known_however_its_number_is_written(sources: StoredSources) -> None:
    put = sources.put("ann", "138 0013 8000", Standing.NORMAL, name="Mother")
    assert put == call(sources, "008613800138000") == call(sources, "sip:+8613800138000@ims.cn")
    assert put == Known(NUMBER, Standing.NORMAL, "", "Mother", "ann", Origin.USER, None)
    assert call(sources, NUMBER, user="bob") == NotListed()


@pytest.mark.parametrize(
    "number", ["", "anonymous", "sip:anonymous@anonymous.invalid", "no number"]
)
def test_a_hidden_or_made_up_number_is_not_listed(sources: StoredSources, number: str) -> None:
    assert call(sources, number) == NotListed()


def test_what_cannot_stand_in_a_set_is_refused(sources: StoredSources, clock: Time) -> None:
    with pytest.raises(RequestError, match="hidden"):
        sources.put("ann", "anonymous", Standing.ILLEGAL)
    with pytest.raises(RequestError, match="needs a user"):
        sources.put("", NUMBER, Standing.NORMAL)
    with pytest.raises(RequestError, match="is over"):
        sources.put("ann", NUMBER, Standing.NORMAL, expires_at=clock.now)
    assert call(sources, NUMBER) == NotListed()


def test_the_number_of_an_illegal_call_is_marked_for_its_user_alone_and_for_a_while(
    sources: StoredSources, desk: ReportDesk, clock: Time
) -> None:
    marked = sources.mark("ann", NUMBER, "prize_fraud", "said so")
    assert isinstance(marked, Known)
    assert (marked.standing, marked.origin) == (Standing.ILLEGAL, Origin.CALL)
    assert call(sources, NUMBER) == marked
    assert call(sources, NUMBER, "bob") == NotListed()
    for none in ("", "1", "made up"):
        assert sources.mark("ann", none, "prize_fraud", "") == NotListed()
    # Fraud that shows a bank's number must not cut the bank off.
    desk.confirm(NUMBERS, NUMBER, Standing.NORMAL, "op", name="A bank")
    found = call(sources, NUMBER)
    assert isinstance(found, Known)
    assert (found.name, found.owner) == ("A bank", "")
    sources.put("ann", NUMBER, Standing.NORMAL, name="My bank")
    assert sources.mark("ann", NUMBER, "prize_fraud", "") == call(sources, NUMBER)
    clock.passes(days=CONFIG.reports.mark_days)
    other = sources.mark("ann", "13900139000", "loans", "")
    clock.passes(days=CONFIG.reports.mark_days)
    assert isinstance(other, Known)
    assert call(sources, "13900139000") == NotListed()


def test_a_correction_adjusts_the_users_own_set_at_once_and_counts_for_the_shared_ones(
    sources: StoredSources, desk: ReportDesk, store: Store, clock: Time
) -> None:
    persons = ("ann", "bob", "eve")
    meet(store, clock, *persons)
    for person in persons:
        assert call(sources, NUMBER, "zoe") == NotListed()
        own = desk.correct(person, NUMBER, "prize_fraud", device=f"{person}'s phone", call_id="c1")
        assert own == call(sources, NUMBER, person)
        assert (own.owner, own.origin) == (person, Origin.CORRECTION)
        clock.passes(hours=1)
    shared = call(sources, NUMBER, "zoe")
    assert isinstance(shared, Known)
    assert (shared.standing, shared.owner, shared.origin) == (
        Standing.ILLEGAL,
        "",
        Origin.REPORTS,
    )
    assert desk.correct("bob", NUMBER, "delivery").standing == Standing.NORMAL
    assert call(sources, NUMBER, "zoe") == NotListed()
    assert {item.source for item in store.reports.of_key(NUMBERS, NUMBER)} == {"correction"}


def test_a_correction_is_taken_also_when_reports_are_too_many(
    sources: StoredSources, desk: ReportDesk
) -> None:
    for last in range(CONFIG.reports.per_day):
        desk.report(NUMBERS, f"1380013800{last}", "ann", "loans")
    with pytest.raises(RequestError) as caught:
        desk.report(NUMBERS, "13900139000", "ann", "loans")
    assert (caught.value.code, caught.value.status) == ("report.too_many", 429)
    assert desk.correct("ann", "13900139000", "loans") == call(sources, "13900139000")


def test_reports_that_make_no_sense_are_refused_with_a_fix(desk: ReportDesk) -> None:
    for kind, key, category, code in (
        (NUMBERS, "12", "loans", "number.invalid"),
        (NUMBERS, "", "loans", "number.withheld"),
        (VOICES, "", "loans", "report.kind"),
        ("faces", "x", "loans", "report.kind"),
        (NUMBERS, NUMBER, "nice", "category.unknown"),
    ):
        with pytest.raises(RequestError) as caught:
            desk.report(kind, key, "ann", category)
        assert caught.value.code == code
        assert caught.value.fix
        assert NUMBER not in str(caught.value)
    with pytest.raises(RequestError, match="you have no report"):
        desk.retract("0", "ann")
    with pytest.raises(RequestError, match="not in the shared"):
        desk.appeal(NUMBERS, NUMBER, "shop", "")
    with pytest.raises(RequestError, match="no appeal"):
        desk.decide("0", True, "op", "")


def test_from_report_to_appeal_to_removal(
    sources: StoredSources, desk: ReportDesk, store: Store, clock: Time
) -> None:
    meet(store, clock, "ann", "bob", "eve")
    reports = [desk.report(NUMBERS, NUMBER, person, "loans") for person in ("ann", "bob")]
    assert "3 and 2.50 are needed" in reports[-1].judgement.reason
    clock.passes(hours=2)
    desk.report(NUMBERS, NUMBER, "eve", "loans")
    assert desk.tally(NUMBERS, NUMBER).standing == "abnormal"
    appeal = desk.appeal(NUMBERS, NUMBER, "+8613800138000", "We are a bank.")
    assert desk.decide(appeal.appeal_id, True, "op", "true").decided_at == clock.now
    assert call(sources, NUMBER, "zoe") == NotListed()
    with pytest.raises(RequestError, match="is decided"):
        desk.decide(appeal.appeal_id, True, "op", "")
    clock.passes(days=1)
    assert desk.tally(NUMBERS, NUMBER).persons == 0
    assert "reports" not in {item.actor for item in store.numbers.history("", NUMBER)[1:]}


def test_what_an_operator_confirms_stands_and_tells_on_reporters(
    sources: StoredSources, desk: ReportDesk, store: Store, clock: Time
) -> None:
    desk.report(NUMBERS, NUMBER, "ann", "prize_fraud")
    desk.report(NUMBERS, NUMBER, "bob", "delivery")
    clock.passes(days=1)
    desk.confirm(NUMBERS, NUMBER, Standing.ILLEGAL, "op", category="prize_fraud", reason="seen")
    found = call(sources, NUMBER, "zoe")
    assert isinstance(found, Known)
    assert (found.standing, found.origin) == (Standing.ILLEGAL, Origin.OPERATOR)
    settled = {item.reporter: item.settled for item in store.reports.of_key(NUMBERS, NUMBER)}
    assert settled == {"ann": Settled.AGREED, "bob": Settled.CONTRADICTED}
    desk.report(VOICES, "voice-7", "ann", "loans")
    desk.confirm(VOICES, "voice-7", Standing.ABNORMAL, "op", category="loans")
    assert store.reports.most_reported(VOICES) == []


def test_an_attack_is_rolled_back_and_does_not_come_again_by_the_same_reports(
    sources: StoredSources, desk: ReportDesk, store: Store, clock: Time
) -> None:
    meet(store, clock, "ann", "bob", "eve")
    began = clock.now
    for person in ("ann", "bob", "eve"):
        desk.report(NUMBERS, NUMBER, person, "prize_fraud")
        clock.passes(hours=1)
    assert isinstance(call(sources, NUMBER), Known)
    assert desk.roll_back(began, "op", "an attack") == [NUMBER]
    assert call(sources, NUMBER) == NotListed()
    assert desk.report(NUMBERS, NUMBER, "zoe", "prize_fraud").judgement.persons == 1


def test_an_operators_version_does_not_come_undone_by_one_more_report(
    tmp_path: Path, clock: Time
) -> None:
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        sources, desk = StoredSources(store, CONFIG, clock), ReportDesk(store, CONFIG, clock)
        meet(store, clock, "ann", "bob", "eve")
        before = store.changes.state(NUMBERS).sequence
        for person in ("ann", "bob", "eve"):
            desk.report(NUMBERS, NUMBER, person, "prize_fraud")
            clock.passes(hours=1)
        assert isinstance(call(sources, NUMBER), Known)
        store.screening_rollback.numbers(before, "op", "an attack", clock())
        assert call(sources, NUMBER) == NotListed()
        assert desk.report(NUMBERS, NUMBER, "zoe", "prize_fraud").judgement.persons == 1
        assert call(sources, NUMBER) == NotListed()


def test_what_has_expired_is_tidied_away(
    sources: StoredSources, desk: ReportDesk, store: Store, clock: Time
) -> None:
    sources.mark("ann", NUMBER, "loans", "")
    desk.report(NUMBERS, NUMBER, "ann", "loans")
    clock.passes(days=CONFIG.reports.mark_days)
    assert desk.tidy().numbers == 1
    clock.passes(days=CONFIG.reports.keep_days)
    tidied = desk.tidy()
    assert (tidied.numbers, tidied.reports, tidied.changes) == (0, 1, 2)
    assert store.changes.since(NUMBERS, 0, 9, owner="ann") == []
