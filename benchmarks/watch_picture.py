"""A picture of Prometheus' own page: what a service of the demo's bundle tells under load.

    make demo
    python -m benchmarks.watch_picture docs/images/prometheus.png --config configs/demo.yaml

The service runs in this process, without Ray; Prometheus has the shipped rules and asks it with a
key every second. Needs Debian's `prometheus` (its page is the classic one) and `chromium`.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests

from benchmarks.shared import arguments
from persona_ray.config import RunConfig, load_config

EXPRESSIONS = ("persona:stage_seconds:p95", "persona:colours:share1h")
CALLS = sorted(Path("demo/archive/audio").rglob("*.ogg"))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load")
    chosen = parser.parse_args()
    config = load_config(chosen.config, [*chosen.overrides, "tracking.url=off"])
    with tempfile.TemporaryDirectory() as folder:
        show(config, Path(folder), chosen.picture.absolute(), chosen.seconds)
    print(chosen.picture)


def show(config: RunConfig, folder: Path, picture: Path, seconds: float) -> None:
    from persona_ray.apps.personality import routers
    from persona_ray.inference.personality import PersonalityRecognizer
    from persona_ray.serving.application import Services, build_app
    from persona_ray.serving.in_thread import served_in_thread
    from persona_ray.serving.local import LocalService
    from persona_ray.store import open_store
    from tests.prometheus import prometheus

    service = LocalService(PersonalityRecognizer.load(config.bundle_dir, config))
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store:
        key = store.keys.create("demo", ["admin"]).token
        (folder / "metrics.key").write_text(key)
        app = build_app(Services(config, service, store), routers(config))
        with served_in_thread(app) as address:
            asked = {
                "authorization": {"credentials_file": str(folder / "metrics.key")},
                "static_configs": [{"targets": [address.removeprefix("http://")]}],
            }
            jobs: dict[str, Any] = {"persona-ray": asked, "ray": {"static_configs": []}}
            with prometheus(folder, jobs) as found:
                load(address, key, seconds)
                photograph(found.address, picture)


def load(address: str, key: str, seconds: float) -> None:
    """Whole calls, the models' list and wrong keys, at different paces."""
    until = time.monotonic() + seconds
    good = {"authorization": f"Bearer {key}"}

    def call(number: int) -> None:
        files = {"file": ("call.ogg", CALLS[number % len(CALLS)].read_bytes())}
        place = f"{address}/v1/recognitions/calls"
        requests.post(place, headers=good, files=files, data={"channel": "1"}, timeout=60)

    def look(_: int) -> None:
        requests.get(f"{address}/v1/models", headers=good, timeout=60)

    def err(_: int) -> None:
        wrong = {"authorization": "Bearer pr_wrong"}
        requests.get(f"{address}/v1/jobs", headers=wrong, timeout=60)

    def again(ask: Any, pause_s: float) -> None:
        number = 0
        while time.monotonic() < until:
            ask(number)
            number += 1
            time.sleep(pause_s)

    paces = ((call, 0.2), (look, 0.5), (err, 2.0))
    callers = [threading.Thread(target=again, args=pace) for pace in paces]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


def photograph(address: str, picture: Path) -> None:
    from playwright.sync_api import sync_playwright

    from benchmarks.screenshot import BROWSER_FLAGS, chromium

    binary = chromium()
    query: dict[str, str] = {}
    for number, expression in enumerate(EXPRESSIONS):
        graph = f"g{number}"
        query |= {
            f"{graph}.expr": expression,
            f"{graph}.tab": "0",
            f"{graph}.range_input": "70s",
            f"{graph}.step_input": "1",
        }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=list(BROWSER_FLAGS))
        page = browser.new_page(viewport={"width": 1180, "height": 1660})
        page.goto(f"{address}/classic/graph?{urlencode(query)}")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(3_000)
        # The page's head floats over whatever has the focus.
        page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main()
