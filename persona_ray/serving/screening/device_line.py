"""A device's line to its service: asks, waits where it is told to, and checks signatures."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from persona_ray.errors import DistributionError
from persona_ray.serving.screening.statements import OfLibrary
from persona_ray.vault.signing import Trusted, named, verified, walk
from persona_ray.vault.statements import Signed

if TYPE_CHECKING:
    import ssl

    import httpx2

    from persona_ray.serving.screening.device_store import DeviceStore

_ROOT = "/v1/screening/sets"
_TIMEOUT_S = 30.0
_MOST_BYTES = 64 * 2**20
_TRIES = 5
_LONGEST_WAIT_S = 60.0
_LATER = frozenset({429, 503})
StatementT = TypeVar("StatementT", bound=OfLibrary)


class TooOldError(DistributionError):
    """The service does not keep what is asked for: a snapshot is to be had."""


class Line:
    """Asks one service for signed statements. Not for several threads."""

    def __init__(
        self,
        url: str,
        store: DeviceStore,
        key: str,
        trust: str,
        transport: httpx2.BaseTransport | None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        import httpx2

        self._url = url.rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            raise DistributionError("address", f"'{url}' is no address: write http://{url}")
        self._store = store
        self._trust = trust
        self._client = httpx2.Client(
            base_url=self._url + _ROOT,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=_TIMEOUT_S,
            transport=transport,
            # Reading the machine's certificates takes a while, and http has no use for them.
            verify=tls or self._url.startswith("https:"),
        )

    def close(self) -> None:
        self._client.close()

    def get(
        self,
        path: str,
        kind: type[StatementT],
        about: OfLibrary | None,
        own: bool = False,
        **parameters: str | int,
    ) -> tuple[StatementT, str]:
        """A statement and its tag; `about`: of which library it must be.

        Raises DistributionError; TooOldError for 410.
        """
        told = self.ask(path, kind, about, own, "", **parameters)
        if told is None:
            raise AssertionError("without a tag, nothing is still so")
        return told

    def ask(
        self,
        path: str,
        kind: type[StatementT],
        about: OfLibrary | None,
        own: bool = False,
        tag: str = "",
        **parameters: str | int,
    ) -> tuple[StatementT, str] | None:
        """As `get`; None where what has the tag `tag` is still so."""
        asked = {**parameters, **({"whose": "own"} if own else {})}
        answer = self._fetch(path, asked, {"if-none-match": tag} if tag else {})
        if answer is None and not tag:
            raise DistributionError(
                "stale",
                f"{self._url} says that nothing has changed, and does not sign it: somebody who "
                "stands between may say so for ever",
            )
        if answer is None:
            return None
        body, etag = answer
        try:
            signed = Signed.model_validate(body)
            statement = kind.model_validate(verified(signed, self._signer(signed.key_id)))
        except ValidationError:
            raise DistributionError(
                "format", f"{self._url}{_ROOT}{path} does not answer what a device understands"
            ) from None
        owned = about is None and bool(statement.owner)
        if not owned and (
            about is None or (statement.kind, statement.owner) != (about.kind, about.owner)
        ):
            raise DistributionError(
                "kind", f"{self._url} answers with another library than was asked for"
            )
        return statement, etag

    def _signer(self, key_id: str) -> Trusted:
        """The pinned key; its successor, where the service has one by now."""
        pinned = self._store.trusted()
        if pinned is None or key_id != pinned.key_id or self._trust:
            chain = self._chain()
            if self._trust:
                pinned = named(chain, self._trust)
            pinned = walk(chain, pinned)
            self._store.trust(pinned)
            self._trust = ""
        if key_id != pinned.key_id:
            raise DistributionError(
                "key",
                f"key {key_id} signed this; the service's present one is {pinned.key_id}: an old "
                "answer was sent again",
            )
        return pinned

    def _chain(self) -> list[Signed]:
        answer = self._fetch("/keys", {}, {})
        try:
            keys = answer[0]["keys"] if answer else []
            return [Signed.model_validate(key) for key in keys]
        except (ValidationError, KeyError, TypeError):
            raise DistributionError("format", f"{self._url} does not tell its keys") from None

    def _fetch(
        self, path: str, parameters: dict[str, str | int], headers: dict[str, str]
    ) -> tuple[Any, str] | None:
        """The JSON of an answer and its tag; None for 304."""
        for turn in range(_TRIES):
            status, answered, body = self._once(path, parameters, headers)
            if status not in _LATER or turn == _TRIES - 1:
                break
            wait_s = answered.get("retry-after", "")
            time.sleep(min(float(wait_s) if wait_s.isdecimal() else 1.0, _LONGEST_WAIT_S))
        if status == 304:
            return None
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if status == 200 and content is not None:
            return content, answered.get("etag", "")
        raise self._refusal(status, content)

    def _once(
        self, path: str, parameters: dict[str, str | int], headers: dict[str, str]
    ) -> tuple[int, httpx2.Headers, bytes]:
        import httpx2

        try:
            with self._client.stream("GET", path, params=parameters, headers=headers) as answer:
                body = bytearray()
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > _MOST_BYTES:
                        raise DistributionError(
                            "format",
                            f"{self._url} answers with more than {_MOST_BYTES >> 20} MiB",
                        )
                return answer.status_code, answer.headers, bytes(body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise DistributionError(
                "unreachable",
                f"{self._url} cannot be reached ({type(error).__name__}): what is here still "
                "stands; sync again later",
            ) from None

    def _refusal(self, status: int, content: Any) -> DistributionError:
        """What the service says, or that it is none."""
        said = content.get("error") if isinstance(content, dict) else None
        if not isinstance(said, dict):
            return DistributionError(
                "format", f"{self._url} answers {status}: is it a screening service?"
            )
        message = f"{self._url}: {said.get('message', '')}: {said.get('fix', '')}"
        if status == 410:
            return TooOldError("too_old", message)
        return DistributionError(str(said.get("code", "")), message)
