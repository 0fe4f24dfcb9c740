"""The page of models: versions, plots, promotion that takes its time, the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import overflow, until
from tests.unit.serving.models_fakes import FakeDesk

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]


def test_versions_champion_and_what_answers(open_page: Open) -> None:
    page = open_page("/models")
    page.wait_for_selector("#versions table")
    assert "Version 2" in page.inner_text("#champion .title")
    assert page.inner_text("[data-version='2'] .badges").split("\n") == ["champion", "answers now"]
    assert "65.0 %" in page.inner_text("[data-version='3']")
    assert page.inner_text("[data-version='3'] .judged").split("\n") == [
        "evaluated",
        "clip accuracy 61.2 %",
    ]
    assert "not worse" in page.inner_text("[data-version='2'] .judged")
    assert page.locator(".changes li").count() == 2


def test_figures_and_plots_of_a_version(open_page: Open) -> None:
    page = open_page("/models")
    page.click("[data-version='2'] .details")
    until(page, "document.querySelector('.plots img')?.naturalWidth > 0")
    assert "75.0 %\ncustomer accuracy" in page.inner_text("#detail")


def test_a_promotion_is_followed_to_its_end(open_page: Open, desk: FakeDesk) -> None:
    desk.go.clear()
    page = open_page("/models")
    page.click("[data-version='3'] .promote")
    page.fill("#reason", "more calls")
    page.click("#reason-go")
    page.wait_for_selector("#errand .spinner")
    until(page, "document.querySelector('#errand').innerText.includes('recognising')")
    assert page.is_disabled("[data-version='1'] .promote")
    desk.go.set()
    page.wait_for_selector("#errand .badge.good")
    until(page, "document.querySelector('#champion .title').textContent.includes('3')")
    assert "more calls" in page.inner_text(".changes li:first-child")
    assert page.locator("#errand .interval svg").count() == 1


def test_a_worse_one_is_refused_and_forced_with_a_reason(open_page: Open, desk: FakeDesk) -> None:
    desk.worse = True
    page = open_page("/models")
    page.click("[data-version='3'] .promote")
    page.click("#reason-go")
    page.wait_for_selector("#errand .badge.bad")
    assert "worse than the champion" in page.inner_text("#errand")
    assert desk.champion == 2
    page.click("[data-version='3'] .promote")
    page.check("#force")
    page.click("#reason-go")
    page.wait_for_selector("#reason-problem:not([hidden])")
    page.fill("#reason", "the test split is stale")
    page.click("#reason-go")
    page.wait_for_selector("#errand .badge.good")
    assert desk.champion == 3


def test_two_versions_are_compared(open_page: Open) -> None:
    page = open_page("/models")
    page.check("[data-version='1'] input")
    page.check("[data-version='3'] input")
    page.click("#compare")
    page.wait_for_selector(".compared")
    seen = page.inner_text(".compared")
    assert "260 clips of 24 customers" in seen
    assert "−10.0" in seen


def test_the_way_back_by_keys(open_page: Open, desk: FakeDesk) -> None:
    page = open_page("/models")
    page.wait_for_selector("#rollback")
    page.focus("#rollback")
    page.keyboard.press("Enter")
    page.wait_for_selector("#reason-dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#reason-dialog", state="hidden")
    assert desk.champion == 2
    page.focus("#rollback")
    page.keyboard.press("Enter")
    page.keyboard.type("complaints")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#champion .title').textContent.includes('1')")
    assert desk.champion == 1
    assert "complaints" in page.inner_text(".changes li:first-child")


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_narrow_screen_and_the_dark(open_page: Open, locale: str) -> None:
    page = open_page("/models", width=360, height=760, dark=True, locale=locale)
    page.wait_for_selector("#versions table")
    assert overflow(page) == []
    box = page.locator("[data-version='3'] .promote").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 360, "without scrolling sideways"
    page.click("[data-version='2'] .details")
    page.wait_for_selector(".plots img")
    assert overflow(page) == []
