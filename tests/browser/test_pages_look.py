"""What all pages share: text that stands out, a name for every control, headings in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_report import luminance

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
READY = {"/": "#choose", "/annotate": "#utterance", "/models": "#versions table"}


@pytest.mark.parametrize("path", READY)
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(open_page: Open, path: str, dark: bool) -> None:
    page = open_page(path, dark=dark)
    page.wait_for_selector(READY[path])
    check_contrast(page, dark)


def check_contrast(page: Page, dark: bool) -> None:
    """WCAG 2.2's contrast ratio of at least 4.5 for every text that can be seen."""
    pairs = page.evaluate(
        """() => {
          const ground = (e) => {
            for (; e; e = e.parentElement) {
              const colour = getComputedStyle(e).backgroundColor;
              if (!/rgba\\(.*, 0\\)|transparent/.test(colour)) return colour;
            }
            return "rgb(255, 255, 255)";
          };
          const plain = (e) => e.checkVisibility() && !e.closest("button:disabled, svg");
          const texts = [...document.querySelectorAll("body *")].filter((e) => plain(e)
            && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
          return texts.map((e) => [getComputedStyle(e).color, ground(e), e.textContent.trim()]);
        }"""
    )
    assert len(pairs) > 8
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(body) < 0.2) == dark
    for ink, ground, text in pairs:
        if not ground.startswith("rgb(") or not ink.startswith("rgb("):
            continue  # a mixture that is written in another space
        high, low = sorted((luminance(ink), luminance(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground, text)


@pytest.mark.parametrize("path", READY)
def test_every_control_has_a_name(open_page: Open, path: str) -> None:
    page = open_page(path)
    page.wait_for_selector(READY[path])
    check_names(page)


def check_names(page: Page) -> None:
    """Of every control; one heading of the page, and no id twice."""
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(
            "button, input, select, audio, a, [role=img], canvas")]
          .filter((e) => e.checkVisibility() && !e.closest("[aria-hidden=true]"))
          .filter((e) => !(e.innerText || e.ariaLabel || e.labels?.length))
          .map((e) => e.outerHTML.slice(0, 90))"""
    )
    assert nameless == []
    assert page.locator("h1").count() == 1
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
