"""The inbox: calls as they end, one opened, heard, corrected, allowed, blocked, deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx2
import pytest

from persona_ray.serving.screening import links
from persona_ray.store.screening.records import NumberEntry
from tests.browser.conftest import overflow, until
from tests.browser.screening.service import Screening
from tests.unit.serving.screening.parts import DELIVERY, FRAUD, LOANS

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
NUMBER, OTHER = "+8613800138000", "+8613900139000"


def own(served: Screening, number: str = NUMBER) -> tuple[str, str] | None:
    found = served.store.numbers.entry("li", number, datetime.now(UTC))
    return None if found is None else (found.standing, found.category)


def test_a_call_appears_as_it_ends_and_tells_what_it_was(
    open_page: Open, served: Screening
) -> None:
    page = open_page("/inbox")
    page.wait_for_selector("#calls .nobody")
    until(page, "document.querySelector('#line').dataset.state === 'open'")
    served.call("k1", FRAUD, number=NUMBER)
    page.wait_for_selector("[data-call=k1] .chip.illegal")
    assert "Account fraud" in page.inner_text(".toast")
    assert FRAUD in page.inner_text("[data-call=k1]")
    page.click("[data-call=k1]")
    page.wait_for_selector("#detail .turns")
    detail = page.inner_text("#detail")
    assert "+86 138 0013 8000" in detail
    assert "What is said is fraud, 99 % sure; most likely: Account fraud" in detail
    said = page.locator("#detail .turns li")
    assert [said.nth(n).get_attribute("class") for n in range(2)] == ["robot", "caller"]
    assert FRAUD in said.nth(1).inner_text()
    assert "hung up on" in detail
    # The call was marked: the page says so, and the shared set has nothing.
    assert "Illegal, put in by a screened call, until" in page.inner_text("#detail")
    page.click("summary")
    assert "words 1" in page.inner_text("details")


def test_newest_first_and_one_standing_alone(open_page: Open, served: Screening) -> None:
    served.call("k1", FRAUD, number=NUMBER)
    served.call("k2", DELIVERY, number=OTHER)
    page = open_page("/inbox")
    page.wait_for_selector("[data-call]")
    names = page.locator("[data-call]")
    assert [names.nth(n).get_attribute("data-call") for n in range(2)] == ["k2", "k1"]
    page.check("#filter input[value=normal]", force=True)
    until(page, "document.querySelectorAll('[data-call]').length === 1")
    assert "Delivery" in page.inner_text("#calls")


def test_the_recording_is_heard_by_its_link_and_from_a_turn_on(
    open_page: Open, served: Screening
) -> None:
    served.call("k1", FRAUD, number=NUMBER)
    page = open_page("/inbox")
    page.click("[data-call=k1]")
    page.wait_for_selector("#detail audio")
    assert "signature=" in str(page.get_attribute("#detail audio", "src"))
    page.click("#detail .turns li.caller .time")
    kept = served.store.screened_calls.get("li", "k1").verdict
    assert kept is not None
    start = kept["turns"][1]["start_s"]
    until(page, "document.querySelector('audio').readyState >= 2")
    until(page, f"document.querySelector('audio').currentTime > {start + 0.2}")
    assert page.evaluate("document.querySelector('audio').duration") > start + 1


def test_a_link_that_is_over_is_renewed(
    open_page: Open, served: Screening, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.call("k1", FRAUD, number=NUMBER)
    page = open_page("/inbox")
    page.click("[data-call=k1]")
    page.wait_for_selector("#detail audio")
    old = str(page.get_attribute("#detail audio", "src"))
    now = served.services.links._now
    monkeypatch.setattr(served.services.links, "_now", lambda: now() + 3600)
    page.evaluate("document.querySelector('audio').play().catch(() => {})")
    until(page, "document.querySelector('audio').currentTime > 0.1")
    assert page.get_attribute("#detail audio", "src") != old
    assert links.PATH in old


def test_a_correction_moves_the_call_and_the_users_own_set(
    open_page: Open, served: Screening
) -> None:
    served.call("k1", FRAUD, number=NUMBER)
    assert own(served) == ("illegal", "account_fraud")
    page = open_page("/inbox")
    page.click("[data-call=k1]")
    page.select_option("#correct", "delivery")
    page.click("#detail form button[type=submit]")
    page.wait_for_selector("#detail .chip.normal")
    assert "judged as Account fraud" in page.inner_text("#detail")
    page.wait_for_selector("[data-call=k1] .badge")
    assert own(served) == ("normal", "delivery")
    until(page, "document.querySelector('[data-deed=normal]').ariaPressed === 'true'")


def test_a_number_is_blocked_allowed_and_forgotten_by_keys(
    open_page: Open, served: Screening
) -> None:
    served.call("k1", LOANS, number=NUMBER)
    page = open_page("/inbox")
    page.wait_for_selector("[data-call=k1]")
    page.focus("[data-call=k1]")
    page.keyboard.press("Enter")
    for deed, standing in (("illegal", "illegal"), ("normal", "normal")):
        page.wait_for_selector(f"[data-deed={deed}][aria-pressed=false]")
        page.focus(f"[data-deed={deed}]")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"[data-deed={deed}][aria-pressed=true]")
        found = own(served)
        assert found is not None
        assert found[0] == standing
    until(page, "document.activeElement.dataset.deed === 'normal'")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-deed=normal][aria-pressed=false]")
    assert own(served) is None
    page.click("[data-deed=report]")
    page.wait_for_selector("text=Reported.")
    (report,) = served.store.reports.of_reporter("li", 10)
    assert (report.key, report.category, report.call_id) == (NUMBER, "loans", "k1")


def test_arrows_go_through_the_calls_and_the_way_back_is_the_browsers(
    open_page: Open, served: Screening
) -> None:
    for number, call_id in ((NUMBER, "k1"), (OTHER, "k2")):
        served.store.numbers.put(_blocked(number), "li", datetime.now(UTC))
        _hand_over(served, call_id, number)
    page = open_page("/inbox", width=360, height=760)
    page.wait_for_selector("[data-call=k2]")
    page.focus("[data-call=k2]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail .title")
    assert not page.is_visible("#calls")
    assert "in your own illegal set" in page.inner_text("#detail")
    page.go_back()
    page.wait_for_selector("[data-call=k1]", state="visible")
    until(page, "document.activeElement.dataset.call === 'k1'")


def test_a_call_is_deleted_after_a_second_word(open_page: Open, served: Screening) -> None:
    served.call("k1", FRAUD, number=NUMBER)
    page = open_page("/inbox")
    page.click("[data-call=k1]")
    page.click("text=Delete this call")
    page.keyboard.press("Tab")
    assert page.locator("text=Delete this call").count() == 1, "another thought is none"
    page.click("text=Delete this call")
    page.click("text=Really delete it")
    page.wait_for_selector("#calls .nobody")
    assert served.store.screened_calls.inbox("li", 10, None, "", "") == []


def test_the_user_is_asked_and_answers(open_page: Open, served: Screening) -> None:
    served.store.numbers.put(_blocked(NUMBER, "abnormal"), "li", datetime.now(UTC))
    page = open_page("/inbox")
    until(page, "document.querySelector('#line').dataset.state === 'open'")
    phone = served.calling("k1", number=NUMBER)
    page.click(".ask [data-choice=reject]")
    page.wait_for_selector(".ask", state="detached")
    page.wait_for_selector("[data-call=k1] .chip")
    assert phone.result(30).outcome == "rejected"
    assert "rejected" in page.inner_text("[data-call=k1]")


def test_who_may_act_for_others_names_one(open_page: Open, served: Screening) -> None:
    served.call("k1", FRAUD, number=NUMBER)
    token = served.store.keys.create("desk", ["screening", "operator"]).token
    page = open_page("/inbox", with_key=False)
    page.fill("#key-input", token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#calls .nobody")
    page.fill("#whose-user", "li")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-call=k1]")
    page.click("[data-call=k1]")
    page.select_option("#correct", "survey")
    page.click("#detail form button[type=submit]")
    page.wait_for_selector("#detail .chip.abnormal")
    assert own(served) == ("abnormal", "survey")


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_narrow_screen_and_the_dark(open_page: Open, served: Screening, locale: str) -> None:
    served.call("k1", FRAUD, number=NUMBER)
    page = open_page("/inbox", width=360, height=760, dark=True, locale=locale)
    page.wait_for_selector("[data-call=k1]")
    assert overflow(page) == []
    page.click("[data-call=k1]")
    page.wait_for_selector("#detail .turns")
    page.click("summary")
    assert overflow(page) == []
    if locale == "zh-CN":
        assert "所说内容属于诈骗" in page.inner_text("#detail")
        page.click("#language-button")
        assert "What is said is fraud" in page.inner_text("#detail")


def _blocked(number: str, standing: str = "illegal") -> NumberEntry:
    return NumberEntry(number=number, standing=standing, origin="user", owner="li")


def _hand_over(served: Screening, call_id: str, number: str) -> None:
    answer = httpx2.post(
        f"{served.address}/v1/screening/events",
        json={"call_id": call_id, "number": number},
        headers={"authorization": f"Bearer {served.key}"},
    )
    assert answer.json()["action"] == "reject"


def test_the_printed_address_in_a_tab_that_asks_for_a_key(
    open_page: Open, served: Screening
) -> None:
    """Only what is behind `#` changes; an unknown key is said to be one."""
    page = open_page("/inbox", with_key=False)
    page.wait_for_selector("#key-dialog[open]")
    page.goto(f"{served.address}/inbox#key=pr_unknown")
    page.wait_for_selector("#key-problem:not([hidden])")
    page.goto(f"{served.address}/inbox#key={served.key}")
    page.wait_for_selector("#calls .nobody")
    assert not page.is_visible("#key-dialog")
