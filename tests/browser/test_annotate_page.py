"""The page for annotators: ten clips by keys, what is written, undo, conflicts, narrow and dark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from persona_ray.store import Annotation
from tests.browser.conftest import CLIPS, overflow, until
from tests.browser.pages import Served

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
KEYS = {"1": "red", "2": "blue", "3": "yellow", "4": "green", "0": "uncertain"}


@pytest.fixture
def key(served: Served) -> str:
    """One that may label under any name."""
    return served.services.store.keys.create("desk", ["admin"]).token


def begin(page: Page, name: str = "wang") -> None:
    page.fill("#first-name", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#utterance")


def written(served: Served) -> list[Annotation]:
    return list(served.services.store.annotations.all())


def said_of(page: Page, number: int) -> None:
    until(page, f"document.querySelector('.figures b').textContent === '{number}'")


def test_ten_clips_by_keys_alone(open_page: Open, served: Served) -> None:
    page = open_page("/annotate")
    begin(page)
    pressed = "1234012341"
    for number, key in enumerate(pressed, 1):
        until(
            page,
            f"document.querySelector('.clip-head').lastChild.textContent.startsWith('{number} ')",
        )
        page.keyboard.press(" ")
        page.wait_for_selector("#play[aria-label='Stop']")
        page.keyboard.press(key)
        said_of(page, number)
    found = written(served)
    assert Counter(item.label for item in found) == Counter(KEYS[key] for key in pressed)
    assert {item.annotator for item in found} == {"wang"}
    assert all(item.clip_id and item.span and item.customer_id for item in found)
    seen = page.inner_text("#progress")
    assert "10\nlabelled by you" in seen
    assert f"{CLIPS - 10}\nnot annotated" in seen


def test_back_skip_note_and_undo(open_page: Open, served: Served) -> None:
    page = open_page("/annotate")
    begin(page)
    page.keyboard.press("n")
    page.keyboard.type("1 laughs")
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    said_of(page, 1)
    (item,) = written(served)
    assert (item.label, item.note) == ("red", "1 laughs")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("[data-label=red]", "aria-pressed") == "true"
    page.keyboard.press("2")
    until(page, "!document.getElementById('undo').disabled")
    page.wait_for_selector(".toast")
    page.wait_for_timeout(300)
    assert [item.label for item in written(served)] == ["blue"]
    page.keyboard.press("u")
    page.wait_for_selector("[data-label=red][aria-pressed=true]")
    assert [(item.label, item.note) for item in written(served)] == [("red", "1 laughs")]
    page.keyboard.press("u")
    said_of(page, 0)
    assert written(served) == []


def test_a_conflict_is_shown_and_settled(open_page: Open, served: Served) -> None:
    page = open_page("/annotate")
    begin(page)
    page.click("[data-label=red]")
    said_of(page, 1)
    clip = written(served)[0].clip_id
    save = served.services.store.annotations.save
    save([Annotation(annotator="li", label="blue", clip_id=clip)])
    page.wait_for_timeout(5500)
    page.check("input[value=conflicts]")
    page.wait_for_selector(".votes")
    assert "wang" in page.inner_text(".votes")
    assert "Blue" in page.inner_text(".votes")
    page.click("[data-label=blue]")
    page.wait_for_selector(".nobody")
    until(page, "document.querySelectorAll('.figures b')[4].textContent === '0'")
    assert ("adjudicator", "blue") in [(item.annotator, item.label) for item in written(served)]


def test_the_least_certain_first(open_page: Open) -> None:
    page = open_page("/annotate")
    begin(page)
    page.check("input[value=uncertain]")
    until(page, f"document.querySelector('#order-note').textContent.includes('{CLIPS} of')")
    page.keyboard.press("3")
    said_of(page, 1)


def test_others_are_not_told_what_was_said(open_page: Open) -> None:
    page = open_page("/annotate")
    begin(page)
    page.click("[data-label=green]")
    said_of(page, 1)
    other = open_page("/annotate")
    begin(other, "li")
    assert other.locator("[aria-pressed=true][data-label]").count() == 0
    assert other.locator(".votes").count() == 0


def test_a_key_of_an_annotator_says_who_it_is(open_page: Open, served: Served) -> None:
    token = served.services.store.keys.create("wang", ["annotate"]).token
    page = open_page("/annotate", with_key=False)
    page.evaluate("localStorage.setItem('persona-ray.annotator', 'li')")
    page.evaluate("localStorage.setItem('persona-ray.order', 'conflicts')")
    page.goto("about:blank")
    page.goto(f"{served.address}/annotate#key={token}")
    page.wait_for_selector("#utterance")
    assert page.input_value("#annotator") == "wang"
    assert not page.is_editable("#annotator")
    assert page.locator("input[value=conflicts]").count() == 0
    page.keyboard.press("2")
    said_of(page, 1)
    assert [(item.annotator, item.label) for item in written(served)] == [("wang", "blue")]
    page.keyboard.press("u")
    said_of(page, 0)
    assert written(served) == []


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_narrow_screen_and_the_dark(open_page: Open, served: Served, locale: str) -> None:
    page = open_page("/annotate", width=360, height=760, dark=True, locale=locale)
    begin(page)
    assert overflow(page) == []
    label = page.locator("[data-label=yellow]").bounding_box()
    assert label is not None
    assert label["height"] >= 44
    page.click("[data-label=yellow]")
    said_of(page, 1)
    assert [item.label for item in written(served)] == ["yellow"]


def test_who_lacks_the_scope_is_told_so(open_page: Open, served: Served) -> None:
    token = served.services.store.keys.create("caller", ["recognise"]).token
    page = open_page("/annotate", with_key=False)
    page.wait_for_selector("#key-dialog[open]")
    page.fill("#key-input", token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-problem:not([hidden])")
    assert "annotate" in page.inner_text("#key-problem")
