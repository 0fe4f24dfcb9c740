"""The page of the owner of scripts: files in and out, use and success, what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from persona_ray.inference.assist.library import parse_library
from persona_ray.store.assist.records import NewSuggestion
from tests.browser.assist.service import Assist
from tests.browser.conftest import overflow, until
from tests.browser.test_pages_look import check_contrast, check_names

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Page

Open = Callable[..., "Page"]
FILE = """\
name: shop
version: "{version}"
scripts:
  - {{id: s1, text: 首年年费是免的。, answers: [年费多少], product: credit_card, topic: fee}}
  - {{id: {second}, text: 您好，我是您的客户经理。, answers: [你是谁]}}
"""


@pytest.fixture
def key(served: Assist) -> str:
    return served.store.keys.create("chen", ["operator"], requests_per_minute=100_000).token


def choose(page: Page, text: str, name: str = "shop.yaml") -> None:
    file: FilePayload = {"name": name, "mimeType": "application/yaml", "buffer": text.encode()}
    page.set_input_files("#file", files=file)


def in_use(served: Assist) -> str:
    current = served.store.script_libraries.current()
    return "" if current is None else current.version


def put_in(page: Page, text: str, scripts: int) -> None:
    """And wait until the page has it."""
    choose(page, text)
    page.click("#put")
    until(page, "!document.querySelector('#put')")
    until(page, f"document.querySelector('#count').textContent.endsWith('of {scripts}')")


def happened(served: Assist) -> None:
    """Four times s0 was suggested, three times it was said; three sentences found nothing."""
    call = served.call("k1")
    for action in ("used", "used", "used", "dismissed"):
        said = Request(
            f"{served.address}/v1/assist/pushes/{call.push()}/feedback",
            json.dumps({"action": action}).encode(),
            {"authorization": f"Bearer {served.key}", "content-type": "application/json"},
        )
        urlopen(said).close()
    nothing = [
        NewSuggestion(
            turn=turn,
            at=datetime.now(UTC),
            product="credit_card",
            reason="nothing_fits",
            library="shop 1",
            ranker="bm25",
            context={"sentence": {"text": text}},
        )
        for turn, text in enumerate(("外币怎么还款", "外币怎么还款呀", "你们几点下班"), 101)
    ]
    served.store.assist_calls.settle(call.record, {}, call.events, [], nothing)


def test_a_file_is_looked_at_then_in_use_then_gone_back_from(
    open_page: Open, served: Assist, tmp_path: Path
) -> None:
    page = open_page("/scripts")
    page.wait_for_selector("#library b")
    put_in(page, FILE.format(version=1, second="s2"), 2)
    choose(page, FILE.format(version=2, second="s3").replace("首年", "前两年"))
    page.wait_for_selector(".would")
    seen = page.locator(".would > div").all_inner_texts()
    assert [line.split() for line in seen] == [
        ["1", "added", "s3"],
        ["1", "changed", "s1"],
        ["1", "removed", "s2"],
    ]
    assert in_use(served) == "1"
    page.click("#put")
    page.wait_for_selector("[data-version='2']")
    assert in_use(served) == "2"
    with page.expect_download() as download:
        page.click("[data-form=yaml]")
    assert download.value.suggested_filename == "shop-2.yaml"
    download.value.save_as(tmp_path / "shop-2.yaml")
    kept = parse_library((tmp_path / "shop-2.yaml").read_bytes(), "shop-2.yaml", ())
    assert set(kept.scripts) == {"s1", "s3"}
    back = page.locator("[data-library=shop][data-version='1'] button")
    back.click()
    back.click()
    page.wait_for_selector("[data-library=shop][data-version='1'] .badge")
    assert in_use(served) == "1"


def test_use_success_and_gaps_are_shown(open_page: Open, served: Assist) -> None:
    happened(served)
    page = open_page("/scripts", locale="zh-CN")
    page.wait_for_selector("#more")
    # Of no library: it stands where it belongs by its counts, with what is known of it.
    first = page.locator("#scripts tbody tr").first
    assert first.get_attribute("data-script") == "s0"
    assert first.locator("td").all_inner_texts()[:5] == ["4", "4", "3", "0", "1"]
    # By statsmodels.stats.proportion.proportion_confint(3, 4, method="wilson").
    assert "75 %\xa030–95 %" in first.locator(".rate").inner_text().replace(" 3", "\xa03")
    assert "不在当前话术库" in first.inner_text()
    page.click("[data-sort=chosen]")
    until(page, "document.activeElement.dataset.sort === 'chosen'")
    assert page.get_attribute("#scripts [aria-sort]", "aria-sort") == "ascending"
    assert page.locator("[data-script=s0]").count() == 0
    page.select_option("#product", "loan")
    page.select_option("#topic", "fee")
    page.fill("#search", "soothing")
    assert page.inner_text("#count") == "1 / 286 条"
    assert page.inner_text("#gaps") == "客户说的话，都有合适的话术。"
    page.select_option("#product", "")
    until(page, "document.querySelectorAll('.gaps li').length === 2")
    assert page.locator(".gaps li").first.inner_text().split()[:3] == ["2", "次", "外币怎么还款"]


def test_mistakes_have_their_place_and_other_keys_are_told(open_page: Open, served: Assist) -> None:
    page = open_page("/scripts")
    page.wait_for_selector("#library b")
    wrong = FILE.format(version=1, second="s1").replace("[你是谁]", "[]")
    choose(page, wrong, "mine-4.yaml")
    page.wait_for_selector(".mistakes")
    assert page.inner_text(".mistakes code") == "mine-4.yaml:5"
    assert "answers" in page.inner_text(".mistakes li")
    check_contrast(page, dark=False)
    choose(page, wrong, "mine.docx")
    until(page, "document.querySelector('.mistakes').textContent.includes('.csv')")
    assert in_use(served) == ""
    agent = open_page(f"/scripts#key={served.key}", with_key=False)
    agent.wait_for_selector("#refused button")
    assert "operator" in agent.inner_text("#refused")
    agent.click("#refused a")
    until(agent, "document.querySelector('#line')?.dataset.state === 'open'")


def test_it_is_read_on_a_phone_in_the_dark(open_page: Open, served: Assist) -> None:
    happened(served)
    page = open_page("/scripts", width=400, height=760, dark=True, locale="zh-CN")
    page.wait_for_selector("#more")
    choose(page, FILE.format(version=1, second="s2"))
    page.wait_for_selector(".would")
    assert overflow(page) == []
    check_contrast(page, dark=True)
    check_names(page)
