"""A page of a service that runs, opened in Chromium: for pictures of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.screenshot import chromium
from benchmarks.shared import described

if TYPE_CHECKING:
    from playwright.sync_api import Page


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Of a command that takes a picture: how the page looks."""
    parser = described(description)
    parser.add_argument("--width", type=int, default=1180, help="CSS pixels")
    parser.add_argument("--dark", action="store_true", help="the dark theme")
    parser.add_argument("--locale", default="en-GB", help="zh-CN for Chinese")
    parser.add_argument("address", help="of the page, with #key=... where keys are required")
    return parser


@contextmanager
def opened(chosen: argparse.Namespace) -> Iterator[Page]:
    """The page at the address. Exits with one line without Chromium."""
    from playwright.sync_api import sync_playwright

    binary = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": chosen.width, "height": 800},
            color_scheme="dark" if chosen.dark else "light",
            locale=chosen.locale,
        )
        page.goto(chosen.address)
        yield page
        browser.close()
