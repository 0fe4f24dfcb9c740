"""The report in a real browser: it opens, says what it should, and asks for nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.screenshot import find_chromium
from persona_ray.evaluation.report import ReportData, write_report
from tests.browser.chromium import Page, chromium
from tests.unit.evaluation.made_up import corpus, full_report

WIDTHS = (1180, 768, 390, 320)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with chromium(binary, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report() -> ReportData:
    return full_report()


@pytest.fixture(scope="module")
def address(report: ReportData, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(report, tmp_path_factory.mktemp("report") / "report.html").as_uri()


def test_it_opens_without_a_complaint_and_without_a_request(page: Page, address: str) -> None:
    page.open(address, 1180)
    assert page.complaints() == []
    asked = [url for url in page.requests() if not url.startswith("data:")]
    assert asked == [address]


def test_its_findings_are_visible(page: Page, address: str, report: ReportData) -> None:
    page.open(address, 1180)
    visible = page.run("document.body.innerText")
    held_out = report.held_out
    assert held_out is not None
    assert f"{held_out.customers.right} of {held_out.customers.count} customers" in visible
    # The first call stands open, with its sentences; the others are a click away.
    first, second = report.calls[0], report.calls[1]
    assert first.call_id in visible
    assert second.call_id in visible
    assert all(sentence.text in visible for sentence in first.sentences)
    times = "[...document.querySelectorAll('.call')].map(e => e.open)"
    assert page.run(times) == [True] + [False] * (len(report.calls) - 1)
    assert "nothing usable: no sentence of 10 characters or more" in visible
    for heading in ("Recognised calls", "Scores", "Continued pretraining", "Training", "Corpus"):
        assert heading in visible
    # The text of plots stays text.
    drawn = page.run("[...document.querySelectorAll('svg text')].map(e => e.textContent).join('|')")
    assert "encoders unfrozen" in drawn
    assert "chance" in drawn


def test_a_click_opens_a_call(page: Page, address: str, report: ReportData) -> None:
    page.open(address, 1180)
    row = "document.querySelectorAll('.call')[2]"
    page.run(f"{row}.querySelector('summary').click()")
    text = page.run(f"{row}.innerText")
    assert all(sentence.text in text for sentence in report.calls[2].sentences)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_hangs_over_the_edge(page: Page, address: str, width: int) -> None:
    page.open(address, width)
    assert page.run("document.documentElement.scrollWidth") <= width
    # Wide tables scroll within their own box.
    hanging = page.run(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, nav, svg')"
        f" && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert hanging == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(page: Page, address: str, dark: bool) -> None:
    """WCAG 2.2's contrast ratio of at least 4.5 for ink and muted text, on page and cards."""
    page.open(address, 1180, dark)
    style = "getComputedStyle(document.querySelector('{}')).{}"
    grounds = [page.run(style.format(place, "backgroundColor")) for place in ("body", ".card")]
    inks = [page.run(style.format(place, "color")) for place in ("body", ".eyebrow", ".yes")]
    light = [luminance(ground) > 0.5 for ground in grounds]
    assert light == [not dark] * 2
    for ground in grounds:
        for ink in inks:
            high, low = sorted((luminance(ground), luminance(ink)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ground, ink)
    # Plots take their colours from the theme.
    tick = page.run(style.format(".plot text", "fill"))
    assert (luminance(tick) > 0.25) == dark


def test_a_report_of_the_corpus_alone_is_a_report(
    page: Page, report: ReportData, tmp_path: Path
) -> None:
    alone = ReportData(
        made_at=report.made_at, version=report.version, labels=report.labels, corpus=corpus()
    )
    page.open(write_report(alone, tmp_path / "report.html").as_uri(), 1180)
    assert page.complaints() == []
    assert page.run("[...document.querySelectorAll('h2')].map(e => e.innerText)") == ["Corpus"]
    assert "918 clips out of 240 calls" in page.run("document.querySelector('h1').innerText")


def test_what_callers_say_is_never_run(page: Page, report: ReportData, tmp_path: Path) -> None:
    nasty = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    first = report.calls[0]
    said = tuple(s.model_copy(update={"text": nasty}) for s in first.sentences)
    calls = (first.model_copy(update={"sentences": said, "scene": nasty}),)
    data = report.model_copy(update={"calls": calls})
    page.open(write_report(data, tmp_path / "report.html").as_uri(), 1180)
    assert nasty in page.run("document.querySelector('.said').innerText")
    assert page.run("document.title") != "owned"
    assert page.run("document.images.length") == 0
    assert page.complaints() == []


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` by WCAG 2.2."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
