"""Statements that are signed, and the form in which they are.

    {"statement": {"type": "head", ...}, "key_id": "...", "signature": "base64"}

The signature (Ed25519) is over a fixed line, the domain, and the statement in canonical JSON: names
in order, no spaces, UTF-8, integers but no fractions (a subset of RFC 8785, so that any language
writes the same bytes).
"""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_MOST = 2**53 - 1


class Statement(BaseModel):
    """Fields that a newer release adds are passed over, but signed all the same."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Successor(Statement):
    """Signed by key number `number - 1`: from now on this one signs. The first key has signed
    itself."""

    type: Literal["successor"] = "successor"
    number: int = Field(ge=1)
    key_id: str
    public: str = Field(description="32 bytes of Ed25519, base64")


class Signed(BaseModel):
    """A statement and its signature."""

    statement: dict[str, Any]
    key_id: str = Field(description="of the key that signed")
    signature: str = Field(description="64 bytes of Ed25519, base64")


def canonical(value: object) -> bytes:
    """`value` as JSON that is written in one way only.

    Raises ValueError for what has no such form: fractions, integers beyond 2**53, names that are
    no ASCII text, text that is no Unicode.
    """
    _check(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def to_be_signed(statement: object, domain: bytes) -> bytes:
    """The bytes that a signature is over. What is signed in one domain is nothing in another."""
    return domain + canonical(statement)


def plain(statement: BaseModel) -> dict[str, Any]:
    """As it is signed and sent."""
    return statement.model_dump(mode="json")


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _check(value: object) -> None:
    # The commonest first: a page has tens of thousands of values.
    if value is None or isinstance(value, str):
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if not (isinstance(name, str) and name.isascii()):
                raise ValueError(f"{name!r}: names are ASCII text")
            if not isinstance(inner, str):
                _check(inner)
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif not isinstance(value, int):
        kind = "fractions: send them as text" if isinstance(value, float) else type(value).__name__
        raise ValueError(f"no canonical form: {kind}")
    elif abs(value) > _MOST:
        raise ValueError("integers are at most 2**53 - 1")
