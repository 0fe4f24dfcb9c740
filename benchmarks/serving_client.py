"""The clients of serving_load.py, in a process of their own: each sends a request, waits for the
answer, and sends the next. Reads one JSON object a line (`Load`), answers with one (`Answers`).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.serving_requests import Request, course, read, right

# A request that takes longer is lost.
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Load:
    """`count` requests of a kind by `clients` at a time, to `url`.

    `fields`: what an arm calls the parts of a form (`file`, `text`, `channel`).
    """

    kind: str
    url: str
    fields: dict[str, str]
    count: int
    clients: int


@dataclass
class Answers:
    """Seconds of each request and of all. `lost`: why there was no answer; `other`: answers that
    are not those of the recogniser alone. `stages_s`: seconds by stage, as the arm says itself."""

    seconds: float = 0.0
    processor_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    stages_s: dict[str, list[float]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    other: int = 0


async def send(load: Load, requests: list[Request]) -> Answers:
    answers = Answers()
    waiting = iter(course(requests, load.count))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=load.clients)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(
            *(_client(session, load, waiting, answers) for _ in range(load.clients))
        )
        answers.seconds = time.perf_counter() - began
        answers.processor_s = time.process_time() - used
    return answers


async def _client(
    session: aiohttp.ClientSession, load: Load, waiting: Iterator[Request], answers: Answers
) -> None:
    for asked in waiting:
        began = time.perf_counter()
        try:
            async with session.post(load.url, data=form(asked, load.fields)) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            answers.lost.append(f"{type(error).__name__}: {error}")
            continue
        if response.status != 200:
            answers.lost.append(f"{response.status}: {body[:200].decode(errors='replace')}")
            continue
        answers.latencies_s.append(time.perf_counter() - began)
        found = json.loads(body)
        if not right(asked, _probabilities(found)):
            answers.other += 1
        for stage, seconds in found.get("timings_s", {}).items():
            answers.stages_s.setdefault(stage, []).append(seconds)


def form(asked: Request, fields: Mapping[str, str]) -> aiohttp.FormData:
    form = aiohttp.FormData()
    name = Path(asked.file).name
    form.add_field(fields["file"], asked.data, filename=name, content_type="audio/wav")
    if asked.kind == "clips":
        form.add_field(fields["text"], asked.text)
    if asked.kind == "calls":
        form.add_field(fields["channel"], str(asked.channel))
    return form


def _probabilities(found: dict[str, Any]) -> dict[str, float] | None:
    # The product's answers are of sets and calls; a peer's is what it was asked.
    result = found.get("together", found)
    probabilities: dict[str, float] | None = result.get("probabilities")
    return probabilities


def main(folder: Path) -> None:
    requests = read(folder)
    for line in sys.stdin:
        load = Load(**json.loads(line))
        answers = asyncio.run(send(load, requests[load.kind]))
        print(json.dumps(asdict(answers)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
