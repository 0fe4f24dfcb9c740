"""A picture of a report, taken with Chromium.

    python -m benchmarks.screenshot runs/demo/report.html docs/images/report.png --height 1500

Needs Debian's `chromium`, and `fonts-noto-cjk` where the machine has no Chinese font.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.shared import described

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def chromium() -> str:
    """Exits with one line where there is none."""
    return find_chromium() or sys.exit(
        f"error: none of {', '.join(NAMES)} is installed: apt-get install chromium"
    )


def take(report: Path, picture: Path, width: int, height: int, dark: bool, scale: float) -> None:
    """Write `picture`, `width` x `height` CSS pixels. Exits with one line without Chromium."""
    browser = chromium()
    picture.parent.mkdir(parents=True, exist_ok=True)
    # Chromium has no flag for a page's theme; the report's own dark rules are made unconditional.
    html = report.read_text(encoding="utf-8")
    if dark:
        html = html.replace("@media (prefers-color-scheme: dark)", "@media all")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(html, encoding="utf-8")
        done = subprocess.run(
            [
                browser,
                *BROWSER_FLAGS,
                "--hide-scrollbars",
                f"--user-data-dir={folder}/profile",
                f"--window-size={width},{height}",
                f"--force-device-scale-factor={scale}",
                f"--screenshot={picture.absolute()}",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
    if done.returncode != 0 or not picture.is_file():
        sys.exit(f"error: Chromium took no picture: {done.stderr.strip()[-400:]}")


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1180, help="CSS pixels")
    parser.add_argument("--height", type=int, default=1500, help="CSS pixels")
    parser.add_argument("--scale", type=float, default=1.0, help="picture pixels per CSS pixel")
    parser.add_argument("--dark", action="store_true", help="the dark theme")
    chosen = parser.parse_args()
    take(chosen.report, chosen.picture, chosen.width, chosen.height, chosen.dark, chosen.scale)
    print(chosen.picture)


if __name__ == "__main__":
    main()
