"""The agent's page: what is said and felt, what to say, one key for what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from persona_ray.inference.assist.reasons import in_words
from persona_ray.store.assist.records import PushState, Said
from tests.browser.assist.service import ANSWERS, FEE, Assist
from tests.browser.conftest import overflow, until
from tests.browser.test_pages_look import check_contrast, check_names

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocketRoute

Open = Callable[..., "Page"]
BECAUSE = ("relation=objection", "topic=fee", "emotion=annoyed", "style=factual")


def answered(served: Assist, page: Page, call_id: str, push_id: str) -> Said:
    """What the service has of a push, once it has it."""
    for _ in range(100):
        given = served.store.feedback.of_call("li", call_id).get(push_id)
        if given is not None:
            return given.said
        page.wait_for_timeout(50)
    raise AssertionError("no feedback came")


def test_what_to_say_stands_large_with_its_reason_and_one_key_answers_it(
    open_page: Open, served: Assist
) -> None:
    page = open_page("/assist", locale="zh-CN")
    until(page, "document.querySelector('#line').dataset.state === 'open'")
    call = served.call("k1")
    call.agent("您好，向您介绍一张信用卡。")
    call.customer(FEE, keyword="太贵了")
    first = call.push()
    page.wait_for_selector(".say")
    assert page.inner_text(".say") == ANSWERS[0]
    assert page.inner_text(".because") == in_words(BECAUSE, "zh")
    assert page.inner_text("ruby.felt") == "太贵了不耐烦"
    mood = page.inner_text(".talk .customer .mood")
    assert "不耐烦" in mood
    assert "−0.6" in mood
    until(page, "!document.querySelector('#left').hidden")
    page.keyboard.press("2")
    assert answered(served, page, "k1", first) == Said(action="used", script_id="s1")
    assert served.store.pushes.get(first).state is PushState.SEEN
    page.keyboard.press("9")
    page.wait_for_selector("[data-key='9'][aria-pressed=true]")
    with page.expect_response("**/v1/assist/calls/k1/scene"):
        page.check("#steps input[value=closing]", force=True)
    assert served.store.assist_calls.get("li", "k1").scene["step"] == "closing"
    # The next one says nothing of the one before.
    second = call.push()
    until(page, "document.querySelectorAll('.talk .pushed').length === 2")
    page.wait_for_timeout(400)
    page.keyboard.press("x")
    assert answered(served, page, "k1", second).action == "dismissed"
    assert answered(served, page, "k1", first).rating == "excellent"
    call.end()
    page.wait_for_selector(".ask")
    page.wait_for_timeout(1600)
    page.keyboard.press("1")
    until(page, "document.querySelector('[data-key=\"1\"]').ariaPressed === 'true'")
    assert served.store.assist_calls.get("li", "k1").outcome == "agreed"


def test_what_comes_too_late_is_missed_and_a_broken_line_loses_nothing(
    open_page: Open, served: Assist
) -> None:
    page = open_page("/assist")
    lines: list[WebSocketRoute] = []
    page.route_web_socket("**/v1/assist/devices", lambda line: through(line, lines))
    page.reload()
    until(page, "document.querySelector('#line').dataset.state === 'open'")
    call = served.call("k1")
    call.customer(FEE)
    late = call.push(1.2)
    page.wait_for_selector("#suggestion[data-state=missed]")
    assert "Missed" in page.inner_text("#acts")
    assert served.store.pushes.get(late).state is PushState.SEEN
    lines[0].close()
    until(page, "document.querySelector('#line').dataset.state === 'lost'")
    page.keyboard.press("e")
    assert "Not sent yet" in page.inner_text("#acts")
    call.customer("那你说说。")
    assert answered(served, page, "k1", late).action == "edited"
    until(page, "document.querySelectorAll('.talk .customer').length === 2")
    page.keyboard.press("e")
    page.keyboard.type("我换个说法")
    page.keyboard.press("Enter")
    until(page, "document.activeElement === document.body")
    page.reload()
    page.wait_for_selector(".talk .customer")
    assert page.locator(".talk .customer").count() == 2
    assert answered(served, page, "k1", late).text == "我换个说法"


def through(line: WebSocketRoute, lines: list[WebSocketRoute]) -> None:
    """To the service, and known to the test."""
    line.connect_to_server()
    lines.append(line)


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_read_on_a_phone_and_in_the_dark(open_page: Open, served: Assist, dark: bool) -> None:
    call = served.call("k1")
    call.agent("您好。")
    call.customer(FEE, keyword="太贵了")
    call.push(60.0, ANSWERS[0] * 4, *ANSWERS[1:])
    page = open_page("/assist", width=360, height=760, dark=dark)
    page.wait_for_selector(".say")
    assert overflow(page) == []
    check_contrast(page, dark)
    check_names(page)
