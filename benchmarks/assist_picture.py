"""A picture of the agent's page while a call goes on.

    persona-ray demo assist            # prints the address of the live page with its key
    python -m benchmarks.assist_picture 'http://127.0.0.1:PORT/assist#key=pr_...' \\
      docs/images/assist.png

Needs Debian's `chromium`, and `fonts-noto-cjk` where the machine has no Chinese font.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.screenshot import NAMES, find_chromium

_LONGEST_MS = 120_000


def take(address: str, picture: Path, moods: int, width: int, dark: bool, locale: str) -> None:
    """Write `picture` once `moods` sentences of the customer were heard and a script stands there.
    Exits with one line without Chromium."""
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
        page.wait_for_selector(f".talk .customer >> nth={moods - 1}", timeout=_LONGEST_MS)
        page.wait_for_selector("#suggestion[data-state=open]", timeout=_LONGEST_MS)
        page.wait_for_timeout(400)
        page.screenshot(path=picture)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("address", help="of the page, with #key=...")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--moods", type=int, default=4, help="sentences of the customer before")
    parser.add_argument("--width", type=int, default=1180, help="CSS pixels")
    parser.add_argument("--dark", action="store_true", help="the dark theme")
    parser.add_argument("--locale", default="en-GB", help="zh-CN for Chinese")
    chosen = parser.parse_args()
    take(chosen.address, chosen.picture, chosen.moods, chosen.width, chosen.dark, chosen.locale)
    print(chosen.picture)


if __name__ == "__main__":
    main()
