"""Sets, libraries and reports: what persons see of them, what operators do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from starlette.requests import HTTPConnection

from persona_ray.serving.gate import Caller, Gate
from persona_ray.store.screening.voice_records import VoiceEntry, VoiceSample
from tests.browser.conftest import overflow, until
from tests.browser.screening.service import Screening

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
NUMBER, OTHER = "+8613800138000", "+8613900139000"
PRINT = b"\x00\x3c\x00\x00"


class Person:
    """Somebody who asks the service beside the page."""

    def __init__(self, served: Screening, name: str, *scopes: str) -> None:
        wanted = ["screening", *scopes]
        self.key = served.store.keys.create(name, wanted, requests_per_minute=100_000).token
        self._base = f"{served.address}/v1/screening"

    def ask(self, method: str, path: str, **body: Any) -> Any:
        headers = {"authorization": f"Bearer {self.key}"}
        answer = httpx2.request(method, f"{self._base}{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer


@pytest.fixture
def operator(served: Screening) -> Person:
    return Person(served, "op", "operator")


def as_operator(open_page: Open, operator: Person, path: str, **window: Any) -> Page:
    page = open_page(path, with_key=False, **window)
    page.fill("#key-input", operator.key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-dialog", state="hidden")
    return page


def voice(served: Screening, voice_id: str, **changed: Any) -> None:
    values = {"standing": "illegal", "category": "prize_fraud", "origin": "call"} | changed
    entry = VoiceEntry(voice_id=voice_id, engine="e", voiceprint=PRINT, **values)
    now = datetime.now(UTC)
    assert served.store.voices.put(entry, [VoiceSample("c1", PRINT, 3.0)], None, now)


def test_a_number_is_put_in_expires_has_a_history_and_goes(
    open_page: Open, served: Screening
) -> None:
    page = open_page("/libraries")
    page.wait_for_selector("#numbers p")
    page.fill("#number", "138 0013 8000")
    page.fill("#name", "Aunt")
    page.select_option("#standing", "normal")
    page.fill("#until", "2099-12-31")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"[data-number='{NUMBER}']")
    row = page.inner_text(f"[data-number='{NUMBER}']")
    assert "Aunt" in row
    assert "31 Dec 2099" in row
    entry = served.store.numbers.entry("li", NUMBER, datetime.now(UTC))
    assert entry is not None
    assert (entry.standing, entry.name) == ("normal", "Aunt")
    page.click(".history")
    assert "Added · Normal" in page.inner_text(".changes")
    page.click(".remove")
    page.keyboard.type("moved")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"[data-number='{NUMBER}']", state="detached")
    last = served.store.numbers.history("li", NUMBER)[-1]
    assert (last.action, last.reason) == ("removed", "moved")


def test_what_is_no_number_is_refused_and_stays_to_be_mended(open_page: Open) -> None:
    page = open_page("/libraries")
    page.wait_for_selector("#numbers p")
    page.fill("#number", "12")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast.bad")
    assert page.input_value("#number") == "12"


def test_categories_get_through_as_chosen(open_page: Open, served: Screening) -> None:
    page = open_page("/libraries")
    page.wait_for_selector("#wanted input")
    assert page.locator("#wanted input[value=prize_fraud]").count() == 0
    page.check("#wanted input[value=loans]")
    page.wait_for_selector("text=Chosen by you.")
    chosen = served.store.screening_corrections.wanted("li")
    assert chosen is not None
    assert "loans" in chosen
    page.click("#wanted button")
    page.wait_for_selector("text=As the service comes.")
    assert not page.is_checked("#wanted input[value=loans]")


def test_a_shared_entry_is_appealed_against_and_the_answer_is_read(
    open_page: Open, served: Screening, operator: Person
) -> None:
    said = {"key": NUMBER, "standing": "illegal", "category": "prize_fraud", "reason": "a list"}
    operator.ask("PUT", "/shared", **said)
    page = open_page("/libraries")
    page.fill("#look", NUMBER)
    page.keyboard.press("Enter")
    page.click("#appeal")
    page.fill("#reason", "my own shop")
    page.keyboard.press("Enter")
    page.wait_for_selector("#appeals [data-state=open]")
    desk = as_operator(open_page, operator, "/reports")
    desk.click("#appeals li button:has-text('Grant')")
    desk.fill("#reason", "it is a shop")
    desk.keyboard.press("Enter")
    desk.wait_for_selector("#appeals p.muted:has-text('No open appeals')")
    assert served.store.numbers.entry("", NUMBER, datetime.now(UTC)) is None
    page.reload()
    page.wait_for_selector("#appeals [data-state=granted]")
    assert "it is a shop" in page.inner_text("#appeals")


def test_who_is_quicker_than_the_service_is_waited_for(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose page it is, is not known yet."""
    admit = Gate.admit

    async def slow(gate: Gate, connection: HTTPConnection, scope: str) -> Caller:
        if connection.url.path == "/v1/pages/access":
            await asyncio.sleep(1.5)
        return await admit(gate, connection, scope)

    monkeypatch.setattr(Gate, "admit", slow)
    page = open_page("/libraries")
    page.fill("#look", NUMBER)
    page.keyboard.press("Enter")
    page.wait_for_selector("#found h3")
    assert page.locator(".toast.bad").count() == 0


def test_voices_are_counted_and_an_operator_takes_one_out(
    open_page: Open, served: Screening, operator: Person
) -> None:
    for one in ("v1", "v2"):
        voice(served, one)
    voice(served, "v3", standing="abnormal", category="loans")
    page = open_page("/libraries")
    page.wait_for_selector("#voices table")
    assert page.locator("[data-voices='illegal prize_fraud'] .n").inner_text() == "2"
    assert page.locator("#voices button, audio").count() == 0
    desk = as_operator(open_page, operator, "/libraries")
    desk.click("[data-voices='illegal prize_fraud'] button")
    desk.wait_for_selector("[data-voice=v2]")
    desk.click("[data-voice=v2] .history")
    desk.wait_for_selector("[data-voice=v2] ol.changes li:has-text('Added')")
    desk.click("[data-voice=v1] button")
    desk.fill("#reason", "the wrong person")
    desk.keyboard.press("Enter")
    desk.wait_for_selector("[data-voice=v1]", state="detached")
    until(desk, "document.querySelector('[data-voice=v2]') !== null")
    assert served.store.voices.get("v1") is None


def test_a_report_is_made_and_taken_back(open_page: Open, served: Screening) -> None:
    page = open_page("/reports")
    page.wait_for_selector("#category option", state="attached")
    assert "3 persons and a total weight of 3" in page.inner_text("#rules")
    assert not page.is_visible("#reported-card")
    page.fill("#key", "138 0013 8000")
    page.click("#report-form button")
    assert page.locator("#category:invalid").count() == 1, "no category is chosen for anybody"
    page.select_option("#category", "refund_fraud")
    page.click("#report-form button")
    page.wait_for_selector("#mine .retract")
    page.click("#mine .retract")
    page.wait_for_selector("#mine tr.gone")
    assert "taken back" in page.inner_text("#mine")
    (report,) = served.store.reports.of_reporter("li", 10)
    assert report.retracted_at is not None


def test_an_operator_sees_how_many_persons_and_decides(
    open_page: Open, served: Screening, operator: Person
) -> None:
    for name in ("ann", "bob"):
        Person(served, name).ask("POST", "/reports", key=OTHER, category="loans")
    page = as_operator(open_page, operator, "/reports")
    page.wait_for_selector(f"[data-key='{OTHER}']")
    assert "2 of 3 persons" in page.inner_text("#reported")
    page.click(f"[data-key='{OTHER}'] button")
    page.wait_for_selector("#reported .confirm")
    seen = page.inner_text("#reported")
    assert "2 persons of weight 0.40; 3 and 3 are needed" in seen
    assert "ann" not in seen
    page.click("#reported .confirm")
    page.fill("#reason", "called them")
    page.keyboard.press("Enter")
    page.wait_for_selector("#reported p.muted")
    entry = served.store.numbers.entry("", OTHER, datetime.now(UTC))
    assert entry is not None
    assert (entry.standing, entry.category, entry.origin) == ("abnormal", "loans", "operator")


@pytest.mark.parametrize("path", ["/libraries", "/reports"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_narrow_screen_and_the_dark(
    open_page: Open, served: Screening, operator: Person, path: str, locale: str
) -> None:
    voice(served, "v1")
    operator.ask("PUT", "/numbers", number=NUMBER, standing="normal", name="A very long name " * 6)
    operator.ask("POST", "/reports", key=OTHER, category="impersonation_fraud")
    page = as_operator(open_page, operator, path, width=360, height=760, dark=True, locale=locale)
    shown = {"/libraries": "#voices table", "/reports": "#mine table"}[path]
    page.wait_for_selector(shown)
    assert overflow(page) == []
