"""The screening application without models, on a port, and phones that call it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from persona_ray.apps.screening_consequences import StoredConsequences
from persona_ray.config import RunConfig
from persona_ray.inference.screening.sources import StoredSources
from persona_ray.serving.application import build_app
from persona_ray.serving.in_thread import served_in_thread
from persona_ray.serving.live.protocol import Sound
from persona_ray.serving.routes.health import health
from persona_ray.serving.routes.screening_calls import screening_calls
from persona_ray.serving.routes.screening_files import screening_files
from persona_ray.serving.routes.screening_libraries import screening_libraries
from persona_ray.serving.routes.screening_live import screening_live
from persona_ray.serving.routes.screening_numbers import screening_numbers
from persona_ray.serving.routes.screening_pages import screening_pages
from persona_ray.serving.routes.screening_reports import screening_reports
from persona_ray.serving.routes.screening_wishes import screening_wishes
from persona_ray.serving.screening.client import CallClient
from persona_ray.serving.screening.protocol import CallEnded, CallEventOut
from persona_ray.serving.screening.services import ScreeningServices
from persona_ray.store import Store
from tests.unit.serving.live.sounds import talk
from tests.unit.serving.screening.parts import Fakes, services_of

ROUTERS = (
    health,
    screening_live,
    screening_calls,
    screening_wishes,
    screening_files,
    screening_numbers,
    screening_libraries,
    screening_reports,
    screening_pages,
)
# So that the browser, the service and the phone can share a busy machine.
SPEED = 4.0


class NoVoices:
    """Libraries that learn nothing."""

    async def learn(self, *_: Any) -> bool:
        return False


@dataclass(frozen=True)
class Screening:
    """Where the pages are, what is behind them, and the key of user `li`."""

    address: str
    services: ScreeningServices
    fake: Fakes
    key: str

    @property
    def store(self) -> Store:
        return self.services.store

    def call(self, call_id: str, *texts: str, number: str = "") -> CallEnded:
        """A caller who says one thing after the other, each once the robot has ended."""
        return self.calling(call_id, *texts, number=number).result(60)

    def calling(self, call_id: str, *texts: str, number: str = "") -> Future[CallEnded]:
        """The same, while the test goes on."""
        self.fake.ears.texts = list(texts)
        start = {"number": number}
        client = CallClient(self.address, call_id, Sound(), key=self.key, start=start, speed=SPEED)
        left = len(texts)

        def note(event: CallEventOut) -> None:
            nonlocal left
            if event.type == "speaking" and event.over and client.silent:
                if left:
                    client.say(talk((1.0, 1.0)), 8000)
                else:
                    client.hang_up()
                left -= 1

        async def called() -> CallEnded:
            async with asyncio.timeout(40):
                return await client.call(note)

        # Playwright has this thread's loop.
        with_loop = ThreadPoolExecutor(1)
        found = with_loop.submit(lambda: asyncio.run(called()))
        with_loop.shutdown(wait=False)
        return found


@contextlib.contextmanager
def serve(config: RunConfig, store: Store, fake: Fakes) -> Iterator[Screening]:
    """Real sets, reports and consequences; models are faked."""
    services = services_of(config, store, fake)
    sources = StoredSources(store, config.screening)
    services = replace_parts(services, sources, config)
    token = store.keys.create("li", ["screen", "screening"], requests_per_minute=100_000).token
    with served_in_thread(build_app(services, ROUTERS)) as address:
        yield Screening(address, services, fake, token)


def replace_parts(
    services: ScreeningServices, sources: StoredSources, config: RunConfig
) -> ScreeningServices:
    consequences = StoredConsequences(services.store, config.screening, NoVoices())
    parts = replace(services.parts, sources=sources)
    return ScreeningServices(
        config, parts, services.store, services.served, consequences=consequences
    )
