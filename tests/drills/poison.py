"""Requests that mean no good, and what is answered to them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.unit.serving.sounds import USABLE, broken

CLIPS, CALLS = "/v1/recognitions/clips", "/v1/recognitions/calls"
# Beyond what the service's own time-out takes.
_SLACK_S = 15.0
_LORIS = 24


@dataclass(frozen=True)
class Answer:
    """`status` 0: the connection was closed without one. `wrong`: what is wrong with that."""

    what: str
    status: int
    wrong: str = ""


def storm(url: str, timeout_s: float) -> list[Answer]:
    """Everything, at once; the answers. `timeout_s`: the service's own for a request."""
    with ThreadPoolExecutor(_LORIS + 4) as pool:
        slow = [
            pool.submit(_loris, url, timeout_s, whole_head)
            for whole_head in [True, False] * (_LORIS // 2)
        ]
        quick = [pool.submit(one) for one in _quick(url)]
        return [found.result() for found in (*quick, *slow)]


def _quick(url: str) -> Iterator[Callable[[], Answer]]:
    for name, data in broken().items():
        for path, field, form in ((CLIPS, "files", {}), (CALLS, "file", {"channel": "0"})):
            # What is too long for a sentence is a short call.
            usable = name in USABLE or (name == "long.wav" and path == CALLS)
            files, allowed = [(field, (name, data))], {200} if usable else set()
            yield _post(f"{name} to {path}", url + path, allowed, files=files, data=form)
    deep = b"[" * 200_000
    bodies: dict[str, Any] = {
        "no JSON": b"{",
        "deep JSON": deep,
        "a number": b"1e999",
        "other keys": json.dumps({"clips": [{"url": "x"}]}).encode(),
        "a lone surrogate": b'{"clips": [{"uri": "\\ud800", "text": "\\udfff"}]}',
        "a foreign file": json.dumps({"clips": [{"uri": "/etc/passwd"}]}).encode(),
        "no bytes": b"",
        "no text": b"\xff\xfe\x00",
    }
    for what, body in bodies.items():
        for path in (CLIPS, CALLS):
            headers = {"content-type": "application/json"}
            yield _post(f"{what} to {path}", url + path, data=body, headers=headers)
    yield _post("another kind", url + CLIPS, data=b"x", headers={"content-type": "text/csv"})
    boundary = {"content-type": "multipart/form-data; boundary=x"}
    yield _post("half a form", url + CLIPS, data=b"--x\r\nContent-Disp", headers=boundary)
    yield _post("no form", url + CLIPS, data=b"x" * 1000, headers=boundary)
    for number in range(6):
        yield _post(f"huge {number}", url + CALLS, {0}, files=[("file", ("a.wav", bytes(8 << 20)))])
        yield _post(f"endless {number}", url + CALLS, {0}, data=_endless(), headers=boundary)
    yield _post("an unknown path", url + "/v1/recognitions/souls", data=b"x")
    yield _asked("another method", lambda: requests.delete(url + CLIPS, timeout=60))
    header = {"traceparent": "x" * 2000, "x-trace-id": "../../etc", "x-request-id": "%00"}
    yield _post("odd headers", url + CLIPS, headers=header)


def _endless() -> Iterator[bytes]:
    """16 MB in chunks, of which nobody knows beforehand how many come."""
    yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    for _ in range(256):
        yield bytes(64 << 10)


def _post(
    what: str, url: str, allowed: frozenset[int] | set[int] = frozenset(), **options: Any
) -> Callable[[], Answer]:
    return _asked(what, lambda: requests.post(url, timeout=60, **options), allowed)


def _asked(
    what: str,
    ask: Callable[[], requests.Response],
    allowed: frozenset[int] | set[int] = frozenset(),
) -> Callable[[], Answer]:
    """A 4xx in the one shape is right, and what `allowed` says."""

    def run() -> Answer:
        try:
            answer = ask()
        except requests.ConnectionError as error:
            return Answer(what, 0, "" if 0 in allowed else f"the connection broke: {error}")
        status = answer.status_code
        if status in allowed:
            return Answer(what, status)
        return Answer(what, status, _mistake(status, answer.content))

    return run


def _mistake(status: int, body: bytes) -> str:
    if not 400 <= status < 500:
        return f"{status}: {body[:300]!r}"
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"{status} in another shape: {body[:300]!r}"
    return "" if error["code"] and error["trace_id"] else f"{status} without code or trace id"


def _loris(url: str, timeout_s: float, whole_head: bool) -> Answer:
    """An upload that comes a byte a second. Without its whole head it is no request yet: it is
    given up, and nothing is expected."""
    where = urlsplit(url)
    head = (
        f"POST {CALLS} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: 100000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    ).encode()
    begun = time.monotonic()
    with socket.create_connection((where.hostname or "", where.port or 0)) as line:
        line.settimeout(1.0)
        line.sendall(head if whole_head else head[:40])
        while time.monotonic() - begun < timeout_s + _SLACK_S:
            try:
                line.sendall(b"x")
                found = line.recv(65_536)
            except TimeoutError:
                if whole_head or time.monotonic() - begun < timeout_s:
                    continue
                return Answer("half a head", 0)
            except OSError as error:
                return Answer("slow upload", 0, f"the connection broke: {error}")
            status = int(found.split()[1]) if found else 0
            head_of, _, body = found.partition(b"\r\n\r\n")
            if not body and b"content-length: 0" not in head_of.lower():
                body = line.recv(65_536)
            wrong = "" if status in (400, 408) else f"{found[:300]!r}"
            return Answer("slow upload", status, wrong or _mistake(status, body))
    return Answer("slow upload", 0, "no answer")
