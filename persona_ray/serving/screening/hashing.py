"""Hashes of numbers, computed alike by service and device."""

from __future__ import annotations

import hmac


def hash_of(salt: str, number: str) -> str:
    """HMAC-SHA256 as 64 hexadecimal digits; `salt` in hexadecimal digits, `number` in E.164."""
    return hmac.digest(bytes.fromhex(salt), number.encode(), "sha256").hex()


def prefix_of(hashed: str, bits: int) -> str:
    """The first bits (at most 32) of a hash, as binary digits."""
    return f"{int(hashed[:8], 16):032b}"[:bits]
