"""A picture of the page that recognises, after it recognised a call: of a service that runs.

    persona-ray serve --config configs/demo.yaml     # prints the address with its key
    python -m benchmarks.page_picture 'http://127.0.0.1:8600/#key=pr_...' \\
      demo/archive/audio/2026-02/K00046.ogg docs/images/recognise.png

Needs Debian's `chromium`, and `fonts-noto-cjk` where the machine has no Chinese font.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.live_page import arguments, opened


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("call", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--channel", type=int, default=1, help="the customer's, from 0")
    chosen = parser.parse_args()
    chosen.picture.parent.mkdir(parents=True, exist_ok=True)
    with opened(chosen) as page:
        page.set_input_files("#file", str(chosen.call))
        page.wait_for_selector("#run")
        if page.is_visible("#channels"):
            page.check(f"#channel-{chosen.channel}")
        page.click("#run")
        page.wait_for_selector(".sentences li", timeout=120_000)
        # The shapes grow into place.
        page.wait_for_timeout(1500)
        page.evaluate("document.activeElement?.blur()")
        page.screenshot(path=chosen.picture, full_page=True)
    print(chosen.picture)


if __name__ == "__main__":
    main()
