"""Clients that ask on end and note every answer."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pytest
import requests

from tests.drills.nodes import wait_for

# No attempt may take longer, whatever happens to the service.
BOUND_S = 45.0
# Nor may it take longer until a client that tries again has its answer.
PATIENCE_S = 90.0
# Batches are padded differently: the last digits differ.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Upload:
    field: str
    data: bytes


@dataclass(frozen=True)
class Asked:
    """A request, and what must stand in `part` of its answer."""

    path: str
    uploads: tuple[Upload, ...]
    form: Mapping[str, str]
    part: str
    expected: Sequence[Mapping[str, Any]]

    def send(self, session: requests.Session, url: str, timeout_s: float) -> requests.Response:
        files = [(one.field, ("a.wav", one.data)) for one in self.uploads]
        return session.post(url + self.path, files=files, data=dict(self.form), timeout=timeout_s)

    def mistake(self, body: Mapping[str, Any]) -> str:
        """What is wrong with an answer; empty: nothing."""
        found = body.get(self.part)
        if not isinstance(found, list) or len(found) != len(self.expected):
            return f"{len(self.expected)} {self.part} expected: {body}"
        for one, other in zip(found, self.expected, strict=True):
            if any(one[key] != other[key] for key in ("primary", "secondary", "text")):
                return f"{one} instead of {other}"
            if one["probabilities"] != (
                None
                if other["probabilities"] is None
                else pytest.approx(other["probabilities"], abs=TOLERANCE)
            ):
                return f"{one} instead of {other}"
        return ""


@dataclass(frozen=True)
class Attempt:
    """One try of a request. `status` 0: the connection broke. `wrong`: why it may not be so."""

    url: str
    begun: float
    seconds: float
    status: int
    code: str = ""
    version: str = ""
    wrong: str = ""

    @property
    def answered(self) -> bool:
        return self.status == 200 and not self.wrong


@dataclass
class Load:
    """So many clients, each with one request at a time, in the block and until what was begun there
    is answered. A request that is refused for now, or whose connection broke, is sent again, to the
    next of `urls`.

    `asked` by the version of the model that must answer so; one list for all: under ''.
    """

    urls: Sequence[str]
    asked: Mapping[str, Sequence[Asked]]
    clients: int = 4
    # Of a client that asks: then it tries elsewhere.
    timeout_s: float = PATIENCE_S
    key: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()
        try:
            self.more(2 * self.clients)
        except AssertionError:
            self._over.set()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> list[Attempt]:
        return [one for one in list(self.attempts) if one.answered]

    def more(self, count: int, within_s: float = PATIENCE_S) -> float:
        """Seconds until there are so many more answers."""
        wanted = len(self.answers) + count
        return wait_for(
            lambda: len(self.answers) >= wanted,
            within_s,
            lambda: f"no {count} answers: {self.seen()}",
        )

    def until(self, true: Callable[[Attempt], bool]) -> float:
        """Seconds until there is such an answer."""
        return wait_for(
            lambda: any(true(one) for one in self.answers),
            PATIENCE_S,
            lambda: f"none such: {self.seen()}",
        )

    @property
    def gap_s(self) -> float:
        """The longest time without any answer."""
        ends = sorted(one.begun + one.seconds for one in self.answers)
        return max(after - before for before, after in itertools.pairwise(ends))

    def seen(self) -> str:
        """How often which answer came."""
        kinds: dict[str, int] = {}
        for one in list(self.attempts):
            kind = f"{one.status or 'broken'} {one.code or one.wrong[:200]}".strip()
            kinds[kind] = kinds.get(kind, 0) + 1
        return ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))

    def check(self, what: str, broken: Sequence[str] = ()) -> None:
        """Every request was answered rightly, if not at once; every attempt in time. `broken`: the
        addresses whose connections may have broken."""
        wrong = [one.wrong for one in self.attempts if one.wrong]
        assert not wrong, f"{what}: {len(wrong)} wrong answers, such as {wrong[0]}"
        assert not self.lost, f"{what}: {len(self.lost)} lost, such as {self.lost[0]}"
        kept = [one for one in self.attempts if one.url not in broken]
        assert all(one.status for one in kept), f"{what}: {self.seen()}"
        longest_s = max(one.seconds for one in self.attempts)
        assert longest_s < BOUND_S, f"{what}: an attempt took {longest_s:.0f} s"
        print(f"\n{what}: {self.seen()}; longest {longest_s:.1f} s, gap {self.gap_s:.1f} s")

    def _client(self, number: int) -> None:
        some = next(iter(self.asked.values()))
        with requests.Session() as session:
            session.headers.update({"authorization": f"Bearer {self.key}"} if self.key else {})
            for at in itertools.count(number):
                if self._over.is_set():
                    return
                try:
                    self._ask(session, at % len(some))
                except Exception as error:
                    # Else nobody would hear of it: a client less, and a drill that passes.
                    self.lost.append(f"request {at % len(some)}: {error!r}")

    def _ask(self, session: requests.Session, number: int) -> None:
        until = time.monotonic() + PATIENCE_S
        for at in itertools.count(number):
            attempt = self._attempt(session, number, self.urls[at % len(self.urls)])
            self.attempts.append(attempt)
            if attempt.status == 200 or attempt.wrong:
                return
            if time.monotonic() > until:
                self.lost.append(f"request {number} after {PATIENCE_S:.0f} s: {attempt}")
                return
            time.sleep(0.25)

    def _attempt(self, session: requests.Session, number: int, url: str) -> Attempt:
        asked = next(iter(self.asked.values()))[number]
        begun = time.monotonic()
        try:
            answer = asked.send(session, url, self.timeout_s)
            body = answer.json()
        except requests.JSONDecodeError:
            wrong = f"{answer.status_code} without JSON: {answer.text[:300]}"
            return Attempt(url, begun, time.monotonic() - begun, answer.status_code, wrong=wrong)
        except requests.RequestException:
            return Attempt(url, begun, time.monotonic() - begun, 0)
        seconds = time.monotonic() - begun
        if answer.status_code == 200:
            version = body["model"]["version"]
            asked = self.asked.get(version, next(iter(self.asked.values())))[number]
            return Attempt(url, begun, seconds, 200, "", version, asked.mistake(body))
        code = str(body.get("error", {}).get("code", ""))
        wrong = not_retryable(answer)
        return Attempt(url, begun, seconds, answer.status_code, code, wrong=wrong)


def not_retryable(answer: requests.Response) -> str:
    """Why an answer does not tell a client to come again; empty: it does."""
    error, status = answer.json().get("error", {}), answer.status_code
    if status != 503 or not answer.headers.get("retry-after", "").isdigit():
        return f"{status} {dict(answer.headers)}: {answer.text[:300]}"
    if set(error) != {"code", "message", "field", "fix", "trace_id"}:
        return f"another shape: {answer.text[:300]}"
    return ""
