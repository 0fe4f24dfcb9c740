"""Reports change the shared set and are undone; what is found later tells on those who reported."""

from __future__ import annotations

import random
import threading
from datetime import timedelta

import pytest

from persona_ray.inference.screening.reports import ReportJudge
from persona_ray.store import Store, open_store
from persona_ray.store.screening.changes import NUMBERS, VOICES
from persona_ray.store.screening.records import (
    Action,
    NumberEntry,
    Report,
    Settled,
)
from persona_ray.store.screening.reports import TooManyReportsError, UnknownReportError
from tests.unit.store.screening.reporting import (
    DAY,
    HOUR,
    JUDGE,
    NOW,
    NUMBER,
    PLAIN,
    RULES,
    listed,
    record,
    say,
    settle,
)


def test_a_number_is_listed_when_both_thresholds_are_passed_and_not_before(store: Store) -> None:
    assert [say(store, person).standing for person in "abc"] == ["", "", "illegal"]
    found = store.numbers.look_up(NUMBER, "", NOW)
    assert found is not None
    assert (found.origin, found.category) == ("reports", "prize_fraud")
    assert found.expires_at == NOW + timedelta(days=PLAIN.expires_days)
    assert listed(store, NOW + timedelta(days=PLAIN.expires_days)) == ""
    (item,) = store.numbers.history("", NUMBER)
    assert (item.actor, item.reason) == ("reports", "reported by 3 persons of weight 3.00")


def test_one_person_on_many_devices_and_many_persons_on_one_count_once(store: Store) -> None:
    for device in range(4):
        assert say(store, "ann", NOW + HOUR * device, device=f"d{device}").persons == 1
    for person in ("bob", "eve", "joe", "kim"):
        found = say(store, person, NOW + DAY, device="shared phone")
    assert found.persons == 2
    assert listed(store, NOW + DAY) == ""
    kept = [item for item in store.reports.of_key(NUMBERS, NUMBER) if item.retracted_at is None]
    assert sorted(item.reporter for item in kept) == ["ann", "bob", "eve", "joe", "kim"]


def test_a_retraction_undoes_what_the_report_did(store: Store) -> None:
    for person in "abc":
        say(store, person)
    found = store.reports.retract(f"b:{NUMBER}:{NOW.isoformat()}", "b", JUDGE, NOW + DAY)
    assert (found.standing, listed(store, NOW + DAY)) == ("", "")
    assert record(store, "b") == (0, 0, 1)
    assert store.numbers.history("", NUMBER)[-1].action == Action.REMOVED
    say(store, "d", NOW + DAY)
    assert listed(store, NOW + DAY) == "illegal"


def test_the_set_is_always_what_the_reports_that_are_left_come_to(store: Store) -> None:
    """A random course of reports and retractions against scoring what is left from scratch."""
    chance = random.Random(3)
    free = ReportJudge(PLAIN.model_copy(update={"withdrawal_cost": 0.0}))
    live: dict[str, str] = {}
    seen = set()
    for turn in range(40):
        if live and chance.random() < 0.45:
            person = chance.choice(sorted(live))
            store.reports.retract(f"{person}:{live.pop(person)}", person, free, NOW)
        else:
            person = chance.choice("abcdefgh")
            standing = chance.choice(["illegal", "illegal", "abnormal", "normal"])
            said = Report(
                report_id=f"{person}:{turn}",
                kind=NUMBERS,
                key=NUMBER,
                reporter=person,
                category=standing,
                standing=standing,
                at=NOW,
            )
            store.reports.add(said, free, per_day=99)
            live[person] = str(turn)
        found = store.reports.tally(NUMBERS, NUMBER, free, NOW).standing
        assert listed(store) == found
        seen.add(found)
    assert {"", "illegal"} <= seen


def test_reports_that_come_at_once_are_all_counted_and_list_once(store_url: str) -> None:
    persons = [f"p{place}" for place in range(8)]
    failed: list[BaseException] = []

    def report(some: list[str]) -> None:
        try:
            with open_store(store_url) as own:
                for person in some:
                    say(own, person)
        except BaseException as error:
            failed.append(error)

    with open_store(store_url) as store:
        threads = [threading.Thread(target=report, args=(persons[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert store.reports.tally(NUMBERS, NUMBER, JUDGE, NOW).persons == 8
        assert [item.action for item in store.numbers.history("", NUMBER)] == [Action.ADDED]
        assert store.changes.state(NUMBERS).sequence == 1


def test_only_the_reporter_retracts_and_only_once(store: Store) -> None:
    say(store, "a")
    report_id = f"a:{NUMBER}:{NOW.isoformat()}"
    with pytest.raises(UnknownReportError):
        store.reports.retract(report_id, "b", JUDGE, NOW)
    store.reports.retract(report_id, "a", JUDGE, NOW)
    with pytest.raises(UnknownReportError):
        store.reports.retract(report_id, "a", JUDGE, NOW)
    assert record(store, "a") == (0, 0, 0)


def test_an_entry_does_not_fade_with_its_reports_but_goes_with_one_taken_back(store: Store) -> None:
    for person in "abc":
        say(store, person)
    later = NOW + 60 * DAY
    # A person more, when the others weigh a quarter: that must not take the number out.
    say(store, "d", later)
    assert store.reports.tally(NUMBERS, NUMBER, JUDGE, later).standing == ""
    assert listed(store, later) == "illegal"
    store.reports.retract(f"a:{NUMBER}:{NOW.isoformat()}", "a", JUDGE, later)
    assert listed(store, later) == "illegal"
    store.reports.retract(f"b:{NUMBER}:{NOW.isoformat()}", "b", JUDGE, later)
    assert listed(store, later) == ""


def test_what_an_operator_put_in_is_not_moved_by_reports(store: Store) -> None:
    good = NumberEntry(number=NUMBER, standing="normal", origin="operator", name="A bank")
    store.numbers.put(good, "op", NOW)
    for person in "abcdefgh":
        say(store, person)
    assert listed(store) == "normal"
    for person in "abcdefgh":
        store.reports.retract(f"{person}:{NUMBER}:{NOW.isoformat()}", person, JUDGE, NOW)
    assert listed(store) == "normal"


def test_a_person_is_heard_so_often_a_day_and_no_more(store: Store) -> None:
    for place in range(RULES.per_day):
        say(store, "a", key=f"+86{place}")
    with pytest.raises(TooManyReportsError):
        say(store, "a", NOW + HOUR)
    assert say(store, "a", NOW + DAY).persons == 1


def test_being_right_before_it_is_known_raises_a_record_and_repeating_does_not(
    store: Store,
) -> None:
    for place, person in enumerate("abc"):
        say(store, person, NOW + HOUR * place)
    say(store, "late", NOW + DAY)
    say(store, "wrong", NOW + DAY, standing="normal")
    settle(store, "illegal", NOW + 2 * DAY)
    # The number was listed with the third report.
    assert [record(store, person) for person in ("a", "b", "late", "wrong")] == [
        (1, 0, 0),
        (1, 0, 0),
        (0, 0, 0),
        (0, 1, 0),
    ]
    settle(store, "normal", NOW + 3 * DAY)
    assert [record(store, person) for person in ("a", "b", "late")] == [(0, 1, 0)] * 3
    assert record(store, "wrong")[1] == 0
    settled = {item.reporter: item.settled for item in store.reports.of_key(NUMBERS, NUMBER)}
    assert settled["a"] == Settled.CONTRADICTED


def test_what_an_outed_ring_had_listed_besides_falls_with_it(store: Store) -> None:
    other, third = "+8613800000002", "+8613800000003"
    for key in (NUMBER, other):
        for person in "abc":
            say(store, person, key=key)
    for person in "def":
        say(store, person, key=third)
    settle(store, "normal", NOW + DAY)
    assert [listed(store, NOW + DAY, key) for key in (NUMBER, other, third)] == ["", "", "illegal"]


def test_reports_that_were_rolled_back_do_not_list_again(store: Store) -> None:
    for person in "abc":
        say(store, person)
    with store._database.write() as session:
        keys = store.numbers.roll_back(session, NOW, "op", "an attack", NOW + DAY)
        store.reports.void(session, NUMBERS, keys, NOW, NOW + DAY)
    assert listed(store, NOW + DAY) == ""
    assert say(store, "d", NOW + DAY).persons == 1
    assert record(store, "a") == (0, 0, 0)


def test_a_forgotten_person_leaves_no_report_and_the_set_is_as_without_him(store: Store) -> None:
    for person in "abc":
        say(store, person)
    with store._database.write() as session:
        assert store.reports.forget_reporter(session, "b", JUDGE, NOW + DAY) == 2
    assert listed(store, NOW + DAY) == ""
    assert store.reports.record("b") is None
    assert store.reports.of_reporter("b") == []
    with store._database.write() as session:
        assert store.reports.forget_key(session, NUMBERS, NUMBER) == 2
    assert store.reports.of_key(NUMBERS, NUMBER) == []


def test_old_reports_are_deleted_and_records_stay(store: Store) -> None:
    say(store, "a")
    say(store, "b", NOW + DAY)
    settle(store, "illegal", NOW + 2 * DAY)
    assert store.reports.expire(NOW + DAY) == 1
    assert [item.reporter for item in store.reports.of_key(NUMBERS, NUMBER)] == ["b"]
    assert record(store, "a") == (1, 0, 0)


def test_an_operator_sees_first_what_most_persons_report(store: Store) -> None:
    for person, key in (("a", "+861"), ("b", "+861"), ("a", "+862"), ("c", "+863")):
        say(store, person, key=key)
    say(store, "d", key="+862", standing="normal")
    settle(store, "illegal", NOW + DAY, "+863")
    assert store.reports.most_reported(NUMBERS) == [("+861", 2), ("+862", 1)]


def test_voices_are_counted_as_numbers_are(store: Store) -> None:
    for person in "abc":
        found = say(store, person, kind=VOICES, key="voice-7")
    assert (found.standing, found.persons) == ("illegal", 3)
    assert store.reports.tally(NUMBERS, "voice-7", JUDGE, NOW).persons == 0


def test_the_shipped_rules_do_not_list_for_newcomers_and_do_for_proven_persons(
    store: Store,
) -> None:
    shipped = ReportJudge(RULES)
    for place in range(12):
        assert say(store, f"new {place}", NOW + HOUR * place, judge=shipped).standing == ""
    for place in range(6):
        store.reports.meet(f"old {place}", NOW - 30 * DAY)
        for item in range(4):
            say(store, f"old {place}", NOW - 20 * DAY, key=f"+86{item}", judge=shipped)
    for item in range(4):
        settle(store, "illegal", NOW - 10 * DAY, f"+86{item}")
    for place in range(6):
        found = say(store, f"old {place}", NOW + HOUR * (12 + 2 * place), judge=shipped)
    assert found.standing == "illegal"
