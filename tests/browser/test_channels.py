"""Where nobody speaks: the page and the answer name the channel alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_silent_channel_is_named_as_it_was_chosen(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    file = tmp_path / "silence.wav"
    soundfile.write(file, np.zeros((8000, 2)), 8000)
    page = open_page("/")
    page.set_input_files("#file", str(file))
    page.get_by_label("Channel 1", exact=True).check()
    page.click("#run")
    page.wait_for_selector("#result:not([hidden])")
    verdict = page.inner_text("#verdict-words")
    assert "silence.wav channel 1 never rises" in verdict
    # It is over: no first sentence is waited for.
    assert verdict.startswith("No colour")
