"""A picture of the page that recognises, after it recognised a call: of a service that runs.

    persona-ray serve --config configs/demo.yaml     # prints the address with its key
    python -m benchmarks.page_picture 'http://127.0.0.1:8600/#key=pr_...' \
      demo/archive/audio/2026-02/K00046.ogg docs/images/recognise.png

Needs Debian's `chromium`, and `fonts-noto-cjk` where the machine has no Chinese font.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.screenshot import NAMES, find_chromium


def take(
    address: str, call: Path, picture: Path, channel: int, width: int, dark: bool, locale: str
) -> None:
    """Write `picture` of the whole page. Exits with one line without Chromium."""
    from playwright.sync_api import sync_playwright

    binary = find_chromium()
    if binary is None:
        sys.exit(f"error: none of {', '.join(NAMES)} is installed: apt-get install chromium")
    picture.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            locale=locale,
        )
        page.goto(address)
        page.set_input_files("#file", str(call))
        page.wait_for_selector("#run")
        if page.is_visible("#channels"):
            page.check(f"#channel-{channel}")
        page.click("#run")
        page.wait_for_selector(".sentences li", timeout=120_000)
        # The shapes grow into place.
        page.wait_for_timeout(1500)
        page.evaluate("document.activeElement?.blur()")
        page.screenshot(path=picture, full_page=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("address", help="of the page, with #key=... where keys are required")
    parser.add_argument("call", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--channel", type=int, default=1, help="the customer's, from 0")
    parser.add_argument("--width", type=int, default=1180, help="CSS pixels")
    parser.add_argument("--dark", action="store_true", help="the dark theme")
    parser.add_argument("--locale", default="en-GB", help="zh-CN for Chinese")
    chosen = parser.parse_args()
    take(
        chosen.address,
        chosen.call,
        chosen.picture,
        chosen.channel,
        chosen.width,
        chosen.dark,
        chosen.locale,
    )
    print(chosen.picture)


if __name__ == "__main__":
    main()
