"""The pages in a real Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.screenshot import find_chromium
from persona_ray.audio.coding import encode_flac
from persona_ray.config import RunConfig, load_config
from persona_ray.corpus.records import EncodedClip
from persona_ray.store import open_store
from tests.browser.pages import Served, pcm_wav, serve
from tests.unit.corpus.folders import encoded, write_corpus
from tests.unit.serving.models_fakes import FakeDesk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CLIPS = 30
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def speech(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of people, with pauses, as a WAV file."""
    folder = tmp_path_factory.mktemp("speech")
    files = sorted((shared_data / "aishell3").glob("*.flac"))[:4]
    return pcm_wav(files, folder / "speech.wav")


@pytest.fixture(scope="module")
def browser(speech: Path) -> Iterator[Browser]:
    """Its microphone hears `speech`, once."""
    binary = find_chromium()
    if binary is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    microphone = f"--use-file-for-fake-audio-capture={speech}%noloop"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=binary, args=[*_FLAGS, microphone])
        yield opened
        opened.close()


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(
        None,
        [f"workspace={tmp_path}", "archive.audio_root=", "cut.min_chars=3", "cut.max_clip_s=6"],
    )


def clip(number: int) -> EncodedClip:
    """A second and a half of noise."""
    noise = np.random.default_rng(number).uniform(-0.3, 0.3, 12_000).astype(np.float32)
    return replace(encoded(number), audio=encode_flac(noise, 8000))


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def served(config: RunConfig, desk: FakeDesk) -> Iterator[Served]:
    """The application with a corpus of 30 clips; it asks for keys."""
    write_corpus(config.corpus_dir, [clip(number) for number in range(CLIPS)])
    with open_store(config.store_url) as store, serve(config, store, desk) as found:
        yield found


@pytest.fixture
def key(served: Served) -> str:
    scopes = ["recognise", "live", "annotate", "models"]
    return served.services.store.keys.create("desk", scopes).token


@pytest.fixture
def open_page(browser: Browser, served: Served, key: str) -> Iterator[Open]:
    """open_page("/annotate", width=360, dark=True): a page with a key, in a window of its own.

    The test fails for anything that the page complains about or asks of another server.
    """
    contexts = []
    complaints: list[str] = []

    def build(
        path: str, width: int = 1180, height: int = 900, dark: bool = False, locale: str = "en-GB",
        with_key: bool = True,
    ) -> Page:  # fmt: skip
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale=locale,
            permissions=["microphone"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: _note(message, served.address, complaints))
        page.on("request", lambda request: _inside(request.url, served.address, complaints))
        page.goto(f"{served.address}{path}{f'#key={key}' if with_key else ''}")
        return page

    yield build
    for context in contexts:
        context.close()
    assert complaints == []


def _note(message: Any, address: str, complaints: list[str]) -> None:
    # Refusals that a test provokes are told by the browser as errors, too.
    expected = "Failed to load resource" in message.text or "WebSocket connection" in message.text
    # Of a line that a test routes Playwright's stand-in sends on, also to one that is closing; the
    # product's own files are told by their address.
    if "CLOSING or CLOSED" in message.text:
        expected = not message.location["url"].startswith(address)
    if message.type in ("error", "warning") and not expected:
        complaints.append(message.text)


def _inside(url: str, address: str, complaints: list[str]) -> None:
    if not url.startswith((address, address.replace("http", "ws", 1), "blob:", "data:")):
        complaints.append(f"asked for {url}")


def until(page: Page, expression: str) -> None:
    """Wait until an expression of JavaScript is true; the page's policy forbids Playwright's own
    way to wait for one."""
    for _ in range(300):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never true: {expression}")


def overflow(page: Page) -> list[str]:
    """What hangs over the right edge of the window."""
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.querySelectorAll("body *")]
          .filter((e) => !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 1)
          .map((e) => e.outerHTML.slice(0, 90))"""
    )
    return found
