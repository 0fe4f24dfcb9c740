"""A picture of the agent's page while a call goes on.

    persona-ray demo assist            # prints the address of the live page with its key
    python -m benchmarks.assist_picture 'http://127.0.0.1:PORT/assist#key=pr_...' \\
      docs/images/assist.png

Needs Debian's `chromium`, and `fonts-noto-cjk` where the machine has no Chinese font.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.live_page import arguments, opened

_LONGEST_MS = 120_000


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--moods", type=int, default=4, help="sentences of the customer before")
    chosen = parser.parse_args()
    chosen.picture.parent.mkdir(parents=True, exist_ok=True)
    with opened(chosen) as page:
        last = f".talk .customer >> nth={chosen.moods - 1}"
        page.wait_for_selector(last, timeout=_LONGEST_MS)
        page.wait_for_selector("#suggestion[data-state=open]", timeout=_LONGEST_MS)
        page.wait_for_timeout(400)
        page.screenshot(path=chosen.picture)
    print(chosen.picture)


if __name__ == "__main__":
    main()
