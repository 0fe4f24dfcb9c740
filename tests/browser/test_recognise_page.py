"""The page that recognises: a file, a microphone, a line that breaks, keys alone, narrow, dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tests.browser.conftest import overflow, until
from tests.browser.pages import Served, Spoken

if TYPE_CHECKING:
    from playwright.sync_api import FileChooser, Page, WebSocketRoute

Open = Callable[..., "Page"]
SENTENCE = ".sentences li"


@pytest.fixture(scope="module")
def call(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stereo: a hum on channel 1, people on channel 2."""
    samples, rate_hz = soundfile.read(speech, dtype="float32")
    hum = 0.05 * np.sin(np.arange(len(samples)) / 20)
    file = tmp_path_factory.mktemp("call") / "call.wav"
    soundfile.write(file, np.stack([hum, samples], axis=1), rate_hz)
    return file


def recognised(page: Page, call: Path) -> None:
    page.set_input_files("#file", str(call))
    page.click("#run")
    page.wait_for_selector(SENTENCE)


def test_a_file_is_recognised_and_its_sentences_are_played(open_page: Open, call: Path) -> None:
    page = open_page("/")
    page.set_input_files("#file", str(call))
    page.wait_for_selector("#run")
    assert page.inner_text("#source-name") == "call.wav"
    assert "2 channels" in page.inner_text("#source-facts")
    page.check("#channel-1")
    page.click("#run")
    page.wait_for_selector(SENTENCE)
    sentences = page.locator(SENTENCE)
    assert sentences.count() >= 2
    assert Spoken.text in sentences.first.inner_text()
    # The picture, the words and the curve say the same.
    leader = page.inner_text(".shape.leads b")
    assert leader in page.inner_text("#verdict-words .big")
    assert f"{leader} " in (page.text_content(".chart .name.leads") or "")
    assert page.locator(".curve").count() == 4
    shares = page.locator(".shape span").all_inner_texts()
    assert sum(int(share.rstrip(" %")) for share in shares) == pytest.approx(100, abs=2)
    # Shapes, not colours alone.
    assert len({path.get_attribute("d") for path in page.locator(".shape path").all()}) == 4
    sentences.first.locator("button").click()
    page.wait_for_selector(f"{SENTENCE}.playing")
    page.wait_for_selector(f"{SENTENCE}.playing", state="detached")


def test_a_channel_where_nobody_speaks_is_a_result(open_page: Open, call: Path) -> None:
    page = open_page("/")
    page.set_input_files("#file", str(call))
    page.check("#channel-0")
    page.click("#run")
    page.wait_for_selector("#result:not([hidden])")
    assert "No colour" in page.inner_text("#verdict-words")
    assert page.locator(SENTENCE).count() == 0


def test_what_is_no_audio_is_told_in_words(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no audio at all " * 40)
    page = open_page("/")
    page.set_input_files("#file", str(tmp_path / "notes.wav"))
    page.click("#run")
    page.wait_for_selector("#problem:not([hidden])")
    assert "send wav, flac, ogg or mp3" in page.inner_text("#problem")


def test_the_microphone_is_recognised_while_one_speaks(open_page: Open) -> None:
    page = open_page("/")
    page.click("#record")
    page.wait_for_selector(SENTENCE)
    assert page.is_visible("#stop"), "sentences appear while the call goes on"
    until(page, "document.querySelectorAll('.sentences li').length >= 2")
    page.click("#stop")
    page.wait_for_selector("#another")
    assert page.inner_text("#source-name") == "The call is over"
    assert page.locator(SENTENCE).count() >= 2
    assert Spoken.text in page.locator(SENTENCE).first.inner_text()
    assert page.locator(".curve polyline").count() == 4
    page.click("#another")
    assert page.is_visible("#choose")


def test_a_line_that_breaks_loses_nothing(open_page: Open, call: Path) -> None:
    """The same sentences come of a call whose line was cut twice as of one that was not."""
    page = open_page("/")
    lines = []

    def through(line: WebSocketRoute) -> None:
        lines.append(line)
        line.connect_to_server()

    page.route_web_socket(re.compile("/v1/live"), through)
    recognised(page, call)
    whole = page.locator(f"{SENTENCE} .when").all_inner_texts()
    page.click("#stream")
    for sentences in (1, 2):
        # Until the page has a line, the sentences are those of the recording.
        while len(lines) < sentences:
            page.wait_for_timeout(20)
        until(page, f"document.querySelectorAll('.sentences li').length >= {sentences}")
        lines[-1].close(code=4500)
    until(page, "!document.getElementById('run').disabled")
    assert len(lines) >= 3
    assert page.locator(f"{SENTENCE} .when").all_inner_texts() == whole


def test_the_page_asks_for_a_key_once(open_page: Open, key: str, call: Path) -> None:
    page = open_page("/", with_key=False)
    page.set_input_files("#file", str(call))
    page.click("#run")
    page.wait_for_selector("#key-dialog[open]")
    page.fill("#key-input", "pr_nobody_knows")
    page.press("#key-input", "Enter")
    page.wait_for_selector("#key-problem:not([hidden])")
    page.fill("#key-input", key)
    page.press("#key-input", "Enter")
    page.wait_for_selector(SENTENCE)
    assert page.evaluate("sessionStorage.getItem('persona-ray.key')") == key
    assert page.evaluate("Object.values({...localStorage}).join()").count("pr_") == 0
    page.reload()
    recognised(page, call)
    assert not page.is_visible("#key-dialog")


def test_a_key_in_the_address_is_taken_and_not_left_there(open_page: Open, key: str) -> None:
    page = open_page("/")
    assert page.evaluate("sessionStorage.getItem('persona-ray.key')") == key
    assert "pr_" not in page.url


def test_by_keys_alone(open_page: Open, call: Path) -> None:
    page = open_page("/")
    choosers: list[FileChooser] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = [""]
    while reached[-1] != "record" and len(reached) < 20:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert {"theme-button", "language-button", "choose", "record"} <= set(reached)
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    page.keyboard.press("Enter")
    for _ in range(50):
        if choosers:
            break
        page.wait_for_timeout(100)
    choosers[0].set_files(str(call))
    # What comes next has the focus: one key goes on.
    until(page, "document.activeElement.id === 'run'")
    page.keyboard.press("Enter")
    page.wait_for_selector(SENTENCE)
    page.focus(f"{SENTENCE} button")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{SENTENCE}.playing")


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_narrow_screen_and_the_dark(open_page: Open, call: Path, locale: str) -> None:
    page = open_page("/", width=360, height=760, dark=True, locale=locale)
    assert overflow(page) == []
    recognised(page, call)
    assert overflow(page) == []
    assert page.evaluate("document.documentElement.lang") == ("zh-CN" if "zh" in locale else "en")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", ground)[:3]) < 60
    narrow = page.locator(".sentences button").first.bounding_box()
    assert narrow is not None
    assert narrow["height"] >= 40, "a finger finds it"


def test_language_and_theme_are_kept(open_page: Open) -> None:
    page = open_page("/")
    page.click("#language-button")
    assert "性格颜色" in page.inner_text("h1")
    page.click("#theme-button")
    page.click("#theme-button")
    page.reload()
    assert "性格颜色" in page.inner_text("h1")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", ground)[:3]) < 60


def test_a_key_that_is_revoked_meanwhile_is_told(
    open_page: Open, served: Served, call: Path
) -> None:
    page = open_page("/")
    lines = []

    def through(line: WebSocketRoute) -> None:
        lines.append(line)
        line.connect_to_server()

    page.route_web_socket(re.compile("/v1/live"), through)
    page.set_input_files("#file", str(call))
    page.click("#stream")
    page.wait_for_selector(SENTENCE)
    served.services.store.keys.revoke(name="desk")
    page.wait_for_timeout(5500)
    lines[-1].close(code=4500)
    page.wait_for_selector("#problem:not([hidden])")
    assert "revoked" in page.inner_text("#problem")
    assert page.locator(SENTENCE).count() >= 1, "what was heard stays"
