"""What the pages of screening share with the others: contrast, names, headings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from persona_ray.store.screening.records import NumberEntry
from tests.browser.screening.service import Screening
from tests.browser.test_pages_look import check_contrast, check_names
from tests.unit.serving.screening.parts import LOANS

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
READY = {"/inbox": "[data-call]", "/libraries": "#numbers table", "/reports": "#mine p"}


def shown(open_page: Open, served: Screening, path: str, dark: bool) -> Page:
    if path == "/inbox":
        served.call("k1", LOANS, number="+8613800138000")
    entry = NumberEntry(number="+8613900139000", standing="abnormal", origin="user", owner="li")
    served.store.numbers.put(entry, "li", datetime.now(UTC))
    page = open_page(path, dark=dark)
    page.wait_for_selector(READY[path])
    if path == "/inbox":
        page.click("[data-call]")
        page.wait_for_selector("#detail .turns")
        page.click("summary")
    return page


@pytest.mark.parametrize("path", READY)
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_and_every_control_has_a_name(
    open_page: Open, served: Screening, path: str, dark: bool
) -> None:
    page = shown(open_page, served, path, dark)
    check_contrast(page, dark)
    check_names(page)
